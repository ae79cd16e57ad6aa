//! The file that a server's launch executes, to see whether it was changed. Of `npx` or `python` that is only the
//! launcher: a new version of what it runs is not seen.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::config::server::Server;
use crate::environment::Environment;

/// A server's program, as its launch looks for it. Its `Debug` shows no variable's value.
#[derive(Clone)]
pub struct Program {
    command: String,
    /// The folders to search.
    path: Option<OsString>,
}

impl Program {
    /// The program of a server that is started in this environment, which its own may change.
    #[must_use]
    pub fn of(server: &Server, environment: &Environment) -> Self {
        let path = server.env.iter().find(|(name, _)| name == "PATH");
        let path = path.and_then(|(_, path)| path.resolve(|name| environment.get(name)).ok());
        let path = path.map(Into::into).or_else(|| environment.os("PATH").map(ToOwned::to_owned));
        Self { command: server.command.clone(), path }
    }

    /// When the file was changed last, in Unix milliseconds; `None` when it cannot be found. Looks at the
    /// disk, as little as the start of a process does.
    #[must_use]
    pub fn changed_ms(&self) -> Option<i64> {
        let metadata = std::fs::metadata(self.file()?).ok()?;
        let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    /// The folders that are searched for its command, if any are.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let folders = self.path.iter().flat_map(env::split_paths);
        folders.filter(|folder| folder.is_absolute()).collect()
    }

    /// The file: a path as it is, a name in the first folder that has it. A folder that is named from wherever
    /// we stand is left out: the server may stand elsewhere.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        let command = Path::new(&self.command);
        if self.command.contains(std::path::is_separator) {
            return command.is_absolute().then(|| command.to_owned());
        }
        let names = [self.command.clone(), format!("{}{}", self.command, env::consts::EXE_SUFFIX)];
        let folders = self.folders();
        let mut files = folders.iter().flat_map(|folder| names.clone().map(|name| folder.join(name)));
        files.find(|file| file.is_file())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("command", &self.command).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn program(command: impl Into<String>, path: Option<&Path>) -> Program {
        Program { command: command.into(), path: path.map(Into::into) }
    }

    #[test]
    fn the_file_that_would_be_started_tells_when_it_was_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server");
        fs::write(&file, "").unwrap();
        let at = UNIX_EPOCH + Duration::from_millis(1_795_232_400_123);
        File::options().write(true).open(&file).unwrap().set_modified(at).unwrap();
        let absolute = program(file.to_str().unwrap(), None);
        assert_eq!(absolute.changed_ms(), Some(1_795_232_400_123));
        assert_eq!(program("server", Some(dir.path())).changed_ms(), absolute.changed_ms());
        fs::File::options().write(true).open(&file).unwrap().set_modified(SystemTime::now()).unwrap();
        assert_ne!(absolute.changed_ms(), Some(1_795_232_400_123));
    }

    #[test]
    fn a_program_that_is_not_found_has_no_time() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(program("no-such-program", Some(dir.path())).changed_ms(), None);
        assert_eq!(program("./server", Some(dir.path())).changed_ms(), None);
        assert_eq!(program("Cargo.toml", Some(Path::new("."))).changed_ms(), None);
        assert_eq!(program(dir.path().join("none").to_str().unwrap(), None).changed_ms(), None);
    }
}
