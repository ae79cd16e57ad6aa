//! `bridge doctor`: everything that could be why servers do not work, each with what to do about it.
//!
//! It looks and changes nothing: no folder is made, no record migrated, no socket tidied away. What it looks at is
//! gathered in one place and judged in another (`look` of each chapter), and each chapter has a thread of its own
//! and a bound: what hangs is named and holds nobody up.

mod bounded;
mod bridges;
mod clients;
mod config;
mod data;
mod disk;
mod finding;
mod name;
mod pins;
mod processes;
mod program;
mod screen;
mod server;

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::builtin::Builtin;
use crate::catalog::{Offer, Shape};
use crate::cli::chart::Letters;
use crate::cli::doctor::bounded::Bounded;
use crate::cli::doctor::finding::{Finding, Level};
use crate::cli::doctor::processes::Process;
use crate::cli::doctor::screen::Look;
use crate::cli::doctor::server::Offered;
use crate::cli::install::program as own_program;
use crate::cli::{tried, words};
use crate::clients::Launch;
use crate::clients::place::{Ground, System};
use crate::config::Loaded;
use crate::config::launch::LaunchKey;
use crate::config::server::Server;
use crate::environment::Environment;
use crate::list::Each;
use crate::local::stopped::Stopped;
use crate::paths::{Overrides, Paths};
use crate::store::checkup;
use crate::store::read::Reader;
use crate::store::read::answers::StartRow;

/// A chapter that takes longer hangs.
const BOUND: Duration = Duration::from_secs(5);

/// So long the record is looked through where nothing else takes time, …
const GLANCE: Duration = Duration::from_millis(300);
/// … and where servers are started meanwhile.
const STARE: Duration = Duration::from_secs(10);

/// So many of the newest events tell which processes have no end yet.
const EVENTS_MAX: u32 = 20_000;

/// The exit code when nobody could look.
const FAILED: u8 = 3;

/// Find out why servers do not work, and what to do about it
///
/// With `--json` it prints an object: `findings`, an array, and `summary` with `worst` (`ok`, `note`, `warning`,
/// `error`), `errors`, `warnings`, `notes` and `ok`, the counts. Each finding has `check` (a word that stays, as
/// `config.mistake` or `server.start`), `level`, `subject`, `message` and `advice` (null where nothing is to be done);
/// beside them what `check` has to say in figures, and in `output` what a server wrote last. Members may be added.
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Find out why servers do not work, and what to do about it",
    after_help = "It looks at the configuration, the data folder, the programs, the names of
tools, the clients' files and the bridges that run, and starts each server once.
It changes nothing.

Exits with 0 when all is well (there may be notes), 1 when there are warnings,
2 when there are errors, 3 when it could not look.

