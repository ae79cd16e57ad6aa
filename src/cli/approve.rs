//! `bridge approve`: tools are taken as they are now.

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::tools::seen::{Seen, Server};
use crate::cli::tools::{self, changed};
use crate::cli::{running, words};
use crate::control::Request;
use crate::paths::Paths;
use crate::store::rows::PinRow;
use crate::store::{Journal, Options};
use crate::tools::pin::{self, Difference, Kind, Pin};

/// Reading what was approved takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Take tools as they are now, and show them again where they were held back
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Look at them first: bridge tools --changed. Every bridge that runs shows them
at once, and one that starts later too. A tool that is gone is not told of any
more.

Examples:
  bridge approve github                every changed, new and gone tool of it
  bridge approve github/search_code    one tool, by its server's name for it")]
pub struct Args {
    /// A server, or one tool of it
    #[arg(value_name = "SERVER[/TOOL]", required = true)]
    names: Vec<String>,
}

/// Writes down what is approved, and tells every bridge of the data folder.
///
/// # Errors
/// When there is no such server or tool, the record cannot be written, or a bridge did not take it.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    let seen = Seen::read(paths)?;
    let mut approved: Vec<(&Server, &Difference)> = Vec::new();
    for name in &args.names {
        let found = find(&seen, paths, name)?;
        if found.is_empty() {
            words::say(
                out,
                &format!("{name}: nothing to approve, it is what it was when it was first seen"),
            )?;
        }
        approved.extend(found);
    }
    approved.dedup_by(|a, b| std::ptr::eq(a.1, b.1));
    if approved.is_empty() {
        return Ok(());
    }
    let rows: Vec<PinRow> = approved.iter().filter_map(|(server, it)| row(server, it)).collect();
    write_down(paths, rows)?;
    let columns = words::screen_columns();
    for (server, difference) in approved {
        words::say(out, &format!("approved {}", changed::lines(server, difference, "", columns)))?;
    }
    running::tell(running::ask_all(&paths.data_dir, &Request::Approved, PATIENCE)?, out, |_: &Value| {
        ("shows it now".to_owned(), None)
    })
}

/// What a name on the command line means: all that differs of a server, or one tool.
fn find<'a>(seen: &'a Seen, paths: &Paths, name: &str) -> anyhow::Result<Vec<(&'a Server, &'a Difference)>> {
    let of = |server: &str| seen.servers.iter().find(|it| it.name.as_str() == server);
    if let Some(server) = of(name) {
        return Ok(server.standing.differences.iter().map(|it| (server, it)).collect());
    }
    // A name may hold a slash on either side.
    let split = name.match_indices('/').find_map(|(at, _)| Some((of(name.get(..at)?)?, name.get(at + 1..)?)));
    let Some((server, tool)) = split else {
        let server = name.split_once('/').map_or(name, |(server, _)| server);
        return Err(tools::unknown(seen, paths, server));
    };
    match server.difference(tool) {
        Some(difference) => Ok(vec![(server, difference)]),
        None if server.tool(tool).is_some() => Ok(Vec::new()),
        None => anyhow::bail!(
            "{} has no tool {tool:?}: bridge tools {} shows what it has",
            server.name,
            server.name
        ),
    }
}

fn row(server: &Server, difference: &Difference) -> Option<PinRow> {
    let pin = match difference.kind {
        Kind::Changed | Kind::New => pin::pin(&server.tool(&difference.tool)?),
        Kind::Gone => Pin { let_go: true, ..server.standing.pin(&difference.tool)?.clone() },
    };
    let (server, tool) = (server.name.shared(), difference.tool.clone());
    Some(PinRow { server, tool, pin, at_ms: words::now_ms() })
}

fn write_down(paths: &Paths, rows: Vec<PinRow>) -> anyhow::Result<()> {
    let journal = Journal::open(&paths.data_dir, Options::default());
    journal.tools_approved(rows);
    running::runtime()?.block_on(async {
        journal.flush().await;
        let trouble = journal.trouble();
        journal.close().await;
        match trouble.last_error.filter(|_| trouble.lost_rows > 0) {
            None => Ok(()),
            Some(error) => {
                Err(anyhow::anyhow!(error)).context("nothing was approved: the record cannot be written")
            }
        }
    })
}
