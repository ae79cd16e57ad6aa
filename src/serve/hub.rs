//! The process behind all fronts of one user and data folder: everything that may die.
//!
//! Whoever holds the lock beside the door is the hub; the kernel lets go of it when the process dies. The door
//! appears when somebody listens, so that a front that finds one refused knows that there is no hub.

mod admission;
mod log;

use std::fs::{File, OpenOptions, TryLockError};
use std::future::pending;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::downstream::guardian;
use crate::environment::{Environment, Folder};
use crate::frames::{self, Hello, Variables, Welcome};
use crate::local::{self, Door, Hall, Listener, Stream};
use crate::paths::{Overrides, Paths};
use crate::pipes::{self, Stdio};
use crate::serve::attached::{Attached, Input};
use crate::serve::house::House;
use crate::serve::house::servers::Site;
use crate::serve::household::Household;
use crate::serve::hub::admission::Admitted;
use crate::serve::{begin, load, workers};
use crate::session::attached::Fronted;
use crate::session::outlet::Outlet;
use crate::shutdown::{Closing, StopReason};
use crate::store::ids::SessionId;
use crate::store::place;
use crate::version;

/// A hub that just died may hold its lock for this long.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// How often a lock is tried that somebody holds who does not listen.
const LOCK_LOOK: Duration = Duration::from_millis(1);

/// How often the hub looks whether its door still stands, and whether it is of use.
const LOOK: Duration = Duration::from_secs(1);

/// A hub that has let go of its lock may still seem to listen for this long.
const LEAVES_WITHIN: Duration = Duration::from_millis(500);

/// Whoever comes through the door says who it is within this.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Serves every front that comes, until nobody has been attached for a while or a signal comes. Where
/// another hub does so already, there is nothing to do.
///
/// # Errors
/// When the data folder cannot be used, or the system has no thread for us.
pub fn run(overrides: Overrides) -> anyhow::Result<()> {
    // A client that ends its own processes must not end this one; who leads a session already may stay.
    let _ = rustix::process::setsid();
    let paths = Paths::find(overrides)?;
    paths.create()?;
    let hall = Hall::of(&paths.data_dir);
    hall.make()?;
    let door = hall.door(local::HUB);
    let lock = elect(&door).with_context(|| format!("cannot lock {}", door.lock_file().display()))?;
    let Some(_lock) = lock else {
        tracing::info!("another hub serves this data folder");
        return Ok(());
    };
    let lines = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let work = workers()?;
    let closing = Closing::default();
    begin(&closing)?;
    let idle_max = load(&paths).config.settings.hub_idle;
    let handles = (lines.handle().clone(), work.handle().clone());
    let program = std::env::current_exe().ok().filter(|program| program.exists());
    let hub = Hub { paths, handles, closing, program, households: Arc::default() };
    let reason = lines.block_on(hub.serve(&door, idle_max))?;
    guardian::dismiss().reap();
    tracing::info!(%reason, "hub stopped");
    work.shutdown_background();
    lines.shutdown_background();
    Ok(())
}

/// Takes the hub's place; `None` when somebody has it and listens.
fn elect(door: &Door) -> std::io::Result<Option<File>> {
    let file =
        place::private(OpenOptions::new().create(true).write(true).truncate(false)).open(door.lock_file())?;
    let (own, deadline) = (std::process::id().to_string(), Instant::now() + LOCK_WITHIN);
    loop {
        match file.try_lock() {
            Ok(()) => {
                // For people, tests and the demo: no hub needs it, and a full disk keeps none from its place.
                let _ = file.set_len(0).and_then(|()| (&file).write_all(own.as_bytes()));
                return Ok(Some(file));
            }
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                if door.enter_blocking().is_ok() || Instant::now() >= deadline {
                    return Ok(None);
                }
                std::thread::sleep(LOCK_LOOK);
            }
        }
    }
}

#[derive(Clone)]
struct Hub {
    paths: Paths,
    handles: (Handle, Handle),
    closing: Closing,
    /// Where this program lies.
    program: Option<PathBuf>,
    /// Fronts that name the same configuration share its servers, if these would be no others for any of them.
    households: Arc<Mutex<Vec<Household>>>,
}

