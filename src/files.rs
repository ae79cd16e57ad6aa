//! A file of another program, or of a person: read as a whole, and replaced as a whole.
//!
//! It keeps its mode and its owner. Where it is a link, what the link points to is replaced and the link stays.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The largest file that is read: 16 MiB. Larger ones are histories, and nothing that a person edits.
const BYTES_MAX: u64 = 16 << 20;

/// So many copies of one file stand beside it at most.
const COPIES_MAX: u32 = 1000;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file itself, behind all links.
    pub path: PathBuf,
    /// What is in it; `None` while there is none.
    pub bytes: Option<Vec<u8>>,
}

/// Why a file cannot be read and replaced. The words go on after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// A link to nowhere: its owner meant a file, and nobody knows which.
    #[error("is a link to {}, which does not exist: make that file, or remove the link", .0.display())]
    Dangling(PathBuf),
    /// Links that lead back to themselves.
    #[error("is a link that leads back to itself: remove it")]
    Loop,
    /// A folder, a pipe, a device.
    #[error("is not a file but a {0}: move it away")]
    NotAFile(&'static str),
    /// Nobody may write it, as somebody wanted.
    #[error("is read-only: allow writing to it if it may be changed (chmod u+w)")]
    ReadOnly,
    /// Nobody may write in its folder.
    #[error("stands in the folder {}, which is read-only: allow writing to it (chmod u+w)", .0.display())]
    ReadOnlyFolder(PathBuf),
    /// More than is read.
    #[error("is larger than {} MiB: nothing of this size is changed", BYTES_MAX >> 20)]
    TooLarge,
    /// The system refused.
    #[error("cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// Reads what stands at a path, and finds out whether it may be replaced.
///
/// # Errors
/// When it is no file, may not be written, or is too large.
pub fn find(path: &Path) -> Result<Found, BadFile> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return missing(path),
        Err(error) if is_loop(path, &error) => return Err(BadFile::Loop),
        Err(error) => return Err(error.into()),
    };
    let metadata = fs::metadata(&path)?;
    if !metadata.is_file() {
        return Err(BadFile::NotAFile(if metadata.is_dir() { "folder" } else { "pipe or device" }));
    }
    if metadata.permissions().readonly() {
        return Err(BadFile::ReadOnly);
    }
    may_hold_new_files(path.parent())?;
    let mut bytes = Vec::new();
    File::open(&path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(BadFile::TooLarge);
    }
    Ok(Found { path, bytes: Some(bytes) })
}

/// A link that cannot be followed for another reason than that nothing is there.
fn is_loop(path: &Path, error: &io::Error) -> bool {
    let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    is_link && !matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory)
}

fn missing(path: &Path) -> Result<Found, BadFile> {
    if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        return Err(BadFile::Dangling(fs::read_link(path)?));
    }
    let Some(folder) = path.ancestors().skip(1).find(|folder| folder.symlink_metadata().is_ok()) else {
        return Ok(Found { path: path.to_owned(), bytes: None });
    };
    may_hold_new_files(Some(folder))?;
    // As it will be found once it is there.
    let rest = path.strip_prefix(folder).unwrap_or(path);
    Ok(Found { path: fs::canonicalize(folder)?.join(rest), bytes: None })
}

/// What a folder allows is asked by its mode, which holds for an administrator too: it says what was meant.
fn may_hold_new_files(folder: Option<&Path>) -> Result<(), BadFile> {
    let Some(folder) = folder else { return Ok(()) };
    let metadata = fs::metadata(folder)?;
    if !metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
    }
    // On Windows the attribute says nothing of what is in a folder.
    if cfg!(unix) && metadata.permissions().readonly() {
        return Err(BadFile::ReadOnlyFolder(folder.to_owned()));
    }
    Ok(())
}

/// Whether others than its owner may read a file.
#[cfg(unix)]
#[must_use]
pub fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).is_ok_and(|found| found.mode() & 0o044 != 0)
}

/// Elsewhere a user's own folders are private by what they inherit.
#[cfg(not(unix))]
#[must_use]
pub fn is_open(_path: &Path) -> bool {
    false
}

/// Whether what was found is still there as it was.
#[must_use]
pub fn is_still(found: &Found) -> bool {
    find(&found.path).is_ok_and(|now| now == *found)
}

/// Puts this into the place of what was found, in one step: whoever reads sees all of the one or all of the
/// other. A file that is new is its owner's alone. Gives the folders that were made for it, the outermost first.
///
/// # Errors
/// When the system refuses; what was there is there still.
pub fn replace(found: &Found, bytes: &[u8]) -> io::Result<Vec<PathBuf>> {
    let folder = found.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut made: Vec<PathBuf> =
        folder.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    made.reverse();
    let put = fs::create_dir_all(folder).and_then(|()| {
        beside(found, bytes)?.persist(&found.path)?;
        Ok(())
    });
    if let Err(error) = put {
        made.iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
        return Err(error);
    }
    settle(folder);
    Ok(made)
}

