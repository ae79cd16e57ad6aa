//! `bridge_stats`: what the record says of every tool.

use std::fmt::Write as _;

use rmcp::ErrorData;
use rmcp::model::JsonObject;
use serde_json::{Value, json};

use crate::builtin::Answer;
use crate::builtin::status::Sources;
use crate::store::read::Reader;
use crate::store::read::answers::ToolTotals;
use crate::store::read::series::Which;
use crate::store::stamp;

const HOUR_MS: f64 = 3_600_000.0;

/// Reads the record and reports on it.
pub async fn report(sources: &Sources, arguments: &JsonObject) -> Result<Answer, ErrorData> {
    let hours = arguments.get("sinceHours").and_then(Value::as_f64).filter(|hours| *hours > 0.0);
    #[expect(clippy::cast_possible_truncation, reason = "a span that does not fit is as long as can be")]
    let since_ms = hours.map(|hours| stamp::now_ms().saturating_sub((hours * HOUR_MS) as i64));
    let server = arguments.get("server").and_then(Value::as_str).map(str::to_owned);
    let data_dir = sources.journal.data_dir().clone();
    let read = tokio::task::spawn_blocking(move || -> Result<Vec<ToolTotals>, String> {
        match Reader::open(&data_dir).map_err(|error| error.to_string())? {
            Some(reader) => reader
                .tools(&Which { from_ms: since_ms, ..Which::default() })
                .map_err(|error| error.to_string()),
            None => Ok(Vec::new()),
        }
    });
    let fault = |what: String| ErrorData::internal_error(format!("the record cannot be read: {what}"), None);
    let tools = read.await.map_err(|error| fault(error.to_string()))?.map_err(fault)?;
    let tools = tools.into_iter().filter(|tool| server.is_none() || tool.server == server);
    Ok(answer(&tools.collect::<Vec<_>>()))
}

fn answer(tools: &[ToolTotals]) -> Answer {
    let mut text = String::new();
    let mut rows = Vec::new();
    for ToolTotals { server, tool, totals } in tools {
        let name = server.as_ref().map_or_else(|| tool.clone(), |server| format!("{server}: {tool}"));
        let (p50, p95) = (totals.histogram.percentile_us(50), totals.histogram.percentile_us(95));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "- {name}: {}, {}, half within {}, 95 % within {}",
            counted(totals.calls, "call"),
            counted(totals.errors, "error"),
            milliseconds(p50),
            milliseconds(p95)
        );
        rows.push(json!({
            "server": server,
            "tool": tool,
            "calls": totals.calls,
            "errors": totals.errors,
            "p50Ms": p50.map(in_ms),
            "p95Ms": p95.map(in_ms),
        }));
    }
    if rows.is_empty() {
        text.push_str("No calls are recorded.\n");
    }
    Answer { text, structured: Some(json!({ "tools": rows })), is_error: false }
}

fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn milliseconds(us: Option<u64>) -> String {
    us.map_or_else(|| "unknown".to_owned(), |us| format!("{} ms", in_ms(us)))
}

#[expect(clippy::cast_precision_loss, reason = "a duration that loses digits lasts for centuries")]
fn in_ms(us: u64) -> f64 {
    us as f64 / 1000.0
}
