//! `tasks/list` of revision 2025-11-25: the servers' lists one behind the other, since only they know
//! their tasks.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::downstream::connection::{Answer, Verdict};
use crate::era::Era;
use crate::guard::{self, Guarded};
use crate::names::ServerName;
use crate::router::{Fault, Routed};
use crate::session::exchange::{Exchange, Turn};
use crate::session::modern::inside;
use crate::session::reply::{self, Rpc};
use crate::session::request::Request;
use crate::session::teller::Teller;
use crate::session::{Client, Permit, Rules};
use crate::wire::{Cut, Envelope, Meta, Params, object, span_of, splice, without};

/// Where a page begins: at a server, and there at its own cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    server: String,
    /// In JSON.
    inner: Option<String>,
}

impl Cursor {
    /// Reads a cursor of ours from its JSON.
    fn parse(cursor: &RawValue) -> Option<Self> {
        let text: String = serde_json::from_str(cursor.get()).ok()?;
        let (server, inner): (String, Option<String>) = serde_json::from_str(&text).ok()?;
        Some(Self { server, inner })
    }

    /// The cursor in JSON.
    fn to_json(&self) -> String {
        json!(json!([self.server, self.inner]).to_string()).to_string()
    }
}

impl Client {
    /// Answers with one page of one server.
    pub(super) fn list_tasks(
        self: &Arc<Self>,
        line: &Bytes,
        envelope: &Envelope<'_>,
        meta: &Meta<'_>,
        rules: Rules,
        permit: Permit,
    ) -> Result<(), Rpc> {
        let params = envelope.params.and_then(Params::parse);
        let cursor = match params.and_then(|params| params.cursor) {
            None => None,
            Some(raw) => Some(Cursor::parse(raw).ok_or_else(|| {
                Rpc::bad_params("tasks/list takes params with a cursor that an earlier page has given")
            })?),
        };
        let inner = cursor.as_ref().and_then(|cursor| cursor.inner.as_deref());
        let line = with_cursor(line, envelope, inner).unwrap_or_else(|| line.clone());
        let id = envelope.id.map_or("null", RawValue::get);
        let Ok(envelope) = Envelope::parse(&line) else { return Err(Rpc::bad_params("not a request")) };
        let request = Request::read(&line, &envelope, meta, rules, self)?;
        let client = Arc::clone(self);
        self.spawn(id, async move { client.page_of_tasks(request, cursor, permit).await });
        Ok(())
    }

    async fn page_of_tasks(self: Arc<Self>, request: Request, cursor: Option<Cursor>, permit: Permit) {
        let mut servers = self.router.listing_tasks().await;
        // Only a server that runs has tasks, and only one of the older era lists them.
        let lists = |server: &ServerName| {
            let connection = self.router.to(server).and_then(|routed| routed.link().at_once());
            connection.is_some_and(|connection| connection.era() == Era::Legacy)
        };
        servers.retain(lists);
        let start = match &cursor {
            None => Some(0),
            Some(cursor) => servers.iter().position(|server| server.as_str() == cursor.server),
        };
        let rest = start.and_then(|start| servers.get(start..)).unwrap_or_default();
        let frame = match rest {
            [] => Some(reply::result(request.place.id(), r#"{"tasks":[]}"#)),
            [server, rest @ ..] => match self.router.to(server) {
                Some(routed) => self.ask_for_tasks(&request, routed, server, rest.first()).await,
                None => None,
            },
        };
        if let Some(frame) = frame {
            self.outlet.answer(frame, permit);
        }
        drop(request);
    }

    async fn ask_for_tasks(
        &self,
        request: &Request,
        routed: Routed,
        server: &ServerName,
        next: Option<&ServerName>,
    ) -> Option<crate::wire::Frame> {
        let asking = request.place.asking();
        let mut exchange = Exchange::new(routed, request.call.clone(), Arc::clone(asking));
        exchange.reads = true;
        let guarded = guard::run(|| exchange.turn(self), asking.called_off()).await;
        let guarded: Guarded<Result<Answer, Fault>> = match guarded {
            Guarded::Done(Turn::Answer(answer)) => {
                for task in tasks_in(&answer.line) {
                    self.whereabouts.gave_task(server, &task);
                }
                Guarded::Done(Ok(with_next(answer, server, next)))
            }
            Guarded::Done(Turn::Fault(fault)) => Guarded::Done(Err(fault)),
            // Nothing is asked in the course of a list.
            Guarded::Done(Turn::Asked(_)) => Guarded::Done(Err(Fault::Endless)),
            Guarded::Panicked(text) => Guarded::Panicked(text),
            Guarded::CalledOff(why) => Guarded::CalledOff(why),
        };
        let teller = Teller {
            routed: &exchange.routed,
            shown: "tasks/list",
            id: request.place.id(),
            number: None,
            era: request.rules.era,
            cacheable: false,
            connection: None,
        };
        teller.end(guarded).frame
    }
}

/// The request with a server's own cursor, or with none, in place of ours.
fn with_cursor(line: &Bytes, envelope: &Envelope<'_>, inner: Option<&str>) -> Option<Bytes> {
    let params = envelope.params?;
    let cursor = Params::parse(params)?.cursor?;
    let (span, text) = match inner {
        Some(inner) => (span_of(line, cursor.get())?, inner.to_owned()),
        None => (span_of(line, params.get())?, without(params, &["cursor"])?),
    };
    let mut line = splice(line, &[Cut { span, text: text.as_bytes() }]).pieces().concat();
    line.pop();
    Some(line.into())
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default, rename = "nextCursor")]
    next: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tasks: Vec<&'a RawValue>,
}

