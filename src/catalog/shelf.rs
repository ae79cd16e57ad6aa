//! One list of the catalog: sorted, cut into pages, found by key.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::names::ServerName;

/// Items in one page of a list.
pub const PAGE_ITEMS_MAX: usize = 1000;

/// An item under the name that clients see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What clients call it: its shown name, or its URI.
    pub key: String,
    /// Its server; `None` is the bridge itself.
    pub server: Option<ServerName>,
    /// The name, or the URI, that the server knows.
    pub name: Arc<str>,
    /// The same as the server wrote it in JSON.
    pub name_json: Arc<str>,
    /// Its definition as it is shown; every byte but the name is the server's.
    pub(super) definition: Bytes,
}

impl Shown {
    /// The size of its definition as clients get it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.definition.len()
    }

    /// Whether it is a tool that says what its structured results look like.
    #[must_use]
    pub fn has_output_schema(&self) -> bool {
        #[derive(Deserialize)]
        struct Tool<'a> {
            #[serde(borrow, default, rename = "outputSchema")]
            output_schema: Option<&'a RawValue>,
        }
        let tool: Option<Tool<'_>> = serde_json::from_slice(&self.definition).ok();
        tool.is_some_and(|tool| tool.output_schema.is_some())
    }

    /// Whether it is a tool that says that a second call does no more than the first one did.
    #[must_use]
    pub fn may_be_repeated(&self) -> bool {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Annotations {
            read_only_hint: bool,
            idempotent_hint: bool,
        }
        #[derive(Deserialize)]
        struct Tool {
            #[serde(default)]
            annotations: Annotations,
        }
        let tool: Option<Tool> = serde_json::from_slice(&self.definition).ok();
        tool.is_some_and(|tool| tool.annotations.read_only_hint || tool.annotations.idempotent_hint)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// A JSON array of definitions.
    pub items: Bytes,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// One list, sorted by key once it is closed.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf {
    items: Vec<Shown>,
    by_key: HashMap<String, usize>,
    pages: Vec<Bytes>,
}

impl Shelf {
    /// Adds an item under a key that is free.
    pub fn push(&mut self, item: Shown) {
        self.by_key.insert(item.key.clone(), self.items.len());
        self.items.push(item);
    }

    /// Sorts and makes the pages: everything is there.
    pub fn close(&mut self) {
        self.items.sort_by(|a, b| a.key.cmp(&b.key));
        let keys = self.items.iter().enumerate().map(|(index, item)| (item.key.clone(), index));
        self.by_key = keys.collect();
        self.pages = self.items.chunks(PAGE_ITEMS_MAX).map(joined).collect();
    }

    pub fn find(&self, key: &str) -> Option<&Shown> {
        self.items.get(*self.by_key.get(key)?)
    }

    /// The items behind a key: so many that their array has at most `bytes_max` bytes, but always one.
    pub fn page(&self, after: Option<&str>, bytes_max: usize) -> Page {
        let start = after.map_or(0, |after| self.items.partition_point(|item| item.key.as_str() <= after));
        let rest = self.items.get(start..).unwrap_or_default();
        let mut here = rest.get(..rest.len().min(PAGE_ITEMS_MAX)).unwrap_or_default();
        let ready =
            start.is_multiple_of(PAGE_ITEMS_MAX).then(|| self.pages.get(start / PAGE_ITEMS_MAX)).flatten();
        let ready = ready.filter(|ready| ready.len() <= bytes_max);
        if ready.is_none() {
            here = fitting(here, bytes_max);
        }
        Page {
            items: ready.cloned().unwrap_or_else(|| joined(here)),
            next: (rest.len() > here.len()).then(|| here.last().map(|item| item.key.clone())).flatten(),
        }
    }

    pub fn all(&self) -> &[Shown] {
        &self.items
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn count(&self, server: Option<&ServerName>) -> usize {
        self.items.iter().filter(|item| item.server.as_ref() == server).count()
    }

    pub fn shows_the_same(&self, other: &Self) -> bool {
        self.pages == other.pages
    }
}

/// The first items, as many as an array of so many bytes holds; at least one, where there is one.
fn fitting(items: &[Shown], bytes_max: usize) -> &[Shown] {
    let mut bytes = 1;
    let fits = |item: &&Shown| {
        // With its comma, or with the array's end.
        bytes += item.definition.len() + 1;
        bytes <= bytes_max
    };
    let count = items.iter().take_while(fits).count().max(1);
    items.get(..count).unwrap_or(items)
}

fn joined(items: &[Shown]) -> Bytes {
    let mut array = vec![b'['];
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            array.push(b',');
        }
        array.extend_from_slice(&item.definition);
    }
    array.push(b']');
    array.into()
}
