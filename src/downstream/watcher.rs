//! What happens to servers, and who hears of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::downstream::Ending;
use crate::downstream::greeting::Greeting;
use crate::downstream::listing::Listing;
use crate::downstream::pool::key::Tenant;
use crate::names::ServerName;

/// How long a start took: its turn, and then each phase from the moment of its turn on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Phases {
    /// How long it waited for its turn.
    pub gate: Duration,
    /// Until its process was there.
    pub spawned: Duration,
    /// Until the handshake was done.
    pub handshake: Duration,
    /// Until its first list was there, with which it is ready.
    pub first_list: Duration,
}

/// What happened to a server, for the record.
#[derive(Debug, Clone)]
pub enum Happened {
    /// Its process was started.
    Started {
        /// The process.
        pid: u32,
        /// Whether it ran before, in this life of the bridge.
        again: bool,
        /// Why, in words.
        why: String,
    },
    /// Handshake and first list are done.
    Ready {
        /// The process.
        pid: u32,
        /// Time since its start.
        phases: Phases,
    },
    /// It ended on its own, or its start failed.
    Ended {
        /// The process, when one was started.
        pid: Option<u32>,
        /// How it ended.
        ending: Arc<Ending>,
        /// Time since its start.
        after: Duration,
    },
    /// The bridge ended it.
    Stopped {
        /// The process.
        pid: u32,
        /// Why, in words.
        why: Cow<'static, str>,
        /// Time since its start.
        after: Duration,
    },
    /// It is not started again before a moment has passed.
    Rests {
        /// For how long.
        pause: Duration,
        /// How it ended.
        ending: Arc<Ending>,
    },
    /// It is not started again for a while, and requests are refused.
    Parked {
        /// For how long.
        pause: Duration,
        /// How it ended last.
        ending: Arc<Ending>,
    },
}

/// Hears of every server's life; the record and the catalog listen.
pub trait Watcher: Send + Sync {
    /// Something happened to a server, on the connection of this tenant. Must not block.
    fn happened(&self, server: &ServerName, tenant: &Tenant, event: Happened);

    /// What a server said of itself in an earlier life, if its program is still the same. May look at the
    /// disk.
    fn greeted_before(&self, server: &ServerName) -> Option<Greeting>;

    /// Lists of a server arrived whole, those that are there. Must not block.
    fn listed(&self, server: &ServerName, listing: Listing);
}
