//! The entry of a server that is reached over HTTP: it is kept, and used when the bridge can do that.

use crate::config::mistake::Report;
use crate::config::server::{others, variables};
use crate::config::tree::{Dialect, Fields, Value, template};
use crate::credentials::Template;
use crate::names::ServerName;

/// A server behind an address: `[servers.NAME]` with a `url`. Its `Debug` shows no literal part of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The name as its owner wrote it.
    pub name: ServerName,
    /// Its address, references unresolved.
    pub url: Template,
    /// What each request is to carry, in the file's order.
    pub headers: Vec<(String, Template)>,
    /// Whether it may be used, once that can be done.
    pub enabled: bool,
}

/// The keys that hold an address; our own is the first, the others are clients'.
const URL_KEYS: [&str; 3] = ["url", "serverUrl", "httpUrl"];

/// What is said of each that is right.
const LATER: &str = "kept, and not used yet: the bridge cannot reach servers over HTTP";

/// Whether an entry is one of these.
pub(super) fn is_one(entry: &Fields, dialect: Dialect) -> bool {
    let says = |key: &str| match entry.peek(key) {
        Some(Value::Text(kind)) => !matches!(kind.as_str(), "stdio" | "local"),
        _ => false,
    };
    URL_KEYS.into_iter().any(|key| entry.has(key))
        || dialect == Dialect::Client && (says("type") || !entry.has("type") && says("transport"))
}

/// Reads one entry. What it gives back counts only if nothing was reported.
pub(super) fn read(
    name: Option<ServerName>,
    mut entry: Fields,
    dialect: Dialect,
    own_keys: &[&str],
    report: &mut Report<'_>,
) -> Option<Remote> {
    let (at, path, before) = (entry.at, entry.path.clone(), report.count());
    let url = URL_KEYS.into_iter().find_map(|key| Some((key, entry.take(key)?)));
    let Some((key, node)) = url else {
        report.mistake(at, &path, "needs a \"url\" to reach the server at");
        return None;
    };
    let (url_at, url_path) = (node.at, node.path.clone());
    if key != "url" && dialect == Dialect::Own {
        report.mistake(url_at, &url_path, "unknown key, did you mean \"url\"?");
    }
    let url = template(node, report)?;
    if !is_address(url.as_written()) {
        report.mistake(url_at, &url_path, "must begin with https:// or http://");
    }
    let headers = entry.take("headers").map(|node| variables(node, report)).unwrap_or_default();
    let enabled = entry.bool("enabled", report).unwrap_or(true);
    let disabled = dialect == Dialect::Client && entry.bool("disabled", report).unwrap_or(false);
    for key in ["command", "args", "env", "cwd"] {
        if let Some(node) = entry.take(key).filter(|_| dialect == Dialect::Own) {
            report.mistake(node.at, &node.path, "this entry has a url, remove one of the two");
        }
    }
    // What holds for every server is looked at when this one can be used.
    own_keys.iter().for_each(|key| drop(entry.take(key)));
    others(entry, dialect, report);
    if enabled && !disabled && report.count() == before {
        report.note(at, &path, LATER);
    }
    Some(Remote { name: name?, url, headers, enabled: enabled && !disabled })
}

fn is_address(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    url.starts_with("${env:") || host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
}
