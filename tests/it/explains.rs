//! What a model is told of a server that failed: one sentence to act on, the cause, how the process ended, what
//! it said last, and when to come back.

use serde_json::{Value, json};

use crate::said::{fault, kind, text};
use crate::support::{Bridge, Room, fake_server, wait_until};

/// What stands in an error beside its text.
struct Told {
    cause: &'static str,
    exit_code: Option<i32>,
    signal: Option<i32>,
    stderr: &'static [&'static str],
    retryable: bool,
}

impl Told {
    const fn of(cause: &'static str) -> Self {
        Self { cause, exit_code: None, signal: None, stderr: &[], retryable: true }
    }
}

/// Checks an answer whole; `$ROOM` in the text is the room's folder.
#[track_caller]
fn check(room: &Room, answer: &Value, expected_kind: &str, told: &Told, expected: &str) {
    let said = fault(answer);
    assert_eq!((kind(answer), &said["cause"]), (expected_kind, &json!(told.cause)), "{answer}");
    assert_eq!(
        (&said["exitCode"], &said["signal"]),
        (&json!(told.exit_code), &json!(told.signal)),
        "{answer}"
    );
    assert_eq!(
        (&said["stderr"], &said["retryable"]),
        (&json!(told.stderr), &json!(told.retryable)),
        "{answer}"
    );
    assert!(said["retryAfterMs"].is_u64(), "{answer}");
    let last = match told.stderr {
        [] => String::new(),
        lines => format!(" Its last output:\n{}", lines.join("\n")),
    };
    let room = room.path("");
    let text = text(answer).replace(&format!("{}", room.display()), "$ROOM");
    assert_eq!(text, format!("{expected}{last}"), "{answer}");
}

/// An entry that starts the fake server with a script of some lines.
fn fake(script: &str) -> String {
    let lines: Vec<&str> = script.split('\n').flat_map(|line| ["-e", line]).collect();
    format!("command = {}\nargs = {}\nstart_timeout_s = 1", json!(fake_server()), json!(lines))
}

/// Calls a server that is configured so, and looks at what is said of its failing to start.
#[track_caller]
fn check_start(entry: &str, told: &Told, what: &str) {
    let room = Room::new();
    std::fs::write(room.path("text"), "no program").unwrap();
    let room = room.config("one.toml", &format!("[servers.s]\n{entry}\n"));
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__echo", json!({}));
    let again = match told.retryable {
        true => "Try again in 1 s.",
        false => {
            "It will not be, until its entry in the bridge's configuration is right, or what that names is there."
        }
    };
    let expected = format!("The server \"s\" is not available: it {what}. The call was not sent. {again}");
    check(&room, &answer, "unavailable", told, &expected);
}

const NOT_FOUND: Told = Told { retryable: false, ..Told::of("not_found") };

#[test]
fn a_server_that_cannot_be_started_at_all() {
    check_start(
        "command = \"no-such-command-here\"",
        &NOT_FOUND,
        "could not be started: the command \"no-such-command-here\" was not found; give its absolute path, or add its folder to PATH",
    );
    check_start(
        "command = \"sh\"\ncwd = \"$ROOM/nowhere\"",
        &NOT_FOUND,
        "could not be started: its folder $ROOM/nowhere does not exist",
    );
    check_start(
        "command = \"sh\"\nenv = { TOKEN = \"${env:NOT_SET_ANYWHERE}\" }",
        &NOT_FOUND,
        "could not be started: the environment variable NOT_SET_ANYWHERE is not set",
    );
    check_start(
        "command = \"$ROOM/text\"",
        &Told { retryable: false, ..Told::of("not_executable") },
        "could not be started: \"$ROOM/text\" may not be executed",
    );
}

#[test]
fn a_server_that_ends_before_it_is_ready() {
    let ended = Told::of("exited_before_ready");
    check_start(
        &fake("on start: stderr no licence; exit 4"),
        &Told { exit_code: Some(4), stderr: &["no licence"], ..ended },
        "ended before it was ready (exit code 4)",
    );
    check_start(
        &fake("on initialize: signal 6"),
        &Told { signal: Some(6), ..ended },
        "ended before it was ready (signal 6 (SIGABRT))",
    );
    check_start(
        &fake("on tools/list: exit 0"),
        &Told { exit_code: Some(0), ..ended },
        "ended before it was ready (exit code 0)",
    );
    check_start(
        &fake("on start: garbage usage: server --port N; exit 2"),
        &Told { exit_code: Some(2), stderr: &["[stdout] usage: server --port N"], ..ended },
        "ended before it was ready (exit code 2)",
    );
    check_start(
        &fake("ignore-eof\non initialize: close-stdout; hang"),
        &ended,
        "closed its output before it was ready",
    );
}

#[test]
fn a_server_that_takes_too_long() {
    let slow = Told::of("too_slow");
    check_start(
        &fake("on initialize: stderr still loading; hang"),
        &Told { stderr: &["still loading"], ..slow },
        "was not ready after 1 s: it did not answer the handshake",
    );
    check_start(&fake("on tools/list: hang"), &slow, "was not ready after 1 s: it did not list its tools");
}

