//! `bridge stats`: what was called, how often, how well, how fast.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::words;
use crate::store::read::Reader;
use crate::store::read::answers::ToolTotals;
use crate::store::read::series::Which;
use crate::store::totals::Totals;
use crate::store::{lock, stamp};

/// Show calls, errors and latency of every tool
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "Examples:
  bridge stats                      everything that was ever recorded
  bridge stats --since 24h          the last day
  bridge stats --server time --json one server, for a script")]
pub struct Args {
    /// Only calls that started since then: 90m, 24h, 7d, or 2026-11-21T00:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only tools of this server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The figures of one screen.
#[derive(Debug)]
struct Figures {
    sessions: u64,
    active: u64,
    mean_duration_s: Option<f64>,
    calls: u64,
    /// The busiest first.
    tools: Vec<ToolTotals>,
}

/// Prints the figures of the record in a data folder.
///
/// # Errors
/// When `--since` cannot be understood, or the record cannot be read.
pub fn run(args: &Args, data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let now_ms = words::now_ms();
    let since_ms = args.since.as_deref().map(|text| words::since(text, now_ms)).transpose()?;
    let figures = match Reader::open(data_dir)? {
        Some(reader) => Some(
            Figures::read(&reader, args.server.as_deref(), since_ms, data_dir)
                .context("the record cannot be read")?,
        ),
        None => None,
    };
    let text = match figures {
        Some(figures) if args.json => format!("{:#}", figures.json(since_ms)),
        Some(figures) => figures.screen(now_ms, words::screen_columns()),
        None if args.json => format!("{:#}", Figures::none().json(since_ms)),
        None => words::nothing_recorded(data_dir),
    };
    words::say(out, &text)
}

impl Figures {
    const fn none() -> Self {
        Self { sessions: 0, active: 0, mean_duration_s: None, calls: 0, tools: Vec::new() }
    }

    fn read(
        reader: &Reader,
        server: Option<&str>,
        since_ms: Option<i64>,
        data_dir: &Path,
    ) -> rusqlite::Result<Self> {
        let sessions = reader.session_totals(since_ms)?;
        let mut tools = reader.tools(&Which { from_ms: since_ms, ..Which::default() })?;
        let calls = tools.iter().map(|tool| tool.totals.calls).sum();
        tools.retain(|tool| server.is_none() || tool.server.as_deref() == server);
        tools.sort_by_key(|tool| std::cmp::Reverse(tool.totals.calls));
        let active = sessions.open.iter().filter(|&&id| lock::is_alive(data_dir, id)).count();
        Ok(Self {
            sessions: sessions.total,
            active: active as u64,
            mean_duration_s: sessions.mean_duration_s,
            calls,
            tools,
        })
    }

    fn screen(&self, now_ms: i64, columns: u16) -> String {
        let mean = self.mean_duration_s.map_or_else(|| "-".into(), |s| words::seconds(s.round() as u64));
        let head = format!(
            "sessions  {} total, {} active, {mean} on average\ncalls     {} in all",
            words::count(self.sessions),
            words::count(self.active),
            words::count(self.calls)
        );
        if self.tools.is_empty() {
            return format!("{head}\n\nNo tool was called.");
        }
        let rows = self.tools.iter().map(|tool| row(tool, now_ms)).collect();
        let header = ["SERVER", "TOOL", "CALLS", "ERRORS", "RATE", "P50", "P95", "LAST USED"];
        format!("{head}\n\n{}", words::table(&header, &[2, 3, 4, 5, 6, 7], rows, columns))
    }

