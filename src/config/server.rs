//! One server's entry.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Broken;
use crate::config::mistake::{Report, suggestion};
use crate::config::remote::{self, Remote};
use crate::config::sharing::{Said, Scope};
use crate::config::tools::{self, OnChange};
use crate::config::tree::{Dialect, Fields, Node, template, text};
use crate::credentials::Template;
use crate::names::ServerName;
use crate::tools::Rules;

/// A server to start: `[servers.NAME]`. Its `Debug` shows no literal part of `args` and `env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name as its owner wrote it.
    pub name: ServerName,
    /// What to execute: a name to search in `PATH`, or an absolute path.
    pub command: String,
    /// Its arguments, references unresolved.
    pub args: Vec<Template>,
    /// What it gets beside the short list of variables that every server gets, in the file's order.
    pub env: Vec<(String, Template)>,
    /// The folder to start it in, absolute. `None` for its client's, where it is one client's alone; else for the
    /// user's own behind a hub, and for the bridge's.
    pub cwd: Option<PathBuf>,
    /// Whether it may be started.
    pub enabled: bool,
    /// `warm`, default false: it is started with the first list, and not only when somebody wants it.
    pub warm: bool,
    /// `start_timeout_s`, 1 to 600, default 60: from the start of its process to its first list.
    pub start_timeout: Duration,
    /// `call_timeout_s`, 1 to 86,400, default 300: the longest that a call may take.
    pub call_timeout: Duration,
    /// `trust_annotations`, default false: a call of a tool that says of itself that it only reads, or that
    /// twice is as good as once, is sent once more when the server ended before it answered.
    pub trust_annotations: bool,
    /// Whose calls share one of its connections.
    pub scope: Scope,
    /// How many calls and connections it may have at once, where its entry says so.
    pub capacity: Said,
    /// `tools`: which of its tools are shown, and how.
    pub tools: Arc<Rules>,
    /// `on_tool_change`, where its entry says it.
    pub on_tool_change: Option<OnChange>,
}

impl Server {
    /// Whether nothing differs but how its tools are shown: one that runs need not be started anew.
    #[must_use]
    pub fn runs_like(&self, other: &Self) -> bool {
        let (tools, on_tool_change) = (Arc::clone(&other.tools), other.on_tool_change);
        Self { tools, on_tool_change, ..self.clone() } == *other
    }

    /// The names of the variables that its entry refers to.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let values = self.env.iter().map(|(_, value)| value);
        self.args.iter().chain(values).flat_map(Template::variables)
    }
}

const START_TIMEOUT: Duration = Duration::from_secs(60);
const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// The keys of an entry.
const KEYS: [&str; 12] = [
    "command",
    "args",
    "env",
    "cwd",
    "enabled",
    "warm",
    "start_timeout_s",
    "call_timeout_s",
    "trust_annotations",
    "scope",
    "tools",
    "on_tool_change",
];

/// What other clients write into an entry and nothing here needs. `timeout` has another unit in each.
const FOREIGN_KEYS: [&str; 16] = [
    "type",
    "transport",
    "disabled",
    "autoApprove",
    "alwaysAllow",
    "disabledTools",
    "timeout",
    "description",
    "name",
    "trust",
    "includeTools",
    "excludeTools",
    "gallery",
    "version",
    "source",
    "settings",
];

/// Where a file stands and whose it is.
pub(super) struct Around {
    pub folder: PathBuf,
    pub home: Option<PathBuf>,
    pub dialect: Dialect,
}

/// The entries of a file: those without a mistake, in its order, and which others there are.
#[derive(Default)]
pub(super) struct Entries {
    pub servers: Vec<Server>,
    pub remotes: Vec<Remote>,
    pub broken: Broken,
}

/// Reads every entry.
pub(super) fn read_all(node: Node, around: &Around, report: &mut Report<'_>) -> Entries {
    let Some(entries) = Fields::of(node, report) else {
        return Entries { broken: Broken { file: true, ..Broken::default() }, ..Entries::default() };
    };
    let mut broken = Broken::default();
    let mut slugs: Vec<(String, String)> = Vec::new();
    let (mut servers, mut remotes) = (Vec::new(), Vec::new());
    for (key, node) in entries.into_members() {
        let before = report.count();
        let name = match ServerName::parse(&key) {
            Ok(name) => Some(name),
            Err(bad) => {
                report.mistake(node.at, &node.path, bad.to_string());
                None
            }
        };
        if let Some(name) = &name {
            let slug = name.slug();
            if let Some((_, earlier)) = slugs.iter().find(|(taken, _)| *taken == slug) {
                let what = format!("its tools would have the same names as those of {earlier}, rename one");
                report.mistake(node.at, &node.path, what);
            } else {
                slugs.push((slug, node.path.clone()));
            }
        }
        let (mut server, mut remote) = (None, None);
        match Fields::of(node, report) {
            Some(entry) if remote::is_one(&entry, around.dialect) => {
                remote = remote::read(name.clone(), entry, around.dialect, &known(), report);
            }
            Some(entry) => server = read(name.clone(), entry, around, report),
            None => {}
        }
        if report.count() == before {
            servers.extend(server);
            remotes.extend(remote);
        } else {
            broken.servers.extend(name.map(|name| (servers.len(), name)));
        }
    }
    Entries { servers, remotes, broken }
}

/// Why an entry is left out, behind "it".
pub(super) const IS_BRIDGE: &str = "is the bridge itself";

