//! A configuration file becomes settings and servers, and every mistake in it is named at once.
//!
//! [`load`] never fails: what could be understood is used, a server whose entry has a mistake is left
//! out, a file that cannot be parsed gives no servers. [`EXAMPLE`] shows the form. Two kinds of file
//! are read:
//!
//! - TOML with `[settings]`, `[servers.NAME]` and `[clients.NAME]`. Unknown keys are mistakes.
//! - JSON (by the name's end, or a first `{`): another program's file with a map `mcpServers` (Claude
//!   Desktop, Cursor, …) or `servers` (VS Code), read as it stands. Its other keys are not ours; inside
//!   a server's entry keys that other clients know are accepted, `disabled` counts, and a key that
//!   nobody is known to use is a note.
//!
//! An entry that starts `bridge serve` is left out with a note: the bridge in front of itself would
//! start without end, and a client's own file holds that entry.
//!
//! Places: `command` without a separator is searched in `PATH`; `command` and `cwd` may begin with
//! `~/` (the home folder), and are otherwise relative to the file's own folder. Variables are not
//! expanded in these two (a mistake says so); `args` and `env` take `${env:NAME}`
//! ([`crate::credentials`]). Mistakes and notes never quote a value, which may be a secret.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::clients::Own;
use crate::config::mistake::{Mistake, Report};
use crate::config::remote::Remote;
use crate::config::server::{Around, Entries, Server};
use crate::config::settings::Settings;
use crate::config::tree::{Dialect, Fields, Node};
use crate::names::ServerName;

pub mod change;
pub mod clients;
pub mod edit;
mod json;
pub mod launch;
pub mod mistake;
pub mod program;
pub mod remote;
pub mod server;
pub mod settings;
pub mod sharing;
#[cfg(test)]
mod tests;
mod toml;
pub mod tools;
mod tree;

/// A whole configuration with every setting at its default.
pub const EXAMPLE: &str = r#"# Every setting is optional; these are the defaults.
[settings]
first_list_wait_s = 20    # how long a first tools/list waits for servers that it does not know yet
retention_days = 90       # rows of single calls are kept so long, totals for ever
durability = "process"    # "power": answered calls survive a power cut too, at the price of speed
stderr_log_max_kib = 1024 # a server's log file
in_line_max_mib = 16      # the longest line a client may send
out_line_max_mib = 64     # the longest line a server may send
failure_threshold = 5     # so many failures of a server within 30 s park it
recovery_timeout_s = 60   # for so long the first time, then twice as long, up to 5 min
max_cold_starts = 3       # so many servers start side by side
hang_after = 3            # so many missed deadlines in a row replace a server
idle_stop_m = 60          # a server without a call for so long is stopped; 0 is never
question_expiry_s = 600   # how long an older server waits for a modern client's answer to its question
max_concurrent = 10       # so many calls at once on one connection of a server; the others wait
max_connections = 10      # so many connections of a server whose scope is not "shared"
max_queue = 100           # so many calls of a server wait, for either of these
queue_timeout_s = 5       # and none of them for longer
thread_idle_m = 60        # a thread's connections end after so long without a call of it; 0 is never
user_idle_m = 15          # a user's, and those of all the user's threads; 0 is never
hub_idle_m = 10           # the hub ends when no client has been attached for so long
handoff_after_s = 50      # so long a client waits that cuts a call at 60 s, then bridge_result has it; 0 is never
on_tool_change = "notify" # of a tool that is not as it was first seen; "log", or "quarantine": held until approved

[clients."my client"]     # a client by the name that it gives itself, where it differs from what is known
handoff_after_s = 0       # it waits for ever
result_max_mib = 10       # it drops the connection when a line is longer

[servers.time]
command = "uvx"
args = ["mcp-server-time", "--local-timezone", "Europe/Berlin"]

[servers.github]
command = "~/bin/github-mcp-server"
args = ["stdio"]
env = { GITHUB_PERSONAL_ACCESS_TOKEN = "${env:GITHUB_TOKEN}" }
cwd = "~/work"
enabled = false
start_timeout_s = 60      # from the start of its process to its first list of tools
call_timeout_s = 300      # the longest a call may take once its server is ready
warm = false              # true: started with the first list, not with the first call
trust_annotations = false # true: a call of a tool that says it only reads is repeated when the server dies
scope = "shared"          # or a connection for each "session", "thread", "user" or "call"
max_concurrent = 10       # this, max_connections, max_queue, queue_timeout_s and on_tool_change as in [settings]

[servers.github.tools]    # which of its tools clients see, and how; by the server's own names
allow = ["get_*", "{list,search}_*"]             # only these; without it all
deny = ["*_secret"]                              # not these, whatever allow says
rename = { search_code = "find_code" }           # github__find_code
describe = { get_me = "Whose token this is." }   # what the model reads
"#;

