//! How a server is greeted: `initialize` in the older era, `server/discover` in the modern one.
//!
//! Both go as lines, like everything else on the pipe: the SDK's typed model would lose what it does
//! not know of the capabilities, in both directions.

use std::sync::Arc;
use std::time::Duration;

use crate::downstream::connection::{Answer, Connection, Lost, Verdict};
use crate::downstream::greeting::{Face, Greeting};
use crate::era::Era;
use crate::wire::result_of;

/// Why a server could not be greeted, without anything that stood in its answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotGreeted {
    /// The connection ended first.
    #[error("the end of its output")]
    Ended,
    /// It answered with an error of this code.
    #[error("a JSON-RPC error with code {0}")]
    Refused(i64),
    /// It answered with something else.
    #[error("no result of {0}")]
    Form(&'static str),
}

/// Opens a session: `initialize` and `notifications/initialized`. A server that knows no `initialize`
/// speaks the modern revision; it is asked on the same pipe, since it keeps no session, and has the patience
/// to say so. Else waits as long as the server does; the caller holds the deadline. `legacy_only` says that
/// it is known to speak no other.
///
/// # Errors
/// What was wrong with the server's answer.
pub async fn greet(
    connection: &Arc<Connection>,
    face: &Face,
    legacy_only: bool,
    patience: Duration,
) -> Result<Greeting, NotGreeted> {
    let greeting = match ask(connection, "initialize", &face.initialize()).await {
        Ok(answer) => {
            let greeting = result_of(&answer.line).and_then(Greeting::of_initialize);
            Greeting { legacy_only, ..greeting.ok_or(NotGreeted::Form("initialize"))? }
        }
        // What it has against `initialize` is the better word when it knows no `server/discover` either.
        Err(NotGreeted::Refused(code)) => {
            let discovered = tokio::time::timeout(patience, discover(connection, face)).await;
            return discovered.ok().and_then(Result::ok).ok_or(NotGreeted::Refused(code));
        }
        Err(other) => return Err(other),
    };
    connection.greeted(greeting.clone(), face);
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    connection.say(initialized.into()).map_err(|_| NotGreeted::Ended)?;
    Ok(greeting)
}

/// Asks a server of the modern era who it is.
///
/// # Errors
/// What was wrong with the server's answer.
pub async fn discover(connection: &Arc<Connection>, face: &Face) -> Result<Greeting, NotGreeted> {
    let params = format!(r#"{{"_meta":{{{}}}}}"#, face.modern_members());
    let answer = ask(connection, "server/discover", &params).await?;
    let greeting = result_of(&answer.line).and_then(Greeting::of_discover);
    let greeting = greeting.ok_or(NotGreeted::Form("server/discover"))?;
    debug_assert_eq!(greeting.era, Era::Modern);
    connection.greeted(greeting.clone(), face);
    Ok(greeting)
}

async fn ask(connection: &Arc<Connection>, method: &str, params: &str) -> Result<Answer, NotGreeted> {
    let asked = connection.ask_own(method, params);
    let answer = match asked {
        Ok(mut in_flight) => in_flight.answer().await,
        Err(lost) => Err(lost),
    };
    match answer {
        Ok(answer) if answer.verdict == Verdict::RpcError => Err(NotGreeted::Refused(answer.error_code())),
        Ok(answer) => Ok(answer),
        Err(Lost::Ended { .. } | Lost::TooLarge { .. }) => Err(NotGreeted::Ended),
    }
}
