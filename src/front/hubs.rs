//! How a front comes to a hub: through its door, and by starting one where nobody listens.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal};

use crate::frames::{self, Cutter, Hello, Kind, Welcome, head};
use crate::front::starts::{SUCCEED_OLDER, Starts, end, own_program};
use crate::local::notes::Program;
use crate::local::{self, Door, Hall};
use crate::paths::Paths;
use crate::version;

/// A hub says who it is within this, or is none.
const WELCOME_WITHIN: Duration = Duration::from_secs(5);

/// One that does not say it so many times in a row is ended.
const DEAF_MAX: u32 = 2;

/// A hub that was started opens its door within this.
const START_WITHIN: Duration = Duration::from_secs(5);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(1);

/// So long after its start; from then on it is looked less often.
const SOON: Duration = Duration::from_secs(2);
const LOOK_LATER: Duration = Duration::from_millis(25);

/// One that has its place opens its door, or ends, within this.
const HIDDEN_WITHIN: Duration = Duration::from_secs(15);

/// After a start in vain, and at most after many of them.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How much the pipe of dispatched requests holds: far more of them than a hub has room for.
#[cfg(target_os = "linux")]
const DISPATCHED_BYTES: usize = 256 * 1024;

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

/// Why there is no hub yet.
#[derive(Debug, thiserror::Error)]
pub enum NoHub {
    /// None is to be started until its user says so.
    #[error("the hub was stopped by its user (bridge stop --hold); bridge start starts it again")]
    Held,
    /// It cannot be started, or reached.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It speaks other versions of the frames.
    #[error("the hub speaks version {}", .0.version)]
    Stranger(Box<Welcome>),
}

/// Finds hubs, one after the other.
#[derive(Debug)]
pub struct Hubs {
    door: Door,
    starts: Starts,
    child: Option<Started>,
    /// Those before it, as long as they run: one that another hub was quicker than ends by itself.
    others: Vec<Child>,
    /// Since when nobody has listened.
    silent_since: Option<Instant>,
    pause: Duration,
    not_before: Option<Instant>,
    /// This program, which is newer, was started to take an older hub's place.
    has_succeeded: bool,
    /// So many times in a row somebody let us in and said nothing.
    deaf: u32,
}

/// A process that is to be the hub.
#[derive(Debug)]
struct Started {
    process: Child,
    at: Instant,
    /// The program that was chosen in place of our own, and since when it is tried.
    chosen: Option<(Program, Instant)>,
}

