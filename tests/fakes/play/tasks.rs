//! Calls that are tasks: of 2025-11-25, and of the modern extension.

use serde_json::value::RawValue;

use super::{Server, lock};
use crate::ask::Ask;

/// Tasks have no clock, so that their bytes are known beforehand.
const WHEN: &str = "2026-01-01T00:00:00Z";

/// The key of a result that belongs to a task.
const RELATED: &str = "io.modelcontextprotocol/related-task";

/// A call that was answered with a task.
pub struct Task {
    status: String,
    /// The raw `ttl` that its client asked for.
    ttl: String,
    /// The result of the call, or its error.
    outcome: Option<Result<String, String>>,
    /// What the client shall give it.
    wants: Option<String>,
    /// Raw ids of those who asked for the result.
    waiting: Vec<String>,
}

/// What a task is called.
pub fn id(task: usize) -> String {
    format!("task-{}", task + 1)
}

impl Task {
    fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "cancelled")
    }

    /// What both eras say of it.
    fn members(&self, task: usize, is_modern: bool) -> String {
        let Self { status, ttl, .. } = self;
        let id = id(task);
        let last = match is_modern {
            true => r#""ttlMs":null,"pollIntervalMs":10"#.to_owned(),
            false => format!(r#""ttl":{ttl},"pollInterval":10"#),
        };
        format!(r#""taskId":"{id}","status":"{status}","createdAt":"{WHEN}","lastUpdatedAt":"{WHEN}",{last}"#)
    }

    /// What a modern client is told when it asks.
    fn details(&self, task: usize) -> String {
        let more = match (&self.outcome, &self.wants) {
            (Some(Ok(result)), _) if self.status == "completed" => format!(r#","result":{result}"#),
            (Some(Err(error)), _) if self.status == "failed" => format!(r#","error":{error}"#),
            (None, Some(wants)) => format!(r#","inputRequests":{wants}"#),
            _ => String::new(),
        };
        self.members(task, true) + &more
    }
}

impl Server {
    /// A legacy client says which call shall be a task.
    pub(super) fn begin_task_if_asked(&self, ask: &mut Ask<'_>) {
        let Some(wish) = ask.params.task else { return };
        if self.script.tasks && !self.is_modern() && ask.method == "tools/call" && self.offers(ask) {
            let wish: serde_json::Value = serde_json::from_str(wish.get()).unwrap_or_default();
            let ttl = wish.get("ttl").map_or_else(|| "null".to_owned(), ToString::to_string);
            let task = self.begin_task(ttl);
            let members = lock(&self.tasks).get(task).map(|new| new.members(task, false)).unwrap_or_default();
            self.result(ask, &[r#"{"task":{"#, &members, "}}"]);
            ask.task = Some(task);
        }
    }

    /// A modern server says so itself, to a client that knows tasks.
    pub(super) fn begin_task_if_possible(&self, ask: &mut Ask<'_>) {
        if self.is_modern()
            && ask.task.is_none()
            && ask.client_can(&["extensions", "io.modelcontextprotocol/tasks"])
        {
            let task = self.begin_task("null".to_owned());
            let members = lock(&self.tasks).get(task).map(|new| new.members(task, true)).unwrap_or_default();
            self.result(ask, &[r#"{"resultType":"task","#, &members, "}"]);
            ask.task = Some(task);
        }
    }

    fn begin_task(&self, ttl: String) -> usize {
        let mut tasks = lock(&self.tasks);
        let status = "working".to_owned();
        tasks.push(Task { status, ttl, outcome: None, wants: None, waiting: Vec::new() });
        tasks.len() - 1
    }

    pub(super) fn knows_task(&self, name: &str) -> bool {
        self.place_of(name).is_some()
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        let place = name.strip_prefix("task-")?.parse::<usize>().ok()?.checked_sub(1)?;
        (place < lock(&self.tasks).len()).then_some(place)
    }

    /// The call's answer came.
    pub(super) fn settle(&self, task: usize, outcome: Result<String, String>) {
        let failed = match &outcome {
            Ok(result) => {
                let result: serde_json::Value = serde_json::from_str(result).unwrap_or_default();
                !self.is_modern() && result.get("isError") == Some(&true.into())
            }
            Err(_) => true,
        };
        let status = if failed { "failed" } else { "completed" };
        self.change(task, status, |it| it.outcome = Some(outcome));
    }

    /// The call cannot go on without this.
    pub(super) fn task_wants(&self, task: usize, requests: &str) {
        self.change(task, "input_required", |it| it.wants = Some(requests.to_owned()));
    }

    pub(super) fn task_status(&self, task: Option<usize>, status: &str) {
        let Some(task) = task.or_else(|| lock(&self.tasks).len().checked_sub(1)) else { return };
        self.change(task, status, |_| {});
        if !self.is_modern() {
            let members = lock(&self.tasks).get(task).map(|it| it.members(task, false)).unwrap_or_default();
            self.notify("notifications/tasks/status", &format!("{{{members}}}"));
        }
    }

    /// A task that is over stays as it is.
    fn change(&self, task: usize, status: &str, how: impl FnOnce(&mut Task)) {
        let mut tasks = lock(&self.tasks);
        let Some(it) = tasks.get_mut(task).filter(|it| !it.is_over()) else { return };
        status.clone_into(&mut it.status);
        how(it);
        let (details, is_over) = (it.details(task), it.is_over());
        let waiting = if is_over { std::mem::take(&mut it.waiting) } else { Vec::new() };
        for id in waiting {
            self.payload(&id, task, it);
        }
        drop(tasks);
        self.tell_of_task(&id(task), &details);
    }

    /// `tasks/…`.
    pub(super) fn about_tasks(&self, ask: &Ask<'_>) {
        let is_modern = self.is_modern();
        if ask.method == "tasks/list" && !is_modern {
            return self.list_tasks(ask);
        }
        let Some(task) = ask.name.as_deref().and_then(|name| self.place_of(name)) else {
            return self.error(ask, -32602, "no such task");
        };
        match ask.method.as_ref() {
            "tasks/get" => self.get_task(ask, task),
            "tasks/result" if !is_modern => self.task_result(ask, task),
            "tasks/cancel" => self.cancel_task(ask, task),
            "tasks/update" if is_modern => self.update_task(ask, task),
            _ => self.error(ask, -32601, "method not found"),
        }
    }

    fn list_tasks(&self, ask: &Ask<'_>) {
        let tasks = lock(&self.tasks);
        let all: Vec<String> =
            tasks.iter().enumerate().map(|(task, it)| format!("{{{}}}", it.members(task, false))).collect();
        drop(tasks);
        self.reply(ask, &[r#""tasks":["#, &all.join(","), "]"]);
    }

    fn get_task(&self, ask: &Ask<'_>, task: usize) {
        let said = lock(&self.tasks).get(task).map(|it| match self.is_modern() {
            true => it.details(task),
            false => it.members(task, false),
        });
        self.reply(ask, &[&said.unwrap_or_default()]);
    }

    /// Answers now, or when the task is over.
    fn task_result(&self, ask: &Ask<'_>, task: usize) {
        let (Some(id), mut tasks) = (ask.id, lock(&self.tasks)) else { return };
        match tasks.get_mut(task) {
            Some(it) if it.is_over() => self.payload(id, task, it),
            Some(it) => it.waiting.push(id.to_owned()),
            None => {}
        }
    }

    fn payload(&self, request: &str, task: usize, it: &Task) {
        match &it.outcome {
            Some(Ok(result)) if !result.contains("\"_meta\"") && result.starts_with('{') => {
                let rest = result.get(1..).unwrap_or_default();
                let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
                let meta = format!(r#"{{"_meta":{{"{RELATED}":{{"taskId":"{}"}}}}{comma}"#, id(task));
                self.result_to(request, &[&meta, rest]);
            }
            Some(Ok(result)) => self.result_to(request, &[result]),
            Some(Err(error)) => self.error_to(request, error),
            None => self.error_to(request, r#"{"code":-32603,"message":"the task has no result"}"#),
        }
        self.flush();
    }

    fn cancel_task(&self, ask: &Ask<'_>, task: usize) {
        let is_over = lock(&self.tasks).get(task).is_some_and(Task::is_over);
        match self.is_modern() {
            false if is_over => self.error(ask, -32602, "the task is over"),
            true => {
                self.change(task, "cancelled", |_| {});
                self.done(ask);
            }
            false => {
                self.change(task, "cancelled", |_| {});
                self.get_task(ask, task);
            }
        }
    }

    /// Gives a task what it wanted, and ends it with that.
    fn update_task(&self, ask: &Ask<'_>, task: usize) {
        self.done(ask);
        let wanted = lock(&self.tasks).get_mut(task).and_then(|it| it.wants.take());
        if wanted.is_some() {
            let brought = ask.params.input_responses.map_or("{}", RawValue::get);
            let content = format!(r#""content":[],"structuredContent":{{"inputResponses":{brought}}}"#);
            self.settle(task, Ok(format!(r#"{{"resultType":"complete",{content}}}"#)));
        }
    }
}
