//! What a running bridge answers to its user: the other side of `bridge status` and its like.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::builtin::status::{self, Sources};
use crate::config::mistake::suggestion;
use crate::control::{self, Answering, Request};
use crate::downstream::{LinkState, Status};
use crate::local::{Hall, Listener};
use crate::names::ServerName;
use crate::serve::reload::{Order, Renewed};
use crate::store::stamp;

/// The client's first requests go before the control socket, which nobody waits for.
const AFTER_START: Duration = Duration::from_millis(50);

/// Whoever asks for a new start of a server, or its end, is told how that went, if it is over by then.
const STARTED_WITHIN: Duration = Duration::from_secs(10);

/// Answers for one running bridge.
pub struct Desk {
    /// What it does.
    pub sources: Arc<Sources>,
    /// Who changes the set of servers.
    pub changes: mpsc::Sender<Order>,
}

impl Desk {
    /// Answers until it is dropped. Without a socket the bridge serves as well, and says once why nobody can
    /// ask it.
    pub async fn run(self: Arc<Self>, data_dir: PathBuf) {
        tokio::time::sleep(AFTER_START).await;
        match tokio::task::spawn_blocking(move || listen(&Hall::of(&data_dir))).await {
            Ok(Ok(listener)) => control::attend(listener, self).await,
            Ok(Err(error)) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "no control socket: bridge status cannot ask this bridge"
                );
            }
            Err(error) => tracing::error!(%error, "control socket could not be made"),
        }
    }

    async fn order<T>(&self, order: Order, answer: oneshot::Receiver<T>) -> Result<T, String> {
        let stops = || "the bridge is stopping".to_owned();
        self.changes.send(order).await.map_err(|_| stops())?;
        answer.await.map_err(|_| stops())
    }

    /// What is said of a server that is not in the configuration.
    fn unknown(&self, server: &str) -> String {
        let all = self.sources.fleet.all();
        let known: Vec<&str> = all.iter().map(|pool| pool.name().as_str()).collect();
        let meant = suggestion(server, &known).map(|known| format!(", did you mean {known:?}?"));
        format!("it has no server {server:?}{}", meant.unwrap_or_default())
    }

    /// Ends a server, and says when it is gone, or that it still ends.
    async fn stop(&self, server: String) -> Result<Value, String> {
        let name = ServerName::parse(&server).map_err(|_| self.unknown(&server))?;
        let (told, answer) = oneshot::channel();
        let held = self.order(Order::Hold(name, told), answer).await?;
        let held = held.map_err(|error| format!("it cannot note down that {server} is stopped: {error}"))?;
        let Renewed { ended_pid, mut gone, .. } = held.ok_or_else(|| self.unknown(&server))?;
        let gone = tokio::time::timeout(STARTED_WITHIN, gone.wait_for(|is_gone| *is_gone)).await;
        Ok(json!({ "server": server, "endedPid": ended_pid, "state": "stopped", "gone": gone.is_ok() }))
    }

    /// Starts a server that does not run, whoever stopped it.
    async fn start(&self, server: String) -> Result<Value, String> {
        let name = ServerName::parse(&server).map_err(|_| self.unknown(&server))?;
        let is = self.sources.fleet.pool(&name).map(|pool| pool.base().status());
        match is {
            Some(Status { state: state @ (LinkState::Starting | LinkState::Ready(_)), pid, .. }) => {
                Ok(json!({ "server": server, "runs": true, "state": state.word(), "pid": pid }))
            }
            _ => self.restart(server).await,
        }
    }

    /// Has a server replaced by the same, and says how that starts.
    async fn restart(&self, server: String) -> Result<Value, String> {
        let name = ServerName::parse(&server).map_err(|_| self.unknown(&server))?;
        let (told, answer) = oneshot::channel();
        let renewed = self.order(Order::Restart(name, told), answer).await?;
        let Renewed { pool, ended_pid, .. } = renewed.ok_or_else(|| self.unknown(&server))?;
        let started = tokio::time::timeout(STARTED_WITHIN, pool.base().ready()).await;
        let ending = match &started {
            Ok(Err(not_ready)) => Some(&not_ready.ending),
            Ok(Ok(_)) | Err(_) => None,
        };
        let is = pool.base().status();
        Ok(json!({
            "server": server,
            "endedPid": ended_pid,
            "state": is.state.word(),
            "pid": is.pid,
            "error": ending.map(ToString::to_string),
            "stderr": ending.map(|ending| &ending.stderr),
        }))
    }

    fn status(&self) -> Value {
        let up_ms = i64::try_from(self.sources.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        json!({
            "pid": std::process::id(),
            "since": stamp::text(stamp::now_ms().saturating_sub(up_ms)),
            "sessions": status::sessions(&self.sources),
            "status": status::data(&self.sources),
        })
    }
}

impl control::Desk for Desk {
    fn answer(&self, request: Request) -> Answering<'_> {
        Box::pin(async move {
            match request {
                Request::Status => Ok(self.status()),
                Request::Reload => {
                    let (told, answer) = oneshot::channel();
                    self.order(Order::Reload(told), answer).await?
                }
                Request::Restart { server } => self.restart(server).await,
                Request::StopServer { server } => self.stop(server).await,
                Request::StartServer { server } => self.start(server).await,
                Request::Approved => {
                    let offers = Arc::clone(&self.sources.offers);
                    let read = tokio::task::spawn_blocking(move || offers.approved()).await;
                    read.map(|()| json!({})).map_err(|error| error.to_string())
                }
                Request::Stop { .. } | Request::Succeed { .. } | Request::Go => {
                    Err("this is for a hub, which has a door of its own".into())
                }
            }
        })
    }
}

fn listen(hall: &Hall) -> anyhow::Result<Listener> {
    hall.make()?;
    Ok(control::own_door(hall).open()?)
}
