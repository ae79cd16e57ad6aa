//! `bridge_dashboard`: calls, times, errors and servers on one page, for people; a few lines for models.
//!
//! The page is an MCP App (SEP-1865): a client that knows of them shows it and passes it the tool's data, every
//! other one has the tool's text. `bridge dashboard` writes the same page with the data in it.

pub mod data;

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use rmcp::ErrorData;
use rmcp::model::{JsonObject, MetaObject, ReadResourceResult, ResourceContents};
use serde_json::{Value, json};

use crate::builtin::dashboard::data::{Record, Running, Span};
use crate::builtin::status::{self, Sources};
use crate::builtin::{Answer, bad};
use crate::figures::moment;
use crate::store::stamp;

/// The page's address; no list shows it, the tool points to it.
pub const PAGE_URI: &str = "ui://bridge/dashboard";

/// What clients know such pages by.
const PAGE_TYPE: &str = "text/html;profile=mcp-app";

/// The span that is shown when nobody says one.
pub const SPAN: &str = "7d";

const BEFORE_RECORD: &str = concat!(
    include_str!("dashboard/head.html"),
    "<style>\n",
    include_str!("dashboard/style.css"),
    "</style>\n",
    include_str!("dashboard/body.html"),
    r#"<script type="application/json" id="record">"#,
);

const AFTER_RECORD: &str = concat!(
    "</script>\n<script>\n\"use strict\";\n{\n",
    include_str!("dashboard/words.js"),
    include_str!("dashboard/charts.js"),
    include_str!("dashboard/view.js"),
    include_str!("dashboard/host.js"),
    include_str!("dashboard/main.js"),
    "}\n</script>\n</body>\n</html>\n",
);

/// The page, complete in itself; with `data` ([`data::data`]) it shows that and asks nobody.
#[must_use]
pub fn page(data: &Value) -> String {
    // In JSON a "<" stands in texts only, and no text may end the element.
    let record = data.to_string().replace('<', "\\u003c");
    [BEFORE_RECORD, &record, AFTER_RECORD].concat()
}

/// The page as a client reads it.
pub(super) fn resource() -> ReadResourceResult {
    let mut meta = MetaObject::default();
    // It needs nothing from anywhere, and has a background of its own.
    meta.0.insert("ui".to_owned(), json!({ "csp": {}, "prefersBorder": true }));
    let page = ResourceContents::text(page(&Value::Null), PAGE_URI).with_mime_type(PAGE_TYPE).with_meta(meta);
    ReadResourceResult::new(vec![page])
}

/// Reads the record and puts it beside what the servers do.
pub(super) async fn report(sources: &Sources, arguments: &JsonObject) -> Result<Answer, ErrorData> {
    let asked = match arguments.get("since") {
        None | Some(Value::Null) => SPAN,
        Some(since) => since.as_str().ok_or_else(|| bad("since has to be a string like 24h".to_owned()))?,
    };
    let now_ms = stamp::now_ms();
    let since_ms =
        moment::parse(asked, now_ms, &TimeZone::system()).map_err(|error| bad(format!("since: {error}")))?;
    let (span, data_dir) = (Span::of(asked, since_ms, now_ms), sources.journal.data_dir().clone());
    let read = {
        let span = span.clone();
        tokio::task::spawn_blocking(move || Record::read(&data_dir, &span))
    };
    let fault = |what: String| ErrorData::internal_error(format!("the record cannot be read: {what}"), None);
    let record =
        read.await.map_err(|error| fault(error.to_string()))?.map_err(|error| fault(error.to_string()))?;
    let structured = data::data(&span, &record, &[Running { pid: None, status: Ok(status::data(sources)) }]);
    Ok(Answer { text: text(&structured), structured: Some(structured), is_error: false })
}

/// What a model reads.
#[expect(clippy::indexing_slicing, reason = "a JSON value answers null for what it does not have")]
fn text(data: &Value) -> String {
    let (totals, mut text) = (&data["totals"], String::new());
    let time = |ms: &Value| ms.as_f64().map_or_else(|| "unknown".to_owned(), |ms| format!("{ms:.1} ms"));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "Since {}: {} calls, of which {} failed and {} were cancelled; half took {} or less, 95 % took {} or less. {} \
         sessions, {} open now.",
        data["span"]["since"].as_str().unwrap_or_default(),
        totals["calls"],
        totals["errors"],
        totals["cancelled"],
        time(&totals["p50Ms"]),
        time(&totals["p95Ms"]),
        totals["sessions"],
        totals["sessionsOpen"],
    );
    for server in data["servers"].as_array().into_iter().flatten() {
        let word = |key: &str| server[key].as_str().unwrap_or_default();
        let because = server["because"].as_str().map(|because| format!("; {because}")).unwrap_or_default();
        let (calls, errors) = (&server["calls"], &server["errors"]);
        let _ =
            writeln!(text, "- {}: {}, {calls} calls, {errors} failed{because}", word("name"), word("state"));
    }
    for note in data["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(text, "{note}");
    }
    text
}
