//! What the client wants to hear of one server beside its answers. It is kept here, so that a server that
//! is started anew is told again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, watch};

/// What is kept of a client that subscribes without end: so many resources of one server.
const RESOURCES_MAX: usize = 10_000;

/// A longer URI is not kept, in bytes.
const URI_BYTES_MAX: usize = 4096;

/// What is wanted; a thing may be wanted more than once.
#[derive(Debug, Default)]
pub struct Wants {
    /// Whether the server is to be told something else than before.
    is_new: bool,
    level: Option<&'static str>,
    resources: BTreeMap<Arc<str>, usize>,
    tasks: BTreeMap<Arc<str>, usize>,
}

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

impl Wants {
    /// Wants log messages from this level up.
    pub fn level(&mut self, level: &'static str) {
        self.is_new |= self.level != Some(level);
        self.level = Some(level);
    }

    /// Whether there is anything to hear that the server has to live for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.resources.is_empty() || !self.tasks.is_empty()
    }

    /// The level from which log messages are wanted.
    #[must_use]
    pub fn wanted_level(&self) -> Option<&'static str> {
        self.level
    }

    /// Wants to hear of a resource.
    pub fn resource(&mut self, uri: &Arc<str>) {
        self.is_new |= once_more(&mut self.resources, uri);
    }

    /// Wants to hear of a resource once less.
    pub fn no_resource(&mut self, uri: &str) {
        self.is_new |= once_less(&mut self.resources, uri);
    }

    /// Whether a resource is wanted.
    #[must_use]
    pub fn has_resource(&self, uri: &str) -> bool {
        self.resources.contains_key(uri)
    }

    /// Whether one more resource can be kept for a client that subscribes to each by a request.
    #[must_use]
    pub fn has_room_for(&self, uri: &str) -> bool {
        self.resources.len() < RESOURCES_MAX && uri.len() <= URI_BYTES_MAX
    }

    /// Wants to hear of a task.
    pub fn task(&mut self, id: &Arc<str>) {
        self.is_new |= once_more(&mut self.tasks, id);
    }

    /// Wants to hear of a task once less.
    pub fn no_task(&mut self, id: &str) {
        self.is_new |= once_less(&mut self.tasks, id);
    }

    fn once(&self) -> Wanted {
        Wanted {
            level: self.level,
            resources: self.resources.keys().cloned().collect(),
            tasks: self.tasks.keys().cloned().collect(),
        }
    }
}

/// Counts a thing once more; whether it was not there.
fn once_more(wants: &mut BTreeMap<Arc<str>, usize>, key: &Arc<str>) -> bool {
    let count = wants.entry(Arc::clone(key)).or_default();
    *count += 1;
    *count == 1
}

/// Counts a thing once less; whether it is gone.
fn once_less(wants: &mut BTreeMap<Arc<str>, usize>, key: &str) -> bool {
    let Some(count) = wants.get_mut(key) else { return false };
    *count -= 1;
    let is_gone = *count == 0;
    if is_gone {
        wants.remove(key);
    }
    is_gone
}

