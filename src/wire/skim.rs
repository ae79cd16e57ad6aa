//! The envelope of a very long line, at the speed of memory.
//!
//! A result of megabytes is mostly one string, and a general parser looks at it eight bytes at a time.
//! This one checks the same grammar (RFC 8259) and jumps from quote to quote. It reads the same things
//! as [`Envelope`]'s own parser; a property below holds the two together.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::peek::INPUT_REQUIRED;
use super::{Envelope, ResultPeek};

/// Shorter lines are parsed as quickly by the general parser, in bytes.
pub const WORTH_BYTES: usize = 64 * 1024;

/// Reads the envelope of a line; `None` leaves it to the general parser, which also says what is wrong.
pub fn envelope(text: &str) -> Option<Envelope<'_>> {
    let mut skim = Skim { bytes: text.as_bytes(), at: 0 };
    let mut envelope = Envelope { id: None, method: None, params: None, result: None, error: None };
    skim.space();
    skim.object(|key, value, skim| {
        let member = text.get(value.clone())?;
        match key {
            "id" if envelope.id.is_none() => envelope.id = Some(raw(member)?),
            "method" if envelope.method.is_none() => {
                envelope.method = Some(serde_json::from_str::<Text<'_>>(member).ok()?.0);
            }
            "params" if envelope.params.is_none() => {
                envelope.params = raw(member).filter(|raw| raw.get() != "null")
            }
            "error" if envelope.error.is_none() => {
                envelope.error = raw(member).filter(|raw| raw.get() != "null")
            }
            "result" if envelope.result.is_none() => envelope.result = Some(peek(text, value, skim.bytes)?),
            // A member that stands there twice is a matter for the general parser.
            "id" | "method" | "params" | "error" | "result" => return None,
            _ => {}
        }
        Some(())
    })?;
    skim.space();
    (skim.at == text.len()).then_some(envelope)
}

#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn raw(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

/// What stands out in a result that was skimmed already.
fn peek<'a>(text: &'a str, value: Range<usize>, bytes: &'a [u8]) -> Option<ResultPeek<'a>> {
    let mut peek = ResultPeek::default();
    if bytes.get(value.start) != Some(&b'{') {
        // Rare, and the general parser refuses a bare number that no float can hold.
        return None;
    }
    let mut skim = Skim { bytes: bytes.get(..value.end)?, at: value.start };
    skim.object(|key, value, _| {
        let member = text.get(value)?;
        match key {
            "isError" => peek.is_error = member == "true",
            "resultType" => {
                peek.has_result_type = true;
                peek.is_input_required = member == INPUT_REQUIRED;
            }
            "task" => peek.task = Some(raw(member)?),
            "taskId" => peek.task_id = Some(raw(member)?),
            _ => {}
        }
        Some(())
    })?;
    Some(peek)
}

