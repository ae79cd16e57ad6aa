//! What a client wants to hear beside its answers, and what it tells its servers unasked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::Link;
use crate::downstream::connection::Connection;
use crate::downstream::interest::Wants;
use crate::downstream::pool::key::{Tenant, Wish};
use crate::era::Era;
use crate::guard;
use crate::router::Routed;
use crate::session::call;
use crate::session::grants::Grant;
use crate::session::listen::Listen;
use crate::session::reply::{self, Rpc, code};
use crate::session::request::{Request, Thing};
use crate::session::ticket::Ticket;
use crate::session::work::broken_off;
use crate::session::{Client, Permit, Rules, tenant};
use crate::wire::{Frame, Params, object};

/// Subscriptions that one client may have open.
const LISTENS_MAX: usize = 64;

/// The longest id that is kept for as long as a subscription is open, in bytes.
const LISTEN_ID_BYTES_MAX: usize = 4096;

/// Servers have this long to confirm what the client wants, before it is told that they were asked.
const CONFIRM: Duration = Duration::from_secs(5);

impl Client {
    /// `logging/setLevel` of an older client: it holds for every server, also for those that start later.
    pub(super) fn set_level(
        self: &Arc<Self>,
        id: &str,
        params: Option<&RawValue>,
        permit: Permit,
    ) -> Result<(), Rpc> {
        #[derive(Deserialize)]
        struct Level {
            level: String,
        }
        let level: Option<Level> = params.and_then(object);
        let level = level.and_then(|level| self.outlet.set_level(&level.level)).ok_or_else(|| {
            Rpc::bad_params(
                "logging/setLevel needs params.level, one of debug, info, notice, warning, error, critical, alert, emergency",
            )
        })?;
        let told = self.router.fleet.want_level(self.id, level).into_iter();
        let told: Vec<(Arc<Link>, u64)> = told.filter(|(link, _)| link.at_once().is_some()).collect();
        let answer = reply::result(id, "{}");
        if told.is_empty() {
            self.outlet.answer(answer, permit);
            return Ok(());
        }
        let client = Arc::clone(self);
        self.aside(id, async move {
            settled(&told).await;
            client.outlet.answer(answer, permit);
        });
        Ok(())
    }

    /// Has a server of the older era log what a modern request wants to hear, before that goes there: `level`
    /// is the index of the least severe one. What another request asked for holds on.
    pub(super) async fn tell_level(&self, link: &Arc<Link>, level: u8) {
        // One that is not there yet is told when it starts, if it logs at all.
        let connection = link.at_once();
        let logs = |connection: &Arc<Connection>| {
            let greeting = connection.greeting().filter(|_| connection.era() == Era::Legacy);
            greeting.is_some_and(|greeting| greeting.has("logging"))
        };
        if connection.as_ref().is_some_and(|connection| !logs(connection)) {
            return;
        }
        let version = link.interest.want(|wants| {
            if wants.level_of(self.id).is_none_or(|wanted| level < wanted) {
                wants.level(self.id, level);
            }
        });
        if connection.is_some() {
            settled(&[(Arc::clone(link), version)]).await;
        }
    }

    /// `resources/subscribe` and its opposite, of an older client: a server of the modern era knows neither,
    /// and hears of it in its one subscription.
    pub(super) async fn subscribe(self: Arc<Self>, request: Request) {
        let called_off = request.place.asking().called_off();
        let told = guard::run(|| self.tell_itself(&request), called_off).await;
        let frame = match broken_off(told) {
            // The older era has a word of its own for it.
            Ok(None) => return call::run(self, request).await,
            Ok(Some(Ok(()))) => reply::result(request.place.id(), "{}"),
            Ok(Some(Err(rpc))) | Err(Some(rpc)) => rpc.frame(request.place.id()),
            Err(None) => return,
        };
        self.outlet.answer(frame, request.permit);
        drop(request.place);
    }

