//! One server's process: started in a group of its own, with little to inherit, and ended in stages.

use std::io::{self, PipeReader, PipeWriter};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use tokio::process::Command;

use crate::downstream::{group, guardian};
use crate::environment::Environment;
use crate::outcome::Cause;

/// So many files may be open where the system allows it.
#[cfg(unix)]
const FILES: u64 = 4096;

/// After its input was closed, a server has this long to end by itself.
const CLOSE_GRACE: Duration = Duration::from_millis(60);

/// After SIGTERM, its group has this long before SIGKILL. Together with [`CLOSE_GRACE`] it stays
/// below the 400 ms that a stopping bridge has (house.md, "Start, stop, die, come back").
const TERM_GRACE: Duration = Duration::from_millis(200);

/// After SIGKILL, its group has this long to be gone.
const KILL_GRACE: Duration = Duration::from_millis(50);

/// How often a group whose leader has ended is looked at for survivors.
const GROUP_POLL: Duration = Duration::from_millis(10);

/// What is started, with every reference resolved.
pub struct Launch {
    /// The program.
    pub command: String,
    /// Its arguments; there is never a shell.
    pub args: Vec<String>,
    /// The environment of which it inherits a little.
    pub inherited: Environment,
    /// What its environment holds beside that.
    pub env: Vec<(String, String)>,
    /// Where it runs; where we do, if nowhere.
    pub cwd: Option<PathBuf>,
}

/// A started process and our ends of its pipes.
pub struct Process {
    child: Box<dyn ChildWrapper>,
    /// Its process id, which is its group's too.
    pub pid: u32,
}

/// Our ends of a new process's pipes.
pub struct Pipes {
    /// What it reads.
    pub stdin: PipeWriter,
    /// What it writes.
    pub stdout: PipeReader,
    /// What it complains.
    pub stderr: tokio::process::ChildStderr,
}

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
#[error("could not be started: {what}")]
pub struct NotStarted {
    /// The classified reason.
    pub cause: Cause,
    /// The reason in words.
    pub what: String,
}

impl NotStarted {
    fn new(launch: &Launch, error: &io::Error) -> Self {
        let command = &launch.command;
        match error.kind() {
            _ if launch.cwd.as_ref().is_some_and(|cwd| !cwd.is_dir()) => {
                let cwd = launch.cwd.as_deref().unwrap_or(std::path::Path::new(""));
                Self { cause: Cause::NotFound, what: format!("its folder {} does not exist", cwd.display()) }
            }
            io::ErrorKind::NotFound => Self {
                cause: Cause::NotFound,
                what: format!(
                    "the command {command:?} was not found; give its absolute path, or add its folder to PATH"
                ),
            },
            io::ErrorKind::PermissionDenied => {
                Self { cause: Cause::NotExecutable, what: format!("{command:?} may not be executed") }
            }
            _ if error.raw_os_error() == Some(EXEC_FORMAT) => Self {
                cause: Cause::NotExecutable,
                what: format!("{command:?} is no program for this machine"),
            },
            _ => Self { cause: Cause::ExitedBeforeReady, what: error.to_string() },
        }
    }
}

/// `ENOEXEC`, on every Unix; on Windows `ERROR_BAD_EXE_FORMAT`.
const EXEC_FORMAT: i32 = if cfg!(windows) { 193 } else { 8 };

/// Kills every group that lives: the last act of a process that was told to end at once.
pub fn kill_all() {
    guardian::groups().into_iter().for_each(group::kill);
}

/// Kills one process, as `kill -9` does: `bridge demo` shows what follows.
pub fn kill_one(pid: u32) {
    group::kill_one(pid);
}

/// Asks a process that leads a group to end, with what is in its group.
pub fn terminate(pid: u32) {
    group::terminate(pid);
}

/// Whether anything lives of the server that was started as this process.
#[must_use]
pub fn lives(pid: u32) -> bool {
    group::lives(pid)
}

/// Starts a process. Call it on a runtime that drives child processes.
///
/// # Errors
/// When the system refuses, with the reason classified.
pub fn start(launch: &Launch) -> Result<(Process, Pipes), NotStarted> {
    spawn(launch).map_err(|error| NotStarted::new(launch, &error))
}

fn spawn(launch: &Launch) -> io::Result<(Process, Pipes)> {
    let (child_stdin, stdin) = io::pipe()?;
    let (stdout, child_stdout) = io::pipe()?;
    let mut command = Command::new(&launch.command);
    command
        .args(&launch.args)
        .env_clear()
        .envs(launch.inherited.inherited())
        .envs(launch.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(child_stdin))
        .stdout(Stdio::from(child_stdout))
        .stderr(Stdio::piped());
    if let Some(cwd) = &launch.cwd {
        command.current_dir(cwd);
    }
    guardian::introduce(&mut command);
    let mut wrap = CommandWrap::from(command);
    wrap.wrap(KillOnDrop);
    group::wrap(&mut wrap);
    let mut child = wrap.spawn().inspect_err(|_| guardian::not_started())?;
    let gone = || io::Error::other("the process has no id or no stderr");
    let pid = child.id().ok_or_else(gone)?;
    guardian::started(pid);
    let stderr = child.stderr().take().ok_or_else(gone)?;
    Ok((Process { child, pid }, Pipes { stdin, stdout, stderr }))
}