Examples:
  bridge doctor              look at everything
  bridge doctor github       start this server only
  bridge doctor --no-start   start none, in half a second
  bridge doctor --json       for a script"
)]
pub struct Args {
    /// Only these servers
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
    /// Starts no server
    #[arg(long)]
    no_start: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Looks, prints what was found, and says by the exit code how bad it is.
pub fn run(args: &Args, overrides: Overrides, out: &mut dyn Write) -> ExitCode {
    match diagnose(args, overrides).and_then(|found| show(args, &found, out).map(|()| found)) {
        Ok(found) => match screen::worst(&found) {
            Level::Well | Level::Note => ExitCode::SUCCESS,
            Level::Warning => ExitCode::from(1),
            Level::Error => ExitCode::from(2),
        },
        Err(error) => {
            let _ = crate::cli::report(&error);
            ExitCode::from(FAILED)
        }
    }
}

fn show(args: &Args, findings: &[Finding], out: &mut dyn Write) -> anyhow::Result<()> {
    if args.json {
        return words::say(out, &format!("{:#}", screen::json(findings)));
    }
    let home = Environment::own().home();
    let look = Look {
        columns: words::screen_columns(),
        is_unicode: Letters::of_locale() == Letters::Blocks,
        has_colours: std::io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
        home: home.as_deref().and_then(Path::to_str),
    };
    words::say(out, &screen::text(findings, look))
}

/// Whom and what it is about.
struct Case {
    paths: Paths,
    loaded: Loaded,
    environment: Environment,
    launch: Launch,
    /// The servers that are looked at: switched on, and named if any are.
    servers: Vec<Server>,
}

fn diagnose(args: &Args, overrides: Overrides) -> anyhow::Result<Vec<Finding>> {
    let paths = match Paths::find(overrides.clone()) {
        Ok(paths) => paths,
        Err(error) => {
            let advice = "set HOME, or name a folder with --data-dir";
            return Ok(vec![Finding::error("data.folder", "", error.to_string(), advice)]);
        }
    };
    // Before anything takes time: their ages are told by our own.
    let processes = Bounded::begin("the processes", BOUND, processes::all);
    let file = paths.config_file.clone();
    let loaded = Bounded::begin("the configuration", BOUND, move || crate::config::load(file.as_deref()));
    let loaded = match loaded.done() {
        Ok(loaded) => loaded,
        Err(late) => return Ok(vec![*late]),
    };
    let servers = chosen(&args.servers, &loaded, &paths)?;
    let launch = launch(&overrides, &paths);
    let case = Arc::new(Case { paths, loaded, environment: Environment::own(), launch, servers });
    let patience = if args.no_start { GLANCE } else { STARE };
    let chapters = [
        begin("the configuration", BOUND, &case, of_config),
        begin("the data folder", BOUND + patience, &case, move |case| of_data(case, patience)),
        begin("the programs", BOUND, &case, of_programs),
        begin("the stopped servers", BOUND, &case, of_stopped),
    ];
    let clients = begin("the clients", BOUND, &case, of_clients);
    let stored = begin("the record", BOUND, &case, of_record);
    let (processes, (unended, stored)) =
        (processes.done().unwrap_or_default(), stored.done().unwrap_or_default());
    let bridges = begin("the bridges", BOUND, &case, move |case| of_bridges(case, processes, unended));
    let trials = match args.no_start || case.servers.is_empty() {
        true => None,
        false => Some(tried::start(&case.servers, &case.loaded.config.settings)?),
    };
    let mut all: Vec<Finding> = chapters.into_iter().flat_map(|chapter| flat(chapter.done())).collect();
    let (of_clients, entered) = clients.done().unwrap_or_else(|late| (vec![*late], Vec::new()));
    let (of_bridges, running) = bridges.done().unwrap_or_else(|late| (vec![*late], BTreeSet::new()));
    let offered = match trials {
        Some(trials) => {
            let (explained, environment) = (explained(&all), &case.environment);
            let around = server::Around { running: &running, explained: &explained, environment };
            all.extend(server::started(&case.servers, &trials, &around));
            server::offered(&case.servers, &trials)
        }
        None => {
            all.extend(server::known(&case.servers, &stored));
            stored
        }
    };
    let items = Each { tools: Builtin::tools(false), ..Each::default() };
    let own = Offer { server: None, items, shape: Shape::default() };
    let offers: Vec<Offer> =
        [own].into_iter().chain(offered.into_iter().map(|offered| offered.offer)).collect();
    all.extend(name::look(&offers, &entered));
    all.extend(of_clients);
    all.extend(of_bridges);
    Ok(all)
}

/// The servers of which it was said why they cannot start.
fn explained(findings: &[Finding]) -> BTreeSet<String> {
    let errors = findings.iter().filter(|found| found.level == Level::Error);
    let mut names = BTreeSet::new();
    for found in errors {
        match found.check {
            "config.variable" | "config.cwd" => _ = names.insert(found.subject.clone()),
            _ => {
                let servers = found.details.get("servers").and_then(Value::as_array).into_iter().flatten();
                names.extend(servers.filter_map(Value::as_str).map(str::to_owned));
            }
        }
    }
    names
}

fn begin<T: Send + 'static>(
    what: &'static str,
    bound: Duration,
    case: &Arc<Case>,
    work: impl FnOnce(&Case) -> T + Send + 'static,
) -> Bounded<T> {
    let case = Arc::clone(case);
    Bounded::begin(what, bound, move || work(&case))
}