/// Reads one entry. What it gives back counts only if nothing was reported.
fn read(
    name: Option<ServerName>,
    mut entry: Fields,
    around: &Around,
    report: &mut Report<'_>,
) -> Option<Server> {
    let (at, path) = (entry.at, entry.path.clone());
    let command = command(&mut entry, around, report);
    let args = entry.list("args", report).unwrap_or_default();
    let args: Vec<_> = args.into_iter().filter_map(|item| template(item, report)).collect();
    if command.as_deref().is_some_and(|command| is_bridge(command, &args)) {
        report.note(at, &path, format!("left out: it {IS_BRIDGE}"));
        return None;
    }
    let env = entry.take("env").map(|node| variables(node, report)).unwrap_or_default();
    let cwd = folder(&mut entry, around, report);
    let enabled = entry.bool("enabled", report).unwrap_or(true);
    let disabled = around.dialect == Dialect::Client && entry.bool("disabled", report).unwrap_or(false);
    let warm = entry.bool("warm", report).unwrap_or(false);
    let start_timeout = entry.seconds("start_timeout_s", (1, 600), report).unwrap_or(START_TIMEOUT);
    let call_timeout = entry.seconds("call_timeout_s", (1, 86_400), report).unwrap_or(CALL_TIMEOUT);
    let trust_annotations = entry.bool("trust_annotations", report).unwrap_or(false);
    let scope = Scope::read(&mut entry, report).unwrap_or_default();
    let capacity = Said::read(&mut entry, report);
    let on_tool_change = OnChange::read(&mut entry, report);
    let tools = Arc::new(tools::read(&mut entry, name.as_ref(), around.dialect, report));
    others(entry, around.dialect, report);
    Some(Server {
        name: name?,
        command: command?,
        args,
        env,
        cwd,
        enabled: enabled && !disabled,
        warm,
        start_timeout,
        call_timeout,
        trust_annotations,
        scope,
        capacity,
        tools,
        on_tool_change,
    })
}

/// Whether an entry starts this program as a server.
fn is_bridge(command: &str, args: &[Template]) -> bool {
    let stem = Path::new(command).file_stem();
    stem.is_some_and(|stem| stem == "bridge") && args.iter().any(|arg| arg.as_written() == "serve")
}

/// Names the keys that nobody took: a mistake in our own file, a note in another program's.
pub(super) fn others(mut entry: Fields, dialect: Dialect, report: &mut Report<'_>) {
    if dialect == Dialect::Own {
        if let Some(node) = entry.take("disabled") {
            report.mistake(
                node.at,
                &node.path,
                "unknown key, write enabled = false to switch the server off",
            );
        }
        entry.refuse_others(&known(), report);
        return;
    }
    for (key, node) in entry.into_members() {
        if !FOREIGN_KEYS.contains(&key.as_str()) {
            let meant = suggestion(&key, &known()).map(|known| format!(", did you mean \"{known}\"?"));
            let what = format!("this key is not known here and has no effect{}", meant.unwrap_or_default());
            report.note(node.at, &node.path, what);
        }
    }
}

/// The keys of an entry, and those that `[settings]` has too.
fn known() -> Vec<&'static str> {
    [&KEYS[..], &Said::KEYS].concat()
}

fn command(entry: &mut Fields, around: &Around, report: &mut Report<'_>) -> Option<String> {
    let Some(node) = entry.take("command") else {
        report.mistake(entry.at, &entry.path, "needs a \"command\" to start the server with");
        return None;
    };
    let (at, path) = (node.at, node.path.clone());
    let written = text(node, report)?;
    if !written.contains(std::path::is_separator) && !written.trim().is_empty() && !written.contains("${") {
        return Some(written);
    }
    let placed = placed(&written, around).and_then(|path| {
        path.into_os_string().into_string().map_err(|_| "this file's folder has a name that is not Unicode")
    });
    placed.map_err(|what| report.mistake(at, &path, what)).ok()
}

fn folder(entry: &mut Fields, around: &Around, report: &mut Report<'_>) -> Option<PathBuf> {
    let node = entry.take("cwd")?;
    let (at, path) = (node.at, node.path.clone());
    let written = text(node, report)?;
    placed(&written, around).map_err(|what| report.mistake(at, &path, what)).ok()
}

/// A path as it was meant: from the home folder, or from the file's own folder.
fn placed(written: &str, around: &Around) -> Result<PathBuf, &'static str> {
    if written.trim().is_empty() {
        return Err("cannot be empty");
    }
    if written.starts_with('$') || written.contains("${") {
        return Err("variables are not expanded here, write the path itself, or begin it with ~/");
    }
    let from_home =
        written.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(std::path::is_separator));
    let Some(rest) = from_home else {
        return Ok(around.folder.join(written));
    };
    let home = around.home.as_ref().ok_or("this account has no home folder, write the whole path")?;
    let rest = rest.trim_start_matches(std::path::is_separator);
    Ok(if rest.is_empty() { home.clone() } else { home.join(rest) })
}

/// Names and their values, as processes get variables.
pub(super) fn variables(node: Node, report: &mut Report<'_>) -> Vec<(String, Template)> {
    let Some(fields) = Fields::of(node, report) else {
        return Vec::new();
    };
    let path = fields.path.clone();
    let mut variables = Vec::new();
    for (name, node) in fields.into_members() {
        if name.is_empty() || name.contains(['=', '\0']) {
            // The name is not shown: `NAME=value` may have been written as one.
            report.mistake(node.at, &path, "a variable's name cannot be empty, nor hold \"=\" or NUL");
        } else if let Some(value) = template(node, report) {
            variables.push((name, value));
        }
    }
    variables
}
