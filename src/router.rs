//! Which server answers a request: the prefix of a name comes off going down, and goes on coming up.

mod bend;
mod lists;
pub mod offers;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::catalog::Off;
use crate::downstream::connection::Outgoing;
use crate::downstream::connection::in_flight::InFlight;
use crate::downstream::fleet::Fleet;
use crate::downstream::greeting::Greeting;
use crate::downstream::pool::Pool;
use crate::downstream::pool::key::{Tenant, Wish};
use crate::downstream::pool::lease::{Lease, Slot};
use crate::downstream::relay::Hears;
use crate::downstream::{Ending, Link, NotReady};
use crate::era::Era;
use crate::list::List;
use crate::names::{SEPARATOR, ServerName};
use crate::outcome::Cause;
use crate::pulse::Pulse;
use crate::router::offers::Offers;
use crate::wire::{Cut, Span};

/// The extension that gives tasks to revision 2026-07-28.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// A call that takes longer is not quick: it gets a row while it runs, and a timer for its deadline.
pub const NOT_QUICK_AFTER: Duration = Duration::from_millis(5);

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Routed {
    /// The server; `None` is the bridge itself.
    pub server: Option<ServerName>,
    /// The tool or prompt as the server knows it; empty for everything else.
    pub name: Arc<str>,
    /// That name as the server wrote it in JSON; `None` while the server has not said what it offers.
    name_json: Option<Arc<str>>,
    /// The list that the name stands in; `None` where the request names nothing of a list.
    list: Option<List>,
    pool: Arc<Pool>,
    /// The number of the connection that gave what the request is about.
    at: Option<u64>,
}

impl Routed {
    /// The server's connections.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The handle of its base connection.
    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        self.pool.base()
    }

    /// The same way, and there to the connection with this number, as long as it lives.
    #[must_use]
    pub fn at(self, number: u64) -> Self {
        Self { at: Some(number), ..self }
    }

    /// What a request that goes there wants of its pool.
    #[must_use]
    pub fn wish<'a>(&self, call: &'a Call) -> Wish<'a> {
        Wish { tenant: &call.tenant, is_call: call.is_call, takes_slot: call.takes_slot, at: self.at }
    }

    /// The handle of the connection that serves what is a whole session's there, and is no call; made where there is
    /// none yet.
    pub async fn link_of(&self, tenant: &Tenant) -> Option<Arc<Link>> {
        match self.known_link_of(tenant) {
            Some(link) => Some(link),
            None => self.pool.lease(&self.wish_of(tenant)).await.ok().map(|lease| Arc::clone(lease.link())),
        }
    }

    /// The same, where there is one.
    #[must_use]
    pub fn known_link_of(&self, tenant: &Tenant) -> Option<Arc<Link>> {
        self.pool.link_of(&self.wish_of(tenant))
    }

    fn wish_of<'a>(&self, tenant: &'a Tenant) -> Wish<'a> {
        Wish { tenant, is_call: false, takes_slot: false, at: self.at }
    }

    /// The list that the name stands in.
    #[must_use]
    pub fn list(&self) -> Option<List> {
        self.list
    }
}

/// One request as the client wrote it.
#[derive(Clone)]
pub struct Call {
    /// The client's line.
    pub line: Bytes,
    /// Where its id stands.
    pub id: Span,
    /// Where the name stands that the server knows another word for.
    pub name: Option<Span>,
    /// Where its params stand.
    pub params: Option<Span>,
    /// Where its metadata stands.
    pub meta: Option<Span>,
    /// By which rules the client speaks.
    pub era: Era,
    /// Who an older client is, in the members that the `_meta` of a modern request has to carry.
    pub sender: Option<Arc<str>>,
    /// The name that the client used; empty where it used none.
    pub shown: String,
    /// The progress token, in JSON.
    pub token: Option<Box<str>>,
    /// Whether the client says that the request answers a question.
    pub answers: bool,
    /// Whose it is.
    pub tenant: Tenant,
    /// Whether it calls a tool.
    pub is_call: bool,
    /// Whether it is work of which only so much is done at once.
    pub takes_slot: bool,
    /// More members for the params, in JSON: the client's answers to the server's questions.
    pub more: Option<String>,
    /// Who hears what the server says of it.
    pub hears: Arc<dyn Hears>,
}