fn tasks_in(line: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Task {
        #[serde(rename = "taskId")]
        id: String,
    }
    let response: Option<Response<'_>> = serde_json::from_slice(line).ok();
    let page: Option<Page<'_>> = response.and_then(|response| object(response.result));
    let tasks = page.map(|page| page.tasks).unwrap_or_default();
    tasks.into_iter().filter_map(|task| Some(object::<Task>(task)?.id)).collect()
}

/// The page with a cursor of ours: to its server's next page, or to the next server.
fn with_next(answer: Answer, server: &ServerName, next: Option<&ServerName>) -> Answer {
    if answer.verdict != Verdict::Ok {
        return answer;
    }
    let cut = cut_for_next(&answer.line, server, next);
    let Some((span, text)) = cut else { return answer };
    let mut line = splice(&answer.line, &[Cut { span, text: text.as_bytes() }]).pieces().concat();
    line.pop();
    let line = Bytes::from(line);
    let id = Envelope::parse(&line).ok().and_then(|envelope| span_of(&line, envelope.id?.get()));
    Answer { id: id.unwrap_or_default(), line, ..answer }
}

fn cut_for_next(
    line: &[u8],
    server: &ServerName,
    next: Option<&ServerName>,
) -> Option<(crate::wire::Span, String)> {
    let response: Response<'_> = serde_json::from_slice(line).ok()?;
    let page: Page<'_> = object(response.result)?;
    match (page.next.filter(|next| next.get() != "null"), next) {
        (Some(inner), _) => {
            let cursor = Cursor { server: server.to_string(), inner: Some(inner.get().to_owned()) };
            Some((span_of(line, inner.get())?, cursor.to_json()))
        }
        (None, Some(next)) => {
            let cursor = Cursor { server: next.to_string(), inner: None };
            inside(line, response.result, format!(r#""nextCursor":{}"#, cursor.to_json()))
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_a_server_and_its_own_place() {
        for inner in [None, Some("\"a\\\"b\"".to_owned())] {
            let cursor = Cursor { server: "my \"server\"".to_owned(), inner };
            let json = cursor.to_json();
            let raw: &RawValue = serde_json::from_str(&json).unwrap();
            assert_eq!(Cursor::parse(raw), Some(cursor));
        }
        let foreign: &RawValue = serde_json::from_str("\"x\"").unwrap();
        assert_eq!(Cursor::parse(foreign), None);
    }

    #[test]
    fn a_server_sees_its_own_cursor_and_a_client_ours() {
        let line = Bytes::from_static(br#"{"id":1,"method":"tasks/list","params":{"cursor":"x","a":1}}"#);
        let envelope = Envelope::parse(&line).unwrap();
        let text = |inner| String::from_utf8(with_cursor(&line, &envelope, inner).unwrap().to_vec()).unwrap();
        assert_eq!(text(Some("\"7\"")), r#"{"id":1,"method":"tasks/list","params":{"cursor":"7","a":1}}"#);
        assert_eq!(text(None), r#"{"id":1,"method":"tasks/list","params":{"a":1}}"#);
        let (a, b) = (ServerName::parse("a").unwrap(), ServerName::parse("b").unwrap());
        let last = br#"{"id":1,"result":{"tasks":[]}}"#;
        assert!(cut_for_next(last, &a, None).is_none());
        let (_, text) = cut_for_next(last, &a, Some(&b)).unwrap();
        assert_eq!(text, r#""nextCursor":"[\"b\",null]","#);
    }
}
