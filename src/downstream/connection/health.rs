//! How a connection fares: whether it is used, whether its server answers, and how it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::downstream::Ending;
use crate::downstream::connection::{Connection, Lost, Table};
use crate::era::Era;

/// A server that is looked at after a sleep has this long to answer.
const LOOK: Duration = Duration::from_secs(2);

impl Connection {
    /// Ends the connection: everyone who waits hears how the server ended.
    pub fn end(&self, ending: Arc<Ending>) {
        self.end_if(ending, |_| true);
    }

    /// Ends the connection unless a request is under way; whether it did.
    pub fn end_if_unused(&self, ending: Arc<Ending>) -> bool {
        self.end_if(ending, |table| table.waiting.values().all(|waiter| waiter.hears.is_none()))
    }

    fn end_if(&self, ending: Arc<Ending>, may: impl FnOnce(&Table) -> bool) -> bool {
        let (waiting, held) = {
            let mut table = self.lock();
            if table.ending.is_some() || !may(&table) {
                return false;
            }
            table.ending = Some(Arc::clone(&ending));
            table.tokens.clear();
            table.task_tokens.clear();
            // Before anybody hears of it: who asks again must not get this connection a second time.
            self.ended.send_replace(true);
            (std::mem::take(&mut table.waiting), std::mem::take(&mut table.held))
        };
        self.out.close();
        // Whoever waits for a place on it waits elsewhere.
        self.slots.get().inspect(|slots| slots.close());
        drop(held);
        self.relay.ended(self);
        for waiter in waiting.into_values() {
            // Whoever waited may have given up in this very moment.
            let _ =
                waiter.reply.send(Err(Lost::Ended { written: waiter.written, ending: Arc::clone(&ending) }));
        }
        true
    }

