//! A request on its way, and how it is taken back.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::downstream::Ending;
use crate::downstream::connection::{Connection, Lost, Reply};
use crate::wire::{Cut, splice};

/// A request that is under way.
pub struct InFlight {
    pub(super) connection: Arc<Connection>,
    pub(super) id: u64,
    pub(super) answer: oneshot::Receiver<Reply>,
}

impl InFlight {
    /// Waits for the server's answer.
    ///
    /// # Errors
    /// When the connection ends first, or the answer is too large to be read.
    pub async fn answer(&mut self) -> Reply {
        match (&mut self.answer).await {
            Ok(reply) => reply,
            // The sender is dropped only with the connection itself.
            Err(_) => Err(Lost::Ended { written: true, ending: Arc::new(Ending::unknown()) }),
        }
    }

    /// The id that the request has towards the server.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The connection that it went to.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some(waiter) = self.connection.forget(self.id).filter(|waiter| waiter.written) else { return };
        let id = self.id.to_string();
        match waiter.hears.and_then(|hears| hears.withdrawn()) {
            // The client's own words, with its reason.
            Some((line, span)) => {
                self.connection.say_frame(splice(&line, &[Cut { span, text: id.as_bytes() }]));
            }
            None => {
                let line = format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
                );
                // A connection that has ended needs no cancel.
                let _ = self.connection.say(line.into_bytes());
            }
        }
    }
}
