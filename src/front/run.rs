//! A front at work: its threads, its hub, and its end.

mod absence;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::config::settings::Settings;
use crate::environment::Environment;
use crate::frames::{self, Cutter as Frames, Hello, Kind, Leaving, Variables, Why};
use crate::front::Front;
use crate::front::hubs::{Hub, Hubs, kill};
use crate::front::input::read_in;
use crate::front::output::{ToClient, to_client};
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

/// After the client has gone, the front is gone within this whatever the hub does.
const END_WITHIN: Duration = Duration::from_millis(450);

/// How much is read of a hub at once, in bytes, unless a frame is known to be longer.
const READ_BYTES: usize = 16 * 1024;

/// After so many frames it is read which requests were dispatched, so that the pipe never fills.
const DRAIN_AFTER: u32 = 1024;

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
    let mut life = Life {
        front: Arc::default(),
        hubs: Hubs::of(paths),
        hello: Hello {
            versions: frames::VERSIONS,
            session: id.to_string(),
            pid: std::process::id(),
            last_ask: 0,
            again: false,
            config: paths.config_file.clone(),
            environment: Variables(Environment::own().texts()),
            folder: std::env::current_dir().ok(),
            bridge: version::own().into(),
        },
        ending: Arc::default(),
    };
    let first = life.first_hub().map_err(|error| NoHub(error.to_string()))?;
    let (stdin, stdout) = pipes::take_files().map_err(no_hub)?;
    life.hear_signals().map_err(no_hub)?;
    let line_bytes_max =
        first.as_ref().map_or(Settings::default().in_line_max_bytes, |hub| hub.welcome.line_bytes_max);
    life.read(stdin, line_bytes_max).map_err(no_hub)?;
    match &first {
        Some(hub) => tracing::info!(session = %id, hub = hub.welcome.pid, "serving through a hub"),
        None => tracing::warn!(session = %id, "hub was stopped by its user, waiting for bridge start"),
    }
    pages::keep_nothing_large();
    if let Err(error) = life.serve(first, &mut to_client(stdout)) {
        tracing::warn!(%error, "client does not read any more");
        life.end(StopReason::OutputClosed);
    }
    tracing::info!(reason = life.ending.get().map(|reason| reason.word()), "stopped");
    lock.release();
    Ok(())
}

struct Life {
    front: Arc<Front>,
    hubs: Hubs,
    hello: Hello,
    /// The client has gone, and why.
    ending: Arc<OnceLock<StopReason>>,
}

impl Life {
    /// Goes from hub to hub until the client has gone.
    fn serve(&mut self, first: Option<Hub>, out: &mut ToClient) -> io::Result<()> {
        let mut next = match first {
            Some(hub) => Some(hub),
            None => self.next_hub(None, out)?,
        };
        while let Some(mut hub) = next {
            let attaching = {
                let (front, stream) = (Arc::clone(&self.front), hub.stream.try_clone()?);
                thread::Builder::new().name("bridge-attach".into()).spawn(move || front.attach(stream))?
            };
            let conversation = converse(&self.front, &mut hub, out);
            // Whoever writes to it is told; a hub that is only silent hears of it too.
            let _ = hub.stream.shutdown(Shutdown::Both);
            let _ = attaching.join();
            let parting = conversation?;
            if parting == Parting::Silent {
                kill(hub.welcome.pid);
            }
            if self.ending.get().is_some() {
                return Ok(());
            }
            last_dispatched(&self.front, &mut hub)?;
            self.hello.again = true;
            next = self.next_hub(self.part(&hub, parting, out)?, out)?;
        }
        Ok(())
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
            Parting::Gone | Parting::Silent => {
                let parting = if parting == Parting::Gone { "gone" } else { "silent" };
                tracing::warn!(hub, parting, unanswered, "hub lost");
                self.front.hub_died(out)?;
                None
            }
        };
        out.flush()?;
        Ok(left)
    }

    /// Reads the client on a thread of its own.
    fn read(&self, mut stdin: File, line_bytes_max: usize) -> io::Result<()> {
        let (front, ending) = (Arc::clone(&self.front), Arc::clone(&self.ending));
        thread::Builder::new().name("bridge-read".into()).spawn(move || {
            let reason = match read_in(&front, &mut stdin, line_bytes_max) {
                Ok(()) => StopReason::EndOfInput,
                Err(error) => {
                    tracing::error!(%error, "stdin cannot be read");
                    StopReason::InputFault
                }
            };
            end(&front, &ending, reason);
        })?;
        Ok(())
    }

    fn hear_signals(&self) -> io::Result<()> {
        let (front, ending) = (Arc::clone(&self.front), Arc::clone(&self.ending));
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        thread::Builder::new().name("bridge-signals".into()).spawn(move || {
            let mut heard = false;
            for signal in signals.forever() {
                if heard {
                    end_now(128 + signal);
                }
                heard = true;
                let (front, ending) = (Arc::clone(&front), Arc::clone(&ending));
                let reason = match signal {
                    SIGTERM => StopReason::Terminate,
                    SIGHUP => StopReason::HangUp,
                    _ => StopReason::Interrupt,
                };
                // A hub that does not read must not keep the second signal from being heard.
                let ending = move || end(&front, &ending, reason);
                if thread::Builder::new().name("bridge-end".into()).spawn(ending).is_err() {
                    end_now(128 + signal);
                }
            }
        })?;
        Ok(())
    }

    fn end(&self, reason: StopReason) {
        if self.ending.set(reason).is_ok() {
            self.front.bye(reason.word());
        }
    }
}

/// Tells the hub that the client has gone, and sees to it that the front ends.
fn end(front: &Front, ending: &OnceLock<StopReason>, reason: StopReason) {
    if ending.set(reason).is_err() {
        return;
    }
    let late = || {
        thread::sleep(END_WITHIN);
        end_now(0);
    };
    if thread::Builder::new().name("bridge-late".into()).spawn(late).is_err() {
        end_now(0);
    }
    front.bye(reason.word());
}

#[expect(clippy::exit, reason = "whoever waits for the hub or for the client would wait for ever")]
fn end_now(code: i32) -> ! {
    std::process::exit(code)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// It said that it ends.
    Left(Why),
    /// It has ended, or has closed the conversation.
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
    let (mut silences, mut frames, mut patience) = (0, 0_u32, STARTED);
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
            frames += 1;
            if frames.is_multiple_of(DRAIN_AFTER) {
                let _ = drain(front, &mut hub.dispatched);
            }
        }
        out.flush()?;
        match wait(&hub.stream, &out.get_ref(), patience)? {
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
        if !fill(&mut cutter, &hub.stream) {
            return Ok(Parting::Gone);
        }
    }
}

/// Reads some of what the hub said; false when that was all.
fn fill(cutter: &mut Frames, stream: &UnixStream) -> bool {
    let wanted = cutter.missing().max(READ_BYTES);
    let room = cutter.room();
    room.reserve_exact(wanted);
    loop {
        match rustix::io::read(stream, rustix::buffer::spare_capacity(room)) {
            Err(rustix::io::Errno::INTR) => {}
            came => return came.is_ok_and(|count| count > 0),
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
