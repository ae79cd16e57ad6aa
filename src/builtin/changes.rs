//! Tools that are not what they were when they were first seen, as the user is told of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::router::offers::Offers;
use crate::router::offers::changes::ToolChange;
use crate::tools::pin::{self, Told};

/// The changes as data: `server`, `tool` by its server's name, `change` (`changed`, `new` or `gone`), and whether it
/// is `held` back.
#[must_use]
pub fn data(offers: &Offers) -> Value {
    let change = |change: &ToolChange| {
        json!({
            "server": change.server.as_str(),
            "tool": &*change.difference.tool,
            "change": change.difference.kind.word(),
            "held": change.held,
        })
    };
    offers.changes().iter().map(change).collect()
}

/// The same in words, a sentence for each server, and what to do.
#[must_use]
pub fn told(changes: &Value) -> Vec<String> {
    let mut servers: BTreeMap<&str, Vec<Told<'_>>> = BTreeMap::new();
    for change in changes.as_array().map(Vec::as_slice).unwrap_or_default() {
        let (tool, kind, held) = (words(&change["tool"]), words(&change["change"]), change["held"] == true);
        servers.entry(words(&change["server"])).or_default().push(Told { tool, kind, held });
    }
    servers.into_iter().map(|(server, changes)| pin::sentence(server, &changes)).collect()
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_its_sentence() {
        let change = |server: &str, tool: &str, change: &str, held: bool| json!({ "server": server, "tool": tool, "change": change, "held": held });
        let mut changes = vec![change("b", "read", "changed", true), change("a", "old", "gone", false)];
        changes.extend((0..6).map(|n| change("b", &format!("t{n}"), "new", true)));
        insta::assert_snapshot!(told(&json!(changes)).join("\n"), @r"
        Tools of a are not what they were when they were first seen: old is gone. `bridge tools --changed` shows how, `bridge approve a` takes them as they are.
        Tools of b are not what they were when they were first seen: read is changed, t0 is new, t1 is new, t2 is new, t3 is new, and 2 more. `bridge tools --changed` shows how, `bridge approve b` takes them as they are. 7 of them are held back until then.
        ");
        assert_eq!(told(&Value::Null), [] as [&str; 0]);
    }
}
