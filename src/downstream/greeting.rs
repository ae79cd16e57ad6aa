//! What a server said of itself when it was greeted, and what it was told about the client.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::era::{Era, LEGACY_VERSIONS, MODERN_VERSION};
use crate::version;
use crate::wire::object;

/// What a server said of itself: the result of `initialize` or of `server/discover`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// By which rules it is spoken to.
    pub era: Era,
    /// Whether it was asked for the modern rules and does not know them.
    pub legacy_only: bool,
    /// The revision that both speak.
    pub protocol_version: String,
    /// What it can do: the JSON object that it sent.
    pub capabilities: Arc<str>,
    /// What it tells the client's model about itself.
    pub instructions: Option<Arc<str>>,
    /// Who it is: the JSON object that it sent.
    pub server_info: Option<Arc<str>>,
}

impl Greeting {
    /// Whether it has a feature at all: `tools`, `prompts`, `resources`, `logging`, `completions`, …
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.capability(feature).is_some()
    }

    /// Whether a feature's flag is set: (`resources`, `subscribe`).
    #[must_use]
    pub fn has_flag(&self, feature: &str, flag: &str) -> bool {
        self.capability(feature).is_some_and(|value| value.get(flag) == Some(&Value::Bool(true)))
    }

    /// What it says of a feature.
    #[must_use]
    pub fn capability(&self, feature: &str) -> Option<Value> {
        let capabilities: Value = serde_json::from_str(&self.capabilities).ok()?;
        capabilities.get(feature).filter(|value| !value.is_null()).cloned()
    }

    /// Reads the result of `initialize`.
    pub(super) fn of_initialize(result: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Initialized<'a> {
            protocol_version: String,
            #[serde(borrow)]
            capabilities: &'a RawValue,
            #[serde(borrow, default)]
            server_info: Option<&'a RawValue>,
            #[serde(default)]
            instructions: Option<String>,
        }
        let result: Initialized<'_> = object(result)?;
        Some(Self {
            era: Era::Legacy,
            legacy_only: false,
            protocol_version: result.protocol_version,
            capabilities: object_text(result.capabilities)?,
            server_info: result.server_info.and_then(object_text),
            instructions: result.instructions.map(Arc::from),
        })
    }

    /// Reads the result of `server/discover`; `None` too when it does not speak our revision.
    pub(super) fn of_discover(result: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Discovered<'a> {
            supported_versions: Vec<String>,
            #[serde(borrow)]
            capabilities: &'a RawValue,
            #[serde(default)]
            instructions: Option<String>,
            #[serde(borrow, default, rename = "_meta")]
            meta: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Meta<'a> {
            #[serde(borrow, default, rename = "io.modelcontextprotocol/serverInfo")]
            server_info: Option<&'a RawValue>,
        }
        let result: Discovered<'_> = object(result)?;
        let ours = result.supported_versions.iter().any(|version| version == MODERN_VERSION);
        let meta: Option<Meta<'_>> = result.meta.and_then(object);
        ours.then_some(())?;
        Some(Self {
            era: Era::Modern,
            legacy_only: false,
            protocol_version: MODERN_VERSION.to_owned(),
            capabilities: object_text(result.capabilities)?,
            server_info: meta.and_then(|meta| meta.server_info).and_then(object_text),
            instructions: result.instructions.map(Arc::from),
        })
    }
}

fn object_text(raw: &RawValue) -> Option<Arc<str>> {
    raw.get().starts_with('{').then(|| raw.get().into())
}

/// The client, as servers see it: they are spoken to as if it stood before them itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// By which rules the client speaks with us.
    pub era: Era,
    /// The revision that it speaks with us.
    pub protocol_version: Arc<str>,
    /// What it can do: the JSON object that it sent.
    pub capabilities: Arc<str>,
    /// Who it is: the JSON object that it sent.
    pub info: Option<Arc<str>>,
    /// The params of its own `initialize`, where it speaks the revision that it asked for.
    pub params: Option<Arc<str>>,
}

impl Default for Face {
    fn default() -> Self {
        let [newest, ..] = LEGACY_VERSIONS;
        Self {
            era: Era::Legacy,
            protocol_version: newest.into(),
            capabilities: "{}".into(),
            info: None,
            params: None,
        }
    }
}

impl Face {
    /// The params of `initialize`, in JSON.
    #[must_use]
    pub fn initialize(&self) -> String {
        if let Some(params) = &self.params {
            return params.to_string();
        }
        let [newest, ..] = LEGACY_VERSIONS;
        let version = match self.era {
            Era::Legacy => &self.protocol_version,
            Era::Modern => newest,
        };
        let (capabilities, info) = (&self.capabilities, self.info());
        format!(r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{info}}}"#)
    }

    /// The members that the `_meta` of a modern request has to carry, in JSON, without braces.
    #[must_use]
    pub fn modern_members(&self) -> String {
        let (capabilities, info) = (&self.capabilities, self.info());
        format!(
            r#""io.modelcontextprotocol/protocolVersion":"{MODERN_VERSION}","io.modelcontextprotocol/clientInfo":{info},"io.modelcontextprotocol/clientCapabilities":{capabilities}"#
        )
    }

    fn info(&self) -> Arc<str> {
        let own = || json!({ "name": "bridge", "version": version::own() }).to_string().into();
        self.info.clone().unwrap_or_else(own)
    }
}
