//! The hub in `bridge status`: who has its place, who is attached there, and what stands in its way.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::running::{self, SIGN_OF_LIFE};
use crate::cli::status::screen::{ago, client_name, list, words_of};
use crate::cli::words;
use crate::control::Request;
use crate::local::Hall;

/// So many fronts have a line each.
const FRONTS_TOLD: usize = 3;

/// What is known of the hub's place; `None` where there is no hub and nothing to say of it.
pub fn look(data_dir: &Path) -> Option<Value> {
    let hub = running::ask_hub(data_dir, &Request::Status, SIGN_OF_LIFE);
    let notes = Hall::of(data_dir).notes();
    let (held, rolled_back) = (notes.is_held(), notes.rolled_back());
    let (hub, error) = match hub {
        Ok(hub) => (hub, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let says_something = hub.is_some() || error.is_some() || held || rolled_back.is_some();
    says_something.then(|| {
        json!({
            "pid": hub.as_ref().and_then(|hub| hub["pid"].as_u64()),
            "answers": hub.is_some(),
            "error": error,
            "hub": hub,
            "held": held,
            "rolledBack": rolled_back,
        })
    })
}

/// The same as lines of a screen; `sessions` are those of all bridges.
pub fn lines(place: &Value, sessions: &[&Value], now_ms: i64, columns: u16) -> String {
    let mut lines = Vec::new();
    let hub = &place["hub"];
    if hub.is_object() {
        let program = hub["program"].as_str().unwrap_or("its program is gone");
        let ends = if hub["state"] == "serving" { "" } else { ", ending" };
        let (version, since) = (words_of(&hub["version"]), ago(&hub["since"], now_ms));
        lines.push(format!("hub {}  version {version}, started {since}{ends}", hub["pid"]));
        lines.push(format!("  {program}"));
        let (told, alike) = to_be_told(list(&hub["fronts"]), version);
        lines.extend(told.iter().map(|front| self::front(front, sessions, now_ms)));
        if alike > 0 {
            lines.push(format!("  {alike} fronts of the same version"));
        }
    }
    if let Some(error) = place["error"].as_str() {
        lines.push(words::wrapped(&format!("hub: {error}"), columns));
    }
    if place["held"] == true {
        lines.push("the hub is stopped and held: bridge start starts it again".into());
    }
    if let Some(given_up) = place["rolledBack"].as_object() {
        let word = |key: &str| given_up.get(key).map(words_of).unwrap_or_default();
        let at = ago(given_up.get("at").unwrap_or(&Value::Null), now_ms);
        let told = format!("rolled back {at}: {}: {}", word("path"), word("because"));
        lines.push(words::wrapped(&told, columns));
    }
    lines.join("\n")
}

/// The fronts that have a line of their own, and how many of many are only counted: their clients are told elsewhere.
fn to_be_told<'f>(fronts: &'f [Value], version: &str) -> (Vec<&'f Value>, usize) {
    if fronts.len() <= FRONTS_TOLD {
        return (fronts.iter().collect(), 0);
    }
    let (alike, others): (Vec<_>, Vec<_>) = fronts.iter().partition(|front| front["version"] == version);
    (others, alike.len())
}

fn front(front: &Value, sessions: &[&Value], now_ms: i64) -> String {
    let clients = sessions.iter().filter(|session| session["pid"] == front["pid"]);
    let clients: String = clients.map(|session| client_name(session) + ", ").collect();
    let version = words_of(&front["version"]);
    format!("  front {}  {clients}version {version}, attached {}", front["pid"], ago(&front["since"], now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::stamp;

    const NOW_MS: i64 = 1_800_000_000_000;

    #[test]
    fn the_hub_its_fronts_and_what_stands_in_its_way_fit_80_columns() {
        let time = |s: i64| stamp::text(NOW_MS - s * 1_000);
        let place = json!({
            "error": null,
            "hub": {
                "pid": 4_000, "version": "0.2.0", "since": time(7_200), "state": "serving",
                "program": "/usr/local/bin/bridge",
                "fronts": [
                    { "pid": 4_001, "version": "0.2.0", "since": time(7_100) },
                    { "pid": 4_002, "version": "0.1.0", "since": time(5) },
                ],
            },
            "held": false,
            "rolledBack": { "path": "/home/x/Downloads/bridge", "because": "it was not ready within 5 s", "at": time(60) },
        });
        let session = json!({ "pid": 4_001, "client": "claude-code", "clientVersion": "2.1.0" });
        insta::assert_snapshot!(lines(&place, &[&session], NOW_MS, 80), @r"
        hub 4000  version 0.2.0, started 2h ago
          /usr/local/bin/bridge
          front 4001  claude-code 2.1.0, version 0.2.0, attached 1h ago
          front 4002  version 0.1.0, attached 5s ago
        rolled back 1m ago: /home/x/Downloads/bridge: it was not ready within 5 s
        ");
        let held = json!({ "hub": null, "held": true, "rolledBack": null });
        assert_eq!(
            lines(&held, &[], NOW_MS, 80),
            "the hub is stopped and held: bridge start starts it again"
        );
    }
}
