//! What is on offer, as one client is shown it: lists, and word of their changes.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::era::Era;
use crate::guard;
use crate::list::List;
use crate::session::modern;
use crate::session::pending::Extras;
use crate::session::reply::{self, Rpc, code};
use crate::session::{Client, Permit, Rules};
use crate::wire::{Frame, object};

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
            if !self.outlet.is_open() && self.unasked.listens.all().is_empty() {
                // Said again when the client is ready, see `notifications/initialized`.
                continue;
            }
            {
                let mut state = self.lock();
                if state.shown.as_ref().is_none_or(|shown| shown.shows_the_same(List::Tools, &now)) {
                    continue;
                }
                state.shown = Some(now);
            }
            self.outlet.notify(reply::notification("notifications/tools/list_changed"));
            for listen in self.unasked.listens.all().iter().filter(|listen| listen.tools) {
                self.outlet.answer(listen.tools_changed(), None);
            }
        }
    }

    pub(super) fn list(self: &Arc<Self>, id: &str, rules: Rules, params: Option<&RawValue>, permit: Permit) {
        let (client, place) = (Arc::clone(self), self.pending.enter(id, Extras::default()));
        let after = match cursor(params) {
            Ok(after) => after,
            Err(rpc) => return self.outlet.answer(rpc.frame(id), permit),
        };
        self.spawn(id, async move {
            let guarded = guard::run(|| client.router.catalog(), place.asking().called_off()).await;
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
            let members = if rules.era == Era::Modern { modern::list_members() } else { String::new() };
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
