//! What a session is beside its unanswered requests, so that the next hub can go on with it.

pub mod kept;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::frames::Ends;
use crate::front::ledger::Ended;
use crate::wire::{
    Envelope, Kind, Params, cancelled_id, id_in_head, id_in_tail, is_answer_in_head, result_of,
};

/// Subscriptions that are kept, in bytes of their lines; a client that has more is told less after a hub's death.
const SUBSCRIPTIONS_BYTES_MAX: usize = 256 * 1024;

/// The longest list of tools that is kept, in bytes.
const TOOLS_BYTES_MAX: usize = 256 * 1024;

/// The session as its client left it.
#[derive(Debug, Default)]
pub struct Shadow {
    /// The client's `initialize`, once it was answered by a result.
    initialize: Option<Bytes>,
    /// `notifications/initialized`.
    initialized: Option<Bytes>,
    /// The last `logging/setLevel`.
    level: Option<Bytes>,
    /// `resources/subscribe`, by what was subscribed to, in JSON.
    subscriptions: BTreeMap<Box<str>, Bytes>,
    /// The first page of the tools, as they were shown last: a result in JSON.
    tools: Option<Box<str>>,
    /// What the client was asked and has not answered: ids, in JSON.
    asked: BTreeSet<Box<str>>,
    last_ask: u32,
}

impl Shadow {
    /// Hears what is no request of the client; false when it answers a question that died with its hub.
    pub fn hear(&mut self, line: &Bytes) -> bool {
        let Ok(envelope) = Envelope::parse(line) else { return true };
        match (envelope.kind(), envelope.method.as_deref(), envelope.id) {
            (Kind::Notification, Some("notifications/initialized"), _) => {
                self.initialized = Some(line.clone());
                true
            }
            (Kind::Response, _, Some(id)) => self.asked.remove(id.get()),
            _ => true,
        }
    }

    /// Hears what is left of a line that is too long: where it was an answer, there will be no other.
    pub fn spoiled(&mut self, ends: &Ends<'_>) {
        let id = id_in_head(ends.head).or_else(|| id_in_tail(ends.tail).map(|id| id.to_string()));
        if let Some(id) = id.filter(|_| is_answer_in_head(ends.head)) {
            self.asked.remove(&*id);
        }
    }

    /// A request was answered.
    pub fn answered(&mut self, request: Ended, answer: &Bytes) {
        let keeps = matches!(
            &*request.method,
            "initialize"
                | "logging/setLevel"
                | "resources/subscribe"
                | "resources/unsubscribe"
                | "tools/list"
        );
        let Some(result) = keeps.then(|| result_of(answer)).flatten() else { return };
        let line = request.line;
        match &*request.method {
            "initialize" => self.initialize = Some(line),
            "logging/setLevel" => self.level = Some(line),
            "tools/list" if result.get().len() <= TOOLS_BYTES_MAX && !has_cursor(&line) => {
                self.tools = Some(result.get().into());
            }
            "resources/subscribe" => self.subscribed(line),
            "resources/unsubscribe" => {
                if let Some(uri) = uri(&line) {
                    self.subscriptions.remove(&uri);
                }
            }
            _ => {}
        }
    }

    /// A hub said something that is no answer.
    pub fn said(&mut self, line: &Bytes) {
        let Ok(envelope) = Envelope::parse(line) else { return };
        match (envelope.kind(), envelope.id) {
            (Kind::Request, Some(id)) => {
                self.last_ask = self.last_ask.max(id.get().parse().unwrap_or(0));
                self.asked.insert(id.get().into());
            }
            (Kind::Notification, _) if envelope.method.as_deref() == Some("notifications/cancelled") => {
                if let Some(id) = cancelled_id(envelope.params) {
                    self.asked.remove(id);
                }
            }
            _ => {}
        }
    }

    /// What the client was asked dies with its hub: their ids.
    pub fn hub_died(&mut self) -> BTreeSet<Box<str>> {
        std::mem::take(&mut self.asked)
    }

    /// The newest id under which the client was asked something.
    #[must_use]
    pub fn last_ask(&self) -> u32 {
        self.last_ask
    }

    /// The tools as they were shown last.
    #[must_use]
    pub fn tools(&self) -> Option<&str> {
        self.tools.as_deref()
    }

    /// The lines from which a hub knows the session, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<Bytes> {
        let first = [&self.initialize, &self.initialized, &self.level];
        first.into_iter().flatten().chain(self.subscriptions.values()).cloned().collect()
    }

    fn subscribed(&mut self, line: Bytes) {
        let Some(uri) = uri(&line) else { return };
        let bytes: usize = self.subscriptions.values().map(Bytes::len).sum();
        if bytes + line.len() > SUBSCRIPTIONS_BYTES_MAX {
            return tracing::warn!("too many subscriptions to keep, this one ends with its hub");
        }
        self.subscriptions.insert(uri, line);
    }
}

