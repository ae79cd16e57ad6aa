//! How a hub is started: from which program, with what, and where its log goes.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::local::Hall;
use crate::local::notes::{Notes, Program, RolledBack};
use crate::paths::Paths;
use crate::store::{place, stamp};
use crate::version;

/// A log file that is longer, in bytes, is moved aside.
pub const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The word with which a hub is started that takes the place of another one.
pub const SUCCEED: &str = "--succeed";

/// The same, if that is older.
pub const SUCCEED_OLDER: &str = "--succeed-older";

/// Starts the hubs of one data folder.
#[derive(Debug, Clone)]
pub struct Starts {
    /// What stands beside their door.
    pub notes: Notes,
    /// Where they write.
    pub log: PathBuf,
    arguments: Vec<OsString>,
}

impl Starts {
    /// The hubs of a data folder.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        let mut arguments: Vec<OsString> =
            vec!["hub".into(), "--data-dir".into(), paths.data_dir.clone().into()];
        if let Some(file) = &paths.config_file {
            arguments.extend(["--config".into(), file.clone().into()]);
        }
        Self { notes: Hall::of(&paths.data_dir).notes(), log: paths.hub_log(), arguments }
    }

    /// The program that hubs were last started from by somebody's wish, unless this one is newer.
    #[must_use]
    pub fn chosen(&self) -> Option<Program> {
        self.notes.program().filter(|program| !version::is_newer(version::own(), &program.version))
    }

    /// Starts one hub from a program, with these words beside the usual ones. It is not waited for.
    ///
    /// # Errors
    /// When the program cannot be started, or the log cannot be written.
    pub fn start(&self, program: &Path, more: &[&str]) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.arg0("bridge").args(&self.arguments).args(more).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(log(&self.log)?).spawn()?;
        tracing::info!(pid = child.id(), "hub started");
        Ok(child)
    }

    /// Gives a program up, and says so.
    pub fn roll_back(&self, program: &Path, because: &str) {
        tracing::error!(program = %program.display(), because, "hub's program rolled back");
        let given_up = RolledBack {
            path: program.to_owned(),
            because: because.to_owned(),
            at: stamp::text(stamp::now_ms()),
        };
        if let Err(error) = self.notes.roll_back(&given_up) {
            tracing::error!(%error, "the program that is rolled back could not be written down");
        }
    }
}

/// This very program, also when its file was removed or replaced since.
///
/// # Errors
/// When the system does not say.
pub fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// Ends a process that was started as a hub and is none, with what it has started in its group.
pub fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let (Some(pid), Ok(None)) = (pid, child.try_wait()) {
        // A hub leads a group of its own; what never came so far is in ours.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        let _ = child.wait();
    }
}

/// The hubs' log, open to be added to; one that has grown too long is moved aside first.
///
/// # Errors
/// Any fault of the files.
pub fn log(path: &Path) -> io::Result<File> {
    if path.metadata().is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    place::private(OpenOptions::new().create(true).append(true)).open(path)
}
