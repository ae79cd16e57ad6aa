//! A front at work: its threads, its hub, and its end.

mod absence;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions};

use crate::config::settings::Settings;
use crate::environment::Environment;
use crate::frames::{self, Cutter as Frames, Hello, Kind, Leaving, Variables, Why};
use crate::front::hubs::{Hub, Hubs, kill};
use crate::front::input::Input;
use crate::front::output::{ToClient, to_client};
use crate::front::resume::state::{self, BadState, Left};
use crate::front::resume::{self, exec};
use crate::front::threads::{End, Ending, Threads, leave};
use crate::front::{Front, signals};
use crate::lines::Rest;
use crate::pages;
use crate::paths::Paths;
use crate::pipes;
use crate::shutdown::StopReason;
use crate::store::ids::SessionId;
use crate::store::lock::SessionLock;
use crate::store::stamp;
use crate::version;

/// A hub that says nothing for so long is asked whether it is there.
const SILENT: Duration = Duration::from_secs(5);

/// After the first pause of this length the start is over.
const STARTED: Duration = Duration::from_secs(1);

/// One that does not answer for so many times that long is ended.
const SILENCES_MAX: u32 = 2;

/// A hub that is gone lets go of the pipe within this, or is ended.
const GONE_WITHIN: Duration = Duration::from_millis(500);

/// How much is read of a hub at once, in bytes, unless a frame is known to be longer.
const READ_BYTES: usize = 16 * 1024;

/// Why a session is not served by a hub.
#[derive(Debug, thiserror::Error)]
#[error("no hub can be started: {0}; if one was tried, logs/hub.log in the data folder says why it ended")]
pub struct NoHub(String);

/// Serves the client on stdin and stdout through a hub, until either ends or a signal comes.
///
/// # Errors
/// When there is no hub, and none can be started; nothing was read yet.
pub fn run(paths: &Paths) -> Result<(), NoHub> {
    let no_hub = |error: io::Error| NoHub(error.to_string());
    let id = SessionId::of_front(stamp::now_ms());
    let lock = SessionLock::create(&paths.data_dir, id).map_err(no_hub)?;
    let (mut hubs, hello) = (Hubs::of(paths), hello(paths, id));
    let first = absence::first_hub(&mut hubs, &hello).map_err(|error| NoHub(error.to_string()))?;
    let (stdin, stdout) = pipes::take_files().map_err(no_hub)?;
    let (front, ending, mut out) = (Arc::default(), End::of(lock), to_client(stdout));
    let line_bytes_max =
        first.as_ref().map_or(Settings::default().in_line_max_bytes, |hub| hub.welcome.line_bytes_max);
    let input = Input::new(stdin, line_bytes_max, Rest::default());
    let threads = Threads::begin(&front, &ending, input).map_err(no_hub)?;
    match &first {
        Some(hub) => tracing::info!(session = %id, hub = hub.welcome.pid, "serving through a hub"),
        None => tracing::warn!(session = %id, "hub was stopped by its user, waiting for bridge start"),
    }
    let mut life = Life { front, hubs, hello, ending, threads, is_closed: false };
    let served = life.serve(first, &mut out);
    life.end(served);
    Ok(())
}

/// Goes on with a session that an older program of this process has left, as its state tells.
///
/// # Errors
/// When the state cannot be understood, or its ends are not there: the session is over then.
pub fn resume(paths: &Paths, state: RawFd) -> Result<(), BadState> {
    let Left { front, session, ends, welcome, rest } = state::read(exec::taken(state)?)?;
    let id = SessionId::parse(&session).ok_or(BadState::Torn)?;
    let lock = SessionLock::taken_over(&paths.data_dir, id, exec::taken(ends.lock)?)?;
    let (stdin, mut out) = (exec::taken(ends.stdin)?, to_client(exec::taken(ends.stdout)?));
    let stream = UnixStream::from(OwnedFd::from(exec::taken(ends.hub)?));
    let hub = Hub { stream, dispatched: exec::taken(ends.dispatched)?, welcome };
    let (front, ending) = (Arc::new(front), End::of(lock));
    let (pid, unanswered) = (hub.welcome.pid, front.unanswered());
    let threads = Threads::begin(&front, &ending, Input::new(stdin, hub.welcome.line_bytes_max, rest))?;
    tracing::info!(session = %id, hub = pid, version = version::own(), unanswered, "going on as a newer bridge");
    // Hubs of the older program that have ended: nobody else waits for them.
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    let mut life =
        Life { front, hubs: Hubs::of(paths), hello: hello(paths, id), ending, threads, is_closed: false };
    let served = life.talk(hub, &mut out).and_then(|next| {
        // This one too, if it was.
        let _ = rustix::process::waitpid(pid.try_into().ok().and_then(Pid::from_raw), WaitOptions::NOHANG);
        life.go_on(next, &mut out)
    });
    life.end(served);
    Ok(())
}

