use std::fs;

use super::*;
use crate::store::queue::Hurry;

#[tokio::test]
async fn a_folder_that_cannot_be_made_costs_rows_and_no_call() {
    let room = Room::new();
    let file = room.path().join("file");
    fs::write(&file, "").unwrap();
    let journal = Journal::open(&file, Options::default());
    journal.flush().await;
    journal.finish(vec![room.finished(), room.finished()]).await;
    let trouble = journal.trouble();
    assert_eq!(trouble.lost_rows, 2);
    assert!(trouble.since_ms.is_some());
    assert!(trouble.last_error.unwrap().contains("cannot be written"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_read_only_folder_costs_rows_and_no_call() {
    use std::os::unix::fs::PermissionsExt as _;
    let room = Room::new();
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(room.path().join("probe"), "").is_ok() {
        return; // The administrator may write anywhere.
    }
    let journal = Journal::open(room.path(), Options::default());
    journal.finish(vec![room.finished()]).await;
    assert_eq!(journal.trouble().lost_rows, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_is_not_written_through() {
    let room = Room::new();
    let target = room.path().join("target");
    fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, place::database(room.path())).unwrap();
    let journal = Journal::open(room.path(), Options::default());
    journal.finish(vec![room.finished()]).await;
    assert_eq!(journal.trouble().lost_rows, 1);
    assert_eq!(fs::read(&target).unwrap(), b"");
}

#[tokio::test]
async fn a_corrupt_file_is_moved_aside_and_calls_are_recorded_in_a_new_one() {
    let room = Room::new();
    fs::write(place::database(room.path()), "not a database, and long enough to be one ".repeat(100))
        .unwrap();
    let (journal, _lock) = room.open().await;
    journal.finish(vec![room.finished()]).await;
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls"), 1);
    let names = fs::read_dir(room.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().contains("corrupt-")).count(), 1);
}

#[tokio::test]
async fn a_file_of_a_later_program_is_left_alone_and_said() {
    let room = Room::new();
    crate::store::migrate::open(room.path(), false).unwrap().pragma_update(None, "user_version", 7).unwrap();
    let journal = Journal::open(room.path(), Options::default());
    journal.finish(vec![room.finished()]).await;
    let error = journal.trouble().last_error.unwrap();
    assert!(error.contains("has schema 7, this version of bridge knows 3"), "{error}");
}

#[tokio::test]
async fn a_full_disk_costs_rows_until_there_is_room_again() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    journal.on_writer("PRAGMA max_page_count = 1");
    let many = || (0..200).map(|_| room.finished()).collect();
    journal.finish(many()).await;
    assert_eq!(journal.trouble().lost_rows, 200);
    journal.on_writer("PRAGMA max_page_count = 100000");
    journal.finish(many()).await;
    assert_eq!(room.ask("SELECT tool_calls FROM mcp_sessions"), 200);
    assert_eq!(journal.trouble().since_ms, None);
}

#[tokio::test]
async fn while_another_program_writes_a_call_waits_for_its_commit() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let other = Connection::open(place::database(room.path())).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let committed = journal.finish(vec![room.finished()]);
    assert!(!committed.is_done());
    other.execute_batch("COMMIT").unwrap();
    committed.await;
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls"), 1);
    assert_eq!(journal.trouble().lost_rows, 0);
}

#[tokio::test]
async fn a_panic_in_the_store_costs_the_rows_in_hand_and_nothing_else() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    journal.shared().submit(vec![Job::Panic]);
    journal.finish(vec![room.finished()]).await;
    if let Some(done) = journal.shared().enqueue(vec![Job::Panic], Hurry::Now) {
        let _ = done.await;
    }
    journal.finish(vec![room.finished()]).await;
    assert_eq!(journal.trouble().lost_rows, 2);
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls"), 2);
}

#[tokio::test]
async fn a_full_queue_costs_rows_and_never_waits() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let taken = journal.shared().writer();
    let rows = journal.shared().options.queue_rows_max;
    let committed = journal.finish((0..=rows).map(|_| room.finished()).collect());
    assert!(committed.is_done());
    assert_eq!(journal.trouble().lost_rows, rows as u64 + 1);
    drop(taken);
}

#[tokio::test]
async fn a_session_that_lives_is_told_to_a_file_that_is_made_anew() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    *journal.shared().writer() = None;
    fs::remove_file(place::database(room.path())).unwrap();
    journal.finish(vec![room.finished()]).await;
    assert_eq!(room.ask("SELECT tool_calls FROM mcp_sessions"), 1);
}

#[tokio::test]
async fn what_is_told_after_the_end_is_counted() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    journal.close().await;
    journal.finish(vec![room.finished()]).await;
    assert_eq!(journal.trouble().lost_rows, 1);
    assert!(!place::files(room.path())[1].exists(), "the last one folds the log away");
}
