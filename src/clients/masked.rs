//! A client's file as it may be shown: everything that could be a secret is `***`.
//!
//! Of texts only what is known to be harmless stays: commands, folders, and arguments that look like none. All
//! values of `env` and `headers`, every text outside the map of servers, and every comment are masked.

use jsonc_parser::cst::{CstContainerNode, CstLeafNode, CstNode};

use crate::clients::Client;
use crate::clients::book::{parsed, word};
use crate::config::edit::entry::{Address, Entry};

const MASK: &str = "***";

/// A text of a client's file, line by line as it is, without secrets. One that is not JSON is masked as a whole.
#[must_use]
pub fn text(client: Client, text: &str) -> String {
    let Some(root) = parsed(text) else { return MASK.to_owned() };
    for child in root.children() {
        mask(client, &child, &Where::Outside(0));
    }
    root.to_string()
}

/// An entry of our own configuration, without secrets.
#[must_use]
pub fn entry(entry: &Entry) -> Entry {
    Entry {
        command: argument(&entry.command).into_owned(),
        args: arguments(&entry.args),
        env: entry.env.iter().map(|(name, value)| (name.clone(), value_of(value))).collect(),
        ..entry.clone()
    }
}

/// Whether a variable holds a secret, as far as its name or its value tells.
#[must_use]
pub fn is_secret(name: &str, value: &str) -> bool {
    !value.is_empty() && (sounds_secret(name) || looks_secret(value))
}

/// Whether arguments hold a secret, as far as their names or their values tell.
#[must_use]
pub fn hold_secret(args: &[String]) -> bool {
    let follows = args.iter().zip(args.iter().skip(1));
    let is_announced = |(arg, next): (&String, &String)| announces_secret(arg) && !next.starts_with('-');
    let is_one = |arg: &String| match arg.split_once('=') {
        Some((name, value)) => is_secret(name, value),
        None => arg.split(' ').any(looks_secret),
    };
    follows.into_iter().any(is_announced) || args.iter().any(is_one)
}

/// The same of a server behind an address.
#[must_use]
pub fn address(entry: &Address) -> Address {
    Address {
        url: argument(&entry.url).into_owned(),
        headers: entry.headers.iter().map(|(name, value)| (name.clone(), value_of(value))).collect(),
        enabled: entry.enabled,
    }
}

/// A value of which only a reference may be shown: it says where the secret is, and not what.
fn value_of(value: &str) -> String {
    let name = value.strip_prefix("${env:").and_then(|rest| rest.strip_suffix('}'));
    let is_reference = name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    if is_reference { value.to_owned() } else { MASK.to_owned() }
}

/// Where a value stands.
#[derive(Clone)]
enum Where {
    /// So many objects deep, outside the map of servers.
    Outside(usize),
    /// It is the map of servers.
    Map,
    /// It is a server's entry.
    Entry,
    /// It may be shown.
    Shown,
    /// It is an argument or a list of them.
    Arguments,
    /// Nothing of it may be shown.
    Hidden,
}

impl Where {
    fn below(&self, client: Client, key: &str) -> Self {
        match self {
            Self::Outside(1) if key == client.servers_key() => Self::Map,
            Self::Outside(depth) => Self::Outside(*depth),
            Self::Map => Self::Entry,
            Self::Entry => match key {
                "command" | "args" => Self::Arguments,
                "cwd" | "type" | "source" => Self::Shown,
                "env" | "headers" => Self::Hidden,
                _ => Self::Outside(2),
            },
            Self::Shown | Self::Arguments | Self::Hidden => Self::Hidden,
        }
    }
}

fn mask(client: Client, node: &CstNode, place: &Where) {
    match node {
        CstNode::Leaf(leaf) => mask_leaf(leaf, place),
        CstNode::Container(CstContainerNode::ObjectProp(prop)) => {
            let place = place.below(client, &prop.decoded_name().unwrap_or_default());
            let value = prop.value();
            // The name itself stays.
            for child in prop.children() {
                let is_value = value.as_ref().is_some_and(|value| value.child_index() == child.child_index());
                mask(client, &child, if is_value { &place } else { &Where::Shown });
            }
        }
        CstNode::Container(CstContainerNode::Array(items)) if matches!(place, Where::Arguments) => {
            mask_arguments(client, items);
        }
        CstNode::Container(container) => {
            let place = match place {
                Where::Outside(depth) => &Where::Outside(depth + 1),
                place => place,
            };
            container.children().iter().for_each(|child| mask(client, child, place));
        }
    }
}

