//! Who is attached: the sessions of all clients, in the order in which they were opened.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::ids::SessionId;
use crate::store::rows::ClientInfo;

/// A session that is open.
#[derive(Debug, Clone)]
pub struct Present {
    /// Which.
    pub session: SessionId,
    /// What its client says of itself.
    pub client: ClientInfo,
    /// The process that the client started.
    pub pid: u32,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
    /// The servers that it has asked something.
    pub uses: BTreeSet<Arc<str>>,
}

/// All sessions that are open.
#[derive(Debug, Default)]
pub struct Roster(Mutex<Vec<Present>>);

impl Roster {
    /// A session is open now.
    pub fn add(&self, present: Present) {
        self.lock().push(present);
    }

    /// Its client says something else of itself.
    pub fn renew(&self, session: SessionId, client: &ClientInfo) {
        let mut all = self.lock();
        let its = all.iter_mut().filter(|present| present.session == session);
        its.for_each(|present| present.client = client.clone());
    }

    /// A session asks a server something.
    pub fn uses(&self, session: SessionId, server: &Arc<str>) {
        let mut all = self.lock();
        let its = all.iter_mut().find(|present| present.session == session);
        if let Some(its) = its.filter(|present| !present.uses.contains(server)) {
            its.uses.insert(Arc::clone(server));
        }
    }

    /// A session is closed.
    pub fn remove(&self, session: SessionId) {
        self.lock().retain(|present| present.session != session);
    }

    /// Those that are open.
    #[must_use]
    pub fn all(&self) -> Vec<Present> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Present>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
