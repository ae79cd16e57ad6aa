//! What a server says: its lines, and the notifications that are for its keeper.

use std::sync::Arc;

use bytes::Bytes;

use crate::downstream::connection::{Connection, Heard};
use crate::downstream::keeper::lists::Relists;
use crate::downstream::relay::{Apart, Relay};
use crate::downstream::stderr::Tail;
use crate::lines::{Line, Lines};
use crate::list::List;

/// Reads a server's output to its end.
pub(super) async fn read_in(
    connection: &Arc<Connection>,
    mut lines: Lines,
    tail: &Tail,
) -> std::io::Result<()> {
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
    tail.push_garbage(line);
    let (count, _) = connection.noise();
    // A server that prints its log to stdout prints much of it.
    if count.is_power_of_two() {
        let (server, bytes) = (connection.server(), line.len());
        tracing::warn!(%server, count, bytes, "server wrote something that is no message");
    }
}

/// Takes out what is for the keeper and passes the rest on.
pub(super) fn for_keeper(to: Arc<dyn Relay>, relists: Arc<Relists>) -> Arc<dyn Relay> {
    let take = move |method: &str| {
        let changed = List::changed_by(method);
        changed.iter().for_each(|list| relists.want(*list, None));
        !changed.is_empty()
    };
    Arc::new(Apart { to, take })
}
