//! What a server offers: its lists, each item with its own bytes, and what it says of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::connection::{Connection, Verdict};
use crate::downstream::greeting::Greeting;
use crate::list::{Each, List};
use crate::wire::{Envelope, object, result_of};

/// Pages of one list; a server that never ends its list is cut here.
const PAGES_MAX: usize = 1000;

/// JSON-RPC's word for a method that is not there.
const METHOD_NOT_FOUND: i64 = -32601;

/// What is known, or was just heard, of what a server offers.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// What it said of itself.
    pub greeting: Option<Greeting>,
    /// Its lists; `None` is one that did not arrive.
    pub lists: Each<Option<Items>>,
}

/// One list of a server, in its own order.
#[derive(Debug, Clone, Default)]
pub struct Items {
    /// The JSON object of each item, as the server sent it.
    pub items: Vec<Arc<str>>,
    /// When it arrived; `None` when it comes from the record.
    pub arrived: Option<Instant>,
    /// For how long the server said that it holds; zero when it said nothing.
    pub ttl: Duration,
}

impl Items {
    /// Reads a stored list: a JSON array.
    ///
    /// # Errors
    /// When it is not such an array.
    pub fn parse(stored: &str) -> Result<Self, serde_json::Error> {
        let items: Vec<&RawValue> = serde_json::from_str(stored)?;
        Ok(Self { items: items.into_iter().map(|item| item.get().into()).collect(), ..Self::default() })
    }

    /// The list as it is stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        let items: Vec<&str> = self.items.iter().map(AsRef::as_ref).collect();
        format!("[{}]", items.join(","))
    }

    /// Whether it may have changed without a word: its time is over, or, when it has none, nobody promised
    /// to tell and it is at least `age` old.
    #[must_use]
    pub fn is_stale(&self, told_of_changes: bool, age: Duration) -> bool {
        let old = |age| self.arrived.is_none_or(|arrived| arrived.elapsed() >= age);
        if self.ttl.is_zero() { !told_of_changes && old(age) } else { old(self.ttl) }
    }
}

/// Why a list did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum NoListing {
    /// The connection ended.
    #[error("the connection ended")]
    Ended,
    /// The server answered with an error of this code.
    #[error("the server answered with an error of code {0}")]
    Refused(i64),
    /// The answer has no such array.
    #[error("the answer holds no such list")]
    Form,
    /// There was no end to it.
    #[error("the list has more than {PAGES_MAX} pages")]
    Endless,
}

/// Asks for all pages of one of a server's lists. Waits as long as the server does; the caller holds the
/// deadline.
///
/// # Errors
/// When a page does not arrive or is not of the method's form; half a list is none.
pub async fn ask(connection: &Arc<Connection>, list: List) -> Result<Items, NoListing> {
    let mut all = Items::default();
    let mut cursor: Option<Box<RawValue>> = None;
    for _ in 0..PAGES_MAX {
        let asked = connection.ask_list(list.method(), cursor.as_deref());
        let answer = asked.map_err(|_| NoListing::Ended)?.answer().await.map_err(|_| NoListing::Ended)?;
        if answer.verdict == Verdict::RpcError {
            return match (list, answer.error_code()) {
                // A server with resources need not know of templates.
                (List::Templates, METHOD_NOT_FOUND) => Ok(arrived(all)),
                (_, code) => Err(NoListing::Refused(code)),
            };
        }
        let page = Page::parse(&answer.line, list).ok_or(NoListing::Form)?;
        if cursor.is_none() {
            all.ttl = page.ttl;
        }
        all.items.extend(page.items.into_iter().map(|item| Arc::from(item.get())));
        match page.next_cursor {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(arrived(all)),
        }
    }
    Err(NoListing::Endless)
}

fn arrived(items: Items) -> Items {
    Items { arrived: Some(Instant::now()), ..items }
}

struct Page<'a> {
    items: Vec<&'a RawValue>,
    next_cursor: Option<&'a RawValue>,
    ttl: Duration,
}

impl<'a> Page<'a> {
    fn parse(line: &'a [u8], list: List) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Members<'a> {
            #[serde(borrow, default)]
            tools: Option<&'a RawValue>,
            #[serde(borrow, default)]
            prompts: Option<&'a RawValue>,
            #[serde(borrow, default)]
            resources: Option<&'a RawValue>,
            #[serde(borrow, default)]
            resource_templates: Option<&'a RawValue>,
            #[serde(borrow, default)]
            next_cursor: Option<&'a RawValue>,
            #[serde(borrow, default)]
            ttl_ms: Option<&'a RawValue>,
        }
        Envelope::parse(line).ok()?;
        let members: Members<'a> = object(result_of(line)?)?;
        let items = match list {
            List::Tools => members.tools,
            List::Prompts => members.prompts,
            List::Resources => members.resources,
            List::Templates => members.resource_templates,
        };
        let ttl_ms = members.ttl_ms.and_then(|ttl| ttl.get().parse().ok());
        Some(Self {
            items: serde_json::from_str(items?.get()).ok()?,
            next_cursor: members.next_cursor,
            ttl: Duration::from_millis(ttl_ms.unwrap_or(0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_list_keeps_every_byte_of_its_items() {
        let stored = r#"[{"name":"a","x":1E2},{"name" : "b"}]"#;
        let items = Items::parse(stored).unwrap();
        assert_eq!(items.items.len(), 2);
        assert_eq!(items.to_json(), stored);
        assert!(Items::parse("{}").is_err());
    }

    #[test]
    fn a_page_without_its_list_is_none() {
        let page = |line: &'static str, list| Page::parse(line.as_bytes(), list);
        assert!(page(r#"{"id":1,"result":{}}"#, List::Tools).is_none());
        assert!(page(r#"{"id":1,"result":{"tools":{}}}"#, List::Tools).is_none());
        assert!(page(r#"{"id":1,"result":{"tools":[]}}"#, List::Prompts).is_none());
        let found = page(r#"{"id":1,"result":{"tools":[{}],"nextCursor":null}}"#, List::Tools).unwrap();
        assert!(found.next_cursor.is_none() && found.items.len() == 1 && found.ttl.is_zero());
        let line = r#"{"id":1,"result":{"resourceTemplates":[{}],"ttlMs":1500,"nextCursor":7,"tools":7}}"#;
        let found = page(line, List::Templates).unwrap();
        assert_eq!((found.next_cursor.unwrap().get(), found.ttl), ("7", Duration::from_millis(1500)));
        let odd = page(r#"{"id":1,"result":{"prompts":[],"ttlMs":-1}}"#, List::Prompts).unwrap();
        assert_eq!(odd.ttl, Duration::ZERO);
    }

    #[test]
    fn a_list_is_stale_when_its_time_is_over_or_nobody_tells_of_changes() {
        let (young, old) = (Some(Instant::now()), Instant::now().checked_sub(Duration::from_secs(60)));
        let items = |arrived, ttl| Items { arrived, ttl: Duration::from_secs(ttl), ..Items::default() };
        let age = Duration::from_secs(10);
        for (told, arrived, ttl, stale) in [
            (true, old, 0, false),
            (false, old, 0, true),
            (false, young, 0, false),
            (false, None, 0, true),
            (true, old, 59, true),
            (true, old, 3600, false),
            (false, old, 3600, false),
        ] {
            assert_eq!(items(arrived, ttl).is_stale(told, age), stale, "{told} {arrived:?} {ttl}");
        }
        assert!(items(young, 0).is_stale(false, Duration::ZERO));
    }
}
