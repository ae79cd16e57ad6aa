//! Builds everything in order, runs it, and stops it in reverse.
//!
//! The lines of the session and of its servers live on this thread's runtime; what may block or fail
//! at length (starts, own tools, the stored lists) lives on another one (house.md, "Where the
//! microseconds go").

pub mod attached;
mod desk;
pub mod house;
mod recorder;
mod reload;

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

use crate::config;
use crate::downstream::{guardian, process};
use crate::paths::{Overrides, Paths};
use crate::pipes::{self, Stdio};
use crate::serve::attached::FLUSH;
use crate::serve::house::House;
use crate::shutdown::{self, Closing, StopReason};

/// Every server is gone long before this, or has been killed in vain.
const SERVERS_GONE: Duration = Duration::from_secs(2);

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
    shutdown::hear_signals(closing.clone(), process::kill_all).context("cannot hear signals")?;
    guardian::arm();
    process::make_room_for_files();
    let paths = Paths::find(overrides)?;
    if let Err(error) = paths.create() {
        tracing::error!(%error, "data folder cannot be used, serving without a record");
    }
    let loaded = config::load(paths.config_file.as_deref());
    for mistake in &loaded.mistakes {
        tracing::error!(%mistake, "mistake in the configuration");
    }
    for note in &loaded.notes {
        tracing::info!(%note, "note on the configuration");
    }
    let mut work = Builder::new_multi_thread();
    let work = work.worker_threads(2).thread_name("bridge-work").enable_all().build();
    let work = work.context("cannot start the runtime")?;
    let mut house = House::build(&paths, loaded, started, lines.handle(), &work);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), servers = house.servers(), "serving");
    let aside = work.spawn(house.aside(&paths.data_dir));
    let reason = lines.block_on(live(house, stdio, closing, aside));
    tracing::info!(%reason, elapsed_ms = started.elapsed().as_millis(), "stopped");
    work.shutdown_background();
    lines.shutdown_background();
    Ok(())
}

/// Serves until somebody asks to stop, then stops in order.
async fn live(house: House, stdio: Stdio, closing: Closing, aside: JoinHandle<()>) -> StopReason {
    let Stdio { source, sink } = stdio;
    let time = tokio::spawn(house.keep_time());
    let mut served = house.attach(std::process::id()).begin(source, sink, closing);
    let reason = served.over().await;
    served.hush(reason).await;
    time.abort();
    aside.abort();
    // No server is made from here on.
    let _ = aside.await;
    let servers_gone = house.stop_servers();
    served.end(reason).await;
    if tokio::time::timeout(SERVERS_GONE, servers_gone).await.is_err() {
        tracing::error!("servers did not end in time");
    }
    let guard = guardian::dismiss();
    let _ = tokio::time::timeout(FLUSH, house.journal.close()).await;
    guard.reap();
    reason
}
