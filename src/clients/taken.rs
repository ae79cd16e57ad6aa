//! What of a client's entry the bridge can take over.
//!
//! A server that is moved has to start as it did. An entry that holds something the bridge would do otherwise, or
//! not at all, stays where it is, and the reason names it; no reason quotes a value.

use std::path::Path;

use jsonc_parser::cst::{CstNode, CstObject};

use crate::clients::book::{Slot, word};
use crate::clients::{Client, Variables};
use crate::config::edit::entry::Entry;
use crate::config::sharing::Scope;

/// An entry in our own form.
pub struct Taken {
    /// The server.
    pub entry: Entry,
    /// The keys that only its client understands, and that are left behind.
    pub dropped: Vec<String>,
}

/// The keys that say a server is reached over HTTP.
const URL_KEYS: [&str; 4] = ["url", "serverUrl", "httpUrl", "headers"];

/// What a client asks of itself, and its server does not notice.
const OWN_KEYS: [&str; 12] = [
    "autoApprove",
    "alwaysAllow",
    "timeout",
    "description",
    "name",
    "trust",
    "gallery",
    "version",
    "source",
    "dev",
    "icon",
    "registryBaseUrl",
];

/// What hides tools: the bridge would show them again.
const HIDING_KEYS: [&str; 4] = ["disabledTools", "includeTools", "excludeTools", "tools"];

/// Takes over what stands in an entry.
///
/// # Errors
/// In words that go on after "it": why it has to stay.
pub fn take(client: Client, slot: &Slot) -> Result<Taken, String> {
    let fields = slot.prop.object_value().ok_or("is no JSON object")?;
    let mut entry = Entry {
        command: String::new(),
        args: vec![],
        env: vec![],
        cwd: None,
        scope: Scope::Shared,
        enabled: true,
    };
    let (mut dropped, mut has_command) = (Vec::new(), false);
    for prop in fields.properties() {
        let (Some(key), Some(value)) = (prop.decoded_name(), prop.value()) else { continue };
        if value.as_null_keyword().is_some() {
            continue;
        }
        match key.as_str() {
            "command" => {
                entry.command = own_path(client, &key, text(client, &key, &value)?)?;
                has_command = true;
            }
            "cwd" => entry.cwd = Some(own_path(client, &key, text(client, &key, &value)?)?),
            "args" => entry.args = texts(client, &key, &value)?,
            "env" => entry.env = variables(client, &value)?,
            "disabled" => entry.enabled &= !truth(&key, &value)?,
            "enabled" => entry.enabled &= truth(&key, &value)?,
            "type" | "transport" if is_stdio(&value) => {}
            "type" | "transport" => return Err(OVER_HTTP.to_owned()),
            key if URL_KEYS.contains(&key) => return Err(OVER_HTTP.to_owned()),
            key if OWN_KEYS.contains(&key) => dropped.push(key.to_owned()),
            key if HIDING_KEYS.contains(&key) => {
                let hides = value.as_array().is_none_or(|tools| !tools.elements().is_empty());
                if hides {
                    return Err(format!(
                        "hides some of its tools ({key}), which stands elsewhere here: deny in [servers.NAME.tools]"
                    ));
                }
            }
            "envFile" => return Err("reads its variables from a file (envFile)".to_owned()),
            "settings" if is_empty_object(&value) => {}
            key => return Err(format!("has the key {key:?}, which the bridge does not know")),
        }
    }
    if !has_command {
        return Err(format!("has no command: {} finds it in another way", client.title()));
    }
    Ok(Taken { entry, dropped })
}

const OVER_HTTP: &str = "is reached over HTTP, which the bridge cannot do yet";

fn is_stdio(value: &CstNode) -> bool {
    word(value).is_some_and(|kind| matches!(kind.as_str(), "stdio" | "local"))
}

fn is_empty_object(value: &CstNode) -> bool {
    value.as_object().is_some_and(|object| object.properties().is_empty())
}

fn truth(key: &str, value: &CstNode) -> Result<bool, String> {
    let value = value.as_boolean_lit().map(|value| value.value());
    value.ok_or_else(|| format!("has {key:?}, which is neither true nor false"))
}

fn texts(client: Client, key: &str, value: &CstNode) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or_else(|| format!("has {key:?}, which is no list"))?;
    items.elements().iter().map(|item| text(client, key, item)).collect()
}

fn variables(client: Client, value: &CstNode) -> Result<Vec<(String, String)>, String> {
    let object: CstObject = value.as_object().ok_or("has \"env\", which is no JSON object")?;
    let mut variables = Vec::new();
    for prop in object.properties() {
        if let (Some(name), Some(value)) = (prop.decoded_name(), prop.value()) {
            variables.push((name, text(client, "env", &value)?));
        }
    }
    Ok(variables)
}

/// A text as our own configuration has it: its references in our form.
fn text(client: Client, key: &str, value: &CstNode) -> Result<String, String> {
    let text = word(value).ok_or_else(|| format!("has something in {key:?} that is no text"))?;
    let own = |what: &str| format!("has {what} in {key:?}, which only {} fills in", client.title());
    match client.variables() {
        Variables::Ours => Ok(text),
        Variables::Shell => of_shell(&text).map_err(|()| own("a ${NAME:-default}")),
        Variables::Editor => of_editor(&text).map_err(|kind| own(&kind)),
    }
}

/// `${NAME}` becomes `${env:NAME}`; a name with a default is refused, and every other `$` stays.
fn of_shell(text: &str) -> Result<String, ()> {
    let (mut own, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        own.push_str(before);
        own.push_str("${");
        rest = after;
        let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let end = after.get(name.len()..).unwrap_or_default();
        if !name.is_empty() && end.starts_with('}') {
            own.push_str("env:");
        } else if !name.is_empty() && end.starts_with(":-") {
            return Err(());
        }
    }
    own.push_str(rest);
    Ok(own)
}

/// `${env:NAME}` is ours too; what else an editor fills in is refused by its kind.
fn of_editor(text: &str) -> Result<String, String> {
    for after in text.split("${").skip(1) {
        let Some((inside, _)) = after.split_once('}') else { continue };
        let kind = inside.split(':').next().unwrap_or_default();
        if kind != "env" {
            let kind: String =
                kind.chars().filter(|c| c.is_ascii_alphanumeric() || "/._-".contains(*c)).collect();
            let more = if inside.contains(':') { ":…" } else { "" };
            return Err(format!("${{{kind}{more}}}"));
        }
    }
    Ok(text.to_owned())
}

/// A path that means the same wherever the entry stands: absolute, in the home folder, or a name to search for.
fn own_path(client: Client, key: &str, path: String) -> Result<String, String> {
    let is_bare = key == "command" && !path.contains(std::path::is_separator);
    let is_home = path == "~" || path.starts_with("~/") || path.starts_with("~\\");
    if is_bare || is_home || path.starts_with('$') || Path::new(&path).is_absolute() {
        return Ok(path);
    }
    Err(format!("has a {key} that is relative to a folder that only {} knows", client.title()))
}

#[cfg(test)]
mod tests;
