//! A configuration that changes while the bridge runs: what it changes is started, stopped and replaced, and
//! nothing else is touched.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::change::Change;
use crate::config::server::Server;
use crate::config::{self, Loaded};
use crate::downstream::LinkState;
use crate::downstream::fleet::Fleet;
use crate::downstream::interest::Wants;
use crate::downstream::pool::Pool;
use crate::downstream::pool::key::Farewell;
use crate::local::stopped::Stopped;
use crate::names::ServerName;
use crate::serve::house::servers::{Yard, known};
use crate::store::stamp;
use crate::watch::Watched;

/// The client's first requests go before a look at the file, which was read a moment ago.
const AFTER_START: Duration = Duration::from_millis(50);

/// What somebody asks of the one who changes the set of servers.
pub enum Order {
    /// To read the configuration again; told what that changed, or why nothing.
    Reload(oneshot::Sender<Result<Value, String>>),
    /// To replace a server by the same, anew; one that a person stopped may be started again.
    Restart(ServerName, oneshot::Sender<Option<Renewed>>),
    /// To end a server, and to start it no more until a person says so; told why that cannot be noted down.
    Hold(ServerName, oneshot::Sender<io::Result<Option<Renewed>>>),
}

/// A server that was replaced by the same.
pub struct Renewed {
    /// The new one, not started yet.
    pub pool: Arc<Pool>,
    /// The process of its base connection.
    pub ended_pid: Option<u32>,
    /// When every process of the one before is gone.
    pub gone: watch::Receiver<bool>,
}

/// The only one who changes the set of servers.
pub struct Reloader {
    /// The file that is read, whether it is there or not.
    pub file: Option<PathBuf>,
    /// Makes servers.
    pub yard: Yard,
    /// The servers as they are.
    pub fleet: Arc<Fleet>,
    /// The configuration as it was when the bridge started: some settings hold for all its life.
    pub first: Arc<Loaded>,
    /// The configuration as it holds.
    pub loaded: watch::Sender<Arc<Loaded>>,
    /// What it is asked.
    pub orders: mpsc::Receiver<Order>,
}

