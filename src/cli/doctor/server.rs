//! The servers themselves: each started once, and what it is like then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::catalog::{Offer, Shape};
use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::pins;
use crate::cli::{tried, words};
use crate::clients::masked;
use crate::config::server::Server;
use crate::credentials::Template;
use crate::downstream::Ending;
use crate::downstream::listing::Items;
use crate::environment::Environment;
use crate::list::{Each, List};
use crate::local::stopped::Stopped;
use crate::serve::trial::{Seen, Trial};
use crate::store::rows::CatalogRow;

/// A server that needs longer until it is ready keeps somebody waiting.
const SLOW: Duration = Duration::from_secs(10);

/// So many of the last lines that a server wrote are shown.
const OUTPUT_MAX: usize = 6;

/// A shorter value is a word that may stand anywhere.
const HIDDEN_CHARS_MIN: usize = 6;

/// What a server offered when it was asked last.
#[derive(Debug, Clone)]
pub struct Offered {
    /// Its lists.
    pub offer: Offer,
    /// The version that it says it has.
    pub version: Option<String>,
}

impl Offered {
    /// What a row of the record says.
    pub fn stored(server: &Server, row: &CatalogRow) -> Self {
        let read = |list: &str| Items::parse(list).map(|items| items.items).unwrap_or_default();
        let some = |list: &Option<String>| list.as_deref().map(read).unwrap_or_default();
        let items = Each {
            tools: read(&row.tools),
            prompts: some(&row.prompts),
            resources: some(&row.resources),
            templates: some(&row.templates),
        };
        let info = row.greeting.as_ref().and_then(|greeting| greeting.server_info.as_deref());
        Self { offer: offer(server, items), version: info.and_then(version) }
    }

    fn is_of(&self, server: &Server) -> bool {
        self.offer.server.as_ref() == Some(&server.name)
    }

    fn tools(&self) -> usize {
        self.offer.items.get(List::Tools).len()
    }
}

/// The version in what a server says of itself.
fn version(info: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Info {
        version: Option<String>,
    }
    serde_json::from_str::<Info>(info).ok()?.version
}

/// What is to be said of servers that are not started, by what is known of them from before.
pub fn known(servers: &[Server], stored: &[Offered]) -> Vec<Finding> {
    let told = servers.iter().map(|server| {
        let message = match stored.iter().find(|offered| offered.is_of(server)) {
            Some(offered) => {
                format!("not started now; it offered {} when it was asked last", tools(offered.tools()))
            }
            None => "not started now, and nothing is known of it yet".to_owned(),
        };
        Finding::well("server.known", server.name.as_str(), message)
    });
    told.chain(pins(servers, stored)).collect()
}

/// Servers that a person stopped, and that nothing starts until a person does.
pub fn stopped(servers: &[Server], notes: &Stopped) -> Vec<Finding> {
    let of = |server: &Server| {
        let note = notes.note(&server.name)?;
        let name = server.name.as_str();
        let message =
            format!("was stopped by hand at {} (bridge stop {name}), and its calls are refused", note.at);
        Some(Finding::error("server.stopped", name, message, format!("bridge start {name}")))
    };
    servers.iter().filter_map(of).collect()
}

/// What is known of servers that were started.
pub struct Around<'a> {
    /// Those that a bridge has running.
    pub running: &'a BTreeSet<String>,
    /// Those of which it was said already why they cannot start.
    pub explained: &'a BTreeSet<String>,
    /// The variables of this shell.
    pub environment: &'a Environment,
}

/// What is to be said of servers that were started.
pub fn started(servers: &[Server], trials: &[Trial], around: &Around<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (server, trial) in servers.iter().zip(trials) {
        let name = server.name.as_str();
        let finding = match &trial.result {
            Ok(seen) => ready(trial, seen),
            Err(_) if around.explained.contains(name) => continue,
            Err(ending) => failed(server, ending, around.running.contains(name), around.environment),
        };
        findings.push(with_figures(finding, server, trial));
    }
    findings.extend(pins(servers, &offered(servers, trials)));
    findings
}

/// What servers offered that were started.
pub fn offered(servers: &[Server], trials: &[Trial]) -> Vec<Offered> {
    let of = |(server, trial): (&Server, &Trial)| {
        let seen = trial.result.as_ref().ok()?;
        let mut items = Each::default();
        for list in List::ALL {
            let listed = seen.lists.get(list).as_ref().map(|items| items.items.clone());
            *items.get_mut(list) = listed.unwrap_or_default();
        }
        let info = seen.greeting.as_ref().and_then(|greeting| greeting.server_info.as_deref());
        Some(Offered { offer: offer(server, items), version: info.and_then(version) })
    };
    servers.iter().zip(trials).filter_map(of).collect()
}

