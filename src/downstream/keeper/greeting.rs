//! The beginning of a life: how a server is greeted, and what is asked of it first.

use std::process::ExitStatus;
use std::time::Duration;

use crate::downstream::connection::Connection;
use crate::downstream::greeting::{Face, Greeting};
use crate::downstream::handshake::{self, NotGreeted};
use crate::downstream::keeper::lists::Asked;
use crate::downstream::keeper::{EXIT_GRACE, Keeper, Running};
use crate::era::Era;
use crate::outcome::Cause;

/// A server of which nobody knows whether it speaks the modern revision has this long to say so.
const PROBE: Duration = Duration::from_secs(10);

/// A server that refused `initialize` has this long to say that it speaks the modern revision.
const SECOND_ASK: Duration = Duration::from_secs(5);

/// How a server is greeted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greet {
    /// By `initialize`, which harms no server: one that does not know it says so, and is asked by
    /// `server/discover` then.
    Initialize {
        /// Whether it is known to speak no other revision.
        legacy_only: bool,
    },
    /// By `server/discover`, which old servers do not survive: one that does not answer it well is thrown
    /// away and started anew.
    Discover {
        /// It has this long.
        patience: Duration,
    },
}

impl Greet {
    /// The first greeting: in the client's own era, if the server may speak it.
    pub fn first(face: &Face, before: Option<&Greeting>) -> Self {
        let legacy_only = before.is_some_and(|greeting| greeting.legacy_only);
        match (face.era, before.map(|greeting| greeting.era)) {
            (Era::Legacy, _) => Self::Initialize { legacy_only },
            (Era::Modern, _) if legacy_only => Self::Initialize { legacy_only },
            (Era::Modern, Some(Era::Modern)) => Self::Discover { patience: Duration::MAX },
            (Era::Modern, _) => Self::Discover { patience: PROBE },
        }
    }
}

/// Why a server did not become ready.
pub(super) enum NotMade {
    /// It was asked for the modern revision and did not say that it speaks it.
    NotModern {
        /// Whether that was its word: an answer that says no, or its end when it was asked. Time that
        /// passed says nothing.
        legacy_only: bool,
    },
    /// It failed.
    Failed(Cause, String, Option<ExitStatus>),
}

impl Keeper {
    /// Handshake and first list, as long as the process lives and the start timeout allows; how long after its
    /// start the handshake was done.
    pub(super) async fn make_ready(
        &self,
        running: &mut Running,
        face: &Face,
        greet: Greet,
    ) -> Result<Duration, NotMade> {
        let Running { process, connection, reader, relists, wishes, started, .. } = running;
        let pid = process.pid;
        let asked = Asked { server: &self.server, around: &self.around, tenant: &self.tenant, connection };
        let greeted = async {
            let greeting = match greet {
                Greet::Initialize { legacy_only } => {
                    let patience = SECOND_ASK.min(self.server.start_timeout / 4);
                    handshake::greet(connection, face, legacy_only, patience).await
                }
                Greet::Discover { patience } => {
                    let patience = patience.min(self.server.start_timeout / 2);
                    let asked = tokio::time::timeout(patience, handshake::discover(connection, face)).await;
                    return match asked {
                        Ok(Ok(greeting)) => Ok(greeting),
                        Ok(Err(NotGreeted::Refused(_) | NotGreeted::Form(_))) => {
                            Err(NotMade::NotModern { legacy_only: true })
                        }
                        Ok(Err(NotGreeted::Ended)) | Err(_) => Err(NotMade::NotModern { legacy_only: false }),
                    };
                }
            };
            greeting.map_err(|what| {
                let what = format!("answered the handshake with something else: {what}");
                NotMade::Failed(Cause::ProtocolGarbage, what, None)
            })
        };
        let made = async {
            let greeting = greeted.await?;
            let handshake = started.elapsed();
            self.phase("handshake", pid, handshake);
            // Before the lists are asked for, so that no change of them is missed.
            wishes.tell(connection).await;
            asked.list_all(greeting, relists).await;
            self.phase("first list", pid, started.elapsed());
            Ok(handshake)
        };
        let timeout = self.server.start_timeout;
        let is_probed = || matches!(greet, Greet::Discover { .. }) && connection.greeting().is_none();
        let failed = |cause, what: &str, status| Err(NotMade::Failed(cause, what.to_owned(), status));
        tokio::select! {
            // What it said last before it ended says more than that it ended.
            biased;
            made = made => made,
            // Old servers end when they are asked what they do not know.
            (status, was_asked) = async { (process.wait().await, connection.has_written_all()) } => match is_probed() {
                true => Err(NotMade::NotModern { legacy_only: was_asked }),
                false => failed(Cause::ExitedBeforeReady, "ended before it was ready", status),
            },
            (_, was_asked) = async { (reader.await, connection.has_written_all()) } => {
                let status = tokio::time::timeout(EXIT_GRACE, process.wait()).await.ok().flatten();
                match is_probed() {
                    true => Err(NotMade::NotModern { legacy_only: was_asked && status.is_some() }),
                    false if status.is_some() => {
                        failed(Cause::ExitedBeforeReady, "ended before it was ready", status)
                    }
                    false => failed(Cause::ExitedBeforeReady, "closed its output before it was ready", None),
                }
            }
            () = tokio::time::sleep(timeout) => Err(too_slow(connection, timeout)),
        }
    }
}

/// What a server has not done in its time.
fn too_slow(connection: &Connection, timeout: Duration) -> NotMade {
    let s = timeout.as_secs();
    let (lines, _) = connection.noise();
    let (cause, what) = match connection.greeting() {
        None if lines > 0 => (
            Cause::ProtocolGarbage,
            format!(
                "wrote what is no message of the protocol to its stdout, and did not answer the handshake in {s} s"
            ),
        ),
        None => (Cause::TooSlow, format!("was not ready after {s} s: it did not answer the handshake")),
        Some(_) => (Cause::TooSlow, format!("was not ready after {s} s: it did not list its tools")),
    };
    NotMade::Failed(cause, what, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(era: Era) -> Face {
        Face { era, ..Face::default() }
    }

    fn before(era: Era, legacy_only: bool) -> Greeting {
        Greeting {
            era,
            legacy_only,
            protocol_version: String::new(),
            capabilities: "{}".into(),
            instructions: None,
            server_info: None,
        }
    }

    #[test]
    fn a_server_is_greeted_in_the_clients_era_where_it_may_speak_it() {
        let initialize = |legacy_only| Greet::Initialize { legacy_only };
        let probe = Greet::Discover { patience: PROBE };
        assert_eq!(Greet::first(&face(Era::Legacy), None), initialize(false));
        assert_eq!(Greet::first(&face(Era::Legacy), Some(&before(Era::Modern, false))), initialize(false));
        assert_eq!(Greet::first(&face(Era::Legacy), Some(&before(Era::Legacy, true))), initialize(true));
        assert_eq!(Greet::first(&face(Era::Modern), None), probe);
        assert_eq!(Greet::first(&face(Era::Modern), Some(&before(Era::Legacy, false))), probe);
        assert_eq!(Greet::first(&face(Era::Modern), Some(&before(Era::Legacy, true))), initialize(true));
        let known = Greet::first(&face(Era::Modern), Some(&before(Era::Modern, false)));
        assert_eq!(known, Greet::Discover { patience: Duration::MAX });
    }
}
