//! Where things stand on this machine.
//!
//! The configuration is `config.toml` in the platform's configuration folder, the record and
//! everything beside it stand in one data folder (on Linux `~/.config/bridge`, `~/.local/share/bridge`).

use std::io;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use crate::names::ServerName;

/// What the log file of hubs is called, without the end `.log`.
pub const HUB_LOG_STEM: &str = "hub";

/// What a user gave in place of the platform's own places. An empty path counts as none.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`, `BRIDGE_CONFIG`: a configuration file that has to exist.
    pub config_file: Option<PathBuf>,
    /// `--data-dir`, `BRIDGE_DATA_DIR`: a folder that belongs to the bridge alone.
    pub data_dir: Option<PathBuf>,
}

/// The places of this run; all absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The configuration to read: the one that was given, whether it exists or not, else the
    /// platform's own if there is one.
    pub config_file: Option<PathBuf>,
    /// Where the platform's own configuration would stand; `None` without a home folder.
    pub config_default: Option<PathBuf>,
    /// The folder that holds all of the following.
    pub data_dir: PathBuf,
    /// One lock file for each living session.
    pub locks_dir: PathBuf,
    /// One log file for each server's stderr.
    pub logs_dir: PathBuf,
}

/// The platform names no home folder and no data folder was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this account has no home folder: name a folder with --data-dir or BRIDGE_DATA_DIR")]
pub struct NoHome;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadDataDir {
    /// It is a symbolic link, which somebody else may point elsewhere.
    #[error("{} is a symbolic link: name the folder that it points to", .0.display())]
    Symlink(PathBuf),
    /// It belongs to another user, or to everybody.
    #[error("{} is not a folder of this user's own: name another one", .0.display())]
    NotOurs(PathBuf),
    /// The system refused.
    #[error("{} cannot be made a private folder", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Paths {
    /// Finds the places; touches nothing.
    ///
    /// # Errors
    /// When no data folder is given and the platform names no home folder.
    pub fn find(overrides: Overrides) -> Result<Self, NoHome> {
        let project = ProjectDirs::from("", "", "bridge");
        let config_default = project.as_ref().map(|dirs| dirs.config_dir().join("config.toml"));
        // A link to nowhere counts as there: its owner meant a file.
        let existing = config_default.clone().filter(|file| file.symlink_metadata().is_ok());
        let data_dir = given(overrides.data_dir)
            .or_else(|| project.map(|dirs| dirs.data_local_dir().to_owned()))
            .ok_or(NoHome)?;
        Ok(Self {
            config_file: given(overrides.config_file).or(existing),
            config_default,
            locks_dir: data_dir.join("locks"),
            logs_dir: data_dir.join("logs"),
            data_dir,
        })
    }

    /// The log file of a server's stderr. Names that differ only in characters that no file name
    /// should hold share one file; the configuration allows only one of them.
    #[must_use]
    pub fn server_log(&self, server: &ServerName) -> PathBuf {
        self.logs_dir.join(format!("{}.log", log_stem(server)))
    }

    /// Where hubs write their log.
    #[must_use]
    pub fn hub_log(&self) -> PathBuf {
        self.logs_dir.join(format!("{HUB_LOG_STEM}.log"))
    }

    /// Makes the data folder and the folders in it. On Unix they are this user's alone (0700), an
    /// existing data folder too: it holds whom somebody talked to and when.
    ///
    /// # Errors
    /// When one of them is a symbolic link, not this user's own, or refused by the system.
    pub fn create(&self) -> Result<(), BadDataDir> {
        [&self.data_dir, &self.locks_dir, &self.logs_dir]
            .into_iter()
            .try_for_each(|path| private_folder(path))
    }
}

fn given(path: Option<PathBuf>) -> Option<PathBuf> {
    let path = path.filter(|path| !path.as_os_str().is_empty())?;
    Some(std::path::absolute(&path).unwrap_or(path))
}

