//! `bridge_restart`: what `bridge restart` does, for the clients of this bridge.

use rmcp::ErrorData;
use rmcp::model::JsonObject;
use serde_json::Value;

use crate::builtin::status::Sources;
use crate::builtin::{Answer, bad};
use crate::control::{Desk, Request};
use crate::downstream::LinkState;
use crate::names::ServerName;

/// Has a server replaced by the same, and tells how that started.
pub(super) async fn run(
    desk: &dyn Desk,
    sources: &Sources,
    arguments: &JsonObject,
) -> Result<Answer, ErrorData> {
    let Some(server) = arguments.get("server").and_then(Value::as_str) else {
        return Err(bad("say which server, by its name in bridge_status".to_owned()));
    };
    let is = ServerName::parse(server)
        .ok()
        .and_then(|name| sources.fleet.link(&name))
        .map(|link| link.status().state);
    if matches!(is, Some(LinkState::Held(_))) {
        // Whoever stopped it is asked, and not the model.
        let why = format!(
            "nothing was restarted: a person stopped {server}, and starts it with `bridge start {server}`"
        );
        return Err(bad(why));
    }
    let answer = desk.answer(Request::Restart { server: server.to_owned() }).await;
    let answer = answer.map_err(|why| bad(format!("nothing was restarted: {why}")))?;
    let (mut text, wrong) = said(&answer);
    if let Some(wrong) = &wrong {
        text = format!("{text}. {wrong}");
        let lines =
            answer.get("stderr").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let lines: Vec<&str> = lines.collect();
        if !lines.is_empty() {
            text = format!("{text}. It wrote last:\n{}", lines.join("\n"));
        }
    }
    Ok(Answer { text, structured: Some(answer), is_error: wrong.is_some() })
}

/// How it went, and what went wrong, from the answer of a bridge to [`Request::Restart`].
#[must_use]
pub fn said(answer: &Value) -> (String, Option<String>) {
    let server = answer["server"].as_str().unwrap_or_default();
    let ended = match answer["endedPid"].as_u64() {
        Some(pid) => format!("process {pid} of {server} was ended"),
        None => format!("{server} had no process"),
    };
    let started = match (answer["pid"].as_u64(), answer["state"].as_str()) {
        (Some(pid), Some(state)) => format!(", process {pid} is {state}"),
        _ => String::new(),
    };
    let wrong = answer["error"].as_str().map(|error| format!("{server} cannot be started: it {error}"));
    (format!("{ended}{started}"), wrong)
}
