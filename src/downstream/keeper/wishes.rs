//! Telling a server what its clients want to hear: by `resources/subscribe` and `logging/setLevel` in the
//! older era, by one `subscriptions/listen` in the modern one.

mod listen;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::downstream::connection::{Answer, Connection, Verdict};
use crate::downstream::interest::{Interest, Step};
use crate::downstream::keeper::lists::Relists;
use crate::downstream::keeper::wishes::listen::Listen;
use crate::era::Era;
use crate::list::List;

/// A server has this long to confirm what it was told.
const CONFIRM: Duration = Duration::from_secs(5);

/// One life of a server, and what it was told in it.
pub(super) struct Wishes {
    interest: Arc<Interest>,
    listen: Listen,
}

impl Wishes {
    /// A new life: the server knows nothing.
    pub fn new(interest: Arc<Interest>) -> Self {
        interest.nothing_told();
        Self { interest, listen: Listen::default() }
    }

    /// Tells the server what is wanted now.
    pub async fn tell(&mut self, connection: &Arc<Connection>) {
        let mut step = self.interest.step(connection.owner());
        match connection.era() {
            Era::Legacy => tell_legacy(connection, &mut step).await,
            Era::Modern => self.listen.tell(connection, &mut step).await,
        }
        self.interest.told(step);
    }

    /// Keeps telling; ends never. What changed while the server had no subscription was not told: then
    /// every list is asked for again.
    pub async fn keep(&mut self, connection: &Arc<Connection>, relists: &Relists) {
        loop {
            tokio::select! {
                () = self.interest.changed() => {}
                () = self.listen.due() => {}
            }
            self.tell(connection).await;
            if let (true, Some(greeting)) = (self.listen.had_gap(), connection.greeting()) {
                let offered = List::ALL.into_iter().filter(|list| greeting.has(list.feature()));
                offered.for_each(|list| relists.want(list, None));
            }
        }
    }
}

async fn tell_legacy(connection: &Arc<Connection>, step: &mut Step) {
    let Step { told, wanted, refused, .. } = step;
    let Some(greeting) = connection.greeting() else { return };
    refused.resources.retain(|uri| wanted.resources.contains(uri));
    let mut requests = Vec::new();
    if greeting.has_flag("resources", "subscribe") {
        let params = |uri: &Arc<str>| json!({ "uri": &**uri }).to_string();
        let new = wanted.resources.difference(&told.resources);
        requests.extend(new.map(|uri| ("resources/subscribe", params(uri), Some(uri))));
        let old = told.resources.difference(&wanted.resources);
        requests.extend(old.map(|uri| ("resources/unsubscribe", params(uri), None)));
    }
    if let Some(level) = wanted.level.filter(|level| told.level != Some(level) && greeting.has("logging")) {
        requests.push(("logging/setLevel", json!({ "level": level }).to_string(), None));
    }
    let asked = requests.iter().filter_map(|(method, params, uri)| {
        connection.ask_own(method, params).ok().map(|in_flight| (in_flight, *uri))
    });
    let answers = asked.map(|(mut in_flight, uri)| async move {
        let answer = tokio::time::timeout(CONFIRM, in_flight.answer()).await;
        let is_no = matches!(answer, Ok(Ok(Answer { verdict: Verdict::RpcError, .. })));
        uri.filter(|_| is_no).cloned()
    });
    refused.resources.extend(join_all(answers).await.into_iter().flatten());
}
