//! All connections to one server. The base one is always there to be asked, and is started when it is; others
//! are made for sessions, threads, users or calls, as the server's scope says, and end when those are gone.

pub mod beside;
mod eras;
pub mod key;
pub mod lease;
mod member;
mod own;
pub mod report;
mod retiring;
mod table;
pub mod tenants;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::sharing::{Capacity, Scope};
use crate::downstream::budget::Budget;
use crate::downstream::client::Ownership;
use crate::downstream::connection::Connection;
use crate::downstream::interest::Interest;
use crate::downstream::pool::key::{Farewell, Key, Tenant, Wish};
use crate::downstream::pool::lease::Lease;
use crate::downstream::pool::member::Member;
use crate::downstream::pool::own::Own;
use crate::downstream::pool::table::Table;
use crate::downstream::pool::tenants::{Busy, Tenants};
use crate::downstream::{Ending, Link, NotReady, Order, Status, link};
use crate::names::ServerName;
use crate::outcome::Cause;
use crate::pulse::Pulse;

/// Who was sent away because of too many others may come back after this at the earliest.
const COME_BACK: Duration = Duration::from_secs(1);

/// The keeper's end of one connection.
pub struct Post {
    /// Whose connection it is.
    pub tenant: Tenant,
    /// To which client each of its lives belongs, if to one alone.
    pub ownership: Arc<Ownership>,
    /// The base connection of the same server; `None` for that itself.
    pub base: Option<Arc<Link>>,
    /// What clients want to hear on it.
    pub interest: Arc<Interest>,
    /// Where its state is told.
    pub status: watch::Sender<Status>,
    /// What it is told.
    pub orders: mpsc::Receiver<Order>,
    /// Says why when it has to end for good.
    pub stop: watch::Receiver<Option<Farewell>>,
}

/// The work of one keeper.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has a keeper for each connection of one server.
pub trait Staff: Send + Sync {
    /// The work of one keeper: it ends when its post's `stop` says so, with nothing left behind.
    fn keep(&self, post: Post) -> Work;
}

/// What a pool is told of its server.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The server's name.
    pub name: ServerName,
    /// The longest a call may take, once it is sent.
    pub call_timeout: Duration,
    /// The longest from its start to its first list.
    pub start_timeout: Duration,
    /// Whether it is started with the first list.
    pub warm: bool,
    /// Whether what its tools say of themselves is believed.
    pub trust_annotations: bool,
    /// When it may be started again: one for all of its connections.
    pub budget: Arc<Budget>,
    /// Whose calls share a connection.
    pub scope: Scope,
    /// How many calls and connections there may be at once.
    pub capacity: Capacity,
}

/// What all pools share.
#[derive(Debug, Clone)]
pub struct Commons {
    /// Which threads and users there are.
    pub tenants: Arc<Tenants>,
    /// Who waits for longer than that has a timer of its own.
    pub pulse: Arc<Pulse>,
    /// Where keepers work.
    pub work: Handle,
}

/// The connections to one server.
pub struct Pool {
    /// What it was told of its server.
    pub terms: Terms,
    staff: Arc<dyn Staff>,
    commons: Commons,
    base: Arc<Member>,
    /// The server speaks by one era's rules only, as far as that was tried.
    has_one_era: AtomicBool,
    /// The session that the base connection belongs to, if connections belong to sessions.
    own: Mutex<Option<Own>>,
    table: Mutex<Table>,
    keepers: Mutex<JoinSet<()>>,
    /// Why it takes nothing new, if it does not.
    retired: OnceLock<Farewell>,
    /// Whether its successor may start.
    cleared: watch::Sender<bool>,
    /// Somebody gave a connection back.
    given_back: Notify,
    /// Requests that wait for a connection or for a place on one.
    waiting: AtomicUsize,
    numbers: AtomicU64,
    requests: AtomicU64,
    reused: AtomicU64,
    sent_away: AtomicU64,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// What there is only so much of.
#[derive(Debug, Clone, Copy)]
enum Scarce {
    /// Places for calls on a connection.
    Slot,
    /// Connections.
    Connection,
}

/// One who waits counts until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// A pool of one server; nothing is started yet.
    #[must_use]
    pub fn new(terms: Terms, staff: Arc<dyn Staff>, commons: Commons) -> Arc<Self> {
        let (base, post) = member(&terms, 0, (Key::Base, Tenant::default()), None);
        let kept = staff.keep(post);
        let pool = Arc::new(Self {
            terms,
            staff,
            commons,
            base,
            has_one_era: AtomicBool::new(false),
            own: Mutex::default(),
            table: Mutex::default(),
            keepers: Mutex::default(),
            retired: OnceLock::new(),
            cleared: watch::Sender::new(false),
            given_back: Notify::new(),
            waiting: AtomicUsize::new(0),
            numbers: AtomicU64::new(1),
            requests: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            sent_away: AtomicU64::new(0),
        });
        pool.spawn(kept);
        pool
    }

    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &ServerName {
        &self.terms.name
    }

    /// The connection that serves whatever is no one's in particular: lists, subscriptions, all requests of
    /// a server that is shared.
    #[must_use]
    pub fn base(&self) -> &Arc<Link> {
        &self.base.link
    }

