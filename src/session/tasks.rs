//! `tasks/list` of revision 2025-11-25: the servers' lists one behind the other, since only they know
//! their tasks.

mod theirs;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::downstream::connection::{Answer, Verdict};
use crate::era::Era;
use crate::guard::{self, Guarded};
use crate::names::ServerName;
use crate::router::{Call, Fault, Routed};
use crate::session::exchange::{Exchange, Turn};
use crate::session::modern::inside;
use crate::session::reply::{self, Rpc};
use crate::session::request::Request;
use crate::session::teller::Teller;
use crate::session::{Client, Permit, Rules};
use crate::wire::{Cut, Envelope, Frame, Meta, Params, object, result_of, span_of, splice, without};

/// A server has this long for its page, or it is left out.
const PAGE_WITHIN: Duration = Duration::from_secs(10);

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
            Some(raw) => Some(Cursor::parse(raw).ok_or_else(unknown_cursor)?),
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
        let servers = self.router.listing_tasks().await;
        let start = match &cursor {
            None => Some(0),
            Some(cursor) => servers.iter().position(|server| server.as_str() == cursor.server),
        };
        let frame = match start.and_then(|start| servers.get(start..)) {
            Some(servers) => self.first_page_of(&request, servers, cursor.is_none()).await,
            None => Some(unknown_cursor().frame(request.place.id())),
        };
        if let Some(frame) = frame {
            self.outlet.answer(frame, permit);
        }
        drop(request);
    }

    /// The first page that one of the servers gives; those that fail are left out. When all of them fail at
    /// the beginning of the list, the first one's error is the answer.
    async fn first_page_of(
        &self,
        request: &Request,
        mut servers: &[ServerName],
        is_beginning: bool,
    ) -> Option<Frame> {
        let (mut call, mut first_no) = (request.call.clone(), None);
        while let [server, behind @ ..] = servers {
            if let Some(routed) = self.way_to_tasks(server, &call) {
                let next = behind.iter().find(|server| self.way_to_tasks(server, &call).is_some());
                match self.ask_for_tasks(request, call, routed, server, next).await {
                    Asked::Page(frame) => return Some(frame),
                    Asked::No(frame) => {
                        tracing::info!(%server, "server is left out of a list of tasks");
                        first_no = first_no.or(frame);
                    }
                    Asked::CalledOff(frame) => return frame,
                }
            }
            servers = behind;
            // The cursor was that server's.
            call = without_cursor(&request.call);
        }
        let last = || reply::result(request.place.id(), r#"{"tasks":[]}"#);
        Some(first_no.filter(|_| is_beginning).unwrap_or_else(last))
    }

    /// Only a server that runs has tasks, and only one of the older era lists them.
    fn way_to_tasks(&self, server: &ServerName, call: &Call) -> Option<Routed> {
        let routed = self.router.to(server)?;
        let connection = routed.pool().at_once(&routed.wish(call))?;
        (connection.era() == Era::Legacy).then_some(routed)
    }

    async fn ask_for_tasks(
        &self,
        request: &Request,
        call: Call,
        routed: Routed,
        server: &ServerName,
        next: Option<&ServerName>,
    ) -> Asked {
        let asking = request.place.asking();
        let mut exchange = Exchange::new(routed, call, Arc::clone(asking));
        exchange.reads = true;
        exchange.limit = exchange.limit.map(|limit| limit.min(PAGE_WITHIN));
        let guarded = guard::run(|| exchange.turn(self), asking.called_off()).await;
        let guarded: Guarded<Result<Answer, Fault>> = match guarded {
            Guarded::Done(Turn::Answer(answer)) => {
                let number = exchange.connection.as_ref().map(|connection| connection.number());
                let is_theirs = |task: &str| {
                    number.is_some_and(|number| self.switchboard.is_anothers(self.id, task, number))
                };
                let answer = theirs::without(answer, is_theirs);
                for (task, number) in tasks_in(&answer.line).iter().zip(number.into_iter().cycle()) {
                    self.unasked.whereabouts.gave_task(server, number, task);
                }
                Guarded::Done(Ok(with_next(answer, server, next)))
            }
            Guarded::Done(Turn::Fault(fault)) => Guarded::Done(Err(fault)),
            // Nothing is asked in the course of a list.
            Guarded::Done(Turn::Asked(_)) => Guarded::Done(Err(Fault::Endless)),
            Guarded::Panicked(text) => Guarded::Panicked(text),
            Guarded::CalledOff(why) => Guarded::CalledOff(why),
        };
        let is_page = matches!(&guarded, Guarded::Done(Ok(answer)) if answer.verdict != Verdict::RpcError);
        let is_called_off = matches!(&guarded, Guarded::CalledOff(_));
        let teller = Teller {
            routed: &exchange.routed,
            shown: "tasks/list",
            id: request.place.id(),
            number: None,
            era: request.rules.era,
            line_bytes_max: request.rules.limits.line_bytes_max,
            cacheable: false,
            connection: None,
            tenant: &exchange.call.tenant,
        };
        match teller.end(guarded).frame {
            Some(frame) if is_page => Asked::Page(frame),
            frame if is_called_off => Asked::CalledOff(frame),
            frame => Asked::No(frame),
        }
    }
}

/// What came of asking one server for a page; the answer that would be.
enum Asked {
    Page(Frame),
    No(Option<Frame>),
    CalledOff(Option<Frame>),
}

fn unknown_cursor() -> Rpc {
    Rpc::bad_params("tasks/list takes params with a cursor that an earlier page has given")
}

/// The same request for the first page of another server.
fn without_cursor(call: &Call) -> Call {
    let line = Envelope::parse(&call.line).ok().and_then(|envelope| with_cursor(&call.line, &envelope, None));
    let Some(line) = line else { return call.clone() };
    let Ok(envelope) = Envelope::parse(&line) else { return call.clone() };
    let span = |raw: &RawValue| span_of(&line, raw.get());
    let meta = envelope.params.and_then(Params::parse).and_then(|params| params.meta);
    Call {
        id: envelope.id.and_then(span).unwrap_or_default(),
        params: envelope.params.and_then(span),
        meta: meta.and_then(span),
        line: line.clone(),
        ..call.clone()
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
    let page: Option<Page<'_>> = result_of(line).and_then(object);
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
    let result = result_of(line)?;
    let page: Page<'_> = object(result)?;
    match (page.next.filter(|next| next.get() != "null"), next) {
        (Some(inner), _) => {
            let cursor = Cursor { server: server.to_string(), inner: Some(inner.get().to_owned()) };
            Some((span_of(line, inner.get())?, cursor.to_json()))
        }
        (None, Some(next)) => {
            let cursor = Cursor { server: next.to_string(), inner: None };
            inside(line, result, format!(r#""nextCursor":{}"#, cursor.to_json()))
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
