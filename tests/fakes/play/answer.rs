//! What the fake server answers.

use serde_json::json;
use serde_json::value::RawValue;

use super::{Server, lock};
use crate::ask::Ask;
use crate::script::{Action, Kind, Offer, quoted};

/// The levels of `notifications/message`, from the lowest.
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

impl Server {
    /// The actions that answer; `act` has handled all others.
    pub(super) fn answer(&self, action: &Action, ask: &Ask<'_>) {
        match action {
            Action::Echo if matches!(ask.method.as_ref(), "prompts/get" | "resources/read") => {
                self.ordinary(ask)
            }
            Action::Echo => self.echo(ask),
            Action::Reply(result) => self.result(ask, &[&self.filled(result, ask)]),
            Action::Raw(line) => self.out.line(&[self.filled(line, ask).as_str()]),
            Action::Error { code, message } => self.error(ask, *code, message),
            Action::IsError(text) => {
                let text = quoted(text);
                self.reply(ask, &[r#""content":[{"type":"text","text":"#, &text, r#"}],"isError":true"#]);
            }
            Action::Big(bytes) => self.big(ask, *bytes),
            Action::Empty => {
                let kind = Kind::listed_by(&ask.method).unwrap_or(Kind::Tool);
                self.reply(ask, &["\"", kind.key(), r#"":[]"#]);
            }
            Action::Page(size) => match Kind::listed_by(&ask.method) {
                Some(kind) => self.list(ask, kind, *size),
                None => self.ordinary(ask),
            },
            Action::Request { method, params } => {
                let value = self.request(method, self.filled_params(params.as_deref(), ask).as_deref());
                self.shaped(ask, &format!(r#"{{"answer":{value}}}"#));
            }
            _ => self.ordinary(ask),
        }
    }

    /// What a server without a script answers.
    pub(super) fn ordinary(&self, ask: &Ask<'_>) {
        let (is_modern, reads) = (self.is_modern(), || self.script.has_resources());
        match ask.method.as_ref() {
            "tools/call" if self.offers(ask) => self.echo(ask),
            "tools/call" if self.script.has(Kind::Tool) => self.error(ask, -32602, "no such tool"),
            "initialize" if !is_modern => self.initialize(ask),
            "server/discover" if is_modern => self.discover(ask),
            "ping" | "logging/setLevel" if !is_modern => self.done(ask),
            "resources/read" if reads() => self.read(ask),
            "resources/subscribe" | "resources/unsubscribe" if reads() && !is_modern => self.subscribe(ask),
            "prompts/get" if self.offers(ask) => {
                self.shaped(ask, ask.params.arguments.map_or("{}", RawValue::get))
            }
            "prompts/get" if self.script.has(Kind::Prompt) => self.error(ask, -32602, "no such prompt"),
            "completion/complete" if self.completes() => self.complete(ask),
            "subscriptions/listen" if is_modern => self.listen(ask),
            method if method.starts_with("tasks/") && self.script.tasks => self.about_tasks(ask),
            method => match Kind::listed_by(method).filter(|kind| self.lists(*kind)) {
                Some(kind) => self.list(ask, kind, usize::MAX),
                None => self.error(ask, -32601, "method not found"),
            },
        }
    }

    pub(super) fn completes(&self) -> bool {
        self.script.has(Kind::Prompt) || self.script.has(Kind::Template)
    }

    /// A server with resources has both lists.
    fn lists(&self, kind: Kind) -> bool {
        match kind {
            Kind::Tool | Kind::Prompt => self.script.has(kind),
            Kind::Resource | Kind::Template => self.script.has_resources(),
        }
    }

    fn echo(&self, ask: &Ask<'_>) {
        let arguments = ask.params.arguments.map_or("{}", RawValue::get);
        self.reply(ask, &[r#""content":[{"type":"text","text":"echo"}],"structuredContent":"#, arguments]);
    }

    fn read(&self, ask: &Ask<'_>) {
        let uri = ask.name.as_deref().unwrap_or_default();
        if self.offers(ask) {
            self.content(ask, &format!("{uri} of the fake server"));
        } else {
            let code = if self.is_modern() { -32602 } else { -32002 };
            self.error_with(ask, code, "resource not found", Some(&json!({ "uri": uri })));
        }
    }

    fn content(&self, ask: &Ask<'_>, text: &str) {
        let (uri, text) = (quoted(ask.name.as_deref().unwrap_or_default()), quoted(text));
        let members = [r#""contents":[{"uri":"#, &uri, r#","mimeType":"text/plain","text":"#, &text, "}]"];
        self.reply(ask, &members);
    }

    fn complete(&self, ask: &Ask<'_>) {
        let said = [ask.params.about, ask.params.argument, ask.params.context];
        let values: Vec<&str> = said.iter().flatten().map(|raw| raw.get()).collect();
        let completion = json!({ "values": values, "total": values.len(), "hasMore": false }).to_string();
        self.reply(ask, &[r#""completion":"#, &completion]);
    }

    /// A JSON value in the shape that the method's results have.
    pub(super) fn shaped(&self, ask: &Ask<'_>, value: &str) {
        match ask.method.as_ref() {
            "prompts/get" => {
                let text = quoted(value);
                let head = r#""messages":[{"role":"user","content":{"type":"text","text":"#;
                self.reply(ask, &[head, &text, "}}]"]);
            }
            "resources/read" => self.content(ask, value),
            _ => self.reply(ask, &[r#""content":[],"structuredContent":"#, value]),
        }
    }

    /// Wants input of a client that can give it.
    pub(super) fn input(&self, ask: &Ask<'_>, requests: &str, state: Option<&str>) {
        let is_missing = |capability: &&str| self.is_modern() && !ask.client_can(&[*capability]);
        if let Some(missing) = needed(requests).into_iter().find(is_missing) {
            let data = json!({ "requiredCapabilities": { missing: {} } });
            return self.error_with(ask, -32021, "the client cannot do that", Some(&data));
        }
        if let Some(task) = ask.task {
            return self.task_wants(task, requests);
        }
        let requests = Some(requests).filter(|requests| *requests != "{}");
        let mut members = r#""resultType":"input_required""#.to_owned();
        members.extend(requests.map(|requests| format!(r#","inputRequests":{requests}"#)));
        members.extend(state.map(|state| format!(r#","requestState":{state}"#)));
        self.result(ask, &["{", &members, "}"]);
    }

    /// Shows what an `input` asked for, byte for byte.
    pub(super) fn received_input(&self, ask: &Ask<'_>) {
        let responses = ask.params.input_responses.map(|raw| format!(r#""inputResponses":{}"#, raw.get()));
        let state = ask.params.request_state.map(|raw| format!(r#""requestState":{}"#, raw.get()));
        let members: Vec<String> = responses.into_iter().chain(state).collect();
        self.shaped(ask, &format!("{{{}}}", members.join(",")));
    }

    fn big(&self, ask: &Ask<'_>, bytes: usize) {
        if ask.task.is_some() {
            return self.reply(ask, &[r#""content":[{"type":"text","text":""#, &"x".repeat(bytes), r#""}]"#]);
        }
        let Some(id) = self.answerable(ask) else { return };
        let kind = if self.is_modern() { r#""resultType":"complete","# } else { "" };
        let start = r#""content":[{"type":"text","text":""#;
        let head = [r#"{"jsonrpc":"2.0","id":"#, id, r#","result":{"#, kind, start];
        self.out.long_line(&head, bytes, r#""}]}}"#);
    }

    fn list(&self, ask: &Ask<'_>, kind: Kind, size: usize) {
        let extra = lock(&self.extra);
        let from = ask.cursor().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let all = self.script.offers.iter().chain(extra.iter()).filter(|offer| offer.kind == kind);
        let mut rest = all.skip(from).map(|offer: &Offer| offer.definition.as_str());
        let shown: Vec<&str> = rest.by_ref().take(size).collect();
        let next = rest.next().map(|_| format!(r#","nextCursor":"{}""#, from + shown.len()));
        self.reply(ask, &["\"", kind.key(), r#"":["#, &shown.join(","), "]", &next.unwrap_or_default()]);
    }

    pub(super) fn progress(&self, ask: &Ask<'_>, count: u64) {
        let Some(token) = ask.params.meta.token else { return };
        for step in 1..=count {
            let params = format!(r#"{{"progressToken":{token},"progress":{step},"total":{count}}}"#);
            self.notify("notifications/progress", &params);
        }
    }

    pub(super) fn log(&self, ask: &Ask<'_>, level: &str, text: &str) {
        let place = |level: &str| LEVELS.iter().position(|known| *known == level);
        if self.is_modern() {
            let wanted = ask.params.meta.log_level.and_then(|raw| place(raw.get().trim_matches('"')));
            if wanted.is_none_or(|wanted| place(level).is_some_and(|level| level < wanted)) {
                return;
            }
        }
        let params = json!({"level": level, "logger": "fake", "data": text}).to_string();
        self.notify("notifications/message", &params);
    }

    pub(super) fn notify(&self, method: &str, params: &str) {
        self.out.line(&[r#"{"jsonrpc":"2.0","method":""#, method, r#"","params":"#, params, "}"]);
    }

    /// An empty result.
    pub(super) fn done(&self, ask: &Ask<'_>) {
        self.result(ask, &[if self.is_modern() { r#"{"resultType":"complete"}"# } else { "{}" }]);
    }

    /// A result of these members, and of what the modern era adds to them.
    pub(super) fn reply(&self, ask: &Ask<'_>, members: &[&str]) {
        if !self.is_modern() {
            return self.result(ask, &[&["{"], members, &["}"]].concat());
        }
        let lasts = Kind::listed_by(&ask.method).is_some()
            || matches!(ask.method.as_ref(), "resources/read" | "server/discover");
        let lasting = lasts.then(|| {
            let (ms, scope) =
                self.script.ttl.as_ref().map_or((60_000, "private"), |(ms, scope)| (*ms, scope));
            format!(r#""ttlMs":{ms},"cacheScope":"{scope}","#)
        });
        let head = [r#"{"resultType":"complete","#, lasting.as_deref().unwrap_or_default()];
        self.result(ask, &[&head, members, &["}"]].concat());
    }

    /// A result as it stands.
    pub(super) fn result(&self, ask: &Ask<'_>, result: &[&str]) {
        if let Some(task) = ask.task {
            return self.settle(task, Ok(result.concat()));
        }
        let Some(id) = self.answerable(ask) else { return };
        self.result_to(id, result);
    }

    pub(super) fn result_to(&self, id: &str, result: &[&str]) {
        let head = [r#"{"jsonrpc":"2.0","id":"#, id, r#","result":"#];
        self.out.line(head.iter().chain(result).chain(&["}"]));
    }

    pub(super) fn error(&self, ask: &Ask<'_>, code: i64, message: &str) {
        self.error_with(ask, code, message, None);
    }

    pub(super) fn error_with(
        &self,
        ask: &Ask<'_>,
        code: i64,
        message: &str,
        data: Option<&serde_json::Value>,
    ) {
        let error = match data {
            Some(data) => json!({"code": code, "message": message, "data": data}),
            None => json!({"code": code, "message": message}),
        };
        if let Some(task) = ask.task {
            return self.settle(task, Err(error.to_string()));
        }
        let Some(id) = self.answerable(ask) else { return };
        self.error_to(id, &error.to_string());
    }

    pub(super) fn error_to(&self, id: &str, error: &str) {
        self.out.line(&[r#"{"jsonrpc":"2.0","id":"#, id, r#","error":"#, error, "}"]);
    }

    /// The id to answer to: none for a notification, nor for a cancelled request when the script obeys.
    fn answerable<'a>(&self, ask: &Ask<'a>) -> Option<&'a str> {
        ask.id.filter(|id| !self.script.obey_cancel || !lock(&self.cancelled).contains(*id))
    }
}

/// What a client must be able to do for these requests.
fn needed(requests: &str) -> Vec<&'static str> {
    let requests: serde_json::Value = serde_json::from_str(requests).unwrap_or_default();
    let methods =
        requests.as_object().into_iter().flat_map(|all| all.values()).filter_map(|one| one.get("method"));
    let capability = |method: &serde_json::Value| match method.as_str()? {
        "elicitation/create" => Some("elicitation"),
        "sampling/createMessage" => Some("sampling"),
        "roots/list" => Some("roots"),
        _ => None,
    };
    methods.filter_map(capability).collect()
}