fn mask_leaf(leaf: &CstLeafNode, place: &Where) {
    match leaf {
        CstLeafNode::Comment(comment) => {
            let lines = comment.raw_value();
            let lines =
                lines.split('\n').map(|line| if line.starts_with("//") { "// ***" } else { "/* *** */" });
            comment.set_raw_value(lines.collect::<Vec<_>>().join("\n"));
        }
        CstLeafNode::StringLit(text) => match place {
            Where::Shown => {}
            Where::Arguments => {
                let shown = text
                    .decoded_value()
                    .map(|value| argument(&value).into_owned())
                    .unwrap_or(MASK.to_owned());
                text.set_raw_value(serde_json::Value::from(shown).to_string());
            }
            _ if text.raw_value() == "\"\"" => {}
            _ => text.set_raw_value(format!("\"{MASK}\"")),
        },
        CstLeafNode::NumberLit(number) if matches!(place, Where::Hidden) => {
            number.set_raw_value(MASK.to_owned())
        }
        _ => {}
    }
}

fn mask_arguments(client: Client, items: &jsonc_parser::cst::CstArray) {
    let elements = items.elements();
    let texts: Vec<String> = elements.iter().map(|item| word(item).unwrap_or_default()).collect();
    for (item, shown) in elements.iter().zip(arguments(&texts)) {
        match item.as_string_lit() {
            Some(text) if text.decoded_value().is_ok_and(|value| value == shown) => {}
            Some(text) => text.set_raw_value(serde_json::Value::from(shown).to_string()),
            None => mask(client, item, &Where::Hidden),
        }
    }
    for child in items.children() {
        if child.is_comment() {
            mask(client, &child, &Where::Hidden);
        }
    }
}

/// Arguments as they may be shown; what follows `--token` and its like is masked too.
fn arguments(args: &[String]) -> Vec<String> {
    let mut names_secret = false;
    let shown = args.iter().map(|arg| {
        let hides = std::mem::replace(&mut names_secret, announces_secret(arg));
        if hides && !arg.starts_with('-') { MASK.to_owned() } else { argument(arg).into_owned() }
    });
    shown.collect()
}

/// Whether an argument says that the next one is a secret.
fn announces_secret(arg: &str) -> bool {
    arg.starts_with('-') && !arg.contains('=') && sounds_secret(arg)
}

/// One argument: the value of `NAME=value`, the secret parts of an address, and whatever looks like a key are
/// masked.
fn argument(arg: &str) -> std::borrow::Cow<'_, str> {
    if let Some((scheme, rest)) = arg.split_once("://") {
        return format!("{scheme}://{}", without_secrets(rest)).into();
    }
    if let Some((name, value)) = arg.split_once('=') {
        // A variable, or a flag that sounds like it.
        let is_variable = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.is_empty();
        if is_variable || sounds_secret(name) || looks_secret(value) {
            return format!("{name}={MASK}").into();
        }
    }
    let words: Vec<&str> = arg.split(' ').collect();
    let says_bearer = words.iter().any(|word| matches!(*word, "Bearer" | "Basic" | "token"));
    let names_header = arg.split_once(':').is_some_and(|(name, _)| sounds_secret(name));
    if says_bearer || names_header || words.iter().any(|word| looks_secret(word)) {
        return MASK.into();
    }
    arg.into()
}

/// An address without whoever it is for, what looks like a key in its path, and all that is asked of it.
fn without_secrets(rest: &str) -> String {
    let (rest, asked) = rest.split_once(['?', '#']).map_or((rest, ""), |(rest, _)| (rest, "?***"));
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit_once('@').map_or_else(|| host.to_owned(), |(_, host)| format!("{MASK}@{host}"));
    let parts = path.into_iter().flat_map(|path| path.split('/'));
    let parts = parts.map(|part| if looks_secret(part) { MASK } else { part });
    let path: String = parts.map(|part| format!("/{part}")).collect();
    format!("{host}{path}{asked}")
}

/// Whether a name is one of a secret: `--api-key`, `GITHUB_TOKEN`.
fn sounds_secret(name: &str) -> bool {
    const SOUNDS: [&str; 9] =
        ["key", "token", "secret", "password", "passwd", "auth", "credential", "bearer", "header"];
    let name = name.to_ascii_lowercase();
    SOUNDS.iter().any(|sound| name.contains(sound)) || name == "-p"
}

/// Whether a text looks like a key that somebody was given: it begins like one, or is long and mixed.
fn looks_secret(text: &str) -> bool {
    const STARTS: [&str; 14] = [
        "sk-",
        "pk-",
        "sk_",
        "pk_",
        "rk_",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "xox",
        "AKIA",
        "eyJ",
        "AIza",
    ];
    /// Shorter ones are words and versions.
    const LONG: usize = 20;
    if STARTS.iter().any(|start| text.starts_with(start)) && text.len() > 8 {
        return true;
    }
    let is_one_word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+=.~".contains(&b));
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    let is_mixed = has(u8::is_ascii_digit) || (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase));
    // Nobody is given a key that begins like a flag.
    text.len() >= LONG && is_one_word && is_mixed && !text.starts_with("--")
}

#[cfg(test)]
mod tests;
