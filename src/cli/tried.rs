//! Servers that are started once, as a person and a script see it: how far it is, what they are, and what to do
//! about those that fail.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::progress::{Progress, Task};
use crate::cli::words;
use crate::config::server::Server;
use crate::config::settings::Settings;
use crate::downstream::Ending;
use crate::downstream::greeting::Greeting;
use crate::downstream::watcher::Happened;
use crate::environment::Environment;
use crate::list::List;
use crate::names::ServerName;
use crate::outcome::Cause;
use crate::serve::trial::{self, Seen, Tool, Trial};

/// The most that `start_timeout_s` can be.
const START_TIMEOUT_S_MAX: u64 = 600;

/// The words before what is told of a server stand in so many columns.
const LABELS: usize = 12;

/// Starts servers once, in this process's own environment, and shows on stderr how far they are. Gives what became
/// of each, in order; to be called once in a process's life.
///
/// # Errors
/// When somebody interrupts it, or the system has no room for it.
pub fn start(servers: &[Server], settings: &Settings) -> anyhow::Result<Vec<Trial>> {
    let (progress, tasks) = (Progress::on_stderr(), Mutex::<BTreeMap<String, Task>>::default());
    let told = move |server: &ServerName, event: &Happened| {
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let name = server.as_str();
        let begun = tasks.remove(name).unwrap_or_else(|| progress.begin(name, "starting"));
        match event {
            Happened::Ready { phases, .. } => begun.done(&format!("ready in {}", took(phases.first_list))),
            Happened::Ended { ending, .. } => begun.done(&format!("failed: it {ending}")),
            _ => drop(tasks.insert(name.to_owned(), begun)),
        }
    };
    trial::run(servers, settings, &Environment::own(), &(Arc::new(told) as _))
}

/// A server that was started once, as a screen: what it is and has, or why it failed and what to do.
#[must_use]
pub fn screen(server: &Server, trial: &Trial, columns: u16) -> String {
    let mut screen = Screen { text: String::new(), columns };
    match &trial.result {
        Ok(seen) => ready(&mut screen, trial, seen),
        Err(ending) => failed(&mut screen, server, trial, ending),
    }
    screen.text
}

/// The same for a script.
///
/// `server`; `program`, the file of its command, or null; `pid`, or null; `ready`; `afterMs`, until it was ready or
/// had failed. Of one that is ready `phasesMs` (`gate`, its turn; `spawned`, `handshake` and `firstList`, each from
/// its start on), `era` (`legacy` or `modern`), `protocolVersion`, `serverInfo` as it sent it, `tools` (null, or of
/// each `name`, `description` and the `bytes` of its definition), and the numbers of its `prompts`, `resources` and
/// `resourceTemplates` (null where that list did not arrive). Of one that is not `error`: `cause` (the words of a
/// call's error), `what`, `exitCode`, `signal`, the last lines of its `stderr`, and `advice`.
#[must_use]
pub fn json(server: &Server, trial: &Trial) -> Value {
    let mut told = json!({
        "server": trial.server.as_str(),
        "program": trial.program,
        "pid": trial.pid,
        "ready": trial.result.is_ok(),
        "afterMs": ms(trial.after),
    });
    let more = match &trial.result {
        Ok(seen) => seen_json(seen),
        Err(ending) => json!({ "error": {
            "cause": ending.cause.word(),
            "what": ending.what,
            "exitCode": ending.exit_code,
            "signal": ending.signal,
            "stderr": ending.stderr,
            "advice": advice(server, ending),
        }}),
    };
    if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
        told.extend(more);
    }
    told
}

fn seen_json(seen: &Seen) -> Value {
    let greeting = seen.greeting.as_ref();
    let tool =
        |tool: Tool| json!({ "name": tool.name, "description": tool.description, "bytes": tool.bytes });
    json!({
        "phasesMs": {
            "gate": ms(seen.phases.gate),
            "spawned": ms(seen.phases.spawned),
            "handshake": ms(seen.phases.handshake),
            "firstList": ms(seen.phases.first_list),
        },
        "era": greeting.map(|greeting| greeting.era.word()),
        "protocolVersion": greeting.map(|greeting| &greeting.protocol_version),
        "serverInfo": greeting.and_then(info),
        "tools": seen.tools().map(|tools| tools.into_iter().map(tool).collect::<Vec<_>>()),
        "prompts": seen.count(List::Prompts),
        "resources": seen.count(List::Resources),
        "resourceTemplates": seen.count(List::Templates),
    })
}

