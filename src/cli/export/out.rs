//! Where an export goes, and what may come between: a reader that takes nothing, and Ctrl-C.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes to stdout, which may be a pipe whose reader takes its time (`| less`). As long as an export is not done,
/// the log of the record cannot begin anew and grows: a reader that takes nothing for five minutes ends it.
pub struct Patient<'a>(pub &'a mut dyn Write);

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at_once = ready(bytes.len())?;
        self.0.write(bytes.get(..at_once).unwrap_or(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Waits until stdout takes something, and says how much it takes for certain.
#[cfg(unix)]
fn ready(bytes: usize) -> io::Result<usize> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    const PATIENCE: Timespec = Timespec { tv_sec: 300, tv_nsec: 0 };
    /// A pipe that takes anything takes so much (PIPE_BUF on Linux).
    const AT_ONCE: usize = 4096;
    let stdout = io::stdout();
    let ready = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], Some(&PATIENCE));
    match ready {
        Ok(0) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "nobody has read anything of the export for five minutes: write it into a file with --out",
        )),
        // A signal that somebody handles.
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(bytes.min(AT_ONCE)),
        Err(error) => Err(error.into()),
    }
}

/// Elsewhere stdout is waited for.
#[cfg(not(unix))]
fn ready(bytes: usize) -> io::Result<usize> {
    Ok(bytes)
}

/// Ctrl-C, which must not leave half a file behind.
#[derive(Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes it from the system, which would end the process.
    #[cfg(unix)]
    pub fn watch() -> io::Result<Self> {
        let own = Self::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&own.0))?;
        }
        Ok(own)
    }

    /// Elsewhere half a file stays behind, under a name that nothing else has.
    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "on Unix the system may refuse")]
    pub fn watch() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Whether it came.
    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What is said then. Not of the kind `Interrupted`, which writers take for a reason to go on.
    pub fn error(&self) -> io::Error {
        io::Error::other("it was interrupted")
    }
}
