//! What the client says.

use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use super::{Bridge, SUBSCRIPTION_KEY};

impl Bridge {
    /// Sends one line as it stands; its end is added.
    #[track_caller]
    pub fn send(&mut self, line: impl AsRef<[u8]>) {
        self.send_bytes(&[line.as_ref(), b"\n"].concat());
    }

    /// Sends bytes as they stand.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        if let Err(error) = stdin.write_all(bytes) {
            panic!("the bridge does not read: {error}\n{}", self.log());
        }
    }

    /// Sends bytes from a thread of its own, because the bridge may stop reading; the receiver hears when
    /// all are written. Nothing else can be sent from then on.
    pub fn send_aside(&mut self, bytes: Vec<u8>) -> Receiver<()> {
        let mut stdin = self.stdin.take().expect("stdin is open");
        let (sender, written) = channel();
        let (keep_open, held) = channel::<()>();
        self.held.push(keep_open);
        thread::spawn(move || {
            if stdin.write_all(&bytes).is_ok() {
                let _ = sender.send(());
                // Closing it would end the bridge.
                let _ = held.recv();
            }
        });
        written
    }

    /// Sends what it can; a bridge that is gone is no fault.
    pub fn try_send(&mut self, line: &str) -> bool {
        self.stdin.as_mut().is_some_and(|stdin| stdin.write_all(format!("{line}\n").as_bytes()).is_ok())
    }

    /// Sends a request under a new id, and returns the id.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        id
    }

    /// Sends a notification.
    #[track_caller]
    pub fn notify(&mut self, method: &str, params: &Value) {
        self.send(json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    /// Sends a `tools/call` and returns its id.
    #[track_caller]
    pub fn begin_call(&mut self, tool: &str, arguments: Value) -> u64 {
        self.request("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Calls a tool and returns the whole answer.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let id = self.begin_call(tool, arguments);
        self.answer_to(id)
    }

    /// Sends a request and returns the whole answer.
    #[track_caller]
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.request(method, params);
        self.answer_to(id)
    }

    /// Opens a session as today's clients do; returns the result of `initialize`.
    #[track_caller]
    pub fn initialize(&mut self) -> Value {
        self.initialize_with(json!({}))
    }

    /// The same under another revision.
    #[track_caller]
    pub fn initialize_as(&mut self, version: &str) -> Value {
        self.initialize_with(json!({ "protocolVersion": version }))
    }

    /// The same as a client of this name.
    #[track_caller]
    pub fn initialize_by(&mut self, client: &str) -> Value {
        self.initialize_with(json!({ "clientInfo": { "name": client, "version": "1" } }))
    }

    /// The same with these members instead of the usual ones: `{"capabilities": {"elicitation": {}}}`.
    #[track_caller]
    pub fn initialize_with(&mut self, members: Value) -> Value {
        let client = json!({ "name": "it", "version": "1" });
        let mut params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        params.as_object_mut().unwrap().extend(members.as_object().cloned().unwrap_or_default());
        let mut answer = self.ask("initialize", &params);
        self.notify("notifications/initialized", &json!({}));
        answer["result"].take()
    }

    /// From here on each modern request carries this in `_meta`; null for nothing under that key.
    pub fn carry(&mut self, key: &str, value: Value) {
        if value.is_null() {
            self.meta.remove(key);
        } else {
            self.meta.insert(key.to_owned(), value);
        }
    }

    /// Sends a request of the modern revision under a new id, and returns the id. What stands in the
    /// parameters' own `_meta` goes before what each request carries.
    #[track_caller]
    pub fn modern_request(&mut self, method: &str, mut params: Value) -> u64 {
        let mut meta = self.meta.clone();
        meta.extend(params["_meta"].as_object().cloned().unwrap_or_default());
        params["_meta"] = meta.into();
        self.request(method, &params)
    }

    /// Sends a request of the modern revision and returns the whole answer.
    #[track_caller]
    pub fn modern(&mut self, method: &str, params: Value) -> Value {
        let id = self.modern_request(method, params);
        self.answer_to(id)
    }

    /// Subscribes in the modern way; returns the subscription's id and what was granted.
    #[track_caller]
    pub fn listen(&mut self, wants: &Value) -> (u64, Value) {
        let id = self.modern_request("subscriptions/listen", json!({ "notifications": wants }));
        let mut told = self.told("notifications/subscriptions/acknowledged");
        assert_eq!(told["params"]["_meta"][SUBSCRIPTION_KEY], id, "{told}");
        (id, told["params"]["notifications"].take())
    }

    /// Takes a request back.
    #[track_caller]
    pub fn cancel(&mut self, id: u64) {
        self.notify("notifications/cancelled", &json!({ "requestId": id }));
    }

    /// Answers a request of the other side; the id as [`Bridge::asked`] has it.
    #[track_caller]
    pub fn answer(&mut self, id: &str, result: &Value) {
        self.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
    }

    /// Answers it by an error.
    #[track_caller]
    pub fn answer_error(&mut self, id: &str, code: i64, message: &str) {
        let error = json!({ "code": code, "message": message });
        self.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
    }

    /// The data of `bridge_status`.
    #[track_caller]
    pub fn status(&mut self) -> Value {
        let mut answer = self.call("bridge_status", json!({}));
        answer["result"]["structuredContent"].take()
    }

    /// What `bridge_status` says of one server.
    #[track_caller]
    pub fn server(&mut self, name: &str) -> Value {
        let status = self.status();
        let mut servers = status["servers"].as_array().unwrap().iter();
        servers.find(|server| server["name"] == name).unwrap().clone()
    }

    /// Closes the client's end of stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }
}
