//! What a server says: its lines, and the notifications that are for its keeper.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::downstream::connection::{Connection, Heard};
use crate::downstream::keeper::lists::Relists;
use crate::downstream::relay::Relay;
use crate::downstream::stderr::Tail;
use crate::lines::{Line, Lines};
use crate::list::List;

/// Reads a server's output to its end.
pub(super) async fn read_in(connection: &Connection, mut lines: Lines, tail: &Tail) -> std::io::Result<()> {
    while lines.fill().await? {
        while let Some(line) = lines.next_line() {
            match line {
                Line::Whole(line) => {
                    if let Heard::Garbage(line) = connection.hear(line) {
                        heard_garbage(connection, &line, tail);
                    }
                }
                Line::TooLong { head, tail, bytes } => connection.hear_too_long(&head, &tail, bytes),
            }
            connection.room_for_more().await;
        }
    }
    Ok(())
}

/// A line that is no message is kept beside the stderr, where an error quotes it; the log counts.
fn heard_garbage(connection: &Connection, line: &Bytes, tail: &Tail) {
    let mut kept = b"[stdout] ".to_vec();
    kept.extend_from_slice(line);
    tail.push(&kept);
    let (count, _) = connection.noise();
    // A server that prints its log to stdout prints much of it.
    if count.is_power_of_two() {
        tracing::warn!(?connection, count, bytes = line.len(), "server wrote something that is no message");
    }
}

/// Takes out what is for the keeper and passes the rest on.
pub(super) struct KeeperRelay {
    pub to: Arc<dyn Relay>,
    pub relists: Arc<Relists>,
}

impl Relay for KeeperRelay {
    fn notification(&self, server: &str, method: &str, line: &Bytes, params: Option<&RawValue>) {
        match List::changed_by(method) {
            [] => self.to.notification(server, method, line, params),
            lists => lists.iter().for_each(|list| self.relists.want(*list, None)),
        }
    }

    fn has_room(&self) -> bool {
        self.to.has_room()
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.to.room()
    }
}
