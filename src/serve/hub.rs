//! The process behind all fronts of one user and data folder: everything that may die.
//!
//! Whoever holds the lock beside the door is the hub; the kernel lets go of it when the process dies. The door
//! appears when somebody listens, so that a front that finds one refused knows that there is no hub.

mod admission;
mod attending;
mod counter;
mod election;
mod end;
mod log;
pub mod succession;

use std::fs::{File, TryLockError};
use std::future::pending;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::downstream::guardian;
use crate::frames::Why;
use crate::local::notes::Program;
use crate::local::{self, Door, Hall, Listener, Stream};
use crate::paths::{Overrides, Paths};
use crate::serve::household::Household;
use crate::serve::hub::election::{elect, is_in_place, lock_file, open, took};
use crate::serve::hub::end::End;
use crate::serve::hub::succession::{Succession, Taken};
use crate::serve::{begin, load, workers};
use crate::shutdown::Closing;
use crate::store::stamp;
use crate::version;

/// How often the hub looks whether its door still stands, and whether it is of use.
const LOOK: Duration = Duration::from_secs(1);

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
    let (reason, lock) = lines.block_on(hub.serve(&door, taken, idle_max))?;
    guardian::dismiss().reap();
    tracing::info!(reason, "hub stopped");
    work.shutdown_background();
    lines.shutdown_background();
    drop(lock);
    Ok(())
}

/// Who came through the door, when it has gone again.
enum Came {
    Front,
    Other,
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
        Taken { listener, mut lock }: Taken,
        idle_max: Duration,
    ) -> anyhow::Result<(&'static str, File)> {
        tracing::info!(pid = std::process::id(), version = version::own(), "hub serving");
        let (mut fronts, mut used) = (JoinSet::new(), Instant::now());
        // A signal came; another hub has this place.
        let (mut has_signal, mut is_passed) = (false, false);
        let (mut listener, mut empty) = (Some(listener), JoinSet::new());
        let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reason = loop {
            tokio::select! {
                why = self.end.left() => break why.word(),
                reason = self.closing.raised(), if !has_signal => {
                    has_signal = true;
                    tracing::info!(%reason, "signal");
                    self.make_way(Why::Signal, &mut fronts);
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
                Some(ended) = fronts.join_next() => match ended {
                    Ok(Came::Front) => used = Instant::now(),
                    Ok(Came::Other) => {}
                    Err(error) => tracing::error!(%error, "front's task ended unexpectedly"),
                },
                _ = look.tick() => {
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
                    if !is_passed && Hall::of(&self.paths.data_dir).notes().is_held() {
                        is_passed = true;
                        self.make_way(Why::Stop, &mut fronts);
                    }
                    // One that makes way gives its place and its door away.
                    if !self.end.has_begun() && !is_passed {
                        is_passed = !self.keep_place(door, &mut lock);
                        if is_passed {
                            self.make_way(Why::Upgrade, &mut fronts);
                        } else if !listener.as_ref().is_some_and(Listener::stands) {
                            listener = self.put_up(door, listener.take()).await;
                        }
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
        Ok((reason, lock))
    }

    /// Finishes what is under way, for a short while, and leaves.
    fn make_way(&self, why: Why, tasks: &mut JoinSet<Came>) {
        let end = Arc::clone(&self.end);
        tasks.spawn(async move {
            end.drain(SIGNAL_WAIT).await;
            end.leave(why);
            Came::Other
        });
    }

    /// Takes the hub's place again if its file was removed; false when another hub has it by now.
    fn keep_place(&self, door: &Door, lock: &mut File) -> bool {
        if is_in_place(lock, door) || !self.paths.data_dir.is_dir() {
            return true;
        }
        let again = Hall::of(&self.paths.data_dir).make().ok().and_then(|()| lock_file(door).ok());
        match again.map(|again| (again.try_lock(), again)) {
            Some((Ok(()), again)) => {
                took(&again);
                *lock = again;
                true
            }
            Some((Err(TryLockError::WouldBlock), _)) => {
                tracing::warn!("the hub's place was removed, and another hub has it: the fronts go there");
                false
            }
            // It is tried every second.
            Some((Err(TryLockError::Error(_)), _)) | None => true,
        }
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
            match open(door).await {
                // Whoever listens there without the lock, which is ours, hangs on its way to this place.
                Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(door.take_over()?),
                opened => anyhow::Ok(opened?),
            }
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
        let taken = elect(&door).await.unwrap().unwrap();
        assert_eq!(hub.serve(&door, taken, Duration::from_secs(600)).await.unwrap().0, "idle");
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(600) && took < Duration::from_secs(605), "{took:?}");
        assert!(!door.stands());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_whose_data_folder_is_removed_ends_and_does_not_make_it_again() {
        let room = tempfile::tempdir().unwrap();
        let data_dir = room.path().join("data");
        let (hub, door) = hub(&data_dir);
        let taken = elect(&door).await.unwrap().unwrap();
        std::fs::remove_dir_all(&data_dir).unwrap();
        assert!(hub.put_up(&door, None).await.is_none());
        let ended = hub.serve(&door, taken, Duration::from_secs(600)).await;
        assert_eq!(ended.unwrap().0, "data_folder_gone");
        assert!(!data_dir.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn a_door_that_somebody_removed_is_put_up_again() {
        let room = tempfile::tempdir().unwrap();
        let (hub, door) = hub(room.path());
        let (closing, taken) = (hub.closing.clone(), elect(&door).await.unwrap().unwrap());
        let watcher = async {
            std::fs::remove_file(door.lock_file().with_extension("sock")).unwrap();
            tokio::time::sleep(LOOK * 3).await;
            assert!(door.stands());
            closing.raise(StopReason::Terminate);
        };
        let (reason, ()) = tokio::join!(hub.serve(&door, taken, Duration::from_secs(600)), watcher);
        assert_eq!(reason.unwrap().0, "signal");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_takes_its_place_again_unless_another_has_it() {
        let room = tempfile::tempdir().unwrap();
        let (hub, door) = hub(room.path());
        let (closing, taken) = (hub.closing.clone(), elect(&door).await.unwrap().unwrap());
        let watcher = async {
            std::fs::remove_dir_all(room.path().join("run")).unwrap();
            tokio::time::sleep(LOOK * 3).await;
            assert_eq!((door.keeper(), door.stands()), (Some(std::process::id()), true));
            std::fs::remove_dir_all(room.path().join("run")).unwrap();
            Hall::of(room.path()).make().unwrap();
            let other = elect(&door).await.unwrap().unwrap();
            tokio::time::sleep(LOOK * 3).await;
            assert!(other.listener.stands() && closing.reason().is_none());
        };
        let (reason, ()) = tokio::join!(hub.serve(&door, taken, Duration::from_secs(600)), watcher);
        assert_eq!(reason.unwrap().0, "upgrade");
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
        let taken = elect(&door).await.unwrap().expect("whoever only listens is none");
        assert!(!listener.stands());
        assert_eq!(door.keeper(), Some(std::process::id()));
        drop(taken);
    }
}