/// Makes a folder that is this user's alone (0700), and its parents as they come; one that exists already is
/// taken from group and others.
///
/// # Errors
/// When it is a symbolic link, not this user's own, or refused by the system.
pub fn private_folder(path: &Path) -> Result<(), BadDataDir> {
    let failed = |source| BadDataDir::Io { path: path.to_owned(), source };
    if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        return Err(BadDataDir::Symlink(path.to_owned()));
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // A sibling that starts at the same moment may have made it already.
    match make(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    if is_private(path).map_err(failed)? { Ok(()) } else { Err(BadDataDir::NotOurs(path.to_owned())) }
}

#[cfg(unix)]
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// Takes an existing folder from group and others, through a descriptor that cannot be a link.
/// False when it is another user's, or one that everybody writes to (`/tmp`).
#[cfg(unix)]
fn is_private(path: &Path) -> io::Result<bool> {
    use rustix::fs::{Mode, OFlags};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    const STICKY: u32 = 0o1000;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = folder.metadata()?;
    if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & STICKY != 0 {
        return Ok(false);
    }
    if found.mode() & 0o777 != 0o700 {
        folder.set_permissions(std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(true)
}

/// Elsewhere a user's own folders are private by what they inherit.
#[cfg(not(unix))]
fn is_private(_path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// What a server's log file is called, without the end `.log`. One whose name would be the hub's, also where a file system
/// takes capitals for small letters, has a point in it, as no other server's has.
#[must_use]
pub fn log_stem(server: &ServerName) -> String {
    let slug = server.slug();
    if slug.eq_ignore_ascii_case(HUB_LOG_STEM) { format!("{slug}.server") } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_dir(dir: &Path) -> Paths {
        Paths::find(Overrides { data_dir: Some(dir.to_owned()), ..Overrides::default() }).unwrap()
    }

    #[test]
    fn a_given_place_stands_before_the_platforms_own() {
        let paths = Paths::find(Overrides {
            config_file: Some("some.toml".into()),
            data_dir: Some("/data/bridge".into()),
        })
        .unwrap();
        assert_eq!(paths.config_file, Some(std::env::current_dir().unwrap().join("some.toml")));
        let log = paths.server_log(&ServerName::parse("my.server/../x").unwrap());
        assert_eq!(log, paths.data_dir.join("logs").join("my_server____x.log"));
    }

    #[test]
    fn no_servers_log_is_the_hubs() {
        let paths = in_dir(Path::new("/d"));
        let log = |name| paths.server_log(&ServerName::parse(name).unwrap());
        assert_eq!(log("hub"), paths.logs_dir.join("hub.server.log"));
        assert_eq!(log("Hub"), paths.logs_dir.join("Hub.server.log"));
        assert_eq!(log("hub.server"), paths.logs_dir.join("hub_server.log"));
    }

    #[test]
    fn an_empty_override_is_none() {
        assert_eq!(given(Some(PathBuf::new())), None);
    }

    #[test]
    fn folders_are_made_once_and_again() {
        let room = tempfile::tempdir().unwrap();
        let paths = in_dir(&room.path().join("deep/data"));
        paths.create().unwrap();
        paths.create().unwrap();
        assert!(paths.locks_dir.is_dir() && paths.logs_dir.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn an_existing_folder_becomes_this_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let room = tempfile::tempdir().unwrap();
        std::fs::set_permissions(room.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let paths = in_dir(room.path());
        paths.create().unwrap();
        for dir in [&paths.data_dir, &paths.locks_dir, &paths.logs_dir] {
            assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_folder_and_one_of_everybodys_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let room = tempfile::tempdir().unwrap();
        let link = room.path().join("link");
        std::os::unix::fs::symlink(room.path(), &link).unwrap();
        assert!(matches!(in_dir(&link).create(), Err(BadDataDir::Symlink(_))));
        let shared = room.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(matches!(in_dir(&shared).create(), Err(BadDataDir::NotOurs(_))));
    }
}
