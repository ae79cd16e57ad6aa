//! `subscriptions/listen`: what a modern client wants to hear unasked, and under which id it hears it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::connection::SUBSCRIPTION_ID;
use crate::session::reply::{self, Rpc};
use crate::wire::{Frame, object};

/// Resources, or tasks, that one subscription may name.
const NAMED_MAX: usize = 1000;

/// The longest URI of a resource, or id of a task, in bytes.
const NAMED_BYTES_MAX: usize = 4096;

/// A `subscriptions/listen` that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The request's id, in JSON.
    pub id: Box<str>,
    /// Whether it wants to hear that the tools changed.
    pub tools: bool,
    /// Whether it wants to hear that the prompts changed.
    pub prompts: bool,
    /// Whether it wants to hear that the resources or their templates changed.
    pub resources: bool,
    /// The resources of which it wants to hear each change, by URI; `None` when it does not speak of them.
    pub subscriptions: Option<Vec<Box<str>>>,
    /// The tasks of which it wants to hear, by id; likewise.
    pub tasks: Option<Vec<Box<str>>>,
}

impl Listen {
    /// Reads a listen request.
    ///
    /// # Errors
    /// When it names no notifications, or too much.
    pub fn read(id: &str, params: Option<&RawValue>) -> Result<Self, Rpc> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Filter {
            #[serde(default)]
            tools_list_changed: Option<bool>,
            #[serde(default)]
            prompts_list_changed: Option<bool>,
            #[serde(default)]
            resources_list_changed: Option<bool>,
            #[serde(default)]
            resource_subscriptions: Option<Vec<Box<str>>>,
            #[serde(default)]
            task_ids: Option<Vec<Box<str>>>,
        }
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow)]
            notifications: &'a RawValue,
        }
        let bad = || {
            Rpc::bad_params(
                "subscriptions/listen needs params.notifications as an object of booleans; \
                 resourceSubscriptions and taskIds are arrays of strings",
            )
        };
        let params: Params<'_> = params.and_then(object).ok_or_else(bad)?;
        let filter: Filter = object(params.notifications).ok_or_else(bad)?;
        let named = filter.resource_subscriptions.iter().chain(&filter.task_ids);
        if named.clone().any(|named| named.len() > NAMED_MAX)
            || named.flatten().any(|named| named.len() > NAMED_BYTES_MAX)
        {
            let message = format!(
                "a subscription may name {NAMED_MAX} resources and {NAMED_MAX} tasks, each in {NAMED_BYTES_MAX} bytes"
            );
            return Err(Rpc::bad_params(message));
        }
        Ok(Self {
            id: id.into(),
            tools: filter.tools_list_changed == Some(true),
            prompts: filter.prompts_list_changed == Some(true),
            resources: filter.resources_list_changed == Some(true),
            subscriptions: filter.resource_subscriptions,
            tasks: filter.task_ids,
        })
    }

    /// What the client is told first: the part of its wish that is granted.
    #[must_use]
    pub fn acknowledged(&self) -> Frame {
        let flag = |name: &str, wanted: bool| wanted.then(|| format!(r#""{name}":true"#));
        let named = |name: &str, named: &Option<Vec<Box<str>>>| {
            let named = named.as_ref().map(|named| serde_json::json!(named));
            named.map(|named| format!(r#""{name}":{named}"#))
        };
        let granted = [
            flag("toolsListChanged", self.tools),
            flag("promptsListChanged", self.prompts),
            flag("resourcesListChanged", self.resources),
            named("resourceSubscriptions", &self.subscriptions),
            named("taskIds", &self.tasks),
        ];
        let granted: Vec<String> = granted.into_iter().flatten().collect();
        let members = format!(r#""notifications":{{{}}}"#, granted.join(","));
        self.notification("notifications/subscriptions/acknowledged", &members)
    }

    /// It ends, and not because the client wants it (specification 2026-07-28, `subscriptions/listen`).
    #[must_use]
    pub fn ended(&self) -> Frame {
        let id = &self.id;
        let result = format!(r#"{{"resultType":"complete","_meta":{{"{SUBSCRIPTION_ID}":{id}}}}}"#);
        reply::result(id, &result)
    }

    /// Whether it wants to hear of a resource.
    #[must_use]
    pub fn names_resource(&self, uri: &str) -> bool {
        self.subscriptions.iter().flatten().any(|named| **named == *uri)
    }

    /// Whether it wants to hear of a resource that this one is a part of.
    #[must_use]
    pub fn names_whole_of(&self, uri: &str) -> bool {
        self.subscriptions.iter().flatten().any(|named| is_part(uri, named))
    }

    /// Whether it wants to hear of a task.
    #[must_use]
    pub fn names_task(&self, id: &str) -> bool {
        self.tasks.iter().flatten().any(|named| **named == *id)
    }

    /// Whether it wants to hear that a list changed.
    #[must_use]
    pub fn hears(&self, changed: &str) -> bool {
        match changed {
            "notifications/tools/list_changed" => self.tools,
            "notifications/prompts/list_changed" => self.prompts,
            "notifications/resources/list_changed" => self.resources,
            _ => false,
        }
    }

    /// A notification under its id; `members` are further members of the params, in JSON.
    #[must_use]
    pub fn notification(&self, method: &str, members: &str) -> Frame {
        let (id, comma) = (&self.id, if members.is_empty() { "" } else { "," });
        let params = format!(r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{id}}}{comma}{members}}}"#);
        Frame::own(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#).into_bytes())
    }
}

/// Whether a URI goes on where another one ends, with a new part of the path, a query or a fragment.
pub(super) fn is_part(uri: &str, whole: &str) -> bool {
    let bounds = ['/', '?', '#'];
    let is_scheme = whole.ends_with(':');
    uri.strip_prefix(whole)
        .is_some_and(|rest| is_scheme || whole.ends_with(bounds) || rest.starts_with(bounds))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(notifications: &Value) -> Result<Listen, Rpc> {
        let params = json!({ "notifications": notifications }).to_string();
        let params: Box<RawValue> = serde_json::from_str(&params).unwrap();
        Listen::read("\"l-1\"", Some(&params))
    }

    fn text(frame: &Frame) -> String {
        String::from_utf8(frame.pieces().concat()).unwrap()
    }

    #[test]
    fn a_listen_is_acknowledged_under_its_own_id() {
        let listen = read(&json!({ "toolsListChanged": true, "promptsListChanged": false })).unwrap();
        assert_eq!(
            text(&listen.acknowledged()),
            concat!(
                r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":"#,
                r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":"l-1"},"notifications":{"toolsListChanged":true}}}"#,
                "\n"
            )
        );
        assert_eq!(Listen::read("1", None).unwrap_err().code, -32602);
    }

    #[test]
    fn what_is_granted_is_what_was_asked() {
        for asked in [
            json!({}),
            json!({ "resourcesListChanged": true, "resourceSubscriptions": ["file:///\"a\""] }),
            json!({ "promptsListChanged": true, "taskIds": [], "resourceSubscriptions": [] }),
        ] {
            let said: Value = serde_json::from_str(&text(&read(&asked).unwrap().acknowledged())).unwrap();
            assert_eq!(said["params"]["notifications"], asked);
        }
    }

    #[test]
    fn what_a_listen_keeps_has_a_limit() {
        let uri = |bytes| "u".repeat(bytes);
        for name in ["resourceSubscriptions", "taskIds"] {
            assert!(read(&json!({ name: vec![uri(1); NAMED_MAX] })).is_ok());
            for asked in [
                json!(vec![uri(1); NAMED_MAX + 1]),
                json!([uri(NAMED_BYTES_MAX + 1)]),
                json!([7]),
                json!("u"),
            ] {
                assert_eq!(read(&json!({ name: asked })).unwrap_err().code, -32602);
            }
        }
    }

    #[track_caller]
    fn check_part(uri: &str, whole: &str, expected: bool) {
        assert_eq!(is_part(uri, whole), expected);
    }

    #[test]
    fn a_resource_has_parts_where_its_uri_has_a_bound() {
        for uri in ["f:///a/b", "f:///a?b", "f:///a#b"] {
            check_part(uri, "f:///a", true);
            check_part(uri, "f:", true);
            check_part(uri, "f://", true);
        }
        check_part("f:///a/b", "f:///a/", true);
        check_part("f:///ab", "f:///a", false);
        check_part("f:///a", "f:///a/b", false);
        check_part("g:///a", "f:", false);
    }
}
