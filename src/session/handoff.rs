//! Calls whose client would not wait for the answer. It is answered that the call still runs, which then
//! ends in the background; `bridge_result` has its result for a while ([`fetch`]).

mod fetch;
mod kept;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::catalog::Shown;
use crate::downstream::pool::key::Tenant;
use crate::era::Era;
use crate::guard::Guarded;
use crate::list::List;
use crate::names::RESULT_TOOL;
use crate::outcome::Outcome;
use crate::router::Fault;
use crate::session::call::{Came, Telling, Way};
use crate::session::handoff::kept::Running;
use crate::session::parked::Parked;
use crate::session::pending::{Asking, Place};
use crate::session::reply::{self, Failure};
use crate::session::request::Thing;
use crate::session::row::Row;
use crate::session::teller::End;
use crate::session::{Client, Permit, Rules};
use crate::store::ids::{CallId, SessionId};
use crate::store::rows::CallFinished;
use crate::wire::Frame;

pub use fetch::fetch;
pub use kept::{HandedOff, Kept};

/// The id in the line of a result that nobody waits for yet.
const NO_ID: &str = "0";

/// What is told of a call that its client took back by `bridge_result`.
const CANCELLED: &str = "The call was cancelled, as was asked; whether it took effect is not known.";

/// The client's end of a request.
pub struct Waits {
    /// Its place; none when it has an answer.
    pub place: Option<Place>,
    /// The room that it takes.
    pub permit: Permit,
}

impl Waits {
    /// The id that the answer carries.
    pub fn id(&self) -> &str {
        self.place.as_ref().map_or(NO_ID, Place::id)
    }
}

/// A call that may be handed off.
#[derive(Debug)]
pub struct Patience {
    /// After this, counted from the request.
    after: Duration,
    about: About,
    /// What is kept of the request while it runs, in bytes.
    bytes: usize,
    /// The tool as its client calls it.
    shown: String,
}

/// What is told of a call that runs on.
#[derive(Debug, Clone)]
pub struct About {
    call: CallId,
    session: SessionId,
    /// Whose it is: nobody else gets its result.
    tenant: Tenant,
    server: Option<Arc<str>>,
    tool: Arc<str>,
    started: Instant,
    /// What hears its server.
    asking: Arc<Asking>,
    /// What calls it off; another request when the client has come back with answers.
    called_off_by: Arc<Asking>,
}

impl About {
    /// The result in place of the result: what a model can do about it.
    ///
    /// A client that knows an output schema fails on a result without a structured one, except an error:
    /// the TypeScript SDK throws in `callTool`, the Python SDK in `call_tool`, both in 1.x and 2.x. The word
    /// has to reach the model, so there `is_error` is the lesser lie.
    fn still_runs(&self, id: &str, era: Era, is_error: bool) -> Frame {
        let (call, tool) = (self.call.to_string(), &self.tool);
        let elapsed = self.started.elapsed();
        let arguments = json!({ "call": call });
        let text = format!(
            "After {} s the call of {tool:?} still runs, or waits for its turn, as call {call}: call {RESULT_TOOL} \
             with {arguments} to get its result.",
            elapsed.as_secs()
        );
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let server = self.server.as_deref();
        let handoff = json!({ "call": call, "server": server, "tool": tool, "elapsedMs": elapsed_ms });
        let mut result = json!({
            "content": [{ "type": "text", "text": text }],
            "isError": is_error,
            "_meta": { "bridge/handoff": handoff },
        });
        if let (Era::Modern, Some(object)) = (era, result.as_object_mut()) {
            object.insert("resultType".into(), Value::from("complete"));
        }
        reply::result(id, &result.to_string())
    }
}

impl Client {
    /// When a call is handed off, if ever.
    pub(super) fn patience(
        row: &Row,
        way: &Way,
        rules: Rules,
        called_off_by: &Arc<Asking>,
    ) -> Option<Patience> {
        let after = rules.limits.handoff_after?;
        let (begun, call) = (&row.begun, &way.exchange.call);
        let about = About {
            call: begun.call,
            session: begun.session,
            tenant: call.tenant.clone(),
            server: begun.server.clone(),
            tool: Arc::clone(&begun.tool),
            started: row.started,
            asking: Arc::clone(&way.exchange.asking),
            called_off_by: Arc::clone(called_off_by),
        };
        Some(Patience { after, about, bytes: call.line.len(), shown: call.shown.clone() })
    }

