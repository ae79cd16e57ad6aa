//! Everything on offer under its shown name: a pure merge of the servers' lists.

mod item;
mod shelf;
mod template;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::catalog::item::Item;
use crate::catalog::shelf::Shelf;
use crate::catalog::template::Template;
use crate::list::{Each, List};
use crate::names::{self, ServerName};
use crate::tools::Rules;
use crate::tools::pin::Held;

pub use crate::catalog::shelf::{PAGE_ITEMS_MAX, Page, Shown};

/// What one server offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The server; `None` is the bridge itself, whose tools keep their names.
    pub server: Option<ServerName>,
    /// Its lists in its own order, each item the JSON object that it sent.
    pub items: Each<Vec<Arc<str>>>,
    /// Which of its tools are shown, and how.
    pub shape: Shape,
}

/// Which tools of a server are shown, and how.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// What the configuration says.
    pub rules: Arc<Rules>,
    /// What is held back.
    pub held: Held,
}

/// A tool that its server has and clients do not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Off {
    /// The server.
    pub server: ServerName,
    /// The tool as that server has it.
    pub tool: String,
    /// Why it is not shown.
    pub why: Why,
}

/// Why a tool is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The configuration does not allow it, or denies it.
    SwitchedOff,
    /// It is held back until its user approves it.
    Quarantined,
}

/// An item whose plain name, or whose URI, was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The list in which they meet.
    pub list: List,
    /// The server whose item came second.
    pub server: ServerName,
    /// The item's name or URI as that server has it.
    pub name: String,
    /// The name it would have had.
    pub wanted: String,
    /// The name it got; `None` when it is not shown: resources and templates keep their URI.
    pub shown: Option<String>,
}

/// An immutable list of everything on offer, each list sorted by shown name or URI.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    shelves: Each<Shelf>,
    /// Servers that list a URI which an earlier one shows, in the offers' order.
    also_list: HashMap<String, Vec<ServerName>>,
    /// Servers whose tools name a URI as their user interface.
    interfaces: HashMap<String, Vec<ServerName>>,
    /// User interfaces of the bridge's own tools. No list shows them, and no server's resource takes their place.
    own_interfaces: HashSet<String>,
    /// Every template with its server, in the offers' order.
    templates: Vec<(Template, ServerName)>,
    /// Tools that are not shown, by the names that they would have.
    off: BTreeMap<String, Off>,
    /// Items whose plain name or URI was taken by an earlier server.
    pub clashes: Vec<Clash>,
}

impl Catalog {
    /// Merges the offers. Where two shown names meet, the first in the offers' order keeps it and the
    /// other gets a hash; where two URIs meet, the first is shown (protocol.md, "Names").
    #[must_use]
    pub fn merge(offers: &[Offer]) -> Self {
        let mut catalog = Self::default();
        for offer in offers {
            for list in List::ALL {
                let mut items = Self::read(list, offer);
                // A name that the user gave goes before one that the server gives: no server takes it over.
                items.sort_by_key(|item| {
                    list == List::Tools && !offer.shape.rules.rename.contains_key(&item.name)
                });
                items.iter().for_each(|item| catalog.add(list, offer, item));
            }
        }
        for list in List::ALL {
            catalog.shelves.get_mut(list).close();
        }
        catalog
    }

