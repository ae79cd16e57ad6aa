//! A request of a client that goes to a server: what it names, and how it may be treated.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::level::severity;
use crate::era::Era;
use crate::list::List;
use crate::names::{RESULT_TOOL, ServerName};
use crate::outcome::Cause;
use crate::router::{Call, Routed};
use crate::session::pending::{Extras, Place};
use crate::session::reply::{Rpc, code};
use crate::session::{Client, Permit, Rules, tenant, unknown_method};
use crate::wire::{Envelope, Meta, Params, object, span_of};

/// A request that was read and not yet routed.
pub struct Request {
    /// What goes to the server.
    pub call: Call,
    /// Its method.
    pub method: Box<str>,
    /// What it names.
    pub thing: Thing,
    /// In which session and by which rules it is answered.
    pub rules: Rules,
    /// What the client can answer in its course: the JSON object that it sent; empty for a client that
    /// takes requests.
    pub capabilities: Box<str>,
    /// With it the client comes back to a request that asked something.
    pub comes_back: Option<ComesBack>,
    /// Its place among those that have no answer.
    pub place: Place,
    /// The room that it takes.
    pub(super) permit: Permit,
}

/// A client's answer to questions.
pub struct ComesBack {
    /// The state that it was given.
    pub state: String,
    /// What it answers, by the question's key.
    pub responses: Option<Box<RawValue>>,
}

/// What a request names, and with it the server that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A tool under its shown name.
    Tool(String),
    /// A prompt under its shown name.
    Prompt(String),
    /// A resource.
    Resource(String),
    /// A resource template, for the completion of its variables.
    Template(String),
    /// A task.
    Task(String),
    /// Nothing that we know.
    Unnamed,
}

/// Whether a request can be answered by a question (specification 2026-07-28, "Supported Requests").
fn can_be_asked(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

/// Whether a method only reads, so that it may be sent again.
#[must_use]
pub fn reads(method: &str) -> bool {
    matches!(
        method,
        "prompts/get"
            | "resources/read"
            | "completion/complete"
            | "tasks/get"
            | "tasks/result"
            | "tasks/list"
    )
}

/// What a request names: the thing, and where the word stands that its server has another word for.
type Named<'a> = (Thing, Option<&'a RawValue>);

/// Reads what a request names.
///
/// # Errors
/// When a known method does not name what it must.
fn named<'a>(method: &str, params: &Params<'a>) -> Result<Named<'a>, Rpc> {
    let text = |raw: Option<&RawValue>| -> Option<String> { serde_json::from_str(raw?.get()).ok() };
    let missing = |what: &str| Rpc::bad_params(format!("{method} needs params with {what} as a string"));
    let a_resource = |uri: Option<String>| {
        uri.map(|uri| (Thing::Resource(uri), None)).ok_or_else(|| missing("the resource's uri"))
    };
    match method {
        "tools/call" => {
            let name = text(params.name).ok_or_else(|| missing("the tool's name"))?;
            Ok((Thing::Tool(name), params.name))
        }
        "prompts/get" => {
            let name = text(params.name).ok_or_else(|| missing("the prompt's name"))?;
            Ok((Thing::Prompt(name), params.name))
        }
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => a_resource(text(params.uri)),
        "completion/complete" => {
            let reference = params.reference.and_then(object::<Reference<'_>>);
            let reference = reference.ok_or_else(|| missing("a ref, and in it a name or a uri"))?;
            match (text(reference.name), text(reference.uri)) {
                (Some(name), _) => Ok((Thing::Prompt(name), reference.name)),
                (None, Some(uri)) => Ok((Thing::Template(uri), None)),
                (None, None) => Err(missing("a ref, and in it a name or a uri")),
            }
        }
        "tasks/get" | "tasks/result" | "tasks/cancel" | "tasks/update" => {
            let task = text(params.task_id).ok_or_else(|| missing("the taskId"))?;
            Ok((Thing::Task(task), None))
        }
        // A method of an extension: the words that it shares with the others tell.
        _ => Ok(match (text(params.task_id), text(params.uri), text(params.name)) {
            (Some(task), _, _) => (Thing::Task(task), None),
            (None, Some(uri), _) => (Thing::Resource(uri), None),
            (None, None, Some(name)) => (Thing::Tool(name), params.name),
            (None, None, None) => (Thing::Unnamed, None),
        }),
    }
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
}

impl Request {
    /// Reads a request and gives it its place.
    ///
    /// # Errors
    /// When it does not name what it must.
    pub fn read(
        line: &Bytes,
        envelope: &Envelope<'_>,
        meta: &Meta<'_>,
        rules: Rules,
        client: &Client,
    ) -> Result<Self, Rpc> {
        let method = envelope.method.as_deref().unwrap_or_default();
        let id = envelope.id.map(RawValue::get).unwrap_or_default();
        let params = envelope.params.and_then(Params::parse).unwrap_or_default();
        let (thing, name) = named(method, &params)?;
        let tenant = tenant::of(client.id, method, meta, rules)?;
        let span = |raw: &RawValue| span_of(line, raw.get());
        let is_modern = rules.era == Era::Modern;
        let log_level: Option<String> =
            meta.log_level.filter(|_| is_modern).and_then(|level| serde_json::from_str(level.get()).ok());
        let carries = is_modern && can_be_asked(method);
        let capabilities =
            meta.client_capabilities.filter(|_| carries).map(RawValue::get).unwrap_or_default();
        let extras = Extras {
            carries,
            capabilities: capabilities.into(),
            log_level: log_level.and_then(|level| severity(&level)),
        };
        let state =
            params.request_state.filter(|_| carries).and_then(|state| client.parking.own_state(state));
        let comes_back =
            state.map(|state| ComesBack { state, responses: params.input_responses.map(ToOwned::to_owned) });
        let place = client.pending.enter(id, extras);
        let call = Call {
            line: line.clone(),
            id: envelope.id.and_then(span).unwrap_or_default(),
            name: name.and_then(span),
            params: envelope.params.and_then(span),
            meta: params.meta.and_then(span),
            era: rules.era,
            sender: None,
            shown: match &thing {
                Thing::Tool(name) | Thing::Prompt(name) => name.clone(),
                _ => String::new(),
            },
            token: meta.progress_token.map(|token| token.get().into()),
            answers: carries && (params.request_state.is_some() || params.input_responses.is_some()),
            tenant,
            is_call: method == "tools/call",
            // To be told of work, or to end it, is none.
            takes_slot: !method.starts_with("tasks/"),
            more: None,
            hears: std::sync::Arc::clone(place.asking()) as _,
        };
        Ok(Self {
            call,
            method: method.into(),
            thing,
            rules,
            capabilities: capabilities.into(),
            comes_back,
            place,
            permit: None,
        })
    }
}

