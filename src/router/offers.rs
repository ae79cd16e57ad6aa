//! What every server offers, as far as it is known: from the stored lists, and from those that arrive.

pub mod changes;
mod kept;
pub mod standing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::catalog::{Catalog, Offer, Shape, Why};
use crate::config::program::Program;
use crate::config::tools::OnChange;
use crate::downstream::greeting::Greeting;
use crate::downstream::listing::Listing;
use crate::list::{Each, List};
use crate::names::ServerName;
use crate::router::offers::kept::Kept;
use crate::router::offers::standing::Standing;
use crate::store::Journal;
use crate::store::rows::CatalogRow;
use crate::store::stamp;
use crate::tools::Rules;

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
    /// What the configuration says of its tools.
    pub rules: Arc<Rules>,
    /// What comes of a tool that is not what it was.
    pub on_tool_change: OnChange,
}

/// The owner of the catalog.
pub struct Offers {
    own: Vec<Arc<str>>,
    state: Mutex<State>,
    view: watch::Sender<View>,
    /// Whether any tool is held back.
    holds_back: AtomicBool,
    journal: Journal,
}

#[derive(Default)]
struct State {
    /// The servers, in the configuration's order.
    order: Arc<[Known]>,
    kept: HashMap<ServerName, Kept>,
    /// When programs were changed last, as of the last look at them.
    binary_ms: HashMap<ServerName, Option<i64>>,
    /// How their tools stand to what they were.
    standing: HashMap<ServerName, Standing>,
}

impl State {
    /// Whether a listing holds other tools than those that are known, or nobody knows what they were.
    fn brings_others(&self, server: &ServerName, listing: &Listing) -> bool {
        let known = self.kept.get(server).and_then(|kept| kept.items(List::Tools));
        let unread = self.standing.get(server).is_none_or(Standing::is_unread);
        unread || listing.lists.tools.as_ref().is_some_and(|tools| known != Some(tools.items.as_slice()))
    }

    /// Takes what is stored, where nothing newer is there.
    fn fill(&mut self, stored: Vec<(ServerName, Option<i64>, Option<Kept>)>) {
        for (server, changed_ms, stored) in stored {
            self.binary_ms.entry(server.clone()).or_insert(changed_ms);
            if let Some(stored) = stored {
                self.kept.entry(server).or_default().fill(&stored);
            }
        }
    }
}

impl Offers {
    /// Nothing but the bridge's own tools is known yet.
    #[must_use]
    pub fn new(order: Vec<Known>, own: Vec<Arc<str>>, journal: Journal) -> Self {
        let view = watch::Sender::new(View::default());
        let state = Mutex::new(State { order: order.into(), ..State::default() });
        Self { own, state, view, holds_back: AtomicBool::new(false), journal }
    }

    /// Reads the stored lists, and looks at the servers' programs. Blocks for a few milliseconds.
    pub fn load(&self) {
        let order = Arc::clone(&self.lock().order);
        let stored = self.stored(&order.iter().collect::<Vec<_>>());
        let pins = || self.pins(order.iter().map(|known| known.server.clone()).collect());
        if order.iter().any(|known| known.on_tool_change == OnChange::Quarantine) {
            let pins = pins();
            let mut state = self.lock();
            state.fill(stored);
            self.journal.tools_pinned(state.judge(pins));
            return self.publish(&state);
        }
        // Nothing is held back, and nobody has to wait for what is pinned.
        let mut state = self.lock();
        state.fill(stored);
        self.publish(&state);
        drop(state);
        self.compare(pins());
    }

    /// Other servers from here on. What is known of one that is launched as before stays; of the others the
    /// stored lists are read. Blocks for a few milliseconds.
    ///
    /// `replace` puts the new servers in the place of the old ones: before anybody is shown what they offer,
    /// and before what they say can arrive.
    pub fn rearrange(&self, order: Vec<Known>, replace: impl FnOnce()) {
        let before = Arc::clone(&self.lock().order);
        let is_new =
            |known: &Known| before.iter().all(|old| (&old.server, &old.key) != (&known.server, &known.key));
        let new: Vec<&Known> = order.iter().filter(|known| is_new(known)).collect();
        let stored = self.stored(&new);
        let pins = self.pins(new.iter().map(|known| known.server.clone()).collect());
        let mut state = self.lock();
        replace();
        let State { kept, binary_ms, standing, .. } = &mut *state;
        let stays = |server: &ServerName| order.iter().any(|known| known.server == *server && !is_new(known));
        kept.retain(|server, _| stays(server));
        binary_ms.retain(|server, _| stays(server));
        // One that is launched otherwise has the same name, and its tools are compared all the same.
        standing.retain(|server, _| order.iter().any(|known| known.server == *server));
        state.order = order.into();
        state.fill(stored);
        self.journal.tools_pinned(state.judge(pins));
        self.publish(&state);
    }

