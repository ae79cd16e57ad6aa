//! What servers say unasked, between all clients that are attached: each hears what concerns it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::downstream::client::ClientId;
use crate::downstream::connection::Connection;
use crate::downstream::question::Question;
use crate::downstream::relay::{Notification, Relay, UnderWay};
use crate::queue::Share;
use crate::session::unasked::Unasked;

/// The attached clients, in the order in which they came: a snapshot that is replaced.
type All = Arc<[Arc<Unasked>]>;

/// The way from all servers to all clients.
pub struct Switchboard(watch::Sender<All>);

impl Default for Switchboard {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::new([])))
    }
}

impl Switchboard {
    /// A client attaches.
    pub fn add(&self, client: &Arc<Unasked>) {
        self.0.send_modify(|all| *all = all.iter().chain([client]).cloned().collect());
    }

    /// A client has gone, and hears nothing more.
    pub fn remove(&self, client: ClientId) {
        self.0.send_modify(|all| *all = all.iter().filter(|other| other.client != client).cloned().collect());
    }

    /// Whether a task that was given on the connection with this number is not this client's, but another's.
    pub fn is_anothers(&self, client: ClientId, task: &str, connection: u64) -> bool {
        let (its, others): (Vec<_>, Vec<_>) =
            self.all().iter().cloned().partition(|other| other.client == client);
        let has_it = |all: &[Arc<Unasked>]| all.iter().any(|client| client.has_task(task, connection));
        !has_it(&its) && has_it(&others)
    }

    fn all(&self) -> All {
        Arc::clone(&self.0.borrow())
    }
}

fn find(all: &[Arc<Unasked>], client: ClientId) -> Option<&Arc<Unasked>> {
    all.iter().find(|other| other.client == client)
}

/// The only client that hears what is said on a connection, if there is just one.
fn only(all: &[Arc<Unasked>], owner: Option<ClientId>) -> Option<&Arc<Unasked>> {
    match (owner, all) {
        (Some(owner), all) => find(all, owner),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// Whom a server means that asks something on a connection: the client whose task it names, else the one whose
/// request is under way there. Of several it is the one with the oldest request that can answer; without any, the
/// one whose connection it is, or the only one. The roots are those of the client that the server was shown.
fn asked<'a>(
    all: &'a [Arc<Unasked>],
    question: &Question,
    under_way: &[UnderWay],
) -> Result<&'a Arc<Unasked>, &'static str> {
    let owner = question.connection().owner();
    if owner.is_some() || all.len() == 1 {
        return only(all, owner).ok_or("the client has gone");
    }
    let number = question.connection().number();
    let task = question.related_task();
    if let Some(client) = task.and_then(|task| all.iter().find(|client| client.has_task(&task, number))) {
        return Ok(client);
    }
    let there: Vec<_> =
        under_way.iter().filter_map(|waits| Some((find(all, waits.client)?, waits.can_carry))).collect();
    match &*there {
        [] if all.is_empty() => Err("no client is attached"),
        // Many ask for the roots as soon as they are greeted, before the request is sent that has them started.
        [] if question.method() == "roots/list" => {
            let shown = question.connection().shown().and_then(|client| find(all, client));
            shown.ok_or("the client has gone that this server was started for")
        }
        [] => Err("several clients are attached, and none of them has a request under way here"),
        [(client, _)] => Ok(client),
        several => several
            .iter()
            .find(|(client, can_carry)| client.can_answer(question, *can_carry))
            .map(|(client, _)| *client)
            .ok_or("no client with a request under way can answer this"),
    }
}

impl Relay for Switchboard {
    fn notification(&self, heard: &Notification<'_>) {
        let all = self.all();
        match only(&all, heard.owner) {
            Some(client) => client.hear(heard),
            None if heard.owner.is_some() => {}
            None => {
                let concerned = all.iter().filter(|client| client.is_concerned(heard, &all));
                concerned.for_each(|client| client.hear(heard));
            }
        }
    }

    fn asked(&self, question: Question, under_way: &[UnderWay]) {
        match asked(&self.all(), &question, under_way) {
            Ok(client) => client.ask(question),
            Err(why) => question.refuse(-32603, why),
        }
    }

    fn is_for_many(&self, owner: Option<ClientId>) -> bool {
        owner.is_none() && self.0.borrow().len() > 1
    }

    fn taken_back(&self, connection: &Connection, id: &str, notification: &Bytes) {
        self.all().iter().for_each(|client| client.asks.taken_back(connection, id, notification));
    }

    fn ended(&self, connection: &Connection) {
        self.all().iter().for_each(|client| client.ended(connection));
    }

    fn has_room(&self, owner: Option<ClientId>, said: &Share) -> bool {
        let all = self.0.borrow();
        // Nobody is there to wait for, or others must not.
        only(&all, owner).is_none_or(|client| said.has_room() && client.has_room())
    }

    fn room<'a>(
        &'a self,
        owner: Option<ClientId>,
        said: &'a Share,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let mut changes = self.0.subscribe();
            loop {
                let client = only(&changes.borrow_and_update(), owner).cloned();
                let Some(client) = client else { return };
                let room = async {
                    said.room().await;
                    client.room().await;
                };
                tokio::select! {
                    () = room => return,
                    // One more may have come, or this one gone.
                    _ = changes.changed() => {}
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::downstream::greeting::Face;
    use crate::session::outlet::Outlet;

    fn client() -> Arc<Unasked> {
        let (_, face) = watch::channel(Face::default());
        Unasked::new(ClientId::next(), Arc::<Outlet>::default(), face)
    }

    #[tokio::test]
    async fn a_server_waits_for_the_only_client_and_for_none_of_several() {
        let (switchboard, one, two) = (Switchboard::default(), client(), client());
        let said = Share::new(1);
        let _unread = said.take(1);
        assert!(switchboard.has_room(None, &said), "nobody is there to wait for");
        switchboard.add(&one);
        assert!(!switchboard.has_room(None, &said));
        let mut room = switchboard.room(None, &said);
        assert!(room.as_mut().now_or_never().is_none());
        switchboard.add(&two);
        room.await;
        assert!(switchboard.has_room(None, &said) && switchboard.is_for_many(None));
        // What is one's alone waits for that one.
        assert!(!switchboard.has_room(Some(one.client), &said) && !switchboard.is_for_many(Some(one.client)));
        let mut room = switchboard.room(Some(one.client), &said);
        assert!(room.as_mut().now_or_never().is_none());
        switchboard.remove(one.client);
        room.await;
        assert!(!switchboard.has_room(None, &said), "one is left");
    }
}
