//! What clients want to hear of one server beside their answers. It is kept here, so that a server that
//! is started anew is told again.

mod wants;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, watch};

use crate::downstream::client::ClientId;

pub use crate::downstream::interest::wants::Wants;

/// What a server is to tell, each thing once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The least severe level of log messages.
    pub level: Option<&'static str>,
    /// Resources whose updates are wanted, by URI.
    pub resources: BTreeSet<Arc<str>>,
    /// Tasks whose progress is wanted, by id.
    pub tasks: BTreeSet<Arc<str>>,
}

/// What a server was told and does not grant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Resources, by URI.
    pub resources: BTreeSet<Arc<str>>,
    /// Tasks, by id.
    pub tasks: BTreeSet<Arc<str>>,
}

/// The wants of all clients towards one server, and what of it the server was told.
#[derive(Debug)]
pub struct Interest {
    state: Mutex<State>,
    /// Who took the wants over, and hears what is said here from then on.
    heir: OnceLock<Arc<Self>>,
    changed: Notify,
    /// The version that the server knows.
    told: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    wants: Wants,
    version: u64,
    told: Wanted,
    refused: Refused,
}

impl Default for Interest {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            heir: OnceLock::new(),
            changed: Notify::new(),
            told: watch::Sender::new(0),
        }
    }
}

/// The next thing to tell a server.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it knows.
    pub told: Wanted,
    /// What it is to know.
    pub wanted: Wanted,
    /// What of it it has refused so far.
    pub refused: Refused,
    version: u64,
}

impl Interest {
    /// Changes what is wanted; the server is told soon. [`Interest::settled`] waits for it.
    pub fn want(&self, change: impl FnOnce(&mut Wants)) -> u64 {
        let mut state = self.lock();
        if let Some(heir) = self.heir.get() {
            drop(state);
            return heir.want(change);
        }
        state.wants.is_new = false;
        change(&mut state.wants);
        if state.wants.is_new {
            state.version += 1;
            self.changed.notify_one();
        }
        state.version
    }

    /// A client subscribed to a resource, and the server knows it. Beyond a limit it is not kept: then a
    /// server that is started anew is not told again.
    pub fn subscribed(&self, client: ClientId, uri: &str) {
        let mut state = self.lock();
        if let Some(heir) = self.heir.get() {
            drop(state);
            // The one that knows it may be the one that goes.
            heir.want(|wants| {
                if !wants.has_resource(client, uri) && wants.has_room_for(uri) {
                    wants.resource(client, &uri.into());
                }
            });
            return;
        }
        if !state.wants.has_resource(client, uri) && state.wants.has_room_for(uri) {
            let uri: Arc<str> = uri.into();
            state.wants.resource(client, &uri);
            state.told.resources.insert(uri);
        }
    }

    /// A client took a subscription back, and the server knows it. Where another has come to want the same
    /// meanwhile, the server is told again.
    pub fn unsubscribed(&self, client: ClientId, uri: &str) {
        let mut state = self.lock();
        if let Some(heir) = self.heir.get() {
            drop(state);
            // As above.
            heir.want(|wants| wants.no_resource(client, uri));
            return;
        }
        state.wants.no_resource(client, uri);
        if state.told.resources.remove(uri) && state.wants.resources.contains_key(uri) {
            state.version += 1;
            self.changed.notify_one();
        }
    }

    /// A client has gone, and wants nothing any more.
    pub fn left(&self, client: ClientId) {
        self.want(|wants| wants.left(client));
    }

    /// The server is told once more what it knows differently: whose the connection is has changed.
    pub(super) fn is_anew(&self) {
        self.want(|wants| wants.is_new = true);
    }

    /// Looks at what is wanted.
    pub fn look<T>(&self, look: impl FnOnce(&Wants) -> T) -> T {
        match self.heir.get() {
            Some(heir) => heir.look(look),
            None => look(&self.lock().wants),
        }
    }

    /// Whether this server itself has to live for what is wanted.
    pub(super) fn is_waiting(&self) -> bool {
        self.lock().wants.is_waiting()
    }

    /// One of the clients for which it has to.
    pub(super) fn waiting(&self) -> Option<ClientId> {
        self.lock().wants.waiting()
    }

    /// Another server takes the place of this one: all that is wanted here is wanted there, and nothing any
    /// more here. What is said here later is said there.
    pub fn hand_over(&self, heir: &Arc<Self>) {
        let mut state = self.lock();
        if self.heir.set(Arc::clone(heir)).is_err() {
            return;
        }
        let mut wants = std::mem::take(&mut state.wants);
        wants.is_new = true;
        state.version += 1;
        drop(state);
        heir.want(|new| *new = wants);
        self.changed.notify_one();
    }

    /// Waits until the server was told this version, or a newer one. The caller holds the deadline.
    pub async fn settled(&self, version: u64) {
        if let Some(heir) = self.heir.get() {
            return Box::pin(heir.settled(version)).await;
        }
        // The sender is ours.
        let _ = self.told.subscribe().wait_for(|told| *told >= version).await;
    }

    /// A new process knows nothing.
    pub(super) fn nothing_told(&self) {
        let mut state = self.lock();
        (state.told, state.refused) = Default::default();
    }

    /// What the server is to be told next, on a connection of this client or of nobody in particular.
    pub(super) fn step(&self, owner: Option<ClientId>) -> Step {
        let state = self.lock();
        let (told, refused) = (state.told.clone(), state.refused.clone());
        Step { told, wanted: state.wants.once(owner), refused, version: state.version }
    }

    /// Looks at what the server does not grant.
    pub fn look_at_refused<T>(&self, look: impl FnOnce(&Refused) -> T) -> T {
        match self.heir.get() {
            Some(heir) => heir.look_at_refused(look),
            None => look(&self.lock().refused),
        }
    }

    /// The server was told.
    pub(super) fn told(&self, step: Step) {
        let mut state = self.lock();
        (state.told, state.refused) = (step.wanted, step.refused);
        drop(state);
        self.told.send_replace(step.version);
    }

    /// Waits until something changes.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
