//! `bridge stats`: what was called, by whom, when, how often, how well, how fast.
//!
//! `--json` prints one object. `since` and `until` (RFC 3339, UTC), `server` and `tool` repeat what was asked for,
//! beside one of these lists: `tools` (with `mcpSessions`, the head of the screen), `hours`, `days`, `clients`,
//! `servers`, `latency`, `errors`. `rowsSince` is there where rows of single calls tell of a part of the span only.
//! `--csv` prints the same rows under the same words.

mod screen;

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, ensure};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::cli::chart::Letters;
use crate::cli::stats::screen::Screen;
use crate::cli::{sheet, words};
use crate::figures::record::{self, Fields};
use crate::figures::{self, By, Line};
use crate::names::OWN;
use crate::store::read::Reader;
use crate::store::read::answers::{Failure, ToolTotals, Trend};
use crate::store::read::series::{Steps, Which};
use crate::store::totals::Totals;
use crate::store::{lock, stamp};

/// Show calls, errors and latency of every tool
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "Examples:
  bridge stats                      everything that was ever recorded
  bridge stats --since 24h          the last day
  bridge stats --by day --since 7d  the last week, day by day
  bridge stats --errors             the latest errors and their causes
  bridge stats --histogram --server time
  bridge stats --by client --csv > clients.csv")]
pub struct Args {
    /// Only calls that started since then: 90m, 24h, 7d, 2026-11-21, or
    /// 2026-11-21T00:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only calls that started before then
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only tools of this server; the bridge's own are those of "(bridge)"
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only this tool, as its server calls it
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// A row for each hour, day, client, server or tool that had calls; hours
    /// and days are those of your time zone (TZ)
    #[arg(long, value_name = "WHAT", value_enum, hide_possible_values = true, group = "table")]
    by: Option<By>,
    /// How many calls took how long
    #[arg(long, visible_alias = "latency", group = "table")]
    histogram: bool,
    /// The latest errors, the newest first; 20 unless told otherwise
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20", group = "table")]
    errors: Option<u32>,
    /// Print CSV; text that a spreadsheet would take for a formula gets a ' before it
    #[arg(long, group = "form")]
    csv: bool,
    /// Print JSON
    #[arg(long, group = "form")]
    json: bool,
}

/// What is asked for.
#[derive(Debug)]
struct Asked<'a> {
    args: &'a Args,
    which: Which,
    now_ms: i64,
    zone: TimeZone,
    /// How wide the screen is.
    columns: u16,
    letters: Letters,
}

/// What there is to tell.
#[derive(Debug)]
enum Told {
    Tools(Overview),
    Lines { by: By, lines: Vec<Line>, rows_since_ms: Option<i64> },
    Histogram(Totals),
    Errors { errors: Vec<Failure>, rows_since_ms: Option<i64> },
}

/// All tools below the head figures.
#[derive(Debug, Default)]
struct Overview {
    sessions: u64,
    active: u64,
    mean_duration_s: Option<f64>,
    calls: u64,
    /// The busiest first.
    tools: Vec<ToolTotals>,
    trends: Vec<Trend>,
}

/// Prints the figures of the record in a data folder.
///
/// # Errors
/// When a moment cannot be understood, or the record cannot be read.
pub fn run(args: &Args, data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let which = meant(&args.since, &args.until, &args.server)?;
    let asked = Asked {
        args,
        which: Which { tool: args.tool.clone(), ..which },
        now_ms: words::now_ms(),
        zone: TimeZone::system(),
        columns: words::screen_columns(),
        letters: Letters::of_locale(),
    };
    let reader = Reader::open(data_dir)?;
    let is_recorded = reader.is_some();
    let told = match reader {
        Some(reader) => asked.read(&reader, data_dir).context("the record cannot be read")?,
        None => asked.nothing(),
    };
    if args.csv {
        return sheet::print(out, told.head(&asked), told.rows(&asked));
    }
    let text = match (args.json, is_recorded) {
        (true, _) => format!("{:#}", told.json(&asked)),
        (false, true) => Screen { asked: &asked }.of(&told),
        (false, false) => words::nothing_recorded(data_dir),
    };
    words::say(out, &text)
}

/// Which calls options mean.
///
/// # Errors
/// When a moment cannot be understood, or the end is not after the beginning.
pub(super) fn meant(
    since: &Option<String>,
    until: &Option<String>,
    server: &Option<String>,
) -> anyhow::Result<Which> {
    let now_ms = words::now_ms();
    let moment = |option, text: &Option<String>| {
        text.as_deref().map(|text| words::moment(option, text, now_ms)).transpose()
    };
    let (from_ms, to_ms) = (moment("--since", since)?, moment("--until", until)?);
    if let (Some(from_ms), Some(to_ms)) = (from_ms, to_ms) {
        ensure!(
            from_ms < to_ms,
            "--until {} is not after --since {}",
            until.as_deref().unwrap_or_default(),
            since.as_deref().unwrap_or_default()
        );
    }
    let server = server.as_deref().map(|server| if server == OWN { "" } else { server });
    Ok(Which { from_ms, to_ms, server: server.map(str::to_owned), tool: None })
}

