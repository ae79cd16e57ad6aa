//! `bridge import`: the servers of another file come into the bridge's configuration.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::mover::{self, Mover};
use crate::cli::{own, words};
use crate::clients::Client;
use crate::clients::book::Book;
use crate::clients::taken::{self, Taken};
use crate::config::edit::entry::Entry;
use crate::config::edit::{self, Added};
use crate::config::server::Server;
use crate::config::{self, Loaded};
use crate::paths::Paths;

/// Take over the servers of another file
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "FILE is the JSON file of an AI client, or another config.toml; it is only read.
What would be added is shown, without secrets, and asked. A server whose name
another has gets a number, one that is there already is left out, and one that
the bridge could not start as the client does stays out, with the reason.

bridge install --move-servers does this for the clients that are installed
here, and puts the bridge into their files.

Exits with 1 when nothing can be read there, and when nobody could be asked.

Examples:
  bridge import ~/project/.mcp.json
  bridge import old-config.toml --dry-run")]
pub struct Args {
    /// A client's JSON, or a TOML of the bridge's own form
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Shows what would be added, and adds nothing
    #[arg(long)]
    dry_run: bool,
    /// Does not ask
    #[arg(long, short)]
    yes: bool,
}

/// A server of the file: its name, and what comes of it or why it cannot come, in words that go on after "it".
type Offered = (String, Result<Taken, String>);

/// Plans, shows, asks, and does it.
///
/// # Errors
/// When either file cannot be used, or nobody can be asked.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    let (from, to) = (&args.file, own::place(paths)?);
    let bytes = fs::read(from).with_context(|| format!("{} cannot be read", from.display()))?;
    let mut mover = Mover::open(&to).map_err(|why| anyhow::anyhow!("{why}"))?;
    let is_same = from.canonicalize().is_ok_and(|from| from == mover.found.path);
    anyhow::ensure!(!is_same, "{} is the bridge's own configuration already", from.display());
    let offered = offered(from, &bytes).map_err(|why| anyhow::anyhow!("{} {why}", from.display()))?;
    anyhow::ensure!(!offered.is_empty(), "{} names no servers", from.display());
    words::say(out, &from.display().to_string())?;
    let mut count = 0;
    for (name, taken) in offered {
        let (line, comes) = told(&name, taken, &mut mover);
        count += usize::from(comes);
        let line = words::wrapped(&line, words::screen_columns().saturating_sub(2)).replace('\n', "\n  ");
        words::say(out, &format!("  {line}"))?;
    }
    if count == 0 {
        return words::say(out, "\nThere is nothing to add.");
    }
    mover::show(&mover.found.path, &mover.shown(), 0, out)?;
    let question =
        if count == 1 { "Add this server?".to_owned() } else { format!("Add these {count} servers?") };
    if args.dry_run || !words::agreed(args.yes, &question, out)? {
        return Ok(());
    }
    own::replace(&mover.found, &mover.draft, &to)?;
    words::say(out, &format!("wrote {}", to.display()))?;
    let lines = own::warning(&to).into_iter().chain(own::heard(&paths.data_dir).map(str::to_owned));
    lines.into_iter().try_for_each(|line| words::say(out, &line))
}

/// Adds what can come, and says what became of it; whether something was added.
fn told(name: &str, taken: Result<Taken, String>, mover: &mut Mover) -> (String, bool) {
    let shown = words::plain(name);
    let added = taken.and_then(|taken| Ok((mover.add(name, &taken.entry)?, taken.dropped)));
    match added {
        Ok((Added::Already, _)) => (format!("has {shown} already"), false),
        Ok((Added::As(new), dropped)) => {
            let to = if new == name {
                String::new()
            } else {
                format!(" as {new} (the bridge has another {shown})")
            };
            let without = if dropped.is_empty() {
                String::new()
            } else {
                format!(" without its {}", dropped.join(", "))
            };
            (format!("takes {shown}{to}{without}"), true)
        }
        Err(why) => (format!("leaves {shown}: it {why}"), false),
    }
}

/// What a file has on offer.
fn offered(file: &Path, bytes: &[u8]) -> Result<Vec<Offered>, String> {
    if config::is_json(file, &String::from_utf8_lossy(bytes)) {
        return of_client(file, bytes);
    }
    let loaded = config::load(Some(file));
    if loaded.broken.file {
        let first = loaded.mistakes.first().map(|mistake| mistake.what.clone()).unwrap_or_default();
        return Err(format!("cannot be understood: {first}"));
    }
    Ok(of_own(&loaded))
}

/// Those of a client's file: its name says whose it is, else the key of its servers does.
fn of_client(file: &Path, bytes: &[u8]) -> Result<Vec<Offered>, String> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let by_name = match name {
        ".mcp.json" | ".claude.json" => Some(Client::ClaudeCode),
        "claude_desktop_config.json" => Some(Client::ClaudeDesktop),
        "mcp_config.json" => Some(Client::Windsurf),
        _ => None,
    };
    let mut all = by_name.into_iter().chain([Client::Cursor, Client::Vscode, Client::Zed]);
    let book = |client| Book::open(client, Some(bytes)).map(|book| (client, book.slots()));
    let (client, slots) =
        match all.find_map(|client| book(client).ok().filter(|(_, slots)| !slots.is_empty())) {
            Some(found) => found,
            None => book(by_name.unwrap_or(Client::Cursor))?,
        };
    Ok(slots.iter().map(|slot| (slot.name.clone(), taken::take(client, slot))).collect())
}

/// Those of a configuration of our own form.
fn of_own(loaded: &Loaded) -> Vec<Offered> {
    let right = loaded.config.servers.iter().map(|server| (server.name.as_str().to_owned(), whole(server)));
    let remotes = loaded.config.remotes.iter().map(|remote| {
        (
            remote.name.as_str().to_owned(),
            Err("is reached over HTTP, which the bridge cannot do yet".to_owned()),
        )
    });
    let broken = loaded.broken.servers.iter();
    let broken =
        broken.map(|(_, name)| (name.as_str().to_owned(), Err("has a mistake in its entry".to_owned())));
    right.chain(remotes).chain(broken).collect()
}

/// A server whose entry can be written anew without losing anything.
fn whole(server: &Server) -> Result<Taken, String> {
    let entry = Entry::of(server);
    if !edit::is_all_of(&entry, server) {
        return Err("has keys that are not taken over (limits, tools): copy its section by hand".to_owned());
    }
    Ok(Taken { entry, dropped: Vec::new() })
}
