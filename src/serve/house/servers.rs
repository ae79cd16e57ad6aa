//! The keepers of servers, and what each of them needs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::builtin::{Builtin, CALL_TIMEOUT};
use crate::config::Config;
use crate::config::launch::LaunchKey;
use crate::config::program::Program;
use crate::config::server::Server;
use crate::config::settings::Settings;
use crate::config::sharing::{Capacity, Scope};
use crate::downstream::budget::Budget;
use crate::downstream::client::Faces;
use crate::downstream::gate::Gate;
use crate::downstream::keeper::{Keeper, Surroundings, held};
use crate::downstream::pool::{Commons, Pool, Post, Staff, Terms, Work};
use crate::downstream::relay::Relay;
use crate::downstream::tuning::Tuning;
use crate::downstream::wake::Wake;
use crate::environment::{Environment, Folder};
use crate::guard;
use crate::local::stopped::{Note, Stopped};
use crate::names::ServerName;
use crate::paths::Paths;
use crate::policy::Limits;
use crate::router::offers::{Known, Offers};
use crate::serve::recorder::Recorder;
use crate::store::{Journal, stamp};

/// Where a house stands.
#[derive(Debug, Clone)]
pub struct Site {
    /// The variables that its servers see.
    pub environment: Environment,
    /// Where servers run that are nobody's in particular; where this process does, if nowhere.
    pub folder: Folder,
}

/// Makes the pool of any server, also later.
pub struct Yard {
    /// What all servers share.
    pub commons: Commons,
    /// Where lines are read and written.
    pub lines: Handle,
    /// In which environment and, if it is not said otherwise, in which folder servers are started.
    pub site: Site,
    /// Where log files stand.
    pub paths: Paths,
    /// How many calls and connections a server has that does not say it itself.
    pub capacity: Capacity,
    /// When servers may be started again.
    pub limits: Limits,
    /// The settings for their next lives.
    pub tuning: watch::Sender<Tuning>,
    /// Who hears what servers say unasked.
    pub relay: Arc<dyn Relay>,
    /// Whom they can be told they speak with.
    pub faces: Arc<Faces>,
    /// Where their lives are written down.
    pub journal: Journal,
    /// Where their lists go.
    pub offers: Arc<Offers>,
    /// Where their starts wait their turn.
    pub gate: Arc<Gate>,
    /// What tells that the machine slept.
    pub wake: Arc<Wake>,
}

impl Yard {
    /// The pool of one server; nothing of it is started yet, nor before this one has cleared the way, nor at all
    /// while a note says that a person stopped it.
    pub fn pool(&self, server: Server, before: Option<&Pool>) -> Arc<Pool> {
        let budget = Budget::new(self.limits.clone());
        let terms = Terms {
            name: server.name.clone(),
            call_timeout: server.call_timeout,
            start_timeout: server.start_timeout,
            warm: server.warm,
            trust_annotations: server.trust_annotations,
            budget: Arc::clone(&budget),
            scope: server.scope,
            capacity: server.capacity.over(&self.capacity),
        };
        let (journal, offers) = (self.journal.clone(), Arc::clone(&self.offers));
        let recorder = Recorder::new(journal, offers, LaunchKey::of(&server));
        let stopped = Stopped::of(&self.paths).note(&server.name);
        let around = Surroundings {
            lines: self.lines.clone(),
            relay: Arc::clone(&self.relay),
            faces: Arc::clone(&self.faces),
            environment: self.site.environment.clone(),
            folder: self.site.folder.clone(),
            watcher: Arc::new(recorder),
            log_file: self.paths.server_log(&server.name),
            gate: Arc::clone(&self.gate),
            wake: Arc::clone(&self.wake),
            budget,
            tuning: self.tuning.subscribe(),
        };
        let cleared = before.map(Pool::cleared);
        self.pool_of(terms, Arc::new(Keepers { server, around, cleared, stopped }))
    }

