//! All connections to one server. The base one is always there to be asked, and is started when it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::downstream::budget::Budget;
use crate::downstream::interest::Interest;
use crate::downstream::{Link, Order, Status, link};
use crate::names::ServerName;

/// The keeper's end of one connection.
pub struct Post {
    /// What the client wants to hear on it.
    pub interest: Arc<Interest>,
    /// Where its state is told.
    pub status: watch::Sender<Status>,
    /// What it is told.
    pub orders: mpsc::Receiver<Order>,
    /// Becomes true when it has to end.
    pub stop: watch::Receiver<bool>,
}

/// Has a keeper for each connection of one server.
pub trait Staff: Send + Sync {
    /// The work of one keeper: it ends when its post's `stop` says so, with nothing left behind.
    fn keep(&self, post: Post) -> Pin<Box<dyn Future<Output = ()> + Send>>;
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
    /// When it may be started again: one for all of its connections.
    pub budget: Arc<Budget>,
}

/// The connections to one server.
pub struct Pool {
    /// What it was told of its server.
    pub terms: Terms,
    base: Arc<Link>,
    stop: watch::Sender<bool>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool whose keepers work on `work`; nothing is started yet.
    #[must_use]
    pub fn new(terms: Terms, staff: &dyn Staff, work: &Handle) -> Arc<Self> {
        let (stop, stopped) = watch::channel(false);
        let (base, status, orders) = link(terms.name.clone(), terms.call_timeout, terms.start_timeout);
        let post = Post { interest: Arc::clone(&base.interest), status, orders, stop: stopped };
        let keepers = Mutex::new(vec![work.spawn(staff.keep(post))]);
        Arc::new(Self { terms, base: Arc::new(base), stop, keepers })
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
        &self.base
    }

    /// Ends every connection, at once; the future waits until their processes are gone.
    pub fn stop(&self) -> impl Future<Output = ()> + Send + use<> {
        self.stop.send_replace(true);
        let keepers = std::mem::take(&mut *self.lock());
        let server = self.terms.name.clone();
        async move {
            for ended in join_all(keepers).await {
                if let Err(error) = ended {
                    tracing::error!(%server, %error, "keeper ended unexpectedly");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
