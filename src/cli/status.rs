//! `bridge status`: what the bridges that run now, and their servers, are doing.

pub mod look;
mod place;
mod screen;
#[cfg(test)]
mod tests;
mod watch;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::cli::running;
use crate::cli::status::look::Look;
use crate::cli::words;

/// Show the bridges that run now, and what each of their servers does
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "A server is stopped until somebody needs it, or until bridge start SERVER if a
person stopped it; its breaker is open while calls to it are refused, because
it failed too often. WAITING are calls that wait for their turn, of so many that
may; P50 and P95 say how long the calls took of this hour and the last.

With --watch a terminal is drawn anew until q or Ctrl-C, and given back as it
was; elsewhere one report follows the other, with an empty line between them, or
with --json one line each.

Examples:
  bridge status              every bridge that runs, and its servers
  bridge status --watch      the same, again and again
  bridge status --watch 10   every ten seconds
  bridge status --json       for a script")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Look again every so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
}

/// Prints what the bridges of a data folder say of themselves.
///
/// With `--json` it is an array: an object for each bridge with `pid`, `answers`, and `error` or else `since`,
/// `sessions`, `status` (what `bridge_status` says) and `latency` (by server: `calls`, `p50Ms`, `p95Ms` of this hour
/// and the last, or null where there were none; null as a whole where the record cannot be read, and then
/// `latencyError`), and last one for the hub's place, if there is something to say of it.
///
/// # Errors
/// When the folder of their sockets is not this user's own.
pub fn run(args: &Args, data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    if let Some(seconds) = args.watch {
        return watch::run(data_dir, Duration::from_secs(seconds), args.json, out);
    }
    let look = Look::take(data_dir)?;
    words::say(
        out,
        &if args.json {
            format!("{:#}", look.json())
        } else {
            report(&look, data_dir, words::screen_columns())
        },
    )
}

/// What a person reads.
fn report(look: &Look, data_dir: &Path, columns: u16) -> String {
    match look.is_empty() {
        true => running::nobody(data_dir),
        false => screen::text(look, words::now_ms(), columns),
    }
}
