//! Whose a connection is: what a request says of itself, and the key that follows from it.

use std::fmt;
use std::sync::Arc;

use crate::config::sharing::Scope;
use crate::downstream::Ending;
use crate::downstream::client::ClientId;
use crate::era::Era;
use crate::outcome::Cause;

/// Whose request it is, or whose connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenant {
    /// The client.
    pub client: Option<ClientId>,
    /// The client session's number.
    pub session: Option<u64>,
    /// The conversation, as its client names it.
    pub thread: Option<Arc<str>>,
    /// The user, as the client names them; `None` is the one who runs the bridge.
    pub user: Option<Arc<str>>,
    /// By which rules it is spoken.
    pub era: Option<Era>,
}

impl Tenant {
    /// Its session and its thread, for a line of the log.
    #[must_use]
    pub fn logged(&self) -> (Option<String>, Option<&str>) {
        (self.session_text(), self.thread.as_deref())
    }

    /// The session's number as it stands in the record.
    #[must_use]
    pub fn session_text(&self) -> Option<String> {
        self.session.map(|session| format!("{session:016x}"))
    }
}

/// What a request wants of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Whose it is.
    pub tenant: &'a Tenant,
    /// Whether it calls a tool.
    pub is_call: bool,
    /// Whether it is one of those of which only so many are under way at once.
    pub takes_slot: bool,
    /// The number of the connection that gave what it is about, to be asked as long as it lives.
    pub at: Option<u64>,
}

/// A connection's key among those of its server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The one that is always there.
    Base,
    /// That of all who speak by these rules, where the base connection was greeted by others.
    Era(Era),
    /// A client session's.
    Session(u64),
    /// A conversation's. Two clients or two users may name theirs alike, and share nothing.
    Thread { thread: Arc<str>, user: Option<Arc<str>>, client: Option<ClientId> },
    /// A user's.
    User(Arc<str>),
    /// A single call's.
    Call(u64),
}

impl Key {
    /// The key of a request. `own` is the session that the base connection belongs to, `shared` the key of those
    /// who share one, `number` one that no other call has; without an id the next wider scope serves.
    pub fn of(
        scope: Scope,
        wish: &Wish<'_>,
        own: impl FnOnce(u64) -> bool,
        shared: impl FnOnce() -> Self,
        number: impl FnOnce() -> u64,
    ) -> Self {
        let Tenant { client, session, thread, user, .. } = wish.tenant;
        let of_session = || session.filter(|session| !own(*session)).map_or(Self::Base, Self::Session);
        match scope {
            Scope::Shared => shared(),
            Scope::Session => of_session(),
            Scope::Thread => match thread {
                Some(thread) => {
                    Self::Thread { thread: Arc::clone(thread), user: user.clone(), client: *client }
                }
                None => of_session(),
            },
            Scope::User => user.clone().map_or_else(shared, Self::User),
            Scope::Call if wish.is_call => Self::Call(number()),
            Scope::Call => shared(),
        }
    }

    /// Whose the connection of this key is, when this is the first who wants it.
    pub fn tenant(&self, first: &Tenant) -> Tenant {
        match self {
            Self::Base | Self::Era(_) => Tenant::default(),
            Self::Session(_) => Tenant { thread: None, user: None, ..first.clone() },
            // Whoever comes for the same user shares it.
            Self::User(_) => Tenant { user: first.user.clone(), ..Tenant::default() },
            Self::Thread { .. } | Self::Call(_) => first.clone(),
        }
    }

    /// The word of its kind; that of the base connection follows from the scope.
    pub fn word(&self, scope: Scope) -> &'static str {
        let scope = match self {
            Self::Base | Self::Era(_) => match scope {
                Scope::Thread => Scope::Session,
                Scope::Call => Scope::Shared,
                other => other,
            },
            Self::Session(_) => Scope::Session,
            Self::Thread { .. } => Scope::Thread,
            Self::User(_) => Scope::User,
            Self::Call(_) => Scope::Call,
        };
        scope.word()
    }
}

