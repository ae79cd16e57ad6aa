//! One request from its line to its one answer, and to its one row when it calls a tool.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::downstream::connection::{Answer, Verdict};
use crate::downstream::question::Question;
use crate::guard::{self, CalledOff, Guarded};
use crate::outcome::Outcome;
use crate::router::{Call, Fault, Routed};
use crate::session::exchange::{Exchange, Turn, is_able};
use crate::session::handoff::Waits;
use crate::session::parked::Parked;
use crate::session::pending::Asking;
use crate::session::reply::{self, Rpc, code};
use crate::session::request::{ComesBack, Request, Thing, reads};
use crate::session::row::Row;
use crate::session::settle::Settled;
use crate::session::teller::{self, End, Teller};
use crate::session::ticket::Comes;
use crate::session::{Client, Rules};
use crate::store::ids::CallId;

/// What stands around a server's questions in an answer has at most so many bytes.
const AROUND_REQUESTS_BYTES: usize = 256;

/// Runs a request to its end, whatever that is. Only a call of a tool has a row.
pub async fn run(client: Arc<Client>, request: Request) {
    let Request { call, method, thing, rules, capabilities, comes_back, place, permit } = request;
    let mut row = (*method == *"tools/call").then(|| Row::new(&client, rules, &place, &call));
    let begun = match comes_back {
        Some(back) => client.comes_back(&call, &back, (&method, &thing), place.asking(), capabilities),
        None => client.find(&method, &thing).await.map(|places| {
            let mut places = places.into_iter();
            let first = places.next().map(|routed| {
                let mut exchange = Exchange::new(routed, call, Arc::clone(place.asking()));
                exchange.reads = reads(&method);
                // It comes when the task is over, whenever that is.
                exchange.limit = exchange.limit.filter(|_| *method != *"tasks/result");
                exchange
            });
            first.map(|exchange| Begun::Way(Box::new(Way::new(exchange, places, capabilities))))
        }),
    };
    let asking = Arc::clone(place.asking());
    let mut waits = Waits { place: Some(place), permit };
    let end = match begun {
        Err(rpc) => End::rejected(&rpc, waits.id()),
        Ok(None) => End::rejected(&Rpc::new(code::INTERNAL, "unavailable", "no way leads there"), waits.id()),
        Ok(Some(Begun::StillAsked(parked))) => {
            if let Some(row) = &mut row {
                row.route(&parked.exchange.routed);
            }
            client.asks_along(parked, waits.id(), rules)
        }
        Ok(Some(Begun::Way(mut way))) => {
            if let Some(row) = &mut row {
                row.route(&way.exchange.routed);
            }
            if let Some(server) = &way.exchange.routed.server {
                client.sessions.uses(rules.session, server);
            }
            let patience = row.as_ref().and_then(|row| Client::patience(row, &way, rules, &asking));
            let work = async {
                match asking.comes() {
                    // It is only told what became of it.
                    Comes::Ended(why) => Guarded::CalledOff(why),
                    Comes::Lost if !way.exchange.outlives_crash(&client).await => {
                        Guarded::CalledOff(CalledOff::ByCrash)
                    }
                    _ => guard::run(|| way.go(&client), asking.called_off()).await,
                }
            };
            let (guarded, running) = match &row {
                None => (work.await, None),
                Some(row) => client.ended(work, row, rules.era, patience, &mut waits).await,
            };
            let number = row.as_ref().map(|row| row.begun.call);
            let telling = Telling { method: &method, thing: &thing, id: waits.id(), number, rules };
            if let Some(running) = running
                && let Some(row) = row
            {
                let arrives = client.arrives(running, row, guarded, *way, &telling);
                return guard::log_panic("call handed off", "session", arrives).await;
            }
            client.end(guarded, *way, &telling)
        }
    };
    client.tell(end, row, waits);
}

/// How a request begins.
enum Begun {
    /// It goes to its server.
    Way(Box<Way>),
    /// The client did not answer all that it was asked.
    StillAsked(Box<Parked>),
}

/// A request on its way.
pub(super) struct Way {
    /// The request and its server.
    pub(super) exchange: Exchange,
    /// Where else it can go, when nobody could tell who has what it names.
    elsewhere: std::vec::IntoIter<Routed>,
    /// The first no, which is the answer when everybody says no.
    first_no: Option<Answer>,
    /// What the client can answer in its course.
    capabilities: Box<str>,
}

/// Where a request came to.
pub(super) enum Came {
    /// To its server's answer.
    Answer(Answer),
    /// To a question that its client has to answer first.
    Asked(VecDeque<Question>),
}

impl Way {
    fn new(exchange: Exchange, elsewhere: std::vec::IntoIter<Routed>, capabilities: Box<str>) -> Self {
        Self { exchange, elsewhere, first_no: None, capabilities }
    }

    async fn go(&mut self, client: &Client) -> Result<Came, Fault> {
        loop {
            let no = match self.exchange.turn(client).await {
                Turn::Answer(answer) if answer.verdict == Verdict::RpcError => Ok(answer),
                Turn::Answer(answer) => return Ok(Came::Answer(answer)),
                Turn::Asked(questions) => {
                    for needs in questions.iter().filter_map(Question::needs) {
                        is_able(&self.capabilities, needs)?;
                    }
                    return Ok(Came::Asked(questions));
                }
                Turn::Fault(fault) => Err(fault),
            };
            // What may have been done somewhere, and what the client was asked for, goes nowhere else.
            let may_go_on = match &no {
                _ if self.exchange.has_asked() => false,
                Ok(_) | Err(Fault::NotReady(_) | Fault::Unknown | Fault::Off(_)) => true,
                Err(_) => self.exchange.reads,
            };
            let next = if may_go_on { self.elsewhere.next() } else { None };
            match (next, no) {
                (Some(next), no) => {
                    self.first_no = self.first_no.take().or(no.ok());
                    self.exchange.turn_to(next);
                }
                (None, no) => return self.first_no.take().map_or(no, Ok).map(Came::Answer),
            }
        }
    }
}

