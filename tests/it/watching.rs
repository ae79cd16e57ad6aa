//! Who watches: `bridge status --watch` and `bridge logs -f`, elsewhere than on a terminal.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{DEADLINE, Room, wait_until};

/// A verb that goes on until it is dropped, and the lines that it prints.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    #[track_caller]
    fn start(room: &Room, args: &[&str]) -> Self {
        let mut child = room.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line that holds the text.
    #[track_caller]
    fn line(&self, text: &str) -> String {
        self.until(text, |line| line.contains(text))
    }

    #[track_caller]
    fn until(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut others = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) if is_it(&line) => return line,
                Ok(line) => others.push(line),
                Err(_) => panic!("no line with {what:?} in {others:#?}"),
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_goes_on_while_a_hub_hangs_dies_and_is_replaced() {
    let room = Room::new().server("s", &["tool x"]).through_hub();
    let watch = Watching::start(&room, &["status", "--json", "--watch", "1"]);
    watch.line("[]");
    let mut bridge = room.start_with_door();
    bridge.call("s__x", json!({}));
    // The call is in the record a moment after its answer.
    let line = watch.until("the server is ready and was called", |line| {
        line.contains(r#""state":"ready""#) && line.contains(r#""calls":1"#)
    });
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told[0]["latency"]["s"]["calls"], 1, "{line}");
    assert_eq!(told[0]["status"]["servers"][0]["connections"]["waitingMax"], 100);
    let hub = u32::try_from(told[0]["pid"].as_u64().unwrap()).unwrap();
    crate::support::send_signal(hub, Signal::STOP);
    watch.line("did not answer within 2 s");
    crate::support::send_signal(hub, Signal::KILL);
    bridge.call("s__x", json!({}));
    let line = watch.until("the next hub", |line| {
        line.contains(r#""answers":true,"error":null"#) && !line.contains(&format!(r#""pid":{hub},"#))
    });
    assert!(!line.contains(r#""answers":false"#), "{line}");
}

#[test]
fn reports_for_a_pipe_have_an_empty_line_between_them_and_end_with_their_reader() {
    let room = Room::new();
    let mut watch = Watching::start(&room, &["status", "--watch", "1"]);
    for _ in 0..2 {
        assert!(watch.line("No bridge runs on ").starts_with("No bridge runs on "));
        assert!(watch.line("An AI client starts it").ends_with("with its next request."));
        assert_eq!(watch.lines.recv_timeout(DEADLINE).unwrap(), "");
    }
    // Its thread ends with the next line, and with it the reading end.
    drop(std::mem::replace(&mut watch.lines, channel().1));
    let mut status = None;
    wait_until("it ends when nobody reads", || {
        status = watch.child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success());
}

#[test]
fn a_record_that_cannot_be_read_costs_only_what_it_would_say() {
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start_with_door();
    bridge.call("s__echo", json!({}));
    let newer = rusqlite::Connection::open(room.path("data/bridge.db")).unwrap();
    newer.pragma_update(None, "user_version", 9_999).unwrap();
    let screen = room.said(&["status"]);
    assert!(screen.contains("how long calls took is not known: ") && screen.contains("ready"), "{screen}");
    let logs = room.said(&["logs"]);
    assert!(logs.contains("the record cannot be read: "), "{logs}");
    assert_eq!(room.run(&["status", "--watch", "0"]).0, Some(2));
}

#[test]
fn logs_bring_together_what_was_written_and_what_the_record_knows() {
    let room = Room::new()
        .server("s", &["on start: stderr I am \u{1b}[31mred\u{1b}[0m", "on tools/call dies: exit 3"])
        .server("t", &[])
        .through_hub();
    let mut bridge = room.start_with_door();
    bridge.call("t__echo", json!({}));
    bridge.call("s__dies", json!({}));
    let logs = room.said(&["logs"]);
    let has = |parts: &[&str]| logs.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(logs.starts_with("--- "), "{logs}");
    assert!(has(&["  hub  ", "INFO"]), "{logs}");
    // A server's own lines have no time: it is guessed.
    assert!(has(&["~ s    ", "I am red"]), "{logs}");
    assert!(has(&["  s    ", "exit, process ", "crashed: ended with exit code 3"]), "{logs}");
    assert!(has(&["  s    ", "call of dies failed: outcome_unknown (crashed), after "]), "{logs}");
    assert!(!logs.contains('\u{1b}') && !logs.contains("server event"), "{logs}");
    let of_t = room.said(&["logs", "--server", "t"]);
    assert!(of_t.contains("  t    ready, process ") && !of_t.contains("I am red"), "{of_t}");
    let session = room.rows("SELECT id FROM mcp_sessions")[0][0].as_str().unwrap().to_owned();
    let of_session = room.said(&["logs", "--session", &session[..12]]);
    assert!(
        of_session.contains(&format!("session {session}")) && !of_session.contains("I am red"),
        "{of_session}"
    );
    assert_eq!(room.said(&["logs", "-n", "1"]).lines().count(), 2, "the day and one line");
    assert!(
        room.said(&["logs", "--since", "2099-01-01T00:00:00Z"])
            .starts_with("Nothing of that kind is logged in ")
    );
}

#[test]
fn what_clients_and_models_make_up_does_nothing_to_a_terminal() {
    let room = Room::new();
    let mut bridge = room.start();
    bridge.initialize_by("evil\u{1b}]0;x\u{7}\nname");
    bridge.call("no\u{1b}[2J", json!({}));
    let ended = "SELECT 1 FROM tool_calls WHERE duration_us IS NOT NULL";
    wait_until("it is recorded", || !bridge.rows(ended).is_empty() && !room.doors().is_empty());
    for verb in [
        ["logs"].as_slice(),
        &["status"],
        &["sessions"],
        &["stats"],
        &["stats", "--errors"],
        &["stats", "--by", "client"],
    ] {
        let screen = room.said(verb);
        assert!(!screen.contains(|c: char| c.is_control() && c != '\n'), "{verb:?}: {screen:?}");
        assert!(screen.contains("\\u{1b}"), "{verb:?}: {screen}");
    }
}

#[test]
fn names_that_nobody_knows_are_refused_with_those_that_are_meant() {
    let room = Room::new().server("github", &[]);
    let refused = |args: &[&str]| {
        let (code, stdout, stderr) = room.run(args);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        stderr
    };
    assert_eq!(
        refused(&["logs", "--server", "gihtub"]),
        "error: There is no server \"gihtub\", did you mean \"github\"?\n"
    );
    assert_eq!(refused(&["logs", "--server", "x"]), "error: There is no server \"x\", known are github\n");
    assert_eq!(
        refused(&["logs", "--session", "00"]),
        "error: There is no session \"00\" in the record; bridge sessions names them\n"
    );
}

#[test]
fn logs_are_followed_into_files_and_rows_that_come() {
    let room =
        Room::new().server("s", &["on start: stderr it starts", "on tools/call dies: exit 3"]).through_hub();
    let logs = Watching::start(&room, &["logs", "-f"]);
    let mut bridge = room.start_with_door();
    bridge.call("s__dies", json!({}));
    logs.line("  s    it starts");
    logs.line("call of dies failed: outcome_unknown");
    let file = room.path("data/logs/s.log");
    fs::rename(&file, room.path("data/logs/s.log.old")).unwrap();
    fs::write(&file, b"anew \xff\x1b[2J\n").unwrap();
    assert!(logs.line("anew").ends_with("  s    anew \u{fffd}"));
}
