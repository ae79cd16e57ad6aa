//! What each client of a house is given of it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::clients::Clients;
use crate::downstream::client::Faces;
use crate::roster::Roster;
use crate::router::Router;
use crate::session::switchboard::Switchboard;
use crate::store::Journal;
use crate::store::ids::CallIds;

/// The sides of a house that clients see.
pub struct Doors {
    /// Its servers.
    pub router: Arc<Router>,
    /// Its record.
    pub journal: Journal,
    /// Between what servers say unasked and the clients.
    pub switchboard: Arc<Switchboard>,
    /// The ids of all calls.
    pub call_ids: Arc<CallIds>,
    /// What servers are shown of the clients.
    pub faces: Arc<Faces>,
    /// Who is attached.
    pub roster: Arc<Roster>,
    /// What clients can stand.
    pub clients: Clients,
    /// How long a client may take to come back to a question.
    pub question_expiry: Duration,
    /// The longest line that a client may send, in bytes.
    pub in_line_bytes_max: usize,
}
