//! The one subscription that a modern server has of the bridge: opened, replaced, and opened again.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::downstream::connection::in_flight::InFlight;
use crate::downstream::connection::{Answer, Connection, Granted, Listening, Verdict};
use crate::downstream::interest::{Refused, Step, Wanted};
use crate::downstream::keeper::wishes::CONFIRM;

/// After a subscription ended or was not to be had it is opened again: first after this, then after twice
/// as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause. A subscription that held so long is a good one, and the pauses begin anew.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A server that knows no subscriptions says this (JSON-RPC 2.0, "method not found").
const UNKNOWN_METHOD: i64 = -32601;

/// The subscription of one life.
pub(super) struct Listen {
    open: Option<Open>,
    /// The server knows no subscriptions, and is not asked for one again.
    is_unknown: bool,
    /// Nobody heard what changed for a while.
    has_gap: bool,
    pause: Duration,
    /// When the next try is due, where the last one did not get all that is wanted.
    again: Option<Instant>,
}

struct Open {
    in_flight: InFlight,
    /// What it names, without a level: each request carries that.
    named: Wanted,
    since: Instant,
}

/// How a try went.
enum Try {
    Opened(InFlight, Refused),
    Unknown,
    Failed,
}

impl Default for Listen {
    fn default() -> Self {
        Self { open: None, is_unknown: false, has_gap: false, pause: PAUSE_MIN, again: None }
    }
}

impl Listen {
    /// Has the server know what is wanted, as far as it can be had, and notes what cannot.
    pub async fn tell(&mut self, connection: &Arc<Connection>, step: &mut Step) {
        let named = Wanted { level: None, ..step.wanted.clone() };
        step.refused.resources.retain(|uri| named.resources.contains(uri));
        step.refused.tasks.retain(|id| named.tasks.contains(id));
        self.again = None;
        if self.open.as_ref().is_some_and(|open| open.named == named) {
            return;
        }
        if self.is_unknown || !self.replace(connection, &named, step).await {
            let bare = Wanted::default();
            // One resource that is gone must not hide what changes in the lists.
            if !self.is_unknown && self.open.is_none() && named != bare {
                self.replace(connection, &bare, step).await;
            }
            let told = self.open.as_ref().map_or(&bare, |open| &open.named);
            step.refused.resources.extend(named.resources.difference(&told.resources).cloned());
            step.refused.tasks.extend(named.tasks.difference(&told.tasks).cloned());
            self.put_off();
        }
        self.has_gap |= self.open.is_none() && !self.is_unknown;
    }

    /// Waits until there is something to tell again, though nothing else is wanted than before.
    pub async fn due(&mut self) {
        loop {
            let again = self.again;
            tokio::select! {
                () = ended(self.open.as_mut()) => {
                    let held = self.open.take().is_some_and(|open| open.since.elapsed() >= PAUSE_MAX);
                    self.has_gap = true;
                    if held {
                        self.pause = PAUSE_MIN;
                    }
                    self.put_off();
                }
                () = until(again) => return,
            }
        }
    }

    /// Whether a time is over in which nobody heard what changed; true once for each.
    pub fn had_gap(&mut self) -> bool {
        (self.open.is_some() || self.is_unknown) && std::mem::take(&mut self.has_gap)
    }

    /// Opens a new subscription in the old one's place; the old one stays when that fails.
    async fn replace(&mut self, connection: &Arc<Connection>, named: &Wanted, step: &mut Step) -> bool {
        match open(connection, named).await {
            Try::Opened(in_flight, refused) => {
                step.refused = refused;
                let new = Open { in_flight, named: named.clone(), since: Instant::now() };
                // The new one is there before the old one is taken back, so that nothing is missed.
                drop(self.open.replace(new));
                true
            }
            Try::Unknown => {
                self.is_unknown = true;
                false
            }
            Try::Failed => false,
        }
    }

    fn put_off(&mut self) {
        if !self.is_unknown {
            self.again = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Waits until an open subscription is ended by the server.
async fn ended(open: Option<&mut Open>) {
    match open {
        // How it ended is all the same: with a result, an error, or by a notification.
        Some(open) => drop(open.in_flight.answer().await),
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Opens a subscription and waits for its acknowledgement, and for what is not granted.
async fn open(connection: &Arc<Connection>, wanted: &Wanted) -> Try {
    let ids = |key: &str, ids: &BTreeSet<Arc<str>>| {
        let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
        if ids.is_empty() { String::new() } else { format!(r#","{key}":{}"#, json!(ids)) }
    };
    let (resources, tasks) = (ids("resourceSubscriptions", &wanted.resources), ids("taskIds", &wanted.tasks));
    let filter = format!(
        r#"{{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true{resources}{tasks}}}"#
    );
    let params = connection.own_params(&format!(r#""notifications":{filter}"#));
    let Ok(mut in_flight) = connection.ask_own("subscriptions/listen", &params) else { return Try::Failed };
    let acknowledged = connection.listening(in_flight.id());
    tokio::select! {
        biased;
        Listening { granted, .. } = acknowledged => Try::Opened(in_flight, refused(wanted, granted)),
        answer = in_flight.answer() => match answer {
            Ok(answer) if is_unknown(&answer) => Try::Unknown,
            _ => Try::Failed,
        },
        () = tokio::time::sleep(CONFIRM) => Try::Opened(in_flight, Refused::default()),
    }
}

fn is_unknown(answer: &Answer) -> bool {
    answer.verdict == Verdict::RpcError && answer.error_code() == UNKNOWN_METHOD
}

/// What is wanted and not granted.
fn refused(wanted: &Wanted, granted: Option<Granted>) -> Refused {
    let Some(Granted { resource_subscriptions, task_ids }) = granted else { return Refused::default() };
    let without = |wanted: &BTreeSet<Arc<str>>, granted: &[String]| {
        let granted: HashSet<&str> = granted.iter().map(String::as_str).collect();
        wanted.iter().filter(|name| !granted.contains(&***name)).cloned().collect()
    };
    Refused {
        resources: without(&wanted.resources, &resource_subscriptions),
        tasks: without(&wanted.tasks, &task_ids),
    }
}
