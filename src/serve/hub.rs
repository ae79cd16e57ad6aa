//! The process behind all fronts of one user and data folder: everything that may die.
//!
//! Whoever holds the lock beside the door is the hub; the kernel lets go of it when the process dies. The door
//! appears when somebody listens, so that a front that finds one refused knows that there is no hub.

mod admission;
mod attending;
mod counter;
mod end;
mod log;
pub mod succession;

use std::fs::{File, OpenOptions, TryLockError};
use std::future::pending;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::downstream::guardian;
use crate::frames::Why;
use crate::local::notes::Program;
use crate::local::{self, Door, Hall, Listener, Stream};
use crate::paths::{Overrides, Paths};
use crate::serve::household::Household;
use crate::serve::hub::end::End;
use crate::serve::hub::succession::{Succession, Taken};
use crate::serve::{begin, load, workers};
use crate::shutdown::Closing;
use crate::store::{place, stamp};
use crate::version;

/// A hub that just died may hold its lock for this long.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// How often a lock is tried that somebody holds who does not listen.
const LOCK_LOOK: Duration = Duration::from_millis(1);

/// Whoever waits for a lock that is free has it within this.
const TAKEN_WITHIN: Duration = Duration::from_millis(200);

/// How often the hub looks whether its door still stands, and whether it is of use.
const LOOK: Duration = Duration::from_secs(1);

/// A hub that has let go of its lock may still seem to listen for this long.
const LEAVES_WITHIN: Duration = Duration::from_millis(500);

/// After a signal, what is under way has so long.
const SIGNAL_WAIT: Duration = Duration::from_secs(1);

/// Serves every front that comes, until nobody has been attached for a while, somebody asks it to end or a signal
/// comes. Where another hub does so already, there is nothing to do, unless its place is to be taken.
///
/// # Errors
/// When the data folder cannot be used, the other hub goes on, or the system has no thread for us.
pub fn run(overrides: Overrides, succession: Succession) -> anyhow::Result<()> {
    // A client that ends its own processes must not end this one; who leads a session already may stay.
    let _ = rustix::process::setsid();
    let paths = Paths::find(overrides)?;
    paths.create()?;
    let hall = Hall::of(&paths.data_dir);
    hall.make()?;
    if hall.notes().is_held() {
        tracing::warn!("stopped by the user: no hub serves before bridge start");
        return Ok(());
    }
    let door = hall.door(local::HUB);
    let lines = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let idle_max = load(&paths).config.settings.hub_idle;
    let taken = match lines.block_on(succession::take(&door, &paths, succession))? {
        Some(taken) => Some(taken),
        None => lines
            .block_on(elect(&door))
            .with_context(|| format!("cannot take the place of {}", door.lock_file().display()))?,
    };
    let Some(taken) = taken else {
        tracing::info!("another hub serves this data folder");
        return Ok(());
    };
    let work = workers()?;
    let closing = Closing::default();
    begin(&closing)?;
    let handles = (lines.handle().clone(), work.handle().clone());
    let program = std::env::current_exe().ok().filter(|program| program.exists());
    if let (Some(path), true) = (&program, succession != Succession::None) {
        let program = Program { path: path.clone(), version: version::own().into() };
        let noted = hall.notes().serves(&program);
        noted.unwrap_or_else(|error| tracing::error!(%error, "the hub's program could not be written down"));
    }
    let hub = Hub::new(paths, handles, closing, program);
    let reason = lines.block_on(hub.serve(&door, taken.listener, idle_max))?;
    guardian::dismiss().reap();
    tracing::info!(reason, "hub stopped");
    work.shutdown_background();
    lines.shutdown_background();
    drop(taken.lock);
    Ok(())
}

/// Takes the hub's place; `None` when somebody has it and listens.
async fn elect(door: &Door) -> std::io::Result<Option<Taken>> {
    let lock = lock_file(door)?;
    let deadline = Instant::now() + LOCK_WITHIN;
    loop {
        match lock.try_lock() {
            Ok(()) => {
                took(&lock);
                return match open(door).await {
                    Ok(listener) => Ok(Some(Taken { listener, lock })),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => outlast(door, lock).await,
                    Err(error) => Err(error),
                };
            }
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                if door.enter_blocking().is_ok() || Instant::now() >= deadline {
                    return Ok(None);
                }
                tokio::time::sleep(LOCK_LOOK).await;
            }
        }
    }
}