/// What is told of a request, whatever becomes of it.
pub(super) struct Telling<'a> {
    method: &'a str,
    thing: &'a Thing,
    id: &'a str,
    number: Option<CallId>,
    /// In which session and by which rules it is answered.
    pub(super) rules: Rules,
}

impl Client {
    /// Gives its answer to a request, and commits its row before, if it has one.
    pub(super) fn tell(&self, end: End, row: Option<Row>, waits: Waits) {
        match row {
            Some(row) => {
                let row = row.finished(&end);
                self.settling.settle(Settled { row, frame: end.frame, permit: waits.permit });
            }
            None => {
                if let Some(frame) = end.frame {
                    self.outlet.answer(frame, waits.permit);
                }
            }
        }
        // Only now: who waits for the last request waits for its answer.
        drop(waits.place);
    }

    /// A client comes back with its answers; the request goes on when it has all of them.
    fn comes_back(
        &self,
        call: &Call,
        back: &ComesBack,
        (method, thing): (&str, &Thing),
        asking: &Arc<Asking>,
        capabilities: Box<str>,
    ) -> Result<Option<Begun>, Rpc> {
        let Some(mut parked) = self.parking.take(&back.state, method, thing) else {
            return Err(teller::not_asked());
        };
        let all = parked.answer(back.responses.as_deref());
        parked.exchange.asking.follow(asking, call.token.clone());
        Ok(Some(match all {
            true => Begun::Way(Box::new(Way::new(parked.exchange, Vec::new().into_iter(), capabilities))),
            false => Begun::StillAsked(Box::new(parked)),
        }))
    }

    /// The end of a request that was under way.
    pub(super) fn end(&self, guarded: Guarded<Result<Came, Fault>>, way: Way, telling: &Telling<'_>) -> End {
        let rules = telling.rules;
        let guarded = match guarded {
            Guarded::Done(Ok(Came::Asked(questions))) => {
                let parked = Parked::new(way.exchange, questions, telling.method, telling.thing);
                return self.asks_along(Box::new(parked), telling.id, rules);
            }
            Guarded::Done(Ok(Came::Answer(answer))) => {
                self.arrived(&way.exchange, &answer, telling);
                Guarded::Done(Ok(answer))
            }
            Guarded::Done(Err(fault)) => Guarded::Done(Err(fault)),
            Guarded::Panicked(text) => Guarded::Panicked(text),
            Guarded::CalledOff(why) => Guarded::CalledOff(why),
        };
        let teller = Teller {
            routed: &way.exchange.routed,
            shown: match way.exchange.call.shown.as_str() {
                "" => telling.method,
                shown => shown,
            },
            id: telling.id,
            number: telling.number,
            era: rules.era,
            line_bytes_max: rules.limits.line_bytes_max,
            cacheable: telling.method == "resources/read",
            connection: way.exchange.connection.as_deref(),
            tenant: &way.exchange.call.tenant,
        };
        teller.end(guarded)
    }

    /// Gives the server's questions to the client in place of an answer.
    pub(super) fn asks_along(&self, parked: Box<Parked>, id: &str, rules: Rules) -> End {
        let requests = parked.requests();
        let (bytes, bytes_max) =
            (requests.len() + id.len() + AROUND_REQUESTS_BYTES, rules.limits.line_bytes_max);
        if bytes > bytes_max {
            let frame = Some(reply::too_large(bytes, bytes_max).frame(id));
            return End { outcome: Outcome::TooLarge, cause: None, frame };
        }
        let state = self.parking.park(*parked);
        let result = format!(
            r#"{{"resultType":"input_required","inputRequests":{requests},"requestState":"{state}"}}"#
        );
        End { outcome: Outcome::Ok, cause: None, frame: Some(reply::result(id, &result)) }
    }

    /// Remembers what an answer tells of its server.
    fn arrived(&self, exchange: &Exchange, answer: &Answer, telling: &Telling<'_>) {
        let Exchange { routed, connection, .. } = exchange;
        if let (Thing::Resource(uri), Verdict::Ok) = (telling.thing, answer.verdict) {
            // A server that is started anew is told again.
            match telling.method {
                "resources/subscribe" => self.has_subscribed(routed, &exchange.call.tenant, uri),
                "resources/unsubscribe" => self.has_unsubscribed(routed, &exchange.call.tenant, uri),
                _ => {}
            }
        }
        if let Some(server) = &routed.server {
            if let (Thing::Resource(uri), "resources/read", Verdict::Ok) =
                (telling.thing, telling.method, answer.verdict)
                && self.router.offers.view().catalog.owners_of(uri).is_empty()
            {
                // The next one that names it is asked first.
                self.unasked.whereabouts.had_resource(server, uri);
            }
            if let (Some(task), Some(connection)) = (&answer.task, connection) {
                self.unasked.whereabouts.gave_task(server, connection.number(), task);
            }
            self.unasked.whereabouts.look_through(server, &answer.line);
        }
    }
}
