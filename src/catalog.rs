//! Everything on offer under its shown name: a pure merge of the servers' lists.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::names::{self, ServerName};
use crate::wire::{Cut, object, span_of, splice};

/// Tools in one page of `tools/list`.
pub const PAGE_TOOLS_MAX: usize = 1000;

/// What one server offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The server; `None` is the bridge itself, whose tools keep their names.
    pub server: Option<ServerName>,
    /// The tools in the server's order, each the JSON object that it sent.
    pub tools: Vec<Arc<str>>,
}

/// A tool under the name that clients see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The name that clients see.
    pub name: String,
    /// Its server; `None` is the bridge itself.
    pub server: Option<ServerName>,
    /// The name that the server knows.
    pub tool: Arc<str>,
    /// That name as the server wrote it in JSON.
    pub tool_json: Arc<str>,
    /// The tool's definition with its shown name; every other byte is the server's.
    definition: Bytes,
}

/// A tool whose plain name was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The server whose tool got another name.
    pub server: ServerName,
    /// The tool.
    pub tool: String,
    /// The name it would have had.
    pub wanted: String,
    /// The name it got.
    pub shown: String,
}

/// An immutable list of everything on offer, sorted by shown name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    tools: Vec<Shown>,
    by_name: HashMap<String, usize>,
    pages: Vec<Bytes>,
    /// Tools whose plain name was taken by an earlier server.
    pub clashes: Vec<Clash>,
}

/// One page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// A JSON array of definitions.
    pub tools: Bytes,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

impl Catalog {
    /// Merges the offers; where two shown names meet, the first in the offers' order keeps it and the
    /// other gets a hash (protocol.md, "Names").
    #[must_use]
    pub fn merge(offers: &[Offer]) -> Self {
        let mut catalog = Self::default();
        for offer in offers {
            for definition in &offer.tools {
                catalog.add(offer.server.as_ref(), definition);
            }
        }
        catalog.tools.sort_by(|a, b| a.name.cmp(&b.name));
        let names = catalog.tools.iter().enumerate().map(|(index, tool)| (tool.name.clone(), index));
        catalog.by_name = names.collect();
        catalog.pages = catalog.tools.chunks(PAGE_TOOLS_MAX).map(joined).collect();
        catalog
    }

    fn add(&mut self, server: Option<&ServerName>, definition: &str) {
        let Some((tool, tool_json)) = tool_name(definition) else {
            tracing::warn!(server = server.map(ServerName::as_str), "tool without a name left out");
            return;
        };
        let wanted = server.map_or_else(|| tool.clone(), |server| names::shown(server, &tool));
        let Some(name) = self.free_name(server, &tool, wanted) else { return };
        let line = Bytes::copy_from_slice(definition.as_bytes());
        let json = serde_json::to_string(&name).unwrap_or_default();
        let span = span_of(definition.as_bytes(), tool_json).unwrap_or_default();
        let spliced = splice(&line, &[Cut { span, text: json.as_bytes() }]).pieces().concat();
        let definition = Bytes::from(spliced).slice(..line.len() - tool_json.len() + json.len());
        self.by_name.insert(name.clone(), self.tools.len());
        self.tools.push(Shown {
            name,
            server: server.cloned(),
            tool: tool.into(),
            tool_json: tool_json.into(),
            definition,
        });
    }

    /// The wanted name, or one with a hash; `None` for a tool that its server lists twice.
    fn free_name(&mut self, server: Option<&ServerName>, tool: &str, wanted: String) -> Option<String> {
        let Some(taken) = self.by_name.get(&wanted).and_then(|index| self.tools.get(*index)) else {
            return Some(wanted);
        };
        let server = server?;
        if taken.server.as_ref() == Some(server) && &*taken.tool == tool {
            return None;
        }
        let shown = names::shown_with_hash(server, tool);
        if self.by_name.contains_key(&shown) {
            return None;
        }
        let clash = Clash { server: server.clone(), tool: tool.to_owned(), wanted, shown: shown.clone() };
        self.clashes.push(clash);
        Some(shown)
    }

