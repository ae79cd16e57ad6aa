//! What a server's entry says of its tools: `[servers.NAME.tools]`.

use std::collections::BTreeMap;

use crate::config::mistake::Report;
use crate::config::tree::{Dialect, Fields, Node, Value, text};
use crate::names::{SEPARATOR, SHOWN_NAME_CHARS_MAX, ServerName};
use crate::tools::{Patterns, Rules};

/// `on_tool_change`, default `notify`: what comes of a tool that is another one than when it was first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnChange {
    /// `log`: it is written down.
    Log,
    /// `notify`: and the user is told.
    #[default]
    Notify,
    /// `quarantine`: and it is held back until the user approves it.
    Quarantine,
}

impl OnChange {
    const ALL: [Self; 3] = [Self::Log, Self::Notify, Self::Quarantine];

    /// Its word in the configuration and in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Notify => "notify",
            Self::Quarantine => "quarantine",
        }
    }

    pub(super) fn read(fields: &mut Fields, report: &mut Report<'_>) -> Option<Self> {
        let node = fields.take("on_tool_change")?;
        let (at, path) = (node.at, node.path.clone());
        let word = text(node, report)?;
        let found = Self::ALL.into_iter().find(|one| one.word() == word);
        if found.is_none() {
            let words = Self::ALL.map(|one| format!("{:?}", one.word())).join(", ");
            report.mistake(at, &path, format!("must be one of {words}"));
        }
        found
    }
}

/// Reads what an entry says of its tools. Another program's `tools` may mean anything: there only an object that
/// holds a key of ours is read.
pub(super) fn read(
    entry: &mut Fields,
    server: Option<&ServerName>,
    dialect: Dialect,
    report: &mut Report<'_>,
) -> Rules {
    let Some(node) = entry.take("tools") else { return Rules::default() };
    let is_ours = match &node.value {
        Value::Table(members) => members.iter().any(|(key, _)| Rules::KEYS.contains(&key.as_str())),
        _ => false,
    };
    if dialect == Dialect::Client && !is_ours {
        return Rules::default();
    }
    let Some(mut fields) = Fields::of(node, report) else { return Rules::default() };
    let rules = Rules {
        allow: allow(&mut fields, report),
        deny: patterns(&mut fields, "deny", report).unwrap_or_default(),
        rename: fields.take("rename").map(|node| renames(node, server, report)).unwrap_or_default(),
        describe: fields.take("describe").map(|node| texts(node, report)).unwrap_or_default(),
    };
    match dialect {
        Dialect::Own => fields.refuse_others(&Rules::KEYS, report),
        Dialect::Client => fields.into_members().into_iter().for_each(|(_, node)| {
            report.note(node.at, &node.path, "this key is not known here and has no effect");
        }),
    }
    rules
}

fn allow(fields: &mut Fields, report: &mut Report<'_>) -> Option<Patterns> {
    let at = fields.place_of("allow");
    let allow = patterns(fields, "allow", report)?;
    if let Some((at, path)) = at.filter(|_| allow == Patterns::default()) {
        let what = "allows no tool at all: leave it out for all of them, or write enabled = false";
        report.mistake(at, &path, what);
    }
    Some(allow)
}

fn patterns(fields: &mut Fields, key: &str, report: &mut Report<'_>) -> Option<Patterns> {
    let at = fields.place_of(key);
    let items = fields.list(key, report)?;
    let globs = items.into_iter().filter_map(|item| {
        let (at, path) = (item.at, item.path.clone());
        let glob = text(item, report)?;
        Patterns::parse(&glob)
            .map_err(|why| report.mistake(at, &path, format!("is no pattern of names: {why}")))
            .ok()
    });
    let all = Patterns::new(globs.collect());
    let (at, path) = at.unwrap_or_default();
    all.map_err(|why| report.mistake(at, &path, format!("cannot be used: {why}"))).ok()
}

/// Other names; each has to be one that clients can show as it is.
fn renames(node: Node, server: Option<&ServerName>, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let Some(fields) = Fields::of(node, report) else { return BTreeMap::new() };
    let before = server.map_or(0, |server| server.slug().len() + SEPARATOR.len());
    let chars_max = SHOWN_NAME_CHARS_MAX.saturating_sub(before).max(1);
    let mut renames = BTreeMap::<String, String>::new();
    for (tool, node) in fields.into_members() {
        let (at, path) = (node.at, node.path.clone());
        let Some(name) = text(node, report) else { continue };
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(is_good) {
            report.mistake(
                at,
                &path,
                "a tool's name is made of letters, digits, \"_\" and \"-\" (a-z, A-Z, 0-9)",
            );
        } else if name.len() > chars_max {
            let what = format!(
                "with the server's name before it this is too long, it may have {chars_max} characters"
            );
            report.mistake(at, &path, what);
        } else if renames.values().any(|other| *other == name) {
            report.mistake(at, &path, "another tool is given the same name, choose another one");
        } else {
            renames.insert(tool, name);
        }
    }
    renames
}

fn texts(node: Node, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let members = Fields::of(node, report).map(Fields::into_members).unwrap_or_default();
    let texts = members.into_iter().filter_map(|(tool, node)| {
        let (at, path) = (node.at, node.path.clone());
        let words = text(node, report)?;
        if words.trim().is_empty() {
            report.mistake(at, &path, "cannot be empty: a model would not know what the tool is for");
        }
        Some((tool, words))
    });
    texts.collect()
}