impl Reloader {
    /// Changes what has to be changed, until it is dropped.
    pub async fn run(mut self) {
        tokio::time::sleep(AFTER_START).await;
        let file = self.file.clone();
        let watching = tokio::task::spawn_blocking(move || file.map(Watched::new));
        let mut watched = watching.await.ok().flatten();
        // It may have changed before it was watched.
        drop(self.reload().await);
        loop {
            let changed = async {
                match &mut watched {
                    Some(watched) => watched.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => drop(self.reload().await),
                Some(order) = self.orders.recv() => match order {
                    // Whoever asked may have gone.
                    Order::Reload(told) => drop(told.send(self.reload().await)),
                    Order::Restart(server, told) => drop(told.send(tokio::task::block_in_place(|| self.restart(&server)))),
                    Order::Hold(server, told) => drop(told.send(tokio::task::block_in_place(|| self.hold(&server)))),
                },
            }
        }
    }

    /// Reads the file and changes what is different in it.
    async fn reload(&mut self) -> Result<Value, String> {
        let before = Arc::clone(&self.loaded.borrow());
        // A pipe has said all that it has to say, and would hold up whoever reads it again.
        if let Some(file) = self.file.as_deref().filter(|file| file.metadata().is_ok_and(|is| !is.is_file()))
        {
            return Err(format!(
                "everything stays as it was: {} is no file that can be read again",
                file.display()
            ));
        }
        let file = self.file.clone();
        let is_known = before.source.is_some();
        let read = tokio::task::spawn_blocking(move || read(file.as_deref(), is_known)).await;
        let new = read.map_err(|error| format!("the configuration could not be read: {error}"))?;
        let new = Arc::new(new.after(&before));
        let change = Change::between(&before.config, &new.config);
        if *new != *before {
            // The stored lists of new servers are read meanwhile.
            tokio::task::block_in_place(|| self.apply(&new, &change));
            say(&new, &change);
        }
        tokio::task::block_in_place(|| {
            self.forget_stopped(&new);
            self.heed_stopped();
        });
        match new.broken.file {
            true => {
                let mistakes: Vec<String> = new.mistakes.iter().map(ToString::to_string).collect();
                Err(format!("everything stays as it was: {}", mistakes.join(", ")))
            }
            false => Ok(told(&new, &change, &new.later(&self.first))),
        }
    }

    fn apply(&mut self, new: &Arc<Loaded>, change: &Change) {
        let before = self.fleet.all();
        self.yard.tune(&new.config.settings, &before);
        let enabled: Vec<Server> = new.config.enabled().into_iter().cloned().collect();
        let pools: Vec<Arc<Pool>> = enabled
            .iter()
            .map(|server| {
                let earlier = before.iter().find(|pool| *pool.name() == server.name);
                match earlier.filter(|_| !change.changed.contains(&server.name)) {
                    Some(pool) => Arc::clone(pool),
                    None => self.make(server, earlier),
                }
            })
            .collect();
        let there: Vec<&ServerName> =
            before.iter().filter(|pool| is_there(pool)).map(|pool| pool.name()).collect();
        self.yard
            .offers
            .rearrange(known(&new.config, &self.yard.site.environment), || self.swap(pools, &before, change));
        self.loaded.send_replace(Arc::clone(new));
        let unlisted = self.yard.offers.view().unlisted;
        for server in change.added.iter().chain(&change.changed) {
            let Some(pool) = self.fleet.pool(server) else { continue };
            // What a server offers is told when it is known; nobody has asked for it by its tools yet.
            let is_awaited = pool.base().interest.look(Wants::is_waiting) || unlisted.contains(server);
            if there.contains(&server) || pool.terms.warm || is_awaited {
                pool.base().wake();
            }
        }
    }

    /// Puts servers in the place of others.
    fn swap(&self, pools: Vec<Arc<Pool>>, before: &[Arc<Pool>], change: &Change) {
        self.fleet.replace(pools);
        for pool in before {
            if change.removed.contains(pool.name()) {
                self.fleet.dismiss(pool, Farewell::Removed, &self.yard.commons.work);
            } else if change.changed.contains(pool.name()) {
                self.fleet.dismiss(pool, Farewell::Changed, &self.yard.commons.work);
            }
        }
        // Now they hear of every other one that the client wants.
        let added = change.added.iter().filter_map(|server| self.fleet.pool(server));
        added.for_each(|pool| self.fleet.tell_level(&pool));
    }

    fn make(&self, server: &Server, earlier: Option<&Arc<Pool>>) -> Arc<Pool> {
        let pool = self.yard.pool(server.clone(), earlier.map(Arc::as_ref));
        if let Some(earlier) = earlier {
            pool.succeed(earlier);
        }
        pool
    }

    fn restart(&self, server: &ServerName) -> Option<Renewed> {
        if let Err(error) = self.stopped().lift(server) {
            tracing::warn!(%server, %error, "note that a server is stopped cannot be removed");
        }
        self.renew(server, Farewell::Restarted)
    }

    fn hold(&self, server: &ServerName) -> io::Result<Option<Renewed>> {
        if self.fleet.pool(server).is_none() {
            return Ok(None);
        }
        self.stopped().put(server, stamp::text(stamp::now_ms()))?;
        Ok(self.renew(server, Farewell::Held))
    }

    /// Servers that this configuration has no more are not stopped either: whoever adds them again wants them.
    fn forget_stopped(&self, loaded: &Loaded) {
        if self.file.is_none() || !loaded.mistakes.is_empty() {
            return;
        }
        let (stopped, enabled) = (self.stopped(), loaded.config.enabled());
        let names = stopped.own().into_iter().filter_map(|note| ServerName::parse(&note.server).ok());
        for server in names.filter(|name| !enabled.iter().any(|entry| entry.name == *name)) {
            if let Err(error) = stopped.lift(&server) {
                tracing::warn!(%server, %error, "note that a server is stopped cannot be removed");
            }
        }
    }

    /// A person may have stopped or started a server when nobody could be told.
    fn heed_stopped(&self) {
        let stopped = self.stopped();
        for pool in self.fleet.all().iter() {
            let is_held = matches!(pool.base().status().state, LinkState::Held(_));
            let farewell = match (is_held, stopped.note(pool.name()).is_some()) {
                (false, true) => Farewell::Held,
                (true, false) => Farewell::Restarted,
                _ => continue,
            };
            self.renew(pool.name(), farewell);
        }
    }

    fn stopped(&self) -> Stopped {
        Stopped::of(&self.yard.paths)
    }

    /// Replaces a server by the same, with nothing of its past.
    fn renew(&self, server: &ServerName, farewell: Farewell) -> Option<Renewed> {
        let loaded = Arc::clone(&self.loaded.borrow());
        let entry = loaded.config.enabled().into_iter().find(|entry| entry.name == *server)?;
        let before = self.fleet.pool(server)?;
        let ended_pid = before.base().status().pid;
        let pool = self.make(entry, Some(&before));
        let others = self.fleet.all();
        let all = others.iter().map(|other| if other.name() == server { &pool } else { other });
        self.fleet.replace(all.cloned().collect());
        let gone = before.cleared();
        self.fleet.dismiss(&before, farewell, &self.yard.commons.work);
        tracing::info!(%server, by = farewell.reason(), "server is replaced on request");
        Some(Renewed { pool, ended_pid, gone })
    }
}

/// A file that was never there is no mistake.
fn read(file: Option<&Path>, is_known: bool) -> Loaded {
    config::load(file.filter(|file| is_known || file.symlink_metadata().is_ok()))
}

fn is_there(pool: &Pool) -> bool {
    matches!(pool.base().status().state, LinkState::Starting | LinkState::Ready(_))
}

fn say(new: &Loaded, change: &Change) {
    for mistake in &new.mistakes {
        tracing::error!(%mistake, "mistake in the configuration, what it touches stays as it was");
    }
    let Change { added, changed, shown, removed, settings, later } = change;
    tracing::info!(
        added = names(added).join(", "),
        changed = names(changed).join(", "),
        shown = names(shown).join(", "),
        removed = names(removed).join(", "),
        settings = settings.join(", "),
        "configuration read again"
    );
    if !later.is_empty() {
        tracing::warn!(settings = later.join(", "), "settings changed that need a new start of the bridge");
    }
}

fn told(new: &Loaded, change: &Change, later: &[&str]) -> Value {
    let Change { added, changed, shown, removed, settings, .. } = change;
    json!({
        "file": new.source.as_ref().map(|file| file.display().to_string()),
        "added": names(added),
        "changed": names(changed),
        "shown": names(shown),
        "removed": names(removed),
        "settings": settings,
        "needNewStart": later,
        "mistakes": new.mistakes.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn names(servers: &[ServerName]) -> Vec<&str> {
    servers.iter().map(ServerName::as_str).collect()
}
