//! `bridge list`: the servers of the configuration.

use std::io::Write;

use serde_json::{Value, json};

use crate::cli::own;
use crate::cli::words;
use crate::clients::masked;
use crate::config::edit::entry::{Address, Entry, written};
use crate::config::remote::Remote;
use crate::config::server::Server;
use crate::config::{self, Loaded};
use crate::paths::Paths;

/// List the servers of the configuration
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "It reads the file only; bridge status shows what runs. No secrets: values of env
and headers, and what looks like a key, are not shown.

  on       it is started when it is needed
  off      it is switched off, bridge enable switches it on
  later    it is reached over HTTP, which the bridge cannot do yet
  mistake  its entry has a mistake, which is named below

Example:
  bridge list --json")]
pub struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Prints them.
///
/// With `--json`: `file`, the configuration; `exists`; `servers`, of each its `name`, `state` (`on`, `off`, `later`
/// or `mistake`) and, as far as its entry has them, `command`, `args`, the names of its `env`, `cwd`, `scope`, `url`
/// and the names of its `headers`; `mistakes` and `notes`, each a text with its place.
///
/// # Errors
/// When nobody reads, or the platform names no place for a configuration.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    let file = own::place(paths)?;
    let loaded = config::load(paths.config_file.as_deref());
    let servers = servers(&loaded);
    if args.json {
        let texts =
            |all: &[config::mistake::Mistake]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let told = json!({
            "file": file,
            "exists": paths.config_file.is_some() && file.exists(),
            "servers": servers,
            "mistakes": texts(&loaded.mistakes),
            "notes": texts(&loaded.notes),
        });
        return words::say(out, &format!("{told:#}"));
    }
    let columns = words::screen_columns();
    match servers.is_empty() {
        true if loaded.broken.file => words::say(out, "The configuration cannot be understood, see below.")?,
        true => words::say(out, "There are no servers yet: bridge add NAME -- COMMAND adds one.")?,
        false => words::say(out, &table(&servers, columns))?,
    }
    words::say(out, &format!("\n{}", file.display()))?;
    let mistakes = loaded.mistakes.iter().map(|mistake| format!("mistake: {mistake}"));
    let notes = loaded.notes.iter().map(|note| format!("note: {note}"));
    mistakes.chain(notes).try_for_each(|line| words::say(out, &words::wrapped(&line, columns)))
}

fn servers(loaded: &Loaded) -> Vec<Value> {
    let right = loaded.config.servers.iter().map(server);
    let later = loaded.config.remotes.iter().map(remote);
    let broken = loaded.broken.servers.iter();
    let broken = broken.map(|(_, name)| json!({ "name": name.as_str(), "state": "mistake" }));
    right.chain(later).chain(broken).collect()
}

fn server(server: &Server) -> Value {
    let entry = masked::entry(&Entry::of(server));
    json!({
        "name": server.name.as_str(),
        "state": if server.enabled { "on" } else { "off" },
        "command": entry.command,
        "args": entry.args,
        "env": names(&entry.env),
        "cwd": entry.cwd,
        "scope": server.scope.word(),
    })
}

fn remote(remote: &Remote) -> Value {
    let address = masked::address(&Address {
        url: remote.url.as_written().to_owned(),
        headers: written(&remote.headers),
        enabled: remote.enabled,
    });
    json!({
        "name": remote.name.as_str(),
        "state": if remote.enabled { "later" } else { "off" },
        "url": address.url,
        "headers": names(&address.headers),
    })
}

fn names(pairs: &[(String, String)]) -> Vec<&str> {
    pairs.iter().map(|(name, _)| name.as_str()).collect()
}

/// A line each; of what starts it as much as fits.
fn table(servers: &[Value], columns: u16) -> String {
    const NAME_MAX: usize = 24;
    // Those of the state and the scope, with what stands between columns.
    const OTHERS: usize = 22;
    let text = |server: &Value, key: &str| server[key].as_str().unwrap_or_default().to_owned();
    let names: Vec<String> =
        servers.iter().map(|server| words::cut(&text(server, "name"), NAME_MAX)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("SERVER".len());
    let room = usize::from(columns).saturating_sub(widest + OTHERS);
    let starts = |server: &Value| {
        let args = server["args"].as_array().map(Vec::as_slice).unwrap_or_default();
        let words = [&server["url"], &server["command"]].into_iter().chain(args).filter_map(Value::as_str);
        words::cut(&words::plain(&words.collect::<Vec<_>>().join(" ")), room)
    };
    let row = |(server, name): (&Value, &String)| {
        vec![name.clone(), text(server, "state"), text(server, "scope"), starts(server)]
    };
    let rows = servers.iter().zip(&names).map(row).collect();
    words::table(&["SERVER", "STATE", "SCOPE", "STARTS"], &[], rows, columns)
}
