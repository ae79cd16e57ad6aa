//! How a client begins: the session that `initialize` opens, what `server/discover` tells, and by which
//! rules a request is answered.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::era::Era;
use crate::router::offers::View;
use crate::session::introduction::{self, Introduction};
use crate::session::reply::{self, Rpc};
use crate::session::{Client, Permit, Rules, legacy, modern};
use crate::wire::Meta;

impl Client {
    /// The session is open at once; what is known of the servers may take a moment to be read.
    pub(super) fn initialize(self: &Arc<Self>, id: &str, params: Option<&RawValue>, permit: Permit) {
        match legacy::initialize(params) {
            Ok(initialized) => {
                let version = initialized.version;
                let limits = self.clients.limits(initialized.client.name.as_deref());
                self.sessions.initialized(initialized.client);
                self.unasked.asks.open();
                let sender: Arc<str> = initialized.face.modern_members().into();
                self.face.send_replace(initialized.face);
                {
                    let mut state = self.lock();
                    (state.legacy, state.sender) = (Some(version), Some(sender));
                    state.limits = Some(limits);
                }
                self.outlet.set_line_bytes_max(limits.line_bytes_max);
                self.introduce(id, permit, move |introduction| legacy::initialized(version, introduction));
            }
            Err(rpc) => self.outlet.answer(rpc.frame(id), permit),
        }
    }

    /// A probe is no session and leaves no row.
    pub(super) fn discover(self: &Arc<Self>, id: &str, meta: &Meta<'_>, permit: Permit) {
        match modern::client_of(meta).and_then(|client| client.ok_or_else(modern::no_session)) {
            Ok(_) => self.introduce(id, permit, modern::discover),
            Err(rpc) => self.outlet.answer(rpc.frame(id), permit),
        }
    }

    /// Answers with what the bridge says of itself, at once if the stored lists have been read.
    fn introduce(
        self: &Arc<Self>,
        id: &str,
        permit: Permit,
        result: impl FnOnce(&Introduction) -> String + Send + 'static,
    ) {
        let answer = |client: &Self, id: &str, view: &View| {
            let result = result(&Introduction::of(&introduction::own(&client.router.fleet.all()), view));
            client.outlet.answer(reply::result(id, &result), permit);
        };
        let view = self.router.offers.view();
        if view.loaded {
            return answer(self, id, &view);
        }
        let (client, own_id) = (Arc::clone(self), id.to_owned());
        self.aside(id, async move { answer(&client, &own_id, &client.router.offers.loaded().await) });
    }

    /// By which rules a request is answered: its own word counts first, then the open session.
    pub(super) fn rules(&self, meta: &Meta<'_>) -> Result<Rules, Rpc> {
        if let Some(client) = modern::client_of(meta)? {
            let limits = self.clients.limits(client.name.as_deref());
            if self.lock().legacy.is_none() {
                self.face.send_if_modified(|face| modern::show(face, meta));
                self.outlet.set_line_bytes_max(limits.line_bytes_max);
            }
            return Ok(Rules { session: self.sessions.modern(client), era: Era::Modern, limits });
        }
        let session = self.sessions.legacy().ok_or_else(modern::no_session)?;
        let limits = self.lock().limits.unwrap_or_else(|| self.clients.limits(None));
        Ok(Rules { session, era: Era::Legacy, limits })
    }
}
