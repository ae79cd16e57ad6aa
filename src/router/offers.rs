//! What every server offers, as far as it is known: from the stored lists, and from those that arrive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::catalog::{Catalog, Offer};
use crate::downstream::listing::Listing;
use crate::names::ServerName;
use crate::store::Journal;
use crate::store::rows::CatalogRow;
use crate::store::stamp;

/// A snapshot of what is on offer.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Everything that is known.
    pub catalog: Arc<Catalog>,
    /// Servers that have never been listed, in the configuration's order.
    pub unlisted: Vec<ServerName>,
    /// Servers of which only a try is known that brought nothing: nobody waits for them again.
    pub hollow: Vec<ServerName>,
    /// Whether the stored lists have been read.
    pub loaded: bool,
}

/// A server whose tools can be on offer, and the key of its stored list.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its name.
    pub server: ServerName,
    /// The hash of how it is launched.
    pub key: String,
}

/// The owner of the catalog.
pub struct Offers {
    order: Vec<Known>,
    own: Vec<Arc<str>>,
    listings: Mutex<HashMap<ServerName, Listing>>,
    view: watch::Sender<View>,
    journal: Journal,
}

impl Offers {
    /// Nothing but the bridge's own tools is known yet.
    #[must_use]
    pub fn new(order: Vec<Known>, own: Vec<Arc<str>>, journal: Journal) -> Self {
        let view = watch::Sender::new(View::default());
        Self { order, own, listings: Mutex::default(), view, journal }
    }

    /// Reads the stored lists. Blocks for a few milliseconds.
    pub fn load(&self) {
        let keys: Vec<String> = self.order.iter().map(|known| known.key.clone()).collect();
        let rows = if keys.is_empty() { Vec::new() } else { self.journal.load_catalog(&keys) };
        for row in rows {
            let listing = match Listing::parse(&row.tools) {
                Ok(listing) => listing,
                Err(error) => {
                    tracing::warn!(server = row.server, %error, "stored list cannot be read");
                    continue;
                }
            };
            // Two entries may launch the same server under two names.
            for known in self.order.iter().filter(|known| known.key == row.key) {
                self.lock().entry(known.server.clone()).or_insert_with(|| listing.clone());
            }
        }
        self.publish();
    }

    /// Takes a list that arrived whole. An empty one never replaces a good one.
    pub fn heard(&self, server: &ServerName, listing: Listing) {
        let Some(known) = self.order.iter().find(|known| known.server == *server) else { return };
        {
            let mut listings = self.lock();
            match listings.get(server) {
                Some(before) if *before == listing => return,
                Some(before) if listing.tools.is_empty() && !before.tools.is_empty() => {
                    tracing::warn!(%server, tools = before.tools.len(), "empty list ignored, the known one stays");
                    return;
                }
                _ => {}
            }
            tracing::info!(%server, tools = listing.tools.len(), "tools listed");
            self.save(known, listing.to_json());
            listings.insert(server.clone(), listing);
        }
        self.publish();
    }

    /// Remembers that a server was tried and brought no list, so that the next start of the bridge does
    /// not wait for it again. A stored list stays.
    pub fn tried(&self, server: &ServerName) {
        let unlisted = !self.lock().contains_key(server);
        if let Some(known) = self.order.iter().find(|known| unlisted && known.server == *server) {
            self.save(known, Listing::default().to_json());
        }
    }

    /// Stores a list; the record keeps a good one when an empty one comes.
    fn save(&self, known: &Known, tools: String) {
        self.journal.catalog_saved(CatalogRow {
            key: known.key.clone(),
            server: known.server.to_string(),
            tools,
            listed_at_ms: stamp::now_ms(),
        });
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

    fn publish(&self) {
        let listings = self.lock().clone();
        let own = Offer { server: None, tools: self.own.clone() };
        let theirs = self.order.iter().filter_map(|known| {
            let tools = listings.get(&known.server)?.tools.clone();
            Some(Offer { server: Some(known.server.clone()), tools })
        });
        let offers: Vec<Offer> = std::iter::once(own).chain(theirs).collect();
        let unlisted = self.order.iter().map(|known| &known.server);
        let unlisted = unlisted.filter(|server| !listings.contains_key(*server)).cloned().collect();
        let is_hollow =
            |known: &&Known| listings.get(&known.server).is_some_and(|listing| listing.tools.is_empty());
        let hollow = self.order.iter().filter(is_hollow).map(|known| known.server.clone()).collect();
        let catalog = Arc::new(Catalog::merge(&offers));
        self.view.send_replace(View { catalog, unlisted, hollow, loaded: true });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ServerName, Listing>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