/// Why a request has no answer of its server's own.
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
    /// The server is there and does not have the tool or the prompt.
    Unknown,
    /// The server has the tool, and clients are not shown it.
    Off(Off),
    /// The request answers a question, and the server's era has none that could be answered so.
    NotAsked,
    /// The server asked what the client cannot answer.
    NotAble {
        /// The capability that the client would need, in JSON.
        needed: String,
    },
    /// The client answered a question of the server with an error, in JSON.
    Declined(Box<str>),
    /// The server asked without end.
    Endless,
}

/// Every server and everything on offer.
pub struct Router {
    /// Every server.
    pub fleet: Arc<Fleet>,
    own: Arc<Pool>,
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
        (fleet, own): (Arc<Fleet>, Arc<Pool>),
        offers: Arc<Offers>,
        pulse: Arc<Pulse>,
        first_list_wait: Duration,
    ) -> Self {
        Self { fleet, own, offers, pulse, first_list_wait, list_deadline: OnceLock::new() }
    }

    /// Where a tool or a prompt of this shown name is; `None` when nobody offers it. Waits only while the
    /// stored lists are being read.
    pub async fn route(&self, list: List, shown: &str) -> Option<Routed> {
        let view = self.offers.loaded().await;
        match view.catalog.find(list, shown) {
            Some(found) => {
                let pool = match &found.server {
                    None => Arc::clone(&self.own),
                    Some(server) => self.fleet.pool(server)?,
                };
                Some(Routed {
                    server: found.server.clone(),
                    name: Arc::clone(&found.name),
                    name_json: Some(Arc::clone(&found.name_json)),
                    list: Some(list),
                    pool,
                    at: None,
                })
            }
            // A server that was never listed, or in vain, may have it.
            None => view.unlisted.iter().chain(&view.hollow).find_map(|server| {
                let name = shown.strip_prefix(&server.slug())?.strip_prefix(SEPARATOR)?;
                let pool = self.fleet.pool(server)?;
                let name = match list {
                    List::Tools => self.offers.tool_named(server, name),
                    _ => name.into(),
                };
                let (server, list) = (Some(server.clone()), Some(list));
                Some(Routed { server, name, name_json: None, list, pool, at: None })
            }),
        }
    }

    /// The way to a server for a request that names no tool and no prompt.
    #[must_use]
    pub fn to(&self, server: &ServerName) -> Option<Routed> {
        let pool = self.fleet.pool(server)?;
        let server = Some(server.clone());
        Some(Routed { server, name: "".into(), name_json: None, list: None, pool, at: None })
    }

    /// The way to the bridge itself, if a URI is the user interface of one of its own tools.
    pub async fn own_interface(&self, uri: &str) -> Option<Routed> {
        let is_own = self.offers.loaded().await.catalog.is_own(uri);
        let pool = Arc::clone(&self.own);
        is_own.then(|| Routed { server: None, name: "".into(), name_json: None, list: None, pool, at: None })
    }

    /// The servers that may know a URI, the likeliest first: those that show it or a template of it, else
    /// all that have resources, or have not said what they have.
    pub async fn owners_of(&self, uri: &str) -> Vec<ServerName> {
        let view = self.offers.loaded().await;
        let owners = view.catalog.owners_of(uri);
        if !owners.is_empty() {
            return owners;
        }
        let mut owners = self.offering("resources").await;
        // Those that run are asked first.
        owners
            .sort_by_cached_key(|server| self.fleet.link(server).is_none_or(|link| link.at_once().is_none()));
        owners
    }

    /// Whether a server lists a URI.
    pub async fn lists_resource(&self, uri: &str) -> bool {
        self.offers.loaded().await.catalog.find(List::Resources, uri).is_some()
    }

    /// The servers that have a feature, or have not said what they have, in the configuration's order.
    pub async fn offering(&self, feature: &str) -> Vec<ServerName> {
        let view = self.offers.loaded().await;
        let offering = view.offering(feature);
        let known = |server: &ServerName| {
            offering.contains(server) || view.unlisted.contains(server) || view.hollow.contains(server)
        };
        let all = self.fleet.all();
        all.iter().map(|pool| pool.name()).filter(|server| known(server)).cloned().collect()
    }

    /// A tool that would have this name if clients were shown it.
    pub async fn off(&self, shown: &str) -> Option<Off> {
        self.offers.loaded().await.catalog.off(shown).cloned()
    }

    /// A tool or a prompt of this shown name.
    pub async fn shows(&self, shown: &str) -> Option<Routed> {
        let view = self.offers.loaded().await;
        let list = [List::Tools, List::Prompts]
            .into_iter()
            .find(|list| view.catalog.find(*list, shown).is_some())?;
        self.route(list, shown).await
    }

    /// The servers that have tasks, in either era's form.
    pub async fn offering_tasks(&self) -> Vec<ServerName> {
        let view = self.offers.loaded().await;
        let has_tasks = |greeting: &Greeting| {
            let extensions = greeting.capability("extensions");
            greeting.has("tasks") || extensions.is_some_and(|all| all.get(TASKS_EXTENSION).is_some())
        };
        let having = view.greetings.iter().filter(|(_, greeting)| has_tasks(greeting));
        having.map(|(server, _)| server.clone()).collect()
    }

    /// The servers that list their tasks, which only the older era has.
    pub async fn listing_tasks(&self) -> Vec<ServerName> {
        let view = self.offers.loaded().await;
        let lists = |greeting: &Greeting| {
            greeting.capability("tasks").is_some_and(|tasks| tasks.get("list").is_some())
        };
        let listing = view.greetings.iter().filter(|(_, greeting)| lists(greeting));
        listing.map(|(server, _)| server.clone()).collect()
    }

    /// The only server, when there is just one.
    #[must_use]
    pub fn only(&self) -> Option<ServerName> {
        match &*self.fleet.all() {
            [pool] => Some(pool.name().clone()),
            _ => None,
        }
    }

    /// Brings a request to its server, where it has its place.
    ///
    /// # Errors
    /// When the server has no such tool or prompt; the request was not sent.
    pub async fn send(
        &self,
        routed: &Routed,
        call: &Call,
        (lease, slot): (Lease, Slot),
    ) -> Result<InFlight, Fault> {
        let connection = Arc::clone(&slot.connection);
        if call.answers && connection.era() == Era::Legacy {
            // It would take the request for a new one, and do twice what it does.
            return Err(Fault::NotAsked);
        }
        if call.is_call
            && let Some(server) = &routed.server
            && let Some(off) = self.offers.held_back(server, &routed.name)
        {
            return Err(Fault::Off(off));
        }
        let name_json = match (&call.name, routed.list) {
            (Some(_), Some(list)) => Some(self.name_json(routed, list, call).await?),
            // A name that nobody shows is none of ours.
            _ => None,
        };
        let mut cuts = Vec::with_capacity(3);
        if let (Some(span), Some(name)) = (&call.name, &name_json) {
            cuts.push(Cut { span: span.clone(), text: name.as_bytes() });
        }
        let token = connection.own_token(call.token.as_deref());
        let bent = bend::bend(call, &connection, lease.link(), token.as_deref());
        cuts.extend(bent.iter().map(|(span, text)| Cut { span: span.clone(), text: text.as_bytes() }));
        let outgoing = Outgoing {
            line: &call.line,
            id: call.id.clone(),
            cuts,
            token: token.as_deref().or(call.token.as_deref()),
            shown_token: call.token.as_deref().filter(|_| token.is_some()),
            hears: Arc::clone(&call.hears),
        };
        Ok(connection.ask(outgoing).with(lease.hold(slot)))
    }

    /// The name for its server. A server that has been started by now has said what it offers.
    async fn name_json(&self, routed: &Routed, list: List, call: &Call) -> Result<Arc<str>, Fault> {
        match &routed.name_json {
            Some(json) => Ok(Arc::clone(json)),
            None => {
                let view = self.offers.loaded().await;
                let found = view.catalog.find(list, &call.shown);
                let unlisted = routed.server.as_ref().is_some_and(|server| view.unlisted.contains(server));
                match found.filter(|found| found.server == routed.server) {
                    Some(found) => Ok(Arc::clone(&found.name_json)),
                    None if unlisted => {
                        let ending = Ending::of(Cause::ProtocolGarbage, "did not say what tools it has");
                        Err(Fault::NotReady(NotReady { ending: Arc::new(ending), retry_after: None }))
                    }
                    None => Err(view.catalog.off(&call.shown).cloned().map_or(Fault::Unknown, Fault::Off)),
                }
            }
        }
    }

    /// The connections that serve a request now; its server may have been replaced since its way was found.
    ///
    /// # Errors
    /// When the server is no more in the configuration.
    pub fn pool(&self, routed: &Routed) -> Result<Arc<Pool>, Fault> {
        let Some(farewell) = routed.pool.farewell() else { return Ok(Arc::clone(&routed.pool)) };
        self.fleet.pool(routed.pool.name()).ok_or_else(|| {
            let ending = Arc::new(farewell.ending());
            Fault::NotReady(NotReady { ending, retry_after: None })
        })
    }
}