    /// The items of a list that have a name.
    fn read<'a>(list: List, offer: &'a Offer) -> Vec<Item<'a>> {
        let read = |definition: &'a Arc<str>| {
            let item = Item::read(list, definition);
            if item.is_none() {
                let (server, list) = (offer.server.as_ref().map(ServerName::as_str), list.word());
                tracing::warn!(server, list, "item without a name left out");
            }
            item
        };
        offer.items.get(list).iter().filter_map(read).collect()
    }

    fn add(&mut self, list: List, offer: &Offer, item: &Item<'_>) {
        let server = offer.server.as_ref();
        match list {
            List::Tools => self.add_tool(server, &offer.shape, item),
            List::Prompts => {
                let wanted =
                    server.map_or_else(|| item.name.clone(), |server| names::shown(server, &item.name));
                self.add_named(list, server, item, (wanted, None));
            }
            List::Resources | List::Templates => self.add_addressed(list, server, item),
        }
    }

    fn add_tool(&mut self, server: Option<&ServerName>, shape: &Shape, item: &Item<'_>) {
        let rules = &shape.rules;
        let Some(server) = server else {
            self.own_interfaces.extend(item.interface.clone());
            return self.add_named(List::Tools, None, item, (item.name.clone(), None));
        };
        let wanted = names::shown(server, rules.name_of(&item.name));
        let why = match () {
            () if !rules.show(&item.name) => Why::SwitchedOff,
            () if shape.held.holds(&item.name) => Why::Quarantined,
            () => {
                if let Some(uri) = &item.interface {
                    add_once(&mut self.interfaces, uri, server);
                }
                let words = rules.describe.get(&item.name).map(String::as_str);
                return self.add_named(List::Tools, Some(server), item, (wanted, words));
            }
        };
        let off = Off { server: server.clone(), tool: item.name.clone(), why };
        let is_free = !self.is_taken(List::Tools, &wanted) && !self.off.contains_key(&wanted);
        let name = match is_free || self.off.get(&wanted) == Some(&off) {
            true => wanted,
            false => names::shown_with_hash(server, &item.name),
        };
        self.off.entry(name).or_insert(off);
    }

    fn add_named(
        &mut self,
        list: List,
        server: Option<&ServerName>,
        item: &Item<'_>,
        (wanted, description): (String, Option<&str>),
    ) {
        if let Some(key) = self.free_name(list, server, &item.name, wanted) {
            self.shelves.get_mut(list).push(item.renamed(key, server, description));
        }
    }

    fn add_addressed(&mut self, list: List, server: Option<&ServerName>, item: &Item<'_>) {
        if let (List::Templates, Some(server)) = (list, server) {
            self.templates.push((Template::parse(&item.name), server.clone()));
        }
        if list == List::Resources && self.is_own(&item.name) {
            return self.hide(list, server, item);
        }
        let shelf = self.shelves.get_mut(list);
        let Some(first) = shelf.find(&item.name) else { return shelf.push(item.as_it_is(server)) };
        let Some(server) = server.filter(|server| first.server.as_ref() != Some(server)) else { return };
        if list == List::Resources {
            add_once(&mut self.also_list, &item.name, server);
        }
        self.hide(list, Some(server), item);
    }

    /// Remembers an item that is not shown.
    fn hide(&mut self, list: List, server: Option<&ServerName>, item: &Item<'_>) {
        let Some(server) = server else { return };
        self.clashes.push(Clash {
            list,
            server: server.clone(),
            name: item.name.clone(),
            wanted: item.name.clone(),
            shown: None,
        });
    }

    /// Whether a name is another item's: one that is held back keeps its name for the time when it is shown again.
    fn is_taken(&self, list: List, shown: &str) -> bool {
        let is_held = || self.off.get(shown).is_some_and(|off| off.why == Why::Quarantined);
        self.shelves.get(list).find(shown).is_some() || (list == List::Tools && is_held())
    }

    /// The wanted name, or one with a hash; `None` for an item that its server lists twice.
    fn free_name(
        &mut self,
        list: List,
        server: Option<&ServerName>,
        name: &str,
        wanted: String,
    ) -> Option<String> {
        if !self.is_taken(list, &wanted) {
            return Some(wanted);
        }
        let (server, shelf) = (server?, self.shelves.get(list));
        let taken = shelf.find(&wanted);
        if taken.is_some_and(|taken| taken.server.as_ref() == Some(server) && &*taken.name == name) {
            return None;
        }
        let shown = names::shown_with_hash(server, name);
        if shelf.find(&shown).is_some() {
            return None;
        }
        self.clashes.push(Clash {
            list,
            server: server.clone(),
            name: name.to_owned(),
            wanted,
            shown: Some(shown.clone()),
        });
        Some(shown)
    }

    /// Every item of a list, sorted by the names or URIs that clients see.
    #[must_use]
    pub fn all(&self, list: List) -> &[Shown] {
        self.shelves.get(list).all()
    }

    /// The item of a list under the name or URI that clients see.
    #[must_use]
    pub fn find(&self, list: List, shown: &str) -> Option<&Shown> {
        self.shelves.get(list).find(shown)
    }

    /// Whether a URI is the user interface of one of the bridge's own tools.
    #[must_use]
    pub fn is_own(&self, uri: &str) -> bool {
        self.own_interfaces.contains(uri)
    }

    /// A tool that is not shown, under the name that it would have.
    #[must_use]
    pub fn off(&self, shown: &str) -> Option<&Off> {
        self.off.get(shown)
    }

    /// Every tool that is not shown, with the name that it would have.
    pub fn all_off(&self) -> impl Iterator<Item = (&str, &Off)> {
        self.off.iter().map(|(shown, off)| (shown.as_str(), off))
    }

    /// The servers that may know a URI, the likeliest first: those that list it, those of whose tools it
    /// is the interface, those with a template that it matches; each group in the offers' order.
    #[must_use]
    pub fn owners_of(&self, uri: &str) -> Vec<ServerName> {
        let shows = self.shelves.resources.find(uri).and_then(|shown| shown.server.as_ref());
        let also_list = self.also_list.get(uri).into_iter().flatten();
        let interfaces = self.interfaces.get(uri).into_iter().flatten();
        let matching = self.templates.iter().filter(|(template, _)| template.matches(uri));
        let mut owners: Vec<ServerName> = Vec::new();
        let all = shows.into_iter().chain(also_list).chain(interfaces);
        for server in all.chain(matching.map(|(_, server)| server)) {
            if !owners.contains(server) {
                owners.push(server.clone());
            }
        }
        owners
    }

    /// The part of a list behind a cursor, which is the last name or URI of the page before: a page
    /// stays right while the catalog changes. Its items have at most `bytes_max` bytes, if more than one.
    #[must_use]
    pub fn page(&self, list: List, after: Option<&str>, bytes_max: usize) -> Page {
        self.shelves.get(list).page(after, bytes_max)
    }

    /// How many items a list has.
    #[must_use]
    pub fn len(&self, list: List) -> usize {
        self.shelves.get(list).len()
    }

    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        List::ALL.into_iter().all(|list| self.len(list) == 0)
    }

    /// How many items of a list are shown of a server; `None` is the bridge itself.
    #[must_use]
    pub fn count(&self, list: List, server: Option<&ServerName>) -> usize {
        self.shelves.get(list).count(server)
    }

    /// Whether a client sees the same list in both.
    #[must_use]
    pub fn shows_the_same(&self, list: List, other: &Self) -> bool {
        self.shelves.get(list).shows_the_same(other.shelves.get(list))
    }
}

fn add_once(servers: &mut HashMap<String, Vec<ServerName>>, uri: &str, server: &ServerName) {
    let servers = servers.entry(uri.to_owned()).or_default();
    if !servers.contains(server) {
        servers.push(server.clone());
    }
}