fn uri(line: &[u8]) -> Option<Box<str>> {
    let uri = Params::parse(Envelope::parse(line).ok()?.params?)?.uri?;
    Some(uri.get().into())
}

fn has_cursor(line: &[u8]) -> bool {
    let cursor = |params: &RawValue| Params::parse(params)?.cursor.map(drop);
    Envelope::parse(line).is_ok_and(|envelope| envelope.params.and_then(cursor).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(shadow: &mut Shadow, method: &str, params: &str, answer: &str) {
        let line = Bytes::from(format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#));
        let answer = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1,{answer}}}"#));
        shadow.answered(Ended { line, id: "1".into(), method: method.into() }, &answer);
    }

    fn lines(shadow: &Shadow) -> Vec<String> {
        shadow.lines().iter().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_next_hub_hears_how_the_session_was_opened_and_what_its_client_wanted() {
        let mut shadow = Shadow::default();
        answered(&mut shadow, "resources/subscribe", r#"{"uri":"a"}"#, r#""result":{}"#);
        answered(&mut shadow, "resources/subscribe", r#"{"uri":"b"}"#, r#""result":{}"#);
        answered(&mut shadow, "resources/unsubscribe", r#"{"uri":"a"}"#, r#""result":{}"#);
        answered(&mut shadow, "resources/subscribe", r#"{"uri":"c"}"#, r#""error":{}"#);
        answered(&mut shadow, "logging/setLevel", r#"{"level":"error"}"#, r#""result":{}"#);
        answered(&mut shadow, "logging/setLevel", r#"{"level":"debug"}"#, r#""result":{}"#);
        assert!(shadow.hear(&Bytes::from_static(br#"{"method":"notifications/initialized"}"#)));
        answered(&mut shadow, "initialize", "{}", r#""result":{}"#);
        answered(&mut shadow, "tools/call", "{}", r#""result":{}"#);
        assert_eq!(
            lines(&shadow),
            [
                r#"{"id":1,"method":"initialize","params":{}}"#,
                r#"{"method":"notifications/initialized"}"#,
                r#"{"id":1,"method":"logging/setLevel","params":{"level":"debug"}}"#,
                r#"{"id":1,"method":"resources/subscribe","params":{"uri":"b"}}"#,
            ]
        );
    }

    #[test]
    fn a_late_answer_to_a_question_of_a_dead_hub_goes_nowhere() {
        let mut shadow = Shadow::default();
        let answer = |id| Bytes::from(format!(r#"{{"id":{id},"result":{{}}}}"#));
        for id in 1..=3 {
            shadow.said(&Bytes::from(format!(r#"{{"id":{id},"method":"roots/list"}}"#)));
        }
        shadow.said(&Bytes::from_static(br#"{"method":"notifications/cancelled","params":{"requestId":2}}"#));
        assert!(shadow.hear(&answer(1)) && !shadow.hear(&answer(2)));
        assert_eq!(shadow.hub_died().into_iter().collect::<Vec<_>>(), ["3".into()]);
        assert!(!shadow.hear(&answer(3)));
        assert_eq!(shadow.last_ask(), 3);
    }

    #[test]
    fn a_question_whose_answer_is_too_long_is_not_asked_any_more() {
        let mut shadow = Shadow::default();
        for id in 1..=3 {
            shadow.said(&Bytes::from(format!(r#"{{"id":{id},"method":"roots/list"}}"#)));
        }
        shadow.spoiled(&Ends { bytes: 1, head: br#"{"id":1,"result":"x"#, tail: b"x\"}" });
        shadow.spoiled(&Ends { bytes: 1, head: br#"{"result":"x"#, tail: br#"","id":2}"# });
        shadow.spoiled(&Ends { bytes: 1, head: br#"{"id":3,"method":"x"#, tail: b"}" });
        assert_eq!(shadow.hub_died().into_iter().collect::<Vec<_>>(), ["3".into()]);
    }

    #[test]
    fn the_first_page_of_the_tools_is_kept_for_hard_times() {
        let mut shadow = Shadow::default();
        answered(&mut shadow, "tools/list", "{}", r#""result":{"tools":[1]}"#);
        answered(&mut shadow, "tools/list", r#"{"cursor":"x"}"#, r#""result":{"tools":[2]}"#);
        assert_eq!(shadow.tools(), Some(r#"{"tools":[1]}"#));
    }
}
