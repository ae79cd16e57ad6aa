//! What is on offer, as one client is shown it: lists, and word of their changes.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::catalog::{Catalog, Page};
use crate::era::Era;
use crate::list::{Each, List};
use crate::router::offers::changes::ToolChange;
use crate::session::listen::Listen;
use crate::session::modern;
use crate::session::reply::{self, Rpc};
use crate::session::{Client, Permit, Rules};
use crate::tools::pin::{self, Kind, Told};
use crate::wire::{Frame, object};

/// What stands around the items of a page has so many bytes, unless its cursor is a very long name.
const AROUND_PAGE_BYTES: usize = 4096;

/// The severity `warning` of a log message.
const WARNING: u8 = 3;

/// What a client was shown of the lists.
#[derive(Default)]
pub(super) struct Shown {
    /// What it was shown last.
    last: Each<Option<Arc<Catalog>>>,
    /// Lists that it asked for and has not got yet: what they will show need not be told.
    asked: Each<usize>,
}

impl Shown {
    /// From now on the client wants to hear of what a subscription names, also when it was shown nothing
    /// yet.
    pub fn subscribed(&mut self, listen: &Listen, now: &Arc<Catalog>) {
        let heard = List::CHANGED.into_iter().filter(|changed| listen.hears(changed));
        for list in heard.flat_map(List::changed_by) {
            self.last.get_mut(*list).get_or_insert_with(|| Arc::clone(now));
        }
    }

    /// Whether a list is no longer what the client was shown; from then on it is, since it is told. A
    /// client that was never shown the list has nothing to forget.
    fn changes(&mut self, list: List, now: &Arc<Catalog>) -> bool {
        let last = self.last.get_mut(list);
        let changes =
            *self.asked.get(list) == 0 && last.as_ref().is_some_and(|last| !last.shows_the_same(list, now));
        if changes {
            *last = Some(Arc::clone(now));
        }
        changes
    }
}

/// A list that a client waits for.
struct Asked {
    client: Arc<Client>,
    list: List,
}

impl Asked {
    fn new(client: &Arc<Client>, list: List) -> Self {
        *client.lock().shown.asked.get_mut(list) += 1;
        Self { client: Arc::clone(client), list }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        *self.client.lock().shown.asked.get_mut(self.list) -= 1;
        // It may have changed since it was shown.
        self.client.listed.notify_one();
    }
}

impl Client {
    /// Tells the client when what is on offer is no longer what it was shown last.
    pub async fn tell_changes(&self) {
        let mut views = self.router.offers.subscribe();
        let mut told = Vec::new();
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
            for changed in List::CHANGED {
                self.tell_change(changed, &now);
            }
            self.tell_of_tools(&mut told);
        }
    }

    /// Tells an older client's log, once, of tools that its user should look at: those that are others than they
    /// were, and those that are held back.
    fn tell_of_tools(&self, told: &mut Vec<ToolChange>) {
        let mut changes = self.router.offers.changes();
        changes.retain(|change| change.held || change.difference.kind == Kind::Changed);
        let hears = self.outlet.is_open() && self.outlet.level() <= WARNING;
        if *told == changes || !hears {
            return;
        }
        let by_server = changes.chunk_by(|a, b| a.server == b.server);
        for of_one in by_server.filter(|of_one| !of_one.iter().all(|change| told.contains(change))) {
            let Some(ToolChange { server, .. }) = of_one.first() else { continue };
            let all = of_one.iter().map(|ToolChange { difference, held, .. }| Told {
                tool: &difference.tool,
                kind: difference.kind.word(),
                held: *held,
            });
            let words = pin::sentence(server.as_str(), &all.collect::<Vec<_>>());
            self.outlet.notify(reply::warning(&words));
        }
        *told = changes;
    }

    /// Tells of one kind of change, if there is one.
    fn tell_change(&self, changed: &str, now: &Arc<Catalog>) {
        {
            let mut state = self.lock();
            let lists = List::changed_by(changed).iter();
            if lists.filter(|list| state.shown.changes(**list, now)).count() == 0 {
                return;
            }
        }
        self.outlet.notify(reply::notification(changed));
        for listen in self.unasked.listens.all().iter().filter(|listen| listen.hears(changed)) {
            self.outlet.answer(listen.notification(changed, ""), None);
        }
    }

    /// Answers the request for a list.
    pub(super) fn list(
        self: &Arc<Self>,
        list: List,
        id: &str,
        rules: Rules,
        params: Option<&RawValue>,
        permit: Permit,
    ) {
        let after = match cursor(list, params) {
            Ok(after) => after,
            Err(rpc) => return self.outlet.answer(rpc.frame(id), permit),
        };
        let (client, asked, own_id) = (Arc::clone(self), Asked::new(self, list), id.to_owned());
        self.aside(id, async move {
            let catalog = match &after {
                None => client.router.catalog(list).await,
                // The other pages of what was shown.
                Some(_) => client.router.offers.loaded().await.catalog,
            };
            let line_bytes_max = rules.limits.line_bytes_max;
            let bytes_max = line_bytes_max.saturating_sub(own_id.len() + AROUND_PAGE_BYTES);
            let frame = page(&own_id, list, rules.era, catalog.page(list, after.as_deref(), bytes_max));
            client.outlet.answer(reply::readable(frame, &own_id, line_bytes_max), permit);
            let mut state = client.lock();
            let last = state.shown.last.get_mut(list);
            if after.is_none() || last.is_none() {
                *last = Some(catalog);
            }
            drop(state);
            drop(asked);
        });
    }
}

/// One page as it is answered; the items' bytes are not copied.
fn page(id: &str, list: List, era: Era, page: Page) -> Frame {
    let members = if era == Era::Modern { modern::list_members() } else { String::new() };
    let next = page.next.map(|next| format!(r#","nextCursor":{}"#, serde_json::json!(next)));
    let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{members}"{}":"#, list.member());
    let tail = format!("{}}}}}\n", next.unwrap_or_default());
    Frame::Pieces(vec![head.into(), page.items, tail.into()])
}

/// Where a page begins; `None` for the first one.
fn cursor(list: List, params: Option<&RawValue>) -> Result<Option<String>, Rpc> {
    #[derive(Deserialize)]
    struct Cursor {
        #[serde(default)]
        cursor: Option<String>,
    }
    match params {
        None => Ok(None),
        Some(params) => object::<Cursor>(params).map(|cursor| cursor.cursor).ok_or_else(|| {
            Rpc::bad_params(format!("{} takes params with a cursor that is a string", list.method()))
        }),
    }
}
