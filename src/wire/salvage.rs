//! The id of a request whose line is broken, so that its sender gets an answer and does not wait.

/// How much of a broken line is looked at, in bytes.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Finds the value of the top-level member `id` in the head of a line that is too long, not UTF-8 or
/// not JSON, when it is a string or a number and stands before the break (protocol.md, "Lines that
/// are not well formed").
#[must_use]
pub fn id_in_head(line: &[u8]) -> Option<String> {
    let head = line.get(..line.len().min(HEAD_BYTES_MAX))?;
    let mut scan = Scan { bytes: head, at: 0 };
    scan.skip_space();
    scan.expect(b'{')?;
    loop {
        scan.skip_space();
        let key = scan.string()?;
        scan.skip_space();
        scan.expect(b':')?;
        scan.skip_space();
        if key == b"\"id\"" {
            return scan.scalar();
        }
        scan.skip_value()?;
        scan.skip_space();
        scan.expect(b',')?;
    }
}

/// Whether the head of such a line shows an answer: a result or an error stands there, and no method before it.
#[must_use]
pub fn is_answer_in_head(line: &[u8]) -> bool {
    let head = line.get(..line.len().min(HEAD_BYTES_MAX)).unwrap_or_default();
    let mut scan = Scan { bytes: head, at: 0 };
    scan.skip_space();
    if scan.expect(b'{').is_none() {
        return false;
    }
    let mut member = || {
        scan.skip_space();
        let key = scan.string()?;
        scan.skip_space();
        scan.expect(b':')?;
        let shows = match key {
            b"\"result\"" | b"\"error\"" => Some(true),
            b"\"method\"" => Some(false),
            _ => None,
        };
        if shows.is_none() {
            scan.skip_space();
            scan.skip_value()?;
            scan.skip_space();
            scan.expect(b',')?;
        }
        Some(shows)
    };
    loop {
        match member() {
            Some(None) => {}
            Some(Some(shows)) => return shows,
            None => return false,
        }
    }
}

/// The number under the key `id` at the end of a line that was too long to keep: some write it last.
#[must_use]
pub fn id_in_tail(tail: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(tail);
    let (_, after) = text.rsplit_once("\"id\":")?;
    let digits: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The id of a request that was too long to keep, as JSON: at its head, or as its last member, where both official
/// SDKs of the 1.x lines write it.
#[must_use]
pub fn id_at_ends(head: &[u8], tail: &[u8]) -> Option<Box<str>> {
    id_in_head(head).map(Into::into).or_else(|| id_at_end(tail))
}

/// The last member of a line, if that is its id: just one bracket closes behind it.
fn id_at_end(tail: &[u8]) -> Option<Box<str>> {
    // It may begin within a character.
    let text = String::from_utf8_lossy(tail.trim_ascii_end().strip_suffix(b"}")?);
    let (before, value) = text.trim_end().rsplit_once("\"id\"")?;
    let value = value.trim_start().strip_prefix(':')?.trim();
    let is_text = |inner: &str| !inner.is_empty() && !inner.contains(['"', '\\']);
    let is_text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).is_some_and(is_text);
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    (before.trim_end().ends_with(',') && (is_text || is_number)).then(|| value.into())
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// A string with its quotes; the position is behind it.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return self.bytes.get(start..self.at);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// A string or a number as JSON text.
    fn scalar(&mut self) -> Option<String> {
        let raw = if self.peek()? == b'"' {
            self.string()?
        } else {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                self.at += 1;
            }
            // A number that runs into the end of the head may go on behind it.
            self.peek()?;
            self.bytes.get(start..self.at)?
        };
        let text = std::str::from_utf8(raw).ok()?;
        let valid = text.starts_with('"') || text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        (valid && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()).then(|| text.to_owned())
    }

    /// Any value, by counting brackets outside strings.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth == 0 => return Some(()),
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth == 0 => return Some(()),
                _ => self.at += 1,
            }
            if depth == 0 && self.peek().is_some_and(|byte| byte == b',' || byte == b'}') {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &[u8], expected: Option<&str>) {
        assert_eq!(id_in_head(line).as_deref(), expected, "{}", String::from_utf8_lossy(line));
    }

    #[test]
    fn the_id_of_a_long_request_is_its_last_member_or_not_at_its_end() {
        let check = |tail: &str, expected: Option<&str>| {
            assert_eq!(
                id_at_ends(br#"{"method":"tools/call","params":{"name":"a"#, tail.as_bytes()).as_deref(),
                expected,
                "{tail}"
            );
        };
        check(r#"aaa"}},"jsonrpc":"2.0","id":17}"#, Some("17"));
        check("aaa\"}}, \"jsonrpc\": \"2.0\", \"id\" : \"a-1\" }\r", Some("\"a-1\""));
        check(r#"aaa","id":17}}"#, None);
        check(r#"aaa \",\"id\":17}""#, None);
        check(r#"aaa"},"jsonrpc":"2.0"}"#, None);
        check(r#"aaa"},"id":{"a":1}"#, None);
        assert_eq!(id_at_ends(br#"{"id":1,"method":"#, br#""},"id":2}"#).as_deref(), Some("1"));
    }

    #[test]
    fn the_id_before_the_break_is_found() {
        check(br#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":tru"#, Some("7"));
        check(br#"{"id" : "a\"b" , oops"#, Some(r#""a\"b""#));
        check(b"{\"params\":{\"id\":1,\"t\":\"\xff\"},\"id\":-1.5e3}", Some("-1.5e3"));
        check(br#"{"params":[[{"id":1}]],"id":2^70}"#, Some("2"));
    }

    #[test]
    fn without_an_id_in_front_there_is_none() {
        check(br#"{"method":"x"}"#, None);
        check(br#"{"id":null,"method":"#, None);
        check(br#"{"id":{},"method":"#, None);
        check(br#"{"id":12"#, None);
        check(b"hello", None);
        check(b"", None);
        check(br#"[{"id":1}]"#, None);
    }

    #[test]
    fn an_answer_shows_itself_before_the_break() {
        assert!(is_answer_in_head(br#"{"jsonrpc":"2.0","id":1,"result":{"method":"x"#));
        assert!(is_answer_in_head(br#" { "error" : "#));
        assert!(!is_answer_in_head(br#"{"id":1,"method":"x","result":1"#));
        assert!(!is_answer_in_head(br#"{"id":1,"params":{"result":"#));
        assert!(!is_answer_in_head(b"[") && !is_answer_in_head(b""));
        assert_eq!(id_in_tail(br#"xx"}},"jsonrpc":"2.0","id": 17}"#), Some(17));
    }
}
