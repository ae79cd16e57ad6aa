//! Several messages in one line, which one revision knows (2025-03-26, "Batching").

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::era::BATCH_VERSION;
use crate::wire::{Envelope, batch, object};

/// The messages of a line that is a batch; `None` for what is none, and for an empty one.
#[must_use]
pub fn messages(line: &Bytes) -> Option<Vec<Bytes>> {
    if !line.trim_ascii_start().starts_with(b"[") {
        return None;
    }
    let members = batch(line).ok().filter(|members| !members.is_empty())?;
    let message = |member: &RawValue| match member.get().as_bytes() {
        // A batch in a batch is none. It stays in one, so that the hub sees what it is.
        nested @ [b'[', ..] => Bytes::from([b"[", nested, b"]"].concat()),
        message => line.slice_ref(message),
    };
    Some(members.into_iter().map(message).collect())
}

/// The id under which a batch is refused as a whole: the first, in JSON.
#[must_use]
pub fn first_id(line: &[u8]) -> Option<Box<str>> {
    let members = batch(line).ok()?;
    let mut ids = members.iter().filter_map(|member| Envelope::parse(member.get().as_bytes()).ok()?.id);
    ids.next().map(|id| id.get().into())
}

/// Whether an `initialize` with these params opens a session with batches; `None` when it opens none.
#[must_use]
pub fn opens_with_batches(params: Option<&RawValue>) -> Option<bool> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wanted {
        protocol_version: String,
    }
    let wanted: Wanted = object(params?)?;
    Some(wanted.protocol_version == BATCH_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&[&str]>) {
        let found = messages(&Bytes::copy_from_slice(line.as_bytes()));
        let found: Option<Vec<String>> = found.map(|messages| {
            messages.iter().map(|message| String::from_utf8(message.to_vec()).unwrap()).collect()
        });
        assert_eq!(found, expected.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect()));
    }

    #[test]
    fn each_message_of_a_batch_is_one_for_itself() {
        check(r#" [{"id":1} , {"id":2}]"#, Some(&[r#"{"id":1}"#, r#"{"id":2}"#]));
        check(r#"[[{"id":1}],3]"#, Some(&[r#"[[{"id":1}]]"#, "3"]));
        check("[]", None);
        check("[{]", None);
        check(r#"{"id":[1]}"#, None);
    }
}
