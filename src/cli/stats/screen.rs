//! The screens of `bridge stats`.

use crate::cli::stats::{Asked, Overview, Told};
use crate::cli::words;
use crate::figures::moment::local;
use crate::figures::record::error_rate;
use crate::figures::{By, Key, Line};
use crate::names::OWN;
use crate::store::read::answers::{Failure, ToolTotals};
use crate::store::totals::{LIMITS_US, Totals};

/// How many letters a tool's line has on a screen of 80 columns, and on the widest.
const TREND: (u16, u16) = (6, 24);

/// How many letters the longest bar has.
const BAR: usize = 20;

/// How the hour, the day and the moment of an error are written.
const HOUR: &str = "%Y-%m-%d %H:%M %Z";
const DAY: &str = "%Y-%m-%d %a";
const MOMENT: &str = "%b %d %H:%M:%S";

/// How many letters show a tool's calls over time: half of what a wider screen has goes to them.
pub(super) fn trend_columns(columns: u16) -> usize {
    (TREND.0 + columns.saturating_sub(80) / 2).min(TREND.1).into()
}

/// Draws what is told.
pub(super) struct Screen<'a> {
    pub asked: &'a Asked<'a>,
}

impl Screen<'_> {
    /// The whole screen.
    pub fn of(&self, told: &Told) -> String {
        match told {
            Told::Tools(overview) => self.overview(overview),
            Told::Lines { by, lines, rows_since_ms } => self.lines(*by, lines) + &self.since(*rows_since_ms),
            Told::Histogram(totals) => self.histogram(totals),
            Told::Errors { errors, rows_since_ms } => self.errors(errors) + &self.since(*rows_since_ms),
        }
    }

    fn overview(&self, overview: &Overview) -> String {
        let mean = overview.mean_duration_s.map_or_else(|| "-".into(), |s| words::seconds(s.round() as u64));
        let head = format!(
            "sessions  {} total, {} active, {mean} on average\ncalls     {} in all",
            words::count(overview.sessions),
            words::count(overview.active),
            words::count(overview.calls)
        );
        if overview.tools.is_empty() {
            return format!("{head}\n\nNo tool was called.");
        }
        let rows = overview.tools.iter().map(|tool| self.tool(tool, overview)).collect();
        let header = ["SERVER", "TOOL", "CALLS", "ERRORS", "RATE", "P50", "P95", "AGO", "TREND"];
        format!("{head}\n\n{}", self.table(&header, &[2, 3, 4, 5, 6, 7], rows))
    }

    fn tool(&self, tool: &ToolTotals, overview: &Overview) -> Vec<String> {
        let ToolTotals { server, tool, totals } = tool;
        let trend = overview.trends.iter().find(|trend| trend.server == *server && trend.tool == *tool);
        let mut row = vec![server.clone().unwrap_or_else(|| OWN.into()), tool.clone()];
        row.extend(sums(totals));
        let ago = words::ago(totals.last_used_ms, self.asked.now_ms);
        row.push(ago.strip_suffix(" ago").unwrap_or(&ago).to_owned());
        row.push(trend.map(|trend| self.asked.letters.line(&trend.calls)).unwrap_or_default());
        row
    }

    fn lines(&self, by: By, lines: &[Line]) -> String {
        let calls: u64 = lines.iter().map(|line| line.totals.calls).sum();
        if calls == 0 {
            return "No tool was called.".into();
        }
        let most = lines.iter().map(|line| line.totals.calls).max().unwrap_or(0);
        let row = |line: &Line| {
            let mut row = self.key(&line.key);
            row.extend(sums(&line.totals));
            row.push(self.asked.letters.bar(line.totals.calls, most, BAR));
            row
        };
        let rows = lines.iter().map(row).collect();
        let word = by.word().to_uppercase();
        let mut header = if by == By::Tool { vec!["SERVER", "TOOL"] } else { vec![word.as_str()] };
        let first = header.len();
        header.extend(["CALLS", "ERRORS", "RATE", "P50", "P95", ""]);
        let numbers: Vec<usize> = (first..first + 5).collect();
        format!("{} in all\n\n{}", calls_of(calls), self.table(&header, &numbers, rows))
    }

    fn key(&self, key: &Key) -> Vec<String> {
        let zone = &self.asked.zone;
        match key {
            Key::Hour(at_ms) => vec![local(*at_ms, zone, HOUR)],
            Key::Day(at_ms) => vec![local(*at_ms, zone, DAY)],
            Key::Client(name) => vec![name.clone().unwrap_or_else(|| "(unnamed)".into())],
            Key::Server(name) => vec![name.clone().unwrap_or_else(|| OWN.into())],
            Key::Tool { server, tool } => vec![server.clone().unwrap_or_else(|| OWN.into()), tool.clone()],
        }
    }

    fn histogram(&self, totals: &Totals) -> String {
        let columns = totals.histogram.columns();
        let timed: u64 = columns.iter().sum();
        let within =
            |percent| totals.histogram.percentile_us(percent).map_or_else(String::new, words::micros);
        if timed == 0 {
            return "No tool was called.".into();
        }
        let head = format!(
            "{}: half within {}, 95 of 100 within {}, 99 within {}",
            calls_of(timed),
            within(50),
            within(95),
            within(99)
        );
        let limits = LIMITS_US.map(words::micros).into_iter().chain(["longer".to_owned()]);
        let most = columns.iter().copied().max().unwrap_or(0);
        let mut rows: Vec<_> = limits.zip(columns.iter().copied()).collect();
        rows.truncate(rows.iter().rposition(|(_, calls)| *calls > 0).map_or(0, |last| last + 1));
        let first = rows.iter().position(|(_, calls)| *calls > 0).unwrap_or(0);
        let row = |(limit, calls): (String, u64)| {
            let bar = self.asked.letters.bar(calls, most, BAR * 2);
            vec![limit, words::count(calls), share(calls, timed), bar]
        };
        let rows = rows.into_iter().skip(first).map(row).collect();
        let unknown = match totals.calls - timed {
            0 => String::new(),
            calls => format!("\n\nOf {} nobody knows how long they took.", calls_of(calls)),
        };
        format!("{head}\n\n{}{unknown}", self.table(&["WITHIN", "CALLS", "SHARE", ""], &[0, 1, 2], rows))
    }

    fn errors(&self, errors: &[Failure]) -> String {
        if errors.is_empty() {
            return "No call failed.".into();
        }
        let row = |error: &Failure| {
            vec![
                local(error.at_ms, &self.asked.zone, MOMENT),
                error.client.clone().unwrap_or_else(|| "(unnamed)".into()),
                error.server.clone().unwrap_or_else(|| OWN.into()),
                error.tool.clone(),
                why(error),
                error.duration_us.map_or_else(|| "-".into(), words::micros),
            ]
        };
        let header = ["STARTED", "CLIENT", "SERVER", "TOOL", "WHY", "TOOK"];
        self.table(&header, &[5], errors.iter().map(row).collect())
    }

    /// Said below what rows of single calls tell, where the totals know of more.
    fn since(&self, rows_since_ms: Option<i64>) -> String {
        let Some(ms) = rows_since_ms else { return String::new() };
        let told = format!(
            "Single calls are kept since {}; what was before is in the totals by tool, server, hour and day only \
             (retention_days).",
            local(ms, &self.asked.zone, "%Y-%m-%d %H:%M")
        );
        format!("\n\n{}", words::wrapped(&told, self.asked.columns))
    }

    fn table(&self, header: &[&str], numbers: &[usize], rows: Vec<Vec<String>>) -> String {
        words::table(header, numbers, rows, self.asked.columns)
    }
}

/// The outcome, and its cause where one is known.
fn why(error: &Failure) -> String {
    match &error.error_kind {
        Some(cause) => format!("{} {cause}", error.outcome),
        None => error.outcome.clone(),
    }
}

/// Calls, errors, rate, and the two percentiles.
fn sums(totals: &Totals) -> [String; 5] {
    let percentile =
        |percent| totals.histogram.percentile_us(percent).map_or_else(|| "-".into(), words::micros);
    [
        words::count(totals.calls),
        words::count(totals.errors),
        format!("{:.1}%", 100.0 * error_rate(totals)),
        percentile(50),
        percentile(95),
    ]
}

fn calls_of(calls: u64) -> String {
    format!("{} call{}", words::count(calls), if calls == 1 { "" } else { "s" })
}

#[expect(clippy::cast_precision_loss, reason = "a share that loses digits is of very many")]
fn share(calls: u64, of: u64) -> String {
    format!("{:.1}%", 100.0 * calls as f64 / of as f64)
}
