//! Which server answers a request: the prefix of a name comes off going down, and goes on coming up.

pub mod offers;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;

use crate::catalog::Catalog;
use crate::downstream::connection::{Answer, Connection, Lost, Outgoing};
use crate::downstream::relay::Hears;
use crate::downstream::{Ending, Link, NotReady};
use crate::names::{SEPARATOR, ServerName};
use crate::outcome::Cause;
use crate::pulse::Pulse;
use crate::router::offers::Offers;
use crate::wire::{Cut, Span};

/// A call that takes longer is not quick: it gets a row while it runs, and a timer for its deadline.
const NOT_QUICK_AFTER: Duration = Duration::from_millis(5);

/// Where a call goes.
#[derive(Debug, Clone)]
pub struct Routed {
    /// The server; `None` is the bridge itself.
    pub server: Option<ServerName>,
    /// The name that the server knows.
    pub tool: Arc<str>,
    /// That name as the server wrote it in JSON; `None` while the server has not said what it offers.
    tool_json: Option<Arc<str>>,
    link: Arc<Link>,
}

/// One call as the client wrote it.
#[derive(Clone)]
pub struct Call {
    /// The client's line.
    pub line: Bytes,
    /// Where its id stands.
    pub id: Span,
    /// Where the tool's name stands.
    pub name: Span,
    /// Where the metadata of a modern request stands, and what an older server gets in its place.
    pub meta: Option<(Span, String)>,
    /// The name that the client used.
    pub shown: String,
    /// The progress token, in JSON.
    pub token: Option<Box<str>>,
    /// Who hears progress.
    pub hears: Arc<dyn Hears>,
}

/// Why a call has no answer of its server's own.
#[derive(Debug)]
pub enum Fault {
    /// The server could not be had; the request was not sent.
    NotReady(NotReady),
    /// The request may have reached the server, which then ended.
    Ended(Arc<Ending>),
    /// The answer was over the limit for a line.
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// The deadline passed.
    TimedOut {
        /// The deadline.
        after: Duration,
    },
    /// The server is there and does not have the tool.
    UnknownTool,
}

/// Every server and everything on offer.
pub struct Router {
    servers: Vec<Arc<Link>>,
    own: Arc<Link>,
    /// What is on offer.
    pub offers: Arc<Offers>,
    /// Who is still there after a while: a call that is not quick gets a deadline.
    pub pulse: Arc<Pulse>,
    first_list_wait: Duration,
    /// Until when a list waits for servers that are not known yet; set by the first list.
    list_deadline: OnceLock<Instant>,
}

impl Router {
    /// A router over the servers in the configuration's order, and the bridge's own tools.
    #[must_use]
    pub fn new(
        servers: Vec<Arc<Link>>,
        own: Arc<Link>,
        offers: Arc<Offers>,
        first_list_wait: Duration,
    ) -> Self {
        let pulse = Pulse::new(NOT_QUICK_AFTER);
        Self { servers, own, offers, pulse, first_list_wait, list_deadline: OnceLock::new() }
    }

    /// Where a call of this shown name goes; `None` when nobody offers it. Waits only while the stored
    /// lists are being read.
    pub async fn route(&self, shown: &str) -> Option<Routed> {
        let view = self.offers.loaded().await;
        match view.catalog.find(shown) {
            Some(found) => {
                let link = match &found.server {
                    None => &self.own,
                    Some(server) => self.link(server)?,
                };
                Some(Routed {
                    server: found.server.clone(),
                    tool: Arc::clone(&found.name),
                    tool_json: Some(Arc::clone(&found.name_json)),
                    link: Arc::clone(link),
                })
            }
            // A server that was never listed, or in vain, may have it.
            None => view.unlisted.iter().chain(&view.hollow).find_map(|server| {
                let tool = shown.strip_prefix(&server.slug())?.strip_prefix(SEPARATOR)?;
                let link = Arc::clone(self.link(server)?);
                Some(Routed { server: Some(server.clone()), tool: tool.into(), tool_json: None, link })
            }),
        }
    }