/// The wants of a client towards one server, and what of it the server was told.
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

    /// The client subscribed to a resource, and the server knows it. Beyond a limit it is not kept: then a
    /// server that is started anew is not told again.
    pub fn subscribed(&self, uri: &str) {
        let mut state = self.lock();
        if let Some(heir) = self.heir.get() {
            drop(state);
            // The one that knows it may be the one that goes.
            heir.want(|wants| {
                if !wants.has_resource(uri) && wants.has_room_for(uri) {
                    wants.resource(&uri.into());
                }
            });
            return;
        }
        if !state.wants.has_resource(uri) && state.wants.has_room_for(uri) {
            let uri: Arc<str> = uri.into();
            state.wants.resource(&uri);
            state.told.resources.insert(uri);
        }
    }

    /// The client took a subscription back, and the server knows it.
    pub fn unsubscribed(&self, uri: &str) {
        let mut state = self.lock();
        if let Some(heir) = self.heir.get() {
            drop(state);
            // As above.
            heir.want(|wants| wants.no_resource(uri));
            return;
        }
        state.wants.no_resource(uri);
        if !state.wants.has_resource(uri) {
            state.told.resources.remove(uri);
        }
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

    /// Another server takes the place of this one: all that is wanted here is wanted there, and nothing any
    /// more here. What is said here later is said there.
    pub fn hand_over(&self, heir: &Arc<Self>) {
        let mut state = self.lock();
        if self.heir.set(Arc::clone(heir)).is_err() {
            return;
        }
        let wants = std::mem::take(&mut state.wants);
        state.version += 1;
        drop(state);
        heir.want(|new| *new = Wants { is_new: true, ..wants });
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

    /// What the server is to be told next.
    pub(super) fn step(&self) -> Step {
        let state = self.lock();
        let (told, refused) = (state.told.clone(), state.refused.clone());
        Step { told, wanted: state.wants.once(), refused, version: state.version }
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
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn what_is_wanted_twice_is_told_once() {
        let interest = Interest::default();
        let uri: Arc<str> = "x://1".into();
        let first = interest.want(|wants| wants.resource(&uri));
        assert_eq!(interest.want(|wants| wants.resource(&uri)), first);
        let step = interest.step();
        assert_eq!((step.told.resources.len(), step.wanted.resources.len()), (0, 1));
        interest.told(step);
        interest.settled(first).await;
        assert_eq!(interest.want(|wants| wants.no_resource(&uri)), first);
        assert!(interest.want(|wants| wants.no_resource(&uri)) > first);
        assert!(interest.step().wanted.resources.is_empty());
    }

    #[test]
    fn what_the_client_told_itself_is_not_told_again() {
        let interest = Interest::default();
        interest.subscribed("x://1");
        let step = interest.step();
        assert_eq!(step.told, step.wanted);
        interest.nothing_told();
        assert_ne!(interest.step().told, interest.step().wanted);
        interest.unsubscribed("x://1");
        assert!(interest.step().wanted.resources.is_empty());
    }

    #[tokio::test]
    async fn an_heir_wants_what_was_wanted_and_hears_what_is_said_to_the_one_before() {
        let (before, heir) = (Interest::default(), Arc::new(Interest::default()));
        let (one, two): (Arc<str>, Arc<str>) = ("x://1".into(), "x://2".into());
        before.want(|wants| {
            wants.resource(&one);
            wants.level("error");
        });
        before.hand_over(&heir);
        assert!(heir.is_waiting() && !before.is_waiting());
        assert_eq!(before.step().wanted, Wanted::default(), "the old server is told so");
        assert_eq!(heir.step().wanted.level, Some("error"));
        let version = before.want(|wants| wants.resource(&two));
        before.unsubscribed("x://1");
        before.subscribed("x://3");
        let wanted: Vec<Arc<str>> = heir.step().wanted.resources.into_iter().collect();
        assert_eq!(wanted, [two, "x://3".into()]);
        assert!(before.look(|wants| wants.has_resource("x://2")));
        heir.told(heir.step());
        before.settled(version).await;
        // These were told the old server alone.
        before.subscribed("x://4");
        before.unsubscribed("x://3");
        let Step { told, wanted, .. } = heir.step();
        let is_told = |uri| (told.resources.contains(uri), wanted.resources.contains(uri));
        assert_eq!((is_told("x://4"), is_told("x://3")), ((false, true), (true, false)));
    }

    #[test]
    fn a_change_costs_the_same_however_much_is_wanted() {
        let interest = Interest::default();
        let uris: Vec<Arc<str>> = (0..20_000).map(|n| format!("x://{n}").into()).collect();
        interest.want(|wants| uris.iter().for_each(|uri| wants.resource(uri)));
        let before = Instant::now();
        for uri in &uris {
            interest.want(|wants| wants.resource(uri));
            interest.want(|wants| wants.no_resource(uri));
        }
        // With a copy of all for each change it is minutes.
        assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
        assert_eq!(interest.step().version, 1, "nothing is new");
    }

    #[test]
    fn only_so_many_subscriptions_of_a_client_are_kept() {
        let interest = Interest::default();
        interest.subscribed(&"x".repeat(URI_BYTES_MAX + 1));
        let kept = || interest.step().wanted.resources.len();
        assert_eq!(kept(), 0);
        for n in 0..=RESOURCES_MAX {
            interest.subscribed(&n.to_string());
        }
        assert_eq!(kept(), RESOURCES_MAX);
        interest.unsubscribed("0");
        interest.subscribed("new");
        assert_eq!(kept(), RESOURCES_MAX);
        assert!(interest.step().told.resources.contains("new"));
    }
}
