//! Names of servers and tools: parsed once at the edge, then trusted.

use std::fmt;
use std::sync::Arc;

/// The longest shown name, in characters. Clients count `mcp__<entry>__` in and cut at 60 or 64
/// (protocol.md, "Names").
pub const SHOWN_NAME_CHARS_MAX: usize = 50;

/// The longest server name, in characters.
pub const SERVER_NAME_CHARS_MAX: usize = 64;

/// What stands between the server's and the tool's part of a shown name.
pub const SEPARATOR: &str = "__";

/// The bridge's own tool that gives the result of a call which was handed off.
pub const RESULT_TOOL: &str = "bridge_result";

/// What people call the bridge's own tools where a server's name stands.
pub const OWN: &str = "(bridge)";

/// A server's name as its owner wrote it in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(Arc<str>);

/// Why a text cannot name a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadServerName {
    /// Nothing was written, or only white space.
    #[error("a server needs a name")]
    Empty,
    /// More than [`SERVER_NAME_CHARS_MAX`] characters.
    #[error("a server's name may have {SERVER_NAME_CHARS_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// A control character, which no table or log can show.
    #[error("a server's name cannot hold control characters")]
    Control,
    /// No letter or digit, so that no shown name can be made of it.
    #[error("a server's name needs a letter or a digit (a-z, 0-9)")]
    NoWord,
    /// [`OWN`].
    #[error("{OWN} stands for the bridge's own tools, call the server something else")]
    Own,
}

impl ServerName {
    /// Takes a name as it stands in a configuration.
    ///
    /// # Errors
    /// When the text is empty, too long, holds control characters, has no ASCII letter or digit, or is [`OWN`].
    pub fn parse(text: &str) -> Result<Self, BadServerName> {
        let chars = text.chars().count();
        if text.trim().is_empty() {
            Err(BadServerName::Empty)
        } else if chars > SERVER_NAME_CHARS_MAX {
            Err(BadServerName::TooLong(chars))
        } else if text.chars().any(char::is_control) {
            Err(BadServerName::Control)
        } else if !text.chars().any(|c| c.is_ascii_alphanumeric()) {
            Err(BadServerName::NoWord)
        } else if text == OWN {
            Err(BadServerName::Own)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The name under which the bridge itself is known, where a server has one.
    #[must_use]
    pub fn own() -> Self {
        Self("bridge".into())
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shared text, for rows and events.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The name in `[A-Za-z0-9_-]`: the first part of a shown name, and safe as a file name.
    #[must_use]
    pub fn slug(&self) -> String {
        slug(&self.0)
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name under which a client sees a server's tool: `server__tool`, `[A-Za-z0-9_-]`, at most
/// [`SHOWN_NAME_CHARS_MAX`] characters.
#[must_use]
pub fn shown(server: &ServerName, tool: &str) -> String {
    let plain = format!("{}{SEPARATOR}{}", server.slug(), slug(tool));
    if plain.len() <= SHOWN_NAME_CHARS_MAX { plain } else { shown_with_hash(server, tool) }
}

/// The shown name with a short hash at its end: for a name that is too long, and for the second of
/// two that would meet.
#[must_use]
pub fn shown_with_hash(server: &ServerName, tool: &str) -> String {
    let mut name = format!("{}{SEPARATOR}{}", server.slug(), slug(tool));
    let hash = short_hash(&[server.as_str(), tool]);
    name.truncate(SHOWN_NAME_CHARS_MAX - hash.len() - 1);
    name.push('_');
    name.push_str(&hash);
    name
}

/// Six characters of `[0-9a-z]` that depend on every part (FNV-1a, 64 bits, folded).
fn short_hash(parts: &[&str]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (0..6)
        .map(|place| {
            let digit = (hash >> (place * 10)) % 36;
            char::from_digit(u32::try_from(digit).unwrap_or(0), 36).unwrap_or('0')
        })
        .collect()
}

fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerName {
        ServerName::parse(name).unwrap()
    }

    #[track_caller]
    fn check(server_name: &str, tool: &str, expected: &str) {
        assert_eq!(shown(&server(server_name), tool), expected);
    }

    #[test]
    fn a_shown_name_is_server_and_tool() {
        check("time", "get_current_time", "time__get_current_time");
        check("my.server", "a.b/c", "my_server__a_b_c");
        check("Sequential Thinking", "über", "Sequential_Thinking___ber");
    }

    #[test]
    fn a_long_name_keeps_its_head_and_ends_in_a_hash() {
        let long = "a_tool_with_a_name_that_goes_on_for_rather_too_long";
        let name = shown(&server("filesystem"), long);
        assert_eq!(name.len(), SHOWN_NAME_CHARS_MAX);
        assert!(name.starts_with("filesystem__a_tool_with_a_name"));
        assert_ne!(name, shown(&server("filesystem"), &format!("{long}er")));
    }

    #[test]
    fn a_name_that_no_table_can_show_is_refused() {
        assert_eq!(ServerName::parse(" "), Err(BadServerName::Empty));
        assert_eq!(ServerName::parse("a\nb"), Err(BadServerName::Control));
        assert_eq!(ServerName::parse(OWN), Err(BadServerName::Own));
        assert_eq!(ServerName::parse("日本"), Err(BadServerName::NoWord));
        assert_eq!(ServerName::parse(&"x".repeat(65)), Err(BadServerName::TooLong(65)));
    }
}
