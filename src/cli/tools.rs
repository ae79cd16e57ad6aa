//! `bridge tools`: what a client sees of all servers, how large it is, and what is not as it was.

pub mod changed;
mod limits;
pub mod seen;
#[cfg(test)]
mod tests;

use std::io::Write;

use serde_json::{Value, json};

use crate::builtin::Builtin;
use crate::catalog::{Catalog, Why};
use crate::cli::tools::limits::{Limit, Measure, measure};
use crate::cli::tools::seen::Seen;
use crate::cli::{server, words};
use crate::clients::Client;
use crate::list::List;
use crate::names::{OWN, ServerName};
use crate::paths::Paths;

/// A token of a model is about so many bytes of JSON and English.
const BYTES_PER_TOKEN: usize = 4;

/// Show what a client sees: every tool, its size, and which are off or held back
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "Nothing is started for it: a tool is as its server listed it last. Tokens are
estimated, bytes / 4; most clients send all of it to the model with each
request.

--json has tools (shown, server, tool, bytes, tokens, state, renamed,
described, change), servers, total, clients, neverListed, notes and mistakes.
With --changed it has one object for each tool that is not what it was: server,
tool, change, members, held, before, now.

Examples:
  bridge tools                    every tool, and the sums of each server
  bridge tools github             those of one server
  bridge tools --client vscode    does it fit?
  bridge tools --changed          what is not as it was when it was first seen")]
pub struct Args {
    /// Only tools of this server
    #[arg(value_name = "SERVER")]
    server: Option<String>,
    /// Only the limit of this client
    #[arg(long, value_name = "NAME")]
    client: Option<Client>,
    /// What is not as it was when it was first seen, and how it was
    #[arg(long, conflicts_with = "client")]
    changed: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what the record and the configuration say.
///
/// # Errors
/// When there is no such server, or the record cannot be read.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    let seen = Seen::read(paths)?;
    let asked = args.server.as_deref();
    if let Some(name) = asked.filter(|name| seen.servers.iter().all(|it| it.name.as_str() != *name)) {
        return Err(unknown(&seen, paths, name));
    }
    let text = match (args.changed, args.json) {
        (true, true) => format!("{:#}", changed::json(&seen, asked)),
        (true, false) => changed::screen(&seen, asked, words::screen_columns()),
        (false, is_json) => {
            let figures = Figures::new(&seen, &seen.catalog(Builtin::tools(false)), asked, args.client);
            if is_json { format!("{:#}", figures.json()) } else { figures.screen(words::screen_columns()) }
        }
    };
    words::say(out, &text)
}

/// What is said of a server that is not there.
pub fn unknown(seen: &Seen, paths: &Paths, server: &str) -> anyhow::Error {
    let names: Vec<&str> = seen.servers.iter().map(|it| it.name.as_str()).collect();
    server::unknown(paths, &names, server)
}

/// One tool.
#[derive(Debug)]
struct Tool {
    shown: String,
    server: Option<ServerName>,
    tool: String,
    /// The size of its definition as clients get it; `None` for one that they do not get.
    bytes: Option<usize>,
    why: Option<Why>,
    renamed: bool,
    described: bool,
    change: Option<&'static str>,
}

/// The sums of one server; of none for the bridge's own tools.
#[derive(Debug, Default)]
struct Sums {
    server: Option<ServerName>,
    tools: usize,
    off: usize,
    held: usize,
    bytes: usize,
}

/// The figures of one screen.
#[derive(Debug)]
struct Figures {
    /// Sorted by shown name.
    tools: Vec<Tool>,
    sums: Vec<Sums>,
    clients: Vec<Measure>,
    never_listed: Vec<String>,
    notes: Vec<String>,
    mistakes: Vec<String>,
    is_of_one: bool,
}

