//! What is asked of a client that takes requests: those of its servers, and the bridge's own in the name
//! of a server that cannot ask itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::downstream::connection::Connection;
use crate::downstream::question::Question;
use crate::session::outlet::Outlet;
use crate::wire::{Cut, Envelope, Frame, cancelled_id, progress_token, span_of, splice, task_of};

/// Tasks of the client that are remembered, and the longest token that is kept with one, in bytes.
const TASKS_MAX: usize = 1000;
const TASK_TOKEN_BYTES_MAX: usize = 4096;

/// What is answered in place of a client to a question that would cost it its session.
const UNREADABLE: &str = "the question is larger than the client can read";

/// The client's answer to a question of the bridge's own: the result or the error, in JSON.
pub type OwnAnswer = Result<Box<str>, Box<str>>;

/// The questions that one client has not answered yet, each under an id of the bridge's own.
#[derive(Debug)]
pub struct Asks {
    outlet: Arc<Outlet>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Whether the client takes requests at all.
    direct: bool,
    /// Ids are small: some clients keep them in 32 bits.
    last: u32,
    open: HashMap<u32, Asked>,
    /// Questions from before the client was ready for them: ids and frames.
    held: Vec<(u32, Frame)>,
    /// Tasks that the client gave in place of an answer, the newest last, and who asked.
    tasks: VecDeque<Given>,
    /// Pages that servers asked the client to open, the newest last: the connection's number, and the page's id.
    pages: VecDeque<(u64, Box<str>)>,
}

/// A task that the client gave.
#[derive(Debug)]
struct Given {
    id: String,
    asker: Weak<Connection>,
    /// The progress token as the client and as the server know it, in JSON.
    token: Option<(Box<str>, Box<str>)>,
}

impl Given {
    /// Whether the client tells progress of it under this token.
    fn shows(&self, token: &str) -> bool {
        self.token.as_ref().is_some_and(|(shown, _)| &**shown == token) && self.asker.strong_count() > 0
    }
}

#[derive(Debug)]
enum Asked {
    /// A server asks; with the progress token that the client sees, in JSON.
    Server(Question, Option<Box<str>>),
    /// The bridge asks.
    Own(oneshot::Sender<OwnAnswer>),
}

impl Asks {
    /// Nothing is asked; questions go to `outlet`.
    #[must_use]
    pub fn new(outlet: Arc<Outlet>) -> Self {
        Self { outlet, table: Mutex::default() }
    }

    /// Ids up to this one were used by another hub.
    pub fn count_on(&self, last: u32) {
        self.lock().last = last;
    }

    /// The client has opened a session in which it takes requests.
    pub fn open(&self) {
        self.lock().direct = true;
    }

    /// Whether the client takes requests.
    pub fn is_direct(&self) -> bool {
        self.lock().direct
    }

    /// The client is ready; what was held back is asked now.
    pub fn ready(&self) {
        let mut table = self.lock();
        let held = std::mem::take(&mut table.held);
        held.into_iter().for_each(|(_, frame)| self.outlet.answer(frame, None));
    }

    /// Asks what a server asks.
    pub fn ask(&self, question: Question) {
        let mut table = self.lock();
        let id = table.next();
        let taken = |token: &str| {
            let open = table.open.values();
            open.into_iter().any(|asked| matches!(asked, Asked::Server(_, Some(other)) if &**other == token))
                || table.tasks.iter().any(|given| given.shows(token))
        };
        // Two servers may count their tokens in the same way.
        let own = question.token().filter(|token| taken(token)).map(|_| format!("\"bridge-{id}\""));
        let token = own.as_deref().or(question.token()).map(Box::from);
        let frame = question.under(&id.to_string(), own.as_deref());
        if !self.outlet.can_take(&frame) {
            drop(table);
            return question.refuse(-32603, UNREADABLE);
        }
        if let Some(page) = page(&question) {
            table.pages.push_back((question.connection().number(), page));
            if table.pages.len() > TASKS_MAX {
                table.pages.pop_front();
            }
        }
        table.open.insert(id, Asked::Server(question, token));
        self.send(table, id, frame);
    }

