//! A line of JSON-RPC: its envelope, the spans in it, and the splice that changes only those.
//!
//! A message that only passes through is never decoded into a model and encoded again: the few
//! bytes that must change (an id, a tool's name) are cut out and replaced, every other byte leaves
//! as it came (house.md, "Two decisions that carry the rest").

mod peek;
mod salvage;
mod skim;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use peek::{
    Meta, Params, ResultPeek, cancelled_id, legacy_meta, members, object, progress_token, result_of, task_of,
    without,
};
pub use salvage::{id_at_ends, id_in_head, id_in_tail, is_answer_in_head};

/// Where a value stands in its line, in bytes.
pub type Span = Range<usize>;

/// Lines up to this size are copied when they are spliced; larger ones are sent in pieces.
const FLAT_BYTES_MAX: usize = 16 * 1024;

/// The envelope of one message, borrowed from its line. Unknown members are left alone.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// The request's id, as it was written.
    #[serde(borrow, default, deserialize_with = "present")]
    pub id: Option<&'a RawValue>,
    /// The method of a request or a notification.
    #[serde(borrow, default)]
    pub method: Option<Cow<'a, str>>,
    /// The params of a request or a notification.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    /// What stands out in the result of a response.
    #[serde(borrow, default, deserialize_with = "present")]
    pub result: Option<ResultPeek<'a>>,
    /// The error of a response.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// A member that is there, also when it is null.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// What a message is, told from the members that it has (JSON-RPC 2.0, sections 4 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has a method and an id that is not null.
    Request,
    /// It has a method and no id.
    Notification,
    /// It has an id and a result or an error.
    Response,
    /// It is JSON, and no message.
    Stray,
}

/// Why a line is no message.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The line is not UTF-8.
    #[error("the line is not valid UTF-8")]
    Encoding,
    /// The line is not JSON.
    #[error("the line is not valid JSON")]
    Syntax,
    /// The line is JSON of another form than an object with the members of an envelope.
    #[error("the line is not a JSON-RPC message")]
    Form,
    /// The line is a batch.
    #[error("the line is a JSON-RPC batch")]
    Batch,
}

impl<'a> Envelope<'a> {
    /// Parses one line, once.
    ///
    /// # Errors
    /// When the line is not UTF-8, not JSON, not an object, or begins like an array of messages.
    pub fn parse(line: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(line).map_err(|_| Malformed::Encoding)?;
        // A derived struct would take an array for its members in order.
        if text.trim_start().starts_with('[') {
            return Err(Malformed::Batch);
        }
        if line.len() >= skim::WORTH_BYTES
            && let Some(envelope) = skim::envelope(text)
        {
            return Ok(envelope);
        }
        serde_json::from_str(text).or_else(|error| {
            Self::with_odd_result(text).ok_or_else(|| match error.classify() {
                serde_json::error::Category::Data => Malformed::Form,
                _ => Malformed::Syntax,
            })
        })
    }

    /// A response whose result is a number that no computer has room for, as in `1E400`: it is JSON, and
    /// whoever asked decides what to make of it.
    fn with_odd_result(text: &'a str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Odd<'a> {
            #[serde(borrow)]
            id: &'a RawValue,
            #[serde(borrow)]
            result: &'a RawValue,
        }
        let Odd { id, result } = serde_json::from_str(text).ok()?;
        let is_number = result.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let result = is_number.then(ResultPeek::default)?;
        Some(Self { id: Some(id), method: None, params: None, result: Some(result), error: None })
    }

    /// Tells what the message is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let id = self.id.filter(|id| id.get() != "null");
        match (&self.method, id) {
            (Some(_), Some(_)) => Kind::Request,
            (Some(_), None) if self.id.is_none() => Kind::Notification,
            (None, Some(_)) if self.result.is_some() || self.error.is_some() => Kind::Response,
            _ => Kind::Stray,
        }
    }
}

/// The members of a batch, each with its own bytes.
///
/// # Errors
/// When the line is not an array.
pub fn batch(line: &[u8]) -> Result<Vec<&RawValue>, serde_json::Error> {
    serde_json::from_slice(line)
}

/// Where `part`, a slice of `line`, stands in it; `None` when it is not one.
#[must_use]
pub fn span_of(line: &[u8], part: &str) -> Option<Span> {
    let start = (part.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= line.len()).then_some(start..end)
}

/// One line on its way out, with its line end; in one piece, or in several when it is large.
#[derive(Debug, Clone)]
pub enum Frame {
    /// The whole line.
    Flat(Bytes),
    /// The pieces of the line, in order.
    Pieces(Vec<Bytes>),
}

impl Frame {
    /// A line that the bridge wrote itself; `line` has no line end yet.
    #[must_use]
    pub fn own(mut line: Vec<u8>) -> Self {
        line.push(b'\n');
        Self::Flat(line.into())
    }

    /// A line as it came, with nothing changed.
    #[must_use]
    pub fn whole(line: &Bytes) -> Self {
        splice(line, &[])
    }

    /// How many bytes the line has, with its end.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Flat(bytes) => bytes.len(),
            Self::Pieces(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces in order.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        match self {
            Self::Flat(bytes) => std::slice::from_ref(bytes),
            Self::Pieces(pieces) => pieces,
        }
    }
}

