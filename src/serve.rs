//! Builds everything in order, runs it, and stops it in reverse.
//!
//! The lines of the session and of its servers live on this thread's runtime; what may block or fail
//! at length (starts, own tools, the stored lists) lives on another one (house.md, "Where the
//! microseconds go").

pub mod attached;
mod desk;
pub mod house;
mod household;
#[cfg(unix)]
pub mod hub;
mod recorder;
mod reload;
pub mod trial;

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

use crate::config::{self, Loaded};
use crate::downstream::{guardian, process};
use crate::environment::Environment;
use crate::pages;
use crate::paths::{Overrides, Paths};
use crate::pipes::{self, Stdio};
use crate::serve::attached::Input;
use crate::serve::house::House;
use crate::serve::house::servers::Site;
use crate::serve::household::Household;
use crate::shutdown::{self, Closing, StopReason};

/// The start is over after this.
const STARTED: Duration = Duration::from_secs(1);

/// Serves one client on stdin and stdout until either ends or a signal comes.
///
/// # Errors
/// When stdin and stdout are closed, or the system has no thread for us. A broken configuration or
/// record is no error: a client would only show "disconnected".
pub fn run(overrides: Overrides) -> anyhow::Result<()> {
    let started = Instant::now();
    let lines = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    // Before anything can print.
    let stdio = {
        let _on = lines.enter();
        pipes::take_stdio().context("stdin or stdout is closed")?
    };
    let closing = Closing::default();
    begin(&closing)?;
    let paths = Paths::find(overrides)?;
    if let Err(error) = paths.create() {
        tracing::error!(%error, "data folder cannot be used, serving without a record");
    }
    let loaded = load(&paths);
    let work = workers()?;
    let handles = (lines.handle(), work.handle());
    let house = House::build(
        &paths,
        loaded,
        Site { environment: Environment::own(), folder: None },
        started,
        handles,
    );
    let household = Household::begin(house, &paths.data_dir, handles);
    let reason = lines.block_on(live(household, stdio, closing));
    guardian::dismiss().reap();
    tracing::info!(%reason, elapsed_ms = started.elapsed().as_millis(), "stopped");
    work.shutdown_background();
    lines.shutdown_background();
    Ok(())
}

/// What every process with servers needs before it has any.
fn begin(closing: &Closing) -> anyhow::Result<()> {
    shutdown::hear_signals(closing.clone(), process::kill_all).context("cannot hear signals")?;
    guardian::arm();
    process::make_room_for_files();
    Ok(())
}

fn load(paths: &Paths) -> Loaded {
    let loaded = config::load(paths.config_file.as_deref());
    for mistake in &loaded.mistakes {
        tracing::error!(%mistake, "mistake in the configuration");
    }
    for note in &loaded.notes {
        tracing::info!(%note, "note on the configuration");
    }
    loaded
}

fn workers() -> anyhow::Result<Runtime> {
    let mut work = Builder::new_multi_thread();
    let work = work.worker_threads(2).thread_name("bridge-work").enable_all().build();
    work.context("cannot start the runtime")
}

/// The start is over, and what it took of memory is given back.
async fn started() {
    tokio::time::sleep(STARTED).await;
    pages::forget_start();
}

/// Serves until somebody asks to stop, then stops in order.
async fn live(household: Household, stdio: Stdio, closing: Closing) -> StopReason {
    let Stdio { source, sink } = stdio;
    let mut served = household.house.attach().begin(Input::Lines(source), sink, closing);
    let reason = tokio::select! {
        reason = served.over() => reason,
        () = started() => served.over().await,
    };
    served.hush(reason).await;
    let stopped = household.stop().await;
    served.end(reason).await;
    stopped.await;
    reason
}
