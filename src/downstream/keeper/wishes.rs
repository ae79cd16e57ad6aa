//! Telling a server what its client wants to hear: by `resources/subscribe` and `logging/setLevel` in the
//! older era, by one `subscriptions/listen` in the modern one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::downstream::connection::in_flight::InFlight;
use crate::downstream::connection::{Answer, Connection, Granted, Listening, Verdict};
use crate::downstream::interest::{Interest, Refused, Step, Wanted};
use crate::downstream::keeper::lists::Relists;
use crate::era::Era;
use crate::list::List;

/// A server has this long to confirm what it was told.
const CONFIRM: Duration = Duration::from_secs(5);

/// After a subscription ended on its own, it is opened again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// One life of a server, and what it was told in it.
pub(super) struct Wishes {
    interest: Arc<Interest>,
    listen: Option<InFlight>,
}

impl Wishes {
    /// A new life: the server knows nothing.
    pub fn new(interest: Arc<Interest>) -> Self {
        interest.nothing_told();
        Self { interest, listen: None }
    }

    /// Tells the server what is wanted now.
    pub async fn tell(&mut self, connection: &Arc<Connection>) {
        let mut step = self.interest.step();
        match connection.era() {
            Era::Legacy => tell_legacy(connection, &mut step).await,
            Era::Modern => {
                if self.listen.is_none() || with_level_of(&step.told, &step.wanted) != step.wanted {
                    let new;
                    (new, step.refused) = listen(connection, &step.wanted).await;
                    // The new one is there before the old one is taken back, so that nothing is missed.
                    drop(std::mem::replace(&mut self.listen, new));
                }
            }
        }
        self.interest.told(step);
    }

    /// Keeps telling; ends never. What changed while the server had no subscription was not told: then
    /// every list is asked for again.
    pub async fn keep(&mut self, connection: &Arc<Connection>, relists: &Relists) {
        loop {
            let has_ended = tokio::select! {
                () = self.interest.changed() => false,
                () = ended(&mut self.listen) => true,
            };
            if has_ended {
                self.listen = None;
                tokio::time::sleep(AGAIN).await;
            }
            self.tell(connection).await;
            if let (true, Some(greeting)) = (has_ended, connection.greeting()) {
                let offered = List::ALL.into_iter().filter(|list| greeting.has(list.feature()));
                offered.for_each(|list| relists.want(list, None));
            }
        }
    }
}

/// Waits until an open subscription is ended by the server.
async fn ended(listen: &mut Option<InFlight>) {
    match listen {
        // How it ended is all the same: with a result, an error, or by a notification.
        Some(in_flight) => drop(in_flight.answer().await),
        None => std::future::pending().await,
    }
}

/// A level is no part of a subscription: each request carries it.
fn with_level_of(told: &Wanted, wanted: &Wanted) -> Wanted {
    Wanted { level: wanted.level, ..told.clone() }
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

/// Opens a subscription and waits for its acknowledgement, and for what is not granted.
async fn listen(connection: &Arc<Connection>, wanted: &Wanted) -> (Option<InFlight>, Refused) {
    let ids = |key: &str, ids: Vec<&str>| {
        if ids.is_empty() { String::new() } else { format!(r#","{key}":{}"#, json!(ids)) }
    };
    let resources = ids("resourceSubscriptions", wanted.resources.iter().map(|uri| &**uri).collect());
    let tasks = ids("taskIds", wanted.tasks.iter().map(|id| &**id).collect());
    let filter = format!(
        r#"{{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true{resources}{tasks}}}"#
    );
    let params = connection.own_params(&format!(r#""notifications":{filter}"#));
    let Ok(mut in_flight) = connection.ask_own("subscriptions/listen", &params) else {
        return (None, Refused::default());
    };
    let acknowledged = connection.listening(in_flight.id());
    tokio::select! {
        Listening { granted, .. } = acknowledged => (Some(in_flight), refused(wanted, granted)),
        // It has nothing to tell, or does not know the method.
        _ = in_flight.answer() => (None, refused(wanted, Some(Granted::default()))),
        () = tokio::time::sleep(CONFIRM) => (Some(in_flight), Refused::default()),
    }
}

/// What is wanted and not granted.
fn refused(wanted: &Wanted, granted: Option<Granted>) -> Refused {
    let Some(Granted { resource_subscriptions, task_ids }) = granted else { return Refused::default() };
    let without = |wanted: &BTreeSet<Arc<str>>, granted: &[String]| {
        wanted.iter().filter(|name| !granted.iter().any(|other| **other == ***name)).cloned().collect()
    };
    Refused {
        resources: without(&wanted.resources, &resource_subscriptions),
        tasks: without(&wanted.tasks, &task_ids),
    }
}
