//! Our end of the guard: its process, and the pipe on which it is told.

pub use system::{Leaving, Post};

/// What a line on the pipe says of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// `+123`: it was started, or is about to run.
    Started,
    /// `-123`: it is gone.
    Gone,
    /// `?0`: some start failed after it was told; whatever does not live is to be forgotten.
    Look,
}

impl Mark {
    /// The character that a line begins with.
    #[cfg(unix)]
    pub const fn sign(self) -> char {
        match self {
            Self::Started => '+',
            Self::Gone => '-',
            Self::Look => '?',
        }
    }
}

#[cfg(unix)]
mod system {
    use std::io::{self, PipeReader, PipeWriter, Write};
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::{Child, Command, ExitStatus, Stdio};
    use std::sync::Arc;

    use crate::downstream::guardian::post::Mark;
    use crate::downstream::guardian::watch::VERB;

    /// A sign, ten digits, the end of the line.
    const LINE_BYTES_MAX: usize = 12;

    /// A guard that was started.
    pub struct Post {
        process: Child,
        line: Arc<PipeWriter>,
        /// The guard's end, which nobody reads here: while it is open, a line for a guard that died is no
        /// SIGPIPE, which would kill a server that is about to run.
        _read: PipeReader,
    }

    /// A guard that was let go.
    pub struct Leaving(Option<Child>);

    impl Post {
        /// Starts a guard: in a group of its own, so that what is sent to ours does not reach it, and with
        /// nothing of ours but the pipe.
        pub fn start() -> io::Result<Self> {
            let (read, line) = io::pipe()?;
            // A guard that is stopped must not stop the bridge: what the full pipe does not take is not told.
            rustix::io::ioctl_fionbio(&line, true)?;
            let process = Command::new(program()?)
                .arg0("bridge")
                .arg(VERB)
                .env_clear()
                .current_dir("/")
                .process_group(0)
                .stdin(read.try_clone()?)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            Ok(Self { process, line: Arc::new(line), _read: read })
        }

        /// Its process.
        pub fn pid(&self) -> u32 {
            self.process.id()
        }

        /// Its process and how it ended, once it has.
        pub fn ended(&mut self) -> Option<(u32, ExitStatus)> {
            self.process.try_wait().ok().flatten().map(|status| (self.process.id(), status))
        }

        /// Tells one line.
        pub fn tell(&self, mark: Mark, group: u32) {
            say(&self.line, mark, group);
        }

        /// Lets what the command starts tell its own group before it becomes the server: we may be killed
        /// at any moment after the fork, and the pipe ends only when that process has told, too.
        #[expect(unsafe_code, reason = "only the new process itself can speak before anything can go wrong")]
        pub fn introduce(&self, command: &mut tokio::process::Command) {
            let line = Arc::clone(&self.line);
            let tell = move || {
                let own = rustix::process::getpid().as_raw_pid();
                say(&line, Mark::Started, u32::try_from(own).unwrap_or_default());
                Ok(())
            };
            // SAFETY: between fork and exec only that may be done which a signal handler may do, too. `say`
            // writes a number to the stack and the stack to a pipe: no allocation, no lock, no wait.
            unsafe { command.pre_exec(tell) };
        }
    }

    /// Writes one line, whole or not at all: a pipe does not cut what is this short. Runs after a fork.
    fn say(line: &PipeWriter, mark: Mark, group: u32) {
        let mut text = [0; LINE_BYTES_MAX];
        let mut free = text.as_mut_slice();
        let _always_fits = writeln!(free, "{}{group}", mark.sign());
        let length = LINE_BYTES_MAX - free.len();
        let _full = rustix::io::write(line, text.get(..length).unwrap_or_default());
    }

    /// Ourselves; on Linux also when the file was replaced or removed since we were started.
    fn program() -> io::Result<PathBuf> {
        if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
    }

    impl Leaving {
        pub(in crate::downstream::guardian) fn of(post: Option<Post>) -> Self {
            Self(post.map(|post| post.process))
        }

        /// Takes note of its end if it has come, and does not wait for it: not every system has somebody who
        /// reaps what we leave.
        pub fn reap(self) {
            if let Some(mut process) = self.0 {
                let _ = process.try_wait();
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use std::io::Read;

        use super::*;

        #[test]
        fn a_line_is_whole() {
            let (mut read, line) = io::pipe().unwrap();
            say(&line, Mark::Started, u32::MAX);
            say(&line, Mark::Gone, 2);
            say(&line, Mark::Look, 0);
            drop(line);
            let mut told = String::new();
            read.read_to_string(&mut told).unwrap();
            assert_eq!(told, "+4294967295\n-2\n?0\n");
        }
    }
}

/// Nobody has to stand by: a job object kills what is in it when its last handle is closed, and the system
/// closes that in whatever way we end. Untested: no machine of ours runs Windows.
#[cfg(windows)]
mod system {
    use std::io;
    use std::process::ExitStatus;

    use crate::downstream::guardian::post::Mark;

    /// Nobody.
    pub struct Post;

    /// Nobody.
    pub struct Leaving;

    impl Post {
        /// Starts nothing.
        pub fn start() -> io::Result<Self> {
            Ok(Self)
        }

        /// No process has this id.
        pub fn pid(&self) -> u32 {
            0
        }

        /// Never.
        pub fn ended(&mut self) -> Option<(u32, ExitStatus)> {
            None
        }

        /// Tells nobody.
        pub fn tell(&self, _mark: Mark, _group: u32) {}

        /// Changes nothing.
        pub fn introduce(&self, _command: &mut tokio::process::Command) {}
    }

    impl Leaving {
        pub(in crate::downstream::guardian) fn of(_post: Option<Post>) -> Self {
            Self
        }

        /// Nothing to reap.
        pub fn reap(self) {}
    }
}
