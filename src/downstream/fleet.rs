//! Every server of the configuration as it is now: a snapshot, replaced as a whole when that changes.

use std::sync::{Arc, PoisonError, RwLock};

use crate::downstream::Link;
use crate::downstream::pool::Pool;
use crate::names::ServerName;

/// The servers' pools, in the configuration's order.
#[derive(Debug, Default)]
pub struct Fleet(RwLock<Arc<[Arc<Pool>]>>);

impl Fleet {
    /// These servers.
    #[must_use]
    pub fn new(pools: Vec<Arc<Pool>>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(pools.into())))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Arc<[Arc<Pool>]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pool of one server.
    #[must_use]
    pub fn pool(&self, server: &ServerName) -> Option<Arc<Pool>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|pool| pool.name() == server).cloned()
    }

    /// The base connection of one server.
    #[must_use]
    pub fn link(&self, server: &ServerName) -> Option<Arc<Link>> {
        self.pool(server).map(|pool| Arc::clone(pool.base()))
    }

    /// Other servers from here on; those of before.
    pub fn replace(&self, pools: Vec<Arc<Pool>>) -> Arc<[Arc<Pool>]> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *all, pools.into())
    }
}
