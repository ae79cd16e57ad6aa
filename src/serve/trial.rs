//! Servers are started once, outside of any hub, to see what they are: each by a keeper of its own, as ever, and
//! ended for sure before this is over. Nothing of it is written down.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use serde::Deserialize;
use tokio::runtime::Builder;
use tokio::sync::{Notify, watch};

use crate::config::program::Program;
use crate::config::server::Server;
use crate::config::settings::Settings;
use crate::config::sharing::Scope;
use crate::downstream::budget::Budget;
use crate::downstream::client::{Faces, Ownership};
use crate::downstream::gate::Gate;
use crate::downstream::greeting::Greeting;
use crate::downstream::keeper::{Keeper, Surroundings};
use crate::downstream::listing::{Items, Listing};
use crate::downstream::pool::Post;
use crate::downstream::pool::key::{Farewell, Tenant};
use crate::downstream::wake::Wake;
use crate::downstream::watcher::{Happened, Phases, Watcher};
use crate::downstream::{Ending, guardian, link};
use crate::environment::{Environment, Folder};
use crate::guard;
use crate::list::{Each, List};
use crate::names::ServerName;
use crate::serve::begin;
use crate::serve::house::servers::{limits, tuning};
use crate::session::switchboard::Switchboard;
use crate::shutdown::Closing;

/// One server that was started once.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The server.
    pub server: ServerName,
    /// The file that its command stands for, where there is one.
    pub program: Option<PathBuf>,
    /// Its process, when one was started.
    pub pid: Option<u32>,
    /// From its start until it was ready, or had failed.
    pub after: Duration,
    /// What it is, or why it did not become ready.
    pub result: Result<Seen, Arc<Ending>>,
}

/// What a server that became ready is.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How long each phase of its start took.
    pub phases: Phases,
    /// What it said of itself, as it says it to a client of the older era unless it speaks the modern one only.
    pub greeting: Option<Greeting>,
    /// What it lists; `None` is a list that did not arrive.
    pub lists: Each<Option<Items>>,
}

/// A tool as its server defines it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it says of itself, or nothing.
    pub description: String,
    /// The size of its whole definition, in bytes of JSON.
    pub bytes: usize,
}

impl Seen {
    /// Its tools in its own order; `None` when it did not list them.
    #[must_use]
    pub fn tools(&self) -> Option<Vec<Tool>> {
        #[derive(Default, Deserialize)]
        struct Definition {
            #[serde(default)]
            name: String,
            #[serde(default)]
            description: Option<String>,
        }
        let tool = |definition: &Arc<str>| {
            let Definition { name, description } = serde_json::from_str(definition).unwrap_or_default();
            Tool { name, description: description.unwrap_or_default(), bytes: definition.len() }
        };
        self.lists.tools.as_ref().map(|tools| tools.items.iter().map(tool).collect())
    }

    /// How many items of a list it has; `None` when that did not arrive.
    #[must_use]
    pub fn count(&self, list: List) -> Option<usize> {
        self.lists.get(list).as_ref().map(|items| items.items.len())
    }
}

/// Hears what happens while servers are tried. Must not block.
pub type Told = Arc<dyn Fn(&ServerName, &Happened) + Send + Sync>;

/// Starts servers side by side, as many at once as the settings say, and gives what became of each, in order. To be
/// called once in a process's life: it hears the process's signals from then on. Each server has its own
/// `start_timeout_s`; none of their processes is left at the end, whatever that is.
///
/// # Errors
/// When somebody interrupts it, or the system has no room for it.
pub fn run(
    servers: &[Server],
    settings: &Settings,
    environment: &Environment,
    told: &Told,
) -> anyhow::Result<Vec<Trial>> {
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let closing = Closing::default();
    begin(&closing)?;
    let gate = Gate::new(settings.max_cold_starts);
    let (_tuning, tuned) = watch::channel(tuning(settings));
    let trials = servers.iter().map(|server| {
        let seen = Arc::new(Witness { told: Arc::clone(told), seen: Mutex::default(), over: Notify::new() });
        let around = Surroundings {
            lines: runtime.handle().clone(),
            relay: Arc::new(Switchboard::default()),
            faces: Arc::<Faces>::default(),
            environment: environment.clone(),
            folder: folder(server, environment),
            watcher: Arc::clone(&seen) as _,
            // Nowhere: what matters of it stands in its ending.
            log_file: PathBuf::new(),
            gate: Arc::clone(&gate),
            budget: Budget::new(limits(settings)),
            tuning: tuned.clone(),
            wake: Wake::new(),
        };
        one(server, around, seen, &closing)
    });
    let trials = runtime.block_on(join_all(trials));
    guardian::dismiss().reap();
    anyhow::ensure!(closing.reason().is_none(), "interrupted: the servers that ran were ended");
    Ok(trials)
}

