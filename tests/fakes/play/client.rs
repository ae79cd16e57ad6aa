//! What the server asks of its client.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::{Server, lock};

/// How long `request` waits for the client.
const CLIENT_ANSWER: Duration = Duration::from_secs(60);

/// Requests to the client.
#[derive(Default)]
pub struct Asked {
    /// Those that somebody waits for, by their raw id.
    waiting: Mutex<HashMap<String, mpsc::Sender<String>>>,
    /// How many there were.
    count: AtomicU64,
}

impl Server {
    /// Asks the client and waits. The answer is its result, or `{"error":…}`.
    pub(super) fn request(&self, method: &str, params: Option<&str>) -> String {
        let (tell, answer) = mpsc::channel();
        let id = self.next_id();
        lock(&self.asked.waiting).insert(id.clone(), tell);
        self.write_request(&id, method, params);
        answer.recv_timeout(CLIENT_ANSWER).unwrap_or_else(|_| r#"{"error":"no answer"}"#.to_owned())
    }

    /// Asks the client and waits for nothing.
    pub(super) fn send_request(&self, method: &str, params: Option<&str>) {
        let id = self.next_id();
        self.write_request(&id, method, params);
    }

    /// Takes back the last request; who waits for it waits no longer.
    pub(super) fn cancel_request(&self) {
        let last = self.asked.count.load(Ordering::Relaxed);
        if last > 0 {
            let id = raw_id(last);
            self.notify("notifications/cancelled", &format!(r#"{{"requestId":{id}}}"#));
            self.hear(&id, r#"{"error":"cancelled"}"#.to_owned());
        }
    }

    pub(super) fn hear(&self, id: &str, value: String) {
        if let Some(tell) = lock(&self.asked.waiting).remove(id) {
            let _gone = tell.send(value);
        }
    }

    fn next_id(&self) -> String {
        raw_id(self.asked.count.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn write_request(&self, id: &str, method: &str, params: Option<&str>) {
        let params = params.map(|params| format!(r#","params":{params}"#)).unwrap_or_default();
        self.out.line(&[r#"{"jsonrpc":"2.0","id":"#, id, r#","method":""#, method, "\"", &params, "}"]);
        self.flush();
    }
}

fn raw_id(number: u64) -> String {
    format!(r#""fake-{number}""#)
}
