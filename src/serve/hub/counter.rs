//! What a hub is asked at its own door: who it is, to end, and to make way for another one.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use crate::control::{PATIENCE, Request, Talk};
use crate::frames::Why;
use crate::local::Stream;
use crate::serve::hub::Hub;
use crate::store::stamp;
use crate::version;

/// Whoever is to take the hub's place, and may, does so within this.
const GO_WITHIN: Duration = Duration::from_secs(2);

/// Hears one question and does what it asks for.
///
/// # Errors
/// When whoever asks has gone.
pub async fn attend(hub: &Hub, stream: Stream) -> io::Result<()> {
    let mut talk = Talk::with(stream);
    match talk.hear(PATIENCE).await? {
        Ok(Request::Status) => talk.answer(Ok(status(hub))).await,
        Ok(Request::Stop { wait }) => stop(hub, talk, wait).await,
        Ok(Request::Succeed { wait, version }) => succeed(hub, talk, wait, version).await,
        Ok(
            Request::Reload
            | Request::Restart { .. }
            | Request::StopServer { .. }
            | Request::StartServer { .. }
            | Request::Approved
            | Request::Go,
        ) => talk.answer(Err("this is not for the hub".into())).await,
        Err(words) => talk.answer(Err(words)).await,
    }
}

fn status(hub: &Hub) -> Value {
    let fronts = hub.end.fronts().into_iter().map(
        |front| json!({ "pid": front.pid, "version": front.version, "since": stamp::text(front.since_ms) }),
    );
    json!({
        "pid": std::process::id(),
        "version": version::own(),
        "program": hub.program,
        "since": stamp::text(hub.since_ms),
        "state": if hub.end.has_begun() { "ending" } else { "serving" },
        "fronts": fronts.collect::<Vec<_>>(),
    })
}

async fn stop(hub: &Hub, mut talk: Talk, wait: Duration) -> io::Result<()> {
    let Some(_one) = hub.end.begin() else { return talk.answer(Err(busy())).await };
    tracing::info!(wait_ms = wait.as_millis(), "asked to stop");
    let unfinished = hub.end.drain(wait).await;
    // It was asked to, whether the one who asked still listens or not.
    hub.end.leave(Why::Stop);
    talk.answer(Ok(json!({ "pid": std::process::id(), "unfinished": unfinished }))).await
}

/// Makes way for another hub, if that does what it must at each step; else this one goes on.
async fn succeed(hub: &Hub, mut talk: Talk, wait: Duration, version: Option<String>) -> io::Result<()> {
    if let Some(theirs) = version.filter(|theirs| !version::is_newer(theirs, version::own())) {
        let words = format!(
            "hub {} is of version {}, and no older than {theirs}",
            std::process::id(),
            version::own()
        );
        return talk.answer(Err(words)).await;
    }
    let Some(_one) = hub.end.begin() else { return talk.answer(Err(busy())).await };
    tracing::info!(wait_ms = wait.as_millis(), "another hub is to take this one's place");
    let makes_way = async {
        let unfinished = tokio::select! {
            unfinished = hub.end.drain(wait) => unfinished,
            // It says nothing before its time.
            _ = talk.hear(Duration::MAX) => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        talk.answer(Ok(json!({ "pid": std::process::id(), "unfinished": unfinished }))).await?;
        talk.hear(GO_WITHIN).await
    };
    match makes_way.await {
        Ok(Ok(Request::Go)) => hub.end.leave(Why::Upgrade),
        other => {
            tracing::warn!(?other, "the other hub did not come, this one goes on");
            hub.end.stay();
        }
    }
    Ok(())
}

fn busy() -> String {
    format!("hub {} is ending already, or makes way for another one", std::process::id())
}
