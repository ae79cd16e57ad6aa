//! The calls of one client that were handed off: those that run, and the results of those that have ended.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::downstream::pool::key::Tenant;
use crate::guard::CalledOff;
use crate::session::handoff::About;
use crate::session::parked::Parked;
use crate::store::ids::CallId;
use crate::wire::{Cut, Envelope, Frame, Span, span_of, splice};

/// A result can be had for so long after it came.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// So many calls are kept. One more ends the oldest result; when all of them run, it is not handed off.
const CALLS_MAX: usize = 256;

/// What is kept of them may have so many bytes together: the requests of those that run, the results of the
/// others. The last result is kept however large it is.
const BYTES_MAX: usize = 64 << 20;

/// The calls that were handed off.
#[derive(Default)]
pub struct HandedOff {
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Default)]
struct Table {
    calls: HashMap<CallId, Call>,
    /// Those whose result is kept, the oldest first.
    results: VecDeque<CallId>,
    bytes: usize,
}

struct Call {
    about: About,
    /// What is kept of it, in bytes.
    bytes: usize,
    state: State,
}

enum State {
    /// It runs.
    Runs,
    /// It has ended, and its row is on its way into the record.
    Ends,
    /// It has ended so.
    Ended(Kept),
}

/// What is kept of a call that has ended.
pub enum Kept {
    /// Its answer, and where an id stands in it.
    Answer(Bytes, Span),
    /// It goes on when its client has answered these questions.
    Asks(Box<Parked>),
}

impl Kept {
    /// Keeps an answer.
    #[must_use]
    pub fn of(frame: &Frame) -> Self {
        let line = match frame {
            Frame::Flat(line) => line.clone(),
            Frame::Pieces(pieces) => pieces.concat().into(),
        };
        let line = line.slice(..line.len().saturating_sub(1));
        // It was read before, or the bridge wrote it: it has an id.
        let id = Envelope::parse(&line).ok().and_then(|envelope| envelope.id).map(RawValue::get);
        let id = id.and_then(|id| span_of(&line, id)).unwrap_or_default();
        Self::Answer(line, id)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Answer(line, _) => line.len(),
            Self::Asks(parked) => parked.bytes(),
        }
    }
}

/// A call that runs on. Dropping it forgets the call.
pub struct Running {
    handed_off: Arc<HandedOff>,
    call: CallId,
}

impl Running {
    /// The call has ended: nothing of it is under way any more.
    pub fn has_ended(&self) {
        if let Some(call) = self.handed_off.lock().calls.get_mut(&self.call) {
            call.state = State::Ends;
        }
        self.handed_off.changed.notify_waiters();
    }

    /// Keeps what it came to.
    pub fn keep(self, kept: Kept) -> CallId {
        let gone = {
            let (mut held, bytes) = (self.handed_off.lock(), kept.bytes());
            let table = &mut *held;
            if let Some(call) = table.calls.get_mut(&self.call) {
                // The request is not kept any more.
                table.bytes -= std::mem::take(&mut call.bytes);
            }
            // It takes no other place than the one that it has.
            let gone = table.make_room(0, bytes);
            if let Some(call) = table.calls.get_mut(&self.call) {
                (call.bytes, call.state) = (bytes, State::Ended(kept));
                table.bytes += bytes;
                table.results.push_back(self.call);
            }
            gone
        };
        // What goes is dropped after the lock is free.
        drop(gone);
        self.call
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let gone = {
            let mut table = self.handed_off.lock();
            let runs = table.calls.get(&self.call).is_some_and(|call| !matches!(call.state, State::Ended(_)));
            if runs { table.take(self.call) } else { None }
        };
        drop(gone);
        self.handed_off.changed.notify_waiters();
    }
}

impl HandedOff {
    /// One more call runs on; `None` when there is no room. `bytes` is what it takes while it runs.
    pub(super) fn enter(self: &Arc<Self>, about: About, bytes: usize) -> Option<Running> {
        let (call, gone, has_room) = {
            let mut table = self.lock();
            // What would have no room anyway costs nobody a result.
            let has_room = table.could_have_room(bytes);
            let gone = if has_room { table.make_room(1, bytes) } else { Vec::new() };
            let call = about.call;
            if has_room {
                table.bytes += bytes;
                table.calls.insert(call, Call { about, bytes, state: State::Runs });
            }
            (call, gone, has_room)
        };
        drop(gone);
        has_room.then(|| Running { handed_off: Arc::clone(self), call })
    }

