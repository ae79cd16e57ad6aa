//! What clients want of one server, counted by client.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::downstream::client::ClientId;
use crate::downstream::interest::Wanted;
use crate::downstream::level;

/// What is kept of a client that subscribes without end: so many resources of one server.
pub(super) const RESOURCES_MAX: usize = 10_000;

/// A longer URI is not kept, in bytes.
pub(super) const URI_BYTES_MAX: usize = 4096;

/// What is wanted; a thing may be wanted by several clients, and by each more than once.
#[derive(Debug, Default)]
pub struct Wants {
    /// Whether the server is to be told something else than before.
    pub(super) is_new: bool,
    /// The least severe log message of each client, as an index into the levels.
    levels: BTreeMap<ClientId, u8>,
    pub(super) resources: Things,
    tasks: Things,
}

/// Things by their names, and how often each client wants them.
type Things = BTreeMap<Arc<str>, BTreeMap<ClientId, usize>>;

impl Wants {
    /// A client wants log messages from this level up: an index into the levels.
    pub fn level(&mut self, client: ClientId, severity: u8) {
        self.is_new |= self.levels.insert(client, severity) != Some(severity);
    }

    /// From which level on a client wants log messages.
    #[must_use]
    pub fn level_of(&self, client: ClientId) -> Option<u8> {
        self.levels.get(&client).copied()
    }

    /// The same of every client that has said so.
    #[must_use]
    pub fn levels(&self) -> &BTreeMap<ClientId, u8> {
        &self.levels
    }

    /// Whether there is anything to hear that the server has to live for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.resources.is_empty() || !self.tasks.is_empty()
    }

    /// One of the clients for which the server has to live.
    #[must_use]
    pub fn waiting(&self) -> Option<ClientId> {
        self.resources.values().chain(self.tasks.values()).flat_map(BTreeMap::keys).next().copied()
    }

    /// A client wants to hear of a resource.
    pub fn resource(&mut self, client: ClientId, uri: &Arc<str>) {
        self.is_new |= once_more(&mut self.resources, client, uri);
    }

    /// It wants to hear of it once less.
    pub fn no_resource(&mut self, client: ClientId, uri: &str) {
        self.is_new |= once_less(&mut self.resources, client, uri);
    }

    /// Whether a client wants to hear of a resource.
    #[must_use]
    pub fn has_resource(&self, client: ClientId, uri: &str) -> bool {
        self.resources.get(uri).is_some_and(|wanting| wanting.contains_key(&client))
    }

    /// Whether another client does.
    #[must_use]
    pub fn has_resource_beside(&self, client: ClientId, uri: &str) -> bool {
        self.resources.get(uri).is_some_and(|wanting| wanting.keys().any(|other| *other != client))
    }

    /// Whether one more resource can be kept for a client that subscribes to each by a request.
    #[must_use]
    pub fn has_room_for(&self, uri: &str) -> bool {
        self.resources.len() < RESOURCES_MAX && uri.len() <= URI_BYTES_MAX
    }

    /// A client wants to hear of a task.
    pub fn task(&mut self, client: ClientId, id: &Arc<str>) {
        self.is_new |= once_more(&mut self.tasks, client, id);
    }

    /// It wants to hear of it once less.
    pub fn no_task(&mut self, client: ClientId, id: &str) {
        self.is_new |= once_less(&mut self.tasks, client, id);
    }

    /// A client has gone, and wants nothing any more.
    pub fn left(&mut self, client: ClientId) {
        self.is_new |= self.levels.remove(&client).is_some();
        for things in [&mut self.resources, &mut self.tasks] {
            let before = things.len();
            things.retain(|_, wanting| {
                wanting.remove(&client);
                !wanting.is_empty()
            });
            self.is_new |= things.len() < before;
        }
    }

    /// Everything once. A connection that is one client's alone logs as that wants it, any other as the one that
    /// wants most.
    pub(super) fn once(&self, owner: Option<ClientId>) -> Wanted {
        let severity = match owner {
            Some(client) => self.level_of(client),
            None => self.levels.values().min().copied(),
        };
        Wanted {
            level: severity.and_then(level::word),
            resources: self.resources.keys().cloned().collect(),
            tasks: self.tasks.keys().cloned().collect(),
        }
    }
}

/// Counts a thing once more; whether it was not there.
fn once_more(wants: &mut Things, client: ClientId, key: &Arc<str>) -> bool {
    let wanting = wants.entry(Arc::clone(key)).or_default();
    let is_first = wanting.is_empty();
    *wanting.entry(client).or_default() += 1;
    is_first
}

/// Counts a thing once less; whether it is gone.
fn once_less(wants: &mut Things, client: ClientId, key: &str) -> bool {
    let Some(wanting) = wants.get_mut(key) else { return false };
    let Some(count) = wanting.get_mut(&client) else { return false };
    *count -= 1;
    if *count == 0 {
        wanting.remove(&client);
    }
    let is_gone = wanting.is_empty();
    if is_gone {
        wants.remove(key);
    }
    is_gone
}
