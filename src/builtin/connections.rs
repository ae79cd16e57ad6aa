//! `bridge_connections` and `bridge_disconnect`: every connection to every server, and an end to some of them.

use std::fmt::Write as _;
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::JsonObject;
use serde_json::{Value, json};

use crate::builtin::status::{Sources, since};
use crate::builtin::{Answer, bad};
use crate::downstream::pool::Pool;
use crate::downstream::pool::key::Farewell;
use crate::downstream::pool::report::{Row, Whose};

/// Tells of every connection.
pub fn report(sources: &Sources) -> Answer {
    let (mut text, mut all) = (String::new(), Vec::new());
    for pool in sources.fleet.all().iter().chain(&sources.fleet.retiring()) {
        for row in pool.rows() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "- {}", line(pool, &row));
            all.push(data(pool, &row));
        }
    }
    if all.is_empty() {
        text.push_str("No server has a connection now; the next call makes one.\n");
    }
    Answer { text, structured: Some(json!({ "connections": all })), is_error: false }
}

fn line(pool: &Pool, row: &Row) -> String {
    let whose = whose(row).into_iter().map(|(of, name)| format!(", {of} {name}")).collect::<String>();
    let process = row.status.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    let use_ = match row.active {
        0 => format!("idle for {} s", row.idle_for.as_secs()),
        active => format!("{active} under way"),
    };
    let (server, state) = (pool.name(), row.status.state.word());
    let plural = if row.requests == 1 { "" } else { "s" };
    let end = pool.farewell().map(|farewell| format!("; it ends with what runs in it: {farewell}"));
    format!(
        "{server} ({}{whose}): {state}{process}, {use_}, {} request{plural} so far{}",
        row.kind,
        row.requests,
        end.unwrap_or_default()
    )
}

fn whose(row: &Row) -> Vec<(&'static str, String)> {
    let named = |name: &Option<Arc<str>>| name.as_deref().map(|name| format!("{name:?}"));
    let (user, thread) = (named(&row.tenant.user), named(&row.tenant.thread));
    let all = [("thread", thread), ("user", user), ("session", row.tenant.session_text())];
    all.into_iter().filter_map(|(of, name)| Some((of, name?))).collect()
}

fn data(pool: &Pool, row: &Row) -> Value {
    json!({
        "server": pool.name().as_str(),
        "scope": row.kind,
        "session": row.tenant.session_text(),
        "thread": row.tenant.thread.as_deref(),
        "user": row.tenant.user.as_deref(),
        "state": row.status.state.word(),
        "pid": row.status.pid,
        "since": since(row.status.since),
        "activeRequests": row.active,
        "requests": row.requests,
        "idleSeconds": row.idle_for.as_secs(),
        "endsBecause": pool.farewell().map(Farewell::reason),
    })
}

/// Ends the connections that are meant, whatever they do.
pub fn disconnect(sources: &Sources, arguments: &JsonObject) -> Result<Answer, ErrorData> {
    let text = |key: &str| match arguments.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(format!("{key} has to be a string"))),
    };
    let server = text("server")?;
    let whose = Whose { thread: text("thread")?, user: text("user")?, session: text("session")? };
    if server.is_none() && whose == Whose::default() {
        return Err(bad("say which: a server, a thread, a user or a session".to_owned()));
    }
    let is_meant = |pool: &&Arc<Pool>| server.as_deref().is_none_or(|server| pool.name().as_str() == server);
    let (all, retiring) = (sources.fleet.all(), sources.fleet.retiring());
    let pools: Vec<&Arc<Pool>> = all.iter().chain(&retiring).filter(is_meant).collect();
    if pools.is_empty() {
        return Err(bad(format!("there is no server {:?}", server.unwrap_or_default())));
    }
    let (mut closed, mut of) = (0, Vec::new());
    for pool in pools {
        let ended = pool.disconnect(&whose);
        closed += ended;
        if ended > 0 {
            of.push(json!({ "server": pool.name().as_str(), "closed": ended }));
        }
    }
    let text = match closed {
        0 => "No connection was open that is meant.".to_owned(),
        1 => "1 connection is closed; the next call makes a new one.".to_owned(),
        more => format!("{more} connections are closed; the next calls make new ones."),
    };
    Ok(Answer { text, structured: Some(json!({ "closed": closed, "servers": of })), is_error: false })
}