impl Asked<'_> {
    fn read(&self, reader: &Reader, data_dir: &Path) -> rusqlite::Result<Told> {
        reader.at_one_moment()?;
        let rows_since_ms = || figures::rows_since_ms(reader, &self.which);
        Ok(if let Some(rows_max) = self.args.errors {
            let errors = reader.failures(&self.which, rows_max)?;
            Told::Errors { errors, rows_since_ms: rows_since_ms()? }
        } else if self.args.histogram {
            Told::Histogram(figures::all(reader, &self.which)?)
        } else if let Some(by) = self.args.by {
            let lines = figures::lines(reader, &self.which, by, &self.zone)?;
            Told::Lines { by, lines, rows_since_ms: if by == By::Client { rows_since_ms()? } else { None } }
        } else {
            Told::Tools(self.overview(reader, data_dir)?)
        })
    }

    /// What is told where there is no record.
    fn nothing(&self) -> Told {
        match (self.args.errors, self.args.histogram, self.args.by) {
            (Some(_), ..) => Told::Errors { errors: Vec::new(), rows_since_ms: None },
            (_, true, _) => Told::Histogram(Totals::default()),
            (.., Some(by)) => Told::Lines { by, lines: Vec::new(), rows_since_ms: None },
            (.., None) => Told::Tools(Overview::default()),
        }
    }

    fn overview(&self, reader: &Reader, data_dir: &Path) -> rusqlite::Result<Overview> {
        let which = &self.which;
        let sessions = reader.session_totals(which.from_ms)?;
        let active = sessions.open.iter().filter(|&&id| lock::is_alive(data_dir, id)).count();
        let from_ms = which.from_ms.or(reader.oldest()?.0).unwrap_or(self.now_ms);
        let steps =
            Steps::over(from_ms, which.to_ms.unwrap_or(self.now_ms), screen::trend_columns(self.columns));
        Ok(Overview {
            sessions: sessions.total,
            active: active as u64,
            mean_duration_s: sessions.mean_duration_s,
            calls: figures::all(reader, which)?.calls,
            tools: figures::tools(reader, which)?,
            trends: reader.trends(which, &steps)?,
        })
    }
}

impl Told {
    /// The rows that a program reads.
    fn rows(&self, asked: &Asked<'_>) -> Vec<Fields> {
        match self {
            Self::Tools(overview) => {
                overview.tools.iter().cloned().map(|tool| Line::from(tool).fields(&asked.zone)).collect()
            }
            Self::Lines { lines, .. } => lines.iter().map(|line| line.fields(&asked.zone)).collect(),
            Self::Histogram(totals) => record::buckets(&totals.histogram),
            Self::Errors { errors, .. } => errors.iter().map(figures::failure).collect(),
        }
    }

    /// The words of their fields, also where there is no row.
    fn head(&self, asked: &Asked<'_>) -> Vec<&'static str> {
        let fields = match self {
            Self::Tools(_) => figures::empty(By::Tool).fields(&asked.zone),
            Self::Lines { by, .. } => figures::empty(*by).fields(&asked.zone),
            Self::Histogram(_) => return vec!["uptoMs", "calls"],
            Self::Errors { .. } => figures::failure(&Failure::default()),
        };
        fields.into_iter().map(|(name, _)| name).collect()
    }

    fn json(&self, asked: &Asked<'_>) -> Value {
        let mut head = figures::head(&asked.which);
        let list = match self {
            Self::Tools(overview) => {
                head.push(("mcpSessions", overview.json()));
                By::Tool.list()
            }
            Self::Lines { by, rows_since_ms, .. } => {
                head.extend(rows_since_ms.map(|ms| ("rowsSince", json!(stamp::text(ms)))));
                by.list()
            }
            Self::Histogram(totals) => {
                head.extend(record::sums(totals));
                "latency"
            }
            Self::Errors { rows_since_ms, .. } => {
                head.extend(rows_since_ms.map(|ms| ("rowsSince", json!(stamp::text(ms)))));
                "errors"
            }
        };
        figures::told(head, list, self.rows(asked))
    }
}

impl Overview {
    fn json(&self) -> Value {
        json!({
            "total": self.sessions,
            "active": self.active,
            "avgDurationSeconds": self.mean_duration_s,
            "totalToolCalls": self.calls,
        })
    }
}

#[cfg(test)]
mod tests;
