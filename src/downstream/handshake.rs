//! The handshake with a server: an rmcp client on the tap of its connection.

use std::sync::Arc;

use rmcp::ServiceExt;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion};
use rmcp::service::{ClientInitializeError, RoleClient, RunningService};

use crate::downstream::connection::Connection;
use crate::tap::{Gone, tap};

/// The client that we are to a server. What it can do grows with what the bridge passes through.
#[derive(Debug, Clone)]
struct Us;

impl ClientHandler for Us {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("bridge", env!("CARGO_PKG_VERSION")),
        )
        // The SDK's own default names a revision that has no `initialize`.
        .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }
}

/// A greeted server. While it lives, the SDK answers what the server asks of its client.
pub struct Greeted {
    _service: RunningService<RoleClient, Us>,
    /// Whether the server has tools at all.
    pub has_tools: bool,
    /// The revision that both speak.
    pub protocol_version: String,
}

/// Opens a session with the server: `initialize` and `notifications/initialized`. Waits as long as
/// the server does; the caller holds the deadline.
///
/// # Errors
/// What was wrong with the server's answer, without anything that stood in it.
pub async fn greet(connection: &Arc<Connection>) -> Result<Greeted, String> {
    let to_server = Arc::downgrade(connection);
    let (feed, tap) = tap::<RoleClient>(move |line| {
        let connection = to_server.upgrade().ok_or(Gone)?;
        connection.say(line).map_err(|_| Gone)
    });
    connection.set_sdk(Box::new(move |line| feed.line(line).is_ok()));
    let service = Us.serve(tap).await.map_err(|error| in_words(&error))?;
    let info = service.peer_info();
    Ok(Greeted {
        has_tools: info.as_ref().is_none_or(|info| info.capabilities.tools.is_some()),
        protocol_version: info.map(|info| info.protocol_version.to_string()).unwrap_or_default(),
        _service: service,
    })
}

/// The SDK's own words show the whole message, which belongs into no log and no row.
fn in_words(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::JsonRpcError(data) => format!("a JSON-RPC error with code {}", data.code.0),
        ClientInitializeError::ExpectedInitResponse(_) | ClientInitializeError::ExpectedInitResult(_) => {
            "no result of initialize".to_owned()
        }
        ClientInitializeError::ConflictInitResponseId(..)
        | ClientInitializeError::UncorrelatedErrorResponse { .. } => "an answer under another id".to_owned(),
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            "no protocol version that both speak".to_owned()
        }
        ClientInitializeError::ConnectionClosed(_) => "the end of its output".to_owned(),
        _ => "a fault of the connection".to_owned(),
    }
}
