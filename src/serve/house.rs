//! Everything that serves clients, built in order, and all of them at once.

pub mod doors;
pub mod servers;

use std::path::{Path, PathBuf};
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
use crate::downstream::client::Faces;
use crate::downstream::fleet::Fleet;
use crate::downstream::gate::Gate;
use crate::downstream::pool::tenants::{Patience, Tenants};
use crate::downstream::pool::{Commons, Pool};
use crate::downstream::wake::Wake;
use crate::environment::{Environment, Folder};
use crate::guard;
use crate::paths::Paths;
use crate::pulse::Pulse;
use crate::recovery;
use crate::roster::Roster;
use crate::router::offers::Offers;
use crate::router::{NOT_QUICK_AFTER, Router};
use crate::serve::attached::Attached;
use crate::serve::desk::Desk;
use crate::serve::house::doors::Doors;
use crate::serve::house::servers::{Site, Yard, known};
use crate::serve::reload::Reloader;
use crate::session::attached::Fronted;
use crate::session::outlet::Outlet;
use crate::session::switchboard::Switchboard;
use crate::store::{Durability, Journal, Options};

const DAY_S: u64 = 24 * 60 * 60;

/// Everything that serves clients.
pub struct House {
    /// The record.
    pub journal: Journal,
    doors: Arc<Doors>,
    /// The bridge's own tools.
    own: Arc<Pool>,
    sources: Arc<Sources>,
    reloader: Option<Reloader>,
    desk: Arc<Desk>,
    /// What it was built from.
    config_file: Option<PathBuf>,
    environment: Environment,
}

impl House {
    /// Builds the house. Nothing here waits for a disk or a server.
    pub fn build(
        paths: &Paths,
        loaded: Loaded,
        site: Site,
        started: Instant,
        (lines, work): (&Handle, &Handle),
    ) -> Self {
        let settings = loaded.config.settings.clone();
        let clients = Clients::new(loaded.config.clients.clone(), &settings);
        let journal = Journal::open(&paths.data_dir, options(&settings));
        work.spawn({
            let journal = journal.clone();
            async move { drop(recovery::recover(&journal).await) }
        });
        let environment = site.environment.clone();
        let selftest = environment.os(SELFTEST_VARIABLE).is_some_and(|value| value == "1");
        let enabled: Vec<Server> = loaded.config.enabled().into_iter().cloned().collect();
        let offers = Arc::new(Offers::new(
            known(&loaded.config, &environment),
            Builtin::tools(selftest),
            journal.clone(),
        ));
        // Reading the stored lists takes milliseconds that `initialize` does not have to wait for.
        work.spawn_blocking({
            let offers = Arc::clone(&offers);
            move || offers.load()
        });
        let (switchboard, faces) = (Arc::<Switchboard>::default(), Arc::<Faces>::default());
        let roster = Arc::<Roster>::default();
        let pulse = Pulse::new(NOT_QUICK_AFTER);
        let tenants = Tenants::new(Patience::of(&settings));
        let commons = Commons { tenants, pulse: Arc::clone(&pulse), work: work.clone() };
        let yard = Yard {
            commons,
            lines: lines.clone(),
            site,
            paths: paths.clone(),
            capacity: settings.capacity.clone(),
            limits: servers::limits(&settings),
            tuning: watch::Sender::new(servers::tuning(&settings)),
            relay: Arc::clone(&switchboard) as _,
            faces: Arc::clone(&faces),
            journal: journal.clone(),
            offers: Arc::clone(&offers),
            gate: Gate::new(settings.max_cold_starts),
            wake: Wake::new(),
        };
        let fleet = Fleet::new(enabled.into_iter().map(|server| yard.pool(server, None)).collect());
        let first = Arc::new(loaded);
        let (loaded, holds) = watch::channel(Arc::clone(&first));
        let sources = Arc::new(Sources {
            first: Arc::clone(&first),
            loaded: holds,
            fleet: Arc::clone(&fleet),
            offers: Arc::clone(&offers),
            roster: Arc::clone(&roster),
            journal: journal.clone(),
            started,
        });
        let (changes, orders) = mpsc::channel(4);
        let desk = Arc::new(Desk { sources: Arc::clone(&sources), changes });
        let own = yard.own(Builtin::new(Arc::clone(&sources), Arc::clone(&desk) as _, selftest));
        let servers = (Arc::clone(&fleet), Arc::clone(&own));
        let router = Arc::new(Router::new(servers, offers, pulse, settings.first_list_wait));
        let doors = Arc::new(Doors {
            router,
            journal: journal.clone(),
            switchboard,
            call_ids: Arc::default(),
            faces,
            roster,
            clients,
            question_expiry: settings.question_expiry,
            in_line_bytes_max: settings.in_line_max_bytes,
        });
        let file = paths.config_file.clone().or_else(|| paths.config_default.clone());
        let reloader = Some(Reloader { file, yard, fleet, first, loaded, orders });
        Self {
            journal,
            doors,
            own,
            sources,
            reloader,
            desk,
            config_file: paths.config_file.clone(),
            environment,
        }
    }