/// Keeps a copy of what was found beside it, under a name that nothing has: `mcp.json.before-bridge`, `-2` …
///
/// # Errors
/// When the system refuses.
pub fn keep_copy(found: &Found) -> io::Result<PathBuf> {
    let name = found.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut written = beside(found, found.bytes.as_deref().unwrap_or_default())?;
    for number in 1..=COPIES_MAX {
        let mut copy = name.to_owned();
        copy.push(".before-bridge");
        if number > 1 {
            copy.push(format!("-{number}"));
        }
        let copy = found.path.with_file_name(copy);
        match written.persist_noclobber(&copy) {
            Ok(_) => return Ok(copy),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => written = error.file,
            Err(error) => return Err(error.error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many copies beside it"))
}

/// A file that is written at length, and stands in its place when it is whole. Dropped before, it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// Begins a file beside the place, for its owner alone. What stands there, behind all links, may be a file only.
    ///
    /// # Errors
    /// When something else stands there, or the folder takes no new file.
    pub fn begin(path: &Path) -> Result<Self, BadFile> {
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing(&std::path::absolute(path)?)?.path
            }
            Err(error) => return Err(error.into()),
        };
        if let Ok(metadata) = fs::metadata(&path)
            && !metadata.is_file()
        {
            return Err(BadFile::NotAFile(if metadata.is_dir() { "folder" } else { "pipe or device" }));
        }
        let folder = path.parent().ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
        let file = tempfile::Builder::new().prefix(".bridge-").tempfile_in(folder)?;
        Ok(Self { file, path })
    }

    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Puts it into its place in one step.
    ///
    /// # Errors
    /// When the system refuses; what was there is there still.
    pub fn put(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.path)?;
        self.path.parent().into_iter().for_each(settle);
        Ok(())
    }
}

/// Writes a file that has the mode and the owner of what was found, in the same folder and without a name that lasts.
fn beside(found: &Found, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let folder = found.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".bridge-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    if found.bytes.is_some() {
        dress(file.as_file(), &fs::metadata(&found.path)?)?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

/// Gives a new file the mode and the owner of the old one: an administrator may be changing somebody else's.
#[cfg(unix)]
fn dress(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())
}

/// Elsewhere a file has what its folder gives it.
#[cfg(not(unix))]
fn dress(_file: &File, _old: &Metadata) -> io::Result<()> {
    Ok(())
}

/// The new name survives a power cut, where the system can promise that.
fn settle(folder: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_leaves_nothing_beside_it() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("a/b/mcp.json");
        let found = find(&path).unwrap();
        assert_eq!(found.bytes, None);
        let made = replace(&found, b"one").unwrap();
        assert_eq!(made, [room.path().join("a"), room.path().join("a/b")]);
        let found = find(&path).unwrap();
        assert_eq!(found.bytes.as_deref(), Some(&b"one"[..]));
        assert!(replace(&found, b"two").unwrap().is_empty());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(room.path().join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn a_draft_is_nothing_until_it_is_whole() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("rows.csv");
        fs::write(&path, "old").unwrap();
        let mut draft = Draft::begin(&path).unwrap();
        draft.file().write_all(b"half").unwrap();
        drop(draft);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut draft = Draft::begin(&path).unwrap();
        draft.file().write_all(b"new").unwrap();
        draft.put().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
        assert!(matches!(Draft::begin(room.path()), Err(BadFile::NotAFile("folder"))));
        assert!(matches!(Draft::begin(&room.path().join("none/rows.csv")), Err(BadFile::Io(_))));
    }

    #[test]
    fn a_copy_takes_a_name_that_nothing_has() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("mcp.json");
        fs::write(&path, "one").unwrap();
        let found = find(&path).unwrap();
        let names = [keep_copy(&found).unwrap(), keep_copy(&found).unwrap()];
        assert_eq!(
            names,
            ["mcp.json.before-bridge", "mcp.json.before-bridge-2"].map(|name| room.path().join(name))
        );
        assert!(names.iter().all(|copy| fs::read(copy).unwrap() == b"one"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_the_mode_too() {
        use std::os::unix::fs::PermissionsExt;
        let room = tempfile::tempdir().unwrap();
        let (file, link) = (room.path().join("file"), room.path().join("link"));
        fs::write(&file, "one").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&find(&link).unwrap(), b"two").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_named() {
        let room = tempfile::tempdir().unwrap();
        let [dangling, round, pipe] = ["dangling", "round", "pipe"].map(|name| room.path().join(name));
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        std::os::unix::fs::symlink("round", &round).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(matches!(find(&dangling), Err(BadFile::Dangling(_))));
        assert!(matches!(find(&round), Err(BadFile::Loop)));
        assert!(matches!(find(&pipe), Err(BadFile::NotAFile("pipe or device"))));
        assert!(matches!(find(room.path()), Err(BadFile::NotAFile("folder"))));
        fs::write(room.path().join("file"), "").unwrap();
        assert!(matches!(find(&room.path().join("file/below")), Err(BadFile::Io(_))));
    }
}