/// One replacement in a line: the bytes of the span go, the text comes.
#[derive(Debug, Clone)]
pub struct Cut<'a> {
    /// What goes; an empty span only inserts.
    pub span: Span,
    /// What comes in its place.
    pub text: &'a [u8],
}

/// Replaces the cuts in a line and ends it; every other byte stays. Cuts may stand in any order and
/// must not overlap; one that does not fit is left out.
#[must_use]
pub fn splice(line: &Bytes, cuts: &[Cut<'_>]) -> Frame {
    let mut order: Vec<&Cut<'_>> = cuts.iter().collect();
    order.sort_by_key(|cut| cut.span.start);
    let mut pieces = Vec::with_capacity(order.len() * 2 + 2);
    let mut from = 0;
    for cut in order {
        if cut.span.start < from || cut.span.end > line.len() {
            continue;
        }
        pieces.push(Piece::Kept(from..cut.span.start));
        pieces.push(Piece::New(cut.text));
        from = cut.span.end;
    }
    pieces.push(Piece::Kept(from..line.len()));
    pieces.push(Piece::New(b"\n"));
    let size: usize = pieces.iter().map(Piece::len).sum();
    if size <= FLAT_BYTES_MAX {
        let mut flat = Vec::with_capacity(size);
        for piece in &pieces {
            flat.extend_from_slice(piece.bytes(line));
        }
        Frame::Flat(flat.into())
    } else {
        Frame::Pieces(pieces.iter().map(|piece| piece.shared(line)).collect())
    }
}

enum Piece<'a> {
    Kept(Span),
    New(&'a [u8]),
}

impl Piece<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Kept(span) => span.len(),
            Self::New(text) => text.len(),
        }
    }

    fn bytes<'b>(&'b self, line: &'b Bytes) -> &'b [u8] {
        match self {
            Self::Kept(span) => line.get(span.clone()).unwrap_or_default(),
            Self::New(text) => text,
        }
    }

    fn shared(&self, line: &Bytes) -> Bytes {
        match self {
            Self::Kept(span) => line.slice(span.clone()),
            Self::New(text) => Bytes::copy_from_slice(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(frame: &Frame) -> Vec<u8> {
        frame.pieces().concat()
    }

    #[track_caller]
    fn check_kind(line: &str, expected: Kind) {
        assert_eq!(Envelope::parse(line.as_bytes()).unwrap().kind(), expected);
    }

    #[test]
    fn a_message_is_told_by_its_members() {
        check_kind(r#"{"id":1,"method":"ping"}"#, Kind::Request);
        check_kind(r#"{"method":"notifications/initialized"}"#, Kind::Notification);
        check_kind(r#"{"id":"a","result":{}}"#, Kind::Response);
        check_kind(r#"{"id":1.5,"error":{"code":1,"message":""}}"#, Kind::Response);
        check_kind(r#"{"id":1,"result":null}"#, Kind::Response);
        check_kind(r#"{"x":1,"id":1,"result":-1E400}"#, Kind::Response);
        check_kind(r#"{"id":null,"method":"ping"}"#, Kind::Stray);
        check_kind(r#"{"level":"info"}"#, Kind::Stray);
    }

    #[test]
    fn a_line_that_is_no_message_says_why() {
        assert!(matches!(Envelope::parse(b"\xff"), Err(Malformed::Encoding)));
        assert!(matches!(Envelope::parse(b"{\"id\":1"), Err(Malformed::Syntax)));
        assert!(matches!(Envelope::parse(b"Server started"), Err(Malformed::Syntax)));
        assert!(matches!(Envelope::parse(b" [{}]"), Err(Malformed::Batch)));
        assert!(matches!(Envelope::parse(b"42"), Err(Malformed::Form)));
        assert!(matches!(Envelope::parse(br#"{"id":1,"id":2,"method":"ping"}"#), Err(Malformed::Form)));
    }

    #[test]
    fn a_splice_changes_the_cuts_and_nothing_else() {
        let line = Bytes::from_static(br#"{ "params" : {"name":"s__t","x":1E2}, "id":7 }"#);
        let envelope = Envelope::parse(&line).unwrap();
        let id = span_of(&line, envelope.id.unwrap().get()).unwrap();
        let params = Params::parse(envelope.params.unwrap()).unwrap();
        let name = span_of(&line, params.name.unwrap().get()).unwrap();
        let cuts = [Cut { span: id, text: b"1099511627776" }, Cut { span: name, text: b"\"t\"" }];
        assert_eq!(
            flat(&splice(&line, &cuts)),
            b"{ \"params\" : {\"name\":\"t\",\"x\":1E2}, \"id\":1099511627776 }\n"
        );
    }

    #[test]
    fn a_large_line_is_sent_in_pieces_without_a_copy() {
        let line = Bytes::from(format!(r#"{{"id":1,"result":"{}"}}"#, "x".repeat(FLAT_BYTES_MAX)));
        let frame = splice(&line, &[Cut { span: 6..7, text: b"\"abc\"" }]);
        assert!(matches!(&frame, Frame::Pieces(pieces) if pieces[2].as_ptr() == line[7..].as_ptr()));
        assert_eq!(frame.len(), line.len() + 5);
        assert!(flat(&frame).starts_with(br#"{"id":"abc","result""#));
    }
}
