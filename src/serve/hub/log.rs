//! The hub's log, which stays short however long the hub lives.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use crate::front::starts::{LOG_BYTES_MAX, log};

/// Moves a log aside that has grown too long, and goes on in a new one. What is not written to that file, because
/// somebody started the hub by hand, is left alone.
pub fn keep_short(path: &Path) {
    match shortened(path, &io::stderr()) {
        Ok(Some(anew)) => {
            if let Err(error) = rustix::stdio::dup2_stderr(&anew) {
                tracing::warn!(%error, "log goes on in a file that was moved aside");
            }
        }
        Ok(None) => {}
        // It is tried every second.
        Err(error) => tracing::debug!(%error, "log cannot be moved aside"),
    }
}

/// The file in which a log goes on that is written to `end`; `None` while it is short, or another file.
fn shortened(path: &Path, end: &impl AsFd) -> io::Result<Option<File>> {
    let (here, there) = (rustix::fs::fstat(end)?, rustix::fs::stat(path)?);
    let is_same = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino);
    let is_long = u64::try_from(here.st_size).is_ok_and(|bytes| bytes > LOG_BYTES_MAX);
    (is_same && is_long).then(|| log(path)).transpose()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_has_grown_long_goes_on_in_a_new_file() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("hub.log");
        let mut old = log(&path).unwrap();
        old.write_all(b"short").unwrap();
        assert!(shortened(&path, &old).unwrap().is_none());
        old.set_len(LOG_BYTES_MAX + 1).unwrap();
        assert!(shortened(&path, &io::stderr()).unwrap().is_none(), "what a person reads is no file of ours");
        let mut anew = shortened(&path, &old).unwrap().unwrap();
        anew.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(path.with_extension("log.1").metadata().unwrap().len(), LOG_BYTES_MAX + 1);
    }
}
