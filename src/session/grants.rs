//! What servers were asked to tell for one subscription of a modern client.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::downstream::Link;
use crate::downstream::client::ClientId;
use crate::downstream::connection::Connection;
use crate::downstream::interest::Wants;
use crate::downstream::pool::key::Tenant;
use crate::era::Era;
use crate::router::TASKS_EXTENSION;
use crate::session::Client;
use crate::session::listen::Listen;
use crate::session::request::Thing;

/// The whole of a subscription is set up within this; servers that are later are left out.
const SET_UP: Duration = Duration::from_secs(5);

/// What one server tells of for one subscription. Dropped, it need not any more.
#[derive(Debug)]
pub struct Grant {
    client: ClientId,
    link: Arc<Link>,
    share: Share,
}

/// What a subscription names of one server.
#[derive(Debug, Default)]
struct Share {
    resources: Vec<Arc<str>>,
    tasks: Vec<Arc<str>>,
}

/// What of a subscription is granted.
#[derive(Debug, Default)]
pub struct Granted {
    /// Each server's part.
    pub grants: Vec<Grant>,
}

impl Granted {
    /// The subscription without what is not granted.
    #[must_use]
    pub fn of(&self, listen: Listen) -> Listen {
        let resources = self.grants.iter().flat_map(|grant| &grant.share.resources);
        let tasks = self.grants.iter().flat_map(|grant| &grant.share.tasks);
        Listen {
            subscriptions: listen.subscriptions.map(|asked| only(asked, resources)),
            tasks: listen.tasks.map(|asked| only(asked, tasks)),
            ..listen
        }
    }
}

fn only<'a>(asked: Vec<Box<str>>, granted: impl Iterator<Item = &'a Arc<str>>) -> Vec<Box<str>> {
    let granted: HashSet<&str> = granted.map(|name| &**name).collect();
    asked.into_iter().filter(|name| granted.contains(&**name)).collect()
}

impl Share {
    fn add(&mut self, thing: Thing) {
        match thing {
            Thing::Resource(uri) => self.resources.push(uri.into()),
            Thing::Task(id) => self.tasks.push(id.into()),
            _ => {}
        }
    }

    /// What of it such a server tells of. An older one tells of its tasks unasked.
    fn with(self, connection: &Connection) -> Self {
        let Some(greeting) = connection.greeting() else { return Self::default() };
        let (tells_of_resources, tells_of_tasks) = match connection.era() {
            Era::Legacy => (greeting.has_flag("resources", "subscribe"), greeting.has("tasks")),
            Era::Modern => {
                let extensions = greeting.capability("extensions");
                (true, extensions.is_some_and(|all| all.get(TASKS_EXTENSION).is_some()))
            }
        };
        Self {
            resources: if tells_of_resources { self.resources } else { Vec::new() },
            tasks: if tells_of_tasks { self.tasks } else { Vec::new() },
        }
    }

    fn want(&self, client: ClientId, wants: &mut Wants) {
        self.resources.iter().for_each(|uri| wants.resource(client, uri));
        self.tasks.iter().for_each(|id| wants.task(client, id));
    }

    fn want_not(&self, client: ClientId, wants: &mut Wants) {
        self.resources.iter().for_each(|uri| wants.no_resource(client, uri));
        self.tasks.iter().for_each(|id| wants.no_task(client, id));
    }
}

impl Grant {
    /// Whether it is about resources of this server.
    #[must_use]
    pub fn has_resources_of(&self, server: &str) -> bool {
        self.link.name.as_str() == server && !self.share.resources.is_empty()
    }

    /// Has a server tell of its share; `None` when it tells of nothing of it.
    async fn ask(client: ClientId, link: Arc<Link>, share: Share) -> Option<Self> {
        let share = share.with(&*link.ready_for(Some(client)).await.ok()?);
        if share.resources.is_empty() && share.tasks.is_empty() {
            return None;
        }
        let mut grant = Self { client, link, share };
        let version = grant.link.interest.want(|wants| grant.share.want(client, wants));
        grant.link.interest.settled(version).await;
        grant.give_up_refused();
        Some(grant)
    }

    /// Gives up what the server does not grant.
    fn give_up_refused(&mut self) {
        let Share { resources, tasks } = std::mem::take(&mut self.share);
        let (refused, share) = self.link.interest.look_at_refused(|refused| {
            let (no, resources) = resources.into_iter().partition(|uri| refused.resources.contains(uri));
            let (no_tasks, tasks) = tasks.into_iter().partition(|id| refused.tasks.contains(id));
            (Share { resources: no, tasks: no_tasks }, Share { resources, tasks })
        });
        self.share = share;
        self.link.interest.want(|wants| refused.want_not(self.client, wants));
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.link.interest.want(|wants| self.share.want_not(self.client, wants));
    }
}

impl Client {
    /// Has servers tell what a subscription names; those that cannot are left out, and those that take too
    /// long.
    pub(super) async fn grant(&self, listen: &Listen, tenant: &Tenant) -> Granted {
        let until = Instant::now() + SET_UP;
        let resources = listen.subscriptions.iter().flatten().map(|uri| Thing::Resource(uri.to_string()));
        let tasks = listen.tasks.iter().flatten().map(|id| Thing::Task(id.to_string()));
        let mut shares: Vec<(Arc<Link>, Share)> = Vec::new();
        for thing in resources.chain(tasks) {
            let found = timeout_at(until, self.find("subscriptions/listen", &thing)).await;
            let Some(routed) = found.ok().and_then(Result::ok).and_then(|places| places.into_iter().next())
            else {
                continue;
            };
            let Some(own) = timeout_at(until, routed.link_of(tenant)).await.ok().flatten() else { continue };
            match shares.iter_mut().find(|(link, _)| Arc::ptr_eq(link, &own)) {
                Some((_, share)) => share.add(thing),
                None => {
                    let mut share = Share::default();
                    share.add(thing);
                    shares.push((own, share));
                }
            }
        }
        let grants = shares.into_iter().map(|(link, share)| async move {
            let server = link.name.clone();
            let granted = timeout_at(until, Grant::ask(self.id, link, share)).await;
            granted.unwrap_or_else(|_| {
                tracing::info!(%server, "server is too slow to be part of a subscription");
                None
            })
        });
        Granted { grants: join_all(grants).await.into_iter().flatten().collect() }
    }
}
