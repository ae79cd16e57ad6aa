//! What a server says without being asked, and who hears it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::downstream::client::ClientId;
use crate::downstream::connection::Connection;
use crate::downstream::question::Question;
use crate::queue::Share;
use crate::wire::Span;

/// Hears what a server says of one request before it answers it. Nothing here may block.
pub trait Hears: Send + Sync {
    /// One progress notification, as the server wrote it, where its token stands, and what waits of this
    /// server.
    fn progress(&self, line: &Bytes, token: Span, said: Unread<'_>);

    /// Whose request it is.
    fn client(&self) -> Option<ClientId> {
        None
    }

    /// The request is about to be written to a server; false when it must not be.
    fn leaves(&self) -> bool {
        true
    }

    /// How ready the request is to carry a question of the server to the client.
    fn carries(&self) -> Carries {
        Carries::Nothing
    }

    /// Whether the client can answer such a question in the course of this request.
    fn can_answer(&self, _question: &Question) -> bool {
        false
    }

    /// Takes a question along.
    fn asked(&self, question: Question) {
        question.refuse(-32603, "nobody takes this request to the client");
    }

    /// The server took back the question with this id, in JSON.
    fn taken_back(&self, _id: &str) {}

    /// The least severe log message that the request asked for, as an index into the levels.
    fn log_level(&self) -> Option<u8> {
        None
    }

    /// The client's own words when it took the request back: its notification, and where the id of the
    /// request stands in it.
    fn withdrawn(&self) -> Option<(Bytes, Span)> {
        None
    }
}

/// Whether a request can carry a server's questions to its client (specification 2026-07-28, "Multi
/// Round-Trip Requests").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carries {
    /// The client waits for its answer, which can be a question.
    AtOnce,
    /// The client was asked something already, and will come back.
    Later,
    /// It cannot.
    Nothing,
}

/// One notification of a server that belongs to no request.
pub struct Notification<'a> {
    /// The server's name.
    pub server: &'a str,
    /// Its method.
    pub method: &'a str,
    /// The line as the server wrote it.
    pub line: &'a Bytes,
    /// Its params.
    pub params: Option<&'a RawValue>,
    /// The client that the connection belongs to, if it is one's alone.
    pub owner: Option<ClientId>,
    /// For a log message: the least severe level that requests under way have asked for, by client.
    pub asked_levels: &'a [(ClientId, u8)],
    /// For what is no log message: the clients that have a request under way there.
    pub under_way: &'a [ClientId],
    /// What waits of this server to be written to clients.
    pub said: Unread<'a>,
}

/// What a server has said unasked, and waits to be read by a client.
#[derive(Clone, Copy)]
pub struct Unread<'a> {
    /// The number of its connection.
    pub number: u64,
    /// All of it, while only one client hears it: with no room left the server is not read.
    pub share: &'a Arc<Share>,
    /// Several clients hear it: each has a share of its own, and what is more is dropped, since one that does not
    /// read must not keep the server from the others.
    pub is_for_many: bool,
}

/// A client with requests under way on a connection that asks something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// Which.
    pub client: ClientId,
    /// Whether one of these requests can carry the question to it, and have it answered.
    pub can_carry: bool,
}

/// The way to the clients for everything that belongs to no request. Nothing here may block.
pub trait Relay: Send + Sync {
    /// One notification.
    fn notification(&self, notification: &Notification<'_>);

    /// The server asks its client something; `under_way` are those it may mean, that with the oldest request first.
    fn asked(&self, question: Question, under_way: &[UnderWay]);

    /// Whether several clients hear what is said on a connection that belongs to this one, or to nobody in
    /// particular.
    fn is_for_many(&self, owner: Option<ClientId>) -> bool;

    /// The server took back the question with this id, in JSON; `notification` is how it said so.
    fn taken_back(&self, connection: &Connection, id: &str, notification: &Bytes);

    /// The connection ended; nobody waits for the client's answers any more.
    fn ended(&self, connection: &Connection);

    /// Whether more can be passed on now; `said` is what waits of this server.
    fn has_room(&self, owner: Option<ClientId>, said: &Share) -> bool;

    /// Waits until more can be passed on; a client that does not read slows down the servers that serve it alone.
    fn room<'a>(
        &'a self,
        owner: Option<ClientId>,
        said: &'a Share,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// Passes everything on but what a keeper takes for itself.
pub struct Apart<F> {
    /// Where the rest goes.
    pub to: Arc<dyn Relay>,
    /// Takes a notification by its method; false leaves it.
    pub take: F,
}

impl<F: Fn(&str) -> bool + Send + Sync> Relay for Apart<F> {
    fn notification(&self, notification: &Notification<'_>) {
        if !(self.take)(notification.method) {
            self.to.notification(notification);
        }
    }

    fn asked(&self, question: Question, under_way: &[UnderWay]) {
        self.to.asked(question, under_way);
    }

    fn is_for_many(&self, owner: Option<ClientId>) -> bool {
        self.to.is_for_many(owner)
    }

    fn taken_back(&self, connection: &Connection, id: &str, notification: &Bytes) {
        self.to.taken_back(connection, id, notification);
    }

    fn ended(&self, connection: &Connection) {
        self.to.ended(connection);
    }

    fn has_room(&self, owner: Option<ClientId>, said: &Share) -> bool {
        self.to.has_room(owner, said)
    }

    fn room<'a>(
        &'a self,
        owner: Option<ClientId>,
        said: &'a Share,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.to.room(owner, said)
    }
}

/// One who hears nothing and always has room, for tests.
#[cfg(test)]
pub(crate) struct Nobody;

#[cfg(test)]
impl Hears for Nobody {
    fn progress(&self, _: &Bytes, _: Span, _: Unread<'_>) {}
}

#[cfg(test)]
impl Relay for Nobody {
    fn notification(&self, _: &Notification<'_>) {}

    fn asked(&self, question: Question, _: &[UnderWay]) {
        question.forget();
    }

    fn is_for_many(&self, _: Option<ClientId>) -> bool {
        false
    }

    fn taken_back(&self, _: &Connection, _: &str, _: &Bytes) {}

    fn ended(&self, _: &Connection) {}

    fn has_room(&self, _: Option<ClientId>, _: &Share) -> bool {
        true
    }

    fn room<'a>(
        &'a self,
        _: Option<ClientId>,
        _: &'a Share,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}
