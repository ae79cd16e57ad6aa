//! Whose a request is, by its session and by what its `_meta` says in members of the bridge's own.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::downstream::client::ClientId;
use crate::downstream::pool::key::Tenant;
use crate::session::Rules;
use crate::session::reply::Rpc;
use crate::wire::Meta;

/// The longest id of a thread or a user, in bytes.
const ID_BYTES_MAX: usize = 256;

/// Reads whose a request is.
///
/// # Errors
/// When an id is not of its form: a request must not go to another's connection for that.
pub fn of(client: ClientId, method: &str, meta: &Meta<'_>, rules: Rules) -> Result<Tenant, Rpc> {
    let (thread, user) = (id("bridge/threadId", meta.thread_id)?, id("bridge/userId", meta.user_id)?);
    Ok(match method {
        // They hold for the session, not for one of its threads.
        "resources/subscribe" | "resources/unsubscribe" => of_session(client, rules),
        _ => Tenant { thread, user, ..of_session(client, rules) },
    })
}

/// What is a session's, and none of its threads'.
pub fn of_session(client: ClientId, rules: Rules) -> Tenant {
    let (session, era) = (Some(rules.session.number()), Some(rules.era));
    Tenant { client: Some(client), session, era, ..Tenant::default() }
}

fn id(key: &str, value: Option<&RawValue>) -> Result<Option<Arc<str>>, Rpc> {
    let Some(value) = value else { return Ok(None) };
    let id: Option<String> = serde_json::from_str(value.get()).ok();
    match id.filter(|id| (1..=ID_BYTES_MAX).contains(&id.len())) {
        Some(id) => Ok(Some(id.into())),
        None => {
            Err(Rpc::bad_params(format!("_meta[\"{key}\"] has to be a string of 1 to {ID_BYTES_MAX} bytes")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Result<Option<&str>, ()>) {
        let value: Option<&RawValue> = serde_json::from_str(json).unwrap();
        let read = id("bridge/threadId", value);
        assert_eq!(read.as_ref().map(Option::as_deref).map_err(|_| ()), expected, "{json}");
    }

    #[test]
    fn an_id_is_a_short_text_or_is_not_there() {
        check("null", Ok(None));
        check(r#""a\u0062""#, Ok(Some("ab")));
        check(r#""""#, Err(()));
        check("7", Err(()));
        check(&format!("{:?}", "x".repeat(ID_BYTES_MAX)), Ok(Some(&"x".repeat(ID_BYTES_MAX))));
        check(&format!("{:?}", "x".repeat(ID_BYTES_MAX + 1)), Err(()));
    }
}
