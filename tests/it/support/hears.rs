//! What the client hears.

use std::borrow::Cow;
use std::sync::mpsc::RecvTimeoutError;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Asked, Bridge, DEADLINE};

impl Bridge {
    /// The next line, without its end; `None` at the end of the bridge's output.
    #[track_caller]
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        match self.backlog.pop_front() {
            Some(line) => Some(line),
            None => self.hear(),
        }
    }

    #[track_caller]
    fn hear(&mut self) -> Option<Vec<u8>> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(mut line) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("nothing was heard for {DEADLINE:?}; the log:\n{}", self.log())
            }
        }
    }

    /// The next line as text.
    #[track_caller]
    pub fn recv_line(&mut self) -> String {
        let Some(line) = self.next_line() else { panic!("the output ended; the log:\n{}", self.log()) };
        String::from_utf8(line).unwrap()
    }

    /// The next line as JSON.
    #[track_caller]
    pub fn recv(&mut self) -> Value {
        let line = self.recv_line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The answer with this id; what comes before it is kept for later.
    #[track_caller]
    pub fn answer_to(&mut self, id: u64) -> Value {
        serde_json::from_str(&self.raw_answer_to(&id.to_string())).unwrap()
    }

    /// The line of the answer whose id has these bytes; what comes before it is kept for later.
    #[track_caller]
    pub fn raw_answer_to(&mut self, id: &str) -> String {
        self.find(&format!("answer to {id}"), |head| {
            head.is_answer() && head.id.is_some_and(|i| i.get() == id)
        })
    }

    /// The next notification or request with this method; what comes before it is kept for later.
    #[track_caller]
    pub fn told(&mut self, method: &str) -> Value {
        serde_json::from_str(&self.raw_told(method)).unwrap()
    }

    /// The line of it.
    #[track_caller]
    pub fn raw_told(&mut self, method: &str) -> String {
        self.find(method, |head| head.method.as_deref() == Some(method))
    }

    /// The next request with this method, to be answered by [`Bridge::answer`]; what comes before it is
    /// kept for later.
    #[track_caller]
    pub fn asked(&mut self, method: &str) -> Asked {
        let is_it = |head: &Head<'_>| head.id.is_some() && head.method.as_deref() == Some(method);
        let line = self.find(method, is_it);
        let head: Head<'_> = serde_json::from_str(&line).unwrap();
        let params = serde_json::from_str::<Value>(&line).unwrap()["params"].take();
        Asked { id: head.id.unwrap().get().to_owned(), params, line }
    }

    /// Everything that comes before the answer to a `ping` that is sent now: what the bridge has said so
    /// far, and proof that it still answers.
    #[track_caller]
    pub fn said_so_far(&mut self) -> Vec<Value> {
        let id = self.request("ping", &json!({}));
        let mut said = Vec::new();
        loop {
            let value = self.recv();
            if value["id"] == id && value["method"].is_null() {
                assert_eq!(value["result"], json!({}), "a ping is answered");
                return said;
            }
            said.push(value);
        }
    }

    #[track_caller]
    fn find(&mut self, what: &str, is_it: impl Fn(&Head<'_>) -> bool) -> String {
        let matches = |line: &Vec<u8>| serde_json::from_slice(line).is_ok_and(|head| is_it(&head));
        if let Some(index) = self.backlog.iter().position(matches) {
            return String::from_utf8(self.backlog.remove(index).unwrap()).unwrap();
        }
        loop {
            let Some(line) = self.hear() else {
                panic!("no {what}: the output ended; the log:\n{}", self.log())
            };
            if matches(&line) {
                return String::from_utf8(line).unwrap();
            }
            self.backlog.push_back(line);
        }
    }
}

/// The head of a line.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
}

impl Head<'_> {
    fn is_answer(&self) -> bool {
        self.method.is_none()
    }
}