/// Why a connection has to end although its server could go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// The bridge stops.
    BridgeStops,
    /// Nobody used it.
    Unused,
    /// Its thread or its user made no call for long.
    Idle,
    /// Others needed its place.
    MadeRoom,
    /// Its only call is over.
    CallOver,
    /// Its client has gone.
    ClientGone,
    /// Somebody asked for it.
    Disconnected,
    /// Its entry in the configuration is another one.
    Changed,
    /// Its entry in the configuration is gone.
    Removed,
    /// Somebody asked for a new start.
    Restarted,
    /// A person stopped the server.
    Held,
}

impl Farewell {
    /// What happened to the server, as the end of a sentence that begins with its name.
    const fn what(self) -> &'static str {
        match self {
            Self::BridgeStops => "was stopped with the bridge",
            Self::Unused => "was stopped, since nobody used it",
            Self::Idle => "was stopped, since its thread or user made no call for long",
            Self::MadeRoom => "was stopped to make room for another connection",
            Self::CallOver => "was stopped, since its call is over",
            Self::ClientGone => "was stopped, since its client has gone",
            Self::Disconnected => "was disconnected by bridge_disconnect",
            Self::Changed => "was replaced, since its entry in the configuration changed",
            Self::Removed => "was removed from the configuration",
            Self::Restarted => "was started anew by bridge restart",
            Self::Held => "was stopped by bridge stop",
        }
    }

    /// How the server ended, for those who hear of it.
    #[must_use]
    pub fn ending(self) -> Ending {
        let cause = match self {
            Self::BridgeStops => Cause::BridgeStopped,
            Self::Held => Cause::Held,
            _ => Cause::ServerStopped,
        };
        Ending::of(cause, self.what())
    }

    /// The reason in the record.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BridgeStops => "the bridge stopped",
            Self::Unused => "nobody used it",
            Self::Idle => "its thread or user made no call for long",
            Self::MadeRoom => "another connection needed its place",
            Self::CallOver => "its call is over",
            Self::ClientGone => "its client has gone",
            Self::Disconnected => "it was disconnected",
            Self::Changed => "its entry in the configuration changed",
            Self::Removed => "it was removed from the configuration",
            Self::Restarted => "bridge restart",
            Self::Held => "bridge stop",
        }
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(thread: &str, user: &str) -> Tenant {
        let named = |name: &str| (!name.is_empty()).then(|| name.into());
        Tenant { session: Some(1), thread: named(thread), user: named(user), ..Tenant::default() }
    }

    #[track_caller]
    fn check(scope: Scope, tenant: &Tenant, expected: &Key, word: &str) {
        let wish = Wish { tenant, is_call: true, takes_slot: true, at: None };
        let key = Key::of(scope, &wish, |_| true, || Key::Base, || 7);
        assert_eq!((&key, key.word(scope)), (expected, word));
    }

    #[test]
    fn without_an_id_the_next_wider_scope_serves() {
        let thread = |user: Option<&str>| {
            let user = user.map(Into::into);
            Key::Thread { thread: "t".into(), user, client: None }
        };
        check(Scope::Shared, &tenant("t", "u"), &Key::Base, "shared");
        check(Scope::Session, &tenant("t", "u"), &Key::Base, "session");
        check(Scope::Thread, &tenant("t", ""), &thread(None), "thread");
        check(Scope::Thread, &tenant("t", "u"), &thread(Some("u")), "thread");
        check(Scope::Thread, &tenant("", "u"), &Key::Base, "session");
        check(Scope::User, &tenant("t", "u"), &Key::User("u".into()), "user");
        check(Scope::User, &tenant("t", ""), &Key::Base, "user");
        check(Scope::Call, &tenant("", ""), &Key::Call(7), "call");
    }

    #[test]
    fn another_session_has_a_connection_of_its_own_and_what_is_no_call_has_none() {
        let tenant = tenant("", "");
        let wish = Wish { tenant: &tenant, is_call: false, takes_slot: true, at: None };
        assert_eq!(Key::of(Scope::Session, &wish, |_| false, || Key::Base, || 7), Key::Session(1));
        assert_eq!(Key::of(Scope::Thread, &wish, |_| false, || Key::Base, || 7), Key::Session(1));
        assert_eq!(Key::of(Scope::Call, &wish, |_| true, || Key::Base, || 7), Key::Base);
    }
}
