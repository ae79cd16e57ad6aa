//! `bridge_result`: waits for a call that was handed off, and gives its result byte for byte.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::guard::{self, CalledOff, Guarded};
use crate::list::List;
use crate::names::RESULT_TOOL;
use crate::outcome::{Cause, Outcome};
use crate::router::Call;
use crate::session::handoff::kept::under;
use crate::session::handoff::{About, CANCELLED, Kept, Waits};
use crate::session::pending::Asking;
use crate::session::reply::{Rpc, code};
use crate::session::request::Request;
use crate::session::row::{Row, kept};
use crate::session::teller::{End, Teller};
use crate::session::{Client, Rules};
use crate::store::ids::CallId;
use crate::wire::object;

/// What a client wants of which call.
struct Wish {
    call: Option<CallId>,
    cancels: bool,
    /// The call as it was written, or its beginning, for words about it.
    written: String,
}

impl Wish {
    fn of(call: &Call) -> Self {
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow, default)]
            arguments: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Arguments {
            #[serde(default)]
            call: Value,
            #[serde(default)]
            cancel: Value,
        }
        let params = call.params.clone().and_then(|span| call.line.get(span));
        let params: Option<Params<'_>> = params.and_then(|params| serde_json::from_slice(params).ok());
        let arguments: Option<Arguments> = params.and_then(|params| params.arguments).and_then(object);
        let (call, cancel) =
            arguments.map(|arguments| (arguments.call, arguments.cancel)).unwrap_or_default();
        // Models write a number without its quotes, too.
        let written = call.as_str().map_or_else(|| call.to_string(), str::to_owned);
        let call = CallId::parse(&written);
        Self { call, cancels: cancel == Value::Bool(true), written: kept(&written).to_owned() }
    }
}

/// While a request waits for a call, what its server says of the call is said of the request.
struct Following<'a> {
    about: About,
    asking: &'a Arc<Asking>,
}

impl<'a> Following<'a> {
    fn new(about: About, asking: &'a Arc<Asking>, token: Option<Box<str>>) -> Self {
        about.asking.follow(asking, token);
        Self { about, asking }
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.about.asking.unfollow(self.asking);
    }
}

/// Answers a call of `bridge_result`. Taking it back does not take back the call that it waits for.
pub async fn fetch(client: Arc<Client>, request: Request) {
    let Request { call, rules, place, permit, .. } = request;
    let row = Row::new(&client, rules, &place, &call);
    let asking = Arc::clone(place.asking());
    let mut waits = Waits { place: Some(place), permit };
    let Some(routed) = client.router.route(List::Tools, RESULT_TOOL).await else {
        let rpc = Rpc::new(code::INTERNAL, "unavailable", "the bridge does not offer its own tools");
        let end = End::rejected(&rpc, waits.id());
        return client.tell(end, Some(row), waits);
    };
    let own_id = waits.id().to_owned();
    let teller = Teller {
        routed: &routed,
        shown: RESULT_TOOL,
        id: &own_id,
        number: Some(row.begun.call),
        era: rules.era,
        line_bytes_max: rules.limits.line_bytes_max,
        cacheable: false,
        connection: None,
        tenant: &call.tenant,
    };
    let work = guard::run(|| client.fetched(&call, rules, &asking, &teller), asking.called_off());
    let (guarded, _) = client.ended(work, &row, rules.era, None, &mut waits).await;
    let end = match guarded {
        Guarded::Done(end) => end,
        Guarded::Panicked(text) => teller.end(Guarded::Panicked(text)),
        Guarded::CalledOff(why) => teller.end(Guarded::CalledOff(why)),
    };
    client.tell(end, Some(row), waits);
}

impl Client {
    /// What comes of a call, within the time that the client waits. To give it is all that was asked of the
    /// bridge's own tool: its row is `ok`, whatever the call came to.
    async fn fetched(&self, request: &Call, rules: Rules, asking: &Arc<Asking>, teller: &Teller<'_>) -> End {
        let wish = Wish::of(request);
        let found = wish.call.and_then(|call| self.handed_off.about(call, &request.tenant));
        let (Some(call), Some(about)) = (wish.call, found) else { return unknown(&wish, teller) };
        if wish.cancels {
            about.called_off_by.call_off(CalledOff::ByClient);
        }
        let kept = {
            let following = Following::new(about, asking, request.token.clone());
            let kept = self.handed_off.kept(call);
            match rules.limits.handoff_after {
                None => kept.await,
                Some(after) => match tokio::time::timeout(after, kept).await {
                    Ok(kept) => kept,
                    Err(_) => {
                        let frame = following.about.still_runs(teller.id, rules.era, false);
                        return End { outcome: Outcome::Ok, cause: None, frame: Some(frame) };
                    }
                },
            }
        };
        match kept {
            Some(Kept::Answer(line, span)) => {
                End { outcome: Outcome::Ok, cause: None, frame: Some(under(&line, &span, teller.id)) }
            }
            // Its server hears of it when it is dropped.
            Some(Kept::Asks(_)) if wish.cancels => {
                teller.failure(Outcome::Cancelled, None, CANCELLED.to_owned())
            }
            Some(Kept::Asks(parked)) => self.asks_along(parked, teller.id, rules),
            None => unknown(&wish, teller),
        }
    }
}

fn unknown(wish: &Wish, teller: &Teller<'_>) -> End {
    let text = match wish.written.as_str() {
        "null" => format!(
            "{RESULT_TOOL} wants the number of a call, as the word that it still runs has it: {{\"call\":\"…\"}}."
        ),
        written => format!(
            "No result of a call {written:?} is kept here: there was none that was answered with the word that it \
             still runs, or its result came more than 10 minutes ago."
        ),
    };
    teller.failure(Outcome::Rejected, Some(Cause::Expired), text)
}
