//! Who waits on one connection.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::downstream::Ending;
use crate::downstream::client::ClientId;
use crate::downstream::connection::Reply;
use crate::downstream::question::Question;
use crate::downstream::relay::Hears;

/// A progress token, in JSON.
#[derive(Clone)]
pub(super) struct Token {
    /// As the server knows it.
    pub own: Box<str>,
    /// As the client knows it, where that is another: two clients may count theirs alike.
    pub shown: Option<Box<str>>,
}

/// A request without an answer.
pub(super) struct Waiter {
    pub reply: oneshot::Sender<Reply>,
    pub written: bool,
    pub token: Option<Token>,
    pub hears: Option<Arc<dyn Hears>>,
}

/// All of them on one connection, and what is held for later ones.
#[derive(Default)]
pub(super) struct Table {
    pub waiting: HashMap<u64, Waiter>,
    pub tokens: HashMap<Box<str>, u64>,
    pub ending: Option<Arc<Ending>>,
    /// Progress tokens of requests that were answered with a task, the newest last: they count until it is
    /// over (specification 2025-11-25, "Tasks").
    pub task_tokens: VecDeque<(Token, Arc<dyn Hears>)>,
    /// Questions that no request under way can carry to their client; its next one takes them along.
    pub held: VecDeque<(ClientId, Question)>,
}

impl Table {
    /// Takes out what is held for a client.
    pub fn take_held(&mut self, client: Option<ClientId>) -> Vec<Question> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.held).into_iter();
        let (its, others): (Vec<_>, Vec<_>) = all.partition(|(of, _)| Some(*of) == client);
        self.held = others.into();
        its.into_iter().map(|(_, question)| question).collect()
    }
}
