//! A server's list of tools, each with its own bytes.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::connection::{Connection, Verdict};
use crate::wire::{Envelope, object};

/// Pages of one list; a server that never ends its list is cut here.
const PAGES_MAX: usize = 1000;

/// The tools of a server, in its own order, each the JSON object that it sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// One JSON object a tool.
    pub tools: Vec<Arc<str>>,
}

impl Listing {
    /// Reads a stored list: a JSON array of tools.
    ///
    /// # Errors
    /// When it is not such an array.
    pub fn parse(stored: &str) -> Result<Self, serde_json::Error> {
        let tools: Vec<&RawValue> = serde_json::from_str(stored)?;
        Ok(Self { tools: tools.into_iter().map(|tool| tool.get().into()).collect() })
    }

    /// The list as it is stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        let tools: Vec<&str> = self.tools.iter().map(AsRef::as_ref).collect();
        format!("[{}]", tools.join(","))
    }
}

/// Why a list did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum NoListing {
    /// The connection ended.
    #[error("the connection ended")]
    Ended,
    /// The server answered with an error.
    #[error("the server answered with an error")]
    Refused,
    /// The answer has no array of tools.
    #[error("the answer holds no list of tools")]
    Form,
    /// There was no end to it.
    #[error("the list has more than {PAGES_MAX} pages")]
    Endless,
}

/// Asks for all pages of a server's tools. Waits as long as the server does; the caller holds the
/// deadline.
///
/// # Errors
/// When a page does not arrive or is not of the method's form; half a list is none.
pub async fn list_tools(connection: &Arc<Connection>) -> Result<Listing, NoListing> {
    let mut tools = Vec::new();
    let mut cursor: Option<Box<RawValue>> = None;
    for _ in 0..PAGES_MAX {
        let asked = connection.ask_list("tools/list", cursor.as_deref());
        let answer = asked.map_err(|_| NoListing::Ended)?.answer().await.map_err(|_| NoListing::Ended)?;
        if answer.verdict == Verdict::RpcError {
            return Err(NoListing::Refused);
        }
        let page = Page::parse(&answer.line).ok_or(NoListing::Form)?;
        tools.extend(page.tools.into_iter().map(|tool| Arc::from(tool.get())));
        match page.next_cursor {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(Listing { tools }),
        }
    }
    Err(NoListing::Endless)
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(borrow, default, rename = "nextCursor")]
    next_cursor: Option<&'a RawValue>,
}

impl<'a> Page<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Response<'a> {
            #[serde(borrow)]
            result: &'a RawValue,
        }
        Envelope::parse(line).ok()?;
        let response: Response<'a> = serde_json::from_slice(line).ok()?;
        object(response.result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_list_keeps_every_byte_of_its_tools() {
        let stored = r#"[{"name":"a","x":1E2},{"name" : "b"}]"#;
        let listing = Listing::parse(stored).unwrap();
        assert_eq!(listing.tools.len(), 2);
        assert_eq!(listing.to_json(), stored);
        assert!(Listing::parse("{}").is_err());
    }

    #[test]
    fn a_page_without_tools_is_none() {
        assert!(Page::parse(br#"{"id":1,"result":{}}"#).is_none());
        assert!(Page::parse(br#"{"id":1,"result":{"tools":{}}}"#).is_none());
        let page = Page::parse(br#"{"id":1,"result":{"tools":[{}],"nextCursor":null}}"#).unwrap();
        assert!(page.next_cursor.is_none() && page.tools.len() == 1);
    }
}
