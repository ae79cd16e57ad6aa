//! The map of servers in a client's file, edited where it stands: order, comments, white space, line ends, byte
//! order mark and all other keys stay as they are.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode};
use serde::de::IgnoredAny;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::clients::{Client, ENTRY, Launch};

const BOM: &str = "\u{feff}";

/// A client's file, opened.
pub struct Book {
    client: Client,
    has_bom: bool,
    root: CstRootNode,
}

/// One entry of the map.
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub(super) prop: CstObjectProp,
}

/// What became of the bridge's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It was there, and starts this program.
    Ready(String),
    /// It was there, and started another one or in another way.
    Changed(String),
    /// It is new.
    Added(String),
}

impl Put {
    /// The name of the entry.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Ready(name) | Self::Changed(name) | Self::Added(name) => name,
        }
    }
}

impl Book {
    /// Opens what stands in a client's file; without one, or with an empty one, there is nothing yet.
    ///
    /// # Errors
    /// In words that go on after the file's name: when the client itself could not read it, or the map of
    /// servers is none.
    pub fn open(client: Client, bytes: Option<&[u8]>) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes.unwrap_or_default()).map_err(|error| {
            format!("is not UTF-8 text from byte {} on: save it as UTF-8", error.valid_up_to())
        })?;
        let (has_bom, text) = text.strip_prefix(BOM).map_or((false, text), |rest| (true, rest));
        let is_empty = text.trim().is_empty();
        if client.is_strict() && !is_empty {
            strictly(text).map_err(|what| format!("is not valid JSON, repair it first: {what}"))?;
        }
        let root = CstRootNode::parse(if is_empty { "" } else { text }, &FORM).map_err(|error| {
            let (line, column) = (error.line_display(), error.column_display());
            format!("is not valid JSON, repair it first: line {line}, column {column}: {}", error.kind())
        })?;
        let book = Self { client, has_bom, root };
        book.check()?;
        Ok(book)
    }

    /// Whether there is one map of servers at most, and each of its names comes once.
    fn check(&self) -> Result<(), String> {
        let key = self.client.servers_key();
        let Some(value) = self.root.value() else { return Ok(()) };
        let Some(object) = value.as_object() else {
            return Err("does not hold a JSON object: repair it first".to_owned());
        };
        if let Some(twice) = twice(object.properties().iter()).filter(|name| name == key) {
            return Err(format!("has {twice:?} twice: remove one first"));
        }
        let Some(map) = object.get(key).and_then(|prop| prop.value()) else { return Ok(()) };
        match map.as_object() {
            Some(map) => twice(map.properties().iter())
                .map_or(Ok(()), |name| Err(format!("has the server {name:?} twice: remove one first"))),
            None if is_null(&map) => Ok(()),
            None => Err(format!("has {key:?}, which is no JSON object: repair it first")),
        }
    }

    /// The text with everything that was changed.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        format!("{}{}", if self.has_bom { BOM } else { "" }, self.root).into_bytes()
    }

    /// All entries, in the file's order.
    #[must_use]
    pub fn slots(&self) -> Vec<Slot> {
        let slots = self.map().into_iter().flat_map(|map| map.properties());
        slots.filter_map(|prop| Some(Slot { name: prop.decoded_name()?, prop })).collect()
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        self.slots().into_iter().find(|slot| slot.name == name)
    }

    fn map(&self) -> Option<CstObject> {
        self.root.object_value()?.object_value(self.client.servers_key())
    }

    /// The map, which is made when there is none.
    fn map_to_fill(&self) -> CstObject {
        self.root.object_value_or_set().object_value_or_set(self.client.servers_key())
    }

    /// Sees to it that an entry starts the bridge: its own, else one that starts a bridge under another name, else
    /// a new one. Of an entry that is there only what differs is changed.
    ///
    /// # Errors
    /// In words that go on after the file's name: when the entry of the bridge's name starts something else.
    pub fn put(&self, launch: &Launch) -> Result<Put, String> {
        let slots = self.slots();
        let own = slots.iter().find(|slot| slot.name == ENTRY);
        let other = || slots.iter().find(|slot| slot.starts(launch));
        let Some(slot) = own.filter(|slot| slot.starts(launch)).or_else(other) else {
            if own.is_some() {
                return Err(format!(
                    "has an entry {ENTRY:?} that starts something else: rename it there, or have it moved \
                     (--move-servers)"
                ));
            }
            self.map_to_fill().append(ENTRY, self.entry(launch));
            return Ok(Put::Added(ENTRY.to_owned()));
        };
        let name = slot.name.clone();
        Ok(if slot.correct(launch) { Put::Changed(name) } else { Put::Ready(name) })
    }

    fn entry(&self, launch: &Launch) -> CstInputValue {
        let kind = self.client.writes_type().then(|| ("type".to_owned(), "stdio".into()));
        let members = [
            ("command".to_owned(), launch.program.as_str().into()),
            ("args".to_owned(), list(&launch.args())),
        ];
        CstInputValue::Object(kind.into_iter().chain(members).collect())
    }

    /// Takes an entry out.
    pub fn remove(&self, name: &str) {
        if let Some(slot) = self.slot(name) {
            slot.prop.remove();
        }
    }

    /// What tells an entry from all others, whatever its white space; `None` when there is none of this name.
    #[must_use]
    pub fn print(&self, name: &str) -> Option<String> {
        let value = self.slot(name)?.prop.value()?.to_serde_value()?;
        Some(Sha256::digest(value.to_string()).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Gives entries back as they are in another book; one that is not there goes. The map goes too when it is
    /// empty then, and the other has none.
    pub fn give_back(&self, before: &Self, names: &[String]) {
        for name in names {
            let old = before.slot(name).and_then(|slot| slot.prop.value()).map(|value| input(&value));
            match (self.slot(name), old) {
                (Some(now), Some(old)) => now.prop.set_value(old),
                (Some(now), None) => now.prop.remove(),
                (None, Some(old)) => {
                    self.map_to_fill().append(name, old);
                }
                (None, None) => {}
            }
        }
        let is_empty = self.map().is_some_and(|map| map.properties().is_empty());
        if is_empty && before.map().is_none() {
            let key = self.client.servers_key();
            if let Some(prop) = self.root.object_value().and_then(|object| object.get(key)) {
                prop.remove();
            }
        }
    }
}

impl Slot {
    /// Whether it starts a bridge.
    #[must_use]
    pub fn starts(&self, launch: &Launch) -> bool {
        self.command().is_some_and(|command| launch.is_bridge(&command, &self.args()))
    }

    /// The program that it starts, as it is written.
    #[must_use]
    pub fn command(&self) -> Option<String> {
        word(&self.prop.object_value()?.get("command")?.value()?)
    }

    /// Its arguments, as far as they are texts.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let args = self.prop.object_value().and_then(|entry| entry.array_value("args"));
        args.map(|args| args.elements().iter().filter_map(word).collect()).unwrap_or_default()
    }

    /// Whether its client has it switched off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        let says = |key: &str, truth: bool| {
            let value = self.prop.object_value().and_then(|entry| entry.get(key)?.value()?.as_boolean_lit());
            value.is_some_and(|value| value.value() == truth)
        };
        says("disabled", true) || says("enabled", false)
    }

    /// Has it start this program, with these places if any are given; else its arguments stay. True when
    /// something differed.
    fn correct(&self, launch: &Launch) -> bool {
        let Some(entry) = self.prop.object_value() else { return false };
        let other_program = self.command().as_deref() != Some(&launch.program);
        let has_places = launch.config.is_some() || launch.data_dir.is_some();
        let other_args = has_places && self.args() != launch.args();
        if let Some(command) = entry.get("command").filter(|_| other_program) {
            command.set_value(launch.program.as_str().into());
        }
        if let Some(args) = entry.get("args").filter(|_| other_args) {
            args.set_value(list(&launch.args()));
        }
        other_program || other_args
    }
}

