//! How a hub ends in peace: it finishes what is under way, and gives the rest back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::frames::Why;
use crate::session::Client;

/// A request that is younger is waited for; while an older one is under way the others are served.
const YOUNG: Duration = Duration::from_secs(1);

/// How often it is looked what is under way.
const LOOK: Duration = Duration::from_millis(2);

/// A front that is attached.
#[derive(Debug, Clone)]
pub struct Present {
    /// Its process.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// Since when it is attached, in milliseconds since 1970.
    pub since_ms: i64,
    /// What it has under way.
    pub client: Weak<Client>,
}

/// The end of a hub, as everybody in it sees it.
pub struct End {
    fronts: Mutex<BTreeMap<u64, Present>>,
    /// Whether fronts are heard.
    hears: watch::Sender<bool>,
    /// Why the hub ends, once it does.
    left: watch::Sender<Option<Why>>,
    /// Whoever has it may end the hub.
    one: Semaphore,
}

impl Default for End {
    fn default() -> Self {
        let (fronts, one) = (Mutex::default(), Semaphore::new(1));
        Self { fronts, hears: watch::Sender::new(true), left: watch::Sender::new(None), one }
    }
}

impl End {
    /// A front is here as long as this is awaited.
    pub async fn attended<T>(&self, present: Present, serving: impl Future<Output = T>) -> T {
        let number = {
            let mut fronts = self.lock();
            let number = fronts.last_key_value().map_or(0, |(last, _)| last + 1);
            fronts.insert(number, present);
            number
        };
        let served = serving.await;
        self.lock().remove(&number);
        served
    }

    /// Everybody who is attached, in the order in which they came.
    #[must_use]
    pub fn fronts(&self) -> Vec<Present> {
        self.lock().values().cloned().collect()
    }

    /// Whether fronts are heard.
    pub fn hears(&self) -> watch::Receiver<bool> {
        self.hears.subscribe()
    }

    /// May end the hub; `None` while somebody else is about to.
    pub fn begin(&self) -> Option<SemaphorePermit<'_>> {
        self.one.try_acquire().ok()
    }

    /// Whether somebody is about to end the hub.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.one.available_permits() == 0 || self.has_left()
    }

    /// Whether it ends now.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left.borrow().is_some()
    }

    /// Finishes what is under way, for so long at most; how many requests are left. From then on no front is
    /// heard. A request that takes long holds nobody up before it must: until then the others are served.
    pub async fn drain(&self, wait: Duration) -> usize {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let (requests, is_long) = self.under_way();
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let hears = is_long && left > YOUNG;
            self.hear(hears);
            if left.is_zero() || (requests == 0 && !hears) {
                return requests;
            }
            tokio::time::sleep(LOOK.min(left)).await;
        }
    }

    /// The hub stays after all.
    pub fn stay(&self) {
        self.hear(true);
    }

    /// The hub ends now; the first reason counts.
    pub fn leave(&self, why: Why) {
        self.left.send_if_modified(|left| left.replace(left.unwrap_or(why)).is_none());
    }

    /// Waits until the hub ends.
    pub async fn left(&self) -> Why {
        let mut left = self.left.subscribe();
        loop {
            if let Some(why) = *left.borrow_and_update() {
                return why;
            }
            if left.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How many requests are under way, and whether one of them takes long.
    fn under_way(&self) -> (usize, bool) {
        let clients = self.fronts().into_iter().filter_map(|front| front.client.upgrade());
        clients.map(|client| client.under_way()).fold((0, false), |(requests, is_long), (more, since)| {
            (requests + more, is_long || since.is_some_and(|since| since.elapsed() >= YOUNG))
        })
    }

    fn hear(&self, hears: bool) {
        self.hears.send_if_modified(|now| std::mem::replace(now, hears) != hears);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Present>> {
        self.fronts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
