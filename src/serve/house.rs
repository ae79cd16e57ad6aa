//! Everything that serves one client, built in order.

mod servers;

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use crate::builtin::status::Sources;
use crate::builtin::{Builtin, SELFTEST_VARIABLE};
use crate::config::Loaded;
use crate::config::clients::Clients;
use crate::config::launch::LaunchKey;
use crate::config::program::Program;
use crate::config::server::Server;
use crate::config::settings::{self, Settings};
use crate::downstream::fleet::Fleet;
use crate::downstream::gate::Gate;
use crate::downstream::greeting::Face;
use crate::downstream::pool::Pool;
use crate::downstream::pool::tenants::{Patience, Tenants};
use crate::paths::Paths;
use crate::recovery;
use crate::router::Router;
use crate::router::offers::{Known, Offers};
use crate::serve::desk::Desk;
use crate::serve::house::servers::Yard;
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
}

impl House {
    /// Builds the house. Nothing here waits for a disk or a server.
    pub fn build(paths: &Paths, loaded: Loaded, started: Instant, lines: &Handle, work: &Runtime) -> Self {
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
        let outlet = Arc::new(Outlet::default());
        let unasked = Unasked::new(Arc::clone(&outlet));
        let (face, seen) = watch::channel(Face::default());
        let yard = Yard {
            work: work.handle().clone(),
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
            tenants: Tenants::new(Patience { thread: settings.thread_idle, user: settings.user_idle }),
        };
        let instructions = instructions(&enabled);
        let fleet = Fleet::new(enabled.into_iter().map(|server| yard.pool(server)).collect());
        let sources = Arc::new(Sources {
            loaded,
            fleet: Arc::clone(&fleet),
            offers: Arc::clone(&offers),
            journal: journal.clone(),
            started,
        });
        let own = yard.own(Builtin::new(Arc::clone(&sources), selftest));
        let router =
            Arc::new(Router::new(Arc::clone(&fleet), Arc::clone(&own), offers, settings.first_list_wait));
        let around = Around {
            router,
            journal: journal.clone(),
            outlet: Arc::clone(&outlet),
            unasked,
            face,
            question_expiry: settings.question_expiry,
            clients,
        };
        let client = Client::new(around, instructions);
        let in_line_bytes_max = settings.in_line_max_bytes;
        Self { journal, client, outlet, in_line_bytes_max, own, sources }
    }

    /// How many servers may be started.
    pub fn servers(&self) -> usize {
        self.sources.fleet.all().len()
    }

    /// Who answers to this bridge's user.
    pub fn desk(&self) -> Desk {
        Desk { sources: Arc::clone(&self.sources), client: Arc::clone(&self.client) }
    }

    /// Tells every keeper to end its server, all at once; the future waits until they are gone.
    pub fn stop_servers(&self) -> impl Future<Output = ()> + use<> {
        let all = self.sources.fleet.all();
        let gone: Vec<_> = all.iter().chain([&self.own]).map(|pool| pool.stop()).collect();
        async move { drop(join_all(gone).await) }
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

fn known(servers: &[Server]) -> Vec<Known> {
    let known = |server: &Server| Known {
        server: server.name.clone(),
        key: LaunchKey::of(server).as_str().to_owned(),
        program: Program::of(server),
    };
    servers.iter().map(known).collect()
}

/// What a client's model is told about us.
fn instructions(servers: &[Server]) -> String {
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    let behind = match names.as_slice() {
        [] => "No MCP server stands behind this bridge yet.".to_owned(),
        names => format!(
            "Behind this bridge stand the MCP servers {}; the part of a tool's name before \"__\" names its server.",
            names.join(", ")
        ),
    };
    format!("{behind} When a tool is missing or a call comes back as unavailable, bridge_status says why.")
}