    /// Whether anybody is attached.
    #[must_use]
    pub fn has_clients(&self) -> bool {
        Arc::strong_count(&self.doors) > 1
    }

    /// How many servers may be started.
    pub fn servers(&self) -> usize {
        self.sources.fleet.all().len()
    }

    /// One more client: it has its own session, era, capabilities and subscriptions, and hears nothing of the
    /// others.
    #[must_use]
    pub fn attach(&self) -> Attached {
        Attached::new(&self.doors, Outlet::default(), None, None)
    }

    /// The same, for one that is attached through its front and was started in this folder.
    #[must_use]
    pub fn attach_front(&self, outlet: Outlet, front: Fronted, folder: Folder) -> Attached {
        Attached::new(&self.doors, outlet, Some(front), folder)
    }

    /// Whether the servers of this configuration, started in this environment, would be no others than those of
    /// this house: programs are looked for in the same folders, and every variable that the configuration refers
    /// to has the same value.
    #[must_use]
    pub fn is_for(&self, config_file: Option<&Path>, environment: &Environment) -> bool {
        if self.config_file.as_deref() != config_file {
            return false;
        }
        is_one(&self.sources.loaded.borrow(), &self.environment, environment)
    }

    /// Waits until the configuration is one for which the servers of this house are not those of a client that was
    /// started in this environment.
    pub fn becomes_foreign(&self, environment: Environment) -> impl Future<Output = ()> + Send + use<> {
        let (mut loaded, own) = (self.sources.loaded.clone(), self.environment.clone());
        async move {
            while loaded.changed().await.is_ok() {
                if !is_one(&loaded.borrow(), &own, &environment) {
                    return;
                }
            }
            std::future::pending().await
        }
    }

    /// Tells calls that they are not quick, on the runtime that has all lines; ends never.
    pub fn keep_time(&self) -> impl Future<Output = ()> + Send + use<> {
        let pulse = Arc::clone(&self.doors.router.pulse);
        async move { guard::keep("pulse", || pulse.run()).await }
    }

    /// What goes on beside the clients: their user is answered, and a changed configuration is heard. Nobody
    /// waits for it; to be dropped before the servers are stopped.
    pub fn aside(&mut self, data_dir: &Path) -> impl Future<Output = ()> + Send + use<> {
        let desk = Arc::clone(&self.desk).run(data_dir.to_owned());
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

/// Whether servers see nothing else in one environment than in the other.
fn is_one(loaded: &Loaded, one: &Environment, other: &Environment) -> bool {
    let servers = loaded.config.enabled();
    let referred = servers.iter().flat_map(|server| server.variables());
    let mut all = ["HOME", "PATH", SELFTEST_VARIABLE].into_iter().chain(referred);
    all.all(|name| one.os(name) == other.os(name))
}

fn options(settings: &Settings) -> Options {
    let durability = match settings.durability {
        settings::Durability::Process => Durability::Process,
        settings::Durability::Power => Durability::Power,
    };
    let retention_days = u32::try_from(settings.retention.as_secs() / DAY_S).unwrap_or(u32::MAX);
    Options { durability, retention_days, ..Options::default() }
}