impl Process {
    /// Waits for the process itself to end; its group may live on until [`Process::stop`].
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        // `try_wait` and `wait` of the wrapper also wait for the group; the leader alone tells a crash.
        innermost(self.child.as_mut()).wait().await.ok()
    }

    /// Ends the process and its whole group in stages: its input is closed by now, then SIGTERM, then
    /// SIGKILL. Returns when nothing of the group is left.
    pub async fn stop(mut self) -> Option<ExitStatus> {
        let mut status = tokio::time::timeout(CLOSE_GRACE, self.wait()).await.ok().flatten();
        if status.is_none() || group::lives(self.pid) {
            group::terminate(self.pid);
            let gone = async {
                let status = self.wait().await;
                while group::lives(self.pid) {
                    tokio::time::sleep(GROUP_POLL).await;
                }
                status
            };
            status = tokio::time::timeout(TERM_GRACE, gone).await.ok().flatten().or(status);
        }
        group::kill(self.pid);
        let gone = async {
            while group::lives(self.pid) {
                tokio::time::sleep(GROUP_POLL).await;
            }
        };
        // What is left of it then waits to be reaped by the system.
        let _ = tokio::time::timeout(KILL_GRACE, gone).await;
        // After SIGKILL the end is a matter of moments, unless the kernel itself hangs.
        match tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await {
            Ok(Ok(last)) => status.or(Some(last)),
            _ => status,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        group::kill(self.pid);
        guardian::gone(self.pid);
    }
}

/// Has the system let this process open more files, if it has less than a thousand servers need, four each:
/// desktops start programs with room for 256 (macOS) or 1024. Servers inherit it.
pub fn make_room_for_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let now = getrlimit(Resource::Nofile);
        let wanted = now.maximum.map_or(FILES, |most| most.min(FILES));
        if now.current.is_some_and(|current| current < wanted) {
            let more = Rlimit { current: Some(wanted), ..now };
            if let Err(error) = setrlimit(Resource::Nofile, more) {
                tracing::warn!(%error, wanted, "no room for more open files");
            }
        }
    }
}

fn innermost(child: &mut dyn ChildWrapper) -> &mut dyn ChildWrapper {
    child.inner_mut()
}

/// The signal that ended a process.
#[must_use]
#[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix has signals"))]
pub fn signal_of(status: ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    return None;
}

/// A signal's name: `SIGKILL`.
#[must_use]
#[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix has signals"))]
pub fn signal_name(signal: i32) -> Option<&'static str> {
    #[cfg(unix)]
    return signal_hook::low_level::signal_name(signal);
    #[cfg(not(unix))]
    return None;
}

/// Whether a process ended as one does that is told to end: well, or by the signals that tell it so.
#[must_use]
pub fn is_obedient(status: ExitStatus) -> bool {
    let told = |signal| matches!(signal_name(signal), Some("SIGTERM" | "SIGKILL"));
    status.success() || signal_of(status).is_some_and(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(command: &str, args: &[&str]) -> Launch {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Launch {
            command: command.to_owned(),
            args,
            inherited: Environment::own(),
            env: Vec::new(),
            cwd: None,
        }
    }

    #[tokio::test]
    async fn a_command_that_cannot_run_says_why() {
        let cause = |launch: &Launch| start(launch).err().map(|error| error.cause);
        assert_eq!(cause(&launch("no-such-command-here", &[])), Some(Cause::NotFound));
        assert_eq!(cause(&launch("/etc/passwd", &[])), Some(Cause::NotExecutable));
        let nowhere = Launch { cwd: Some("/no/such/folder".into()), ..launch("true", &[]) };
        assert_eq!(cause(&nowhere), Some(Cause::NotFound));
    }

    /// Processes of a group that still run; one that waits to be reaped by the system is gone.
    #[cfg(target_os = "linux")]
    fn survivors(group: u32) -> Vec<String> {
        let stats = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
        let in_group = |stat: &String| {
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
            fields[0] != "Z" && fields[2] == group.to_string()
        };
        stats.filter(in_group).collect()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_deaf_group_is_gone_in_time() {
        let script = "trap '' TERM; (trap '' TERM; sleep 60) & sleep 60";
        let (process, _pipes) = start(&launch("sh", &["-c", script])).unwrap();
        let pid = process.pid;
        let before = std::time::Instant::now();
        process.stop().await;
        while !survivors(pid).is_empty() {
            assert!(before.elapsed() < Duration::from_secs(2), "{:?}", survivors(pid));
            tokio::task::yield_now().await;
        }
        assert!(before.elapsed() < Duration::from_secs(2), "took {:?}", before.elapsed());
    }
}