impl Figures {
    fn new(seen: &Seen, catalog: &Catalog, server: Option<&str>, client: Option<Client>) -> Self {
        let all = all_tools(seen, catalog);
        let is_asked =
            |it: Option<&ServerName>| server.is_none_or(|name| it.is_some_and(|it| it.as_str() == name));
        let own = std::iter::once(None);
        let servers = own.chain(seen.servers.iter().map(|it| Some(it.name.clone())));
        let sums = servers.filter(|it| is_asked(it.as_ref())).map(|it| Sums::of(it, &all)).collect();
        let asked = seen.servers.iter().filter(|it| is_asked(Some(&it.name)));
        let never_listed =
            asked.clone().filter(|it| it.tools.is_none()).map(|it| it.name.to_string()).collect();
        let notes = asked.flat_map(|it| {
            let tools: Vec<String> = it.tools.iter().flatten().filter_map(|tool| name_in(tool)).collect();
            let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
            let idle = if tools.is_empty() { Vec::new() } else { it.rules.idle(&tools) };
            idle.into_iter().map(|what| format!("servers.{}.tools.{what}", it.name)).collect::<Vec<_>>()
        });
        let notes = notes.collect();
        Self {
            tools: all.into_iter().filter(|tool| is_asked(tool.server.as_ref())).collect(),
            sums,
            clients: measure(catalog, client),
            never_listed,
            notes,
            mistakes: seen.loaded.mistakes.iter().map(ToString::to_string).collect(),
            is_of_one: server.is_some(),
        }
    }

    fn total(&self) -> Sums {
        let add = |total: Sums, it: &Sums| Sums {
            server: None,
            tools: total.tools + it.tools,
            off: total.off + it.off,
            held: total.held + it.held,
            bytes: total.bytes + it.bytes,
        };
        self.sums.iter().fold(Sums::default(), add)
    }

    fn screen(&self, columns: u16) -> String {
        let number = |number: usize| words::count(number as u64);
        let size = |bytes: Option<usize>| match bytes {
            Some(bytes) => [number(bytes), number(tokens(bytes))],
            None => ["-".to_owned(), "-".to_owned()],
        };
        let rows = self.tools.iter().map(|tool| {
            let [bytes, tokens] = size(tool.bytes);
            vec![tool.shown.to_string(), bytes, tokens, tool.note()]
        });
        let mut parts = Vec::new();
        if !self.tools.is_empty() {
            parts.push(words::table(&["TOOL", "BYTES", "TOKENS", "NOTE"], &[1, 2], rows.collect(), columns));
        }
        let row = |name: &str, sums: &Sums| {
            let [bytes, tokens] = size(Some(sums.bytes));
            vec![name.to_owned(), number(sums.tools), number(sums.off), number(sums.held), bytes, tokens]
        };
        let is_known = |name: &str| self.never_listed.iter().all(|never| never != name);
        let of = |sums: &Sums| match sums.server.as_ref().map_or(OWN, ServerName::as_str) {
            name if is_known(name) => row(name, sums),
            name => [name, "-", "-", "-", "-", "-"].map(str::to_owned).into(),
        };
        let mut rows: Vec<Vec<String>> = self.sums.iter().map(of).collect();
        rows.extend((!self.is_of_one).then(|| row("together", &self.total())));
        let header = ["SERVER", "TOOLS", "OFF", "HELD", "BYTES", "TOKENS"];
        parts.push(words::table(&header, &[1, 2, 3, 4, 5], rows, columns));
        if !self.is_of_one {
            let rows =
                self.clients.iter().map(|it| vec![it.client.title().into(), it.limit(), number(it.here)]);
            parts.push(words::table(&["CLIENT", "TAKES AT MOST", "HERE"], &[2], rows.collect(), columns));
        }
        let remarks: Vec<String> =
            self.remarks().iter().map(|remark| words::wrapped(remark, columns)).collect();
        parts.extend((!remarks.is_empty()).then(|| remarks.join("\n")));
        parts.join("\n\n")
    }

    fn remarks(&self) -> Vec<String> {
        let changed = self.tools.iter().any(|tool| tool.change.is_some());
        let over = self.clients.iter().filter(|it| it.over > 0 && !self.is_of_one);
        let largest = self.sums.iter().filter(|it| it.server.is_some()).max_by_key(|it| it.tools);
        let largest = largest.and_then(|it| it.server.as_ref());
        let over = over.map(|it| it.advice(largest));
        let never = (!self.never_listed.is_empty()).then(|| {
            format!("never listed yet, a client's first list starts them: {}", self.never_listed.join(", "))
        });
        let changed = changed.then(|| "bridge tools --changed shows what is not as it was".to_owned());
        let notes = self.notes.iter().map(|note| format!("note: {note}"));
        let mistakes = self.mistakes.iter().map(|mistake| format!("mistake: {mistake}"));
        over.chain(never).chain(changed).chain(notes).chain(mistakes).collect()
    }

