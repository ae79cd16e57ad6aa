//! `bridge logs`: what the hub and the servers wrote, and what the record knows of them, in one stream.

pub mod entry;
pub mod files;
pub mod rows;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::time::Duration;

use crate::cli::logs::entry::{Entry, Screen, Wanted};
use crate::cli::logs::files::Files;
use crate::cli::logs::rows::Rows;
use crate::cli::words;
use crate::paths::Paths;

/// How often it is looked whether there is more.
const LOOK: Duration = Duration::from_millis(250);

/// Show what the bridge and its servers wrote and went through
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "It brings together the hub's log, what servers wrote to their stderr (both in
logs/ of the data folder), and of the record what happened to servers, and the
calls that failed in the last week. Lines without any time stand where their server
wrote last, with a ~, and are at most a quarter of all unless --server is
named. Times are those of this machine.

Examples:
  bridge logs                         the last 100 lines
  bridge logs -f                      and whatever comes, until Ctrl-C
  bridge logs -f --server github      of one server
  bridge logs --session 019a          of one client's session (bridge sessions)
  bridge logs --since 1h --lines 1000")]
pub struct Args {
    /// Go on with whatever comes
    #[arg(short, long)]
    follow: bool,
    /// Only what concerns this server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only what concerns this session; the beginning of its id is enough
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// So many lines at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    lines: u32,
    /// Only what came since then: 90m, 24h, 7d, or 2026-11-21
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
}

/// Prints the end of the stream, and with `--follow` what comes.
///
/// # Errors
/// When there is no such server or session, or the beginning in time is none.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    let since_ms =
        args.since.as_deref().map(|text| words::moment("--since", text, words::now_ms())).transpose()?;
    let wanted = Wanted::of(args, since_ms, paths)?;
    let (mut files, mut rows) = (Files::new(paths, &wanted), Rows::new(paths, &wanted));
    let lines = usize::try_from(args.lines).unwrap_or(usize::MAX);
    let mut entries = files.last(lines, args.follow);
    entries.extend(rows.last(args.lines));
    entries.retain(|entry| since_ms.is_none_or(|since| entry.at_ms >= since));
    entries.sort_by_key(|entry| entry.at_ms);
    entries.drain(..entries.len().saturating_sub(lines));
    let mut screen = Screen::new(&wanted);
    if entries.is_empty() && !args.follow {
        return words::say(out, &format!("Nothing of that kind is logged in {}.", paths.data_dir.display()));
    }
    let mut is_read = say(&entries, &mut screen, out)?;
    while args.follow && is_read {
        std::thread::sleep(LOOK);
        let mut entries = files.more();
        entries.extend(rows.more());
        entries.sort_by_key(|entry| entry.at_ms);
        is_read = say(&entries, &mut screen, out)?;
    }
    Ok(())
}

/// Prints them; whether somebody still reads.
fn say(entries: &[Entry], screen: &mut Screen, out: &mut dyn Write) -> io::Result<bool> {
    let text: String = entries.iter().map(|entry| screen.line(entry)).collect();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}
