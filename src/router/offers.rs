//! What every server offers, as far as it is known: from the stored lists, and from those that arrive.

mod kept;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::catalog::{Catalog, Offer};
use crate::config::program::Program;
use crate::downstream::greeting::Greeting;
use crate::downstream::listing::Listing;
use crate::list::{Each, List};
use crate::names::ServerName;
use crate::router::offers::kept::Kept;
use crate::store::Journal;
use crate::store::rows::CatalogRow;
use crate::store::stamp;

/// A snapshot of what is on offer.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Everything that is known.
    pub catalog: Arc<Catalog>,
    /// What servers said of themselves, in the configuration's order.
    pub greetings: Arc<[(ServerName, Greeting)]>,
    /// Servers that have never been listed, in the configuration's order.
    pub unlisted: Vec<ServerName>,
    /// Servers of which only a try is known that brought nothing, or nothing but tools: nobody waits for them
    /// again, and a list has them started.
    pub hollow: Vec<ServerName>,
    /// Whether the stored lists have been read.
    pub loaded: bool,
}

impl View {
    /// The servers that have a feature (`resources`, `completions`, `logging`, `tasks`, …), in the
    /// configuration's order. Those in `unlisted` and `hollow` may have it too.
    #[must_use]
    pub fn offering(&self, feature: &str) -> Vec<ServerName> {
        let having = self.greetings.iter().filter(|(_, greeting)| greeting.has(feature));
        having.map(|(server, _)| server.clone()).collect()
    }
}

/// A server whose lists can be on offer, and the key of what is stored of it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its name.
    pub server: ServerName,
    /// The hash of how it is launched.
    pub key: String,
    /// The program that is launched.
    pub program: Program,
}

/// The owner of the catalog.
pub struct Offers {
    order: Vec<Known>,
    own: Vec<Arc<str>>,
    state: Mutex<State>,
    view: watch::Sender<View>,
    journal: Journal,
}

#[derive(Default)]
struct State {
    kept: HashMap<ServerName, Kept>,
    /// When programs were changed last, as of the last look at them.
    binary_ms: HashMap<ServerName, Option<i64>>,
}

impl Offers {
    /// Nothing but the bridge's own tools is known yet.
    #[must_use]
    pub fn new(order: Vec<Known>, own: Vec<Arc<str>>, journal: Journal) -> Self {
        let view = watch::Sender::new(View::default());
        Self { order, own, state: Mutex::default(), view, journal }
    }

    /// Reads the stored lists, and looks at the servers' programs. Blocks for a few milliseconds.
    pub fn load(&self) {
        let keys: Vec<String> = self.order.iter().map(|known| known.key.clone()).collect();
        let rows = if keys.is_empty() { Vec::new() } else { self.journal.load_catalog(&keys) };
        let stored: Vec<(String, Kept)> =
            rows.into_iter().map(|row| (row.key.clone(), Kept::stored(row))).collect();
        let times: Vec<Option<i64>> = self.order.iter().map(|known| known.program.changed_ms()).collect();
        let mut state = self.lock();
        for (known, time) in self.order.iter().zip(times) {
            state.binary_ms.entry(known.server.clone()).or_insert(time);
            // Two entries may launch the same server under two names.
            if let Some((_, stored)) = stored.iter().find(|(key, _)| *key == known.key) {
                state.kept.entry(known.server.clone()).or_default().fill(stored);
            }
        }
        self.publish(&state);
    }

    /// Takes the lists that arrived whole. An empty list of tools never replaces a good one.
    pub fn heard(&self, server: &ServerName, listing: Listing) {
        let Some(known) = self.order.iter().find(|known| known.server == *server) else { return };
        let mut state = self.lock();
        let State { kept, binary_ms } = &mut *state;
        let binary_ms = *binary_ms.entry(server.clone()).or_insert_with(|| known.program.changed_ms());
        let kept = kept.entry(server.clone()).or_default();
        if kept.take(server, listing, binary_ms) {
            let count = Each::of(|list| kept.items(list).map_or(0, <[_]>::len));
            let Each { tools, prompts, resources, templates } = count;
            tracing::info!(%server, tools, prompts, resources, templates, "listed");
            self.journal.catalog_saved(kept.row(known));
            self.publish(&state);
        }
    }

    /// Remembers that a server was tried and brought no list, so that the next start of the bridge does
    /// not wait for it again. A stored list stays.
    pub fn tried(&self, server: &ServerName) {
        let unlisted = self.lock().kept.get(server).is_none_or(Kept::is_unlisted);
        if let Some(known) = self.order.iter().find(|known| unlisted && known.server == *server) {
            self.journal.catalog_saved(CatalogRow {
                key: known.key.clone(),
                server: known.server.to_string(),
                tools: "[]".to_owned(),
                listed_at_ms: stamp::now_ms(),
                ..CatalogRow::default()
            });
        }
    }

    /// What a server said of itself last, if its program is the same as then. Looks at the disk, as little as
    /// the start of its process, which it is meant to precede.
    #[must_use]
    pub fn greeting_of(&self, server: &ServerName) -> Option<Greeting> {
        let known = self.order.iter().find(|known| known.server == *server)?;
        let now_ms = known.program.changed_ms();
        let mut state = self.lock();
        state.binary_ms.insert(server.clone(), now_ms);
        let kept = state.kept.get(server).filter(|kept| now_ms.is_some() && kept.binary_ms == now_ms)?;
        kept.listing.greeting.clone()
    }

    /// Whether a server's list may have changed without a word: its time is over, or it has none, nobody
    /// promised to tell, and it is at least `age` old.
    #[must_use]
    pub fn is_stale(&self, server: &ServerName, list: List, age: Duration) -> bool {
        self.lock().kept.get(server).is_some_and(|kept| kept.is_stale(list, age))
    }

    /// The snapshot, once the stored lists have been read.
    pub async fn loaded(&self) -> View {
        let mut receiver = self.view.subscribe();
        match receiver.wait_for(|view| view.loaded).await {
            Ok(view) => view.clone(),
            // The sender is ours.
            Err(_) => View::default(),
        }
    }

    /// The snapshot as it is.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Hears of every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Under the lock, so that a later state never comes before an earlier one.
    fn publish(&self, state: &State) {
        let kept = |known: &Known| state.kept.get(&known.server);
        let names = |wanted: &dyn Fn(&Known) -> bool| -> Vec<ServerName> {
            let wanted = self.order.iter().filter(|known| wanted(known));
            wanted.map(|known| known.server.clone()).collect()
        };
        let own = Each { tools: self.own.clone(), ..Each::default() };
        let theirs = self.order.iter().filter_map(|known| {
            let items =
                Each::of(|list| kept(known).and_then(|kept| kept.items(list)).unwrap_or_default().to_vec());
            kept(known).map(|_| Offer { server: Some(known.server.clone()), items })
        });
        let offers: Vec<Offer> = std::iter::once(Offer { server: None, items: own }).chain(theirs).collect();
        let greetings = self.order.iter().filter_map(|known| {
            let greeting = kept(known)?.listing.greeting.clone()?;
            Some((known.server.clone(), greeting))
        });
        self.view.send_replace(View {
            catalog: Arc::new(Catalog::merge(&offers)),
            greetings: greetings.collect(),
            unlisted: names(&|known| kept(known).is_none_or(Kept::is_unlisted)),
            hollow: names(&|known| kept(known).is_some_and(Kept::is_hollow)),
            loaded: true,
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