    /// The places for calls on it, so many in all; none is given any more when it has ended.
    pub fn slots(&self, max: usize) -> &Arc<Semaphore> {
        self.slots.get_or_init(|| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))))
    }

    /// Whose connection it is.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Lines on the server's output that were no messages, and answers that came too late.
    #[must_use]
    pub fn noise(&self) -> (u64, u64) {
        (self.garbage.load(Ordering::Relaxed), self.late.load(Ordering::Relaxed))
    }

    /// Whether every request that is under way was written.
    #[must_use]
    pub fn has_written_all(&self) -> bool {
        self.lock().waiting.values().all(|waiter| waiter.written)
    }

    /// A client uses it.
    pub(super) fn is_used(&self) {
        let now_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Waits until no client has used it for a time. Subscriptions of the bridge's own are no use.
    pub async fn unused_for(&self, time: Duration) {
        loop {
            let used = self.born + Duration::from_millis(self.used_ms.load(Ordering::Relaxed));
            let rest = time.saturating_sub(used.elapsed());
            if !rest.is_zero() {
                tokio::time::sleep(rest).await;
            } else if self.lock().waiting.values().any(|waiter| waiter.hears.is_some()) {
                // Somebody waits; what comes then counts.
                self.is_used();
            } else {
                return;
            }
        }
    }

    /// A deadline passed without an answer.
    pub(super) fn missed(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.hangs.notify_one();
    }

    /// The server answered.
    pub(super) fn answered(&self) {
        if self.missed.load(Ordering::Relaxed) > 0 {
            self.missed.store(0, Ordering::Relaxed);
        }
        self.is_used();
    }

    /// Waits until the server has missed so many deadlines in a row.
    pub async fn hung(&self, deadlines: u32) {
        while self.missed.load(Ordering::Relaxed) < deadlines {
            self.hangs.notified().await;
        }
    }

    /// Whether the machine slept since the server was looked at last, and nobody is using it: one that is used
    /// is seen by those who wait for it.
    pub fn is_stale(&self) -> bool {
        let jumps = self.jumps();
        if self.looked_at.load(Ordering::Relaxed) == jumps {
            return false;
        }
        let is_used = self.lock().waiting.values().any(|waiter| waiter.hears.is_some());
        if is_used {
            self.looked_at.store(jumps, Ordering::Relaxed);
        }
        !is_used
    }

    fn jumps(&self) -> u64 {
        self.wake.as_ref().map_or(0, |wake| wake.jumps())
    }

    /// Looks at a server that is stale: whether it answers anything at all.
    pub async fn is_alive(self: &Arc<Self>) -> bool {
        let jumps = self.jumps();
        let asked = match self.era() {
            Era::Legacy => self.ask_own("ping", "{}"),
            Era::Modern => self.ask_own("server/discover", &self.own_params("")),
        };
        let Ok(mut in_flight) = asked else { return false };
        let answer = tokio::time::timeout(LOOK, in_flight.answer()).await;
        let is_alive = answer.is_ok_and(|answer| answer.is_ok());
        if is_alive {
            self.looked_at.store(jumps, Ordering::Relaxed);
        }
        is_alive
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::time::Instant;

    use super::*;
    use crate::downstream::connection::Outgoing;
    use crate::downstream::connection::outflow::HandOut;
    use crate::downstream::relay::Nobody;
    use crate::outcome::Cause;

    const HOUR: Duration = Duration::from_secs(3600);

    fn ending() -> Arc<Ending> {
        Arc::new(Ending::of(Cause::BridgeStopped, "x"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_unused_when_no_client_has_used_it_for_the_whole_time() {
        let connection = Connection::new("s".into(), Arc::default(), Arc::new(Nobody), None);
        let start = Instant::now();
        let line = Bytes::from_static(br#"{"id":1,"method":"x"}"#);
        tokio::time::sleep(HOUR / 2).await;
        let outgoing = Outgoing {
            line: &line,
            id: 6..7,
            cuts: Vec::new(),
            token: None,
            shown_token: None,
            hears: Arc::new(Nobody),
        };
        let mut in_flight = connection.ask(outgoing);
        let ask = tokio::spawn({
            let connection = Arc::clone(&connection);
            async move { connection.unused_for(HOUR).await }
        });
        tokio::time::sleep(HOUR * 3).await;
        assert!(!ask.is_finished(), "somebody waits for an answer");
        assert!(!connection.end_if_unused(ending()));
        let id = in_flight.id();
        connection.hear(Bytes::from(format!(r#"{{"id":{id},"result":{{}}}}"#)));
        in_flight.answer().await.unwrap();
        ask.await.unwrap();
        // From the answer on.
        let elapsed = start.elapsed();
        assert!(elapsed >= HOUR / 2 + HOUR * 4 && elapsed < HOUR * 6, "{elapsed:?}");
        assert!(connection.end_if_unused(ending()) && connection.has_ended());
    }

    #[tokio::test]
    async fn a_request_that_comes_in_the_moment_of_the_end_hears_that_it_was_not_written() {
        let connection = Connection::new("s".into(), Arc::default(), Arc::new(Nobody), None);
        // Who looked for it a moment ago has it in its hands.
        assert!(connection.end_if_unused(ending()));
        let line = Bytes::from_static(br#"{"id":1,"method":"x"}"#);
        let outgoing = Outgoing {
            line: &line,
            id: 6..7,
            cuts: Vec::new(),
            token: None,
            shown_token: None,
            hears: Arc::new(Nobody),
        };
        let lost = connection.ask(outgoing).answer().await;
        assert!(matches!(lost, Err(Lost::Ended { written: false, .. })), "{lost:?}");
    }

    #[tokio::test]
    async fn a_server_hangs_when_it_misses_deadlines_in_a_row() {
        let connection = Connection::new("s".into(), Arc::default(), Arc::new(Nobody), None);
        connection.missed();
        connection.answered();
        connection.missed();
        assert!(futures_util::FutureExt::now_or_never(connection.hung(2)).is_none());
        connection.missed();
        connection.hung(2).await;
    }

    #[tokio::test]
    async fn a_request_counts_as_written_once_it_was_taken_out_to_its_server() {
        let connection = Connection::new("s".into(), Arc::default(), Arc::new(Nobody), None);
        assert!(connection.has_written_all());
        let _asked = connection.ask_own("server/discover", "{}").unwrap();
        assert!(!connection.has_written_all(), "a server that ended by now was asked nothing");
        assert!(HandOut::of(&connection).next().await.is_some());
        assert!(connection.has_written_all());
    }
}