/// Where a server runs if nobody says it: behind a hub the user's own folder, or where its client was started, which
/// here is whoever tries it.
fn folder(server: &Server, environment: &Environment) -> Folder {
    match server.scope {
        Scope::Shared | Scope::User => environment.home().map(Into::into),
        Scope::Session | Scope::Thread | Scope::Call => None,
    }
}

/// One server, from its start until nothing is left of it.
async fn one(server: &Server, around: Surroundings, seen: Arc<Witness>, closing: &Closing) -> Trial {
    let program = Program::of(server, &around.environment).file().filter(|file| file.is_file());
    let (name, stop) = (server.name.clone(), watch::Sender::new(None));
    let (link, status, orders) = link(name.clone(), server.call_timeout, server.start_timeout);
    let post = Post {
        tenant: Tenant::default(),
        ownership: Ownership::of(None),
        base: None,
        interest: Arc::clone(&link.interest),
        status,
        orders,
        stop: stop.subscribe(),
    };
    let keeper = Keeper::new(server.clone(), around, post).run();
    let kept = async {
        guard::log_panic("keeper", name.as_str(), keeper).await;
        // It may have panicked.
        seen.over.notify_one();
    };
    let tried = async {
        link.wake();
        tokio::select! {
            () = seen.over.notified() => {}
            _ = closing.raised() => {}
        }
        stop.send_replace(Some(Farewell::BridgeStops));
    };
    tokio::join!(kept, tried);
    let Heard { pid, after, listing, result } = std::mem::take(&mut *seen.lock());
    let result = result.unwrap_or_else(|| Err(Arc::new(Ending::unknown())));
    let Listing { greeting, lists } = listing;
    Trial { server: name, program, pid, after, result: result.map(|phases| Seen { phases, greeting, lists }) }
}

/// Hears of one server's life until it is ready or has failed.
struct Witness {
    told: Told,
    seen: Mutex<Heard>,
    over: Notify,
}

/// What was heard of it.
#[derive(Default)]
struct Heard {
    pid: Option<u32>,
    after: Duration,
    listing: Listing,
    result: Option<Result<Phases, Arc<Ending>>>,
}

impl Witness {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self, pid: Option<u32>, after: Duration, result: Result<Phases, Arc<Ending>>) {
        let mut heard = self.lock();
        // The process that became ready may be another than the one that was started first.
        (heard.pid, heard.after, heard.result) = (pid, after, Some(result));
        self.over.notify_one();
    }
}

impl Watcher for Witness {
    fn happened(&self, server: &ServerName, _: &Tenant, event: Happened) {
        if self.lock().result.is_some() {
            return;
        }
        (self.told)(server, &event);
        match event {
            Happened::Ready { pid, phases } => self.is_over(Some(pid), phases.first_list, Ok(phases)),
            Happened::Ended { pid, ending, after } => self.is_over(pid, after, Err(ending)),
            _ => {}
        }
    }

    fn greeted_before(&self, _: &ServerName) -> Option<Greeting> {
        None
    }

    fn listed(&self, _: &ServerName, listing: Listing) {
        let mut heard = self.lock();
        let known = std::mem::replace(&mut heard.listing, listing);
        // One that was late comes alone.
        for list in List::ALL {
            let list = (heard.listing.lists.get_mut(list), known.lists.get(list));
            if list.0.is_none() {
                list.0.clone_from(list.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_measured_by_its_whole_definition() {
        let defined = r#"[{"name":"a","description":"does a","x":1},{"name":"b"},{"name":7}]"#;
        let tools = Some(Items::parse(defined).unwrap());
        let lists = Each { tools, ..Each::default() };
        let seen = Seen { phases: Phases::default(), greeting: None, lists };
        let tool = |name: &str, description: &str, bytes| Tool {
            name: name.into(),
            description: description.into(),
            bytes,
        };
        assert_eq!(seen.tools().unwrap(), [tool("a", "does a", 41), tool("b", "", 12), tool("", "", 10)]);
        assert_eq!((seen.count(List::Tools), seen.count(List::Prompts)), (Some(3), None));
    }
}