/// What to do about a server that did not become ready, in a sentence or two.
#[must_use]
pub fn advice(server: &Server, ending: &Ending) -> String {
    let stem = Path::new(&server.command).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    match ending.cause {
        Cause::NotFound => not_found(server, stem),
        Cause::NotExecutable => "Name the program itself, or allow it to be executed (chmod +x).".into(),
        Cause::TooSlow if matches!(stem, "npx" | "uvx" | "bunx" | "pnpm" | "docker") => format!(
            "{stem} downloads before the first start: try it again, or give it more time (start_timeout_s = {}).",
            more_time_s(server)
        ),
        Cause::TooSlow => {
            format!("Give it more time: start_timeout_s = {}.", more_time_s(server))
        }
        Cause::ProtocolGarbage => {
            "An MCP server writes nothing but messages to its stdout: see whether it needs an argument (stdio), \
             or is another program."
                .into()
        }
        _ if ending.stderr.is_empty() => {
            "It wrote nothing to its stderr: run its command in a terminal, and see what it needs.".into()
        }
        _ => "What it wrote says why; run its command in a terminal to see more.".into(),
    }
}

/// Twice the time, as far as that can be said.
fn more_time_s(server: &Server) -> u64 {
    server.start_timeout.as_secs().saturating_mul(2).min(START_TIMEOUT_S_MAX)
}

/// What a start needs is looked for in this order.
fn not_found(server: &Server, stem: &str) -> String {
    if server.variables().any(|name| std::env::var_os(name).is_none()) {
        return "Set it, and also where the AI client is started: a desktop program does not see the variables of \
                your shell."
            .into();
    }
    if server.cwd.as_ref().is_some_and(|cwd| !cwd.is_dir()) {
        return "Make that folder, or name another one (cwd).".into();
    }
    match comes_with(stem) {
        Some(source) => format!("{stem} comes with {source}: install that, or name its absolute path."),
        None => "See whether it is spelled right and installed, or name its absolute path.".into(),
    }
}

/// Where a command comes from that many servers are started with.
#[must_use]
pub fn comes_with(stem: &str) -> Option<&'static str> {
    match stem {
        "npx" | "npm" | "node" => Some("Node.js (https://nodejs.org)"),
        "uvx" | "uv" => Some("uv (https://docs.astral.sh/uv)"),
        "bunx" | "bun" => Some("Bun (https://bun.sh)"),
        "deno" => Some("Deno (https://deno.com)"),
        "docker" => Some("Docker (https://docs.docker.com)"),
        _ => None,
    }
}

/// Lines that fit.
struct Screen {
    text: String,
    columns: u16,
}

impl Screen {
    fn line(&mut self, line: &str) {
        self.text.push_str(&words::wrapped(line, self.columns));
        self.text.push('\n');
    }

    /// Something under its word; what goes on stands below what it begins with.
    fn labelled(&mut self, label: &str, what: &str) {
        let room = usize::from(self.columns).saturating_sub(LABELS).max(LABELS);
        // Where a line is broken, `wrapped` puts two columns of its own.
        let wrapped = words::wrapped(what, u16::try_from(room).unwrap_or(self.columns));
        for (at, line) in wrapped.lines().enumerate() {
            let label = if at == 0 { label } else { "" };
            let line = if at == 0 { line } else { line.trim_start() };
            self.text.push_str(format!("  {label:<0$}{line}", LABELS - 2).trim_end());
            self.text.push('\n');
        }
    }
}