#[test]
fn a_server_that_speaks_something_else() {
    let garbage = Told::of("protocol_garbage");
    let lines = "; garbage <p>".repeat(9);
    check_start(
        &fake(&format!("on initialize: garbage <!doctype html>{lines}; hang")),
        &Told {
            stderr: &[
                "[stdout] <!doctype html>",
                "[stdout] <p>",
                "[stdout] <p>",
                "[stdout] <p>",
                "[stdout] <p>",
                "[stdout] <p>",
                "[stdout] <p>",
                "[stdout] <p>",
            ],
            ..garbage
        },
        "wrote what is no message of the protocol to its stdout, and did not answer the handshake in 1 s",
    );
    check_start(
        &fake("on initialize: error -32000 not you"),
        &garbage,
        "answered the handshake with something else: a JSON-RPC error with code -32000",
    );
    check_start(
        &fake("on initialize: reply 7"),
        &garbage,
        "answered the handshake with something else: no result of initialize",
    );
}

/// Calls a server that dies of it.
#[track_caller]
fn check_death(script: &[&str], told: &Told, what: &str) {
    let room = Room::new().server("s", script);
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.call("s__echo", json!({}));
    check_unknown(&room, &answer, told, what);
    let after = fault(&answer)["retryAfterMs"].as_u64().unwrap();
    assert!(after <= 300, "it rests after a first failure: {answer}");
}

#[track_caller]
fn check_unknown(room: &Room, answer: &Value, told: &Told, what: &str) {
    let expected = format!(
        "The server \"s\" {what} while the call ran; whether the call took effect is not known: look before you repeat \
         it. The server is started again when it is called."
    );
    check(room, answer, "outcome_unknown", told, &expected);
}

#[test]
fn a_server_that_dies_of_a_call() {
    let crashed = Told { retryable: false, ..Told::of("crashed") };
    check_death(
        &["on tools/call: stderr \u{1b}[31mout of memory\u{1b}[0m; exit 3"],
        &Told { exit_code: Some(3), stderr: &["out of memory"], ..crashed },
        "ended with exit code 3",
    );
    check_death(
        &["on tools/call: signal 9"],
        &Told { signal: Some(9), ..crashed },
        "ended with signal 9 (SIGKILL)",
    );
    check_death(&["ignore-eof", "on tools/call: close-stdout; hang"], &crashed, "closed its output");
}

#[test]
fn a_server_that_hangs_takes_the_calls_inside_it_along() {
    let room = Room::new().setting("hang_after = 1").server_with(
        "s",
        &["tool echo", "on tools/call slow: hang", "record $ROOM/record", "ignore-term"],
        "call_timeout_s = 1",
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let late = bridge.begin_call("s__slow", json!({}));
    let inside = begin_half_a_second_later(&room, &mut bridge);
    assert_eq!(kind(&bridge.answer_to(late)), "timeout");
    let hung = Told { retryable: false, ..Told::of("hung") };
    let answer = bridge.answer_to(inside);
    check_unknown(&room, &answer, &hung, "missed a deadline and was replaced");
}

/// Another call, when the first one has been under way for a good while.
fn begin_half_a_second_later(room: &Room, bridge: &mut Bridge) -> u64 {
    wait_until("the first call runs", || room.recorded("record", "tools/call").len() == 2);
    let began = std::time::Instant::now();
    wait_until("some time has passed", || began.elapsed().as_millis() > 500);
    bridge.begin_call("s__slow", json!({}))
}

#[test]
fn a_parked_server_says_when_to_come_back() {
    let room = Room::new().setting("failure_threshold = 1").server("s", &["on start: exit 1"]);
    let mut bridge = room.start();
    bridge.initialize();
    for _ in 0..2 {
        let answer = bridge.call("s__echo", json!({}));
        let said = text(&answer);
        assert!(said.ends_with(" The call was not sent. Try again in 60 s."), "{said}");
        assert!(fault(&answer)["retryAfterMs"].as_u64().unwrap() > 50_000, "{answer}");
    }
}

#[test]
fn what_is_no_call_of_a_tool_is_told_the_same_in_an_error() {
    let room = Room::new().server("s", &["on start: stderr no licence; exit 4"]);
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.ask("prompts/get", &json!({ "name": "s__p" }));
    let error = &answer["error"];
    assert!(error["message"].as_str().unwrap().contains("(exit code 4)"), "{answer}");
    let data = &error["data"];
    assert_eq!((&data["kind"], &data["cause"]), (&json!("unavailable"), &json!("exited_before_ready")));
    assert_eq!((&data["exitCode"], &data["stderr"]), (&json!(4), &json!(["no licence"])));
    assert!(data["retryAfterMs"].is_u64() && data["tool"].is_null(), "{answer}");
}