    fn json(&self) -> Value {
        let sums = |sums: &Sums| {
            json!({
                "server": sums.server.as_ref().map(ServerName::as_str),
                "tools": sums.tools, "off": sums.off, "held": sums.held,
                "bytes": sums.bytes, "tokens": tokens(sums.bytes),
            })
        };
        let client = |it: &Measure| {
            let (max, of) = match it.limit {
                None => (None, None),
                Some(Limit::Tools(max)) => (Some(max), Some("tools")),
                Some(Limit::NameChars(max)) => (Some(max), Some("nameChars")),
            };
            json!({ "client": it.client.word(), "limit": max, "of": of, "here": it.here, "over": it.over })
        };
        json!({
            "tools": self.tools.iter().map(Tool::json).collect::<Vec<_>>(),
            "servers": self.sums.iter().map(sums).collect::<Vec<_>>(),
            "total": sums(&self.total()),
            "clients": self.clients.iter().map(client).collect::<Vec<_>>(),
            "neverListed": self.never_listed,
            "notes": self.notes,
            "mistakes": self.mistakes,
        })
    }
}

impl Tool {
    /// What is worth a note of it.
    fn note(&self) -> String {
        let why = self.why.map(|why| match why {
            Why::SwitchedOff => "off",
            Why::Quarantined => "held back",
        });
        let renamed = self.renamed.then(|| format!("is {}", self.tool));
        let described = self.described.then(|| "described here".to_owned());
        let parts = why.map(str::to_owned).into_iter().chain(self.change.map(str::to_owned));
        parts.chain(renamed).chain(described).collect::<Vec<_>>().join(", ")
    }

    fn json(&self) -> Value {
        let state = match self.why {
            None => "shown",
            Some(Why::SwitchedOff) => "off",
            Some(Why::Quarantined) => "held",
        };
        json!({
            "shown": self.shown,
            "server": self.server.as_ref().map(ServerName::as_str),
            "tool": self.tool,
            "bytes": self.bytes,
            "tokens": self.bytes.map(tokens),
            "state": state,
            "renamed": self.renamed,
            "described": self.described,
            "change": self.change,
        })
    }
}

impl Sums {
    fn of(server: Option<ServerName>, tools: &[Tool]) -> Self {
        let its: Vec<&Tool> = tools.iter().filter(|tool| tool.server == server).collect();
        let count = |why: Option<Why>| its.iter().filter(|tool| tool.why == why).count();
        Self {
            server,
            tools: count(None),
            off: count(Some(Why::SwitchedOff)),
            held: count(Some(Why::Quarantined)),
            bytes: its.iter().filter_map(|tool| tool.bytes).sum(),
        }
    }
}

/// A rough guess: bytes / 4, rounded.
const fn tokens(bytes: usize) -> usize {
    (bytes + BYTES_PER_TOKEN / 2) / BYTES_PER_TOKEN
}

fn name_in(definition: &str) -> Option<String> {
    let definition: Value = serde_json::from_str(definition).ok()?;
    definition.get("name").and_then(Value::as_str).map(str::to_owned)
}

/// Every tool, shown or not, sorted by its shown name.
fn all_tools(seen: &Seen, catalog: &Catalog) -> Vec<Tool> {
    let tool = |shown: &str, server: Option<&ServerName>, tool: &str, bytes, why| {
        let seen = seen.servers.iter().find(|it| Some(&it.name) == server);
        let has = |map: Option<&std::collections::BTreeMap<String, String>>| {
            map.is_some_and(|map| map.contains_key(tool))
        };
        Tool {
            shown: shown.to_owned(),
            server: server.cloned(),
            tool: tool.to_owned(),
            bytes,
            why,
            renamed: has(seen.map(|it| &it.rules.rename)),
            described: has(seen.map(|it| &it.rules.describe)),
            change: seen.and_then(|it| it.difference(tool)).map(|it| it.kind.word()),
        }
    };
    let shown = catalog.all(List::Tools).iter();
    let shown = shown.map(|it| tool(&it.key, it.server.as_ref(), &it.name, Some(it.bytes()), None));
    let off = catalog.all_off();
    let off = off.map(|(shown, off)| tool(shown, Some(&off.server), &off.tool, None, Some(off.why)));
    let mut all: Vec<Tool> = shown.chain(off).collect();
    all.sort_by(|a, b| a.shown.cmp(&b.shown));
    all
}
