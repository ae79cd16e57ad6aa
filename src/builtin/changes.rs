//! Tools that are not what they were when they were first seen, as the user is told of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::router::offers::Offers;
use crate::router::offers::changes::ToolChange;

/// So many tools of a server are named.
const NAMED_MAX: usize = 5;

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
    let mut servers: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for change in changes.as_array().map(Vec::as_slice).unwrap_or_default() {
        servers.entry(words(&change["server"])).or_default().push(change);
    }
    servers.into_iter().map(|(server, changes)| sentence(server, &changes)).collect()
}

fn sentence(server: &str, changes: &[&Value]) -> String {
    let named = changes.iter().take(NAMED_MAX);
    let named = named.map(|change| format!("{} is {}", words(&change["tool"]), words(&change["change"])));
    let more = changes.len().saturating_sub(NAMED_MAX);
    let more = (more > 0).then(|| format!("and {more} more"));
    let named: Vec<String> = named.chain(more).collect();
    let held = changes.iter().filter(|change| change["held"] == true).count();
    let held = match held {
        0 => String::new(),
        1 => " 1 of them is held back until then.".to_owned(),
        held => format!(" {held} of them are held back until then."),
    };
    format!(
        "Tools of {server} are not what they were when they were first seen: {}. `bridge tools --changed` shows how, \
         `bridge approve {server}` takes them as they are.{held}",
        named.join(", ")
    )
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
