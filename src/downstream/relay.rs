//! What a server says without being asked, and who hears it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::downstream::connection::Connection;
use crate::downstream::question::Question;
use crate::queue::Share;
use crate::wire::Span;

/// Hears what a server says of one request before it answers it. Nothing here may block.
pub trait Hears: Send + Sync {
    /// One progress notification, as the server wrote it, where its token stands, and what waits of this
    /// server.
    fn progress(&self, line: &Bytes, token: Span, share: &Arc<Share>);

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
    /// For a log message: the least severe level that a request under way has asked for.
    pub asked_level: Option<u8>,
    /// What waits of this server to be written to the client.
    pub share: &'a Arc<Share>,
}

/// The way to the client for everything that belongs to no request. Nothing here may block.
pub trait Relay: Send + Sync {
    /// One notification.
    fn notification(&self, notification: &Notification<'_>);

    /// Whether the client can be asked directly; otherwise its own requests carry the questions.
    fn asks_directly(&self) -> bool;

    /// The server asks the client something.
    fn asked(&self, question: Question);

    /// The server took back the question with this id, in JSON; `notification` is how it said so.
    fn taken_back(&self, connection: &Connection, id: &str, notification: &Bytes);

    /// The connection ended; nobody waits for the client's answers any more.
    fn ended(&self, connection: &Connection);

    /// Whether more can be passed on now.
    fn has_room(&self) -> bool;

    /// Waits until more can be passed on; a client that does not read slows its servers down.
    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
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

    fn asks_directly(&self) -> bool {
        self.to.asks_directly()
    }

    fn asked(&self, question: Question) {
        self.to.asked(question);
    }

    fn taken_back(&self, connection: &Connection, id: &str, notification: &Bytes) {
        self.to.taken_back(connection, id, notification);
    }

    fn ended(&self, connection: &Connection) {
        self.to.ended(connection);
    }

    fn has_room(&self) -> bool {
        self.to.has_room()
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.to.room()
    }
}
