//! Where the record lies, and who may read it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The database in a data folder.
#[must_use]
pub fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("bridge.db")
}

/// The folder of the sessions' lock files.
#[must_use]
pub fn locks(data_dir: &Path) -> PathBuf {
    data_dir.join("locks")
}

/// The database and the two files that SQLite keeps beside it.
#[must_use]
pub fn files(data_dir: &Path) -> [PathBuf; 3] {
    ["bridge.db", "bridge.db-wal", "bridge.db-shm"].map(|name| data_dir.join(name))
}

/// Makes a folder, and its parents, that only its owner may enter (0700). One that exists keeps its
/// mode: it may be somebody's home.
///
/// # Errors
/// When it cannot be made, or is a symbolic link.
pub fn make_folder(path: &Path) -> io::Result<()> {
    refuse_symlink(path)?;
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes the database's file empty, readable by its owner only (0600), so that SQLite's own files
/// get the same mode.
///
/// # Errors
/// When it cannot be made or opened for writing, or one of the files is a symbolic link.
pub fn make_database(data_dir: &Path) -> io::Result<()> {
    for path in files(data_dir) {
        refuse_symlink(&path)?;
    }
    let path = database(data_dir);
    if !path.exists() {
        // The log of a file that was removed does not belong to the next one.
        files(data_dir).iter().for_each(|left| drop(fs::remove_file(left)));
    }
    let file = private(OpenOptions::new().create(true).append(true)).open(&path)?;
    keep_private(&file)
}

/// Lets a file be made with mode 0600, and not be opened through a symbolic link.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let no_follow = rustix::fs::OFlags::NOFOLLOW.bits();
        options.mode(0o600).custom_flags(i32::try_from(no_follow).unwrap_or(0));
    }
    options
}

/// Which file stands at a path: tells whether it was moved or removed under us. `None` where the
/// platform has no such number, or no file is there.
#[must_use]
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

fn refuse_symlink(path: &Path) -> io::Result<()> {
    if path.is_symlink() {
        let text = format!("{} is a symbolic link; give the real path instead", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}

#[cfg(unix)]
fn keep_private(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 { file.set_permissions(fs::Permissions::from_mode(0o600)) } else { Ok(()) }
}

#[cfg(not(unix))]
fn keep_private(_file: &fs::File) -> io::Result<()> {
    Ok(())
}
