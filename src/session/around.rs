//! What a client is given of the house that it belongs to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::clients::Clients;
use crate::downstream::greeting::Face;
use crate::roster::Roster;
use crate::router::Router;
use crate::session::attached::Fronted;
use crate::session::outlet::Outlet;
use crate::session::switchboard::Switchboard;
use crate::session::unasked::Unasked;
use crate::store::Journal;
use crate::store::ids::CallIds;

/// Whom a client belongs to.
pub struct Around {
    /// Its servers.
    pub router: Arc<Router>,
    /// The record.
    pub journal: Journal,
    /// The way to it.
    pub outlet: Arc<Outlet>,
    /// What servers say to it unasked.
    pub unasked: Arc<Unasked>,
    /// Who else is there.
    pub switchboard: Arc<Switchboard>,
    /// The ids of all calls.
    pub call_ids: Arc<CallIds>,
    /// What servers are told about it.
    pub face: watch::Sender<Face>,
    /// How long it may take to come back to a question.
    pub question_expiry: Duration,
    /// What it can stand, whoever it is.
    pub clients: Clients,
    /// Who is attached.
    pub roster: Arc<Roster>,
    /// The front that it is attached through, if it is.
    pub front: Option<Fronted>,
}
