//! The requests of a server that wait for an answer of a client, counted by client: of several that share the server,
//! one that does not answer takes no time and no room from the others.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::downstream::client::ClientId;
use crate::downstream::connection::Connection;

/// Requests of one server that wait for the answer of one client.
const QUESTIONS_MAX: usize = 64;

/// A person who is asked something answers within this time, or not at all.
const PERSON_MAX: Duration = Duration::from_secs(600);

/// How many there are.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<ClientId, usize>);

impl Questions {
    fn of(&self, client: Option<ClientId>) -> usize {
        client.and_then(|client| self.0.get(&client)).copied().unwrap_or_default()
    }

    fn beside(&self, client: Option<ClientId>) -> bool {
        self.0.keys().any(|other| Some(*other) != client)
    }
}

impl Connection {
    /// The server is greeted as this client.
    pub(in crate::downstream) fn is_shown(&self, client: ClientId) {
        // It is greeted once.
        let _ = self.shown.set(client);
    }

    /// The client that the server was shown; `None` when nobody had said who it is.
    #[must_use]
    pub fn shown(&self) -> Option<ClientId> {
        self.shown.get().copied()
    }

    /// One more waits for a client; false when there are too many already.
    pub(in crate::downstream) fn question_opened(&self, client: ClientId) -> bool {
        self.questions.send_if_modified(|open| {
            let count = open.0.entry(client).or_default();
            let has_room = *count < QUESTIONS_MAX;
            *count += usize::from(has_room);
            has_room
        })
    }

    /// One less does.
    pub(in crate::downstream) fn question_closed(&self, client: ClientId) {
        self.questions.send_modify(|open| {
            if let Some(count) = open.0.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    open.0.remove(&client);
                }
            }
        });
    }

    /// A deadline of a client's request passed without an answer. A server that stands still because somebody else is
    /// asked something does not hang.
    pub fn missed_deadline(&self, client: Option<ClientId>) {
        if !self.questions.borrow().beside(client) {
            self.missed();
        }
    }

    /// Waits until a time has passed in which the server did not wait for this client: while a person is asked
    /// something, it stands still, as long as people take.
    pub async fn waited_for_nobody(&self, time: Duration, client: Option<ClientId>) {
        let mut questions = self.questions.subscribe();
        let mut left = time;
        loop {
            let answered = questions.wait_for(|open| open.of(client) == 0);
            if tokio::time::timeout(PERSON_MAX, answered).await.is_err() {
                // Nobody answers any more.
                return tokio::time::sleep(left).await;
            }
            let from = Instant::now();
            if tokio::time::timeout(left, questions.wait_for(|open| open.of(client) > 0)).await.is_err() {
                return;
            }
            left = left.saturating_sub(from.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::downstream::relay::Nobody;

    fn connection() -> Arc<Connection> {
        Connection::new("s".into(), Arc::default(), Arc::new(Nobody), None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_stands_still_while_somebody_is_asked() {
        let (connection, client) = (connection(), ClientId::next());
        let start = Instant::now();
        let asker = Arc::clone(&connection);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(asker.question_opened(client));
            tokio::time::sleep(Duration::from_secs(60)).await;
            asker.question_closed(client);
        });
        connection.waited_for_nobody(Duration::from_secs(10), Some(client)).await;
        assert_eq!(start.elapsed().as_secs(), 70);
        assert!(connection.question_opened(client));
        connection.waited_for_nobody(Duration::from_secs(10), Some(client)).await;
        assert_eq!(start.elapsed().as_secs(), 70 + 610, "a person who never answers stops no clock for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_answer_stops_no_clock_and_takes_no_place_of_another() {
        let (connection, [deaf, other]) = (connection(), [(); 2].map(|()| ClientId::next()));
        while connection.question_opened(deaf) {}
        assert!(connection.question_opened(other));
        connection.question_closed(other);
        let start = Instant::now();
        connection.waited_for_nobody(Duration::from_secs(10), Some(other)).await;
        assert_eq!(start.elapsed().as_secs(), 10);
        // It may stand still for the one that is asked.
        connection.missed_deadline(Some(other));
        assert!(futures_util::FutureExt::now_or_never(connection.hung(1)).is_none());
        connection.missed_deadline(Some(deaf));
        connection.hung(1).await;
    }
}
