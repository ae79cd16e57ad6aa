//! What the client is told of changes: whoever is there, or whoever listens.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Server, lock};
use crate::ask::Ask;
use crate::script::Kind;

/// One `subscriptions/listen` that has not ended.
pub struct Listen {
    /// The raw id of its request.
    id: String,
    wants: Filter,
}

/// What somebody who listens wants to hear.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
    #[serde(skip_serializing_if = "is_false")]
    tools_list_changed: bool,
    #[serde(skip_serializing_if = "is_false")]
    prompts_list_changed: bool,
    #[serde(skip_serializing_if = "is_false")]
    resources_list_changed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_subscriptions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    task_ids: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Server {
    pub(super) fn listen(&self, ask: &Ask<'_>) {
        let wants = ask.params.notifications.map(RawValue::get).unwrap_or_default();
        let (Some(id), Ok(wants)) = (ask.id, serde_json::from_str::<Filter>(wants)) else {
            return self.error(ask, -32602, "`notifications` says nothing that can be heard");
        };
        let wants = self.granted(wants);
        let granted = serde_json::to_string(&wants).unwrap_or_default();
        let mut listens = lock(&self.listens);
        let told = format!(r#","notifications":{granted}"#);
        self.notify("notifications/subscriptions/acknowledged", &tagged(id, &told));
        listens.push(Listen { id: id.to_owned(), wants });
    }

    fn granted(&self, mut wants: Filter) -> Filter {
        wants.tools_list_changed &= self.script.has(Kind::Tool);
        wants.prompts_list_changed &= self.script.has(Kind::Prompt);
        wants.resources_list_changed &= self.script.has_resources();
        if !self.script.has_resources() {
            wants.resource_subscriptions.clear();
        }
        wants.task_ids.retain(|id| self.knows_task(id));
        wants
    }

    /// Somebody listens no more.
    pub(super) fn forget_listen(&self, id: &str) {
        lock(&self.listens).retain(|listen| listen.id != id);
    }

    /// Nobody listens any more, and is told so.
    pub(super) fn end_listens(&self, cancelled: bool) {
        for Listen { id, .. } in lock(&self.listens).drain(..) {
            if cancelled {
                self.notify("notifications/cancelled", &format!(r#"{{"requestId":{id}}}"#));
            } else {
                let meta = tagged(&id, "");
                let meta = meta.strip_prefix('{').unwrap_or_default();
                self.result_to(&id, &[r#"{"resultType":"complete","#, meta]);
            }
        }
    }

    /// A client of the older era subscribes, or does so no more.
    pub(super) fn subscribe(&self, ask: &Ask<'_>) {
        let uri = ask.name.as_deref().unwrap_or_default();
        if ask.method == "resources/subscribe" {
            lock(&self.subscribed).insert(uri.to_owned());
        } else {
            lock(&self.subscribed).remove(uri);
        }
        self.done(ask);
    }

    /// There is one more of a kind.
    pub(super) fn changed(&self, kind: Kind) {
        let mut extra = lock(&self.extra);
        let number = extra.iter().filter(|offer| offer.kind == kind).count() + 1;
        extra.push(kind.extra(number));
        drop(extra);
        let (method, wants): (_, fn(&Filter) -> bool) = match kind {
            Kind::Tool => ("notifications/tools/list_changed", |filter| filter.tools_list_changed),
            Kind::Prompt => ("notifications/prompts/list_changed", |filter| filter.prompts_list_changed),
            Kind::Resource | Kind::Template => {
                ("notifications/resources/list_changed", |filter| filter.resources_list_changed)
            }
        };
        if self.is_modern() {
            self.tell_listeners(wants, method, "");
        } else {
            self.out.line(&[r#"{"jsonrpc":"2.0","method":""#, method, "\"}"]);
        }
    }

    /// A resource is another now.
    pub(super) fn updated(&self, uri: &str) {
        let said = format!(r#""uri":{}"#, crate::script::quoted(uri));
        let method = "notifications/resources/updated";
        if self.is_modern() {
            let wants = |filter: &Filter| filter.resource_subscriptions.iter().any(|wanted| wanted == uri);
            self.tell_listeners(wants, method, &format!(",{said}"));
        } else if lock(&self.subscribed).contains(uri) {
            self.notify(method, &format!("{{{said}}}"));
        }
    }

    /// Tells those who listen for a task's state.
    pub(super) fn tell_of_task(&self, id: &str, members: &str) {
        let wants = |filter: &Filter| filter.task_ids.iter().any(|wanted| wanted == id);
        self.tell_listeners(wants, "notifications/tasks", &format!(",{members}"));
    }

    fn tell_listeners(&self, wants: impl Fn(&Filter) -> bool, method: &str, members: &str) {
        for listen in lock(&self.listens).iter().filter(|listen| wants(&listen.wants)) {
            self.notify(method, &tagged(&listen.id, members));
        }
    }
}

/// Parameters with the subscription's id; the other members begin with a comma.
fn tagged(id: &str, members: &str) -> String {
    format!(r#"{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}{members}}}"#)
}