    /// Has a server tell of a resource, or not any more, without passing the request on: one of the modern era, or
    /// one that still tells other clients of it. `None` when the server has to hear the request.
    async fn tell_itself(&self, request: &Request) -> Option<Result<(), Rpc>> {
        let Request { method, thing, call, .. } = request;
        let Thing::Resource(uri) = thing else { return None };
        let places = self.find(method, thing).await.ok()?;
        let routed = places.first()?;
        let link = routed.link_of(&call.tenant).await?;
        let connection = link.ready_for(Some(self.id)).await.ok()?;
        match (&**method, connection.era()) {
            ("resources/unsubscribe", Era::Legacy)
                if link.interest.look(|wants| wants.has_resource_beside(self.id, uri)) =>
            {
                link.interest.want(|wants| wants.no_resource(self.id, uri));
                self.unasked.subscribed.remove(link.name.as_str(), uri);
                Some(Ok(()))
            }
            (_, Era::Legacy) => None,
            (method, Era::Modern) => Some(self.tell_modern(method, uri.as_str().into(), link).await),
        }
    }

    async fn tell_modern(&self, method: &str, uri: Arc<str>, link: Arc<Link>) -> Result<(), Rpc> {
        let has_room = |wants: &Wants| wants.has_resource(self.id, &uri) || wants.has_room_for(&uri);
        if method == "resources/subscribe" && !link.interest.look(has_room) {
            let message = format!("the server {} has too many subscriptions, or this is too long", link.name);
            return Err(Rpc::new(code::INVALID_PARAMS, "too_many", message));
        }
        let version = link.interest.want(|wants| match (method, wants.has_resource(self.id, &uri)) {
            ("resources/subscribe", false) => wants.resource(self.id, &uri),
            ("resources/unsubscribe", true) => wants.no_resource(self.id, &uri),
            _ => {}
        });
        settled(&[(Arc::clone(&link), version)]).await;
        let is_refused = link.interest.look_at_refused(|refused| refused.resources.contains(&uri));
        if is_refused {
            link.interest.want(|wants| wants.no_resource(self.id, &uri));
            let message = format!("the server {} does not tell of changes of {uri:?}", link.name);
            return Err(Rpc::new(code::INVALID_PARAMS, "not_granted", message));
        }
        match method {
            "resources/subscribe" => self.unasked.subscribed.add(link.name.as_str(), &uri),
            _ => self.unasked.subscribed.remove(link.name.as_str(), &uri),
        }
        Ok(())
    }

    /// A server of the older era has granted a subscription; one that is started anew is told again.
    pub(super) fn has_subscribed(&self, routed: &Routed, tenant: &Tenant, uri: &str) {
        if let Some(link) = routed.known_link_of(tenant) {
            link.interest.subscribed(self.id, uri);
            self.unasked.subscribed.add(link.name.as_str(), uri);
        }
    }

    /// It has ended one.
    pub(super) fn has_unsubscribed(&self, routed: &Routed, tenant: &Tenant, uri: &str) {
        if let Some(link) = routed.known_link_of(tenant) {
            link.interest.unsubscribed(self.id, uri);
            self.unasked.subscribed.remove(link.name.as_str(), uri);
        }
    }

    /// Opens a subscription of a modern client; its acknowledgement takes the request's room.
    pub(super) fn listen(
        self: &Arc<Self>,
        id: &str,
        params: Option<&RawValue>,
        rules: Rules,
        permit: &mut Permit,
    ) -> Result<(), Rpc> {
        let listen = Listen::read(id, params)?;
        if id.len() > LISTEN_ID_BYTES_MAX {
            let message = format!("the id of a subscription may have {LISTEN_ID_BYTES_MAX} bytes");
            return Err(Rpc::new(code::INVALID_REQUEST, "too_long", message));
        }
        if listen.subscriptions.iter().chain(&listen.tasks).flatten().next().is_none() {
            return self.acknowledge(listen, Vec::new(), permit.take());
        }
        let (client, permit) = (Arc::clone(self), permit.take());
        self.aside(id, async move {
            let granted = client.grant(&listen, &tenant::of_session(client.id, rules)).await;
            let (id, listen) = (listen.id.clone(), granted.of(listen));
            if let Err(rpc) = client.acknowledge(listen, granted.grants, permit) {
                client.outlet.answer(rpc.frame(&id), None);
            }
        });
        Ok(())
    }

