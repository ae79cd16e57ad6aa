//! Where the lives of servers are written down: a row and a log line for each event, and the catalog.

use std::sync::Arc;
use std::time::Duration;

use crate::config::launch::LaunchKey;
use crate::downstream::greeting::Greeting;
use crate::downstream::listing::Listing;
use crate::downstream::pool::key::Tenant;
use crate::downstream::watcher::{Happened, Phases, Watcher};
use crate::names::ServerName;
use crate::router::offers::Offers;
use crate::store::Journal;
use crate::store::rows::ServerEvent;
use crate::store::stamp;

/// Tells record, log and catalog.
pub struct Recorder {
    journal: Journal,
    offers: Arc<Offers>,
    key: LaunchKey,
}

impl Recorder {
    /// A recorder for this record and this catalog, of a server that is launched by this key.
    pub fn new(journal: Journal, offers: Arc<Offers>, key: LaunchKey) -> Self {
        Self { journal, offers, key }
    }
}

impl Watcher for Recorder {
    fn happened(&self, server: &ServerName, tenant: &Tenant, event: Happened) {
        let phases = match &event {
            Happened::Ready { phases, .. } => Some(*phases),
            _ => None,
        };
        // What the bridge ended itself is as it should be.
        let is_trouble = matches!(event, Happened::Ended { .. } | Happened::Parked { .. });
        let is_pause = matches!(event, Happened::Rests { .. } | Happened::Parked { .. });
        let event = row(server, event);
        let (pid, reason) = (event.pid, event.reason.as_deref());
        // A pause begins now; whatever else has a time took that long.
        let (elapsed_ms, pause_ms) = match is_pause {
            true => (None, event.elapsed_ms),
            false => (event.elapsed_ms, None),
        };
        let ((session, thread), user) = (tenant.logged(), tenant.user.as_deref());
        let word = event.event;
        match phases {
            Some(Phases { gate, spawned, handshake, first_list }) => tracing::info!(
                %server, session, thread, user, pid, elapsed_ms, event = word, gate_ms = ms(gate),
                spawned_ms = ms(spawned), handshake_ms = ms(handshake), first_list_ms = ms(first_list),
                "server event"
            ),
            None if is_trouble => tracing::warn!(
                %server, session, thread, user, pid, elapsed_ms, pause_ms, reason, event = word, "server event"
            ),
            None => tracing::info!(
                %server, session, thread, user, pid, elapsed_ms, pause_ms, reason, event = word, "server event"
            ),
        }
        self.journal.server_event(event);
    }

    fn greeted_before(&self, server: &ServerName) -> Option<Greeting> {
        self.offers.greeting_of(server)
    }

    fn listed(&self, server: &ServerName, listing: Listing) {
        self.offers.heard(server, self.key.as_str(), listing);
    }
}

fn row(server: &ServerName, event: Happened) -> ServerEvent {
    let row = ServerEvent { at_ms: stamp::now_ms(), server: server.shared(), ..ServerEvent::default() };
    match event {
        Happened::Started { pid, again, why } => ServerEvent {
            event: if again { "restart" } else { "start" },
            pid: Some(pid),
            reason: Some(why),
            ..row
        },
        Happened::Ready { pid, phases } => ServerEvent {
            event: "ready",
            pid: Some(pid),
            reason: Some(format!(
                "turn after {} ms, then spawned after {} ms, handshake after {} ms, first list after {} ms",
                ms(phases.gate),
                ms(phases.spawned),
                ms(phases.handshake),
                ms(phases.first_list)
            )),
            elapsed_ms: Some(ms(phases.first_list)),
            ..row
        },
        Happened::Ended { pid, ending, after } => ServerEvent {
            event: "exit",
            pid,
            reason: Some(format!("{}: {ending}", ending.cause)),
            exit_code: ending.exit_code,
            signal: ending.signal,
            elapsed_ms: Some(ms(after)),
            ..row
        },
        Happened::Stopped { pid, why, after } => ServerEvent {
            event: "exit",
            pid: Some(pid),
            reason: Some(why.into()),
            elapsed_ms: Some(ms(after)),
            ..row
        },
        Happened::Rests { pause, ending } => ServerEvent {
            event: "rest",
            reason: Some(format!("{}: {ending}", ending.cause)),
            elapsed_ms: Some(ms(pause)),
            ..row
        },
        Happened::Parked { pause, ending } => ServerEvent {
            event: "parked",
            reason: Some(format!("{}: {ending}", ending.cause)),
            elapsed_ms: Some(ms(pause)),
            ..row
        },
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
