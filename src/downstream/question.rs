//! A request of a server to the client behind us.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::downstream::client::ClientId;
use crate::downstream::connection::Connection;
use crate::wire::{Cut, Envelope, Frame, Meta, Span, span_of, splice};

/// One request of a server, which gets exactly one answer: one that is dropped is refused.
pub struct Question {
    connection: Arc<Connection>,
    line: Bytes,
    id: Span,
    method: Box<str>,
    params: Option<Span>,
    /// Where the progress token stands.
    token: Option<Span>,
    open: bool,
    /// Who is asked.
    client: Option<ClientId>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Question {
    /// Reads a request of a server.
    pub(super) fn read(connection: &Arc<Connection>, line: &Bytes, envelope: &Envelope<'_>) -> Option<Self> {
        let token = Meta::of(envelope.params).progress_token;
        Some(Self {
            connection: Arc::clone(connection),
            line: line.clone(),
            id: span_of(line, envelope.id?.get())?,
            method: envelope.method.as_deref()?.into(),
            params: envelope.params.and_then(|params| span_of(line, params.get())),
            token: token.and_then(|token| span_of(line, token.get())),
            open: true,
            client: None,
        })
    }

    /// What is asked: `sampling/createMessage`, `elicitation/create`, `roots/list`, …
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The params in JSON, as the server wrote them.
    #[must_use]
    pub fn params(&self) -> Option<&str> {
        std::str::from_utf8(self.line.get(self.params.clone()?)?).ok()
    }

    /// The progress token in JSON.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        std::str::from_utf8(self.line.get(self.token.clone()?)?).ok()
    }

    /// A question to this client; `None` when too many wait for it already, and this one is refused.
    #[must_use]
    pub fn of(mut self, client: ClientId) -> Option<Self> {
        if !self.connection.question_opened(client) {
            self.refuse(-32603, "too many requests of this server wait for an answer");
            return None;
        }
        self.client = Some(client);
        Some(self)
    }

    /// The same request under another id, and with another progress token where one is given; both JSON.
    #[must_use]
    pub fn under(&self, id: &str, token: Option<&str>) -> Frame {
        let mut cuts = vec![Cut { span: self.id.clone(), text: id.as_bytes() }];
        if let (Some(span), Some(token)) = (&self.token, token) {
            cuts.push(Cut { span: span.clone(), text: token.as_bytes() });
        }
        splice(&self.line, &cuts)
    }

    /// The task that it is asked for (specification 2025-11-25, "Tasks").
    #[must_use]
    pub fn related_task(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Params {
            #[serde(rename = "_meta")]
            meta: Meta,
        }
        #[derive(Deserialize)]
        struct Meta {
            #[serde(rename = "io.modelcontextprotocol/related-task")]
            related: Related,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Related {
            task_id: String,
        }
        serde_json::from_str::<Params>(self.params()?).ok().map(|params| params.meta.related.task_id)
    }

    /// The connection that it came on.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether it came on this connection.
    #[must_use]
    pub fn is_of(&self, connection: &Connection) -> bool {
        self.connection.number() == connection.number()
    }

    /// Whether the server gave it this id, in JSON.
    #[must_use]
    pub fn has_id(&self, id: &str) -> bool {
        self.line.get(self.id.clone()) == Some(id.as_bytes())
    }

    /// The client's capability that it needs, as its place in the client's capabilities; `None` when the
    /// client's side of the protocol has no such request.
    #[must_use]
    pub fn needs(&self) -> Option<&'static [&'static str]> {
        needs(&self.method, self.params())
    }

    /// Answers with a response of the client: its line, and where the id stands in it.
    pub fn answer(mut self, response: &Bytes, id: Span) {
        self.open = false;
        let own = self.line.slice(self.id.clone());
        self.connection.say_frame(splice(response, &[Cut { span: id, text: &own }]));
    }

    /// Answers with a result in JSON.
    pub fn answer_result(self, result: &str) {
        self.say(&format!(r#""result":{result}"#));
    }

    /// Answers with an error.
    pub fn refuse(self, code: i32, message: &str) {
        self.say(&refusal(code, message));
    }

    /// Goes to its client with one of the client's own requests, or waits for one.
    pub fn go_along(self, client: ClientId) {
        let connection = Arc::clone(&self.connection);
        connection.give_along(self, client);
    }

    /// Nobody waits for an answer any more.
    pub fn forget(mut self) {
        self.open = false;
    }

    fn say(mut self, answer: &str) {
        self.open = false;
        self.connection.say_frame(response(&self.line, &self.id, answer));
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            self.connection.question_closed(client);
        }
        if self.open {
            let refusal = refusal(-32603, "the request was not answered");
            self.connection.say_frame(response(&self.line, &self.id, &refusal));
        }
    }
}

fn refusal(code: i32, message: &str) -> String {
    format!(r#""error":{}"#, json!({ "code": code, "message": message }))
}

fn response(line: &Bytes, id: &Span, answer: &str) -> Frame {
    let id = line.get(id.clone()).map(String::from_utf8_lossy).unwrap_or_default();
    Frame::own(format!(r#"{{"jsonrpc":"2.0","id":{id},{answer}}}"#).into_bytes())
}

/// The client's capability that a request needs.
#[must_use]
pub fn needs(method: &str, params: Option<&str>) -> Option<&'static [&'static str]> {
    #[derive(Deserialize)]
    struct Mode<'a> {
        #[serde(borrow, default)]
        mode: Option<&'a RawValue>,
    }
    match method {
        "roots/list" => Some(&["roots"]),
        "sampling/createMessage" => Some(&["sampling"]),
        "elicitation/create" => {
            let mode: Option<Mode<'_>> = params.and_then(|params| serde_json::from_str(params).ok());
            let mode = mode.and_then(|mode| mode.mode).map(RawValue::get);
            if mode == Some("\"url\"") { Some(&["elicitation", "url"]) } else { Some(&["elicitation"]) }
        }
        _ => None,
    }
}