    /// Every connection, the base one first.
    #[must_use]
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.members().iter().map(|member| Arc::clone(&member.link)).collect()
    }

    /// The connection with this number, as long as it lives.
    #[must_use]
    pub fn link_at(&self, number: u64) -> Option<Arc<Link>> {
        self.at(number).map(|member| Arc::clone(&member.link))
    }

    /// The connection that serves a request, when it is ready at this moment.
    #[must_use]
    pub fn at_once(&self, wish: &Wish<'_>) -> Option<Arc<Connection>> {
        match self.key(wish) {
            Key::Base => self.base.link.at_once(),
            key => self.known(&key)?.link.at_once(),
        }
    }

    /// The handle of the connection that serves a request, if there is one.
    #[must_use]
    pub fn link_of(&self, wish: &Wish<'_>) -> Option<Arc<Link>> {
        if let Some(giver) = wish.at.and_then(|number| self.at(number)) {
            return Some(Arc::clone(&giver.link));
        }
        match self.key(wish) {
            Key::Base => Some(Arc::clone(&self.base.link)),
            key => self.known(&key).map(|member| Arc::clone(&member.link)),
        }
    }

    /// Takes the connection that serves a request, and makes it when there is none: the first of several
    /// that come at once makes one for all of them.
    ///
    /// # Errors
    /// When there are too many, or the pool is stopped.
    pub async fn lease(self: &Arc<Self>, wish: &Wish<'_>) -> Result<Lease, NotReady> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(lease) = wish.at.and_then(|number| self.take_at(number)) {
            return Ok(lease);
        }
        let busy = self.begin(wish.tenant);
        let mut lease = match self.key(wish) {
            Key::Base => Lease::new(self, &self.base),
            key => self.take(key, wish.tenant).await?,
        };
        lease.busy = busy;
        Ok(lease)
    }

    fn key(&self, wish: &Wish<'_>) -> Key {
        let is_own = |session| self.is_own(session, wish.tenant.client);
        Key::of(self.terms.scope, wish, is_own, || self.shared(wish.tenant.era), || self.number())
    }

    /// A number that nothing else of this pool has.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn begin(&self, tenant: &Tenant) -> Option<Busy> {
        let has_ids = tenant.thread.is_some() || tenant.user.is_some();
        has_ids.then(|| self.commons.tenants.of(tenant).begin())
    }

    /// Waits for what is scarce, if not too many do already, and not for long.
    async fn wait_for<T>(&self, scarce: Scarce, wait: impl Future<Output = T>) -> Result<T, NotReady> {
        let Capacity { max_queue, queue_timeout, .. } = self.terms.capacity;
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.waiting);
        if before >= max_queue {
            return Err(self.is_full(format!("{before} other calls wait already")));
        }
        tokio::pin!(wait);
        tokio::select! {
            biased;
            got = &mut wait => return Ok(got),
            // Most wait for less, and need no timer of their own.
            () = self.commons.pulse.passed() => {}
        }
        let rest = queue_timeout.saturating_sub(self.commons.pulse.after());
        tokio::time::timeout(rest, wait).await.map_err(|_| {
            let Capacity { max_connections, max_concurrent, .. } = self.terms.capacity;
            let of = match scarce {
                Scarce::Slot => format!("none of the {max_concurrent} calls that may run at once"),
                Scarce::Connection => format!("none of its {max_connections} connections"),
            };
            self.is_full(format!("{of} ended within {} s", queue_timeout.as_secs()))
        })
    }

    fn is_full(&self, why: String) -> NotReady {
        let sent_away = self.sent_away.fetch_add(1, Ordering::Relaxed) + 1;
        if sent_away.is_power_of_two() {
            let (server, waiting) = (self.name(), self.waiting.load(Ordering::Relaxed));
            tracing::warn!(%server, why, waiting, sent_away, "server has too much to do, calls are sent away");
        }
        let ending = Ending::of(Cause::QueueFull, format!("has too much to do: {why}"));
        let retry_after = Some(self.terms.capacity.queue_timeout.max(COME_BACK));
        NotReady { ending: Arc::new(ending), retry_after }
    }

    /// Ends every connection, at once; the future waits until their processes are gone.
    pub fn stop(&self) -> impl Future<Output = ()> + Send + use<> {
        self.end(Farewell::BridgeStops)
    }

    fn end(&self, farewell: Farewell) -> impl Future<Output = ()> + Send + use<> {
        self.close(farewell);
        let mut keepers = std::mem::take(&mut *self.lock_keepers());
        let server = self.terms.name.clone();
        async move {
            while let Some(ended) = keepers.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%server, %error, "keeper ended unexpectedly");
                }
            }
        }
    }

    fn spawn(&self, kept: impl Future<Output = ()> + Send + 'static) {
        let mut keepers = self.lock_keepers();
        // Those that have ended by now.
        while keepers.try_join_next().is_some() {}
        keepers.spawn_on(kept, &self.commons.work);
    }

    fn lock_keepers(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, and its keeper's end of it.
fn member(terms: &Terms, number: u64, whose: (Key, Tenant), base: Option<Arc<Link>>) -> (Arc<Member>, Post) {
    let (link, status, orders) = link(terms.name.clone(), terms.call_timeout, terms.start_timeout);
    let levels = base.as_ref().map(|base| base.interest.look(|wants| wants.levels().clone()));
    link.interest.want(|wants| {
        levels.iter().flatten().for_each(|(client, severity)| wants.level(*client, *severity));
    });
    let (stop, stopped) = watch::channel(None);
    let (tenant, interest) = (whose.1.clone(), Arc::clone(&link.interest));
    let ownership = Ownership::of(tenant.client);
    let member = Member::new(number, whose, Arc::new(link), Arc::clone(&ownership), stop);
    (member, Post { tenant, ownership, base, interest, status, orders, stop: stopped })
}