/// Somebody listens who does not hold the lock. One that is to be the hub takes it as soon as it can; whoever does
/// not take it hangs, and its door is taken over.
async fn outlast(door: &Door, lock: File) -> std::io::Result<Option<Taken>> {
    lock.unlock()?;
    tokio::time::sleep(TAKEN_WITHIN).await;
    if lock.try_lock().is_err() {
        return Ok(None);
    }
    took(&lock);
    let listener = door.take_over()?;
    tracing::warn!("somebody listens who is no hub, the door is taken over");
    Ok(Some(Taken { listener, lock }))
}

/// The file whose lock is the hub's place.
fn lock_file(door: &Door) -> std::io::Result<File> {
    place::private(OpenOptions::new().create(true).write(true).truncate(false)).open(door.lock_file())
}

/// For people, tests, the demo and `bridge stop`: no hub needs it, and a full disk keeps none from its place.
fn took(mut lock: &File) {
    let own = std::process::id().to_string();
    let _ = lock.set_len(0).and_then(|()| lock.write_all(own.as_bytes()));
}

#[derive(Clone)]
struct Hub {
    paths: Paths,
    handles: (Handle, Handle),
    /// A signal came.
    closing: Closing,
    end: Arc<End>,
    /// Where this program lies.
    program: Option<PathBuf>,
    /// Fronts that name the same configuration share its servers, if these would be no others for any of them.
    households: Arc<Mutex<Vec<Household>>>,
    since_ms: i64,
}

impl Hub {
    fn new(paths: Paths, handles: (Handle, Handle), closing: Closing, program: Option<PathBuf>) -> Self {
        let (end, households) = (Arc::default(), Arc::default());
        Self { paths, handles, closing, end, program, since_ms: stamp::now_ms(), households }
    }

    /// Serves until it ends; the reason's word.
    async fn serve(
        self,
        door: &Door,
        listener: Listener,
        idle_max: Duration,
    ) -> anyhow::Result<&'static str> {
        tracing::info!(pid = std::process::id(), version = version::own(), "hub serving");
        let (mut fronts, mut used, mut has_signal) = (JoinSet::new(), Instant::now(), false);
        let (mut listener, mut empty) = (Some(listener), JoinSet::new());
        let reason = loop {
            tokio::select! {
                why = self.end.left() => break why.word(),
                reason = self.closing.raised(), if !has_signal => {
                    has_signal = true;
                    tracing::info!(%reason, "signal");
                    let end = Arc::clone(&self.end);
                    fronts.spawn(async move {
                        end.drain(SIGNAL_WAIT).await;
                        end.leave(Why::Signal);
                    });
                }
                came = accept(listener.as_ref()) => match came {
                    Ok(stream) => {
                        fronts.spawn(self.clone().attend(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no room for another front for a moment");
                        tokio::time::sleep(LOOK).await;
                    }
                },
                Some(ended) = fronts.join_next() => {
                    used = Instant::now();
                    if let Err(error) = ended {
                        tracing::error!(%error, "front's task ended unexpectedly");
                    }
                }
                () = tokio::time::sleep(LOOK) => {
                    if fronts.is_empty() && used.elapsed() >= idle_max {
                        break "idle";
                    }
                    if fronts.is_empty() && !self.paths.data_dir.is_dir() {
                        break "data_folder_gone";
                    }
                    for household in self.empty_for(idle_max) {
                        tracing::info!(servers = household.house.servers(), "nobody needs these servers any more");
                        empty.spawn(async { household.stop().await.await });
                    }
                    // One that makes way gives its door away.
                    if !listener.as_ref().is_some_and(Listener::stands) && !self.end.has_begun() {
                        listener = self.put_up(door, listener.take()).await;
                    }
                    log::keep_short(&self.paths.hub_log());
                }
            }
        };
        // Nobody comes from here on, and whoever is here is let go.
        drop(listener);
        self.end.leave(Why::Signal);
        while fronts.join_next().await.is_some() {}
        let households = std::mem::take(&mut *self.households());
        join_all(join_all(households.into_iter().map(Household::stop)).await).await;
        while empty.join_next().await.is_some() {}
        Ok(reason)
    }

    /// Puts a door up that was removed, maybe with its hall; those who are here stay, whether or not it can be.
    async fn put_up(&self, door: &Door, removed: Option<Listener>) -> Option<Listener> {
        let stood = removed.is_some();
        // It takes its file with it, so it goes first.
        drop(removed);
        let put_up = async {
            // What is gone as a whole is not made again.
            anyhow::ensure!(self.paths.data_dir.is_dir(), "the data folder is gone");
            Hall::of(&self.paths.data_dir).make()?;
            anyhow::Ok(open(door).await?)
        };
        let put_up = put_up.await;
        match &put_up {
            Ok(_) => tracing::warn!("the hub's door was removed, it is put up again"),
            // It is tried every second.
            Err(error) if stood => {
                tracing::error!(%error, "the hub's door was removed, no other front comes in")
            }
            Err(_) => {}
        }
        put_up.ok()
    }

    /// The households that have had no client for so long; they are no one's from here on.
    fn empty_for(&self, idle_max: Duration) -> Vec<Household> {
        self.households().extract_if(.., |household| household.empty_for() >= idle_max).collect()
    }

    fn households(&self) -> MutexGuard<'_, Vec<Household>> {
        self.households.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens behind the door; one that a dead hub left is removed first.
async fn open(door: &Door) -> std::io::Result<Listener> {
    let deadline = Instant::now() + LEAVES_WITHIN;
    loop {
        let _ = door.enter().await;
        match door.open() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(LOCK_LOOK).await;
            }
            opened => return opened,
        }
    }
}

