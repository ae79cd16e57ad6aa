//! `bridge sessions`: which clients attached, which are here, which were cut off.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::words;
use crate::store::ids::SessionId;
use crate::store::read::Reader;
use crate::store::read::answers::SessionRow;
use crate::store::{lock, stamp};

/// Show the clients that attached, the newest first
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  bridge sessions            the last 50
  bridge sessions --active   those that are attached now
  bridge sessions --json     for a script")]
pub struct Args {
    /// Only clients that are attached now
    #[arg(long)]
    active: bool,
    /// How many rows at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Active,
    /// Nobody closed it, or a later bridge did.
    Crashed,
    Closed,
}

/// Prints the sessions in the record of a data folder.
///
/// # Errors
/// When the record cannot be read.
pub fn run(args: &Args, data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(reader) = Reader::open(data_dir)? else {
        let nothing = if args.json { "[]".to_owned() } else { words::nothing_recorded(data_dir) };
        return words::say(out, &nothing);
    };
    // Few are active, and they need not be among the newest.
    let rows_max = if args.active { u32::MAX } else { args.limit };
    let rows = reader.sessions(rows_max).context("the record cannot be read")?;
    let mut rows: Vec<_> = rows.into_iter().map(|row| state(row, data_dir)).collect();
    rows.retain(|(state, _)| !args.active || *state == State::Active);
    rows.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    let text = if args.json {
        format!("{:#}", rows.iter().map(|(state, row)| row_json(state, row)).collect::<Value>())
    } else {
        screen(&rows, words::now_ms(), words::screen_columns())
    };
    words::say(out, &text)
}

/// An open row whose lock nobody holds is an end that no bridge has seen yet: a crash, unless its client left a
/// reason.
fn state(mut row: SessionRow, data_dir: &Path) -> (State, SessionRow) {
    let id = SessionId::parse(&row.id).filter(|_| row.closed_at.is_none());
    if id.is_some_and(|id| lock::is_alive(data_dir, id)) {
        return (State::Active, row);
    }
    row.close_reason = row.close_reason.or_else(|| lock::reason(data_dir, id?));
    let state = match row.close_reason.as_deref() {
        None | Some("crashed") => State::Crashed,
        Some(_) => State::Closed,
    };
    (state, row)
}

impl State {
    const fn word(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Crashed => "crashed",
            Self::Closed => "closed",
        }
    }
}

fn screen(rows: &[(State, SessionRow)], now_ms: i64, columns: u16) -> String {
    if rows.is_empty() {
        return "No such session.".into();
    }
    let lines = rows.iter().map(|(state, row)| line(state, row, now_ms)).collect();
    let header = ["SESSION", "CLIENT", "STATE", "ATTACHED", "LASTED", "CALLS"];
    words::table(&header, &[3, 4, 5], lines, columns)
}

fn line(state: &State, row: &SessionRow, now_ms: i64) -> Vec<String> {
    let created_ms = stamp::parse(&row.created_at).unwrap_or(now_ms);
    let end_ms = match state {
        State::Active => now_ms,
        _ => row
            .closed_at
            .as_deref()
            .and_then(stamp::parse)
            .unwrap_or_else(|| stamp::parse(&row.last_active).unwrap_or(created_ms)),
    };
    let client = row.client_name.as_deref().unwrap_or("(unnamed)");
    let reason = row.close_reason.as_deref().unwrap_or(state.word());
    vec![
        row.id.clone(),
        row.client_version.as_ref().map_or_else(|| client.into(), |version| format!("{client} {version}")),
        if *state == State::Closed { reason.into() } else { state.word().into() },
        words::ago(created_ms, now_ms),
        words::seconds((end_ms - created_ms).max(0).unsigned_abs() / 1_000),
        words::count(row.tool_calls),
    ]
}