    fn acknowledge(&self, listen: Listen, grants: Vec<Grant>, permit: Permit) -> Result<(), Rpc> {
        let acknowledged = listen.acknowledged();
        let now = self.router.offers.view().catalog;
        self.lock().shown.subscribed(&listen, &now);
        let is_again = permit.as_ref().is_some_and(Ticket::is_again);
        let ticket = permit.map(Ticket::without_room);
        // The acknowledgement is the first that is said under this id; a client that has it needs no other.
        let acknowledge = || {
            if !is_again {
                self.outlet.answer(acknowledged, None);
            }
        };
        self.unasked.listens.add(listen, (grants, ticket), LISTENS_MAX, acknowledge).map_err(|_| {
            let message = format!("{LISTENS_MAX} subscriptions are open already; cancel one first");
            Rpc::new(code::INVALID_REQUEST, "too_many", message)
        })
    }

    /// Ends a subscription that the client took back.
    pub(super) fn unlisten(&self, id: &str) {
        drop(self.unasked.listens.remove(id));
    }

    /// Tells every open subscription that it ends (specification 2026-07-28, `subscriptions/listen`).
    pub(super) fn end_listens(&self) {
        for (listen, ticket) in self.unasked.listens.take_all() {
            self.outlet.answer(listen.ended(), ticket);
        }
    }

    /// A notification of the client that is not for the bridge goes to the server that it concerns.
    pub(super) fn pass_notification(&self, method: &str, line: &Bytes, params: Option<&RawValue>) {
        let pools = self.router.fleet.all();
        let links: Vec<Arc<Link>> = match method {
            "notifications/roots/list_changed" => pools.iter().flat_map(|pool| pool.links()).collect(),
            _ => {
                let params = params.and_then(Params::parse).unwrap_or_default();
                let text =
                    |raw: Option<&RawValue>| -> Option<String> { serde_json::from_str(raw?.get()).ok() };
                let task = text(params.task_id);
                if let Some(connection) = task.as_deref().and_then(|task| self.unasked.asks.task(task)) {
                    return connection.say_frame(Frame::whole(line));
                }
                let (owner, giver) = task.and_then(|task| self.unasked.whereabouts.task(&task)).unzip();
                let view = self.router.offers.view();
                let owner = owner.or_else(|| {
                    let uri = text(params.uri)?;
                    let linked = self.unasked.whereabouts.resource(&uri);
                    linked.or_else(|| view.catalog.owners_of(&uri).into_iter().next())
                });
                let owner = owner.or_else(|| self.router.only());
                let session = self.sessions.legacy().map(|session| session.number());
                let tenant = Tenant { client: Some(self.id), session, ..Tenant::default() };
                let wish = Wish { tenant: &tenant, is_call: false, takes_slot: false, at: giver };
                let pools = pools.iter().filter(|pool| Some(pool.name()) == owner.as_ref());
                pools.filter_map(|pool| pool.link_of(&wish)).collect()
            }
        };
        for connection in links.into_iter().filter_map(|link| link.at_once()) {
            let is_anothers = connection.owner().is_some_and(|owner| owner != self.id);
            // The modern era knows no word of the client beside its requests.
            if connection.era() == Era::Legacy && !is_anothers {
                connection.say_frame(Frame::whole(line));
            }
        }
    }
}

/// Waits until servers were told what is wanted, for a while.
async fn settled(told: &[(Arc<Link>, u64)]) {
    let all = join_all(told.iter().map(|(link, version)| link.interest.settled(*version)));
    if tokio::time::timeout(CONFIRM, all).await.is_err() {
        tracing::debug!("not every server confirmed what the client wants to hear");
    }
}
