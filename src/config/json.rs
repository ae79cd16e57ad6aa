//! JSON to the common form: order and places come from raw values, which are slices of the text.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::tree::{Fault, Node, Value, member};

/// Nothing that a server's entry may hold is nested deeper.
const DEPTH_MAX: usize = 6;

/// The map of servers in a client's file, if it has one. The rest of the file is only skimmed.
pub(super) fn servers(text: &str) -> Result<Option<Node>, Fault> {
    let root: &RawValue = serde_json::from_str(text).map_err(|error| fault(text, &error))?;
    let tree = Tree { text };
    let Ok(Members(members)) = serde_json::from_str(root.get()) else {
        return Err(Fault { at: tree.at(root), what: "must be a JSON object".to_owned() });
    };
    let found = ["mcpServers", "servers"].into_iter().find_map(|name| {
        let (key, value) = members.iter().find(|(key, _)| word(key).as_deref() == Some(name))?;
        Some(tree.node(tree.at(key), name.to_owned(), value, 0))
    });
    Ok(found)
}

/// Members of an object as they stand, keys too.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

struct Tree<'a> {
    text: &'a str,
}

impl Tree<'_> {
    /// The offset of a raw value, which is a slice of the text.
    fn at(&self, raw: &RawValue) -> usize {
        raw.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr())
    }

    fn node(&self, at: usize, path: String, raw: &RawValue, depth: usize) -> Node {
        Node { at, value: self.value(&path, raw, depth), path }
    }

    fn value(&self, path: &str, raw: &RawValue, depth: usize) -> Value {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{' | b'[') if depth == DEPTH_MAX => Value::Other("something nested"),
            Some(b'{') => self.table(path, text, depth + 1),
            Some(b'[') => self.list(path, text, depth + 1),
            Some(b'"') => word(raw).map_or(Value::Other("a text that is not Unicode"), Value::Text),
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'n') => Value::Other("null"),
            _ => text.parse().map_or(Value::Other("a fraction or a huge number"), Value::Integer),
        }
    }

    /// A member that is null counts as not written.
    fn table(&self, path: &str, text: &str, depth: usize) -> Value {
        let Ok(Members(members)) = serde_json::from_str(text) else {
            return Value::Other("something unreadable");
        };
        let members = members.into_iter().filter(|(_, value)| value.get() != "null").map(|(key, value)| {
            let name = word(key).unwrap_or_else(|| char::REPLACEMENT_CHARACTER.to_string());
            let node = self.node(self.at(key), member(path, &name), value, depth);
            (name, node)
        });
        Value::Table(members.collect())
    }

    fn list(&self, path: &str, text: &str, depth: usize) -> Value {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else {
            return Value::Other("something unreadable");
        };
        let items = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| self.node(self.at(item), format!("{path}[{index}]"), item, depth));
        Value::List(items.collect())
    }
}

/// A JSON string's text; `None` for a lone surrogate.
fn word(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// What is wrong with a text that is not JSON. Comments and last commas are what people write most.
fn fault(text: &str, error: &serde_json::Error) -> Fault {
    let line_start =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let at = (line_start + error.column().saturating_sub(1)).min(text.len());
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let is_after_comma = || text.get(..at).is_some_and(|before| before.trim_end().ends_with(','));
    let what = match text.as_bytes().get(at) {
        Some(b'/') => "JSON has no comments: remove it, or write this configuration as TOML".to_owned(),
        Some(b'}' | b']') if is_after_comma() => "not valid JSON: remove the comma before this".to_owned(),
        _ => format!("not valid JSON: {message}"),
    };
    Fault { at, what }
}