    /// Whether a server asked this client, on the connection with this number, to open the page with this id.
    pub fn has_page(&self, connection: u64, id: &str) -> bool {
        self.lock().pages.iter().any(|(of, page)| *of == connection && **page == *id)
    }

    /// Asks for the bridge itself; `params` is JSON. Dropping what comes back takes the question back.
    pub fn ask_own(self: &Arc<Self>, method: &str, params: Option<&str>) -> OwnAsk {
        let (sender, answer) = oneshot::channel();
        let mut table = self.lock();
        let id = table.next();
        let params = params.map(|params| format!(r#","params":{params}"#)).unwrap_or_default();
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{}{params}}}"#, json!(method));
        let frame = Frame::own(line.into_bytes());
        if self.outlet.can_take(&frame) {
            table.open.insert(id, Asked::Own(sender));
            self.send(table, id, frame);
        } else {
            let error = json!({ "code": -32603, "message": UNREADABLE });
            // Who asked holds the other end.
            let _ = sender.send(Err(error.to_string().into()));
        }
        OwnAsk { asks: Arc::clone(self), id, answer }
    }

    fn send(&self, mut table: MutexGuard<'_, Table>, id: u32, frame: Frame) {
        // Under the lock: no question is taken back before it is asked.
        if self.outlet.is_open() {
            self.outlet.answer(frame, None);
        } else {
            table.held.push((id, frame));
        }
    }

