//! The common form of both file kinds: values that know where they stand.

use std::time::Duration;

use crate::config::mistake::{Report, unknown_key};
use crate::credentials::Template;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Our own TOML file: every key is known.
    Own,
    /// Another program's JSON file: it may hold what only that program understands.
    Client,
}

/// Why a text could not be parsed at all. `what` never holds a part of the text.
pub(super) struct Fault {
    pub at: usize,
    pub what: String,
}

/// A value with its place. Not `Debug`: it holds what may be a secret.
pub(super) struct Node {
    /// The byte offset of its key, or of the item itself in a list.
    pub at: usize,
    /// The keys that lead to it.
    pub path: String,
    pub value: Value,
}

pub(super) enum Value {
    Text(String),
    Integer(i64),
    Bool(bool),
    List(Vec<Node>),
    /// Members in the file's order; a key may come twice.
    Table(Vec<(String, Node)>),
    /// Something that no key takes, by the words for it.
    Other(&'static str),
}

impl Value {
    fn found(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(words) => words,
        }
    }
}

/// The path of a member: `servers."my server".command`.
pub(super) fn member(parent: &str, key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let key = if is_bare { key.to_owned() } else { format!("{key:?}") };
    if parent.is_empty() { key } else { format!("{parent}.{key}") }
}

/// The members of a table, taken one by one by the keys that are known.
pub(super) struct Fields {
    pub at: usize,
    pub path: String,
    members: Vec<(String, Node)>,
}

impl Fields {
    /// The members of a table; anything else, and the second of two equal keys, is a mistake.
    pub(super) fn of(node: Node, report: &mut Report<'_>) -> Option<Self> {
        let Value::Table(found) = node.value else {
            wrong_type(&node, "a table", report);
            return None;
        };
        let mut members: Vec<(String, Node)> = Vec::with_capacity(found.len());
        for (key, node) in found {
            if members.iter().any(|(earlier, _)| *earlier == key) {
                report.mistake(node.at, &node.path, "written twice, remove one");
            } else {
                members.push((key, node));
            }
        }
        Some(Self { at: node.at, path: node.path, members })
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.members.iter().any(|(name, _)| name == key)
    }

    /// Where a member stands, and the keys that lead to it.
    pub(super) fn place_of(&self, key: &str) -> Option<(usize, String)> {
        let (_, node) = self.members.iter().find(|(name, _)| name == key)?;
        Some((node.at, node.path.clone()))
    }

    pub(super) fn peek(&self, key: &str) -> Option<&Value> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, node)| &node.value)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let index = self.members.iter().position(|(name, _)| name == key)?;
        Some(self.members.remove(index).1)
    }

    pub(super) fn into_members(self) -> Vec<(String, Node)> {
        self.members
    }

    /// Names every key that nobody took.
    pub(super) fn refuse_others(self, known: &[&str], report: &mut Report<'_>) {
        for (key, node) in self.members {
            report.mistake(node.at, &node.path, unknown_key(&key, known));
        }
    }

    pub(super) fn bool(&mut self, key: &str, report: &mut Report<'_>) -> Option<bool> {
        let node = self.take(key)?;
        let Value::Bool(value) = node.value else {
            wrong_type(&node, "true or false", report);
            return None;
        };
        Some(value)
    }

    pub(super) fn list(&mut self, key: &str, report: &mut Report<'_>) -> Option<Vec<Node>> {
        let node = self.take(key)?;
        let Value::List(items) = node.value else {
            wrong_type(&node, "a list of texts", report);
            return None;
        };
        Some(items)
    }

    /// A whole number between `min` and `max`.
    pub(super) fn number(
        &mut self,
        key: &str,
        (min, max): (u32, u32),
        report: &mut Report<'_>,
    ) -> Option<u32> {
        let node = self.take(key)?;
        let Value::Integer(value) = node.value else {
            wrong_type(&node, "an integer", report);
            return None;
        };
        let value = u32::try_from(value).ok().filter(|value| (min..=max).contains(value));
        if value.is_none() {
            report.mistake(node.at, &node.path, format!("must be from {min} to {max}"));
        }
        value
    }

    /// A number of whole seconds between `min` and `max`.
    pub(super) fn seconds(
        &mut self,
        key: &str,
        range: (u32, u32),
        report: &mut Report<'_>,
    ) -> Option<Duration> {
        self.number(key, range, report).map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// A text that a process can be given.
pub(super) fn text(node: Node, report: &mut Report<'_>) -> Option<String> {
    let Value::Text(value) = node.value else {
        wrong_type(&node, "a text", report);
        return None;
    };
    if value.contains('\0') {
        report.mistake(node.at, &node.path, "cannot hold a NUL character");
        return None;
    }
    Some(value)
}

/// A text with references.
pub(super) fn template(node: Node, report: &mut Report<'_>) -> Option<Template> {
    let (at, path) = (node.at, node.path.clone());
    match Template::parse(&text(node, report)?) {
        Ok(template) => Some(template),
        Err(bad) => {
            report.mistake(at, &path, bad.to_string());
            None
        }
    }
}

fn wrong_type(node: &Node, expected: &str, report: &mut Report<'_>) {
    report.mistake(node.at, &node.path, format!("must be {expected}, found {}", node.value.found()));
}
