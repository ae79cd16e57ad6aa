//! What servers say to a client unasked: each message in the form of the client's era, or not at all.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::downstream::client::ClientId;
use crate::downstream::connection::{Connection, SUBSCRIPTION_ID};
use crate::downstream::greeting::Face;
use crate::downstream::level::severity;
use crate::downstream::question::Question;
use crate::downstream::relay::Notification;
use crate::session::asks::Asks;
use crate::session::exchange::is_able;
use crate::session::listen::Listen;
use crate::session::listens::Listens;
use crate::session::outlet::Outlet;
use crate::session::subscribed::Subscribed;
use crate::session::whereabouts::Whereabouts;
use crate::wire::{Cut, Frame, Params, Span, object, span_of, splice, without};

/// The way to one client for everything that belongs to no request of it.
pub struct Unasked {
    /// Which client.
    pub client: ClientId,
    outlet: Arc<Outlet>,
    /// What servers know of it.
    face: watch::Receiver<Face>,
    /// What servers ask it.
    pub asks: Arc<Asks>,
    /// What it has subscribed to in the modern way.
    pub listens: Listens,
    /// What it has subscribed to in the older one.
    pub subscribed: Subscribed,
    /// Where the things are that servers told it of.
    pub whereabouts: Whereabouts,
}

impl Unasked {
    /// A client that has said nothing yet.
    #[must_use]
    pub fn new(client: ClientId, outlet: Arc<Outlet>, face: watch::Receiver<Face>) -> Arc<Self> {
        Arc::new(Self {
            client,
            face,
            asks: Arc::new(Asks::new(Arc::clone(&outlet))),
            listens: Listens::default(),
            subscribed: Subscribed::default(),
            whereabouts: Whereabouts::default(),
            outlet,
        })
    }

    fn message(&self, heard: &Notification<'_>) {
        let level = level_of(heard.params);
        // A modern client hears of the requests that asked for it, an older one from its level up.
        let mut asked = heard.asked_levels.iter().filter(|(client, _)| *client == self.client);
        let wanted =
            asked.any(|(_, asked)| level >= *asked) || self.asks.is_direct() && level >= self.outlet.level();
        if wanted {
            let tag = logger(heard);
            let cuts: Vec<Cut<'_>> =
                tag.iter().map(|(span, text)| Cut { span: span.clone(), text: text.as_bytes() }).collect();
            self.say(splice(heard.line, &cuts), heard);
        }
    }

    /// A notification of one thing that clients subscribe to: to an older client as it is, to a modern one
    /// under each of its subscriptions that hears of the thing.
    fn subscribed(&self, heard: &Notification<'_>, hearing: &[Arc<Listen>]) {
        if self.asks.is_direct() {
            self.pass(heard);
        }
        for listen in hearing {
            self.outlet.pass(tagged(heard, &listen.id), heard.said);
        }
    }

    /// A notification as the server wrote it, without the mark of the bridge's own subscription.
    fn pass(&self, heard: &Notification<'_>) {
        let meta = heard.params.and_then(Params::parse).and_then(|params| params.meta);
        let tag = meta
            .filter(|meta| has_tag(meta))
            .and_then(|meta| Some((span_of(heard.line, meta.get())?, without(meta, &[SUBSCRIPTION_ID])?)));
        let cuts: Vec<Cut<'_>> =
            tag.iter().map(|(span, text)| Cut { span: span.clone(), text: text.as_bytes() }).collect();
        self.say(splice(heard.line, &cuts), heard);
    }

    fn say(&self, frame: Frame, heard: &Notification<'_>) {
        // A modern client is ready with its first request.
        if !self.asks.is_direct() || self.outlet.is_open() {
            self.outlet.pass(frame, heard.said);
        }
    }

    /// Says a notification of a server in the form of the client's era, if that has one.
    pub fn hear(&self, heard: &Notification<'_>) {
        match heard.method {
            "notifications/message" => self.message(heard),
            "notifications/resources/updated" => {
                let uri = param(heard, |params| params.uri);
                let hearing = uri.map(|uri| self.listens.of_resource(&uri, heard.server));
                self.subscribed(heard, &hearing.unwrap_or_default());
            }
            "notifications/tasks" | "notifications/tasks/status" => {
                let task = param(heard, |params| params.task_id);
                let hearing = task.map(|task| self.listens.of_task(&task));
                self.subscribed(heard, &hearing.unwrap_or_default());
            }
            // The modern revision has it no more: the retry of a request tells.
            "notifications/elicitation/complete" if !self.asks.is_direct() => {}
            _ => self.pass(heard),
        }
    }