/// A front at work.
pub struct Life {
    /// Its session.
    pub front: Arc<Front>,
    hubs: Hubs,
    hello: Hello,
    /// Whether the client has gone, and why.
    pub ending: Ending,
    /// Who listens.
    pub threads: Threads,
    /// A hub that was told of the end has closed the session.
    is_closed: bool,
}

fn hello(paths: &Paths, session: SessionId) -> Hello {
    Hello {
        versions: frames::VERSIONS,
        session: session.to_string(),
        pid: std::process::id(),
        last_ask: 0,
        again: false,
        config: paths.config_file.clone(),
        environment: Variables(Environment::own().texts()),
        folder: std::env::current_dir().ok(),
        bridge: version::own().into(),
    }
}

impl Life {
    /// The session that the client has.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.hello.session
    }

    fn serve(&mut self, first: Option<Hub>, out: &mut ToClient) -> io::Result<()> {
        let first = match first {
            Some(hub) => Some(hub),
            None => self.next_hub(None, out)?,
        };
        self.go_on(first, out)
    }

    /// Goes from hub to hub until the client has gone.
    fn go_on(&mut self, mut next: Option<Hub>, out: &mut ToClient) -> io::Result<()> {
        while let Some(hub) = next {
            resume::as_newer(self, &hub, out)?;
            next = self.talk(hub, out)?;
        }
        Ok(())
    }

    /// Serves the client through one hub as long as there is that; then there is the next one, or the client has gone.
    fn talk(&mut self, mut hub: Hub, out: &mut ToClient) -> io::Result<Option<Hub>> {
        let attaching = {
            let (front, ending) = (Arc::clone(&self.front), Arc::clone(&self.ending));
            let stream = hub.stream.try_clone()?;
            let attach = move || {
                front.attach(stream);
                // Who went before had nobody to say so to.
                if let Some(reason) = ending.get() {
                    front.bye(reason.word());
                }
            };
            signals::quiet(|| thread::Builder::new().name("bridge-attach".into()).spawn(attach))?
        };
        pages::keep_nothing_large();
        let parting =
            converse(&self.front, &mut hub, out).unwrap_or_else(|error| self.no_client(&error, &hub));
        // Whoever writes to it is told; a hub that is only silent hears of it too.
        let _ = hub.stream.shutdown(Shutdown::Both);
        let _ = attaching.join();
        if parting == Parting::Silent {
            kill(hub.welcome.pid);
        }
        if self.ending.get().is_some() {
            self.is_closed = parting == Parting::Closed && self.front.is_told();
            return Ok(None);
        }
        last_dispatched(&self.front, &mut hub)?;
        self.hello.again = true;
        let left = self.part(&hub, parting, out)?;
        self.next_hub(left, out)
    }

    /// The hub is gone: what is said of it, and why it went, if it said so.
    fn part(&self, hub: &Hub, parting: Parting, out: &mut ToClient) -> io::Result<Option<Why>> {
        let (hub, unanswered) = (hub.welcome.pid, self.front.unanswered());
        let left = match parting {
            Parting::Left(why) => {
                tracing::info!(hub, why = why.word(), unanswered, "hub left");
                self.front.hub_left(out)?;
                Some(why)
            }
            Parting::Closed | Parting::Gone | Parting::Silent => {
                let parting = if parting == Parting::Silent { "silent" } else { "gone" };
                tracing::warn!(hub, parting, unanswered, "hub lost");
                self.front.hub_died(out)?;
                None
            }
        };
        out.flush()?;
        Ok(left)
    }

    /// The client does not read any more: the hub is told, and waited for until the front has to go.
    fn no_client(&self, error: &io::Error, hub: &Hub) -> Parting {
        tracing::warn!(%error, "client does not read any more");
        if self.ending.set(StopReason::OutputClosed) {
            leave(&self.front, StopReason::OutputClosed);
        }
        io::copy(&mut &hub.stream, &mut io::sink()).map_or(Parting::Gone, |_| Parting::Closed)
    }

    fn end(self, served: io::Result<()>) {
        if let Err(error) = served
            && self.ending.set(StopReason::OutputClosed)
        {
            tracing::warn!(%error, "client does not read any more");
        }
        tracing::info!(reason = self.ending.get().map(|reason| reason.word()), "stopped");
        if self.is_closed {
            self.ending.lock.remove();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// It said that it ends.
    Left(Why),
    /// It has closed the conversation, and had read all of it.
    Closed,
    /// It has ended, and had not.
    Gone,
    /// It does not answer.
    Silent,
}

/// Takes what a hub says until it is lost.
///
/// # Errors
/// When the client does not read any more.
fn converse(front: &Front, hub: &mut Hub, out: &mut ToClient) -> io::Result<Parting> {
    let mut cutter = Frames::default();
    let (mut silences, mut patience) = (0, STARTED);
    loop {
        loop {
            match cutter.next_frame() {
                Ok(Some(framed)) if framed.kind == Kind::Ping => front.say(Kind::Pong, framed.seq),
                Ok(Some(framed)) if framed.kind == Kind::Leaving => {
                    let why = serde_json::from_slice::<Leaving>(&framed.body).map(|leaving| leaving.why);
                    return Ok(Parting::Left(why.unwrap_or(Why::Signal)));
                }
                Ok(Some(framed)) => front.take(&framed, out)?,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "hub cannot be understood");
                    return Ok(Parting::Silent);
                }
            }
        }
        out.flush()?;
        let waited = wait(&hub.stream, &out.get_ref(), patience)?;
        // The pipe may be small, and a hub whose pipe is full dispatches nothing.
        let _ = drain(front, &mut hub.dispatched);
        match waited {
            Waited::Readable => silences = 0,
            Waited::HungUp => return Err(io::ErrorKind::BrokenPipe.into()),
            Waited::InVain if patience == STARTED => {
                patience = SILENT;
                pages::forget_start();
                continue;
            }
            Waited::InVain => {
                silences += 1;
                if silences >= SILENCES_MAX {
                    return Ok(Parting::Silent);
                }
                front.say(Kind::Ping, 0);
                continue;
            }
        }
        match fill(&mut cutter, &hub.stream) {
            Ok(0) => return Ok(Parting::Closed),
            Ok(_) => {}
            Err(_) => return Ok(Parting::Gone),
        }
    }
}

