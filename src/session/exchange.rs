//! One request and its server, from the sending to the answer: through deadlines, restarts, and the
//! questions that the server has in between.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::downstream::connection::in_flight::InFlight;
use crate::downstream::connection::{Answer, Connection, Lost};
use crate::downstream::question::{self, Question};
use crate::downstream::relay::Hears;
use crate::downstream::{Ending, NotReady};
use crate::era::Era;
use crate::list::List;
use crate::policy::retry::{Retry, Sent};
use crate::router::{Call, Fault, Routed};
use crate::session::Client;
use crate::session::pending::Asking;
use crate::wire::{members, object, result_of};

/// A server that asks more often than this in the course of one request does not come to an end.
const ROUNDS_MAX: u32 = 100;

/// A request whose connection is ended before it was sent goes to so many others.
const PLACES_MAX: u32 = 3;

/// A server that asks nothing and wants to be asked again later is left alone for this long at first.
const PAUSE: Duration = Duration::from_millis(100);

/// And for this long at last.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// One request and its server.
pub struct Exchange {
    /// Where it goes.
    pub routed: Routed,
    /// What goes there.
    pub call: Call,
    /// The request as its client knows it.
    pub asking: Arc<Asking>,
    /// The longest that the server may take between two signs of life; `None` is for ever.
    pub limit: Option<Duration>,
    /// Whether it only reads, and may be sent again when nobody knows whether it was read.
    pub reads: bool,
    in_flight: Option<InFlight>,
    /// Where it went last.
    pub connection: Option<Arc<Connection>>,
    sent_again: bool,
    rounds: u32,
    paused: Duration,
}

/// How far an exchange has come.
pub enum Turn {
    /// The server's answer.
    Answer(Answer),
    /// The server asks the client something before it answers.
    Asked(VecDeque<Question>),
    /// There is no answer of the server's own.
    Fault(Fault),
}

impl Exchange {
    /// A request that was not sent yet.
    #[must_use]
    pub fn new(routed: Routed, call: Call, asking: Arc<Asking>) -> Self {
        let limit = Some(routed.link().call_timeout);
        Self {
            routed,
            call,
            asking,
            limit,
            reads: false,
            in_flight: None,
            connection: None,
            sent_again: false,
            rounds: 0,
            paused: Duration::ZERO,
        }
    }

    /// Goes to another server from now on.
    pub fn turn_to(&mut self, routed: Routed) {
        self.in_flight = None;
        self.limit = self.limit.map(|_| routed.link().call_timeout);
        self.routed = routed;
        self.connection = None;
        self.sent_again = false;
    }

    /// Whether the client was asked something in its course: what it answered is for that server alone.
    #[must_use]
    pub fn has_asked(&self) -> bool {
        self.rounds > 0
    }

    /// Goes on to the answer, or to the server's next questions. What was certainly not written is sent
    /// once more, and so is what only reads (faults.md, "Retry").
    pub async fn turn(&mut self, client: &Client) -> Turn {
        loop {
            let in_flight = match &mut self.in_flight {
                Some(in_flight) => in_flight,
                None => match self.send(client).await {
                    Ok(in_flight) => self.in_flight.insert(in_flight),
                    Err(fault) => return Turn::Fault(fault),
                },
            };
            let late = async {
                let Some(limit) = self.limit else { return std::future::pending().await };
                client.router.pulse.passed().await;
                let rest = limit.saturating_sub(client.router.pulse.after());
                match &self.connection {
                    Some(connection) => connection.waited_for_nobody(rest, self.call.tenant.client).await,
                    None => tokio::time::sleep(rest).await,
                }
                limit
            };
            let reply = tokio::select! {
                biased;
                reply = in_flight.answer() => reply,
                questions = self.asking.questions() => return Turn::Asked(questions),
                after = late => {
                    self.in_flight = None;
                    if let Some(connection) = &self.connection {
                        connection.missed_deadline(self.call.tenant.client);
                    }
                    self.log_late(after);
                    return Turn::Fault(Fault::TimedOut { after });
                }
            };
            self.in_flight = None;
            let fault = match reply {
                Ok(answer) if answer.is_input_required && self.is_bent() => {
                    match self.ask_client(client, &answer).await {
                        Ok(()) => continue,
                        Err(fault) => fault,
                    }
                }
                Ok(answer) => return Turn::Answer(answer),
                Err(Lost::TooLarge { bytes }) => Fault::TooLarge { bytes },
                Err(Lost::Ended { written, ending }) => match self.send_again(written, ending, client) {
                    None => continue,
                    Some(fault) => fault,
                },
            };
            return Turn::Fault(fault);
        }
    }

