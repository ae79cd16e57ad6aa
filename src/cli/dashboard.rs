//! `bridge dashboard`: the page of `bridge_dashboard`, in a file, with what it shows in it.

mod desktop;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::builtin::dashboard;
use crate::builtin::dashboard::data::{self, Record, Running, Span};
use crate::cli::running::{self, SIGN_OF_LIFE};
use crate::cli::words;
use crate::control::Request;
use crate::files;

/// Show calls, times, errors and servers on a page in the browser
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "The page is one file that asks nobody for anything and holds no argument and no
result of a call. Clients that know MCP Apps show the same page, and keep it up
to date, when the model calls bridge_dashboard.

A browser that may not read the folder for temporary files (a snap) is given a
name of yours with --out.

Examples:
  bridge dashboard                       the last 7 days, in the browser
  bridge dashboard --since 24h           since yesterday
  bridge dashboard --out ~/bridge.html   only writes the page")]
pub struct Args {
    /// Write the page to this file, and do not open it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only calls that started since then: 24h, 7d, 2026-11-21
    #[arg(long, value_name = "WHEN", default_value = dashboard::SPAN)]
    since: String,
}

/// Writes the page of a data folder's record and of the bridges that run, and has it shown.
///
/// # Errors
/// When `--since` cannot be understood, the record cannot be read, or the page cannot be written.
pub fn run(args: &Args, data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let now_ms = words::now_ms();
    let span = Span::of(&args.since, words::moment("--since", &args.since, now_ms)?, now_ms);
    let record = Record::read(data_dir, &span).context("the record cannot be read")?;
    let page = dashboard::page(&data::data(&span, &record, &running(data_dir)?));
    if let Some(file) = &args.out {
        let write = || files::replace(&files::find(file)?, page.as_bytes()).map_err(anyhow::Error::from);
        write().with_context(|| format!("{} cannot be written", file.display()))?;
        return words::say(out, &format!("wrote {}", file.display()));
    }
    let file = temporary(&page).context("the page cannot be written into the folder for temporary files")?;
    let shown = match desktop::show(&file) {
        Ok(()) => "showing it in your browser".to_owned(),
        Err(why) => format!("not shown: {why}; open it with a browser, or give it a place with --out"),
    };
    words::say(out, &format!("wrote {}\n{shown}", file.display()))
}

/// The bridges that run, and what each says.
fn running(data_dir: &Path) -> anyhow::Result<Vec<Running>> {
    let asked = running::ask_all(data_dir, &Request::Status, SIGN_OF_LIFE)?;
    let are_several = asked.len() > 1;
    let bridge = |asked: running::Asked| Running {
        pid: asked.pid.filter(|_| are_several),
        status: asked
            .answer
            .map(|mut answer| answer.get_mut("status").map(Value::take).unwrap_or_default())
            .map_err(|error| error.to_string()),
    };
    Ok(asked.into_iter().map(bridge).collect())
}

/// A file that only its owner may read; the system removes it when it likes.
fn temporary(page: &str) -> std::io::Result<PathBuf> {
    let mut file = tempfile::Builder::new().prefix("bridge-dashboard-").suffix(".html").tempfile()?;
    file.write_all(page.as_bytes())?;
    Ok(file.into_temp_path().keep()?)
}
