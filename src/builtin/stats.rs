//! `bridge_stats`: what `bridge stats` tells, for a model and a program.

use std::fmt::Write as _;
use std::path::Path;

use jiff::tz::TimeZone;
use rmcp::ErrorData;
use rmcp::model::JsonObject;
use serde_json::{Value, json};

use crate::builtin::status::Sources;
use crate::builtin::{Answer, bad};
use crate::figures::record::{error_rate, in_ms};
use crate::figures::{self, By, Key, Line, moment};
use crate::names::OWN;
use crate::store::read::Reader;
use crate::store::read::answers::Failure;
use crate::store::read::series::Which;
use crate::store::stamp;
use crate::store::totals::Totals;

/// More rows are only counted in the text: a model reads a screenful. The data has all of them.
const ROWS_TOLD: usize = 25;

/// So many of the latest errors are told.
const ERRORS_TOLD: u32 = 5;

/// What a model asks for.
#[derive(Debug, Clone)]
struct Question {
    which: Which,
    by: By,
    zone: TimeZone,
}

/// What the record says of it.
#[derive(Debug, Default)]
struct Told {
    all: Totals,
    lines: Vec<Line>,
    errors: Vec<Failure>,
    rows_since_ms: Option<i64>,
}

/// Reads the record and reports on it.
pub async fn report(sources: &Sources, arguments: &JsonObject) -> Result<Answer, ErrorData> {
    let question = Question::parse(arguments, stamp::now_ms(), TimeZone::system()).map_err(bad)?;
    let data_dir = sources.journal.data_dir().clone();
    let asked = question.clone();
    let read = tokio::task::spawn_blocking(move || Told::read(&asked, &data_dir));
    let fault = |what: String| ErrorData::internal_error(format!("the record cannot be read: {what}"), None);
    let told = read.await.map_err(|error| fault(error.to_string()))?.map_err(fault)?;
    Ok(Answer { text: told.text(&question), structured: Some(told.data(&question)), is_error: false })
}

impl Question {
    fn parse(arguments: &JsonObject, now_ms: i64, zone: TimeZone) -> Result<Self, String> {
        let text = |key: &str| match arguments.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{key} has to be a string")),
        };
        let at = |key: &str| {
            let parse =
                |text: String| moment::parse(&text, now_ms, &zone).map_err(|bad| format!("{key} {bad}"));
            text(key)?.map(parse).transpose()
        };
        let (from_ms, to_ms) = (at("since")?, at("until")?);
        if from_ms.zip(to_ms).is_some_and(|(from_ms, to_ms)| from_ms >= to_ms) {
            return Err("until is not after since".to_owned());
        }
        let server = text("server")?.map(|server| if server == OWN { String::new() } else { server });
        let by = match text("by")? {
            None => By::Tool,
            Some(word) => By::parse(&word).ok_or_else(|| {
                let all = By::ALL.map(By::word).join(", ");
                format!("by is one of {all}, and not {word:?}")
            })?,
        };
        Ok(Self { which: Which { from_ms, to_ms, server, tool: text("tool")? }, by, zone })
    }
}

impl Told {
    fn read(question: &Question, data_dir: &Path) -> Result<Self, String> {
        let Some(reader) = Reader::open(data_dir).map_err(|error| error.to_string())? else {
            return Ok(Self::default());
        };
        let read = || -> rusqlite::Result<Self> {
            reader.at_one_moment()?;
            let Question { which, by, zone } = question;
            let all = figures::all(&reader, which)?;
            let errors = if all.errors > 0 { reader.failures(which, ERRORS_TOLD)? } else { Vec::new() };
            let lines = figures::lines(&reader, which, *by, zone)?;
            let rows_since_ms =
                if *by == By::Client { figures::rows_since_ms(&reader, which)? } else { None };
            Ok(Self { all, lines, errors, rows_since_ms })
        };
        read().map_err(|error| error.to_string())
    }

    fn data(&self, question: &Question) -> Value {
        let mut head = figures::head(&question.which);
        head.push(("calls", json!(self.all.calls)));
        head.push(("errors", json!(self.all.errors)));
        let errors = self.errors.iter().map(|error| figures::record::object(figures::failure(error)));
        head.push(("latestErrors", errors.collect()));
        head.push(("rowsSince", json!(self.rows_since_ms.map(stamp::text))));
        let rows = self.lines.iter().map(|line| line.fields(&question.zone)).collect();
        figures::told(head, question.by.list(), rows)
    }

    fn text(&self, question: &Question) -> String {
        let since =
            question.which.from_ms.map(|ms| format!(" since {}", stamp::text(ms))).unwrap_or_default();
        let until = question.which.to_ms.map(|ms| format!(" until {}", stamp::text(ms))).unwrap_or_default();
        if self.all.calls == 0 {
            return format!("No calls are recorded{since}{until} of what was asked for.\n");
        }
        let mut text = format!("By {}{since}{until}: {}\n", question.by.word(), sums(&self.all));
        // Times are read from their end: the newest rows are told, and the busiest of all others.
        let is_time = matches!(question.by, By::Hour | By::Day);
        let skipped = self.lines.len().saturating_sub(ROWS_TOLD);
        let told = self.lines.iter().skip(if is_time { skipped } else { 0 }).take(ROWS_TOLD);
        // Writing to a string cannot fail.
        for line in told {
            let _ = writeln!(text, "- {}: {}", name(&line.key, &question.zone), sums(&line.totals));
        }
        if skipped > 0 {
            let which = if is_time { "earlier" } else { "with fewer calls" };
            let _ =
                writeln!(text, "{skipped} more rows, {which}; ask for a server, a tool or a shorter time.");
        }
        if let Some(ms) = self.rows_since_ms {
            let _ = writeln!(text, "Calls by client are known since {} only.", stamp::text(ms));
        }
        self.tell_errors(&mut text);
        text
    }