/// JSON as clients read it that allow comments and last commas.
const FORM: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The same text with other values, for [`super::masked`].
pub(super) fn parsed(text: &str) -> Option<CstRootNode> {
    CstRootNode::parse(text.strip_prefix(BOM).unwrap_or(text), &FORM).ok()
}

/// What is wrong with a text that is not plain JSON.
fn strictly(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        format!("line {}, column {}: {message}", error.line(), error.column())
    })
}

/// The first name that comes twice.
fn twice<'p>(props: impl Iterator<Item = &'p CstObjectProp>) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    props.filter_map(CstObjectProp::decoded_name).find(|name| !seen.insert(name.clone()))
}

fn is_null(node: &CstNode) -> bool {
    node.as_null_keyword().is_some()
}

/// A text's own characters.
pub(super) fn word(node: &CstNode) -> Option<String> {
    node.as_string_lit()?.decoded_value().ok()
}

fn list(items: &[String]) -> CstInputValue {
    CstInputValue::Array(items.iter().map(|item| item.as_str().into()).collect())
}

/// A value, to be written somewhere else: its members in their order, its numbers as they are written.
fn input(node: &CstNode) -> CstInputValue {
    if let Some(object) = node.as_object() {
        let members = object
            .properties()
            .into_iter()
            .filter_map(|prop| Some((prop.decoded_name()?, input(&prop.value()?))));
        return CstInputValue::Object(members.collect());
    }
    if let Some(array) = node.as_array() {
        return CstInputValue::Array(array.elements().iter().map(input).collect());
    }
    match node.to_serde_value() {
        Some(Value::String(text)) => CstInputValue::String(text),
        Some(Value::Bool(truth)) => CstInputValue::Bool(truth),
        Some(Value::Number(_)) => CstInputValue::Number(node.to_string()),
        _ => CstInputValue::Null,
    }
}

#[cfg(test)]
mod tests;
