//! How a front comes to a hub: through its door, and by starting one where nobody listens.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pipe::PipeFlags;

use crate::frames::{self, Cutter, Hello, Kind, Welcome, head};
use crate::local::{self, Door, Hall};
use crate::paths::Paths;
use crate::store::place;

/// A hub says who it is within this, or is none.
const WELCOME_WITHIN: Duration = Duration::from_secs(5);

/// A hub that was started opens its door within this.
const START_WITHIN: Duration = Duration::from_secs(5);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(1);

/// After a start in vain, and at most after many of them.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A log file that is longer, in bytes, is moved aside.
pub const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How much the pipe of dispatched requests holds: far more of them than a hub has room for.
#[cfg(target_os = "linux")]
const DISPATCHED_BYTES: usize = 1024 * 1024;

/// A hub that said who it is.
#[derive(Debug)]
pub struct Hub {
    /// The conversation.
    pub stream: UnixStream,
    /// The numbers of the requests that were about to be written to a server; never blocks.
    pub dispatched: File,
    /// What else it said of itself.
    pub welcome: Welcome,
}

/// Finds hubs, one after the other.
#[derive(Debug)]
pub struct Hubs {
    door: Door,
    arguments: Vec<OsString>,
    log: PathBuf,
    child: Option<Child>,
    started: Option<Instant>,
    pause: Duration,
    not_before: Option<Instant>,
}

impl Hubs {
    /// The hubs of a data folder.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        let mut arguments: Vec<OsString> =
            vec!["hub".into(), "--data-dir".into(), paths.data_dir.clone().into()];
        if let Some(file) = &paths.config_file {
            arguments.extend(["--config".into(), file.clone().into()]);
        }
        Self {
            door: Hall::of(&paths.data_dir).door(local::HUB),
            arguments,
            log: paths.hub_log(),
            child: None,
            started: None,
            pause: PAUSE,
            not_before: None,
        }
    }

    /// Looks once for a hub, and starts one where there is none; to be called again after [`Hubs::rest`].
    ///
    /// # Errors
    /// When there is none yet.
    pub fn look(&mut self, hello: &Hello) -> io::Result<Hub> {
        let met = self.door.enter_blocking().and_then(|stream| meet(stream, hello));
        if met.is_ok() {
            self.pause = PAUSE;
            self.not_before = None;
        } else if !self.is_starting() && self.not_before.is_none_or(|at| Instant::now() >= at) {
            self.not_before = Some(Instant::now() + self.pause);
            self.pause = self.pause.mul_f32(1.6).min(PAUSE_MAX);
            self.start()?;
        }
        met
    }

    /// Waits for a moment.
    pub fn rest(&self) {
        std::thread::sleep(LOOK);
    }

    /// Whether a hub was started a moment ago, and has not ended.
    fn is_starting(&mut self) -> bool {
        let runs = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        runs && self.started.is_some_and(|at| at.elapsed() < START_WITHIN)
    }

    fn start(&mut self) -> io::Result<()> {
        let mut command = Command::new(program()?);
        command.arg0("bridge").args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(log(&self.log)?).spawn()?;
        tracing::info!(pid = child.id(), "hub started");
        (self.child, self.started) = (Some(child), Some(Instant::now()));
        Ok(())
    }
}

/// This very program, also when its file was removed or replaced since.
fn program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
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

/// Tells a hub who we are, and hears who it is.
fn meet(mut stream: UnixStream, hello: &Hello) -> io::Result<Hub> {
    let (dispatched, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&dispatched, true)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(&dispatched, DISPATCHED_BYTES) {
        tracing::debug!(%error, "pipe of dispatched requests is narrow");
    }
    stream.set_read_timeout(Some(WELCOME_WITHIN))?;
    stream.set_write_timeout(Some(WELCOME_WITHIN))?;
    let body = serde_json::to_vec(hello)?;
    say_hello(&stream, &[&head(Kind::Hello, 0, body.len())[..], &body].concat(), &theirs)?;
    let mut cutter = Cutter::default();
    let welcome = loop {
        if let Some(framed) = cutter.next_frame().map_err(io::Error::other)? {
            break framed;
        }
        // No more than the frame: what follows is for somebody else.
        let mut bytes = vec![0; cutter.missing()];
        stream.read_exact(&mut bytes)?;
        cutter.room().extend_from_slice(&bytes);
    };
    let welcome: Welcome = serde_json::from_slice(&welcome.body)?;
    if welcome.version != frames::VERSION {
        return Err(io::Error::other(format!("the hub speaks version {}", welcome.version)));
    }
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    Ok(Hub { stream, dispatched: dispatched.into(), welcome })
}

/// With the first bytes goes the writing end of the pipe.
fn say_hello(stream: &UnixStream, bytes: &[u8], dispatched: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let ends = [dispatched.as_fd()];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&ends)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
