//! What there is to say of a pool, and the end of connections by somebody's word.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::downstream::pool::Pool;
use crate::downstream::pool::key::{Farewell, Key, Tenant};
use crate::downstream::pool::member::Member;
use crate::downstream::{LinkState, Status};

/// How a pool is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Connections that are there, or about to be.
    pub total: usize,
    /// Those with a request under way.
    pub active: usize,
    /// Requests that wait for a connection, or for a place on one.
    pub waiting: usize,
    /// How many may wait.
    pub waiting_max: usize,
    /// Requests that have a connection in their hands.
    pub in_flight: usize,
    /// Connections by user.
    pub by_user: BTreeMap<Arc<str>, usize>,
    /// Connections by thread.
    pub by_thread: BTreeMap<Arc<str>, usize>,
    /// All requests so far.
    pub requests: u64,
    /// Those that found a connection ready.
    pub reused: u64,
}

/// One connection.
#[derive(Debug, Clone)]
pub struct Row {
    /// The word for what it is keyed by.
    pub kind: &'static str,
    /// Whose it is.
    pub tenant: Tenant,
    /// What its process is doing.
    pub status: Status,
    /// Requests under way.
    pub active: usize,
    /// All requests so far.
    pub requests: u64,
    /// How long it has not been used.
    pub idle_for: Duration,
}

/// Whose connections are meant; what is `None` says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whose {
    /// This thread's.
    pub thread: Option<String>,
    /// This user's.
    pub user: Option<String>,
    /// This session's, as it stands in the record.
    pub session: Option<String>,
}

impl Whose {
    fn is(&self, tenant: &Tenant) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        same(&self.thread, tenant.thread.as_deref())
            && same(&self.user, tenant.user.as_deref())
            && same(&self.session, tenant.session_text().as_deref())
    }
}

impl Pool {
    /// How it is used now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            waiting: self.waiting.load(Ordering::Relaxed),
            waiting_max: self.terms.capacity.max_queue,
            requests: self.requests.load(Ordering::Relaxed),
            reused: self.reused.load(Ordering::Relaxed),
            ..Figures::default()
        };
        for member in self.members() {
            figures.in_flight += member.uses();
            if matches!(member.link.status().state, LinkState::Starting | LinkState::Ready(_)) {
                figures.total += 1;
                figures.active += usize::from(member.uses() > 0);
                let Tenant { thread, user, .. } = &member.tenant;
                user.iter().for_each(|user| *figures.by_user.entry(Arc::clone(user)).or_default() += 1);
                thread.iter().for_each(|of| *figures.by_thread.entry(Arc::clone(of)).or_default() += 1);
            }
        }
        figures
    }

    /// Every connection that has a process, will have one, or is wanted, in the order in which they were made.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let row = |member: &Arc<Member>| Row {
            kind: member.key.word(self.terms.scope),
            tenant: self.tenant(member),
            status: member.link.status(),
            active: member.uses(),
            requests: member.requests(),
            idle_for: member.used_at().elapsed(),
        };
        let is_there = |row: &Row| {
            row.active > 0 || !matches!(row.status.state, LinkState::Stopped | LinkState::Held(_))
        };
        self.members().iter().map(row).filter(is_there).collect()
    }

    /// Ends connections whatever they do; how many.
    pub fn disconnect(self: &Arc<Self>, whose: &Whose) -> usize {
        let meant: Vec<Arc<Member>> =
            self.members().into_iter().filter(|member| whose.is(&self.tenant(member))).collect();
        let (base, others): (Vec<_>, Vec<_>) = meant.into_iter().partition(|member| member.key == Key::Base);
        self.dismiss_all(&others, Farewell::Disconnected);
        self.listen_again(&others);
        let has_process = |member: &&Arc<Member>| member.link.status().pid.is_some();
        // It is started again by the next request.
        let ended = base
            .iter()
            .filter(has_process)
            .inspect(|member| member.link.leave(Farewell::Disconnected))
            .count();
        ended + others.len()
    }
}
