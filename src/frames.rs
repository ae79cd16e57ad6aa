//! What a front and its hub say to each other: frames, each with its length first.
//!
//! A frame is a head of 13 bytes and a body: the body's length (4 bytes, little-endian), the kind (1), the
//! number of the request that it speaks of (8, little-endian; 0 for none). A stream that ends within a
//! frame ends before it: nobody ever sees half a line.

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};

/// The version of the frames that this program speaks best.
pub const VERSION: u32 = 1;

/// The oldest and the newest version that it speaks.
pub const VERSIONS: (u32, u32) = (1, VERSION);

/// The version that a hub speaks with a front that speaks these: the newest that both know, else its own,
/// which the front then refuses.
#[must_use]
pub fn version_for((_, newest): (u32, u32)) -> u32 {
    if newest < VERSIONS.0 { VERSION } else { newest.min(VERSION) }
}

/// The bytes of a head.
pub const HEAD_BYTES: usize = 13;

/// The longest body, in bytes: a line of the longest that a setting allows, and some room.
pub const BODY_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// Requests of a front that have no answer may have so many bytes; beyond it the client is not read. Its hub has
/// room for them and one more, so that a hub never stops reading a front, and hears that it is asked for a sign of
/// life.
pub const UNANSWERED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a request takes of that beside its own bytes.
pub const REQUEST_BYTES: usize = 1024;

/// A buffer that grew beyond this for one large frame is given back, in bytes.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// What a frame is. Whoever does not know a kind leaves the frame out: a newer peer may say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Front: who it is, and what is to be restored. JSON. The first frame.
    Hello,
    /// Hub: who it is. JSON. The first frame.
    Welcome,
    /// Front: a request of the client.
    Request,
    /// Either: a line that is no request of the client and no answer to one.
    Line,
    /// Front: a line that an earlier hub has answered, for this one to know; nobody waits for an answer.
    Restore,
    /// Front: a request that died with an earlier hub and that no server saw.
    Again,
    /// Front: one of which nobody knows whether a server has done it. Where that does no harm the hub does it
    /// again, else it records that, and says so.
    Lost,
    /// Front: one that saw two hubs die and that no server saw. The hub records that, and says so.
    Spent,
    /// Front: one that its client took back. The hub records that, and says nothing.
    Withdrawn,
    /// Hub: the answer to a request; without a body there is none, and nobody waits for one.
    Answer,
    /// Either: are you there? The other side says the same number back.
    Ping,
    /// Either: the answer to it.
    Pong,
    /// Front: the client has gone; the body is the reason's word.
    Bye,
    /// Front: one of which nobody knows whether a server has done it, and that is not done again in any case: it
    /// saw two hubs die. The hub records that, and says so.
    Unknown,
    /// Front: a line of the client that is too long; the body is what is left of it ([`Ends`]).
    TooLong,
    /// Hub: it ends in peace and says nothing more; the body is JSON ([`Leaving`]). Every request without an
    /// answer is the front's again.
    Leaving,
}

impl Kind {
    const ALL: [Self; 16] = [
        Self::Hello,
        Self::Welcome,
        Self::Request,
        Self::Line,
        Self::Answer,
        Self::Ping,
        Self::Pong,
        Self::Bye,
        Self::Restore,
        Self::Again,
        Self::Lost,
        Self::Spent,
        Self::Withdrawn,
        Self::TooLong,
        Self::Unknown,
        Self::Leaving,
    ];

    /// The byte that stands for it; never given to another kind.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Welcome => 2,
            Self::Request => 3,
            Self::Line => 4,
            Self::Answer => 5,
            Self::Ping => 6,
            Self::Pong => 7,
            Self::Bye => 8,
            Self::Restore => 9,
            Self::Again => 10,
            Self::Lost => 11,
            Self::Spent => 12,
            Self::Withdrawn => 13,
            Self::TooLong => 14,
            Self::Unknown => 15,
            Self::Leaving => 16,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }
}

/// Who a front is: the body of [`Kind::Hello`]. With it comes the writing end of a pipe, into which the hub
/// writes the number of each request (8 bytes, little-endian) before it writes the request to a server. What
/// is in a pipe outlives its writer: so the front knows which requests had left a hub that died, and the
/// pipe's end tells it that no more will.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest and the newest version of the frames that it speaks.
    pub versions: (u32, u32),
    /// Its session in the record, as text; it holds the lock.
    pub session: String,
    /// Its process.
    pub pid: u32,
    /// The newest id under which its client was asked something.
    pub last_ask: u32,
    /// An earlier hub of it died.
    pub again: bool,
    /// The configuration that it was started with.
    pub config: Option<std::path::PathBuf>,
    /// The variables that its client gave it, for the references of the configuration and the little that servers
    /// inherit.
    pub environment: Variables,
    /// The folder in which its client started it.
    pub folder: Option<std::path::PathBuf>,
    /// The version of its program.
    #[serde(default)]
    pub bridge: String,
}

/// The variables of a front. What `Debug` shows holds none of them.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variables(pub std::collections::BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} variables", self.0.len())
    }
}

