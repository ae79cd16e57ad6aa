//! The session that the base connection belongs to, where connections belong to sessions: the first one that wants
//! it, until its client has gone.

use std::sync::{Arc, PoisonError};

use crate::downstream::LinkState;
use crate::downstream::client::ClientId;
use crate::downstream::pool::Pool;
use crate::downstream::pool::key::{Farewell, Key, Tenant};
use crate::downstream::pool::member::Member;

/// Whose the base connection is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    session: u64,
    client: Option<ClientId>,
}

impl Pool {
    /// Whether the base connection belongs to a session; one that nobody has becomes its, unless it runs in the
    /// sight of another client, or the session has one already.
    pub(super) fn is_own(&self, session: u64, client: Option<ClientId>) -> bool {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = *own {
            return own.session == session;
        }
        if self.known(&Key::Session(session)).is_some() {
            return false;
        }
        let is_free = self.base.link.look(|status| {
            let is_free = status.client.is_none() || status.client == client;
            if let (true, Some(client)) = (is_free, client) {
                self.base.ownership.now().becomes(client);
            }
            is_free
        });
        if is_free {
            *own = Some(Own { session, client });
            // It may have been told to log as others want it.
            self.base.link.interest.is_anew();
        }
        is_free
    }

    /// The base connection is that of the same session as another pool's.
    pub(super) fn inherit_own(&self, before: &Self) {
        let own = *before.own.lock().unwrap_or_else(PoisonError::into_inner);
        if self.terms.scope == before.terms.scope {
            if let Some(client) = own.and_then(|own| own.client) {
                self.base.ownership.now().becomes(client);
            }
            *self.own.lock().unwrap_or_else(PoisonError::into_inner) = own;
        }
    }

    /// A client has gone: what was its alone ends, and nothing is wanted for it any more.
    pub fn left(&self, client: ClientId) {
        let was_base = {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.take_if(|own| own.client == Some(client)).is_some()
        };
        if was_base {
            self.base.ownership.is_left();
            self.base.link.leave(Farewell::ClientGone);
        }
        let members = self.members();
        for member in &members {
            member.link.interest.left(client);
            if let LinkState::Ready(connection) = member.link.status().state {
                connection.left(client);
            }
        }
        let is_its = |member: &&Arc<Member>| member.tenant.client == Some(client);
        let its: Vec<Arc<Member>> = members.iter().filter(is_its).cloned().collect();
        self.dismiss_all(&its, Farewell::ClientGone);
    }

    /// Whose a connection is; the base one may have become a session's.
    pub(super) fn tenant(&self, member: &Member) -> Tenant {
        match &member.key {
            Key::Base => {
                let own = *self.own.lock().unwrap_or_else(PoisonError::into_inner);
                let client = own.and_then(|own| own.client);
                Tenant { client, session: own.map(|own| own.session), ..Tenant::default() }
            }
            _ => member.tenant.clone(),
        }
    }
}
