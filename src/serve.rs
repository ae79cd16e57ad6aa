//! Builds everything in order, runs it, and stops it in reverse.
//!
//! The lines of the session and of its servers live on this thread's runtime; what may block or fail
//! at length (starts, own tools, the stored lists) lives on another one (house.md, "Where the
//! microseconds go").

mod desk;
mod house;
#[cfg(unix)]
pub mod hub;
mod recorder;
mod reload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::config::{self, Loaded};
use crate::downstream::{guardian, process};
use crate::guard;
use crate::lines::Lines;
use crate::paths::{Overrides, Paths};
#[cfg(unix)]
use crate::pipes::Source;
use crate::pipes::{self, Sink, Stdio};
use crate::serve::house::House;
use crate::session::Client;
use crate::session::outlet::Outlet;
use crate::shutdown::{self, Closing, StopReason};
use crate::store::lock::SessionLock;

/// After the end of input, calls that are under way have this long to be answered.
const LAST_ANSWERS: Duration = Duration::from_millis(40);

/// The rows of a stopping bridge are flushed at once, and within this when another process holds the
/// record.
const FLUSH: Duration = Duration::from_secs(2);

/// A client that still reads gets what waits for it within this.
const LAST_LINES: Duration = Duration::from_millis(50);

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
    begin(&closing)?;
    let paths = Paths::find(overrides)?;
    if let Err(error) = paths.create() {
        tracing::error!(%error, "data folder cannot be used, serving without a record");
    }
    let loaded = load(&paths);
    let work = workers()?;
    let to = (Outlet::default(), None);
    let mut house = House::build(&paths, loaded, started, (lines.handle(), work.handle()), to);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), servers = house.servers(), "serving");
    let aside = work.spawn(house.aside(&paths.data_dir));
    let Stdio { source, sink } = stdio;
    let input = Input::Lines(Lines::new(source, house.in_line_bytes_max));
    let reason = lines.block_on(live(house, (input, sink), closing, aside));
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

/// What the client says.
enum Input {
    /// Line by line.
    Lines(Lines),
    /// Through its front, frame by frame.
    #[cfg(unix)]
    Frames(Source),
}

impl Input {
    /// Has the client hear all of it; why it ended.
    async fn read_in(self, client: &Arc<Client>) -> std::io::Result<StopReason> {
        match self {
            Self::Lines(lines) => client.read_in(lines).await.map(|()| StopReason::EndOfInput),
            #[cfg(unix)]
            Self::Frames(source) => {
                let word = client.read_frames(source).await?;
                Ok(word.map_or(StopReason::FrontGone, |word| StopReason::of_word(&word)))
            }
        }
    }
}

/// Serves until somebody asks to stop, then stops in order.
async fn live(
    house: House,
    (input, sink): (Input, Sink),
    closing: Closing,
    aside: JoinHandle<()>,
) -> StopReason {
    let (client, outlet) = (Arc::clone(&house.client), Arc::clone(&house.outlet));
    let mut writer = tokio::spawn({
        let closing = closing.clone();
        async move {
            if let Err(error) = outlet.write_out(sink).await {
                tracing::warn!(%error, "client does not read any more");
                closing.raise(StopReason::OutputClosed);
            }
        }
    });
    let mut reader = tokio::spawn({
        let client = Arc::clone(&client);
        async move { input.read_in(&client).await }
    });
    let mut settling = tokio::spawn({
        let client = Arc::clone(&client);
        async move { guard::keep("settling", || client.settle()).await }
    });
    let others = tokio::spawn({
        let client = Arc::clone(&client);
        async move {
            tokio::join!(
                guard::keep("changes", || client.tell_changes()),
                guard::keep("pulse", || client.keep_time())
            )
        }
    });
    let reason = loop {
        tokio::select! {
            reason = closing.raised() => break reason,
            ended = &mut reader => closing.raise(match ended {
                Ok(Ok(reason)) => reason,
                Ok(Err(error)) => {
                    tracing::error!(%error, "stdin cannot be read");
                    StopReason::InputFault
                }
                Err(error) => {
                    tracing::error!(%error, "reader ended unexpectedly");
                    StopReason::InputFault
                }
            }),
            ended = &mut writer, if closing.reason().is_none() => if ended.is_err() {
                tracing::error!("writer ended unexpectedly");
                closing.raise(StopReason::OutputClosed);
            },
        }
        if let Some(reason) = closing.reason() {
            break reason;
        }
    };
    reader.abort();
    others.abort();
    if reason == StopReason::EndOfInput {
        // A script that writes its requests and closes the pipe still gets quick answers.
        let _ = tokio::time::timeout(LAST_ANSWERS, client.answered()).await;
    }
    aside.abort();
    // No server is made from here on.
    let _ = aside.await;
    let servers_gone = house.stop_servers();
    client.call_off_all().await;
    if tokio::time::timeout(FLUSH, &mut settling).await.is_err() {
        tracing::error!("rows of the last calls could not be written in time");
    }
    let mut locks = client.close(reason.word());
    if tokio::time::timeout(FLUSH, house.journal.flush()).await.is_ok() {
        locks.drain(..).for_each(SessionLock::release);
    }
    house.outlet.close();
    if !writer.is_finished() {
        let _ = tokio::time::timeout(LAST_LINES, &mut writer).await;
    }
    if tokio::time::timeout(SERVERS_GONE, servers_gone).await.is_err() {
        tracing::error!("servers did not end in time");
    }
    let _ = tokio::time::timeout(FLUSH, house.journal.close()).await;
    reason
}
