//! The handshake with a server: an rmcp client on the tap of its connection.

use std::sync::Arc;

use rmcp::ServiceExt;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation};
use rmcp::service::{RoleClient, RunningService};

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
/// What was wrong with the server's answer.
pub async fn greet(connection: &Arc<Connection>) -> Result<Greeted, String> {
    let to_server = Arc::downgrade(connection);
    let (feed, tap) = tap::<RoleClient>(move |line| {
        let connection = to_server.upgrade().ok_or(Gone)?;
        connection.say(line).map_err(|_| Gone)
    });
    connection.set_sdk(Box::new(move |line| feed.line(line).is_ok()));
    let service = Us.serve(tap).await.map_err(|error| error.to_string())?;
    let info = service.peer_info();
    Ok(Greeted {
        has_tools: info.as_ref().is_none_or(|info| info.capabilities.tools.is_some()),
        protocol_version: info.map(|info| info.protocol_version.to_string()).unwrap_or_default(),
        _service: service,
    })
}