    /// What is stored of servers, and when their programs were changed last.
    fn stored(&self, servers: &[&Known]) -> Vec<(ServerName, Option<i64>, Option<Kept>)> {
        let keys: Vec<String> = servers.iter().map(|known| known.key.clone()).collect();
        let rows = if keys.is_empty() { Vec::new() } else { self.journal.load_catalog(&keys) };
        let of = |known: &Known| {
            // Two entries may launch the same server under two names.
            let row = rows.iter().find(|row| row.key == known.key);
            (known.server.clone(), known.program.changed_ms(), row.cloned().map(Kept::stored))
        };
        servers.iter().map(|known| of(known)).collect()
    }

    /// Takes the lists that arrived whole from a server that was launched by this key. An empty list of tools
    /// never replaces a good one.
    ///
    /// When the tools are others than before it reads the record, which takes a millisecond or so: another bridge
    /// may have pinned them meanwhile.
    pub fn heard(&self, server: &ServerName, key: &str, listing: Listing) {
        let brings_others = self.lock().brings_others(server, &listing);
        let pins = if brings_others { self.pins(vec![server.clone()]) } else { Vec::new() };
        let mut state = self.lock();
        let State { order, kept, binary_ms, .. } = &mut *state;
        // One that the configuration launches otherwise by now is about to end.
        let known = order.iter().find(|known| known.server == *server && known.key == key);
        let Some(known) = known else { return };
        let binary_ms = *binary_ms.entry(server.clone()).or_insert_with(|| known.program.changed_ms());
        let kept = kept.entry(server.clone()).or_default();
        let is_news = kept.take(server, listing, binary_ms);
        if is_news {
            let count = Each::of(|list| kept.items(list).map_or(0, <[_]>::len));
            let Each { tools, prompts, resources, templates } = count;
            tracing::info!(%server, tools, prompts, resources, templates, "listed");
            self.journal.catalog_saved(kept.row(known));
        }
        if is_news || brings_others {
            self.journal.tools_pinned(state.judge(pins));
            self.publish(&state);
        }
        if is_news && brings_others {
            self.record_changes(server, &state);
        }
    }

    /// Remembers that a server was tried and brought no list, so that the next start of the bridge does
    /// not wait for it again. A stored list stays.
    pub fn tried(&self, server: &ServerName) {
        let state = self.lock();
        let unlisted = state.kept.get(server).is_none_or(Kept::is_unlisted);
        if let Some(known) = state.order.iter().find(|known| unlisted && known.server == *server) {
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
        let order = Arc::clone(&self.lock().order);
        let now_ms = order.iter().find(|known| known.server == *server)?.program.changed_ms();
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
            let wanted = state.order.iter().filter(|known| wanted(known));
            wanted.map(|known| known.server.clone()).collect()
        };
        let own = Each { tools: self.own.clone(), ..Each::default() };
        let unread = Standing::default();
        let theirs = state.order.iter().filter_map(|known| {
            let items =
                Each::of(|list| kept(known).and_then(|kept| kept.items(list)).unwrap_or_default().to_vec());
            let held = state.standing.get(&known.server).unwrap_or(&unread).held(known.on_tool_change);
            let shape = Shape { rules: Arc::clone(&known.rules), held };
            kept(known).map(|_| Offer { server: Some(known.server.clone()), items, shape })
        });
        let offers: Vec<Offer> = std::iter::once(Offer { server: None, items: own, shape: Shape::default() })
            .chain(theirs)
            .collect();
        let greetings = state.order.iter().filter_map(|known| {
            let greeting = kept(known)?.listing.greeting.clone()?;
            Some((known.server.clone(), greeting))
        });
        let catalog = Catalog::merge(&offers);
        let holds_back = catalog.all_off().any(|(_, off)| off.why == Why::Quarantined);
        self.holds_back.store(holds_back, Ordering::Release);
        self.view.send_replace(View {
            catalog: Arc::new(catalog),
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