/// The largest file that is read: 64 MiB. Clients keep more than servers in theirs.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What was read, and everything that was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// What can be used.
    pub config: Config,
    /// Everything that is wrong, in the file's order.
    pub mistakes: Vec<Mistake>,
    /// What is right and may still surprise, in the same form.
    pub notes: Vec<Mistake>,
    /// What of the file cannot be used.
    pub broken: Broken,
    /// Whether something of an earlier reading stands in the place of what is broken ([`Loaded::after`]).
    pub keeps: bool,
    /// Whether there is nothing at all in it.
    pub is_empty: bool,
    /// The file, absolute; `None` if there is none to read.
    pub source: Option<PathBuf>,
}

/// What of a file cannot be used: a bridge that runs keeps what it had in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broken {
    /// The file cannot be read, or not be understood as a whole.
    pub file: bool,
    /// Something in its settings, or in what it says of clients, is wrong.
    pub settings: bool,
    /// The servers whose entries have a mistake, each with the number of those before it, in the file's order,
    /// that have none.
    pub servers: Vec<(usize, ServerName)>,
}

impl Broken {
    const fn whole() -> Self {
        Self { file: true, settings: true, servers: Vec::new() }
    }
}

/// The settings, clients and servers of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The bridge's own settings.
    pub settings: Settings,
    /// What is said of clients, in the file's order.
    pub clients: Vec<Own>,
    /// The servers without a mistake, in the file's order, those that are switched off too.
    pub servers: Vec<Server>,
    /// Likewise those behind an address, which cannot be reached yet.
    pub remotes: Vec<Remote>,
}

/// Reads a configuration. Without a file there is nothing to serve and nothing wrong; a file that is
/// named and cannot be read is a mistake.
#[must_use]
pub fn load(file: Option<&Path>) -> Loaded {
    let Some(file) = file else {
        return Loaded::default();
    };
    let source = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    match read(&source) {
        Ok(bytes) => parse(&source, home, &bytes),
        Err(what) => {
            let (mistakes, broken) = (vec![Mistake::of_file(&source, what)], Broken::whole());
            Loaded { mistakes, broken, source: Some(source), ..Loaded::default() }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    Ok(bytes)
}

/// Reads a configuration's text, as if it stood in `file`.
fn parse(file: &Path, home: Option<PathBuf>, bytes: &[u8]) -> Loaded {
    // A text that ends where it stops being UTF-8 still gives the mistake its place.
    let (text, is_text) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, true),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            (std::str::from_utf8(valid).unwrap_or_default(), false)
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut report = Report::new(file, text);
    let (mut config, mut broken) = (Config::default(), Broken::whole());
    if is_text {
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        (config, broken) = if is_json(file, text) {
            of_json(text, &Around { folder, home, dialect: Dialect::Client }, &mut report)
        } else {
            of_toml(text, &Around { folder, home, dialect: Dialect::Own }, &mut report)
        };
    } else {
        report.mistake(text.len(), "", "not UTF-8 text from here on, save the file as UTF-8");
    }
    let (mistakes, notes) = report.done();
    let is_empty = text.trim().is_empty();
    Loaded { config, mistakes, notes, broken, keeps: false, is_empty, source: Some(file.to_owned()) }
}

/// Whether a text is another program's file: by its name's end, or a first `{`.
#[must_use]
pub fn is_json(file: &Path, text: &str) -> bool {
    let by_name = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    by_name || text.trim_start().starts_with('{')
}

fn of_toml(text: &str, around: &Around, report: &mut Report<'_>) -> (Config, Broken) {
    let root = match toml::tree(text) {
        Ok(root) => root,
        Err(fault) => {
            report.mistake(fault.at, "", fault.what);
            return (Config::default(), Broken::whole());
        }
    };
    let Some(mut fields) = Fields::of(root, report) else {
        return (Config::default(), Broken::whole());
    };
    let before = report.count();
    let settings = fields.take("settings").map(|node| Settings::read(node, report)).unwrap_or_default();
    let clients = fields.take("clients").map(|node| clients::read_all(node, report)).unwrap_or_default();
    let settings_are_broken = report.count() > before;
    let entries = fields.take("servers").map(|node| server::read_all(node, around, report));
    let Entries { servers, remotes, broken } = entries.unwrap_or_default();
    fields.refuse_others(&["settings", "clients", "servers"], report);
    (Config { settings, clients, servers, remotes }, Broken { settings: settings_are_broken, ..broken })
}

fn of_json(text: &str, around: &Around, report: &mut Report<'_>) -> (Config, Broken) {
    let servers: Option<Node> = match json::servers(text) {
        Ok(servers) => servers,
        Err(fault) => {
            report.mistake(fault.at, "", fault.what);
            return (Config::default(), Broken::whole());
        }
    };
    let Some(servers) = servers else {
        report.note(
            0,
            "",
            "no servers: there is neither a \"mcpServers\" nor a \"servers\" map in this file",
        );
        return (Config::default(), Broken::default());
    };
    let Entries { servers, remotes, broken } = server::read_all(servers, around, report);
    (Config { servers, remotes, ..Config::default() }, broken)
}
