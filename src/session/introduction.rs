//! What the bridge says of itself when it is greeted: its own words, and those of the servers behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::pool::Pool;
use crate::era::Era;
use crate::router::offers::View;

/// The longest instructions, in bytes: they stand in a model's context.
const INSTRUCTIONS_BYTES_MAX: usize = 64 * 1024;

/// What the bridge says of itself.
#[derive(Debug, Default)]
pub struct Introduction {
    /// What a client's model is told.
    pub instructions: String,
    extensions: Members,
    experimental: Members,
}

/// What a client's model is told about us.
#[must_use]
pub fn own(servers: &[Arc<Pool>]) -> String {
    let names: Vec<&str> = servers.iter().map(|pool| pool.name().as_str()).collect();
    let behind = match names.as_slice() {
        [] => "No MCP server stands behind this bridge yet.".to_owned(),
        names => format!(
            "Behind this bridge stand the MCP servers {}; the part of a tool's name before \"__\" names its server.",
            names.join(", ")
        ),
    };
    format!("{behind} When a tool is missing or a call comes back as unavailable, bridge_status says why.")
}

type Members = BTreeMap<String, Box<RawValue>>;

impl Introduction {
    /// Our own instructions, and what is known of the servers, in the configuration's order: each with
    /// instructions adds a section, and where two have the same extension the first one's word counts.
    #[must_use]
    pub fn of(own: &str, view: &View) -> Self {
        #[derive(Deserialize)]
        struct Capabilities {
            #[serde(default)]
            extensions: Option<Box<RawValue>>,
            #[serde(default)]
            experimental: Option<Box<RawValue>>,
        }
        let mut all = Self { instructions: own.to_owned(), ..Self::default() };
        for (server, greeting) in view.greetings.iter() {
            if let Some(instructions) = greeting.instructions.as_deref().filter(|text| !text.is_empty()) {
                all.instructions.push_str(&format!("\n\n# {server}\n{instructions}"));
            }
            let capabilities: Option<Capabilities> = serde_json::from_str(&greeting.capabilities).ok();
            let Some(capabilities) = capabilities else { continue };
            merge(&mut all.extensions, capabilities.extensions.as_deref());
            merge(&mut all.experimental, capabilities.experimental.as_deref());
        }
        cut(&mut all.instructions);
        all
    }

    /// What the bridge can do, in JSON. `listChanged` is always said: a client that is not told of it
    /// drops the notification.
    #[must_use]
    pub fn capabilities(&self, era: Era) -> String {
        let tasks = match era {
            Era::Legacy => r#","tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#,
            Era::Modern => "",
        };
        let (extensions, experimental) =
            (member("extensions", &self.extensions), member("experimental", &self.experimental));
        format!(
            r#"{{"completions":{{}},"logging":{{}},"prompts":{{"listChanged":true}},"resources":{{"listChanged":true,"subscribe":true}},"tools":{{"listChanged":true}}{tasks}{extensions}{experimental}}}"#
        )
    }
}

fn merge(all: &mut Members, more: Option<&RawValue>) {
    let more: Option<Members> = more.and_then(|more| serde_json::from_str(more.get()).ok());
    for (name, value) in more.unwrap_or_default() {
        all.entry(name).or_insert(value);
    }
}

/// A member with a comma before it; nothing when it would be empty.
fn member(name: &str, members: &Members) -> String {
    // Texts and JSON can be written as JSON.
    let json = serde_json::to_string(members).unwrap_or_default();
    if members.is_empty() { String::new() } else { format!(r#","{name}":{json}"#) }
}

fn cut(text: &mut String) {
    let end = (0..=INSTRUCTIONS_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::downstream::greeting::Greeting;
    use crate::names::ServerName;

    fn view(servers: &[(&str, &str, Option<&str>)]) -> View {
        let greetings = servers.iter().map(|(server, capabilities, instructions)| {
            let greeting = Greeting {
                era: Era::Legacy,
                legacy_only: false,
                protocol_version: "2025-11-25".into(),
                capabilities: (*capabilities).into(),
                instructions: instructions.map(Arc::from),
                server_info: None,
            };
            (ServerName::parse(server).unwrap(), greeting)
        });
        View { greetings: greetings.collect(), ..View::default() }
    }

    #[test]
    fn each_server_adds_its_instructions_in_order() {
        let view = view(&[("b", "{}", Some("Be kind.")), ("a", "{}", None), ("c", "{}", Some("Be quick."))]);
        let introduction = Introduction::of("Ours.", &view);
        assert_eq!(introduction.instructions, "Ours.\n\n# b\nBe kind.\n\n# c\nBe quick.");
        let long = "ü".repeat(INSTRUCTIONS_BYTES_MAX);
        let instructions = Introduction::of("!", &self::view(&[("a", "{}", Some(&long))])).instructions;
        assert_eq!(instructions.len(), INSTRUCTIONS_BYTES_MAX - 1, "cut between two characters");
    }

    #[test]
    fn what_servers_can_beyond_the_protocol_is_passed_on_as_they_said_it() {
        let view = view(&[
            ("a", r#"{"extensions":{"x/ui":{"n":1E2}},"experimental":{"e":{}}}"#, None),
            ("b", r#"{"extensions":{"x/ui":{"n":2},"y":{}},"experimental":7}"#, None),
            ("c", "7", None),
        ]);
        let text = Introduction::of("", &view).capabilities(Era::Legacy);
        assert!(
            text.contains(r#""extensions":{"x/ui":{"n":1E2},"y":{}},"experimental":{"e":{}}}"#),
            "{text}"
        );
    }

    #[test]
    fn tasks_are_of_the_older_era_and_nothing_empty_is_said() {
        let ours =
            |era| -> Value { serde_json::from_str(&Introduction::default().capabilities(era)).unwrap() };
        let changes = json!({ "listChanged": true });
        let mut expected = json!({
            "completions": {},
            "logging": {},
            "prompts": changes,
            "resources": { "listChanged": true, "subscribe": true },
            "tools": changes,
        });
        assert_eq!(ours(Era::Modern), expected);
        expected["tasks"] = json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
        assert_eq!(ours(Era::Legacy), expected);
    }
}