struct Skim<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Skim<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// An object; each member is told by its key and its value's place. A key with escapes is told
    /// decoded.
    fn object(&mut self, mut member: impl FnMut(&str, Range<usize>, &Self) -> Option<()>) -> Option<()> {
        self.eat(b'{')?;
        self.space();
        if self.eat(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.key()?;
            self.space();
            let start = self.at;
            self.value()?;
            member(&key, start..self.at, self)?;
            self.space();
            match self.peek()? {
                b',' => {
                    self.at += 1;
                    self.space();
                }
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// A key with its colon.
    fn key(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        self.string()?;
        let key = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        let key = serde_json::from_str::<Text<'a>>(key).ok()?.0;
        self.space();
        self.eat(b':')?;
        Some(key)
    }

    /// Any value; nesting costs memory of one byte a level, and no stack.
    fn value(&mut self) -> Option<()> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.space();
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    self.space();
                    let close = bracket + 2;
                    if self.peek()? != close {
                        open.push(close);
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                b'"' => self.string()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            if !self.after_value(&mut open)? {
                return Some(());
            }
        }
    }

    /// Goes on behind a value: to the next one, or out of what is complete. False when all is.
    fn after_value(&mut self, open: &mut Vec<u8>) -> Option<bool> {
        while let Some(close) = open.last().copied() {
            self.space();
            if self.eat(b',').is_some() {
                self.space();
                if close == b'}' {
                    self.key()?;
                }
                return Some(true);
            }
            self.eat(close)?;
            open.pop();
        }
        Some(false)
    }

    fn string(&mut self) -> Option<()> {
        self.eat(b'"')?;
        loop {
            let rest = self.bytes.get(self.at..)?;
            let stop = memchr::memchr2(b'"', b'\\', rest)?;
            if has_control(rest.get(..stop)?) {
                return None;
            }
            self.at += stop + 1;
            if rest.get(stop) == Some(&b'"') {
                return Some(());
            }
            self.escape()?;
        }
    }

    fn escape(&mut self) -> Option<()> {
        let digits = match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
            b'u' => 4,
            _ => return None,
        };
        self.at += 1;
        let hex = self.bytes.get(self.at..self.at + digits)?;
        self.at += digits;
        hex.iter().all(u8::is_ascii_hexdigit).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let end = self.at + word.len();
        (self.bytes.get(self.at..end)? == word).then(|| self.at = end)
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.eat(b'-');
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.eat(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// Whether a string holds a byte that has to be escaped; in blocks, so that it is done side by side.
fn has_control(bytes: &[u8]) -> bool {
    bytes.chunks(256).any(|block| block.iter().fold(false, |any, byte| any | (*byte < 0x20)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Both parsers' view of a line, or `None` where one leaves it to the other.
    fn views(line: &str) -> (Option<String>, Option<String>) {
        let view = |envelope: &Envelope<'_>| {
            let Envelope { id, method, params, result, error } = envelope;
            let result = result.as_ref().map(|peek| {
                let raws = [peek.task, peek.task_id].map(|raw| raw.map(RawValue::get));
                (peek.is_error, peek.has_result_type, peek.is_input_required, raws)
            });
            let raw = |value: &Option<&RawValue>| value.map(|raw| raw.get().to_owned());
            format!("{:?} {method:?} {:?} {result:?} {:?}", raw(id), raw(params), raw(error))
        };
        let general: Result<Envelope<'_>, _> = serde_json::from_str(line);
        (envelope(line).as_ref().map(view), general.ok().as_ref().map(view))
    }

    #[track_caller]
    fn check(line: &str, skimmed: bool) {
        let (skim, general) = views(line);
        assert_eq!(skim.is_some(), skimmed, "{line}");
        assert!(skim.is_none() || skim == general, "{line}: {skim:?}, {general:?}");
    }

    #[test]
    fn what_is_skimmed_reads_the_same() {
        check(
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"a\"\u00e9\\"}],"isError":true}}"#,
            true,
        );
        check(r#" { "result" : { } , "id" : -1.5E+3 , "x" : [ [ ] , { "a" : null } , 0 ] } "#, true);
        check(r#"{"id":"\n","method":"a\u0062","params":{"_meta":{}},"error":null}"#, true);
        check(r#"{"\u0069d":7,"result":[1,{"isError":true}]}"#, false);
        check("{\"id\":1,\"result\":\"a\tb\"}", false);
        check(r#"{"id":1,"id":2}"#, false);
        for broken in [
            r#"{"id":01}"#,
            r#"{"id":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":1} x"#,
            "{",
            "[]",
            "1.",
        ] {
            check(broken, false);
        }
        check(r#"{"id":1,"result":{"resultType":"input_required","task":{"a":1},"taskId":"x"}}"#, true);
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
            r#""([a-z ü]|\\n|\\u00[0-9a-f]{2}|\\"){0,8}""#,
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(" , "))),
                prop::collection::vec(
                    (r#""(id|method|result|isError|_meta|task|taskId|resultType|a)""#, inner),
                    0..4
                )
                .prop_map(|members| {
                    let members = members.into_iter().map(|(key, value)| format!("{key}: {value}"));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_two_parsers_agree(id in json(), result in json(), extra in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result},"extra":{extra}}}"#);
            let (skim, general) = views(&line);
            prop_assert!(skim.is_none() || skim == general);
            // A line with one byte broken is never taken where the general parser refuses it.
            let mut broken = line.clone().into_bytes();
            let place = at.index(broken.len());
            broken[place] = byte;
            if let Ok(broken) = String::from_utf8(broken) {
                let (skim, general) = views(&broken);
                prop_assert!(skim.is_none() || skim == general, "{broken}");
            }
        }
    }
}
