//! Servers, as the rest of the house sees them: a [`Link`] to ask through, and its state to read.

pub mod budget;
pub mod client;
pub mod connection;
pub mod fleet;
pub mod gate;
pub mod greeting;
mod group;
pub mod guardian;
pub mod handshake;
pub mod interest;
pub mod keeper;
pub mod level;
pub mod listing;
pub mod pool;
pub mod process;
pub mod question;
pub mod relay;
pub mod stderr;
pub mod tuning;
pub mod wake;
pub mod watcher;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};

use crate::downstream::client::ClientId;
use crate::downstream::connection::Connection;
use crate::downstream::interest::Interest;
use crate::downstream::pool::key::Farewell;
use crate::list::List;
use crate::names::ServerName;
use crate::outcome::Cause;

/// Lines of stderr that an error quotes.
const STDERR_LINES_QUOTED: usize = 8;

/// How a connection to a server ended, or why it did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The classified reason.
    pub cause: Cause,
    /// What happened, as the end of a sentence that begins with the server's name.
    pub what: String,
    /// The exit code of its process.
    pub exit_code: Option<i32>,
    /// The signal that ended its process.
    pub signal: Option<i32>,
    /// The last lines of its stderr, cleaned.
    pub stderr: Vec<String>,
    /// It is not started again before this.
    pub again: Option<Instant>,
}

impl Ending {
    /// An ending of which only the reason is known.
    #[must_use]
    pub fn of(cause: Cause, what: impl Into<String>) -> Self {
        Self { cause, what: what.into(), exit_code: None, signal: None, stderr: Vec::new(), again: None }
    }

    /// An ending of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self::of(Cause::Crashed, "ended without a trace")
    }

    /// When it is worth trying again, from now on.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.again.map(|again| again.saturating_duration_since(Instant::now()))
    }

    /// Adds what the server wrote to its stderr last.
    #[must_use]
    pub fn with_stderr(mut self, lines: Vec<String>) -> Self {
        let skip = lines.len().saturating_sub(STDERR_LINES_QUOTED);
        self.stderr = lines.into_iter().skip(skip).collect();
        self
    }

    /// Of a server that says other things than messages, the first of them says most: it stays in.
    #[must_use]
    pub fn with_garbage(mut self, first: Option<String>) -> Self {
        if let (Cause::ProtocolGarbage, Some(first)) = (self.cause, first)
            && !self.stderr.contains(&first)
        {
            self.stderr.splice(..self.stderr.len().min(1), [first]);
        }
        self
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// What a server is doing. It is read, never asked for.
#[derive(Debug, Clone)]
pub enum LinkState {
    /// No process; the next request starts one.
    Stopped,
    /// A process was started; its handshake or its first list is under way.
    Starting,
    /// The handshake is done and the first list has arrived.
    Ready(Arc<Connection>),
    /// It ended, and is not started again before the time.
    Resting {
        /// Not before this.
        until: Instant,
        /// How it ended.
        because: Arc<Ending>,
    },
    /// It failed too often, or in a way that repeats: requests are refused until the time.
    Parked {
        /// Not before this.
        until: Instant,
        /// How it ended last.
        because: Arc<Ending>,
    },
    /// A person stopped it: requests are refused until a person starts it.
    Held(Arc<Ending>),
}

impl LinkState {
    /// The state's word in status and log.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Stopped | Self::Held(_) => "stopped",
            Self::Starting => "starting",
            Self::Ready(_) => "ready",
            Self::Resting { .. } => "resting",
            Self::Parked { .. } => "parked",
        }
    }
}

/// A server's state and what is known beside it.
#[derive(Debug, Clone)]
pub struct Status {
    /// What it is doing.
    pub state: LinkState,
    /// Since when, by the wall clock.
    pub since: SystemTime,
    /// Why, in words.
    pub because: Cow<'static, str>,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// The client that it was shown when it was greeted, while it runs.
    pub client: Option<ClientId>,
    /// How often a process was started.
    pub starts: u64,
    /// How often a start failed.
    pub failed_starts: u64,
    /// How it ended last.
    pub last_ending: Option<Arc<Ending>>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            state: LinkState::Stopped,
            since: SystemTime::now(),
            because: "nobody has needed it yet".into(),
            pid: None,
            client: None,
            starts: 0,
            failed_starts: 0,
            last_ending: None,
        }
    }
}

/// What a server's keeper can be told.
#[derive(Debug)]
pub enum Order {
    /// Somebody waits for the server: a client's request, or the bridge itself.
    Want(Option<ClientId>),
    /// It is to be there, and nobody waits for it yet.
    Wake,
    /// It is to end now, for this reason, and starts again when somebody wants it.
    Leave(Farewell),
    /// One of its lists is to be asked for again, if the server is there.
    Relist {
        /// Which.
        list: List,
        /// Told, or dropped, when that is over.
        told: oneshot::Sender<()>,
    },
}

/// Why no connection could be had.
#[derive(Debug, Clone)]
pub struct NotReady {
    /// How the server ended, or what keeps it from being ready.
    pub ending: Arc<Ending>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
}

impl NotReady {
    /// A server that ended like this.
    #[must_use]
    pub fn of(ending: Arc<Ending>) -> Self {
        let retry_after = ending.retry_after();
        Self { ending, retry_after }
    }

    /// A server that ended like this, and is not started again before a time.
    fn until(until: Instant, because: &Arc<Ending>) -> Self {
        let retry_after = Some(until.saturating_duration_since(Instant::now()));
        Self { ending: Arc::clone(because), retry_after }
    }
}