    fn log_late(&self, after: Duration) {
        let (session, thread) = self.call.tenant.logged();
        let (server, name) = (self.routed.pool().name(), &*self.routed.name);
        tracing::warn!(%server, name, session, thread, elapsed_ms = after.as_millis(), "no answer in time");
    }

    /// Whether an older client stands before a modern server.
    fn is_bent(&self) -> bool {
        let server = self.connection.as_ref().map(|connection| connection.era());
        (self.call.era, server) == (Era::Legacy, Some(Era::Modern))
    }

    async fn send(&mut self, client: &Client) -> Result<InFlight, Fault> {
        let wish = self.routed.wish(&self.call);
        let mut again = 0..PLACES_MAX;
        let in_flight = loop {
            let pool = client.router.pool(&self.routed)?;
            let taken = match pool.lease(&wish).await {
                Ok(taken) => taken,
                // Its server was replaced while the request waited for a connection.
                Err(_) if pool.farewell().is_some() && again.next().is_some() => continue,
                Err(not_ready) => return Err(Fault::NotReady(not_ready)),
            };
            if let Some(level) = self.asking.log_level() {
                client.tell_level(taken.link(), level).await;
            }
            let held = match taken.slot(&wish).await {
                Ok(slot) => (taken, slot),
                // It ended before the request had its place, and another takes its place.
                Err(_) if taken.is_over() && again.next().is_some() => continue,
                Err(not_ready) => return Err(Fault::NotReady(not_ready)),
            };
            match client.router.send(&self.routed, &self.call, held).await {
                // It was replaced before anybody knew what it offers.
                Err(Fault::NotReady(_))
                    if self.routed.pool().farewell().is_some() && again.next().is_some() => {}
                sent => break sent?,
            }
        };
        self.connection = Some(Arc::clone(in_flight.connection()));
        Ok(in_flight)
    }

    fn send_again(&mut self, written: bool, ending: Arc<Ending>, client: &Client) -> Option<Fault> {
        let reads = self.reads || self.may_be_repeated(client);
        match (Sent { written, reads, again: self.sent_again }).retry() {
            Retry::Again => {
                self.sent_again = true;
                None
            }
            Retry::NotSent => Some(Fault::NotReady(NotReady::of(ending))),
            Retry::Unknown => Some(Fault::Ended(ending)),
        }
    }

    /// Whether it is done again although the hub died in which a server may have done it; then for the last time.
    pub async fn outlives_crash(&mut self, client: &Client) -> bool {
        self.sent_again = true;
        // A hub that has just started knows its tools when it has read them.
        client.router.offers.loaded().await;
        let reads = self.reads || self.may_be_repeated(client);
        Sent { written: true, reads, again: false }.retry() == Retry::Again
    }

    /// Whether it calls a tool that may be called twice, by the word of a server that is believed.
    fn may_be_repeated(&self, client: &Client) -> bool {
        self.routed.pool().terms.trust_annotations
            && self.call.is_call
            && client
                .router
                .offers
                .view()
                .catalog
                .find(List::Tools, &self.call.shown)
                .is_some_and(|shown| shown.server == self.routed.server && shown.may_be_repeated())
    }