    fn json(&self, since_ms: Option<i64>) -> Value {
        json!({
            "since": since_ms.map(stamp::text),
            "mcpSessions": {
                "total": self.sessions,
                "active": self.active,
                "avgDurationSeconds": self.mean_duration_s,
                "totalToolCalls": self.calls,
            },
            "tools": self.tools.iter().map(tool_json).collect::<Vec<_>>(),
        })
    }
}

fn row(tool: &ToolTotals, now_ms: i64) -> Vec<String> {
    let ToolTotals { server, tool, totals } = tool;
    let percentile =
        |percent| totals.histogram.percentile_us(percent).map_or_else(|| "-".into(), words::micros);
    vec![
        server.clone().unwrap_or_else(|| "(bridge)".into()),
        tool.clone(),
        words::count(totals.calls),
        words::count(totals.errors),
        format!("{:.1}%", 100.0 * error_rate(totals)),
        percentile(50),
        percentile(95),
        words::ago(totals.last_used_ms, now_ms),
    ]
}

fn tool_json(tool: &ToolTotals) -> Value {
    let ToolTotals { server, tool, totals } = tool;
    let percentile_ms = |percent| totals.histogram.percentile_us(percent).map(|us| us as f64 / 1_000.0);
    json!({
        "server": server,
        "tool": tool,
        "calls": totals.calls,
        "errors": totals.errors,
        "cancelled": totals.cancelled,
        "errorRate": error_rate(totals),
        "p50Ms": percentile_ms(50),
        "p95Ms": percentile_ms(95),
        "requestBytes": totals.request_bytes,
        "responseBytes": totals.response_bytes,
        "lastUsed": stamp::text(totals.last_used_ms),
    })
}

fn error_rate(totals: &Totals) -> f64 {
    if totals.calls == 0 { 0.0 } else { totals.errors as f64 / totals.calls as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::store::totals::Ended;

    const NOW_MS: i64 = 1_795_232_400_000;

    fn tool(server: Option<&str>, tool: &str, calls: u64, failed: u64, duration_us: u64) -> ToolTotals {
        let mut totals = Totals::default();
        for call in 0..calls {
            totals.add(Ended {
                started_at_ms: NOW_MS - 180_000,
                duration_us: Some(duration_us * (call + 1) / calls),
                outcome: if call < failed { Outcome::Timeout } else { Outcome::Ok },
                request_bytes: 10,
                response_bytes: 20,
            });
        }
        ToolTotals { server: server.map(Into::into), tool: tool.into(), totals }
    }

    fn figures() -> Figures {
        Figures {
            sessions: 1_204,
            active: 2,
            mean_duration_s: Some(3_725.4),
            calls: 1_240,
            tools: vec![
                tool(Some("time"), "get_current_time", 1_200, 3, 9_000),
                tool(Some("filesystem"), "read_multiple_files_with_a_long_name", 39, 39, 31_000_000),
                tool(None, "bridge_status", 1, 0, 80),
            ],
        }
    }

    #[test]
    fn the_screen_fits_80_columns() {
        insta::assert_snapshot!(figures().screen(NOW_MS, 80), @r#"
        sessions  1,204 total, 2 active, 1h 02m on average
        calls     1,240 in all

        SERVER      TOOL                 CALLS  ERRORS    RATE    P50    P95  LAST USED
        time        get_current_time     1,200       3    0.2%  4.5ms  9.4ms     3m ago
        filesystem  read_multiple_files     39      39  100.0%    16s    45s     3m ago
                    _with_a_long_name
        (bridge)    bridge_status            1       0    0.0%  100µs  100µs     3m ago
        "#);
    }

    #[test]
    fn a_record_without_calls_says_so() {
        insta::assert_snapshot!(Figures::none().screen(NOW_MS, 80), @r#"
        sessions  0 total, 0 active, - on average
        calls     0 in all

        No tool was called.
        "#);
    }

    #[test]
    fn json_holds_the_head_figures_under_one_name() {
        let mut figures = figures();
        figures.tools.truncate(1);
        insta::assert_snapshot!(format!("{:#}", figures.json(Some(NOW_MS))), @r#"
        {
          "mcpSessions": {
            "active": 2,
            "avgDurationSeconds": 3725.4,
            "total": 1204,
            "totalToolCalls": 1240
          },
          "since": "2026-11-21T03:40:00.000Z",
          "tools": [
            {
              "calls": 1200,
              "cancelled": 0,
              "errorRate": 0.0025,
              "errors": 3,
              "lastUsed": "2026-11-21T03:37:00.000Z",
              "p50Ms": 4.505,
              "p95Ms": 9.438,
              "requestBytes": 12000,
              "responseBytes": 24000,
              "server": "time",
              "tool": "get_current_time"
            }
          ]
        }
        "#);
    }

    #[test]
    fn without_a_record_a_person_reads_a_sentence_and_a_script_reads_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let said = |json| {
            let mut out = Vec::new();
            run(&Args { json, ..Args::default() }, dir.path(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(said(false).starts_with("Nothing is recorded yet in "));
        let json: Value = serde_json::from_str(&said(true)).unwrap();
        assert_eq!(json["mcpSessions"]["total"], 0);
        assert_eq!(json["mcpSessions"]["avgDurationSeconds"], Value::Null);
    }
}