/// As its entry says that it is shown.
fn offer(server: &Server, items: Each<Vec<Arc<str>>>) -> Offer {
    let shape = Shape { rules: Arc::clone(&server.tools), ..Shape::default() };
    Offer { server: Some(server.name.clone()), items, shape }
}

fn pins(servers: &[Server], offered: &[Offered]) -> Vec<Finding> {
    let version = |server: &Server| offered.iter().find(|offered| offered.is_of(server))?.version.as_deref();
    servers.iter().filter_map(|server| pins::look(server, version(server))).collect()
}

fn ready(trial: &Trial, seen: &Seen) -> Finding {
    let name = trial.server.as_str();
    let took = words::micros(u64::try_from(trial.after.as_micros()).unwrap_or(u64::MAX));
    let era = seen
        .greeting
        .as_ref()
        .map(|greeting| format!(", {} era, {}", greeting.era.word(), greeting.protocol_version));
    let era = era.unwrap_or_default();
    let Some(count) = seen.count(List::Tools) else {
        let message = format!("ready in {took}{era}, and did not say which tools it has");
        let advice = format!(
            "see what it wrote: bridge logs, or its command in a terminal; then bridge restart {name}"
        );
        return Finding::warning("server.tools", name, message, advice);
    };
    let message = format!("ready in {took}, {}{era}", tools(count));
    if trial.after > SLOW {
        let advice = "have nothing fetched at its start (install or pin its package); warm = true in its entry starts \
                      it before somebody waits";
        return Finding::warning("server.slow", name, message, advice);
    }
    let is_empty = List::ALL.into_iter().all(|list| seen.count(list).unwrap_or_default() == 0);
    if is_empty {
        let advice = "see whether it needs an argument or a login to have something to offer";
        return Finding::note("server.empty", name, format!("{message}, and nothing else"), advice);
    }
    Finding::well("server.start", name, message)
}

fn failed(server: &Server, ending: &Ending, is_running: bool, environment: &Environment) -> Finding {
    let name = server.name.as_str();
    let hidden = Hidden::of(server, environment);
    let from = ending.stderr.len().saturating_sub(OUTPUT_MAX);
    let output = ending.stderr.iter().skip(from).map(|line| hidden.without(line)).collect();
    let message = hidden.without(&format!("did not become ready: it {ending}"));
    let finding = if is_running {
        let advice = "nothing, if only one of it may run at a time: a bridge has it running";
        Finding::warning("server.start", name, message, advice)
    } else {
        Finding::error("server.start", name, message, tried::advice(server, ending))
    };
    finding.quoting(output)
}

/// The same for programs: what [`tried::json`] has, without what a server wrote and without its tools.
fn with_figures(finding: Finding, server: &Server, trial: &Trial) -> Finding {
    let figures = tried::json(server, trial);
    let kept = ["ready", "afterMs", "phasesMs", "era", "protocolVersion", "serverInfo"];
    let finding = kept.into_iter().fold(finding, |finding, key| match figures.get(key) {
        Some(figure) => finding.with(key, figure.clone()),
        None => finding,
    });
    let error = ["cause", "exitCode", "signal"].into_iter().fold(finding, |finding, key| {
        match figures.get("error").and_then(|error| error.get(key)) {
            Some(figure) => finding.with(key, figure.clone()),
            None => finding,
        }
    });
    match &trial.result {
        Ok(seen) => error.with("tools", seen.count(List::Tools)),
        Err(_) => error,
    }
}

/// The values of a server's entry that are nobody's business.
struct Hidden(Vec<String>);

impl Hidden {
    fn of(server: &Server, environment: &Environment) -> Self {
        let resolved = |value: &Template| value.resolve(|name| environment.get(name)).ok();
        let of_env = server.env.iter().filter_map(|(name, value)| {
            let is_referred = value.variables().next().is_some();
            resolved(value).filter(|value| is_referred || masked::is_secret(name, value))
        });
        let args: Vec<String> = server.args.iter().filter_map(resolved).collect();
        let of_args = server.args.iter().filter(|arg| arg.variables().next().is_some()).filter_map(resolved);
        let written = args.iter().filter(|_| masked::hold_secret(&args)).cloned();
        let all = of_env.chain(of_args).chain(written);
        Self(all.filter(|value| value.chars().count() >= HIDDEN_CHARS_MIN).collect())
    }

    fn without(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, hidden| text.replace(hidden.as_str(), "***"))
    }
}

fn tools(count: usize) -> String {
    if count == 1 { "1 tool".to_owned() } else { format!("{} tools", words::count(count as u64)) }
}

#[cfg(test)]
mod tests;
