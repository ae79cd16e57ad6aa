//! What a running bridge answers to its user: the other side of `bridge status` and its like.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::builtin::status::{self, Sources};
use crate::control::{self, Answering, Request};
use crate::local::{Hall, Listener};
use crate::session::Client;
use crate::session::record::Attached;
use crate::store::stamp;

/// The client's first requests go before the control socket, which nobody waits for.
const AFTER_START: Duration = Duration::from_millis(50);

/// Answers for one running bridge.
pub struct Desk {
    /// What it does.
    pub sources: Arc<Sources>,
    /// Whom it serves.
    pub client: Arc<Client>,
}

impl Desk {
    /// Answers until it is dropped. Without a socket the bridge serves as well, and says once why nobody can
    /// ask it.
    pub async fn run(self, data_dir: PathBuf) {
        tokio::time::sleep(AFTER_START).await;
        match tokio::task::spawn_blocking(move || listen(&Hall::of(&data_dir))).await {
            Ok(Ok(listener)) => control::attend(listener, Arc::new(self)).await,
            Ok(Err(error)) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "no control socket: bridge status cannot ask this bridge"
                );
            }
            Err(error) => tracing::error!(%error, "control socket could not be made"),
        }
    }

    fn status(&self) -> Value {
        let up_ms = i64::try_from(self.sources.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        json!({
            "pid": std::process::id(),
            "since": stamp::text(stamp::now_ms().saturating_sub(up_ms)),
            "sessions": self.client.attached().iter().map(session).collect::<Vec<_>>(),
            "status": status::data(&self.sources),
        })
    }
}

impl control::Desk for Desk {
    fn answer(&self, request: Request) -> Answering<'_> {
        Box::pin(async move {
            match request {
                Request::Status => Ok(self.status()),
            }
        })
    }
}

fn listen(hall: &Hall) -> anyhow::Result<Listener> {
    hall.make()?;
    Ok(control::own_door(hall).open()?)
}

fn session(attached: &Attached) -> Value {
    let Attached { session, client, since_ms } = attached;
    json!({
        "session": session.to_string(),
        "client": client.name,
        "clientVersion": client.version,
        "protocolVersion": client.protocol_version,
        "since": stamp::text(*since_ms),
    })
}