impl Hubs {
    /// The hubs of a data folder.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        Self {
            door: Hall::of(&paths.data_dir).door(local::HUB),
            starts: Starts::of(paths),
            child: None,
            others: Vec::new(),
            silent_since: None,
            pause: PAUSE,
            not_before: None,
            has_succeeded: false,
            deaf: 0,
        }
    }

    /// Looks once for a hub, and starts one where there is none; to be called again after [`Hubs::rest`].
    ///
    /// # Errors
    /// When there is none yet.
    pub fn look(&mut self, hello: &Hello) -> Result<Hub, NoHub> {
        let met = self.find(hello);
        self.others.retain_mut(|other| matches!(other.try_wait(), Ok(None)));
        self.end_deaf(met.as_ref().err());
        self.end_hidden(met.as_ref().err());
        if met.is_ok() {
            self.pause = PAUSE;
            self.not_before = None;
            // Whatever becomes of it now, it was ready.
            self.child.iter_mut().for_each(|child| child.chosen = None);
        } else if self.starts.notes.is_held() {
            return Err(NoHub::Held);
        } else if !self.is_starting() && self.not_before.is_none_or(|at| Instant::now() >= at) {
            self.not_before = Some(Instant::now() + self.pause);
            self.pause = self.pause.mul_f32(1.6).min(PAUSE_MAX);
            self.start()?;
        }
        met
    }

    /// Looks once for a hub, and starts none. One of an older version is asked to make way for this program,
    /// and serves until then.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&mut self, hello: &Hello) -> Result<Hub, NoHub> {
        let met = self.door.enter_blocking().map_err(NoHub::from).and_then(|stream| meet(stream, hello));
        match &met {
            Ok(hub) => self.succeed(&hub.welcome),
            Err(NoHub::Stranger(welcome)) => self.succeed(welcome),
            Err(_) => {}
        }
        met
    }

    /// Ends a hub that hangs before it has said who it is.
    fn end_deaf(&mut self, error: Option<&NoHub>) {
        let is_deaf = error
            .is_some_and(|error| matches!(error, NoHub::Io(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)));
        self.deaf = if is_deaf { self.deaf + 1 } else { 0 };
        if self.deaf >= DEAF_MAX
            && let Some(hub) = self.door.keeper()
        {
            tracing::warn!(hub, "hub does not say who it is, and is ended");
            kill(hub);
        }
    }

    /// Ends a hub that has its place and opens no door: none needs so long to begin, or to end.
    fn end_hidden(&mut self, error: Option<&NoHub>) {
        let is_hidden = error.is_some_and(|error| matches!(error, NoHub::Io(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)));
        if !is_hidden {
            self.silent_since = None;
        } else if self.silent_since.get_or_insert_with(Instant::now).elapsed() >= HIDDEN_WITHIN
            && let Some(hub) = self.door.keeper()
        {
            self.silent_since = None;
            tracing::warn!(hub, "hub opens no door, and is ended");
            kill(hub);
        }
    }

    /// Whether what stands in the way hangs, and is ended for that soon: somebody who let us in and does not say who
    /// it is, or a program that was chosen in place of our own.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        self.deaf > 0 || self.child.as_ref().is_some_and(|child| child.chosen.is_some())
    }

    /// Waits for a moment: a hub that was just started is there soon.
    pub fn rest(&self) {
        let is_soon = self.child.as_ref().is_some_and(|child| child.at.elapsed() < SOON);
        std::thread::sleep(if is_soon { LOOK } else { LOOK_LATER });
    }

    /// Takes an older hub's place, once. Whoever fails says so in the hubs' log, and the older one goes on.
    fn succeed(&mut self, hub: &Welcome) {
        if self.has_succeeded || !version::is_newer(version::own(), &hub.bridge) {
            return;
        }
        self.has_succeeded = true;
        tracing::info!(
            hub = hub.pid,
            version = hub.bridge,
            "hub is older than this program, which takes its place"
        );
        match own_program().and_then(|own| self.starts.start(&own, &[SUCCEED_OLDER])) {
            Ok(process) => self.child = Some(Started { process, at: Instant::now(), chosen: None }),
            Err(error) => tracing::warn!(%error, "going on with the older hub"),
        }
    }

    /// Whether a hub was started a moment ago, and has not ended. A chosen program that fails is given up.
    fn is_starting(&mut self) -> bool {
        let Some(Started { process, at, chosen }) = &mut self.child else { return false };
        let ended = process.try_wait().ok().flatten();
        let because = match ended {
            Some(status) if status.code().is_some_and(|code| code != 0) => {
                Some(format!("it ended: {status}"))
            }
            _ if chosen.as_ref().is_some_and(|(_, since)| since.elapsed() >= START_WITHIN) => {
                Some(format!("it was not ready within {} s", START_WITHIN.as_secs()))
            }
            _ => None,
        };
        if let (Some(because), Some((program, _))) = (because, &chosen) {
            end(process);
            self.starts.roll_back(&program.path, &because);
            self.child = None;
            self.not_before = None;
            return false;
        }
        ended.is_none() && at.elapsed() < START_WITHIN
    }

    fn start(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let tried = self.child.take().and_then(|Started { process, chosen, .. }| {
            self.others.push(process);
            chosen
        });
        if let Some(program) = self.starts.chosen() {
            match self.starts.start(&program.path, &[]) {
                Ok(process) => {
                    // One that is killed again and again has no more time than one that hangs.
                    let since =
                        tried.filter(|(before, _)| *before == program).map_or(now, |(_, since)| since);
                    self.child = Some(Started { process, at: now, chosen: Some((program, since)) });
                    return Ok(());
                }
                Err(error) => self.starts.roll_back(&program.path, &format!("it cannot be started: {error}")),
            }
        }
        let process = self.starts.start(&own_program()?, &[])?;
        self.child = Some(Started { process, at: now, chosen: None });
        Ok(())
    }
}

/// Ends a hub at once.
pub fn kill(hub: u32) {
    if let Some(pid) = i32::try_from(hub).ok().and_then(Pid::from_raw) {
        // It may be gone already.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Tells a hub who we are, and hears who it is.
fn meet(mut stream: UnixStream, hello: &Hello) -> Result<Hub, NoHub> {
    let (dispatched, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    rustix::io::ioctl_fionbio(&dispatched, true).map_err(io::Error::from)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(&dispatched, DISPATCHED_BYTES) {
        tracing::debug!(%error, "pipe of dispatched requests is narrow");
    }
    stream.set_read_timeout(Some(WELCOME_WITHIN))?;
    stream.set_write_timeout(Some(WELCOME_WITHIN))?;
    let body = serde_json::to_vec(hello).map_err(io::Error::from)?;
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
    let welcome: Welcome = serde_json::from_slice(&welcome.body).map_err(io::Error::from)?;
    let (oldest, newest) = frames::VERSIONS;
    if !(oldest..=newest).contains(&welcome.version) {
        return Err(NoHub::Stranger(Box::new(welcome)));
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::frames::Variables;
    use crate::paths::Overrides;

    #[test]
    fn a_hub_that_speaks_otherwise_is_a_stranger() {
        let room = tempfile::tempdir().unwrap();
        let overrides = Overrides { data_dir: Some(room.path().to_owned()), ..Overrides::default() };
        let paths = Paths::find(overrides).unwrap();
        Hall::of(room.path()).make().unwrap();
        let listener = UnixListener::bind(room.path().join("run/hub.sock")).unwrap();
        let theirs = std::thread::spawn(move || {
            let welcome = r#"{"version":99,"pid":1,"line_bytes_max":1,"bridge":"99.0.0","more":{}}"#;
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(&[&head(Kind::Welcome, 0, welcome.len())[..], welcome.as_bytes()].concat())
                .unwrap();
            stream
        });
        let hello = Hello {
            versions: frames::VERSIONS,
            session: String::new(),
            pid: 1,
            last_ask: 0,
            again: false,
            config: None,
            environment: Variables::default(),
            folder: None,
            bridge: version::own().into(),
        };
        let met = Hubs::of(&paths).find(&hello).unwrap_err();
        assert_eq!(met.to_string(), "the hub speaks version 99");
        drop(theirs.join());
    }
}
