//! Everything that serves one client, built in order.

pub mod servers;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::OptionFuture;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::builtin::status::Sources;
use crate::builtin::{Builtin, SELFTEST_VARIABLE};
use crate::config::Loaded;
use crate::config::clients::Clients;
use crate::config::server::Server;
use crate::config::settings::{self, Settings};
use crate::downstream::fleet::Fleet;
use crate::downstream::gate::Gate;
use crate::downstream::greeting::Face;
use crate::downstream::pool::tenants::{Patience, Tenants};
use crate::downstream::pool::{Commons, Pool};
use crate::downstream::wake::Wake;
use crate::guard;
use crate::paths::Paths;
use crate::pulse::Pulse;
use crate::recovery;
use crate::router::offers::Offers;
use crate::router::{NOT_QUICK_AFTER, Router};
use crate::serve::desk::Desk;
use crate::serve::house::servers::{Yard, known};
use crate::serve::reload::{Order, Reloader};
use crate::session::attached::Fronted;
use crate::session::outlet::Outlet;
use crate::session::unasked::Unasked;
use crate::session::{Around, Client};
use crate::store::{Durability, Journal, Options};

const DAY_S: u64 = 24 * 60 * 60;

/// Everything that serves one client.
pub struct House {
    /// The record.
    pub journal: Journal,
    /// The client.
    pub client: Arc<Client>,
    /// The way to it.
    pub outlet: Arc<Outlet>,
    /// The longest line that it may send, in bytes.
    pub in_line_bytes_max: usize,
    /// The bridge's own tools.
    own: Arc<Pool>,
    sources: Arc<Sources>,
    reloader: Option<Reloader>,
    changes: mpsc::Sender<Order>,
}

impl House {
    /// Builds the house. Nothing here waits for a disk or a server.
    pub fn build(
        paths: &Paths,
        loaded: Loaded,
        started: Instant,
        (lines, work): (&Handle, &Handle),
        (outlet, front): (Outlet, Option<Fronted>),
    ) -> Self {
        let settings = loaded.config.settings.clone();
        let clients = Clients::new(loaded.config.clients.clone(), &settings);
        let journal = Journal::open(&paths.data_dir, options(&settings));
        work.spawn({
            let journal = journal.clone();
            async move { drop(recovery::recover(&journal).await) }
        });
        let selftest = std::env::var_os(SELFTEST_VARIABLE).is_some_and(|value| value == "1");
        let enabled: Vec<Server> =
            loaded.config.servers.iter().filter(|server| server.enabled).cloned().collect();
        let offers = Arc::new(Offers::new(known(&enabled), Builtin::tools(selftest), journal.clone()));
        // Reading the stored lists takes milliseconds that `initialize` does not have to wait for.
        work.spawn_blocking({
            let offers = Arc::clone(&offers);
            move || offers.load()
        });
        let outlet = Arc::new(outlet);
        let unasked = Unasked::new(Arc::clone(&outlet));
        let (face, seen) = watch::channel(Face::default());
        let pulse = Pulse::new(NOT_QUICK_AFTER);
        let tenants = Tenants::new(Patience::of(&settings));
        let commons = Commons { tenants, pulse: Arc::clone(&pulse), work: work.clone() };
        let yard = Yard {
            commons,
            lines: lines.clone(),
            paths: paths.clone(),
            capacity: settings.capacity.clone(),
            limits: servers::limits(&settings),
            tuning: watch::Sender::new(servers::tuning(&settings)),
            relay: unasked.clone(),
            face: seen,
            journal: journal.clone(),
            offers: Arc::clone(&offers),
            gate: Gate::new(settings.max_cold_starts),
            wake: Wake::new(),
        };
        let fleet = Fleet::new(enabled.into_iter().map(|server| yard.pool(server)).collect());
        let first = Arc::new(loaded);
        let (loaded, holds) = watch::channel(Arc::clone(&first));
        let sources = Arc::new(Sources {
            first: Arc::clone(&first),
            loaded: holds,
            fleet: Arc::clone(&fleet),
            offers: Arc::clone(&offers),
            journal: journal.clone(),
            started,
        });
        let (changes, orders) = mpsc::channel(4);
        let own = yard.own(Builtin::new(Arc::clone(&sources), selftest));
        let servers = (Arc::clone(&fleet), Arc::clone(&own));
        let router = Arc::new(Router::new(servers, offers, pulse, settings.first_list_wait));
        let around = Around {
            router,
            journal: journal.clone(),
            outlet: Arc::clone(&outlet),
            unasked,
            face,
            question_expiry: settings.question_expiry,
            clients,
            front,
        };
        let client = Client::new(around);
        let in_line_bytes_max = settings.in_line_max_bytes;
        let file = paths.config_file.clone().or_else(|| paths.config_default.clone());
        let reloader = Some(Reloader { file, yard, fleet, first, loaded, orders });
        Self { journal, client, outlet, in_line_bytes_max, own, sources, reloader, changes }
    }

    /// How many servers may be started.
    pub fn servers(&self) -> usize {
        self.sources.fleet.all().len()
    }

    /// What goes on beside the client: its user is answered, and a changed configuration is heard. Nobody
    /// waits for it; to be dropped before the servers are stopped.
    pub fn aside(&mut self, data_dir: &Path) -> impl Future<Output = ()> + Send + use<> {
        let (sources, client) = (Arc::clone(&self.sources), Arc::clone(&self.client));
        let desk = Desk { sources, client, changes: self.changes.clone() }.run(data_dir.to_owned());
        let reloader =
            self.reloader.take().map(|reloader| guard::log_panic("reload", "bridge", reloader.run()));
        async move {
            tokio::join!(guard::log_panic("control", "bridge", desk), OptionFuture::from(reloader));
        }
    }

    /// Tells every keeper to end its server, all at once; the future waits until they are gone.
    pub fn stop_servers(&self) -> impl Future<Output = ()> + use<> {
        let (all, own) = (self.sources.fleet.stop(), self.own.stop());
        async move {
            tokio::join!(all, own);
        }
    }
}

fn options(settings: &Settings) -> Options {
    let durability = match settings.durability {
        settings::Durability::Process => Durability::Process,
        settings::Durability::Power => Durability::Power,
    };
    let retention_days = u32::try_from(settings.retention.as_secs() / DAY_S).unwrap_or(u32::MAX);
    Options { durability, retention_days, ..Options::default() }
}