fn flat(done: Result<Vec<Finding>, Box<Finding>>) -> Vec<Finding> {
    done.unwrap_or_else(|late| vec![*late])
}

/// The servers that are looked at.
fn chosen(named: &[String], loaded: &Loaded, paths: &Paths) -> anyhow::Result<Vec<Server>> {
    let all = &loaded.config.servers;
    for name in named {
        let is_known = all.iter().any(|server| server.name.as_str() == name)
            || loaded.broken.servers.iter().any(|(_, broken)| broken.as_str() == name);
        let names: Vec<&str> = all.iter().map(|server| server.name.as_str()).collect();
        if !is_known {
            return Err(crate::cli::server::unknown(paths, &names, name));
        }
    }
    let is_chosen = |server: &&Server| match named {
        [] => server.enabled,
        named => named.iter().any(|name| server.name.as_str() == name),
    };
    Ok(all.iter().filter(is_chosen).cloned().collect())
}

/// How a client would start this bridge in these places.
fn launch(overrides: &Overrides, paths: &Paths) -> Launch {
    let text = |path: &Path| path.display().to_string();
    let given = |place: &Option<std::path::PathBuf>| {
        place.as_ref().is_some_and(|place| !place.as_os_str().is_empty())
    };
    let program = own_program::own().unwrap_or_else(|_| "bridge".to_owned());
    let config = paths.config_file.as_deref().filter(|_| given(&overrides.config_file)).map(text);
    let data_dir = given(&overrides.data_dir).then(|| text(&paths.data_dir));
    Launch { program, config, data_dir }
}

fn all_of(case: &Case) -> Vec<&Server> {
    case.servers.iter().collect()
}

fn of_config(case: &Case) -> Vec<Finding> {
    let seen = config::Seen::of(&case.loaded, case.paths.config_default.as_deref(), &case.environment);
    config::look(&seen, &all_of(case))
}

fn of_data(case: &Case, patience: Duration) -> Vec<Finding> {
    data::look(&case.paths.data_dir, &checkup::look(&case.paths.data_dir, patience))
}

fn of_programs(case: &Case) -> Vec<Finding> {
    program::look(&all_of(case), &program::Around::here(&case.environment, System::here()))
}

fn of_stopped(case: &Case) -> Vec<Finding> {
    server::stopped(&case.servers, &Stopped::of(&case.paths))
}

fn of_clients(case: &Case) -> (Vec<Finding>, Vec<clients::Entered>) {
    let seen = Ground::here().map(|ground| clients::read(&ground)).unwrap_or_default();
    let wanted = clients::Wanted { launch: case.launch.clone(), servers: &case.loaded.config.servers };
    clients::look(&seen, &wanted)
}

/// What the record knows: processes of servers without an end, and what servers offered last.
fn of_record(case: &Case) -> (Vec<StartRow>, Vec<Offered>) {
    // A record that cannot be read is said by the chapter of the data folder.
    let Ok(Some(reader)) = Reader::open_without_trace(&case.paths.data_dir) else {
        return Default::default();
    };
    let keys: Vec<String> = case.servers.iter().map(|server| LaunchKey::of(server).to_string()).collect();
    let rows = reader.catalog(&keys).unwrap_or_default();
    let of = |(server, key): (&Server, &String)| {
        let row = rows.iter().find(|row| row.key == *key)?;
        Some(Offered::stored(server, row))
    };
    let offered = case.servers.iter().zip(&keys).filter_map(of).collect();
    (reader.unended(EVENTS_MAX).unwrap_or_default(), offered)
}

/// What is to be said of the bridges, and the servers that are ready in one of them.
fn of_bridges(
    case: &Case,
    processes: Vec<Process>,
    unended: Vec<StartRow>,
) -> (Vec<Finding>, BTreeSet<String>) {
    let now_ms = words::now_ms();
    let seen = bridges::ask(&case.paths.data_dir, processes, unended);
    (bridges::look(&seen, now_ms), bridges::ready(&seen))
}