/// Who a hub is: the body of [`Kind::Welcome`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// The version of the frames that both speak.
    pub version: u32,
    /// Its process.
    pub pid: u32,
    /// The longest line that the client may send, in bytes.
    pub line_bytes_max: usize,
    /// The version of its program.
    #[serde(default)]
    pub bridge: String,
    /// Where its program lies; nothing when that was removed or replaced since.
    #[serde(default)]
    pub program: Option<std::path::PathBuf>,
    /// From which versions of a front's state its program can go on, in that front's place.
    #[serde(default)]
    pub resumes: Vec<u32>,
}

/// The ends of a line that is too long: the body of [`Kind::TooLong`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends<'a> {
    /// How many bytes the line had.
    pub bytes: u64,
    /// Its first bytes.
    pub head: &'a [u8],
    /// Its last bytes.
    pub tail: &'a [u8],
}

impl<'a> Ends<'a> {
    /// As it crosses: the length (8 bytes, little-endian), the head, a line end, the tail.
    #[must_use]
    pub fn body(&self) -> Bytes {
        [&self.bytes.to_le_bytes(), self.head, b"\n", self.tail].concat().into()
    }

    /// Reads a body; `None` when it is none.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let (bytes, ends) = body.split_first_chunk()?;
        let (head, tail) = ends.split_at(memchr::memchr(b'\n', ends)?);
        Some(Self { bytes: u64::from_le_bytes(*bytes), head, tail: tail.get(1..)? })
    }
}

/// Why a hub ends that was not killed: the body of [`Kind::Leaving`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// The reason.
    pub why: Why,
}

/// A reason to end in peace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// Another hub takes its place.
    Upgrade,
    /// Its user asked it to: no hub is started before it is needed.
    Stop,
    /// A signal, and whatever a newer hub may know beside these.
    #[serde(other)]
    Signal,
}

impl Why {
    /// Its word in frames and log lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Stop => "stop",
            Self::Signal => "signal",
        }
    }
}

/// One frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed {
    /// What it is.
    pub kind: Kind,
    /// The request that it speaks of; 0 for none.
    pub seq: u64,
    /// The rest.
    pub body: Bytes,
}

/// Why a stream is not one of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} bytes: this is no stream of frames")]
pub struct TooLong {
    /// The length that it claims.
    pub bytes: usize,
}

/// The head of a frame whose body has so many bytes. A longer body than the limit is cut by nobody: the other
/// side refuses it.
#[must_use]
pub fn head(kind: Kind, seq: u64, body_bytes: usize) -> [u8; HEAD_BYTES] {
    let length = u32::try_from(body_bytes).unwrap_or(u32::MAX);
    let mut head = [0; HEAD_BYTES];
    let (first, rest) = head.split_at_mut(4);
    first.copy_from_slice(&length.to_le_bytes());
    let (byte, number) = rest.split_at_mut(1);
    byte.fill(kind.byte());
    number.copy_from_slice(&seq.to_le_bytes());
    head
}

/// Cuts a stream into frames.
#[derive(Debug, Default)]
pub struct Cutter {
    buffer: Vec<u8>,
    /// Where the next frame begins in the buffer.
    start: usize,
}

impl Cutter {
    /// Where the next bytes of the stream are to be added. What a large frame took is given back.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
        &mut self.buffer
    }

    /// How many bytes are missing to the next whole frame, at least; 0 when one is there.
    #[must_use]
    pub fn missing(&self) -> usize {
        let whole = self.claimed().map_or(HEAD_BYTES, |body| HEAD_BYTES.saturating_add(body));
        whole.saturating_sub(self.rest().len())
    }

    /// The next whole frame of a kind that is known.
    ///
    /// # Errors
    /// When the stream is not one of frames.
    pub fn next_frame(&mut self) -> Result<Option<Framed>, TooLong> {
        loop {
            let Some(bytes) = self.claimed() else { return Ok(None) };
            if bytes > BODY_BYTES_MAX {
                return Err(TooLong { bytes });
            }
            if self.missing() > 0 {
                return Ok(None);
            }
            let mut head = self.rest();
            head.advance(4);
            let (kind, seq) = (head.get_u8(), head.get_u64_le());
            let body = self.take(bytes);
            if let Some(kind) = Kind::of(kind) {
                return Ok(Some(Framed { kind, seq, body }));
            }
        }
    }

    /// Takes the next frame, and gives its body of so many bytes.
    fn take(&mut self, bytes: usize) -> Bytes {
        let body = self.start + HEAD_BYTES..self.start + HEAD_BYTES + bytes;
        if bytes > KEPT_BYTES_MAX && self.buffer.len() - body.end < bytes {
            // A large body leaves with the buffer, and what came after it is the less.
            let after = self.buffer.split_off(body.end);
            let whole = std::mem::replace(&mut self.buffer, after);
            self.start = 0;
            return Bytes::from(whole).slice(body);
        }
        self.start = body.end;
        Bytes::copy_from_slice(self.buffer.get(body).unwrap_or_default())
    }

    /// The length of the next body, as its head says it.
    fn claimed(&self) -> Option<usize> {
        let length = self.rest().get(..HEAD_BYTES)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*length)).ok()
    }

    /// What was not taken yet.
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
