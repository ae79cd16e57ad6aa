//! Who shares a connection to a server, and how many calls and connections there may be at once.

use std::time::Duration;

use crate::config::mistake::Report;
use crate::config::tree::{Fields, text};

/// `scope`, default `shared`: whose calls go through one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// `shared`: everybody's.
    #[default]
    Shared,
    /// `session`: those of one client session.
    Session,
    /// `thread`: those of one conversation (`_meta["bridge/threadId"]`); without one, the session's.
    Thread,
    /// `user`: those of one user (`_meta["bridge/userId"]`); without one, those of the user who runs the
    /// bridge.
    User,
    /// `call`: each has its own, which ends with it.
    Call,
}

impl Scope {
    /// Every scope, from the widest to the narrowest.
    pub const ALL: [Self; 5] = [Self::Shared, Self::Session, Self::Thread, Self::User, Self::Call];

    /// Its word in the configuration and in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Session => "session",
            Self::Thread => "thread",
            Self::User => "user",
            Self::Call => "call",
        }
    }

    pub(super) fn read(fields: &mut Fields, report: &mut Report<'_>) -> Option<Self> {
        let node = fields.take("scope")?;
        let (at, path) = (node.at, node.path.clone());
        let word = text(node, report)?;
        let scope = Self::ALL.into_iter().find(|scope| scope.word() == word);
        if scope.is_none() {
            let words = Self::ALL.map(|scope| format!("{:?}", scope.word())).join(", ");
            report.mistake(at, &path, format!("must be one of {words}"));
        }
        scope
    }
}

/// How many calls and connections of one server there may be at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// `max_connections`, 1 to 1000, default 10: so many connections beside the one that is always there.
    pub max_connections: usize,
    /// `max_concurrent`, 1 to 10,000, default 10: so many calls under way on one connection.
    pub max_concurrent: usize,
    /// `max_queue`, 0 to 100,000, default 100: so many calls wait for either.
    pub max_queue: usize,
    /// `queue_timeout_s`, 0 to 3600, default 5: none of them for longer.
    pub queue_timeout: Duration,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            max_connections: 10,
            max_concurrent: 10,
            max_queue: 100,
            queue_timeout: Duration::from_secs(5),
        }
    }
}

/// What is said of it in one place: in `[settings]` for every server, in an entry for that one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    max_connections: Option<usize>,
    max_concurrent: Option<usize>,
    max_queue: Option<usize>,
    queue_timeout: Option<Duration>,
}

impl Said {
    /// The keys that it is said with.
    pub(super) const KEYS: [&str; 4] = ["max_connections", "max_concurrent", "max_queue", "queue_timeout_s"];

    pub(super) fn read(fields: &mut Fields, report: &mut Report<'_>) -> Self {
        let mut number = |key, range| fields.number(key, range, report);
        Self {
            max_connections: number("max_connections", (1, 1000)).map(|max| max as usize),
            max_concurrent: number("max_concurrent", (1, 10_000)).map(|max| max as usize),
            max_queue: number("max_queue", (0, 100_000)).map(|max| max as usize),
            queue_timeout: number("queue_timeout_s", (0, 3600)).map(|s| Duration::from_secs(s.into())),
        }
    }

    /// The capacity, where nothing is said as it is otherwise.
    #[must_use]
    pub fn over(&self, otherwise: &Capacity) -> Capacity {
        Capacity {
            max_connections: self.max_connections.unwrap_or(otherwise.max_connections),
            max_concurrent: self.max_concurrent.unwrap_or(otherwise.max_concurrent),
            max_queue: self.max_queue.unwrap_or(otherwise.max_queue),
            queue_timeout: self.queue_timeout.unwrap_or(otherwise.queue_timeout),
        }
    }
}