    /// What is known of a call, if it is one of this session, and there of this thread and user.
    pub(super) fn about(&self, call: CallId, tenant: &Tenant) -> Option<About> {
        let table = self.lock();
        table.calls.get(&call).map(|call| &call.about).filter(|about| about.tenant == *tenant).cloned()
    }

    /// Waits for what a call came to; `None` when it is not kept (any more). Questions are given once.
    pub(super) async fn kept(&self, call: CallId) -> Option<Kept> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(kept) = self.lock().look(call) {
                return kept;
            }
            changed.await;
        }
    }

    /// Keeps a call that has ended for a while, then forgets it.
    pub(super) async fn expire(&self, call: CallId) {
        tokio::time::sleep(KEPT_FOR).await;
        let gone = self.lock().take(call);
        drop(gone);
    }

    /// Calls off those that run, because the bridge stops, and forgets the others.
    pub fn call_off_all(&self) {
        let (running, gone): (Vec<Arc<_>>, Vec<Option<Call>>) = {
            let mut table = self.lock();
            let results = std::mem::take(&mut table.results);
            let gone = results.into_iter().map(|call| table.take(call)).collect();
            (table.calls.values().map(|call| Arc::clone(&call.about.called_off_by)).collect(), gone)
        };
        drop(gone);
        running.iter().for_each(|asking| asking.call_off(CalledOff::ByStop));
    }

    /// How many run, and since when the oldest does.
    #[must_use]
    pub fn under_way(&self) -> (usize, Option<Instant>) {
        let table = self.lock();
        let run = || table.calls.values().filter(|call| !matches!(call.state, State::Ended(_)));
        (run().count(), run().map(|call| call.about.started).min())
    }

    /// Waits until none of them runs.
    pub async fn emptied(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.lock().calls.values().any(|call| matches!(call.state, State::Runs)) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// What a call came to: nothing yet, or that it is not there.
    fn look(&mut self, number: CallId) -> Option<Option<Kept>> {
        match self.calls.get(&number).map(|call| &call.state) {
            None => Some(None),
            Some(State::Runs | State::Ends) => None,
            Some(State::Ended(Kept::Answer(line, id))) => Some(Some(Kept::Answer(line.clone(), id.clone()))),
            Some(State::Ended(Kept::Asks(_))) => Some(self.take(number).and_then(|call| match call.state {
                State::Ended(kept) => Some(kept),
                State::Runs | State::Ends => None,
            })),
        }
    }

    fn take(&mut self, number: CallId) -> Option<Call> {
        let call = self.calls.remove(&number)?;
        self.results.retain(|other| *other != number);
        self.bytes -= call.bytes;
        Some(call)
    }

    /// Whether one more call could run on, if no result were kept.
    fn could_have_room(&self, bytes: usize) -> bool {
        let running = self.calls.values().filter(|call| !matches!(call.state, State::Ended(_)));
        let (calls, taken) = running.fold((0, 0), |(calls, taken), call| (calls + 1, taken + call.bytes));
        calls < CALLS_MAX && taken + bytes <= BYTES_MAX
    }

    fn has_room(&self, calls: usize, bytes: usize) -> bool {
        self.calls.len() + calls <= CALLS_MAX && self.bytes + bytes <= BYTES_MAX
    }

    /// Takes out the oldest results, until so many more calls and bytes have room.
    fn make_room(&mut self, calls: usize, bytes: usize) -> Vec<Call> {
        let mut gone = Vec::new();
        while !self.has_room(calls, bytes) {
            let Some(taken) = self.results.front().copied().and_then(|oldest| self.take(oldest)) else {
                break;
            };
            gone.push(taken);
        }
        gone
    }
}