    fn tell_errors(&self, text: &mut String) {
        if self.errors.is_empty() {
            return;
        }
        text.push_str("The latest errors:\n");
        for error in &self.errors {
            let (server, at) = (error.server.as_deref().unwrap_or(OWN), stamp::text(error.at_ms));
            let cause = error.error_kind.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
            let _ = writeln!(text, "- {at} {server}: {}: {}{cause}", error.tool, error.outcome);
        }
        text.push_str(
            "bridge_status says how each server is now and why; bridge_restart starts one anew. A tool_error or \
             rpc_error is the server's own answer.\n",
        );
    }
}

fn name(key: &Key, zone: &TimeZone) -> String {
    match key {
        Key::Hour(at_ms) => moment::local(*at_ms, zone, "%Y-%m-%d %H:%M %Z"),
        Key::Day(at_ms) => moment::local(*at_ms, zone, "%Y-%m-%d"),
        Key::Client(name) => name.clone().unwrap_or_else(|| "(unnamed)".to_owned()),
        Key::Server(name) => name.clone().unwrap_or_else(|| OWN.to_owned()),
        Key::Tool { server: Some(server), tool } => format!("{server}: {tool}"),
        Key::Tool { server: None, tool } => tool.clone(),
    }
}

/// `1200 calls, 3 errors (0.3 %), half within 4.5 ms, 95 % within 12 ms`.
fn sums(totals: &Totals) -> String {
    let errors = match totals.errors {
        0 => "no errors".to_owned(),
        errors => format!("{} ({:.1} %)", counted(errors, "error"), 100.0 * error_rate(totals)),
    };
    let within = |percent| totals.histogram.percentile_us(percent).map(milliseconds);
    let times = match (within(50), within(95)) {
        (Some(half), Some(most)) => format!(", half within {half}, 95 % within {most}"),
        _ => String::new(),
    };
    format!("{}, {errors}{times}", counted(totals.calls, "call"))
}

/// With the digits that a histogram vouches for.
fn milliseconds(us: u64) -> String {
    match us {
        ..1_000 => format!("{:.2} ms", in_ms(us)),
        1_000..10_000 => format!("{:.1} ms", in_ms(us)),
        _ => format!("{:.0} ms", in_ms(us)),
    }
}

fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::store::totals::Ended;

    const NOW_MS: i64 = 1_795_232_400_000;

    fn totals(calls: u64, failed: u64) -> Totals {
        let mut totals = Totals::default();
        for call in 0..calls {
            totals.add(Ended {
                started_at_ms: NOW_MS,
                duration_us: Some(9_000),
                outcome: if call < failed { Outcome::Timeout } else { Outcome::Ok },
                request_bytes: 10,
                response_bytes: 20,
            });
        }
        totals
    }

    fn question(arguments: &Value) -> Result<Question, String> {
        Question::parse(arguments.as_object().unwrap(), NOW_MS, TimeZone::get("Europe/Berlin").unwrap())
    }

    #[test]
    fn a_model_reads_a_screenful_and_what_to_do() {
        let line = |number: u64| Line {
            key: Key::Tool { server: Some("git".into()), tool: format!("tool_{number}") },
            totals: totals(40 - number, number.saturating_sub(20)),
        };
        let lines: Vec<_> = (0..30).map(line).collect();
        let error = Failure {
            at_ms: NOW_MS,
            server: Some("git".into()),
            tool: "tool_21".into(),
            outcome: "timeout".into(),
            error_kind: Some("hung".into()),
            ..Failure::default()
        };
        let told = Told { all: totals(765, 45), lines, errors: vec![error], rows_since_ms: None };
        let text = told.text(&question(&json!({ "since": "24h" })).unwrap());
        assert_eq!(text.lines().count(), 30, "{text}");
        let shown: Vec<&str> = text.lines().take(2).chain(text.lines().skip(26)).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        By tool since 2026-11-20T03:40:00.000Z: 765 calls, 45 errors (5.9 %), half within 7.5 ms, 95 % within 9.8 ms
        - git: tool_0: 40 calls, no errors, half within 7.5 ms, 95 % within 9.8 ms
        5 more rows, with fewer calls; ask for a server, a tool or a shorter time.
        The latest errors:
        - 2026-11-21T03:40:00.000Z git: tool_21: timeout (hung)
        bridge_status says how each server is now and why; bridge_restart starts one anew. A tool_error or rpc_error is the server's own answer.
        "#);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_would_be_good() {
        for (arguments, expected) in [
            (json!({ "since": "yesterday" }), "since `yesterday` is neither a duration"),
            (json!({ "by": "week" }), "by is one of hour, day, client, server, tool, and not \"week\""),
            (json!({ "server": 7 }), "server has to be a string"),
            (json!({ "since": "1h", "until": "2h" }), "until is not after since"),
        ] {
            let error = question(&arguments).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_record_without_calls_says_so() {
        let text = Told::default().text(&question(&json!({})).unwrap());
        assert_eq!(text, "No calls are recorded of what was asked for.\n");
    }
}
