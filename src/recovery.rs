//! Coming back after a crash: closes what a dead session left open, and says it once.

use crate::store::Journal;
use crate::store::rows::Recovered;

/// Closes the sessions of bridges that died, and the calls that ran in them, and logs what it found.
/// A session whose lock is held is a living sibling's and stays as it is (house.md, "Start, stop, die,
/// come back").
pub async fn recover(journal: &Journal) -> Recovered {
    let recovered = journal.close_dead().await;
    if !recovered.sessions.is_empty() {
        tracing::warn!(
            sessions = recovered.sessions.len(),
            session_ids = %listed(recovered.sessions.iter().map(|(id, _)| id.to_string())),
            clients = %listed(recovered.sessions.iter().filter_map(|(_, client)| client.clone())),
            calls = recovered.calls,
            note = "these clients have to reconnect; the outcome of their open calls is unknown",
            "recovered after a crash"
        );
    }
    recovered
}

fn listed(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}