    /// Whether a notification of a server that serves several clients concerns this one. A message goes by the level
    /// of each, whatever else to whom it is about; what nobody can tell goes to those that wait for an answer of
    /// the server, and to all when none does.
    pub fn is_concerned(&self, heard: &Notification<'_>, all: &[Arc<Self>]) -> bool {
        match heard.method {
            "notifications/message" => true,
            // A modern client hears of it under its subscriptions, or not at all.
            "notifications/resources/updated" => {
                !self.asks.is_direct()
                    || param(heard, |params| params.uri)
                        .is_some_and(|uri| self.subscribed.hears(heard.server, &uri))
            }
            "notifications/tasks" | "notifications/tasks/status" => {
                let Some(task) = param(heard, |params| params.task_id) else { return false };
                let known = all.iter().find(|client| client.has_task(&task, heard.said.number));
                match known {
                    Some(known) => known.client == self.client || self.listens_to(&task, heard.server),
                    // Its server has not given it to anybody yet: it is that of the only client that waits.
                    None => {
                        heard.under_way.contains(&self.client)
                            && heard.under_way.iter().all(|client| *client == self.client)
                    }
                }
            }
            "notifications/elicitation/complete" => {
                page(heard).is_some_and(|id| self.asks.has_page(heard.said.number, &id))
            }
            _ if heard.under_way.is_empty() => self.is_known(),
            _ => heard.under_way.contains(&self.client),
        }
    }

    /// Whether it has said who it is: nobody marks what it shows as seen.
    fn is_known(&self) -> bool {
        self.face.has_changed().unwrap_or(true)
    }

    /// Whether a task was given to this client, on the connection with this number.
    pub fn has_task(&self, task: &str, connection: u64) -> bool {
        self.whereabouts.task(task).is_some_and(|(_, giver)| giver == connection)
    }

    /// Whether it listens to a task in the modern way, and knows it from this server or from nowhere.
    fn listens_to(&self, task: &str, server: &str) -> bool {
        !self.asks.is_direct()
            && self.whereabouts.task(task).is_none_or(|(giver, _)| giver.as_str() == server)
    }

    /// Whether it can answer a question of a server; `can_carry` says whether one of its requests could take it along.
    pub fn can_answer(&self, question: &Question, can_carry: bool) -> bool {
        match self.asks.is_direct() {
            true => {
                question.needs().is_none_or(|needs| is_able(&self.face.borrow().capabilities, needs).is_ok())
            }
            false => can_carry,
        }
    }

    /// Asks it what a server asks: at once a client that takes requests, any other with a request of its own.
    pub fn ask(&self, question: Question) {
        let Some(question) = question.of(self.client) else { return };
        if self.asks.is_direct() {
            self.asks.ask(question);
        } else if question.needs().is_none() {
            question.refuse(-32601, "this client has no such method");
        } else {
            question.go_along(self.client);
        }
    }

    /// A connection ended.
    pub fn ended(&self, connection: &Connection) {
        self.asks.ended(connection);
        self.outlet.ended(connection.number());
    }

    /// Whether more can be passed on now.
    pub fn has_room(&self) -> bool {
        self.outlet.has_room()
    }

    /// Waits until more can be passed on.
    pub async fn room(&self) {
        self.outlet.room().await;
    }
}

fn param<'a>(
    heard: &Notification<'a>,
    member: impl Fn(&Params<'a>) -> Option<&'a RawValue>,
) -> Option<String> {
    let params = heard.params.and_then(Params::parse)?;
    serde_json::from_str(member(&params)?.get()).ok()
}

/// The page that a notification is about.
fn page(heard: &Notification<'_>) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        elicitation_id: String,
    }
    object::<Page>(heard.params?).map(|page| page.elicitation_id)
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
    id: &'a RawValue,
}

fn has_tag(meta: &RawValue) -> bool {
    object::<Tag<'_>>(meta).is_some()
}

