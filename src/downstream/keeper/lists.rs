//! Asking a server what it offers: all of it when it was greeted, and a list again when it may have changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, join3};
use tokio::sync::{Notify, oneshot};

use crate::config::server::Server;
use crate::downstream::connection::Connection;
use crate::downstream::greeting::Greeting;
use crate::downstream::keeper::Surroundings;
use crate::downstream::listing::{self, Items, Listing};
use crate::downstream::pool::key::Tenant;
use crate::list::{Each, List};

/// So long a server's being ready waits for what is no tool; what is late is asked for again beside the
/// first calls.
const BESIDE_TOOLS: Duration = Duration::from_secs(2);

/// The lists of one connection that are to be asked for again.
#[derive(Default)]
pub(super) struct Relists {
    wanted: Mutex<Each<Option<Wanted>>>,
    ring: Each<Notify>,
}

/// Who waits for the end of a relisting; most who want one do not.
type Wanted = Vec<oneshot::Sender<()>>;

/// One server and the connection to it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub server: &'a Server,
    pub around: &'a Surroundings,
    pub tenant: &'a Tenant,
    pub connection: &'a Arc<Connection>,
}

impl Relists {
    /// Has a list asked for again. Those who come while it is asked for share the next time.
    pub fn want(&self, list: List, told: Option<oneshot::Sender<()>>) {
        self.lock().get_mut(list).get_or_insert_default().extend(told);
        self.ring.get(list).notify_one();
    }

    /// Asks for what is wanted, for as long as it is polled; the lists do not wait for each other.
    pub async fn run(&self, asked: Asked<'_>) {
        join_all(List::ALL.map(|list| self.keep(list, asked))).await;
    }

    async fn keep(&self, list: List, asked: Asked<'_>) {
        loop {
            self.ring.get(list).notified().await;
            let Some(waiting) = self.lock().get_mut(list).take() else { continue };
            if let Some(items) = asked.ask(list, asked.server.start_timeout).await {
                let mut listing =
                    Listing { greeting: asked.connection.greeting().cloned(), ..Listing::default() };
                *listing.lists.get_mut(list) = Some(items);
                asked.around.watcher.listed(&asked.server.name, listing);
            }
            for told in waiting {
                // Whoever waited may have given up.
                let _ = told.send(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Each<Option<Wanted>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked<'_> {
    /// Asks for everything that a server promised when it was greeted. A list that fails leaves the one
    /// that is known as it is.
    pub async fn list_all(self, greeting: Greeting, relists: &Relists) {
        let (greeted, beside) = (&greeting, BESIDE_TOOLS.min(self.server.start_timeout / 2));
        let of = |list: List, patience| async move {
            match greeted.has(list.feature()) {
                true => self.ask(list, patience).await,
                false => Some(Items::default()),
            }
        };
        let beside = |list| async move {
            let items = of(list, beside).await;
            if items.is_none() {
                relists.want(list, None);
            }
            items
        };
        let (tools, prompts, (resources, templates)) = join3(
            // As long as the start may take, which the caller knows: a server without its tools is not ready.
            of(List::Tools, Duration::MAX),
            beside(List::Prompts),
            futures_util::future::join(beside(List::Resources), beside(List::Templates)),
        )
        .await;
        let lists = Each { tools, prompts, resources, templates };
        self.around.watcher.listed(&self.server.name, Listing { greeting: Some(greeting), lists });
    }

    /// One list; `None` when it does not arrive.
    async fn ask(self, list: List, patience: Duration) -> Option<Items> {
        let (server, list_word) = (&self.server.name, list.word());
        let (session, thread) = self.tenant.logged();
        match tokio::time::timeout(patience, listing::ask(self.connection, list)).await {
            Ok(Ok(items)) => Some(items),
            Ok(Err(error)) => {
                tracing::warn!(%server, session, thread, list = list_word, %error, "not listed");
                None
            }
            Err(_) => {
                tracing::warn!(%server, session, thread, list = list_word, "not listed in time");
                None
            }
        }
    }
}
