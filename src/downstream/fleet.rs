//! Every server of the configuration as it is now: a snapshot, replaced as a whole when that changes.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::downstream::Link;
use crate::downstream::client::ClientId;
use crate::downstream::pool::Pool;
use crate::downstream::pool::key::Farewell;
use crate::names::ServerName;

/// The servers' pools, in the configuration's order.
#[derive(Debug, Default)]
pub struct Fleet {
    all: RwLock<Arc<[Arc<Pool>]>>,
    leaving: Mutex<Vec<(Arc<Pool>, JoinHandle<()>)>>,
    /// From which level on older clients want log messages, of servers that come later too.
    levels: Mutex<BTreeMap<ClientId, u8>>,
}

impl Fleet {
    /// These servers.
    #[must_use]
    pub fn new(pools: Vec<Arc<Pool>>) -> Arc<Self> {
        Arc::new(Self { all: RwLock::new(pools.into()), ..Self::default() })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Arc<[Arc<Pool>]> {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pool of one server.
    #[must_use]
    pub fn pool(&self, server: &ServerName) -> Option<Arc<Pool>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|pool| pool.name() == server).cloned()
    }

    /// The base connection of one server.
    #[must_use]
    pub fn link(&self, server: &ServerName) -> Option<Arc<Link>> {
        self.pool(server).map(|pool| Arc::clone(pool.base()))
    }

    /// Other servers from here on.
    pub fn replace(&self, pools: Vec<Arc<Pool>>) {
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = pools.into();
    }

    /// Has a pool that was replaced or taken out end, when what runs in it is over.
    pub fn dismiss(&self, pool: &Arc<Pool>, farewell: Farewell, work: &Handle) {
        let mut leaving = lock(&self.leaving);
        leaving.retain(|(_, ended)| !ended.is_finished());
        leaving.push((Arc::clone(pool), work.spawn(pool.retire(farewell))));
    }

    /// Those that were replaced or taken out, and in which something still runs.
    #[must_use]
    pub fn retiring(&self) -> Vec<Arc<Pool>> {
        let leaving = lock(&self.leaving);
        let goes_on = leaving.iter().filter(|(_, ended)| !ended.is_finished());
        goes_on.map(|(pool, _)| Arc::clone(pool)).collect()
    }

    /// Ends every server, at once, and those that are about to end; the future waits until they are gone.
    pub fn stop(&self) -> impl Future<Output = ()> + Send + use<> {
        let leaving = std::mem::take(&mut *lock(&self.leaving));
        let all = self.all();
        let gone: Vec<_> =
            all.iter().chain(leaving.iter().map(|(pool, _)| pool)).map(|pool| pool.stop()).collect();
        async move {
            join_all(gone).await;
            // They have nothing left to wait for; one that failed has said so.
            drop(join_all(leaving.into_iter().map(|(_, ended)| ended)).await);
        }
    }

    /// For this client every server is to log from this level on, an index into the levels, now and later; the
    /// handles of those that have to be told.
    pub fn want_level(&self, client: ClientId, severity: u8) -> Vec<(Arc<Link>, u64)> {
        lock(&self.levels).insert(client, severity);
        let all = self.all();
        let links = all.iter().flat_map(|pool| pool.links());
        links
            .map(|link| (Arc::clone(&link), link.interest.want(|wants| wants.level(client, severity))))
            .collect()
    }

    /// Has a new server log from the levels that every server has.
    pub fn tell_level(&self, pool: &Pool) {
        let levels = lock(&self.levels);
        pool.base().interest.want(|wants| {
            levels.iter().for_each(|(client, severity)| wants.level(*client, *severity));
        });
    }

    /// A client has gone: nothing is wanted for it any more, and the connections that were its alone end.
    pub fn left(&self, client: ClientId) {
        lock(&self.levels).remove(&client);
        self.all().iter().chain(&self.retiring()).for_each(|pool| pool.left(client));
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
