//! What is kept of one server's offer, and what of it a newer one replaces.

use std::sync::Arc;
use std::time::Duration;

use crate::downstream::greeting::Greeting;
use crate::downstream::listing::{Items, Listing};
use crate::list::{Each, List};
use crate::names::ServerName;
use crate::router::offers::Known;
use crate::store::rows::{CatalogRow, GreetingRow};
use crate::store::stamp;

/// What is kept of one server.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub listing: Listing,
    /// When its program had been changed last, when it was greeted; Unix milliseconds.
    pub binary_ms: Option<i64>,
}

impl Kept {
    /// What a row says.
    pub fn stored(row: CatalogRow) -> Self {
        let read = |list: List, text: Option<String>| match Items::parse(&text?) {
            Ok(items) => Some(items),
            Err(error) => {
                tracing::warn!(server = row.server, list = list.word(), %error, "stored list cannot be read");
                None
            }
        };
        let lists = Each {
            tools: read(List::Tools, Some(row.tools)),
            prompts: read(List::Prompts, row.prompts),
            resources: read(List::Resources, row.resources),
            templates: read(List::Templates, row.templates),
        };
        let greeting = row.greeting.map(|greeting| Greeting {
            era: greeting.era,
            legacy_only: greeting.legacy_only,
            protocol_version: greeting.protocol_version,
            capabilities: greeting.capabilities.into(),
            instructions: greeting.instructions.map(Arc::from),
            server_info: greeting.server_info.map(Arc::from),
        });
        Self { listing: Listing { greeting, lists }, binary_ms: row.binary_time_ms }
    }

    /// The row that says the same.
    pub fn row(&self, known: &Known) -> CatalogRow {
        let json = |list| self.listing.lists.get(list).as_ref().map(Items::to_json);
        CatalogRow {
            key: known.key.clone(),
            server: known.server.to_string(),
            tools: json(List::Tools).unwrap_or_else(|| "[]".to_owned()),
            prompts: json(List::Prompts),
            resources: json(List::Resources),
            templates: json(List::Templates),
            greeting: self.listing.greeting.as_ref().map(|greeting| GreetingRow {
                era: greeting.era,
                legacy_only: greeting.legacy_only,
                protocol_version: greeting.protocol_version.clone(),
                capabilities: greeting.capabilities.to_string(),
                server_info: greeting.server_info.as_deref().map(str::to_owned),
                instructions: greeting.instructions.as_deref().map(str::to_owned),
            }),
            binary_time_ms: self.binary_ms,
            listed_at_ms: stamp::now_ms(),
        }
    }

    /// Takes what arrived; true when that changes anything. An empty list of tools never replaces a good
    /// one.
    pub fn take(&mut self, server: &ServerName, arrived: Listing, binary_ms: Option<i64>) -> bool {
        let mut changed = false;
        let Listing { greeting, mut lists } = arrived;
        for list in List::ALL {
            let Some(items) = lists.get_mut(list).take() else { continue };
            let kept = self.listing.lists.get_mut(list);
            match kept {
                Some(before) if before.items == items.items => *before = items,
                Some(before) if list == List::Tools && items.items.is_empty() && !before.items.is_empty() => {
                    let tools = before.items.len();
                    tracing::warn!(%server, tools, "empty list ignored, the known one stays");
                    *before = Items { items: std::mem::take(&mut before.items), ..items };
                }
                _ => {
                    *kept = Some(items);
                    changed = true;
                }
            }
        }
        if greeting.is_some() && (greeting != self.listing.greeting || binary_ms != self.binary_ms) {
            self.listing.greeting = greeting;
            self.binary_ms = binary_ms;
            changed = true;
        }
        changed
    }

    /// Takes from the record what did not arrive before it was read.
    pub fn fill(&mut self, stored: &Self) {
        for list in List::ALL {
            let kept = self.listing.lists.get_mut(list);
            let is_empty = kept.as_ref().is_none_or(|items| list == List::Tools && items.items.is_empty());
            if let (true, Some(items)) = (is_empty, stored.listing.lists.get(list)) {
                *kept = Some(items.clone());
            }
        }
        if self.listing.greeting.is_none() {
            self.listing.greeting.clone_from(&stored.listing.greeting);
            self.binary_ms = stored.binary_ms;
        }
    }

    /// A list, when it is known.
    pub fn items(&self, list: List) -> Option<&[Arc<str>]> {
        self.listing.lists.get(list).as_ref().map(|items| items.items.as_slice())
    }

    /// Whether it never said what tools it has.
    pub fn is_unlisted(&self) -> bool {
        self.items(List::Tools).is_none()
    }

    /// Whether it was tried and brought nothing of what it has: no tools though it says that it has some,
    /// or nothing at all. So is one that never said what it has: a row of the schema's first step knows
    /// nothing but its tools.
    pub fn is_hollow(&self) -> bool {
        let is_empty = |list| self.items(list).is_none_or(<[_]>::is_empty);
        let nothing = List::ALL.into_iter().all(is_empty);
        let brought_nothing =
            |greeting: &Greeting| is_empty(List::Tools) && (greeting.has("tools") || nothing);
        !self.is_unlisted() && self.listing.greeting.as_ref().is_none_or(brought_nothing)
    }

    /// See [`super::Offers::is_stale`].
    pub fn is_stale(&self, list: List, age: Duration) -> bool {
        let Some(greeting) = self.listing.greeting.as_ref().filter(|greeting| greeting.has(list.feature()))
        else {
            return false;
        };
        let told_of_changes = greeting.has_flag(list.feature(), "listChanged");
        self.listing.lists.get(list).as_ref().is_none_or(|items| items.is_stale(told_of_changes, age))
    }
}
