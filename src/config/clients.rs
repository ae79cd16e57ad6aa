//! What a client can stand, by the name that it gives itself in `clientInfo`.

use std::time::Duration;

use crate::config::mistake::Report;
use crate::config::settings::{MIB, Settings};
use crate::config::tree::{Fields, Node};

/// A reader of Node.js counts a line together with what it read behind it in one go, at most so many bytes.
const READ_BEHIND_BYTES: usize = 64 << 10;

/// What the TypeScript SDK's stdio reader holds before it drops the connection
/// (`STDIO_DEFAULT_MAX_BUFFER_SIZE` in `shared/stdio.ts`, in 1.x and 2.x since June 2026), in bytes.
const TYPESCRIPT_SDK_BYTES: usize = 10 * MIB;

/// A client whose limits are known.
struct Known {
    /// Its `clientInfo.name`.
    name: &'static str,
    /// Whether it gives up a call after 60 s, whatever the server says meanwhile.
    cuts: bool,
    /// What its reader holds, in bytes; `None` is without a limit.
    reader_bytes: Option<usize>,
}

/// Only what was seen or read. Another client is told of in the configuration.
const KNOWN: [Known; 4] = [
    // Claude Desktop: the SDK's default of 60 s, not to be configured (anthropics/claude-code issues 22542
    // and 63379); the name is in its own `mcp.log`.
    Known { name: "claude-ai", cuts: true, reader_bytes: Some(TYPESCRIPT_SDK_BYTES) },
    // Claude Code: `MCP_TOOL_TIMEOUT`, many hours by default; reads with the TypeScript SDK.
    Known { name: "claude-code", cuts: false, reader_bytes: Some(TYPESCRIPT_SDK_BYTES) },
    // The MCP Inspector: waits as long as its user says, with the same reader.
    Known { name: "mcp-inspector", cuts: false, reader_bytes: Some(TYPESCRIPT_SDK_BYTES) },
    // Zed: `DEFAULT_REQUEST_TIMEOUT` in its `crates/context_server/src/client.rs`, the name in
    // `context_server.rs` beside it; reads lines of any length.
    Known { name: "Zed", cuts: true, reader_bytes: None },
];

/// What one client can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After this a call is handed off: its client would not wait for the answer. `None` is never.
    pub handoff_after: Option<Duration>,
    /// The longest line that it can read, in bytes.
    pub line_bytes_max: usize,
}

/// A client's own limits: `[clients."NAME"]`. What is not said there is as it is known, or as in general.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its `clientInfo.name`, exactly.
    pub name: String,
    /// `handoff_after_s`, 0 to 86,400: zero is never.
    pub handoff_after: Option<Duration>,
    /// `result_max_mib`, 1 to 1024 MiB: what its reader holds, in bytes.
    pub reader_bytes: Option<usize>,
}

/// The limits of every client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    own: Vec<Own>,
    handoff_after: Option<Duration>,
    line_bytes_max: usize,
}

impl Clients {
    /// The clients that have limits of their own, beside what the settings say of all.
    #[must_use]
    pub fn new(own: Vec<Own>, settings: &Settings) -> Self {
        let (handoff_after, line_bytes_max) = (settings.handoff_after, settings.out_line_max_bytes);
        Self { own, handoff_after, line_bytes_max }
    }

    /// What the client of this name can stand. One that nobody knows gets every answer itself.
    #[must_use]
    pub fn limits(&self, name: Option<&str>) -> Limits {
        let own = self.own.iter().find(|own| Some(own.name.as_str()) == name);
        let known = KNOWN.iter().find(|known| Some(known.name) == name);
        let usual = self.handoff_after.filter(|_| known.is_some_and(|known| known.cuts));
        let handoff_after = own.and_then(|own| own.handoff_after).or(usual);
        let reader_bytes = own.and_then(|own| own.reader_bytes);
        let reader_bytes = reader_bytes.or(known.and_then(|known| known.reader_bytes));
        Limits {
            handoff_after: handoff_after.filter(|after| !after.is_zero()),
            line_bytes_max: reader_bytes.map_or(self.line_bytes_max, |bytes| bytes - READ_BEHIND_BYTES),
        }
    }
}

const KEYS: [&str; 2] = ["handoff_after_s", "result_max_mib"];

/// Reads every entry; a value with a mistake counts as not said.
pub(super) fn read_all(node: Node, report: &mut Report<'_>) -> Vec<Own> {
    let Some(entries) = Fields::of(node, report) else {
        return Vec::new();
    };
    let read = |(name, node)| {
        let mut fields = Fields::of(node, report)?;
        let own = Own {
            name,
            handoff_after: fields.seconds("handoff_after_s", (0, 86_400), report),
            reader_bytes: fields.number("result_max_mib", (1, 1024), report).map(|mib| mib as usize * MIB),
        };
        fields.refuse_others(&KEYS, report);
        Some(own)
    };
    entries.into_members().into_iter().filter_map(read).collect()
}