impl Hub {
    async fn serve(self, door: &Door, idle_max: Duration) -> anyhow::Result<StopReason> {
        let mut listener = Some(open(door).await.context("cannot listen")?);
        tracing::info!(pid = std::process::id(), version = version::own(), "hub serving");
        let (mut fronts, mut left, mut used) = (JoinSet::new(), JoinSet::new(), Instant::now());
        let reason = loop {
            tokio::select! {
                reason = self.closing.raised() => break reason,
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
                        break StopReason::Idle;
                    }
                    for household in self.empty_for(idle_max) {
                        tracing::info!(servers = household.house.servers(), "nobody needs these servers any more");
                        left.spawn(async { household.stop().await.await });
                    }
                    if !door.stands() {
                        listener = self.put_up(door, listener.take()).await;
                    }
                    log::keep_short(&self.paths.hub_log());
                }
            }
        };
        // Nobody comes from here on, and whoever is here is told.
        drop(listener);
        self.closing.raise(reason);
        let households = std::mem::take(&mut *self.households());
        let stopped = join_all(join_all(households.into_iter().map(Household::stop)).await);
        while fronts.join_next().await.is_some() {}
        stopped.await;
        while left.join_next().await.is_some() {}
        Ok(reason)
    }

    /// Puts a door up that was removed, maybe with its hall; those who are here stay, whether or not it can be.
    async fn put_up(&self, door: &Door, removed: Option<Listener>) -> Option<Listener> {
        let stood = removed.is_some();
        // It takes its file with it, so it goes first.
        drop(removed);
        let put_up = async {
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

    async fn attend(self, stream: Stream) {
        match tokio::time::timeout(HELLO_WITHIN, admission::admit(&stream)).await {
            Ok(Ok(admitted)) => {
                if let Err(error) = self.attach(stream, admitted).await {
                    tracing::warn!(%error, "front cannot be served");
                }
            }
            // Somebody only looked whether there is a hub.
            Ok(Err(error)) => tracing::debug!(%error, "no front"),
            Err(_) => tracing::debug!("nobody says hello"),
        }
    }

    /// Serves one front to its end.
    async fn attach(self, stream: Stream, admitted: Admitted) -> anyhow::Result<()> {
        let Admitted { hello, dispatched } = admitted;
        let Hello { versions: (oldest, newest), session, pid, last_ask, again, .. } = hello;
        anyhow::ensure!(
            (oldest..=newest).contains(&frames::VERSION),
            "the front {pid} speaks the versions {oldest} to {newest} of the frames"
        );
        let session = SessionId::parse(&session).context("the front names no session")?;
        let front = Fronted { session: session.front(), pid, last_ask };
        let Hello { config, environment: Variables(environment), folder, .. } = hello;
        let environment: Environment = environment.into_iter().collect();
        let guest = (Outlet::framed(dispatched), front, folder.map(Into::into));
        let client = self.attach_to(config, environment, guest).await?;
        let line_bytes_max = client.line_bytes_max();
        let welcome = Welcome {
            version: frames::VERSION,
            pid: std::process::id(),
            line_bytes_max,
            bridge: version::own().into(),
            program: self.program.clone(),
        };
        admission::welcome(&stream, &welcome).await?;
        let Stdio { source, sink } = pipes::socket(&std::os::fd::OwnedFd::from(stream.into_std()?))?;
        if again {
            client.hub_lost(session.front());
        }
        tracing::info!(front = pid, session = %session, "front attached");
        let closing = Closing::default();
        let hub_closes = async {
            closing.raise(self.closing.raised().await);
            pending::<()>().await;
        };
        let reason = tokio::select! {
            reason = client.serve(Input::Frames(source), sink, closing.clone()) => reason,
            () = hub_closes => StopReason::Idle,
        };
        tracing::info!(front = pid, %reason, "front detached");
        Ok(())
    }

    /// One more client of the house with this configuration, which is built for the first one.
    async fn attach_to(
        &self,
        config: Option<PathBuf>,
        environment: Environment,
        (outlet, front, folder): (Outlet, Fronted, Folder),
    ) -> anyhow::Result<Attached> {
        let is_its = |household: &&Household| household.house.is_for(config.as_deref(), &environment);
        if let Some(household) = self.households().iter().find(is_its) {
            return Ok(household.house.attach_front(outlet, front, folder));
        }
        let paths = Paths { config_file: config.clone(), ..self.paths.clone() };
        let loaded = tokio::task::spawn_blocking({
            let paths = paths.clone();
            move || load(&paths)
        });
        let loaded = loaded.await?;
        anyhow::ensure!(self.closing.reason().is_none(), "the hub is stopping");
        let handles = (&self.handles.0, &self.handles.1);
        let mut households = self.households();
        // Another one may have been as quick.
        if let Some(household) = households.iter().find(is_its) {
            return Ok(household.house.attach_front(outlet, front, folder));
        }
        // Where the first of many clients was started is no place for the others' servers.
        let site = Site { folder: environment.home().map(Into::into), environment: environment.clone() };
        let house = House::build(&paths, loaded, site, std::time::Instant::now(), handles);
        let household = Household::begin(house, &paths.data_dir, handles);
        let client = household.house.attach_front(outlet, front, folder);
        households.push(household);
        Ok(client)
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
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < deadline => {
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
        let hub =
            Hub { paths, handles, closing: Closing::default(), program: None, households: Arc::default() };
        (hub, hall.door(local::HUB))
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_nobody_needs_ends_after_a_while() {
        let room = tempfile::tempdir().unwrap();
        let (hub, door) = hub(room.path());
        let began = Instant::now();
        assert_eq!(hub.serve(&door, Duration::from_secs(600)).await.unwrap(), StopReason::Idle);
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(600) && took < Duration::from_secs(605), "{took:?}");
        assert!(!door.stands());
    }

    #[tokio::test(start_paused = true)]
    async fn a_door_that_somebody_removed_is_put_up_again() {
        let room = tempfile::tempdir().unwrap();
        let (hub, door) = hub(room.path());
        let closing = hub.closing.clone();
        let watcher = async {
            while !door.stands() {
                tokio::task::yield_now().await;
            }
            std::fs::remove_file(door.lock_file().with_extension("sock")).unwrap();
            tokio::time::sleep(LOOK * 3).await;
            assert!(door.stands());
            closing.raise(StopReason::Terminate);
        };
        let (reason, ()) = tokio::join!(hub.serve(&door, Duration::from_secs(600)), watcher);
        assert_eq!(reason.unwrap(), StopReason::Terminate);
    }

    #[test]
    fn of_several_that_start_one_is_the_hub() {
        let room = tempfile::tempdir().unwrap();
        let door = Hall::of(room.path()).door(local::HUB);
        std::fs::create_dir(room.path().join("run")).unwrap();
        let lock = elect(&door).unwrap();
        assert!(lock.is_some());
        let listener =
            std::os::unix::net::UnixListener::bind(door.lock_file().with_extension("sock")).unwrap();
        assert!(elect(&door).unwrap().is_none());
        drop((listener, lock));
        assert!(elect(&door).unwrap().is_some(), "the dead hold no lock");
    }
}
