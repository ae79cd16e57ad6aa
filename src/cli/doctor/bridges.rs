//! The bridges that run on the data folder, and what dead ones left behind.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::cli::doctor::finding::{Finding, Level};
use crate::cli::doctor::processes::Process;
use crate::cli::running::{self, Asked};
use crate::local::Hall;
use crate::local::notes::RolledBack;
use crate::store::read::answers::StartRow;
use crate::version;

/// A process began when its start was recorded, or less than this before or after it, milliseconds.
const BEGUN_WITHIN_MS: i64 = 3_000;

/// What was seen of the bridges of a data folder.
#[derive(Debug, Default)]
pub struct Seen {
    /// Each bridge that serves clients, with its `status`.
    pub asked: Vec<Asked>,
    /// The hub's own `status`.
    pub hub: Option<Value>,
    /// Why there is none, where one should be.
    pub error: Option<String>,
    /// Whether the hub is held (`bridge stop --hold`).
    pub is_held: bool,
    /// The program that was given up last.
    pub rolled_back: Option<RolledBack>,
    /// All processes of this machine.
    pub processes: Vec<Process>,
    /// Processes of servers of which no end is recorded.
    pub unended: Vec<StartRow>,
}

/// Asks the bridges of a data folder.
pub fn ask(data_dir: &Path, processes: Vec<Process>, unended: Vec<StartRow>) -> Seen {
    let notes = Hall::of(data_dir).notes();
    let mut seen = Seen {
        is_held: notes.is_held(),
        rolled_back: notes.rolled_back(),
        processes,
        unended,
        ..Seen::default()
    };
    match running::look_at_all(data_dir) {
        Ok((asked, None)) => seen.asked = asked,
        Ok((asked, Some(Asked { answer: Ok(hub), .. }))) => (seen.asked, seen.hub) = (asked, Some(hub)),
        Ok((asked, Some(Asked { answer: Err(error), pid }))) => {
            let process = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            seen.asked = asked;
            seen.error = Some(format!("{error}{process}"));
        }
        Err(error) => seen.error = Some(format!("{error:#}")),
    }
    seen
}

/// What is to be said of them.
pub fn look(seen: &Seen, now_ms: i64) -> Vec<Finding> {
    let mut findings: Vec<Finding> = seen.asked.iter().filter_map(silent).collect();
    findings.extend(seen.error.iter().map(|error| {
        let advice = "end it with bridge stop, or by its process; the next request starts another";
        Finding::error("bridge.hub", "hub", format!("gives no answer: {error}"), advice)
    }));
    findings.extend(seen.is_held.then(|| {
        let message = "is stopped and held (bridge stop --hold), so that no client is served";
        Finding::error("bridge.held", "hub", message, "bridge start")
    }));
    findings.extend(seen.rolled_back.as_ref().map(rolled_back));
    findings.extend(versions(seen));
    findings.extend(seen.asked.iter().filter_map(|asked| asked.answer.as_ref().ok()).flat_map(servers));
    findings.extend(replaced(seen));
    findings.extend(leftovers(seen, now_ms));
    // Where none can run, that is said.
    let is_said = seen.hub.is_none() && (seen.is_held || seen.error.is_some());
    findings.extend((!is_said).then(|| count(seen)));
    findings
}

/// The servers that are ready in a bridge.
pub fn ready(seen: &Seen) -> BTreeSet<String> {
    let answers = seen.asked.iter().filter_map(|asked| asked.answer.as_ref().ok());
    let servers = answers.flat_map(|answer| list(at(answer, "/status/servers")));
    let ready = servers.filter(|server| server["state"] == "ready");
    ready.filter_map(|server| server["name"].as_str()).map(str::to_owned).collect()
}

fn count(seen: &Seen) -> Finding {
    let fronts = seen.hub.as_ref().map_or(0, |hub| list(&hub["fronts"]).len());
    let alone = seen.asked.iter().filter(|asked| asked.answer.is_ok() && !is_hub(seen, asked.pid)).count();
    let clients = fronts + alone;
    let message = match (&seen.hub, clients) {
        (None, 0) => "none runs now; a client starts one".to_owned(),
        (None, 1) => "1 serves its client alone".to_owned(),
        (None, many) => format!("{many} serve their clients alone"),
        (Some(hub), 1) => format!("hub {}, and 1 client", hub["pid"]),
        (Some(hub), many) => format!("hub {}, and {many} clients", hub["pid"]),
    };
    Finding::well("bridge.running", "", message).with("clients", clients)
}

fn is_hub(seen: &Seen, pid: Option<u32>) -> bool {
    let hub = seen.hub.as_ref().and_then(|hub| hub["pid"].as_u64());
    hub.is_some() && hub == pid.map(u64::from)
}

fn silent(asked: &Asked) -> Option<Finding> {
    let error = asked.answer.as_ref().err()?;
    let pid = asked.pid.map_or_else(|| "?".into(), |pid| pid.to_string());
    let advice =
        format!("if it stays so, end it: kill {pid}; its client starts it again, or has to be restarted");
    Some(
        Finding::error("bridge.silent", format!("bridge {pid}"), error.to_string(), advice)
            .with("pid", asked.pid),
    )
}