/// Waits for the next one who comes, for ever where no door stands.
async fn accept(listener: Option<&Listener>) -> std::io::Result<Stream> {
    match listener {
        Some(listener) => listener.accept().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::shutdown::StopReason;

    fn hub(data_dir: &std::path::Path) -> (Hub, Door) {
        let overrides = Overrides { data_dir: Some(data_dir.to_owned()), ..Overrides::default() };
        let paths = Paths::find(overrides).unwrap();
        paths.create().unwrap();
        let hall = Hall::of(data_dir);
        hall.make().unwrap();
        let here = Handle::current();
        let handles = (here.clone(), here);
        let hub = Hub::new(paths, handles, Closing::default(), None);
        (hub, hall.door(local::HUB))
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_nobody_needs_ends_after_a_while() {
        let room = tempfile::tempdir().unwrap();
        let (hub, door) = hub(room.path());
        let began = Instant::now();
        let listener = door.open().unwrap();
        assert_eq!(hub.serve(&door, listener, Duration::from_secs(600)).await.unwrap(), "idle");
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(600) && took < Duration::from_secs(605), "{took:?}");
        assert!(!door.stands());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_whose_data_folder_is_removed_ends_and_does_not_make_it_again() {
        let room = tempfile::tempdir().unwrap();
        let data_dir = room.path().join("data");
        let (hub, door) = hub(&data_dir);
        let listener = door.open().unwrap();
        std::fs::remove_dir_all(&data_dir).unwrap();
        assert!(hub.put_up(&door, None).await.is_none());
        let ended = hub.serve(&door, listener, Duration::from_secs(600)).await;
        assert_eq!(ended.unwrap(), "data_folder_gone");
        assert!(!data_dir.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn a_door_that_somebody_removed_is_put_up_again() {
        let room = tempfile::tempdir().unwrap();
        let (hub, door) = hub(room.path());
        let (closing, listener) = (hub.closing.clone(), door.open().unwrap());
        let watcher = async {
            std::fs::remove_file(door.lock_file().with_extension("sock")).unwrap();
            tokio::time::sleep(LOOK * 3).await;
            assert!(door.stands());
            closing.raise(StopReason::Terminate);
        };
        let (reason, ()) = tokio::join!(hub.serve(&door, listener, Duration::from_secs(600)), watcher);
        assert_eq!(reason.unwrap(), "signal");
    }

    #[tokio::test]
    async fn of_several_that_start_one_is_the_hub() {
        let room = tempfile::tempdir().unwrap();
        let door = Hall::of(room.path()).door(local::HUB);
        std::fs::create_dir(room.path().join("run")).unwrap();
        let Taken { listener, lock } = elect(&door).await.unwrap().unwrap();
        assert!(elect(&door).await.unwrap().is_none());
        drop((lock, listener));
        let Taken { listener, lock } = elect(&door).await.unwrap().expect("the dead hold no lock");
        drop(lock);
        assert!(elect(&door).await.unwrap().is_some(), "whoever only listens is none");
        assert!(!listener.stands());
    }
}
