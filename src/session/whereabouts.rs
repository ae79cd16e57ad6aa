//! Where the things are that no list shows: resources that a result pointed to, tasks that a server gave.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::names::ServerName;
use crate::wire::{object, result_of};

/// So many things of each kind are remembered; the oldest go first.
const REMEMBERED_MAX: usize = 10_000;

/// A longer result is not looked through, in bytes.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A longer word is not remembered, in bytes.
const WORD_BYTES_MAX: usize = 4096;

/// What one client was told by its servers.
#[derive(Debug, Default)]
pub struct Whereabouts(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    resources: Memory<ServerName>,
    /// A task is known on the connection that gave it, by its number.
    tasks: Memory<(ServerName, u64)>,
}

#[derive(Debug)]
struct Memory<T> {
    places: HashMap<Box<str>, T>,
    order: VecDeque<Box<str>>,
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self { places: HashMap::new(), order: VecDeque::new() }
    }
}

impl Whereabouts {
    /// The server that pointed to a resource last.
    pub fn resource(&self, uri: &str) -> Option<ServerName> {
        self.lock().resources.places.get(uri).cloned()
    }

    /// The server that gave a task, and the number of the connection.
    pub fn task(&self, id: &str) -> Option<(ServerName, u64)> {
        self.lock().tasks.places.get(id).cloned()
    }

    /// A server gave a task, on the connection with this number.
    pub fn gave_task(&self, server: &ServerName, connection: u64, id: &str) {
        self.lock().tasks.remember((server.clone(), connection), id);
    }

    /// A server had a resource that no list shows.
    pub fn had_resource(&self, server: &ServerName, uri: &str) {
        self.lock().resources.remember(server.clone(), uri);
    }

    /// Looks through a result for resources: links, and those that stand in it whole.
    pub fn look_through(&self, server: &ServerName, line: &[u8]) {
        // Most results point to nothing, and are not parsed for it.
        if line.len() > LINE_BYTES_MAX || memmem::find(line, b"\"resource").is_none() {
            return;
        }
        let uris = pointed_to(line).unwrap_or_default();
        if !uris.is_empty() {
            let mut table = self.lock();
            uris.iter().for_each(|uri| table.resources.remember(server.clone(), uri));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Memory<T> {
    fn remember(&mut self, place: T, word: &str) {
        if word.len() > WORD_BYTES_MAX {
            return;
        }
        if self.places.insert(word.into(), place).is_none() {
            self.order.push_back(word.into());
        }
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }
}

/// The URIs of the resources that stand in a result: in the content of a tool's result, or in the
/// messages of a prompt's.
fn pointed_to(line: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        content: Option<&'a RawValue>,
        #[serde(borrow, default)]
        messages: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        content: &'a RawValue,
    }
    let body: Body<'_> = object(result_of(line)?)?;
    let mut blocks: Vec<&RawValue> = items(body.content);
    for message in items(body.messages) {
        if let Some(message) = object::<Message<'_>>(message) {
            // One block, or a list of them.
            let several = items(Some(message.content));
            blocks.extend(if several.is_empty() { vec![message.content] } else { several });
        }
    }
    Some(blocks.into_iter().filter_map(uri_of).collect())
}

fn items(list: Option<&RawValue>) -> Vec<&RawValue> {
    list.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default()
}

fn uri_of(block: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(borrow, rename = "type")]
        kind: &'a RawValue,
        #[serde(default)]
        uri: Option<String>,
        #[serde(borrow, default)]
        resource: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Resource {
        uri: String,
    }
    let block: Block<'_> = object(block)?;
    match block.kind.get() {
        "\"resource_link\"" => block.uri,
        "\"resource\"" => object::<Resource>(block.resource?).map(|resource| resource.uri),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_tells_where_its_resources_are() {
        let server = ServerName::parse("s").unwrap();
        let whereabouts = Whereabouts::default();
        let tool = br#"{"id":1,"result":{"content":[{"type":"text","text":"x"},{"type":"resource_link","uri":"a://1","name":"n"},{"type":"resource","resource":{"uri":"a://\u0032","text":""}}]}}"#;
        whereabouts.look_through(&server, tool);
        let prompt = br#"{"id":1,"result":{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a://3"}}}]}}"#;
        whereabouts.look_through(&server, prompt);
        for uri in ["a://1", "a://2", "a://3"] {
            assert_eq!(whereabouts.resource(uri).as_ref(), Some(&server), "{uri}");
        }
        assert_eq!(whereabouts.resource("a://4"), None);
    }

    #[test]
    fn only_so_much_is_remembered() {
        let server = ServerName::parse("s").unwrap();
        let whereabouts = Whereabouts::default();
        for n in 0..=REMEMBERED_MAX {
            whereabouts.gave_task(&server, 7, &n.to_string());
        }
        assert_eq!((whereabouts.task("0"), whereabouts.task("1")), (None, Some((server, 7))));
    }
}
