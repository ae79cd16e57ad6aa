//! A request on its way, and how it is taken back.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::downstream::Ending;
use crate::downstream::connection::{Answer, Connection, Lost, Reply};
use crate::downstream::pool::lease::Hold;
use crate::era::Era;
use crate::wire::{Cut, Envelope, Params, Span, legacy_meta, span_of, splice};

/// A request that is under way.
pub struct InFlight {
    pub(super) connection: Arc<Connection>,
    pub(super) id: u64,
    pub(super) answer: oneshot::Receiver<Reply>,
    /// What the request holds until it is answered or taken back.
    pub(super) hold: Option<Hold>,
}

impl InFlight {
    /// A request that was lost before it had an id.
    pub(super) fn lost(connection: &Arc<Connection>, lost: Lost) -> Self {
        let (reply, answer) = oneshot::channel();
        // The receiver is ours.
        let _ = reply.send(Err(lost));
        Self { connection: Arc::clone(connection), id: 0, answer, hold: None }
    }

    /// Waits for the server's answer.
    ///
    /// # Errors
    /// When the connection ends first, or the answer is too large to be read.
    pub async fn answer(&mut self) -> Reply {
        match (&mut self.answer).await {
            Ok(reply) => {
                if let (Ok(Answer { task: Some(_), .. }), Some(hold)) = (&reply, &self.hold) {
                    hold.gave_task();
                }
                reply
            }
            // The sender is dropped only with the connection itself.
            Err(_) => Err(Lost::Ended { written: true, ending: Arc::new(Ending::unknown()) }),
        }
    }

    /// The same request, which holds this until it is answered or taken back.
    #[must_use]
    pub fn with(mut self, hold: Hold) -> Self {
        self.hold = Some(hold);
        self
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
                let meta = match self.connection.era() {
                    Era::Legacy => enveloped(&line),
                    Era::Modern => None,
                };
                let mut cuts = vec![Cut { span, text: id.as_bytes() }];
                cuts.extend(
                    meta.iter().map(|(span, text)| Cut { span: span.clone(), text: text.as_bytes() }),
                );
                self.connection.say_frame(splice(&line, &cuts));
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

/// Where the metadata of a client's notification stands, and what an older server gets in its place.
fn enveloped(line: &[u8]) -> Option<(Span, String)> {
    let meta = Params::parse(Envelope::parse(line).ok()?.params?)?.meta?;
    Some((span_of(line, meta.get())?, legacy_meta(meta)?))
}
