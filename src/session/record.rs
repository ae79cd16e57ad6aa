//! The rows of one attached client: one session for `initialize`, one for each modern client's name.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::Journal;
use crate::store::ids::SessionId;
use crate::store::lock::SessionLock;
use crate::store::rows::{ClientInfo, SessionOpened};
use crate::store::stamp;

/// Modern clients of other names than this many share the last session.
const MODERN_SESSIONS_MAX: usize = 64;

/// The sessions that are open.
pub struct Sessions {
    journal: Journal,
    /// The front that they belong to, and its process; it holds their lock.
    front: Option<(SessionId, u32)>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    legacy: Option<SessionId>,
    modern: HashMap<Option<String>, SessionId>,
    last_modern: Option<SessionId>,
    all: Vec<(Attached, Option<SessionLock>)>,
}

/// A client that is attached.
#[derive(Debug, Clone)]
pub struct Attached {
    /// Its session.
    pub session: SessionId,
    /// What it says of itself.
    pub client: ClientInfo,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
}

impl Sessions {
    /// No session is open.
    pub fn new(journal: Journal, front: Option<(SessionId, u32)>) -> Self {
        Self { journal, front, open: Mutex::default() }
    }

    /// `initialize` opens the session, or renews it.
    pub fn initialized(&self, client: ClientInfo) {
        let mut open = self.lock();
        match open.legacy {
            Some(id) => {
                let all = open.all.iter_mut().map(|(attached, _)| attached);
                all.filter(|all| all.session == id).for_each(|all| all.client = client.clone());
                self.journal.session_renewed(id, client);
            }
            None => open.legacy = Some(self.start(&mut open.all, client)),
        }
    }

    /// The session that `initialize` opened.
    pub fn legacy(&self) -> Option<SessionId> {
        self.lock().legacy
    }

    /// The session of a modern client: one for each process and name.
    pub fn modern(&self, client: ClientInfo) -> SessionId {
        let mut open = self.lock();
        if let Some(id) = open.modern.get(&client.name) {
            return *id;
        }
        if let Some(last) = open.last_modern.filter(|_| open.modern.len() >= MODERN_SESSIONS_MAX) {
            return last;
        }
        let name = client.name.clone();
        let id = self.start(&mut open.all, client);
        open.modern.insert(name, id);
        open.last_modern = Some(id);
        id
    }

    /// Who is attached, in the order in which they came.
    pub fn attached(&self) -> Vec<Attached> {
        self.lock().all.iter().map(|(attached, _)| attached.clone()).collect()
    }

    /// Closes every session. Their locks are to be released when that is committed: a sibling takes an
    /// open row without its lock for a crash.
    pub fn close(&self, reason: &str) -> Vec<SessionLock> {
        let all = std::mem::take(&mut self.lock().all);
        let close = |(attached, lock): (Attached, _)| {
            self.journal.session_closed(attached.session, reason);
            lock
        };
        all.into_iter().filter_map(close).collect()
    }

    fn start(&self, all: &mut Vec<(Attached, Option<SessionLock>)>, client: ClientInfo) -> SessionId {
        let now = stamp::now_ms();
        let (id, lock) = match self.front {
            Some((front, _)) => (front.nth(all.len()), None),
            None => self.locked(SessionId::new(now)),
        };
        all.push((Attached { session: id, client: client.clone(), since_ms: now }, lock));
        tracing::info!(
            session = %id,
            client = client.name,
            client_version = client.version,
            protocol = client.protocol_version,
            "session opened"
        );
        let pid = self.front.map_or_else(std::process::id, |(_, pid)| pid);
        self.journal.session_opened(SessionOpened {
            id,
            transport: "stdio",
            client,
            pid,
            created_at_ms: now,
        });
        id
    }

    fn locked(&self, id: SessionId) -> (SessionId, Option<SessionLock>) {
        let lock = SessionLock::create(self.journal.data_dir(), id)
            .inspect_err(|error| tracing::warn!(session = %id, %error, "session cannot be locked"));
        (id, lock.ok())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
