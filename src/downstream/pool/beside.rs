//! What a connection beside the base one tells of its server.

use std::sync::Arc;

use crate::downstream::Link;
use crate::downstream::greeting::Greeting;
use crate::downstream::listing::Listing;
use crate::downstream::pool::key::Tenant;
use crate::downstream::watcher::{Happened, Watcher};
use crate::names::ServerName;

/// Tells everything, but lists only as long as the base connection is not there to do so: what is on offer
/// must not change with each new connection.
pub struct Beside {
    /// Who hears of it.
    pub watcher: Arc<dyn Watcher>,
    /// The base connection.
    pub base: Arc<Link>,
}

impl Watcher for Beside {
    fn happened(&self, server: &ServerName, tenant: &Tenant, event: Happened) {
        self.watcher.happened(server, tenant, event);
    }

    fn greeted_before(&self, server: &ServerName) -> Option<Greeting> {
        self.watcher.greeted_before(server)
    }

    fn listed(&self, server: &ServerName, listing: Listing) {
        if self.base.at_once().is_none() {
            self.watcher.listed(server, listing);
        }
    }
}