/// The answer under another id, in JSON.
#[must_use]
pub fn under(line: &Bytes, id_span: &Span, id: &str) -> Frame {
    splice(line, &[Cut { span: id_span.clone(), text: id.as_bytes() }])
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::downstream::client::ClientId;
    use crate::session::pending::{Extras, Pending};
    use crate::store::ids::SessionId;

    const MIB: usize = 1 << 20;

    fn about(number: i64) -> About {
        let place = Arc::new(Pending::new(ClientId::next(), Arc::default())).enter("1", Extras::default());
        About {
            call: CallId::parse(&number.to_string()).unwrap(),
            session: SessionId::parse("0000000000000007").unwrap(),
            tenant: Tenant::default(),
            server: None,
            tool: "t".into(),
            started: Instant::now(),
            asking: Arc::clone(place.asking()),
            called_off_by: Arc::clone(place.asking()),
        }
    }

    fn answer(bytes: usize) -> Kept {
        Kept::Answer(vec![b' '; bytes].into(), 0..0)
    }

    fn is_there(handed_off: &HandedOff, number: i64) -> bool {
        let about = about(number);
        handed_off.about(about.call, &about.tenant).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_kept_for_ten_minutes_under_every_id() {
        let handed_off = Arc::new(HandedOff::default());
        let running = handed_off.enter(about(1), 10).unwrap();
        let call = running.keep(Kept::of(&Frame::own(br#"{"id":0,"result":"x"}"#.to_vec())));
        let before = tokio::time::Instant::now();
        tokio::join!(handed_off.expire(call), async {
            tokio::time::sleep(KEPT_FOR - Duration::from_millis(1)).await;
            for id in ["7", "\"a\""] {
                let Some(Kept::Answer(line, span)) = handed_off.kept(call).await else {
                    panic!("it is gone")
                };
                let frame = under(&line, &span, id);
                assert_eq!(frame.pieces().concat(), format!("{{\"id\":{id},\"result\":\"x\"}}\n").as_bytes());
            }
        });
        assert_eq!(before.elapsed(), KEPT_FOR);
        assert!(handed_off.kept(call).await.is_none() && handed_off.lock().bytes == 0);
    }

    #[test]
    fn the_oldest_result_makes_room_and_what_runs_does_not() {
        let handed_off = Arc::new(HandedOff::default());
        let running: Vec<Running> =
            (0..CALLS_MAX as i64).map(|number| handed_off.enter(about(number), 1).unwrap()).collect();
        assert!(handed_off.enter(about(999), 1).is_none(), "all of them run");
        let mut running = running.into_iter();
        running.next().unwrap().keep(answer(1));
        running.next().unwrap().keep(answer(1));
        let one_more = handed_off.enter(about(999), 1).unwrap();
        assert!(!is_there(&handed_off, 0) && is_there(&handed_off, 1) && is_there(&handed_off, 999));
        drop(one_more);
        assert!(!is_there(&handed_off, 999), "nobody will tell how it ended");
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_the_last_result_is_kept() {
        let handed_off = Arc::new(HandedOff::default());
        assert!(handed_off.enter(about(0), BYTES_MAX + 1).is_none());
        for number in 1..=3 {
            handed_off.enter(about(number), 1).unwrap().keep(answer(30 * MIB));
        }
        assert!(!is_there(&handed_off, 1) && is_there(&handed_off, 2) && is_there(&handed_off, 3));
        handed_off.enter(about(4), 1).unwrap().keep(answer(BYTES_MAX));
        assert!(!is_there(&handed_off, 3) && is_there(&handed_off, 4));
    }

    #[test]
    fn no_result_makes_room_in_vain() {
        let handed_off = Arc::new(HandedOff::default());
        handed_off.enter(about(1), 1).unwrap().keep(answer(20 * MIB));
        let large = handed_off.enter(about(2), 40 * MIB).unwrap();
        assert!(handed_off.enter(about(3), 30 * MIB).is_none() && is_there(&handed_off, 1));
        large.keep(answer(40 * MIB));
        assert!(is_there(&handed_off, 1) && is_there(&handed_off, 2), "the request went, the result came");
        assert_eq!(handed_off.lock().bytes, 60 * MIB);
    }

    #[tokio::test]
    async fn only_what_runs_is_waited_for_at_the_end() {
        let handed_off = Arc::new(HandedOff::default());
        let (runs, ended) = (handed_off.enter(about(1), 1).unwrap(), handed_off.enter(about(2), 1).unwrap());
        ended.keep(answer(1));
        handed_off.call_off_all();
        assert!(!is_there(&handed_off, 2));
        let asking = Arc::clone(&handed_off.lock().calls.values().next().unwrap().about.called_off_by);
        assert_eq!(asking.called_off().await, CalledOff::ByStop);
        tokio::join!(handed_off.emptied(), async { runs.has_ended() });
    }
}
