//! The rows of one attached client: one session for `initialize`, one for each modern client's name.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::names::ServerName;
use crate::roster::{Present, Roster};
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
    roster: Arc<Roster>,
    /// The process that the client started.
    pid: u32,
    /// The first of the sessions, where a front holds their locks.
    first: Option<SessionId>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    legacy: Option<SessionId>,
    modern: HashMap<Option<String>, SessionId>,
    last_modern: Option<SessionId>,
    all: Vec<(SessionId, Option<SessionLock>)>,
}

impl Sessions {
    /// No session is open.
    pub fn new(journal: Journal, roster: Arc<Roster>, (pid, first): (u32, Option<SessionId>)) -> Self {
        Self { journal, roster, pid, first, open: Mutex::default() }
    }

    /// `initialize` opens the session, or renews it.
    pub fn initialized(&self, client: ClientInfo) {
        let mut open = self.lock();
        match open.legacy {
            Some(id) => {
                self.roster.renew(id, &client);
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

    /// A session asks a server something.
    pub fn uses(&self, session: SessionId, server: &ServerName) {
        self.roster.uses(session, &server.shared());
    }

    /// Closes every session. Their locks are to be released when that is committed: a sibling takes an
    /// open row without its lock for a crash.
    pub fn close(&self, reason: &str) -> Vec<SessionLock> {
        let all = std::mem::take(&mut self.lock().all);
        let close = |(session, lock): (SessionId, _)| {
            self.roster.remove(session);
            self.journal.session_closed(session, reason);
            lock
        };
        all.into_iter().filter_map(close).collect()
    }

    /// Every session goes on elsewhere: their rows stay open.
    pub fn leave(&self) {
        let all = std::mem::take(&mut self.lock().all);
        all.into_iter().for_each(|(session, _)| self.roster.remove(session));
    }

    fn start(&self, all: &mut Vec<(SessionId, Option<SessionLock>)>, client: ClientInfo) -> SessionId {
        let now = stamp::now_ms();
        let (id, lock) = match self.first {
            Some(first) => (first.nth(all.len()), None),
            None => self.locked(SessionId::new(now)),
        };
        all.push((id, lock));
        self.roster.add(Present {
            session: id,
            client: client.clone(),
            pid: self.pid,
            since_ms: id.attached_ms(),
            uses: BTreeSet::new(),
        });
        tracing::info!(
            session = %id,
            client = client.name,
            client_version = client.version,
            protocol = client.protocol_version,
            "session opened"
        );
        self.journal.session_opened(SessionOpened {
            id,
            transport: "stdio",
            client,
            pid: self.pid,
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