    /// The tool under a shown name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Shown> {
        self.tools.get(*self.by_name.get(name)?)
    }

    /// The tools behind a cursor, which is the last name of the page before: a page stays right while
    /// the catalog changes.
    #[must_use]
    pub fn page(&self, after: Option<&str>) -> Page {
        let start = after.map_or(0, |after| self.tools.partition_point(|tool| tool.name.as_str() <= after));
        let rest = self.tools.get(start..).unwrap_or_default();
        let here = rest.get(..rest.len().min(PAGE_TOOLS_MAX)).unwrap_or_default();
        let ready =
            start.is_multiple_of(PAGE_TOOLS_MAX).then(|| self.pages.get(start / PAGE_TOOLS_MAX)).flatten();
        Page {
            tools: ready.cloned().unwrap_or_else(|| joined(here)),
            next: (rest.len() > here.len()).then(|| here.last().map(|tool| tool.name.clone())).flatten(),
        }
    }

    /// How many tools there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tools.len()
    }

    /// Whether there is no tool at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// How many tools a server offers; `None` is the bridge itself.
    #[must_use]
    pub fn count(&self, server: Option<&ServerName>) -> usize {
        self.tools.iter().filter(|tool| tool.server.as_ref() == server).count()
    }

    /// Whether a client sees the same tools in both.
    #[must_use]
    pub fn shows_the_same(&self, other: &Self) -> bool {
        self.pages == other.pages
    }
}

fn tool_name(definition: &str) -> Option<(String, &str)> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: &'a RawValue,
    }
    let raw: &RawValue = serde_json::from_str(definition).ok()?;
    let named: Named<'_> = object(raw)?;
    let name: String = serde_json::from_str(named.name.get()).ok()?;
    (!name.is_empty()).then(|| (name, named.name.get()))
}

fn joined(tools: &[Shown]) -> Bytes {
    let mut array = vec![b'['];
    for (index, tool) in tools.iter().enumerate() {
        if index > 0 {
            array.push(b',');
        }
        array.extend_from_slice(&tool.definition);
    }
    array.push(b']');
    array.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(server: &str, tools: &[&str]) -> Offer {
        let server = ServerName::parse(server).ok();
        Offer { server, tools: tools.iter().map(|&tool| tool.into()).collect() }
    }

    fn text(page: &Page) -> &str {
        std::str::from_utf8(&page.tools).unwrap()
    }

    #[test]
    fn a_definition_changes_only_in_its_name() {
        let catalog = Catalog::merge(&[offer("s", &[r#"{"x": 1E2, "name" : "t\u0041", "y":[ ]}"#])]);
        assert_eq!(text(&catalog.page(None)), r#"[{"x": 1E2, "name" : "s__tA", "y":[ ]}]"#);
        let shown = catalog.find("s__tA").unwrap();
        assert_eq!((&*shown.tool, &*shown.tool_json), ("tA", r#""t\u0041""#));
    }

    #[test]
    fn the_list_is_sorted_and_the_same_in_every_order_of_arrival() {
        let catalog = Catalog::merge(&[
            offer("z", &[r#"{"name":"b"}"#, r#"{"name":"a"}"#]),
            offer("a", &[r#"{"name":"c"}"#]),
            Offer { server: None, tools: vec![r#"{"name":"bridge_status"}"#.into()] },
        ]);
        let names: Vec<&str> = catalog.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["a__c", "bridge_status", "z__a", "z__b"]);
    }

    #[test]
    fn the_second_of_two_equal_names_gets_a_hash() {
        let catalog = Catalog::merge(&[
            offer("s", &[r#"{"name":"a.b"}"#, r#"{"name":"a.b"}"#]),
            offer("s", &[r#"{"name":"a_b"}"#]),
        ]);
        assert_eq!(catalog.len(), 2);
        let clash = catalog.clashes.first().unwrap();
        assert_eq!((clash.wanted.as_str(), clash.tool.as_str()), ("s__a_b", "a_b"));
        assert_eq!(&*catalog.find(&clash.shown).unwrap().tool, "a_b");
    }

    #[test]
    fn something_that_is_no_tool_hides_no_other() {
        let catalog = Catalog::merge(&[offer("s", &["{}", "1", r#"{"name":7}"#, r#"{"name":"ok"}"#])]);
        assert_eq!(catalog.len(), 1);
    }

    #[test]
    fn a_cursor_stays_right_while_the_catalog_changes() {
        let tools: Vec<String> = (0..2500).map(|n| format!(r#"{{"name":"t{n:04}"}}"#)).collect();
        let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
        let before = Catalog::merge(&[offer("s", &tools)]);
        let first = before.page(None);
        assert_eq!(first.next.as_deref(), Some("s__t0999"));
        let after = Catalog::merge(&[offer("s", &tools), offer("a", &[r#"{"name":"new"}"#])]);
        let second = after.page(first.next.as_deref());
        assert!(text(&second).starts_with(r#"[{"name":"s__t1000"}"#));
        let third = after.page(second.next.as_deref());
        assert_eq!((third.next, text(&after.page(Some("zzz")))), (None, "[]"));
    }
}
