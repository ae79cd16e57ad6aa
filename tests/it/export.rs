//! `bridge export`: every row, once, into a pipe or a file, and nothing half done.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::Room;

/// A room in whose record three calls stand; the bridge that wrote them is here still.
fn used() -> (Room, crate::support::Bridge) {
    let room = Room::new().server("s", &["on tools/call fails: iserror no"]);
    let mut here = room.start();
    here.initialize();
    for tool in ["s__echo", "s__fails", "s__echo"] {
        here.call(tool, json!({}));
    }
    (room, here)
}

#[test]
fn every_call_is_a_line_of_json_and_their_number_is_said() {
    let (room, _here) = used();
    let (code, stdout, stderr) = room.run(&["export"]);
    assert_eq!((code, stderr.as_str()), (Some(0), "export: 3 calls\n"), "{stdout}");
    let rows: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = rows.iter().map(|row| (&row["tool"], &row["outcome"])).collect();
    let (echo, ok) = (json!("echo"), json!("ok"));
    assert_eq!(told, [(&echo, &ok), (&json!("fails"), &json!("tool_error")), (&echo, &ok)]);
    let row = rows[0].as_object().unwrap();
    assert_eq!(row.len(), 12, "{row:?}");
    assert!(row["id"].is_string() && row["durationUs"].is_u64() && row["session"].is_string(), "{row:?}");
    assert!(row["startedAt"].as_str().unwrap().ends_with('Z'), "{row:?}");
    let (_, of_none, said) = room.run(&["export", "--server", "t"]);
    assert_eq!((of_none.as_str(), said.as_str()), ("", "export: 0 calls\n"));
    let (_, sessions, said) = room.run(&["export", "--what", "sessions"]);
    assert_eq!((sessions.lines().count(), said.as_str()), (1, "export: 1 session\n"), "{sessions}");
    let (_, events, _) = room.run(&["export", "--what", "events", "--server", "s"]);
    assert!(events.contains("\"event\":\"ready\""), "{events}");
    assert_eq!(room.run(&["export", "--until", "2020-01-01"]).1, "");
}

#[test]
fn a_file_appears_when_it_is_whole_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (room, _here) = used();
    let file = room.path("calls.csv");
    let out = file.to_str().unwrap();
    let (code, stdout, stderr) = room.run(&["export", "--format", "csv", "--out", out]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "", "export: 3 calls\n"));
    let text = std::fs::read_to_string(&file).unwrap();
    let head = "id,session,client,requestId,server,tool,startedAt,durationUs,outcome,errorKind,requestBytes,responseBytes";
    assert_eq!((text.lines().count(), text.lines().next()), (4, Some(head)), "{text}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let folder = room.path("data");
    let (code, _, stderr) = room.run(&["export", "--out", folder.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is not a file but a folder"), "{stderr}");
    let nowhere = room.path("none/calls.csv");
    let (code, _, stderr) = room.run(&["export", "--out", nowhere.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("none/calls.csv cannot be used"), "{stderr}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_a_reader_that_has_gone_is_none() {
    let (room, _here) = used();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = room.command(&["export"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("No space left on device"), "{said}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = room.command(&["export"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn what_cannot_be_exported_is_said_in_words() {
    let room = Room::new();
    let (code, stdout, stderr) = room.run(&["export"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("error: Nothing is recorded yet in "), "{stderr}");
    let (code, _, stderr) = room.run(&["export", "--what", "sessions", "--server", "s"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("a session belongs to no server"), "{stderr}");
    assert_eq!(room.run(&["export", "--format", "xml"]).0, Some(2));
}
