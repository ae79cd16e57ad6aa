//! The promises of the record, each broken on purpose.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::era::Era;
use crate::outcome::Outcome;
use crate::store::ids::{CallId, CallIds, SessionId};
use crate::store::lock::SessionLock;
use crate::store::read::Reader;
use crate::store::rows::{CallBegun, CallFinished, CatalogRow, ClientInfo, GreetingRow, Job, SessionOpened};
use crate::store::shared::Shared;
use crate::store::{Durability, Journal, Options, place, stamp};

mod accounting;
mod crash;
mod series;
mod trouble;

/// A data folder of its own, with one session in it.
struct Room {
    dir: tempfile::TempDir,
    ids: CallIds,
    session: SessionId,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, ids: CallIds::new(), session: SessionId::new(stamp::now_ms()) }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A journal that serves the session. Its lock lives as long as the second value.
    async fn open(&self) -> (Journal, SessionLock) {
        let journal = Journal::open(self.path(), Options::default());
        let lock = SessionLock::create(self.path(), self.session).unwrap();
        journal.session_opened(opened(self.session));
        journal.flush().await;
        (journal, lock)
    }

    fn begun(&self) -> CallBegun {
        let started_at_ms = stamp::now_ms();
        CallBegun {
            call: self.ids.next(started_at_ms),
            session: self.session,
            request_id: "7".into(),
            server: Some("time".into()),
            tool: "now".into(),
            started_at_ms,
            request_bytes: 100,
        }
    }

    fn finished(&self) -> CallFinished {
        finished(self.begun())
    }

    /// One number from the file, read by a stranger.
    fn ask(&self, sql: &str) -> i64 {
        let conn = Connection::open(place::database(self.path())).unwrap();
        conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn opened(id: SessionId) -> SessionOpened {
    let client = ClientInfo { name: Some("test".into()), ..ClientInfo::default() };
    SessionOpened { id, transport: "stdio", client, pid: 1, created_at_ms: stamp::now_ms() }
}

fn finished(begun: CallBegun) -> CallFinished {
    CallFinished { begun, duration_us: 1_500, outcome: Outcome::Ok, error_kind: None, response_bytes: 200 }
}

impl Journal {
    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Runs SQL on the writing connection itself.
    fn on_writer(&self, sql: &str) {
        let slot = self.shared().writer();
        let mut statement = slot.as_ref().unwrap().conn().prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while rows.next().unwrap().is_some() {}
    }
}

#[tokio::test]
async fn a_finished_call_is_a_row_for_everybody_else() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    for calls in 1..=20 {
        journal.finish(vec![room.finished()]).await;
        assert_eq!(room.ask("SELECT count(*) FROM tool_calls WHERE outcome = 'ok'"), calls);
        assert_eq!(room.ask("SELECT tool_calls FROM mcp_sessions"), calls);
        assert_eq!(room.ask("SELECT sum(calls) FROM call_totals"), calls);
    }
}

#[tokio::test]
async fn a_call_is_committed_on_the_callers_thread_when_nobody_else_writes() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let committed = journal.finish(vec![room.finished()]);
    assert!(committed.is_done());
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls"), 1);
}

#[tokio::test]
async fn with_durability_power_the_thread_commits_and_the_disk_is_waited_for() {
    let room = Room::new();
    let options = Options { durability: Durability::Power, ..Options::default() };
    let journal = Journal::open(room.path(), options);
    journal.finish(vec![room.finished()]).await;
    let slot = journal.shared().writer();
    let conn = slot.as_ref().unwrap().conn();
    assert_eq!(conn.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)).unwrap(), 2);
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls"), 1);
}

#[tokio::test]
async fn a_call_that_began_is_a_running_row_until_it_ends() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let call = room.begun();
    journal.begin(call.clone());
    journal.flush().await;
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls WHERE outcome IS NULL"), 1);
    journal.finish(vec![finished(call)]).await;
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls WHERE outcome = 'ok' AND duration_us = 1500"), 1);
    assert_eq!(room.ask("SELECT count(*) FROM tool_calls"), 1);
}

#[tokio::test]
async fn a_hostile_request_id_is_cut() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let mut call = room.finished();
    call.begun.request_id = "ü".repeat(1_000_000);
    journal.finish(vec![call]).await;
    assert_eq!(room.ask("SELECT length(request_id) FROM tool_calls"), 513);
}

#[tokio::test]
async fn a_catalog_is_kept_and_the_newest_wins() {
    let room = Room::new();
    let (journal, _lock) = room.open().await;
    let offered = |tools: &str, prompts: Option<&str>| CatalogRow {
        prompts: prompts.map(str::to_owned),
        ..catalog_row(tools)
    };
    journal.catalog_saved(CatalogRow { greeting: None, ..catalog_row("[]") });
    journal.catalog_saved(offered("[1]", Some("[2]")));
    journal.flush().await;
    let stored = || journal.load_catalog(&["k".into(), "other".into()]);
    assert_eq!(stored(), [offered("[1]", Some("[2]"))]);
    journal.catalog_saved(offered("[]", None));
    journal.catalog_saved(CatalogRow { greeting: None, ..offered("[3]", Some("[3]")) });
    journal.flush().await;
    assert_eq!(stored(), [offered("[1]", Some("[2]"))], "nothing worse replaces it");
    journal.catalog_saved(offered("[4]", Some("[]")));
    journal.flush().await;
    assert_eq!(stored(), [offered("[4]", Some("[]"))]);
}

#[tokio::test]
async fn a_catalog_of_the_first_schema_is_read_before_and_after_its_migration() {
    let room = Room::new();
    let old = Connection::open(place::database(room.path())).unwrap();
    old.execute_batch(include_str!("../../schema.sql")).unwrap();
    let row = "INSERT INTO catalog VALUES ('k', 'time', '[1]', '2026-11-21T03:40:00.123Z')";
    old.execute_batch(&format!("{row}; PRAGMA user_version = 1")).unwrap();
    let expected = CatalogRow { prompts: None, greeting: None, binary_time_ms: None, ..catalog_row("[1]") };
    let before = Reader::open(room.path()).unwrap().unwrap();
    assert_eq!(before.catalog(&["k".into()]).unwrap(), std::slice::from_ref(&expected));
    assert!(before.pins(&["time"]).unwrap().is_empty());
    let (journal, _lock) = room.open().await;
    assert_eq!(room.ask("SELECT user_version FROM pragma_user_version"), 3);
    assert_eq!(journal.load_catalog(&["k".into()]), [expected]);
    // A bridge of the earlier version may still write to it.
    old.execute_batch("UPDATE catalog SET tools = '[2]'").unwrap();
    assert_eq!(journal.load_catalog(&["k".into()]).pop().unwrap().tools, "[2]");
}

fn catalog_row(tools: &str) -> CatalogRow {
    CatalogRow {
        key: "k".into(),
        server: "time".into(),
        tools: tools.into(),
        prompts: Some("[]".into()),
        resources: None,
        templates: None,
        greeting: Some(GreetingRow {
            era: Era::Legacy,
            legacy_only: true,
            protocol_version: "2026-07-28".into(),
            capabilities: r#"{"tools":{}}"#.into(),
            server_info: Some(r#"{"name":"x"}"#.into()),
            instructions: None,
        }),
        binary_time_ms: Some(1_795_232_400_456),
        listed_at_ms: 1_795_232_400_123,
    }
}