/// Reads some of what the hub said; nothing when that was all.
fn fill(cutter: &mut Frames, stream: &UnixStream) -> rustix::io::Result<usize> {
    let wanted = cutter.missing().max(READ_BYTES);
    let room = cutter.room();
    room.reserve_exact(wanted);
    loop {
        match rustix::io::read(stream, rustix::buffer::spare_capacity(room)) {
            Err(rustix::io::Errno::INTR) => {}
            came => return came,
        }
    }
}

enum Waited {
    Readable,
    /// The client has closed its end.
    HungUp,
    InVain,
}

fn wait(hub: &impl AsFd, client: &impl AsFd, patience: Duration) -> io::Result<Waited> {
    let mut ends = [PollFd::new(hub, PollFlags::IN), PollFd::new(client, PollFlags::empty())];
    let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
    let count = match poll(&mut ends, Some(&timeout)) {
        Err(rustix::io::Errno::INTR) => return Ok(Waited::Readable),
        count => count?,
    };
    let [hub, client] = ends;
    Ok(if count == 0 {
        Waited::InVain
    } else if hub.revents().is_empty() && !client.revents().is_empty() {
        Waited::HungUp
    } else {
        Waited::Readable
    })
}

/// Reads which requests were dispatched; false at the end, when no more will be.
fn drain(front: &Front, dispatched: &mut File) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    loop {
        match dispatched.read(&mut bytes) {
            Ok(0) => return Ok(false),
            // Each number was written at once, and numbers divide what is read at once.
            Ok(count) => bytes
                .get(..count)
                .unwrap_or_default()
                .as_chunks::<8>()
                .0
                .iter()
                .for_each(|number| front.dispatched(u64::from_le_bytes(*number))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits until the hub that is gone dispatches nothing more; one that lives on is ended.
fn last_dispatched(front: &Front, hub: &mut Hub) -> io::Result<()> {
    for patience in [GONE_WITHIN, Duration::from_secs(5)] {
        let deadline = Instant::now() + patience;
        while drain(front, &mut hub.dispatched)? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                kill(hub.welcome.pid);
                break;
            }
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut ends = [PollFd::new(&hub.dispatched, PollFlags::IN)];
            match poll(&mut ends, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
