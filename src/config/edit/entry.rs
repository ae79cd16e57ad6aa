//! An entry, as it is written into a configuration.

use crate::config::server::Server;
use crate::config::sharing::Scope;
use crate::credentials::Template;

/// A server's entry, as it is written. Not `Debug`: it may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// What to execute.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables, in order.
    pub env: Vec<(String, String)>,
    /// The folder to start it in.
    pub cwd: Option<String>,
    /// Whose calls share a connection.
    pub scope: Scope,
    /// Whether it may be started.
    pub enabled: bool,
}

impl Entry {
    /// What it says of a server, as far as it can say it: limits and what is said of tools stay out.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self {
            command: server.command.clone(),
            args: server.args.iter().map(|arg| arg.as_written().to_owned()).collect(),
            env: written(&server.env),
            cwd: server.cwd.as_ref().map(|cwd| cwd.display().to_string()),
            scope: server.scope,
            enabled: server.enabled,
        }
    }
}

/// Names and their values, references unresolved.
#[must_use]
pub fn written(pairs: &[(String, Template)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.clone(), value.as_written().to_owned())).collect()
}

/// The entry of a server behind an address, as it is written. Not `Debug`: it may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Where it is reached.
    pub url: String,
    /// What each request is to carry, in order.
    pub headers: Vec<(String, String)>,
    /// Whether it may be used.
    pub enabled: bool,
}

/// The keys of an entry, and their values as TOML.
pub(super) type Keys = Vec<(&'static str, String)>;

/// A section as the bridge reads it.
#[must_use]
pub fn section(name: &str, entry: &Entry) -> String {
    lines(name, &keys(entry))
}

/// The same of a server behind an address.
#[must_use]
pub fn section_of_address(name: &str, address: &Address) -> String {
    lines(name, &keys_of_address(address))
}

pub(super) fn lines(name: &str, keys: &Keys) -> String {
    let keys: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("[servers.{}]\n{keys}", key(name))
}

/// What has to be said of an entry.
pub(super) fn keys(entry: &Entry) -> Keys {
    let mut keys = vec![("command", quoted(&entry.command))];
    if !entry.args.is_empty() {
        let args: Vec<String> = entry.args.iter().map(|arg| quoted(arg)).collect();
        keys.push(("args", format!("[{}]", args.join(", "))));
    }
    if !entry.env.is_empty() {
        keys.push(("env", table(&entry.env)));
    }
    keys.extend(entry.cwd.iter().map(|cwd| ("cwd", quoted(cwd))));
    if entry.scope != Scope::default() {
        keys.push(("scope", quoted(entry.scope.word())));
    }
    keys.extend((!entry.enabled).then(|| ("enabled", "false".to_owned())));
    keys
}

pub(super) fn keys_of_address(address: &Address) -> Keys {
    let mut keys = vec![("url", quoted(&address.url))];
    if !address.headers.is_empty() {
        keys.push(("headers", table(&address.headers)));
    }
    keys.extend((!address.enabled).then(|| ("enabled", "false".to_owned())));
    keys
}

fn table(pairs: &[(String, String)]) -> String {
    let members: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{} = {}", key(name), quoted(value))).collect();
    format!("{{ {} }}", members.join(", "))
}

/// A key, in quotes where it needs them (TOML 1.0, "Keys").
pub(super) fn key(text: &str) -> String {
    let is_bare =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { text.to_owned() } else { quoted(text) }
}

/// A text in one line: what JSON escapes TOML reads alike, and DEL besides.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
