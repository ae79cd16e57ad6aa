//! What a server offers: one definition each, as it goes into its list.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// The lists that a server can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tool,
    Resource,
    Template,
    Prompt,
}

/// One thing on offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Where it stands.
    pub kind: Kind,
    /// Its name as the server itself calls it; a resource's URI, a template's URI template.
    pub name: String,
    /// The whole definition, one JSON object.
    pub definition: String,
}

impl Kind {
    /// The list that this method asks for.
    pub fn listed_by(method: &str) -> Option<Self> {
        Some(match method {
            "tools/list" => Self::Tool,
            "resources/list" => Self::Resource,
            "resources/templates/list" => Self::Template,
            "prompts/list" => Self::Prompt,
            _ => return None,
        })
    }

    /// What this method does something with.
    pub fn used_by(method: &str) -> Option<Self> {
        Some(match method {
            "tools/call" => Self::Tool,
            "resources/read" => Self::Resource,
            "prompts/get" => Self::Prompt,
            _ => return None,
        })
    }

    /// The word for one of them in a script; with an `s`, for many.
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "tool" => Self::Tool,
            "resource" => Self::Resource,
            "template" => Self::Template,
            "prompt" => Self::Prompt,
            _ => return None,
        })
    }

    /// The member that holds the list.
    pub fn key(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
            Self::Prompt => "prompts",
        }
    }

    /// One of many, about as long as a real one.
    pub fn generated(self, index: usize) -> Offer {
        let name = match self {
            Self::Tool => return generated_tool(index),
            Self::Prompt => format!("prompt_{index:03}"),
            Self::Resource => format!("fake://resource/{index:03}"),
            Self::Template => format!("fake://template/{index:03}/{{id}}"),
        };
        self.plain(&name)
    }

    /// The one that a change adds.
    pub fn extra(self, number: usize) -> Offer {
        self.plain(&match self {
            Self::Tool | Self::Prompt => format!("extra_{number}"),
            Self::Resource => format!("fake://extra/{number}"),
            Self::Template => format!("fake://extra/{number}/{{id}}"),
        })
    }

    /// One without anything particular.
    pub fn plain(self, name: &str) -> Offer {
        let mut members = format!(r#""description":{}"#, quoted(&format!("{name} of the fake server")));
        if self == Self::Tool {
            members.push_str(r#","inputSchema":{"type":"object"}"#);
        }
        self.offer(name, &members, |member| member == "inputSchema")
    }

    /// `NAME [JSON]`; the JSON's members keep their bytes.
    ///
    /// # Errors
    /// Says why the members are none.
    pub fn parse(self, name: &str, members: &str) -> Result<Offer, String> {
        if members.is_empty() {
            return Ok(self.plain(name));
        }
        let parsed: BTreeMap<String, &RawValue> =
            serde_json::from_str(members).map_err(|error| format!("the members are no object: {error}"))?;
        let inner = members.trim_start_matches('{').trim_end_matches(char::is_whitespace);
        Ok(self.offer(name, inner.strip_suffix('}').unwrap_or(inner), |member| parsed.contains_key(member)))
    }

    fn offer(self, name: &str, members: &str, has: impl Fn(&str) -> bool) -> Offer {
        let said = quoted(name);
        let mut definition = match self {
            Self::Tool | Self::Prompt => format!(r#"{{"name":{said}"#),
            Self::Resource => format!(r#"{{"uri":{said}"#),
            Self::Template => format!(r#"{{"uriTemplate":{said}"#),
        };
        if matches!(self, Self::Resource | Self::Template) && !has("name") {
            definition.push_str(&format!(r#","name":{said}"#));
        }
        if self == Self::Tool && !has("inputSchema") {
            definition.push_str(r#","inputSchema":{"type":"object"}"#);
        }
        if !members.trim().is_empty() {
            definition.push(',');
            definition.push_str(members);
        }
        definition.push('}');
        Offer { kind: self, name: name.to_owned(), definition }
    }
}

/// The text as a JSON string.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn generated_tool(index: usize) -> Offer {
    let name = format!("tool_{index:03}");
    let definition = format!(
        r#"{{"name":"{name}","description":"Generated tool number {index}: takes a path and a limit, and returns the lines that match.","inputSchema":{{"type":"object","properties":{{"path":{{"type":"string","description":"Where to look"}},"limit":{{"type":"integer","minimum":1,"default":{index}}}}},"required":["path"]}},"annotations":{{"readOnlyHint":true}}}}"#
    );
    Offer { kind: Kind::Tool, name, definition }
}