    /// Other settings from here on: for servers that are made later, and for the next lives of these.
    pub fn tune(&mut self, settings: &Settings, pools: &[Arc<Pool>]) {
        self.capacity = settings.capacity.clone();
        self.limits = limits(settings);
        self.gate.resize(settings.max_cold_starts);
        self.tuning.send_replace(tuning(settings));
        pools.iter().for_each(|pool| pool.terms.budget.limit(self.limits.clone()));
    }

    /// The bridge's own tools, in a pool like any other.
    pub fn own(&self, builtin: Builtin) -> Arc<Pool> {
        let terms = Terms {
            name: ServerName::own(),
            call_timeout: CALL_TIMEOUT,
            start_timeout: CALL_TIMEOUT,
            warm: false,
            trust_annotations: false,
            budget: Budget::new(Limits::default()),
            scope: Scope::Shared,
            // They are quick, or hold up nobody.
            capacity: Capacity { max_concurrent: usize::MAX, ..Capacity::default() },
        };
        self.pool_of(terms, Arc::new(Own { builtin, relay: Arc::clone(&self.relay) }))
    }

    fn pool_of(&self, terms: Terms, staff: Arc<dyn Staff>) -> Arc<Pool> {
        Pool::new(terms, staff, self.commons.clone())
    }
}

/// A keeper for each connection of one server.
struct Keepers {
    server: Server,
    around: Surroundings,
    /// When the way is clear of the one that was there before, if one was.
    cleared: Option<watch::Receiver<bool>>,
    /// That a person stopped it.
    stopped: Option<Note>,
}

impl Staff for Keepers {
    fn keep(&self, post: Post) -> Work {
        if let Some(note) = &self.stopped {
            let at_ms = stamp::parse(&note.at).unwrap_or_else(stamp::now_ms);
            let since = SystemTime::UNIX_EPOCH + Duration::from_millis(at_ms.unsigned_abs());
            return Box::pin(held::hold(post, since));
        }
        let (cleared, mut stop) = (self.cleared.clone(), post.stop.clone());
        let keeper = Keeper::new(self.server.clone(), self.around.clone(), post);
        let name = self.server.name.clone();
        let kept = async move {
            if let Some(mut cleared) = cleared {
                tokio::select! {
                    // One that is dropped stands in nobody's way.
                    _ = cleared.wait_for(|is_clear| *is_clear) => {}
                    _ = stop.wait_for(Option::is_some) => return,
                }
            }
            keeper.run().await;
        };
        Box::pin(async move { guard::log_panic("keeper", name.as_str(), kept).await })
    }
}

/// Keeps the bridge's own tools.
struct Own {
    builtin: Builtin,
    relay: Arc<dyn Relay>,
}

impl Staff for Own {
    fn keep(&self, post: Post) -> Work {
        let kept = self.builtin.clone().keep(post.status, Arc::clone(&self.relay), post.stop);
        Box::pin(guard::log_panic("own tools", "bridge", kept))
    }
}

/// When servers may be started again.
pub fn limits(settings: &Settings) -> Limits {
    Limits {
        failure_threshold: settings.failure_threshold,
        recovery_timeout: settings.recovery_timeout,
        ..Limits::default()
    }
}

/// The settings for servers' next lives.
pub fn tuning(settings: &Settings) -> Tuning {
    Tuning {
        log_bytes_max: settings.stderr_log_max_bytes,
        line_bytes_max: settings.out_line_max_bytes,
        hang_after: settings.hang_after,
        idle_stop: settings.idle_stop,
    }
}

/// What is known by heart of servers.
pub fn known(config: &Config, environment: &Environment) -> Vec<Known> {
    let known = |server: &Server| Known {
        server: server.name.clone(),
        key: LaunchKey::of(server).as_str().to_owned(),
        program: Program::of(server, environment),
        rules: Arc::clone(&server.tools),
        on_tool_change: config.on_tool_change(server),
    };
    config.enabled().into_iter().map(known).collect()
}