fn rolled_back(given_up: &RolledBack) -> Finding {
    let message = format!("was rolled back: {}", given_up.because);
    let advice = "the one before it serves; bridge upgrade PATH with a sound program";
    Finding::warning("bridge.rolled-back", given_up.path.display().to_string(), message, advice)
}

/// What a bridge says itself of its servers and its record.
fn servers(answer: &Value) -> Vec<Finding> {
    let bridge = at(answer, "/status/bridge/pid");
    let parked =
        list(at(answer, "/status/servers")).iter().filter(|server| *at(server, "/state") == "parked");
    let parked = parked.map(|server| {
        let name = at(server, "/name").as_str().unwrap_or_default();
        let because = at(server, "/because").as_str().unwrap_or("it failed too often");
        let message = format!("is parked in bridge {bridge}, its calls are refused: {because}");
        let advice = format!("once it can start: bridge restart {name}");
        Finding::warning("bridge.parked", name, message, advice).with("pid", bridge.clone())
    });
    let gap = at(answer, "/status/record/lastError").as_str().map(|error| {
        let message = format!("its record has a gap: {error}");
        let advice = "see what is said of the data folder and its disk";
        Finding::warning("bridge.gap", format!("bridge {bridge}"), message, advice)
            .with("pid", bridge.clone())
    });
    parked.chain(gap).collect()
}

/// Bridges of another version than this program.
fn versions(seen: &Seen) -> Vec<Finding> {
    let hub = seen.hub.iter().map(|hub| ("hub", &hub["pid"], &hub["version"]));
    let fronts = seen.hub.iter().flat_map(|hub| list(&hub["fronts"]));
    let fronts = fronts.map(|front| ("front", &front["pid"], &front["version"]));
    let alone = seen.asked.iter().filter(|asked| !is_hub(seen, asked.pid));
    let alone = alone.filter_map(|asked| asked.answer.as_ref().ok());
    let alone = alone
        .map(|answer| ("bridge", at(answer, "/status/bridge/pid"), at(answer, "/status/bridge/version")));
    let own = version::own();
    let other = |(kind, pid, other): (&str, &Value, &Value)| {
        let other = other.as_str().filter(|other| *other != own)?;
        let message = format!("has version {other}, this program {own}");
        let (level, advice) = match kind {
            "hub" if version::is_newer(own, other) => {
                (Level::Warning, "bridge upgrade: clients notice nothing")
            }
            "hub" => (Level::Warning, "use the newer program: this one is older than what serves"),
            "front" => {
                (Level::Note, "an older one takes the newer program by itself; else restart its client")
            }
            _ => (Level::Warning, "restart its client"),
        };
        let finding = Finding::bad("bridge.version", level, format!("{kind} {pid}"), message, advice);
        Some(finding.with("pid", pid.clone()).with("version", other))
    };
    hub.chain(fronts).chain(alone).filter_map(other).collect()
}

/// Bridges whose program was removed or replaced.
fn replaced(seen: &Seen) -> Vec<Finding> {
    let pids = bridges(seen);
    let replaced = seen.processes.iter().filter(|process| process.is_replaced && pids.contains(&process.pid));
    let told = replaced.map(|process| {
        let message = "the file of its program was removed or replaced since it began";
        let advice = "restart its client, or bridge upgrade, so that it is the program that lies there now";
        Finding::note("bridge.replaced", format!("bridge {}", process.pid), message, advice)
            .with("pid", process.pid)
    });
    told.collect()
}

/// The processes that are known to be bridges.
fn bridges(seen: &Seen) -> BTreeSet<u32> {
    let number = |value: &Value| value.as_u64().and_then(|pid| u32::try_from(pid).ok());
    let asked = seen.asked.iter().filter_map(|asked| asked.pid);
    let hub = seen.hub.iter().filter_map(|hub| number(&hub["pid"]));
    let fronts =
        seen.hub.iter().flat_map(|hub| list(&hub["fronts"])).filter_map(|front| number(&front["pid"]));
    asked.chain(hub).chain(fronts).collect()
}

/// Servers that outlived their bridge: still the process that was recorded, and no bridge's child any more.
fn leftovers(seen: &Seen, now_ms: i64) -> Vec<Finding> {
    let bridges = bridges(seen);
    let of = |pid: u32| seen.processes.iter().find(|process| process.pid == pid);
    let is_bridge = |process: &Process| {
        bridges.contains(&process.pid)
            || (process.name().starts_with("bridge") && matches!(process.verb(), "serve" | "hub"))
    };
    let mut findings = Vec::new();
    for row in &seen.unended {
        let Some(process) = of(row.pid) else { continue };
        let is_same = (now_ms - process.age_ms - row.at_ms).abs() <= BEGUN_WITHIN_MS;
        // Who has no parent here that can be seen is somebody else's.
        let is_orphan = of(process.parent).is_some_and(|parent| !is_bridge(parent));
        if is_same && is_orphan {
            let message = format!("process {} ({}) outlived its bridge", row.pid, process.name());
            let advice = format!("end it and what it started: kill -- -{}", row.pid);
            let finding = Finding::warning("bridge.leftover", row.server.as_str(), message, advice);
            findings.push(finding.with("pid", row.pid).with("server", row.server.as_str()));
        }
    }
    findings
}

fn at<'a>(answer: &'a Value, place: &str) -> &'a Value {
    answer.pointer(place).unwrap_or(&Value::Null)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
