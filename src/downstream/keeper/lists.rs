//! Asking a server what it offers.

use std::sync::Arc;

use crate::config::server::Server;
use crate::downstream::connection::Connection;
use crate::downstream::keeper::Surroundings;
use crate::downstream::listing::list_tools;

/// Asks for the tools. A list that fails leaves the one that is known as it is.
pub(super) async fn list(server: &Server, around: &Surroundings, connection: &Arc<Connection>) {
    match tokio::time::timeout(server.start_timeout, list_tools(connection)).await {
        Ok(Ok(listing)) => around.watcher.listed(&server.name, listing),
        Ok(Err(error)) => tracing::warn!(server = %server.name, %error, "tools not listed"),
        Err(_) => tracing::warn!(server = %server.name, "tools not listed in time"),
    }
}
