//! A lock file per session: the proof that a bridge still serves it. No process ids are guessed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::store::ids::SessionId;
use crate::store::place;

/// A lock file without a session is left alone for this long: its owner may be about to lock it.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// The longest word for a reason, in bytes.
const REASON_BYTES_MAX: u64 = 32;

/// The lock of one session, held as long as this value lives. The kernel lets go of it when the
/// process dies, however it dies.
#[derive(Debug)]
pub struct SessionLock {
    path: PathBuf,
    held: File,
}

impl SessionLock {
    /// Creates and takes the lock. To be done before the session's row is written.
    ///
    /// # Errors
    /// When the file cannot be made or locked. The session then cannot be told from a dead one: a
    /// bridge that starts later will close its row as `crashed`.
    pub fn create(data_dir: &Path, id: SessionId) -> io::Result<Self> {
        let folder = place::locks(data_dir);
        place::make_folder(&folder)?;
        let path = lock_path(data_dir, id);
        let file = place::private(OpenOptions::new().create(true).write(true).truncate(false)).open(&path)?;
        // Nobody else holds it but a passing look from `is_alive`, so this does not wait.
        file.lock()?;
        Ok(Self { path, held: file })
    }

    /// Goes on holding a lock that another program of this process took; `held` is its file.
    ///
    /// # Errors
    /// When it is locked by somebody else.
    #[cfg(unix)]
    pub fn taken_over(data_dir: &Path, id: SessionId, held: File) -> io::Result<Self> {
        held.try_lock()?;
        Ok(Self { path: lock_path(data_dir, id), held })
    }

    /// Removes the file: for an orderly end, after the session's row is closed.
    pub fn release(self) {
        self.remove();
    }

    /// Removes the file of a lock that others of this process still have.
    pub fn remove(&self) {
        remove(&self.path);
    }

    /// Leaves the reason of an orderly end in the file, once: whoever finds the session's row open when nobody
    /// holds the lock any more takes the word from here.
    pub fn leave(&self, reason: &str) {
        if let Err(error) = (&self.held).write_all(reason.as_bytes()) {
            tracing::debug!(path = %self.path.display(), %error, "reason of the end not written");
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for SessionLock {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.held.as_fd()
    }
}

impl Drop for SessionLock {
    /// Lets go at once, also while a child that is just being started still shares the descriptor.
    fn drop(&mut self) {
        if let Err(error) = self.held.unlock() {
            tracing::debug!(path = %self.path.display(), %error, "lock not let go");
        }
    }
}

/// Whether a bridge still holds the session's lock. Doubt counts as life: a living session must
/// never be closed by another bridge.
#[must_use]
pub fn is_alive(data_dir: &Path, id: SessionId) -> bool {
    is_held(data_dir, id) || is_held(data_dir, id.front())
}

fn is_held(data_dir: &Path, id: SessionId) -> bool {
    match File::open(lock_path(data_dir, id)) {
        // Shared, so that two that look at once do not take each other for the owner.
        Ok(file) => !matches!(file.try_lock_shared(), Ok(())),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Why a session ended whose client went in good order while nobody could close its row.
#[must_use]
pub fn reason(data_dir: &Path, id: SessionId) -> Option<String> {
    let file = File::open(lock_path(data_dir, id.front())).ok()?;
    let mut word = String::new();
    file.take(REASON_BYTES_MAX).read_to_string(&mut word).ok()?;
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then_some(word)
}

/// Removes the file of a session that is known to be dead.
pub fn remove_of(data_dir: &Path, id: SessionId) {
    remove(&lock_path(data_dir, id));
}

/// Removes files that nobody holds and that belong to no row: a bridge died between the two.
pub fn remove_leftovers(data_dir: &Path) {
    for entry in fs::read_dir(place::locks(data_dir)).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if is_lock && age.is_some_and(|age| age > LEFTOVER_AGE) && is_free(&path) {
            remove(&path);
        }
    }
}

fn is_free(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn lock_path(data_dir: &Path, id: SessionId) -> PathBuf {
    place::locks(data_dir).join(format!("{id}.lock"))
}

/// A file that stays behind does no harm: the next recovery removes it.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "lock file not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_life_and_a_dropped_or_missing_one_is_death() {
        let dir = tempfile::tempdir().unwrap();
        let id = SessionId::new(1);
        assert!(!is_alive(dir.path(), id));
        let lock = SessionLock::create(dir.path(), id).unwrap();
        assert!(is_alive(dir.path(), id));
        drop(lock);
        assert!(!is_alive(dir.path(), id));
    }

    #[test]
    fn the_lock_of_a_front_is_life_for_all_of_its_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let front = SessionId::of_front(1_795_232_400_123);
        let lock = SessionLock::create(dir.path(), front).unwrap();
        assert!(is_alive(dir.path(), front.nth(2)));
        drop(lock);
        assert!(!is_alive(dir.path(), front.nth(2)));
    }

    #[test]
    fn who_closes_the_row_later_learns_why_the_client_went() {
        let dir = tempfile::tempdir().unwrap();
        let front = SessionId::of_front(1_795_232_400_123);
        let lock = SessionLock::create(dir.path(), front).unwrap();
        assert_eq!(reason(dir.path(), front), None);
        lock.leave("end_of_input");
        drop(lock);
        assert!(!is_alive(dir.path(), front));
        assert_eq!(reason(dir.path(), front.nth(1)).as_deref(), Some("end_of_input"));
        fs::write(lock_path(dir.path(), front), "12345").unwrap();
        assert_eq!(reason(dir.path(), front), None);
    }

    #[test]
    fn an_orderly_end_leaves_no_file_and_leftovers_stay_while_they_are_young() {
        let dir = tempfile::tempdir().unwrap();
        SessionLock::create(dir.path(), SessionId::new(1)).unwrap().release();
        drop(SessionLock::create(dir.path(), SessionId::new(2)).unwrap());
        remove_leftovers(dir.path());
        assert_eq!(fs::read_dir(place::locks(dir.path())).unwrap().count(), 1);
    }
}
