//! What a session is, from one program to the next: a stream of frames.
//!
//! First a head in JSON with the stream's version, then lines byte by byte: those of the shadow, and what was read of
//! a line that has not ended. Then two frames for each request without an answer: what is known of it, of the
//! kind as which the next hub gets it, and its line. The last frame says that nothing is missing.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::fd::RawFd;
use std::sync::Mutex;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::frames::{Cutter, Framed, Kind, Welcome, head};
use crate::front::ledger::{self, Due, Ledger};
use crate::front::shadow::{self, Shadow};
use crate::front::{Book, Front, lock};
use crate::lines::{Excess, Rest};
use crate::store::ids::{CallId, CallIds};

/// The version of the state that this program writes, and the only one that it knows.
pub const VERSION: u32 = 1;

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BadState {
    /// Another program's.
    #[error(
        "the session was left in a state of version {0}, and this bridge knows version {VERSION}: start the bridge anew"
    )]
    Version(u32),
    /// Not all of it is there.
    #[error("the state in which the session was left is not whole: start the bridge anew")]
    Torn,
    /// Not what it says to be.
    #[error("the state in which the session was left cannot be understood: start the bridge anew")]
    Strange(#[from] serde_json::Error),
    /// The system refused.
    #[error("the session that was left cannot be gone on with: start the bridge anew")]
    Io(#[from] io::Error),
}

/// The numbers of the open ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The client's, that is read.
    pub stdin: RawFd,
    /// The client's, that is written.
    pub stdout: RawFd,
    /// The session's lock file, locked.
    pub lock: RawFd,
    /// The conversation with the hub: both said who they are, and nothing else was said.
    pub hub: RawFd,
    /// The pipe of dispatched requests.
    pub dispatched: RawFd,
}

/// What one program left to the next.
#[derive(Debug)]
pub struct Left {
    /// The session.
    pub front: Front,
    /// Its name in the record.
    pub session: String,
    /// What is open.
    pub ends: Numbers,
    /// The hub that was found.
    pub welcome: Welcome,
    /// What was read of a line that has not ended.
    pub rest: Rest,
}

#[derive(Debug, Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    session: String,
    ends: Numbers,
    welcome: Welcome,
    newest_call: u64,
    ledger: ledger::kept::Kept,
    shadow: shadow::kept::Kept,
    /// How many lines the shadow has.
    lines: usize,
    /// The line that has not ended is over the limit and has so many bytes.
    too_long: Option<usize>,
}

/// Writes down a session that no hub has, to be read by [`read`].
///
/// # Errors
/// When the file cannot be written.
pub fn write(
    file: &mut File,
    front: &Front,
    session: &str,
    ends: Numbers,
    welcome: &Welcome,
    rest: &Rest,
) -> io::Result<()> {
    let book = lock(&front.book);
    let lines = book.shadow.lines();
    let first = Head {
        version: VERSION,
        session: session.to_owned(),
        ends,
        welcome: welcome.clone(),
        newest_call: front.ids.newest().number().unsigned_abs(),
        ledger: book.ledger.keep(),
        shadow: book.shadow.keep(),
        lines: lines.len(),
        too_long: rest.too_long.as_ref().map(|excess| excess.bytes),
    };
    let mut out = BufWriter::new(file);
    frame(&mut out, Kind::Hello, 0, &serde_json::to_vec(&first)?)?;
    let of_rest = rest.too_long.iter().flat_map(|excess| [&excess.head[..], &excess.tail]);
    let lines = lines.iter().map(|line| &line[..]).chain([&rest.half[..]]).chain(of_rest);
    lines.into_iter().try_for_each(|line| frame(&mut out, Kind::Line, 0, line))?;
    for Due { seq, kind, line } in book.ledger.requests()?.into_iter().flatten() {
        frame(&mut out, kind, seq, &line)?;
    }
    frame(&mut out, Kind::Bye, 0, &[])?;
    out.flush()
}

fn frame(out: &mut impl Write, kind: Kind, seq: u64, body: &[u8]) -> io::Result<()> {
    out.write_all(&head(kind, seq, body.len()))?;
    out.write_all(body)
}

/// Reads what [`write`] wrote, from its beginning.
///
/// # Errors
/// When it is not whole, or of a version that is not known here.
pub fn read(mut file: File) -> Result<Left, BadState> {
    file.rewind()?;
    let mut frames = Frames { file: BufReader::new(file), cutter: Cutter::default() };
    let first = frames.next()?.body;
    let version = serde_json::from_slice::<Versioned>(&first)?.version;
    if version != VERSION {
        return Err(BadState::Version(version));
    }
    let Head { session, ends, welcome, newest_call, ledger, shadow, lines, too_long, .. } =
        serde_json::from_slice(&first)?;
    let lines = (0..lines).map(|_| frames.line()).collect::<Result<_, _>>()?;
    let shadow = Shadow::of_kept(shadow, lines).ok_or(BadState::Torn)?;
    let half = frames.line()?.into();
    let too_long = match too_long {
        Some(bytes) => Some(Excess { head: frames.line()?.into(), tail: frames.line()?.into(), bytes }),
        None => None,
    };
    let mut ledger = Ledger::of_kept(&ledger);
    loop {
        let known = frames.next()?;
        if known.kind == Kind::Bye {
            break;
        }
        ledger.enter_kept([known, frames.next()?])?;
    }
    let ids = CallId::given(newest_call).map_or_else(CallIds::new, CallIds::after);
    let book = Mutex::new(Book { ledger, shadow, is_hurried: false });
    let front = Front { book, ids, ..Front::default() };
    Ok(Left { front, session, ends, welcome, rest: Rest { half, too_long } })
}

/// Frames out of a file, each in memory of its own, so that a line that is done with is given back.
struct Frames {
    file: BufReader<File>,
    cutter: Cutter,
}

impl Frames {
    fn next(&mut self) -> Result<Framed, BadState> {
        loop {
            if let Some(framed) = self.cutter.next_frame().map_err(|_| BadState::Torn)? {
                return Ok(framed);
            }
            let (missing, room) = (self.cutter.missing(), self.cutter.room());
            let before = room.len();
            room.resize(before + missing, 0);
            self.file.read_exact(room.get_mut(before..).unwrap_or_default()).map_err(|_| BadState::Torn)?;
        }
    }

    fn line(&mut self) -> Result<Bytes, BadState> {
        self.next().map(|framed| framed.body)
    }
}
