//! One connection of a pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::downstream::Link;
use crate::downstream::client::Ownership;
use crate::downstream::pool::key::{Farewell, Key, Tenant};

/// One connection, and how it is used.
pub(super) struct Member {
    /// Its number in its pool, from the first one made.
    pub number: u64,
    /// Its key.
    pub key: Key,
    /// Whose it is.
    pub tenant: Tenant,
    /// The handle to it.
    pub link: Arc<Link>,
    /// To which client each of its lives belongs, if to one alone.
    pub ownership: Arc<Ownership>,
    /// Requests that have it in their hands, from before it is ready to their answers.
    uses: AtomicUsize,
    /// All requests so far.
    requests: AtomicU64,
    /// When it was used last, in milliseconds since `born`.
    used_ms: AtomicU64,
    born: Instant,
    /// It has given a task, which may go on after its call.
    has_task: AtomicBool,
    stop: watch::Sender<Option<Farewell>>,
}

impl Member {
    pub fn new(
        number: u64,
        (key, tenant): (Key, Tenant),
        link: Arc<Link>,
        ownership: Arc<Ownership>,
        stop: watch::Sender<Option<Farewell>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            key,
            tenant,
            link,
            ownership,
            uses: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            used_ms: AtomicU64::new(0),
            born: Instant::now(),
            has_task: AtomicBool::new(false),
            stop,
        })
    }

    /// A request takes it into its hands.
    pub fn taken(&self) {
        self.uses.fetch_add(1, Ordering::SeqCst);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.is_used();
    }

    /// A request gives it back; whether nobody has it now.
    pub fn given_back(&self) -> bool {
        self.is_used();
        self.uses.fetch_sub(1, Ordering::SeqCst) == 1
    }

    fn is_used(&self) {
        let now_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// How many requests have it.
    pub fn uses(&self) -> usize {
        self.uses.load(Ordering::SeqCst)
    }

    /// How many requests had it so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// When it was used last.
    pub fn used_at(&self) -> Instant {
        self.born + std::time::Duration::from_millis(self.used_ms.load(Ordering::Relaxed))
    }

    /// It has given a task.
    pub fn gave_task(&self) {
        self.has_task.store(true, Ordering::Relaxed);
    }

    /// Whether it has given a task.
    pub fn has_task(&self) -> bool {
        self.has_task.load(Ordering::Relaxed)
    }

    /// Whether nobody needs it when its call is over.
    pub fn is_for_one_call(&self) -> bool {
        matches!(self.key, Key::Call(_)) && !self.has_task()
    }

    /// Whether it has the connection with this number, and does not end.
    pub fn is_number(&self, number: u64) -> bool {
        !self.is_over() && self.link.at_once().is_some_and(|connection| connection.number() == number)
    }

    /// Tells its keeper to end it. The first word counts.
    pub fn end(&self, farewell: Farewell) {
        self.stop.send_if_modified(|told| told.is_none() && told.replace(farewell).is_none());
    }

    /// Whether it ends or has ended, for good.
    pub fn is_over(&self) -> bool {
        self.stop.borrow().is_some() || self.link.is_over()
    }
}
