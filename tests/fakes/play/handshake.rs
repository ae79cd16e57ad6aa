//! How a server is opened, and what it says of itself.

use serde_json::json;
use serde_json::value::RawValue;

use super::Server;
use crate::ask::Ask;
use crate::os;
use crate::script::{Era, Kind, quoted};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

impl Server {
    /// True when a request is of the server's era; one that is not gets its refusal.
    pub(super) fn admits(&self, ask: &Ask<'_>) -> bool {
        if self.is_taken_aback(ask) {
            os::end(1);
        }
        let opens = ask.method == "initialize";
        match self.script.era {
            Era::Legacy => true,
            Era::Modern => opens || self.is_well_enveloped(ask),
            Era::Dual => {
                let is_enveloped = ask.params.meta.version.is_some();
                match *self.opened_modern.get_or_init(|| is_enveloped && !opens) {
                    true if opens => self.refuse_version(ask, ask.params.protocol_version),
                    true => return self.is_well_enveloped(ask),
                    false if is_enveloped && !opens => {
                        self.error(ask, -32600, "this connection was initialized")
                    }
                    false => return true,
                }
                false
            }
        }
    }

    /// True when the server is, or was opened, in the modern era.
    pub(super) fn is_modern(&self) -> bool {
        match self.script.era {
            Era::Legacy => false,
            Era::Modern => true,
            Era::Dual => self.opened_modern.get().copied().unwrap_or(false),
        }
    }

    fn is_well_enveloped(&self, ask: &Ask<'_>) -> bool {
        let meta = &ask.params.meta;
        let can = meta.capabilities.filter(|raw| raw.get().starts_with('{'));
        match (ask.version(), can) {
            (None, _) => self.error(ask, -32602, &format!("missing _meta[\"{VERSION}\"]")),
            (_, None) => self.error(ask, -32602, &format!("missing _meta[\"{CAPABILITIES}\"]")),
            (Some(version), _) if self.script.modern_versions().contains(&version.as_ref()) => return true,
            _ => self.refuse_version(ask, meta.version),
        }
        false
    }

    fn refuse_version(&self, ask: &Ask<'_>, requested: Option<&RawValue>) {
        let data = json!({ "supported": self.script.modern_versions(), "requested": requested });
        self.error_with(ask, -32022, "unsupported protocol version", Some(&data));
    }

    pub(super) fn initialize(&self, ask: &Ask<'_>) {
        let asked = ask.params.protocol_version.map_or(r#""2025-11-25""#, RawValue::get);
        let spoken: Vec<String> = self.script.legacy_versions().map(quoted).collect();
        let agrees = spoken.is_empty() || spoken.iter().any(|version| version == asked);
        let version = if agrees { asked } else { spoken.first().map_or(asked, String::as_str) };
        let (able, info, more) = (self.capabilities(), self.server_info(), self.instructions());
        let members = [
            r#""protocolVersion":"#,
            version,
            r#","capabilities":"#,
            &able,
            r#","serverInfo":"#,
            info,
            &more,
        ];
        self.reply(ask, &members);
    }

    pub(super) fn discover(&self, ask: &Ask<'_>) {
        let versions = json!(self.script.modern_versions()).to_string();
        let (able, info, more) = (self.capabilities(), self.server_info(), self.instructions());
        let meta = [r#","_meta":{"io.modelcontextprotocol/serverInfo":"#, info, "}"].concat();
        self.reply(ask, &[r#""supportedVersions":"#, &versions, r#","capabilities":"#, &able, &more, &meta]);
    }

    fn server_info(&self) -> &str {
        self.script.server_info.as_deref().unwrap_or(r#"{"name":"fake","version":"1"}"#)
    }

    fn instructions(&self) -> String {
        self.script
            .instructions
            .as_deref()
            .map(|text| format!(r#","instructions":{}"#, quoted(text)))
            .unwrap_or_default()
    }

    fn capabilities(&self) -> String {
        if let Some(said) = &self.script.capabilities {
            return said.clone();
        }
        let tasks = match self.is_modern() {
            true => r#""extensions":{"io.modelcontextprotocol/tasks":{}}"#,
            false => r#""tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#,
        };
        let parts = [
            (self.script.has(Kind::Tool), r#""tools":{"listChanged":true}"#),
            (true, r#""logging":{}"#),
            (self.script.has(Kind::Prompt), r#""prompts":{"listChanged":true}"#),
            (self.script.has_resources(), r#""resources":{"subscribe":true,"listChanged":true}"#),
            (self.completes(), r#""completions":{}"#),
            (self.script.tasks, tasks),
        ];
        let said: Vec<&str> = parts.iter().filter(|(is_there, _)| *is_there).map(|(_, part)| *part).collect();
        format!("{{{}}}", said.join(","))
    }
}