fn ready(screen: &mut Screen, trial: &Trial, seen: &Seen) {
    let process = trial.pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    screen.line(&format!("{} was ready in {}{process}", trial.server, took(trial.after)));
    program(screen, trial);
    if let Some(greeting) = &seen.greeting {
        let name = info(greeting).map(|info| format!("{}, ", said_name(&info))).unwrap_or_default();
        screen.labelled("server", &format!("{name}protocol {}", greeting.protocol_version));
    }
    let phases = seen.phases;
    screen.labelled(
        "start",
        &format!(
            "process after {}, handshake after {}, lists after {}",
            took(phases.spawned),
            took(phases.handshake),
            took(phases.first_list)
        ),
    );
    screen.labelled("offers", &offers(seen));
    if let Some(tools) = seen.tools().filter(|tools| !tools.is_empty()) {
        screen.text.push('\n');
        screen.text.push_str(&tool_table(&tools, screen.columns));
        screen.text.push('\n');
    }
}

fn failed(screen: &mut Screen, server: &Server, trial: &Trial, ending: &Ending) {
    screen.line(&format!("{} did not become ready: it {ending}", trial.server));
    program(screen, trial);
    screen.labelled("cause", &format!("{}, after {}", ending.cause, took(trial.after)));
    for (at, line) in ending.stderr.iter().enumerate() {
        screen.labelled(if at == 0 { "it wrote" } else { "" }, line);
    }
    screen.labelled("to do", &advice(server, ending));
}

fn program(screen: &mut Screen, trial: &Trial) {
    if let Some(program) = &trial.program {
        screen.labelled("program", &program.display().to_string());
    }
}

/// What it has, in words: of tools how much of a model's attention they take.
fn offers(seen: &Seen) -> String {
    let tools = match seen.tools() {
        None => "tools not listed".to_owned(),
        Some(tools) => {
            let bytes: usize = tools.iter().map(|tool| tool.bytes).sum();
            format!("{} ({} bytes)", number(tools.len(), "tool"), words::count(bytes as u64))
        }
    };
    let others = [(List::Prompts, "prompt"), (List::Resources, "resource"), (List::Templates, "template")];
    let others = others.into_iter().filter_map(|(list, word)| match seen.count(list) {
        Some(0) => None,
        Some(count) => Some(number(count, word)),
        None => Some(format!("{word}s not listed")),
    });
    [tools].into_iter().chain(others).collect::<Vec<_>>().join(", ")
}

/// The tools, each in a line: its name, its size, and as much of what it says of itself as fits.
fn tool_table(tools: &[Tool], columns: u16) -> String {
    const HEADER: [&str; 3] = ["TOOL", "BYTES", "DESCRIPTION"];
    // A space at each side of a column but the left of the first.
    const BETWEEN: usize = 5;
    let size = |tool: &Tool| words::count(tool.bytes as u64);
    let name_max = usize::from(columns) / 2;
    let names: Vec<String> =
        tools.iter().map(|tool| words::cut(&words::plain(&tool.name), name_max)).collect();
    let widest =
        |texts: &mut dyn Iterator<Item = usize>, header: &str| texts.max().unwrap_or(0).max(header.len());
    let taken = widest(&mut names.iter().map(|name| name.chars().count()), "TOOL")
        + widest(&mut tools.iter().map(|tool| size(tool).len()), "BYTES")
        + BETWEEN;
    let room = usize::from(columns).saturating_sub(taken + 1);
    let first_line = |tool: &Tool| {
        let line = tool.description.trim().lines().next().unwrap_or_default();
        words::cut(&words::plain(line), room)
    };
    let row = |(tool, name): (&Tool, &String)| vec![name.clone(), size(tool), first_line(tool)];
    words::table(&HEADER, &[1], tools.iter().zip(&names).map(row).collect(), columns)
}

/// What it says of who it is.
fn info(greeting: &Greeting) -> Option<Value> {
    serde_json::from_str(greeting.server_info.as_deref()?).ok()
}

fn said_name(info: &Value) -> String {
    let word = |key: &str| info[key].as_str().unwrap_or_default();
    format!("{} {}", word("name"), word("version")).trim().to_owned()
}

fn number(count: usize, word: &str) -> String {
    format!("{} {word}{}", words::count(count as u64), if count == 1 { "" } else { "s" })
}

fn took(time: Duration) -> String {
    words::micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