impl Request {
    /// Whether it asks for the result of a call that was handed off. With answers to that call's questions it
    /// is the call itself.
    pub fn is_for_result(&self) -> bool {
        self.comes_back.is_none() && matches!(&self.thing, Thing::Tool(name) if name == RESULT_TOOL)
    }
}

impl Client {
    /// Where a request can go, the likeliest place first.
    ///
    /// # Errors
    /// When no server is known that has what it names.
    pub(super) async fn find(&self, method: &str, thing: &Thing) -> Result<Vec<Routed>, Rpc> {
        let router = &self.router;
        let places = match thing {
            Thing::Tool(name) if method == "tools/call" => {
                router.route(List::Tools, name).await.into_iter().collect()
            }
            Thing::Prompt(name) => router.route(List::Prompts, name).await.into_iter().collect(),
            Thing::Tool(name) => match router.shows(name).await {
                Some(routed) => vec![routed],
                None => self.only(),
            },
            Thing::Resource(uri) => {
                if let Some(own) = router.own_interface(uri).await {
                    return Ok(vec![own]);
                }
                // Whoever lists it, then whoever pointed to it.
                let listed = router.lists_resource(uri).await;
                match self.unasked.whereabouts.resource(uri).filter(|_| !listed) {
                    Some(server) => self.to(&[server]),
                    None => self.to(&router.owners_of(uri).await),
                }
            }
            Thing::Template(uri) => match router.route(List::Templates, uri).await {
                Some(routed) => routed.server.iter().filter_map(|server| router.to(server)).collect(),
                None => self.to(&router.owners_of(uri).await),
            },
            Thing::Task(id) => match self.unasked.whereabouts.task(id) {
                Some((server, connection)) => {
                    self.router.to(&server).map(|routed| routed.at(connection)).into_iter().collect()
                }
                // It may be older than this bridge.
                None => self.to(&router.offering_tasks().await),
            },
            Thing::Unnamed => self.only(),
        };
        if !places.is_empty() {
            return Ok(places);
        }
        let off = match thing {
            Thing::Tool(name) if method == "tools/call" => router.off(name).await,
            _ => None,
        };
        Err(off.map_or_else(|| unknown(method, thing), |off| Rpc::off(&off)))
    }

    /// The only server there is, for what nobody can tell the owner of.
    fn only(&self) -> Vec<Routed> {
        self.router.only().and_then(|server| self.router.to(&server)).into_iter().collect()
    }

    fn to(&self, servers: &[ServerName]) -> Vec<Routed> {
        servers.iter().filter_map(|server| self.router.to(server)).collect()
    }
}

fn unknown(method: &str, thing: &Thing) -> Rpc {
    let (kind, message) = match thing {
        Thing::Tool(name) if method == "tools/call" => (
            Cause::UnknownTool.word(),
            format!("no server offers a tool {name:?}; tools/list shows what there is"),
        ),
        Thing::Prompt(name) => (
            "unknown_prompt",
            format!("no server offers a prompt {name:?}; prompts/list shows what there is"),
        ),
        Thing::Resource(uri) | Thing::Template(uri) => {
            ("unknown_resource", format!("no server has a resource {uri:?}"))
        }
        Thing::Task(id) => ("unknown_task", format!("no server has given a task {id:?}")),
        Thing::Tool(_) | Thing::Unnamed => return unknown_method(method),
    };
    Rpc::new(code::INVALID_PARAMS, kind, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, params: &str, expected: Option<Thing>) {
        let raw: &RawValue = serde_json::from_str(params).unwrap();
        let params = Params::parse(raw).unwrap_or_default();
        assert_eq!(named(method, &params).ok().map(|(thing, _)| thing), expected, "{method} {raw}");
    }

    #[test]
    fn a_request_names_its_thing() {
        check("tools/call", r#"{"name":"s__\u0074"}"#, Some(Thing::Tool("s__t".into())));
        check("tools/call", r#"{"name":7}"#, None);
        check("resources/read", r#"{"uri":"a://b"}"#, Some(Thing::Resource("a://b".into())));
        check("prompts/get", "[]", None);
        let by_name = r#"{"ref":{"type":"ref/prompt","name":"s__p"},"argument":{}}"#;
        check("completion/complete", by_name, Some(Thing::Prompt("s__p".into())));
        let by_uri = r#"{"ref":{"type":"ref/resource","uri":"a://{x}"}}"#;
        check("completion/complete", by_uri, Some(Thing::Template("a://{x}".into())));
        check("tasks/get", r#"{"taskId":"1"}"#, Some(Thing::Task("1".into())));
        check("x/y", r#"{"uri":"a://b"}"#, Some(Thing::Resource("a://b".into())));
        check("x/y", "{}", Some(Thing::Unnamed));
    }
}
