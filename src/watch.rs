//! Hears when a file changes: from the system, or, where that tells nothing, by a look every few seconds.
//!
//! What is watched is the file's folder, and the folder of what it links to: an editor puts a new file in
//! the place of the old one, and a file may not be there yet.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// A file counts as written when nothing has happened for so long: editors write in several steps.
const STILL: Duration = Duration::from_millis(200);

/// A folder in which something happens all the time is looked at after so long.
const STILL_MAX: Duration = Duration::from_secs(2);

/// How often a file is looked at that nobody tells us of.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// A file that may change.
#[derive(Debug)]
pub struct Watched {
    file: PathBuf,
    seen: Option<Print>,
    nudge: Arc<Notify>,
    /// Something happened that was not looked at yet.
    is_nudged: bool,
    watcher: Option<RecommendedWatcher>,
    /// With their numbers: a folder may be replaced by another of its name.
    folders: Vec<(PathBuf, u64)>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print {
    target: PathBuf,
    changed: Option<SystemTime>,
    bytes: u64,
    number: u64,
}

impl Watched {
    /// Begins to watch a file, which need not be there. Looks at the disk.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        let (nudge, seen) = (Arc::default(), Print::of(&file));
        let mut watched = Self { file, seen, nudge, is_nudged: false, watcher: None, folders: Vec::new() };
        watched.arm();
        watched
    }

    /// Waits until the file is another one than before, came, or went, and is written to its end. May be
    /// dropped at any time: the next wait misses nothing.
    pub async fn changed(&mut self) {
        loop {
            match self.watcher {
                _ if self.is_nudged => {}
                Some(_) => self.nudge.notified().await,
                None => sleep(LOOK_EVERY).await,
            }
            self.is_nudged = true;
            let begun = Instant::now();
            while begun.elapsed() < STILL_MAX && timeout(STILL, self.nudge.notified()).await.is_ok() {}
            self.is_nudged = false;
            self.arm();
            let now = Print::of(&self.file);
            if self.seen != now {
                self.seen = now;
                return;
            }
        }
    }

    /// Watches the folders that matter now, if they are others than before.
    fn arm(&mut self) {
        let target = self.file.canonicalize().ok();
        let folders = [Some(self.file.as_path()), target.as_deref()];
        let folders = folders.into_iter().flatten().filter_map(Path::parent).filter_map(|folder| {
            let found = folder.metadata().ok().filter(Metadata::is_dir)?;
            Some((folder.to_owned(), number(&found)))
        });
        let mut folders: Vec<_> = folders.collect();
        folders.dedup();
        if folders == self.folders && self.watcher.is_some() != folders.is_empty() {
            return;
        }
        let nudge = Arc::clone(&self.nudge);
        let heard = move |event: notify::Result<notify::Event>| {
            // To read it is no change.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                nudge.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(heard).and_then(|mut watcher| {
            folders.iter().try_for_each(|(folder, _)| watcher.watch(folder, RecursiveMode::NonRecursive))?;
            Ok(watcher)
        });
        self.watcher = match watcher {
            Ok(watcher) => Some(watcher).filter(|_| !folders.is_empty()),
            Err(error) => {
                tracing::debug!(file = %self.file.display(), %error, "file cannot be watched, looking at it instead");
                None
            }
        };
        self.folders = folders;
    }
}

impl Print {
    fn of(file: &Path) -> Option<Self> {
        let found = file.metadata().ok()?;
        Some(Self {
            target: file.canonicalize().unwrap_or_default(),
            changed: found.modified().ok(),
            bytes: found.len(),
            number: number(&found),
        })
    }
}

/// What tells a file from another of its name.
#[cfg(unix)]
fn number(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

/// Elsewhere its time and its size have to do.
#[cfg(not(unix))]
fn number(_found: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What is done while somebody waits is heard, and nothing more.
    async fn check(watched: &mut Watched, act: impl FnOnce()) {
        act();
        timeout(Duration::from_secs(20), watched.changed()).await.expect("the change is heard");
        assert!(timeout(STILL * 2, watched.changed()).await.is_err(), "it is heard once");
    }

    #[tokio::test]
    async fn writing_replacing_removing_and_making_a_file_are_heard_once_each() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("config.toml");
        fs::write(&file, "1").unwrap();
        let mut watched = Watched::new(file.clone());
        assert!(watched.watcher.is_some());
        check(&mut watched, || fs::write(&file, "22").unwrap()).await;
        check(&mut watched, || {
            fs::write(room.path().join("config.toml~"), "33").unwrap();
            fs::rename(room.path().join("config.toml~"), &file).unwrap();
        })
        .await;
        check(&mut watched, || fs::remove_file(&file).unwrap()).await;
        check(&mut watched, || fs::write(&file, "4").unwrap()).await;
        // A neighbour is none of ours, and to read it changes nothing.
        fs::write(room.path().join("other"), fs::read(&file).unwrap()).unwrap();
        assert!(timeout(STILL * 2, watched.changed()).await.is_err());
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_loses_no_change() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("config.toml");
        let mut watched = Watched::new(file.clone());
        fs::write(&file, "1").unwrap();
        // It has heard of it, and waits until it is written to its end.
        let nudged = Arc::clone(&watched.nudge);
        nudged.notified().await;
        nudged.notify_one();
        assert!(timeout(STILL / 4, watched.changed()).await.is_err());
        check(&mut watched, || {}).await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn behind_a_link_the_file_and_the_link_itself_are_watched() {
        let room = tempfile::tempdir().unwrap();
        for folder in ["here", "there"] {
            fs::create_dir(room.path().join(folder)).unwrap();
        }
        let (link, real) = (room.path().join("here/link"), room.path().join("there/real"));
        fs::write(&real, "1").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut watched = Watched::new(link.clone());
        check(&mut watched, || fs::write(&real, "22").unwrap()).await;
        fs::write(room.path().join("there/next"), "22").unwrap();
        check(&mut watched, || {
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(room.path().join("there/next"), &link).unwrap();
        })
        .await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_folder_that_is_replaced_by_another_is_watched_too() {
        let room = tempfile::tempdir().unwrap();
        let [folder, next, old] = ["folder", "next", "old"].map(|name| room.path().join(name));
        for (folder, text) in [(&folder, "1"), (&next, "22")] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("config.toml"), text).unwrap();
        }
        let mut watched = Watched::new(folder.join("config.toml"));
        check(&mut watched, || {
            fs::rename(&folder, &old).unwrap();
            fs::rename(&next, &folder).unwrap();
        })
        .await;
        check(&mut watched, || fs::write(folder.join("config.toml"), "333").unwrap()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_watched_is_looked_at_until_it_can() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("not/yet/config.toml");
        let mut watched = Watched::new(file.clone());
        assert!(watched.watcher.is_none());
        assert!(timeout(LOOK_EVERY * 3, watched.changed()).await.is_err());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "1").unwrap();
        timeout(LOOK_EVERY * 2, watched.changed()).await.unwrap();
        assert!(watched.watcher.is_some());
    }
}
