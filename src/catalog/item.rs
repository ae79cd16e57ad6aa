//! One item of a server's list: what is read of it, and how it is shown.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::catalog::shelf::Shown;
use crate::list::List;
use crate::names::ServerName;
use crate::wire::{Cut, Span, object, span_of, splice};

/// What is read of an item.
pub(super) struct Item<'a> {
    definition: &'a str,
    /// Its name or its URI.
    pub name: String,
    /// The same as the server wrote it in JSON.
    json: &'a str,
    /// What it is for, as the server wrote it in JSON.
    description: Option<&'a str>,
    /// The URI of its user interface (MCP Apps, SEP-1865); tools have one.
    pub interface: Option<String>,
}

impl<'a> Item<'a> {
    /// Reads an item; `None` when it has no name.
    pub fn read(list: List, definition: &'a str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Members<'a> {
            #[serde(borrow, default)]
            name: Option<&'a RawValue>,
            #[serde(borrow, default)]
            uri: Option<&'a RawValue>,
            #[serde(borrow, default)]
            uri_template: Option<&'a RawValue>,
            #[serde(borrow, default, deserialize_with = "even_null")]
            description: Option<&'a RawValue>,
            #[serde(borrow, default, rename = "_meta")]
            meta: Option<&'a RawValue>,
        }
        let raw: &RawValue = serde_json::from_str(definition).ok()?;
        let members: Members<'_> = object(raw)?;
        let json = match list {
            List::Tools | List::Prompts => members.name,
            List::Resources => members.uri,
            List::Templates => members.uri_template,
        }?;
        let name: String = serde_json::from_str(json.get()).ok().filter(|name: &String| !name.is_empty())?;
        let interface = members.meta.filter(|_| list == List::Tools).and_then(interface);
        let description = members.description.map(RawValue::get);
        Some(Self { definition, name, json: json.get(), description, interface })
    }

    /// The item under another name, and with another description where one is given; every other byte is the
    /// server's.
    pub fn renamed(&self, key: String, server: Option<&ServerName>, description: Option<&str>) -> Shown {
        let line = Bytes::copy_from_slice(self.definition.as_bytes());
        let json = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let span = |part| span_of(self.definition.as_bytes(), part).unwrap_or_default();
        let name: Span = span(self.json);
        let description = description.map(|text| match self.description {
            Some(theirs) => (span(theirs), json(text)),
            None => (name.end..name.end, format!(r#","description":{}"#, json(text))),
        });
        let own = (name, json(&key));
        let new = [Some(&own), description.as_ref()].into_iter().flatten();
        let cuts: Vec<Cut<'_>> =
            new.map(|(span, text)| Cut { span: span.clone(), text: text.as_bytes() }).collect();
        let mut spliced = splice(&line, &cuts).pieces().concat();
        // A line's end, which a definition has none of.
        spliced.pop();
        self.shown(key, server, spliced.into())
    }

    /// The item as its server wrote it.
    pub fn as_it_is(&self, server: Option<&ServerName>) -> Shown {
        self.shown(self.name.clone(), server, Bytes::copy_from_slice(self.definition.as_bytes()))
    }

    fn shown(&self, key: String, server: Option<&ServerName>, definition: Bytes) -> Shown {
        let (name, name_json) = (self.name.as_str().into(), self.json.into());
        Shown { key, server: server.cloned(), name, name_json, definition }
    }
}

/// A member that is there, whatever it is: one more of its name would be one too many.
fn even_null<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// The URI in `_meta.ui.resourceUri`, or in the older `_meta["ui/resourceUri"]`.
fn interface(meta: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, default)]
        ui: Option<&'a RawValue>,
        #[serde(borrow, default, rename = "ui/resourceUri")]
        flat: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Ui<'a> {
        #[serde(borrow, default, rename = "resourceUri")]
        resource_uri: Option<&'a RawValue>,
    }
    let meta: Meta<'_> = object(meta)?;
    let nested = meta.ui.and_then(object::<Ui<'_>>).and_then(|ui| ui.resource_uri);
    serde_json::from_str(nested.or(meta.flat)?.get()).ok()
}