    /// Hears an answer of the client.
    pub fn hear(&self, line: &Bytes, envelope: &Envelope<'_>) {
        #[derive(Deserialize)]
        struct Response<'a> {
            #[serde(borrow, default)]
            result: Option<&'a RawValue>,
        }
        let Some(raw) = envelope.id else { return };
        let asked = raw.get().parse().ok().and_then(|id: u32| self.lock().open.remove(&id));
        match asked {
            Some(Asked::Server(question, shown)) => {
                // Word of a task that it gave before is no new one.
                let given = envelope.result.as_ref().filter(|result| result.task.is_some());
                if let Some(id) = given.and_then(task_of) {
                    let own = question.token().filter(|own| own.len() <= TASK_TOKEN_BYTES_MAX);
                    let token = shown.zip(own.map(Box::from));
                    let given = Given { id, asker: Arc::downgrade(question.connection()), token };
                    let mut table = self.lock();
                    table.tasks.push_back(given);
                    if table.tasks.len() > TASKS_MAX {
                        table.tasks.pop_front();
                    }
                }
                question.answer(line, span_of(line, raw.get()).unwrap_or_default());
            }
            Some(Asked::Own(sender)) => {
                let response: Option<Response<'_>> = serde_json::from_slice(line).ok();
                let result = response.and_then(|response| response.result);
                let error = envelope.error.map_or("null", RawValue::get);
                // Whoever asked may have given up.
                let _ = sender.send(result.map(|result| result.get().into()).ok_or_else(|| error.into()));
            }
            None => tracing::debug!("answer without a request dropped"),
        }
    }

    /// The client's answer to a question cannot be read; there will be no other.
    pub fn spoil(&self, id: u64, why: &str) {
        let asked = u32::try_from(id).ok().and_then(|id| self.lock().open.remove(&id));
        let message = format!("the client's answer cannot be read: {why}");
        match asked {
            Some(Asked::Server(question, _)) => question.refuse(-32603, &message),
            Some(Asked::Own(sender)) => {
                let error = json!({ "code": -32603, "message": message }).to_string();
                // Whoever asked may have given up.
                let _ = sender.send(Err(error.into()));
            }
            None => {}
        }
    }

    /// Who asked for what became a task of the client.
    pub fn task(&self, id: &str) -> Option<Arc<Connection>> {
        let table = self.lock();
        table.tasks.iter().rfind(|given| given.id == id).and_then(|given| given.asker.upgrade())
    }

    /// Hears progress that the client makes with a server's question.
    pub fn hear_progress(&self, line: &Bytes, params: Option<&RawValue>) {
        let Some(token) = progress_token(params) else { return };
        let table = self.lock();
        let question = table.open.values().find_map(|asked| match asked {
            Asked::Server(question, Some(shown)) if &**shown == token => {
                Some((Arc::clone(question.connection()), question.token().unwrap_or(token)))
            }
            _ => None,
        });
        let of_task = || {
            let given = table.tasks.iter().rfind(|given| given.shows(token))?;
            Some((given.asker.upgrade()?, &*given.token.as_ref()?.1))
        };
        if let (Some((asker, own)), Some(span)) = (question.or_else(of_task), span_of(line, token)) {
            asker.say_frame(splice(line, &[Cut { span, text: own.as_bytes() }]));
        }
    }

    /// A server took back its question with this id, in JSON; `notification` is how it said so.
    pub fn taken_back(&self, connection: &Connection, id: &str, notification: &Bytes) {
        let taken = self.remove(|question| question.is_of(connection) && question.has_id(id));
        for (own, question, is_known) in taken {
            question.forget();
            if !is_known {
                continue;
            }
            let own = own.to_string();
            let envelope = Envelope::parse(notification).ok();
            let place = envelope.and_then(|envelope| span_of(notification, cancelled_id(envelope.params)?));
            if let Some(span) = place {
                self.outlet.answer(splice(notification, &[Cut { span, text: own.as_bytes() }]), None);
            }
        }
    }

    /// A connection ended: the client need not answer its questions any more.
    pub fn ended(&self, connection: &Connection) {
        for (own, question, is_known) in self.remove(|question| question.is_of(connection)) {
            question.forget();
            if is_known {
                self.outlet.answer(cancelled(own, "the server that asked has ended"), None);
            }
        }
    }

    /// The client has gone, and answers nothing any more.
    pub fn left(&self) {
        let open = std::mem::take(&mut self.lock().open);
        for asked in open.into_values() {
            if let Asked::Server(question, _) = asked {
                question.refuse(-32603, "the client has gone");
            }
        }
    }

    /// Takes questions out, each with its id, and whether the client has heard of it.
    fn remove(&self, is_it: impl Fn(&Question) -> bool) -> Vec<(u32, Question, bool)> {
        let mut table = self.lock();
        let ids: Vec<u32> = table
            .open
            .iter()
            .filter(|(_, asked)| matches!(asked, Asked::Server(question, _) if is_it(question)))
            .map(|(id, _)| *id)
            .collect();
        let taken = ids.into_iter().filter_map(|id| match table.open.remove(&id) {
            Some(Asked::Server(question, _)) => Some((id, question, !table.unhold(id))),
            _ => None,
        });
        taken.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next(&mut self) -> u32 {
        self.last = self.last % (i32::MAX as u32) + 1;
        self.last
    }

    /// Whether a question was held back; it is not any more.
    fn unhold(&mut self, id: u32) -> bool {
        let place = self.held.iter().position(|(held, _)| *held == id);
        place.map(|place| self.held.remove(place)).is_some()
    }
}

/// The id of the page that a question wants opened.
fn page(question: &Question) -> Option<Box<str>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        elicitation_id: String,
    }
    let params = question.params().filter(|_| question.method() == "elicitation/create")?;
    let page: Page = serde_json::from_str(params).ok()?;
    (page.elicitation_id.len() <= TASK_TOKEN_BYTES_MAX).then(|| page.elicitation_id.into())
}

fn cancelled(id: u32, reason: &str) -> Frame {
    let params = json!({ "requestId": id, "reason": reason });
    let line = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
    Frame::own(line.into_bytes())
}

/// A question of the bridge's own.
pub struct OwnAsk {
    asks: Arc<Asks>,
    id: u32,
    answer: oneshot::Receiver<OwnAnswer>,
}

impl OwnAsk {
    /// Waits for the client's answer, as long as a person takes.
    pub async fn answer(mut self) -> OwnAnswer {
        (&mut self.answer).await.unwrap_or_else(|_| Err("null".into()))
    }
}

impl Drop for OwnAsk {
    fn drop(&mut self) {
        let is_known = {
            let mut table = self.asks.lock();
            table.open.remove(&self.id).is_some() && !table.unhold(self.id)
        };
        if is_known {
            self.asks.outlet.answer(cancelled(self.id, "the request it was asked for has ended"), None);
        }
    }
}