/// A notification under a subscription of the client; `id` is its id in JSON.
fn tagged(heard: &Notification<'_>, id: &str) -> Frame {
    let meta = heard.params.and_then(Params::parse).and_then(|params| params.meta);
    let tag = meta.and_then(object::<Tag<'_>>).and_then(|tag| span_of(heard.line, tag.id.get()));
    let member = format!(r#""{SUBSCRIPTION_ID}":{id}"#);
    let (span, text) = match (tag, meta, heard.params) {
        (Some(span), _, _) => (Some(span), id.to_owned()),
        (None, Some(meta), _) if !meta.get().starts_with('{') => {
            (span_of(heard.line, meta.get()), format!("{{{member}}}"))
        }
        (None, Some(meta), _) => (inside(heard.line, meta), with_comma(meta, member)),
        (None, None, Some(params)) => {
            (inside(heard.line, params), with_comma(params, format!(r#""_meta":{{{member}}}"#)))
        }
        (None, None, None) => (None, String::new()),
    };
    let cuts: Vec<Cut<'_>> = span.into_iter().map(|span| Cut { span, text: text.as_bytes() }).collect();
    splice(heard.line, &cuts)
}

/// The place after the brace that opens an object of a line.
fn inside(line: &[u8], value: &RawValue) -> Option<Span> {
    let start = span_of(line, value.get())?.start + 1;
    Some(start..start)
}

/// A member that is put before those that an object has.
fn with_comma(value: &RawValue, member: String) -> String {
    let is_empty = value.get().get(1..).is_some_and(|rest| rest.trim_start().starts_with('}'));
    if is_empty { member } else { member + "," }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    level: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    logger: Option<&'a RawValue>,
}

/// The level of a message; one that names none is never held back.
fn level_of(params: Option<&RawValue>) -> u8 {
    let message = params.and_then(object::<Message<'_>>);
    message.and_then(|message| severity(&message.level?)).unwrap_or(u8::MAX)
}

/// What tells a message's server: it stands before the logger's own name.
fn logger(heard: &Notification<'_>) -> Option<(Span, String)> {
    let params = heard.params?;
    let server = serde_json::to_string(heard.server).ok()?;
    match object::<Message<'_>>(params)?.logger {
        Some(logger) if logger.get().starts_with('"') => {
            let start = span_of(heard.line, logger.get())?.start;
            Some((start..start + 1, format!("{}/", server.strip_suffix('"')?)))
        }
        Some(_) => None,
        None => Some((inside(heard.line, params)?, with_comma(params, format!(r#""logger":{server}"#)))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::downstream::relay::Unread;
    use crate::queue::Share;
    use crate::wire::Envelope;

    fn with<T>(line: &str, look: impl FnOnce(&Notification<'_>) -> T) -> T {
        let line = Bytes::copy_from_slice(line.as_bytes());
        let envelope = Envelope::parse(&line).unwrap();
        let method = envelope.method.as_deref().unwrap();
        look(&Notification {
            server: "a\"b",
            method,
            line: &line,
            params: envelope.params,
            owner: None,
            asked_levels: &[],
            under_way: &[],
            said: Unread { number: 1, share: &Share::new(1), is_for_many: false },
        })
    }

    #[track_caller]
    fn check_logger(params: &str, expected: &str) {
        let line = format!(r#"{{"method":"notifications/message","params":{params}}}"#);
        let tagged = with(&line, |heard| {
            let (span, text) = logger(heard).unwrap();
            splice(heard.line, &[Cut { span, text: text.as_bytes() }]).pieces().concat()
        });
        let expected = format!("{{\"method\":\"notifications/message\",\"params\":{expected}}}\n");
        assert_eq!(String::from_utf8(tagged).unwrap(), expected);
    }

    #[test]
    fn a_message_names_its_server_in_its_logger() {
        check_logger(r#"{"level":"info","logger":"x"}"#, r#"{"level":"info","logger":"a\"b/x"}"#);
        check_logger(r#"{ "level":"info"}"#, r#"{"logger":"a\"b", "level":"info"}"#);
        check_logger("{}", r#"{"logger":"a\"b"}"#);
    }

    #[track_caller]
    fn check_tag(params: &str, expected: &str) {
        let line = format!(r#"{{"method":"x","params":{params}}}"#);
        let tagged = with(&line, |heard| tagged(heard, "\"l\"").pieces().concat());
        assert_eq!(
            String::from_utf8(tagged).unwrap(),
            format!("{{\"method\":\"x\",\"params\":{expected}}}\n")
        );
    }

    #[test]
    fn a_notification_goes_under_the_clients_own_subscription() {
        let tag = |id: &str| format!(r#""{SUBSCRIPTION_ID}":{id}"#);
        check_tag(r#"{"uri":"u"}"#, &format!(r#"{{"_meta":{{{}}},"uri":"u"}}"#, tag("\"l\"")));
        check_tag(r#"{"_meta":null}"#, &format!(r#"{{"_meta":{{{}}}}}"#, tag("\"l\"")));
        check_tag(r#"{"_meta":{"a":1}}"#, &format!(r#"{{"_meta":{{{},"a":1}}}}"#, tag("\"l\"")));
        check_tag(
            &format!(r#"{{"_meta":{{{}}}}}"#, tag("7")),
            &format!(r#"{{"_meta":{{{}}}}}"#, tag("\"l\"")),
        );
    }
}