    /// Waits for a call to end. One that is not quick gets a row while it runs, and one that runs longer than
    /// its client waits is handed off.
    pub(super) async fn ended<T>(
        &self,
        work: impl Future<Output = T>,
        row: &Row,
        era: Era,
        patience: Option<Patience>,
        waits: &mut Waits,
    ) -> (T, Option<Running>) {
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return (done, None),
            // A quicker call is written once, whole.
            () = self.router.pulse.passed() => self.journal.begin(row.begun.clone()),
        }
        let handed_off = async {
            match &patience {
                Some(patience) => self.hand_off(patience, era, waits).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = &mut work => (done, None),
            running = handed_off => (work.await, Some(running)),
        }
    }

    /// Answers in place of a call that runs on; never, when too many do so already.
    async fn hand_off(&self, patience: &Patience, era: Era, waits: &mut Waits) -> Running {
        let about = &patience.about;
        tokio::time::sleep_until((about.started + patience.after).into()).await;
        let Some(running) = self.handed_off.enter(about.clone(), patience.bytes) else {
            tracing::warn!(call = %about.call, session = %about.session, "too many calls run on already, this one is not handed off");
            return std::future::pending().await;
        };
        // It is in the record before anybody hears of it.
        self.journal.flush().await;
        tracing::info!(
            call = %about.call,
            session = %about.session,
            server = about.server.as_deref(),
            tool = %about.tool,
            elapsed_ms = about.started.elapsed().as_millis(),
            "call handed off"
        );
        // Nothing may be said of a request that is answered.
        about.asking.park();
        let view = self.router.offers.view();
        let shown = view.catalog.find(List::Tools, &patience.shown);
        let is_error = shown.is_some_and(Shown::has_output_schema);
        let frame = about.still_runs(waits.id(), era, is_error);
        self.outlet.answer(frame, waits.permit.take());
        waits.place = None;
        running
    }

    /// The end of a call that was handed off: its row, and what is kept of it.
    pub(super) async fn arrives(
        &self,
        running: Running,
        row: Row,
        guarded: Guarded<Result<Came, Fault>>,
        way: Way,
        telling: &Telling<'_>,
    ) {
        let (row, kept) = self.end_of(row, guarded, way, telling);
        let committed = self.journal.finish(vec![row]);
        running.has_ended();
        // What the client hears of is in the record.
        committed.await;
        let call = running.keep(kept);
        self.handed_off.expire(call).await;
    }

    fn end_of(
        &self,
        row: Row,
        guarded: Guarded<Result<Came, Fault>>,
        way: Way,
        telling: &Telling<'_>,
    ) -> (CallFinished, Kept) {
        if let Guarded::Done(Ok(Came::Asked(questions))) = guarded {
            // The next `bridge_result` carries them, and with its answers the call goes on.
            let parked = Parked::new(way.exchange, questions, "tools/call", &Thing::Tool(RESULT_TOOL.into()));
            let end = End { outcome: Outcome::Ok, cause: None, frame: None };
            return (row.finished(&end), Kept::Asks(Box::new(parked)));
        }
        let end = self.end(guarded, way, telling);
        let (begun, row) = (row.begun.clone(), row.finished(&end));
        let frame = end.frame.unwrap_or_else(|| {
            let failure = Failure {
                outcome: Outcome::Cancelled,
                cause: None,
                text: CANCELLED.to_owned(),
                server: begun.server.as_deref(),
                tool: &begun.tool,
                call: begun.call.to_string(),
                retryable: false,
                retry_after: None,
                ending: None,
                bytes: None,
            };
            failure.frame(NO_ID, telling.rules.era)
        });
        (row, Kept::of(&frame))
    }
}
