//! Who is the hub: whoever holds the lock beside the door.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use tokio::time::Instant;

use crate::local::{Door, Listener};
use crate::serve::hub::succession::Taken;
use crate::store::place;

/// A hub that just died may hold its lock for this long.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// How often a lock is tried that somebody holds who does not listen.
pub(super) const LOCK_LOOK: Duration = Duration::from_millis(1);

/// Whoever waits for a lock that is free has it within this.
const TAKEN_WITHIN: Duration = Duration::from_millis(200);

/// A hub that has let go of its lock may still seem to listen for this long.
const LEAVES_WITHIN: Duration = Duration::from_millis(500);

/// Takes the hub's place; `None` when somebody has it and listens.
pub(super) async fn elect(door: &Door) -> std::io::Result<Option<Taken>> {
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
pub(super) fn lock_file(door: &Door) -> std::io::Result<File> {
    place::private(OpenOptions::new().create(true).write(true).truncate(false)).open(door.lock_file())
}

/// Whether the file that is locked is still the one that stands there.
pub(super) fn is_in_place(lock: &File, door: &Door) -> bool {
    let identity = |file: std::fs::Metadata| (file.dev(), file.ino());
    let (ours, there) = (lock.metadata().map(identity), door.lock_file().metadata().map(identity));
    matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
}

/// For people, tests, the demo and `bridge stop`: no hub needs it, and a full disk keeps none from its place.
pub(super) fn took(lock: &File) {
    let own = std::process::id().to_string();
    let _ = lock.set_len(0).and_then(|()| lock.write_all_at(own.as_bytes(), 0));
}

/// Listens behind the door; one that a dead hub left is removed first.
pub(super) async fn open(door: &Door) -> std::io::Result<Listener> {
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
