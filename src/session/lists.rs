//! What is on offer, as one client is shown it: lists, and word of their changes.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::guard;
use crate::list::List;
use crate::session::modern::{self, Listen};
use crate::session::reply::{self, Rpc, code};
use crate::session::{Client, Era, Permit, unknown_method};
use crate::wire::{Frame, object};

/// Subscriptions that one client may have open.
const LISTENS_MAX: usize = 64;

/// The longest id that is kept for as long as a subscription is open, in bytes.
const LISTEN_ID_BYTES_MAX: usize = 4096;

impl Client {
    /// Tells the client when what is on offer is no longer what it was shown last. One that was never
    /// shown anything has nothing to forget.
    pub async fn tell_changes(&self) {
        let mut views = self.router.offers.subscribe();
        loop {
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                () = self.listed.notified() => {}
            }
            let now = Arc::clone(&views.borrow_and_update().catalog);
            if !self.outlet.is_open() && self.lock().listens.is_empty() {
                // Said again when the client is ready, see `notifications/initialized`.
                continue;
            }
            let listens = {
                let mut state = self.lock();
                if state.shown.as_ref().is_none_or(|shown| shown.shows_the_same(List::Tools, &now)) {
                    continue;
                }
                state.shown = Some(now);
                state.listens.clone()
            };
            self.outlet.notify(reply::notification("notifications/tools/list_changed"));
            for listen in listens.iter().filter(|listen| listen.tools) {
                self.outlet.answer(listen.tools_changed(), None);
            }
        }
    }

    pub(super) fn list(self: &Arc<Self>, id: &str, era: Era, params: Option<&RawValue>, permit: Permit) {
        let (client, (place, call_off)) = (Arc::clone(self), self.pending.enter(id));
        let after = match cursor(params) {
            Ok(after) => after,
            Err(rpc) => return self.outlet.answer(rpc.frame(id), permit),
        };
        self.spawn(id, async move {
            let guarded = guard::run(|| client.router.catalog(), call_off).await;
            let catalog = match guarded {
                guard::Guarded::Done(catalog) => catalog,
                // A request that was taken back gets no answer.
                guard::Guarded::CalledOff(guard::CalledOff::ByClient) => return,
                guard::Guarded::CalledOff(guard::CalledOff::ByStop) => {
                    let rpc = Rpc::new(code::INTERNAL, "unavailable", "the bridge is stopping");
                    return client.outlet.answer(rpc.frame(place.id()), permit);
                }
                guard::Guarded::Panicked(text) => {
                    tracing::error!(text, "list panicked");
                    let rpc = Rpc::new(code::INTERNAL, "panic", "the bridge failed on this request");
                    return client.outlet.answer(rpc.frame(place.id()), permit);
                }
            };
            let page = catalog.page(List::Tools, after.as_deref());
            let members = if era.modern { modern::list_members() } else { String::new() };
            let next =
                page.next.map(|next| serde_json::json!(next)).map(|next| format!(r#","nextCursor":{next}"#));
            let head = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{{members}"tools":"#, place.id());
            let tail = format!("{}}}}}\n", next.unwrap_or_default());
            client.outlet.answer(Frame::Pieces(vec![head.into(), page.items, tail.into()]), permit);
            client.lock().shown = Some(catalog);
            // It may have changed since it was taken.
            client.listed.notify_one();
        });
    }

    /// Opens a subscription; its acknowledgement takes the request's room.
    pub(super) fn listen(
        &self,
        era: Era,
        id: &str,
        params: Option<&RawValue>,
        permit: &mut Permit,
    ) -> Result<(), Rpc> {
        if !era.modern {
            return Err(unknown_method("subscriptions/listen"));
        }
        let listen = Listen::read(id, params)?;
        if self.lock().listens.len() >= LISTENS_MAX {
            let message = format!("{LISTENS_MAX} subscriptions are open already; cancel one first");
            return Err(Rpc::new(code::INVALID_REQUEST, "too_many", message));
        }
        if id.len() > LISTEN_ID_BYTES_MAX {
            let message = format!("the id of a subscription may have {LISTEN_ID_BYTES_MAX} bytes");
            return Err(Rpc::new(code::INVALID_REQUEST, "too_long", message));
        }
        self.outlet.answer(listen.acknowledged(), permit.take());
        let now = self.router.offers.view().catalog;
        let mut state = self.lock();
        state.listens.push(listen);
        // From now on it wants to hear, also when it was shown nothing yet.
        state.shown.get_or_insert(now);
        Ok(())
    }
}

/// Where a page begins; `None` for the first one.
fn cursor(params: Option<&RawValue>) -> Result<Option<String>, Rpc> {
    #[derive(Deserialize)]
    struct Cursor {
        #[serde(default)]
        cursor: Option<String>,
    }
    match params {
        None => Ok(None),
        Some(params) => object::<Cursor>(params)
            .map(|cursor| cursor.cursor)
            .ok_or_else(|| Rpc::bad_params("tools/list takes params with a cursor that is a string")),
    }
}