/// A cheap handle to one connection of a server.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its name.
    pub name: ServerName,
    /// The longest a call may take, once it is sent.
    pub call_timeout: Duration,
    /// The longest from its start to its first list.
    pub start_timeout: Duration,
    /// What clients want to hear of it.
    pub interest: Arc<Interest>,
    status: watch::Receiver<Status>,
    orders: mpsc::Sender<Order>,
}

impl Link {
    /// What is known of the server now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Looks at the same, which does not change meanwhile.
    pub(in crate::downstream) fn look<T>(&self, look: impl FnOnce(&Status) -> T) -> T {
        look(&self.status.borrow())
    }

    /// Asks for a start, if the server is not there. Returns at once.
    pub fn wake(&self) {
        // A full queue holds a wake-up already; a closed one belongs to a bridge that stops.
        let _ = self.orders.try_send(Order::Wake);
    }

    /// Has it end, if it is there, until somebody wants it again. Returns at once.
    pub fn leave(&self, farewell: Farewell) {
        // As above.
        let _ = self.orders.try_send(Order::Leave(farewell));
    }

    /// Whether its keeper has ended, and it never becomes ready again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.status.has_changed().is_err()
    }

    /// Has one of its lists asked for again, if the server is there. Returns at once.
    pub fn relist(&self, list: List) {
        // A full queue holds so many orders that this one is worth nothing.
        let _ = self.orders.try_send(Order::Relist { list, told: oneshot::channel().0 });
    }

    /// The same, and waits until that is over, well or not. The caller holds the deadline.
    pub async fn relisted(&self, list: List) {
        let (told, over) = oneshot::channel();
        if self.orders.send(Order::Relist { list, told }).await.is_ok() {
            // Dropped when the server ends.
            let _ = over.await;
        }
    }

    /// The connection, when the server is ready at this moment.
    #[must_use]
    pub fn at_once(&self) -> Option<Arc<Connection>> {
        match &self.status.borrow().state {
            LinkState::Ready(connection) if !connection.has_ended() => Some(Arc::clone(connection)),
            _ => None,
        }
    }

    /// The same for a call: after a sleep of the machine, an idle server is looked at before, by
    /// [`Link::ready`].
    #[must_use]
    pub fn awake(&self) -> Option<Arc<Connection>> {
        self.at_once().filter(|connection| !connection.is_stale())
    }

    /// Waits for the server, starting it when it is not there. It is given one start: when that fails,
    /// so does this.
    ///
    /// # Errors
    /// When the start fails, the server is parked, or rests for longer than anybody waits: twice its start
    /// timeout.
    pub async fn ready(&self) -> Result<Arc<Connection>, NotReady> {
        self.ready_for(None).await
    }

    /// The same for a client, as which a server that is started for it is greeted.
    ///
    /// # Errors
    /// As [`Link::ready`].
    pub async fn ready_for(&self, client: Option<ClientId>) -> Result<Arc<Connection>, NotReady> {
        let patience = self.start_timeout.saturating_mul(2);
        tokio::time::timeout(patience, self.wait_ready(client, patience)).await.unwrap_or_else(|_| {
            let what = format!("did not become ready within {} s", patience.as_secs());
            let retry_after = Some(self.start_timeout);
            Err(NotReady { ending: Arc::new(Ending::of(Cause::TooSlow, what)), retry_after })
        })
    }

    async fn wait_ready(
        &self,
        client: Option<ClientId>,
        patience: Duration,
    ) -> Result<Arc<Connection>, NotReady> {
        let mut status = self.status.clone();
        let failed_before = status.borrow().failed_starts;
        loop {
            let now = status.borrow_and_update().clone();
            match &now.state {
                LinkState::Ready(connection) if !connection.has_ended() && !connection.is_stale() => {
                    return Ok(Arc::clone(connection));
                }
                LinkState::Parked { until, because } if *until > Instant::now() => {
                    return Err(NotReady::until(*until, because));
                }
                LinkState::Held(because) => return Err(NotReady::of(Arc::clone(because))),
                LinkState::Resting { until, because }
                    if now.failed_starts > failed_before || *until > Instant::now() + patience =>
                {
                    return Err(NotReady::until(*until, because));
                }
                _ => {}
            }
            // A full queue holds such an order already; a closed one belongs to a bridge that stops.
            let _ = self.orders.try_send(Order::Want(client));
            if status.changed().await.is_err() {
                let ending = Ending::of(
                    Cause::BridgeStopped,
                    "is not kept any more: the bridge stops, or its keeper failed (the log says so)",
                );
                return Err(NotReady { ending: Arc::new(ending), retry_after: None });
            }
        }
    }
}

/// The two ends of a link: the handle, and what its keeper holds.
#[must_use]
pub fn link(
    name: ServerName,
    call_timeout: Duration,
    start_timeout: Duration,
) -> (Link, watch::Sender<Status>, mpsc::Receiver<Order>) {
    let (sender, status) = watch::channel(Status::default());
    let (orders, receiver) = mpsc::channel(16);
    let interest = Arc::default();
    (Link { name, call_timeout, start_timeout, interest, status, orders }, sender, receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_in_vain_for_a_server_that_rests_for_long() {
        let second = Duration::from_secs(1);
        let (link, status, _orders) = link(ServerName::parse("s").unwrap(), second, second);
        let because = Arc::new(Ending::of(Cause::Crashed, "fell"));
        status.send_modify(|status| {
            status.state = LinkState::Resting { until: Instant::now() + second * 20, because };
        });
        let asked = Instant::now();
        let refused = link.ready().await.unwrap_err();
        assert_eq!((refused.ending.what.as_str(), refused.ending.cause), ("fell", Cause::Crashed));
        assert!(refused.retry_after.unwrap() > second * 18 && asked.elapsed() < second);
    }
}
