use super::*;
use crate::recovery;
use crate::store::rows::{Job, Recovered};
use crate::store::writer::{Patience, Writer};

/// A bridge that served two calls, one of them still running, and then was killed.
async fn killed(room: &Room) {
    let (journal, lock) = room.open().await;
    journal.finish(vec![room.finished()]).await;
    journal.begin(room.begun());
    journal.close().await;
    drop(lock);
}

#[tokio::test]
async fn the_next_start_closes_a_dead_session_and_its_open_calls() {
    let room = Room::new();
    killed(&room).await;
    let journal = Journal::open(room.path(), Options::default());
    let recovered = recovery::recover(&journal).await;
    assert_eq!(recovered, Recovered { sessions: vec![(room.session, Some("test".into()))], calls: 1 });
    assert_eq!(
        room.ask(
            "SELECT count(*) FROM tool_calls WHERE outcome = 'outcome_unknown'
             AND error_kind = 'bridge_crashed' AND duration_us IS NULL"
        ),
        1
    );
    assert_eq!(
        room.ask(
            "SELECT tool_calls FROM mcp_sessions WHERE close_reason = 'crashed' AND closed_at = last_active"
        ),
        2
    );
    assert_eq!(room.ask("SELECT 10 * sum(calls) + sum(errors) FROM call_totals"), 21);
    assert!(!crate::store::lock::is_alive(room.path(), room.session));
}

#[tokio::test]
async fn two_bridges_that_recover_at_once_count_everything_once() {
    let room = Room::new();
    killed(&room).await;
    let journals = [(); 2].map(|()| Journal::open(room.path(), Options::default()));
    let [first, second] = &journals;
    let (one, other) = tokio::join!(recovery::recover(first), recovery::recover(second));
    assert_eq!(one.sessions.len() + other.sessions.len(), 1);
    assert_eq!(room.ask("SELECT sum(calls) FROM call_totals"), 2);
}

#[tokio::test]
async fn a_living_sibling_is_left_alone() {
    let room = Room::new();
    let (_sibling, _lock) = room.open().await;
    let journal = Journal::open(room.path(), Options::default());
    assert_eq!(recovery::recover(&journal).await, Recovered::default());
    assert_eq!(room.ask("SELECT count(*) FROM mcp_sessions WHERE closed_at IS NULL"), 1);
}

#[tokio::test]
async fn our_own_session_is_never_dead_even_without_its_lock() {
    let room = Room::new();
    let (journal, lock) = room.open().await;
    lock.release();
    assert_eq!(recovery::recover(&journal).await, Recovered::default());
}

#[tokio::test]
async fn a_call_that_recovery_closed_stays_closed() {
    let room = Room::new();
    let (journal, lock) = room.open().await;
    let call = room.begun();
    journal.begin(call.clone());
    journal.flush().await;
    lock.release();
    let other = Journal::open(room.path(), Options::default());
    assert_eq!(recovery::recover(&other).await.calls, 1);
    journal.finish(vec![finished(call)]).await;
    assert_eq!(room.ask("SELECT sum(calls) FROM call_totals"), 1);
}

#[tokio::test]
async fn a_call_that_a_dead_hub_left_open_is_lost_until_something_else_is_told_of_it() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let call = room.finished();
    journal.begin(call.begun.clone());
    journal.flush().await;
    journal.hub_lost(call.begun.session.front());
    journal.flush().await;
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls WHERE outcome = 'outcome_unknown'"), 1);
    assert_eq!(room.ask("SELECT sum(errors) FROM call_totals"), 1);
    assert_eq!(room.ask("SELECT count(*) FROM mcp_sessions WHERE closed_at IS NULL"), 1);
    journal.finish(vec![call]).await;
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls WHERE outcome = 'ok'"), 1);
    assert_eq!(room.ask("SELECT sum(errors) FROM call_totals"), 0);
    assert_eq!(room.ask("SELECT sum(calls) FROM call_totals"), 1);
}

#[tokio::test]
async fn a_call_that_is_lost_and_told_of_in_one_transaction_counts_once() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let call = room.finished();
    journal.begin(call.begun.clone());
    journal.flush().await;
    let session = call.begun.session.front();
    let mut writer = Writer::open(room.path(), Durability::Process, false).unwrap();
    writer.commit(&[Job::Lost(session), Job::Finished(call)], Patience::Full).unwrap();
    assert_eq!(room.ask("SELECT sum(calls) FROM call_totals"), 1);
    assert_eq!(room.ask("SELECT sum(errors) FROM call_totals"), 0);
    assert_eq!(room.ask("SELECT tool_calls FROM mcp_sessions"), 1);
}