fn row_json(state: &State, row: &SessionRow) -> Value {
    json!({
        "id": row.id,
        "state": state.word(),
        "transport": row.transport,
        "clientName": row.client_name,
        "clientVersion": row.client_version,
        "protocolVersion": row.protocol_version,
        "pid": row.pid,
        "bridgeVersion": row.bridge_version,
        "createdAt": row.created_at,
        "lastActive": row.last_active,
        "toolCalls": row.tool_calls,
        "closedAt": row.closed_at,
        "closeReason": row.close_reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::lock::SessionLock;

    const NOW_MS: i64 = 1_795_232_400_000;

    fn row(id: i64, closed: Option<&str>) -> SessionRow {
        let created_ms = NOW_MS - 7_500_000;
        SessionRow {
            id: format!("019fc1a0b2c3{id:04x}"),
            transport: "stdio".into(),
            client_name: (id > 1).then(|| "claude-ai".into()),
            client_version: (id > 1).then(|| "0.14.10".into()),
            protocol_version: Some("2025-06-18".into()),
            pid: Some(4242),
            bridge_version: "0.1.0".into(),
            created_at: stamp::text(created_ms),
            last_active: stamp::text(created_ms + 61_000),
            tool_calls: 1_204,
            closed_at: closed.map(|_| stamp::text(created_ms + 61_000)),
            close_reason: closed.map(Into::into),
        }
    }

    #[test]
    fn the_screen_tells_active_closed_and_crashed_apart() {
        let rows = [
            (State::Active, row(4, None)),
            (State::Closed, row(3, Some("end_of_input"))),
            (State::Crashed, row(2, Some("crashed"))),
            (State::Crashed, row(1, None)),
        ];
        insta::assert_snapshot!(screen(&rows, NOW_MS, 80), @r#"
        SESSION           CLIENT             STATE         ATTACHED  LASTED  CALLS
        019fc1a0b2c30004  claude-ai 0.14.10  active          2h ago  2h 05m  1,204
        019fc1a0b2c30003  claude-ai 0.14.10  end_of_input    2h ago  1m 01s  1,204
        019fc1a0b2c30002  claude-ai 0.14.10  crashed         2h ago  1m 01s  1,204
        019fc1a0b2c30001  (unnamed)          crashed         2h ago  1m 01s  1,204
        "#);
    }

    #[test]
    fn json_times_are_rfc_3339() {
        insta::assert_snapshot!(format!("{:#}", row_json(&State::Crashed, &row(2, Some("crashed")))), @r#"
        {
          "bridgeVersion": "0.1.0",
          "clientName": "claude-ai",
          "clientVersion": "0.14.10",
          "closeReason": "crashed",
          "closedAt": "2026-11-21T01:36:01.000Z",
          "createdAt": "2026-11-21T01:35:00.000Z",
          "id": "019fc1a0b2c30002",
          "lastActive": "2026-11-21T01:36:01.000Z",
          "pid": 4242,
          "protocolVersion": "2025-06-18",
          "state": "crashed",
          "toolCalls": 1204,
          "transport": "stdio"
        }
        "#);
    }

    #[test]
    fn an_open_row_without_its_lock_is_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let is = |row| state(row, dir.path()).0;
        let create = || {
            let id = SessionId::parse(&row(0, None).id).unwrap();
            SessionLock::create(dir.path(), id).unwrap()
        };
        let lock = create();
        assert_eq!(is(row(0, None)), State::Active);
        drop(lock);
        assert_eq!(is(row(0, None)), State::Crashed);
        assert_eq!(is(row(0, Some("sigterm"))), State::Closed);
        create().leave("end_of_input");
        let (state, row) = state(row(0, None), dir.path());
        assert_eq!((state, row.close_reason.as_deref()), (State::Closed, Some("end_of_input")));
    }

    #[test]
    fn without_a_record_a_person_reads_a_sentence_and_a_script_reads_an_empty_list() {
        let dir = tempfile::tempdir().unwrap();
        let said = |json| {
            let mut out = Vec::new();
            run(&Args { active: false, limit: 50, json }, dir.path(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(said(false).starts_with("Nothing is recorded yet in "));
        assert_eq!(said(true), "[]\n");
    }
}
