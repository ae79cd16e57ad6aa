//! Everything that serves one client, built in order.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::builtin::status::Sources;
use crate::builtin::{Builtin, CALL_TIMEOUT, SELFTEST_VARIABLE};
use crate::config::Loaded;
use crate::config::launch::LaunchKey;
use crate::config::program::Program;
use crate::config::server::Server;
use crate::config::settings::{self, Settings};
use crate::downstream::gate::Gate;
use crate::downstream::greeting::Face;
use crate::downstream::keeper::{Keeper, Surroundings};
use crate::downstream::{Link, link};
use crate::guard;
use crate::names::ServerName;
use crate::paths::Paths;
use crate::policy::Limits;
use crate::recovery;
use crate::router::Router;
use crate::router::offers::{Known, Offers};
use crate::serve::recorder::Recorder;
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
    stop: watch::Sender<bool>,
    keepers: Vec<JoinHandle<()>>,
    servers: usize,
}

/// What is built first and used by what follows.
struct Ground<'a> {
    paths: &'a Paths,
    settings: &'a Settings,
    work: &'a Runtime,
    lines: &'a Handle,
    journal: Journal,
    offers: Arc<Offers>,
    unasked: Arc<Unasked>,
    face: watch::Receiver<Face>,
    stop: watch::Receiver<bool>,
}

impl House {
    /// Builds the house. Nothing here waits for a disk or a server.
    pub fn build(paths: &Paths, loaded: Loaded, started: Instant, lines: &Handle, work: &Runtime) -> Self {
        let settings = loaded.config.settings.clone();
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
        let (stop, stopped) = watch::channel(false);
        let outlet = Arc::new(Outlet::default());
        let unasked = Unasked::new(Arc::clone(&outlet));
        let (face, seen) = watch::channel(Face::default());
        let ground = Ground {
            paths,
            settings: &settings,
            work,
            lines,
            journal,
            offers,
            unasked: Arc::clone(&unasked),
            face: seen,
            stop: stopped,
        };
        let instructions = instructions(&enabled);
        let (links, mut keepers) = ground.keep_servers(enabled);
        let servers = links.len();
        let (own, own_keeper) = ground.keep_own(&links, loaded, started, selftest);
        keepers.push(own_keeper);
        let Ground { journal, offers, .. } = ground;
        let router = Arc::new(Router::new(links, own, offers, settings.first_list_wait));
        let around = Around {
            router,
            journal: journal.clone(),
            outlet: Arc::clone(&outlet),
            unasked,
            face,
            question_expiry: settings.question_expiry,
        };
        let client = Client::new(around, instructions);
        let in_line_bytes_max = settings.in_line_max_bytes;
        Self { journal, client, outlet, in_line_bytes_max, stop, keepers, servers }
    }

    /// How many servers may be started.
    pub fn servers(&self) -> usize {
        self.servers
    }

    /// Tells every keeper to end its server, all at once; the future waits until they are gone.
    pub fn stop_servers(&mut self) -> impl Future<Output = ()> + use<> {
        self.stop.send_replace(true);
        let keepers = std::mem::take(&mut self.keepers);
        async move {
            for ended in join_all(keepers).await {
                if let Err(error) = ended {
                    tracing::error!(%error, "keeper ended unexpectedly");
                }
            }
        }
    }
}

impl Ground<'_> {
    /// One keeper for each server; none of them starts anything yet.
    fn keep_servers(&self, servers: Vec<Server>) -> (Vec<Arc<Link>>, Vec<JoinHandle<()>>) {
        let recorder = Arc::new(Recorder::new(self.journal.clone(), Arc::clone(&self.offers)));
        let gate = Gate::new(self.settings.max_cold_starts);
        let keep = |server: Server| {
            let (link, status, orders) = link(server.name.clone(), server.call_timeout, server.start_timeout);
            let around = Surroundings {
                lines: self.lines.clone(),
                relay: self.unasked.clone(),
                face: self.face.clone(),
                interest: Arc::clone(&link.interest),
                watcher: recorder.clone(),
                log_file: self.paths.server_log(&server.name),
                log_bytes_max: self.settings.stderr_log_max_bytes,
                line_bytes_max: self.settings.out_line_max_bytes,
                gate: Arc::clone(&gate),
                limits: limits(self.settings),
                hang_after: self.settings.hang_after,
                idle_stop: self.settings.idle_stop,
            };
            let (link, stop) = (Arc::new(link.warm(server.warm)), self.stop.clone());
            let keeper = Keeper::new(server, around, status, orders);
            let name = link.name.clone();
            let kept = async move { guard::log_panic("keeper", name.as_str(), keeper.run(stop)).await };
            (link, self.work.spawn(kept))
        };
        servers.into_iter().map(keep).unzip()
    }

    /// The bridge's own tools, on a link like any other.
    fn keep_own(
        &self,
        links: &[Arc<Link>],
        loaded: Loaded,
        started: Instant,
        selftest: bool,
    ) -> (Arc<Link>, JoinHandle<()>) {
        let sources = Arc::new(Sources {
            loaded,
            servers: links.to_vec(),
            offers: Arc::clone(&self.offers),
            journal: self.journal.clone(),
            started,
        });
        let (link, status, _never) = link(ServerName::own(), CALL_TIMEOUT, CALL_TIMEOUT);
        let builtin = Builtin::new(sources, selftest);
        let (unasked, stop) = (self.unasked.clone(), self.stop.clone());
        let kept =
            self.work.spawn(guard::log_panic("own tools", "bridge", builtin.keep(status, unasked, stop)));
        (Arc::new(link), kept)
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

fn limits(settings: &Settings) -> Limits {
    Limits {
        failure_threshold: settings.failure_threshold,
        recovery_timeout: settings.recovery_timeout,
        ..Limits::default()
    }
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