    /// Asks a client that takes requests what a modern server wants to know, and prepares the retry
    /// (specification 2026-07-28, "Multi Round-Trip Requests").
    async fn ask_client(&mut self, client: &Client, answer: &Answer) -> Result<(), Fault> {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            return Err(Fault::Endless);
        }
        let wanted = Wanted::parse(&answer.line).unwrap_or_default();
        let questions = wanted.requests.and_then(members).unwrap_or_default();
        let questions: Vec<_> = questions
            .into_iter()
            .filter_map(|(key, request)| Some((key, object::<InputRequest<'_>>(request)?)))
            .collect();
        // All or none of them can be asked.
        let capabilities = client.face.borrow().capabilities.clone();
        for (_, request) in &questions {
            // What the client's side of the protocol does not know at all, it cannot be asked.
            let needs = question::needs(&request.method, request.params.map(RawValue::get));
            is_able(&capabilities, needs.ok_or_else(|| Fault::NotAble { needed: "{}".to_owned() })?)?;
        }
        if questions.is_empty() {
            self.pause().await?;
        }
        let asks = questions.into_iter().map(|(key, request)| {
            let params = request.params.map(RawValue::get);
            let params = params.map(|params| with_elicitation_id(&request.method, params));
            let asked = client.unasked.asks.ask_own(&request.method, params.as_deref());
            async move {
                let result = asked.answer().await.map_err(Fault::Declined)?;
                Ok(format!("{}:{result}", Value::from(&*key)))
            }
        });
        // The first error ends the call, and takes the other questions back.
        let responses: Vec<String> = try_join_all(asks).await?;
        let mut more = Vec::new();
        if !responses.is_empty() {
            more.push(format!(r#""inputResponses":{{{}}}"#, responses.join(",")));
        }
        more.extend(wanted.state.map(|state| format!(r#""requestState":{state}"#)));
        self.call.more = Some(more.join(",")).filter(|more| !more.is_empty());
        Ok(())
    }

    /// Leaves the server alone for a while; all of it may take as long as an answer.
    async fn pause(&mut self) -> Result<(), Fault> {
        if self.limit.is_some_and(|limit| self.paused >= limit) {
            return Err(Fault::Endless);
        }
        let pause = PAUSE.saturating_mul(1 << self.rounds.min(10)).min(PAUSE_MAX);
        self.paused += pause;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // The server is told first that the request is taken back, if it is.
        self.in_flight = None;
        self.asking.close();
    }
}

/// What a server wants to know before it goes on.
#[derive(Default, Deserialize)]
struct Wanted<'a> {
    #[serde(borrow, default, rename = "inputRequests")]
    requests: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestState")]
    state: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct InputRequest<'a> {
    method: String,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl<'a> Wanted<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        object(result_of(line)?)
    }
}

/// The params of a question in the older form: there a page that is opened has an id, which revision
/// 2026-07-28 has given up.
fn with_elicitation_id<'a>(method: &str, params: &'a str) -> Cow<'a, str> {
    let is_url = question::needs(method, Some(params)) == Some(&["elicitation", "url"]);
    let has_id =
        serde_json::from_str::<Value>(params).is_ok_and(|params| params.get("elicitationId").is_some());
    match params.strip_prefix('{') {
        Some(rest) if is_url && !has_id => {
            Cow::Owned(format!(r#"{{"elicitationId":"bridge-{:032x}",{rest}"#, fastrand::u128(..)))
        }
        _ => Cow::Borrowed(params),
    }
}

/// Whether a client that can do this can answer a question that needs that.
///
/// # Errors
/// When it cannot.
pub fn is_able(capabilities: &str, needs: &[&str]) -> Result<(), Fault> {
    let capabilities: Value = serde_json::from_str(capabilities).unwrap_or_default();
    let place = needs.iter().try_fold(&capabilities, |place, need| place.get(need));
    let able = match (needs, place) {
        (_, None | Some(Value::Null)) => false,
        // A client that names only the other mode has no forms.
        (["elicitation"], Some(Value::Object(modes))) => modes.is_empty() || modes.contains_key("form"),
        _ => true,
    };
    if able {
        return Ok(());
    }
    let needed =
        needs.iter().rev().fold(String::from("{}"), |inner, need| format!(r#"{{"{need}":{inner}}}"#));
    Err(Fault::NotAble { needed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(capabilities: &str, needs: &[&str], expected: Option<&str>) {
        let needed = match is_able(capabilities, needs) {
            Err(Fault::NotAble { needed }) => Some(needed),
            _ => None,
        };
        assert_eq!(needed.as_deref(), expected);
    }

    #[test]
    fn a_page_to_open_gets_an_id_in_the_older_form() {
        let form = r#"{"message":"m","requestedSchema":{}}"#;
        assert_eq!(with_elicitation_id("elicitation/create", form), form);
        let page = r#"{"mode":"url","url":"https://x"}"#;
        let with_id = with_elicitation_id("elicitation/create", page);
        assert!(with_id.starts_with(r#"{"elicitationId":"bridge-"#) && with_id.ends_with(&page[1..]));
        assert_eq!(with_elicitation_id("elicitation/create", &with_id), with_id);
    }

    #[test]
    fn a_client_is_able_to_what_it_says() {
        check("{}", &["sampling"], Some(r#"{"sampling":{}}"#));
        check(r#"{"sampling":{}}"#, &["sampling"], None);
        check(r#"{"elicitation":{}}"#, &["elicitation"], None);
        check(r#"{"elicitation":{"url":{}}}"#, &["elicitation"], Some(r#"{"elicitation":{}}"#));
        check(r#"{"elicitation":{"url":{}}}"#, &["elicitation", "url"], None);
        check(r#"{"elicitation":{}}"#, &["elicitation", "url"], Some(r#"{"elicitation":{"url":{}}}"#));
        check("no json", &["roots"], Some(r#"{"roots":{}}"#));
    }
}