    /// Brings a call to its server and waits for the answer. A request that was certainly not written
    /// is sent once more (faults.md, "Retry").
    ///
    /// # Errors
    /// Why there is no answer of the server's own.
    pub async fn forward(&self, routed: &Routed, call: &Call) -> Result<Answer, Fault> {
        let mut last = None;
        for _ in 0..2 {
            let connection = match routed.link.at_once() {
                Some(connection) => connection,
                None => routed.link.ready().await.map_err(Fault::NotReady)?,
            };
            let tool_json = self.tool_json(routed, call).await?;
            match self.ask(&connection, call, &tool_json, routed.link.call_timeout).await {
                Ok(answer) => return Ok(answer),
                Err(Asked::TimedOut(after)) => return Err(Fault::TimedOut { after }),
                Err(Asked::Lost(Lost::TooLarge { bytes })) => return Err(Fault::TooLarge { bytes }),
                Err(Asked::Lost(Lost::Ended { written: true, ending })) => return Err(Fault::Ended(ending)),
                Err(Asked::Lost(Lost::Ended { written: false, ending })) => last = Some(ending),
            }
        }
        let ending = last.unwrap_or_else(|| Arc::new(Ending::unknown()));
        Err(Fault::NotReady(NotReady { ending, retry_after: None }))
    }

    async fn ask(
        &self,
        connection: &Arc<Connection>,
        call: &Call,
        tool_json: &str,
        timeout: Duration,
    ) -> Result<Answer, Asked> {
        let mut cuts = vec![Cut { span: call.name.clone(), text: tool_json.as_bytes() }];
        cuts.extend(call.meta.as_ref().map(|(span, meta)| Cut { span: span.clone(), text: meta.as_bytes() }));
        let outgoing = Outgoing {
            line: &call.line,
            id: call.id.clone(),
            cuts,
            token: call.token.as_deref(),
            hears: Arc::clone(&call.hears),
        };
        let mut in_flight = connection.ask(outgoing).map_err(Asked::Lost)?;
        let late = async {
            self.pulse.passed().await;
            tokio::time::sleep(timeout.saturating_sub(self.pulse.after())).await;
        };
        tokio::select! {
            biased;
            reply = in_flight.answer() => reply.map_err(Asked::Lost),
            () = late => Err(Asked::TimedOut(timeout)),
        }
    }

    /// The tool's name for its server. A server that has been started by now has said what it offers.
    async fn tool_json(&self, routed: &Routed, call: &Call) -> Result<Arc<str>, Fault> {
        match &routed.tool_json {
            Some(json) => Ok(Arc::clone(json)),
            None => {
                let view = self.offers.loaded().await;
                let found = view.catalog.find(&call.shown).filter(|found| found.server == routed.server);
                let unlisted = routed.server.as_ref().is_some_and(|server| view.unlisted.contains(server));
                match found {
                    Some(found) => Ok(Arc::clone(&found.name_json)),
                    None if unlisted => {
                        let ending = Ending::of(Cause::ProtocolGarbage, "did not say what tools it has");
                        Err(Fault::NotReady(NotReady { ending: Arc::new(ending), retry_after: None }))
                    }
                    None => Err(Fault::UnknownTool),
                }
            }
        }
    }

    /// Everything on offer. The first list ever waits for servers that are not known yet, for a while;
    /// what arrives later is told by `list_changed`.
    pub async fn catalog(&self) -> Arc<Catalog> {
        let view = self.offers.loaded().await;
        // Whoever brought nothing when it was tried last may bring something now.
        for link in view.hollow.iter().filter_map(|server| self.link(server)) {
            link.wake();
        }
        if view.unlisted.is_empty() {
            return view.catalog;
        }
        let deadline = *self.list_deadline.get_or_init(|| Instant::now() + self.first_list_wait);
        let links = view.unlisted.iter().filter_map(|server| self.link(server));
        let all_known = join_all(links.map(|link| link.ready()));
        // Whoever failed or is late is missing from this list, and named by `bridge_status`.
        let _ = within(deadline, all_known).await;
        let view = self.offers.loaded().await;
        view.unlisted.iter().for_each(|server| self.offers.tried(server));
        view.catalog
    }

    /// The servers in the configuration's order.
    #[must_use]
    pub fn servers(&self) -> &[Arc<Link>] {
        &self.servers
    }

    fn link(&self, server: &ServerName) -> Option<&Arc<Link>> {
        self.servers.iter().find(|link| link.name == *server)
    }
}

enum Asked {
    Lost(Lost),
    TimedOut(Duration),
}

async fn within<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(deadline.into(), work).await.ok()
}
