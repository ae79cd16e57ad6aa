//! Hubs that do what no hub should: the front believes none of them, and its client has one answer to each request.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use bridge::frames::{Cutter, Framed, Kind, VERSION, head};
use serde_json::{Value, json};

use crate::front::{Hubs, echo, is_ok};
use crate::support::{Bridge, Room, wait_for};

/// A hub that this test plays. A front ends a hub that it gives up: this one's process is another.
struct Played {
    listener: UnixListener,
    stand_in: Child,
}

/// Its conversation with a front.
struct Talk {
    stream: UnixStream,
    cutter: Cutter,
}

impl Played {
    fn new(room: &Room) -> Self {
        let run = room.path("data/run");
        std::fs::create_dir(&run).unwrap();
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).unwrap();
        let listener = UnixListener::bind(run.join("hub.sock")).unwrap();
        let stand_in = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        Self { listener, stand_in }
    }

    /// Lets a front in, and tells it that this is the hub.
    fn welcome(&self) -> Talk {
        let (stream, _) = self.listener.accept().unwrap();
        let mut talk = Talk { stream, cutter: Cutter::default() };
        assert_eq!(talk.hear().kind, Kind::Hello);
        let welcome = json!({ "version": VERSION, "pid": self.stand_in.id(), "line_bytes_max": 1 << 24, "bridge": "1.0.0" });
        talk.say(Kind::Welcome, 0, &welcome.to_string());
        talk
    }

    /// Whether a front has ended this hub.
    fn was_ended(&mut self) -> bool {
        self.stand_in.try_wait().unwrap().is_some()
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.stand_in.kill();
        let _ = self.stand_in.wait();
    }
}

impl Talk {
    fn hear(&mut self) -> Framed {
        loop {
            if let Some(framed) = self.cutter.next_frame().unwrap() {
                return framed;
            }
            let mut bytes = vec![0; self.cutter.missing()];
            let count = self.stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the front has gone");
            self.cutter.room().extend_from_slice(&bytes[..count]);
        }
    }

    fn say(&mut self, kind: Kind, seq: u64, body: &str) {
        self.stream.write_all(&head(kind, seq, body.len())).unwrap();
        self.stream.write_all(body.as_bytes()).unwrap();
    }

    /// The next request: its number and its id.
    fn request(&mut self) -> (u64, Value) {
        loop {
            let framed = self.hear();
            if framed.kind == Kind::Request {
                let line: Value = serde_json::from_slice(&framed.body).unwrap();
                return (framed.seq, line["id"].clone());
            }
        }
    }

    fn answer(&mut self, seq: u64, id: &Value) {
        self.say(
            Kind::Answer,
            seq,
            &format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"played\":{seq}}}}}\n"),
        );
    }
}

/// A front whose session was opened by a hub that is played.
fn opened(room: &Room) -> (Played, Talk, Bridge) {
    let played = Played::new(room);
    let mut bridge = room.start();
    let mut talk = played.welcome();
    let params =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "it" } });
    let id = bridge.request("initialize", &params);
    let (seq, said) = talk.request();
    talk.answer(seq, &said);
    assert_eq!(bridge.answer_to(id)["result"]["played"], json!(seq));
    (played, talk, bridge)
}

/// Whoever the hub was, it is given up, and the client is served by another one.
#[track_caller]
fn is_replaced(mut played: Played, mut talk: Talk, mut bridge: Bridge, does: impl FnOnce(&mut Talk)) {
    let id = bridge.begin_call("s__echo", json!({ "n": 1 }));
    talk.request();
    does(&mut talk);
    wait_for("the hub is ended", || played.was_ended().then_some(()));
    drop(played);
    drop(talk);
    assert_eq!(bridge.answer_to(id)["result"]["structuredContent"], json!({ "n": 1 }), "{}", bridge.log());
    is_ok(&mut bridge, "after");
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

/// Its client was told that there was no hub, and goes on when there is one.
#[track_caller]
fn is_served(bridge: &mut Bridge) {
    wait_for("a hub serves", || {
        let answer = bridge.call("s__echo", json!({ "n": 1 }));
        (answer["result"]["structuredContent"] == json!({ "n": 1 })).then_some(())
    });
}

#[test]
fn a_hub_that_says_garbage_is_replaced() {
    let room = echo();
    // Whoever comes after the one that is played, and after the client has gone.
    let _hubs = Hubs(&room);
    let (played, talk, bridge) = opened(&room);
    is_replaced(played, talk, bridge, |talk| {
        talk.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
}

#[test]
fn a_hub_that_claims_a_frame_of_two_gigabytes_is_replaced() {
    let room = echo();
    let _hubs = Hubs(&room);
    let (played, talk, bridge) = opened(&room);
    is_replaced(played, talk, bridge, |talk| {
        talk.stream.write_all(&head(Kind::Line, 0, 2 << 30)).unwrap();
    });
}

#[test]
fn a_hub_that_says_nothing_more_is_replaced() {
    let room = echo();
    let _hubs = Hubs(&room);
    let (played, talk, bridge) = opened(&room);
    is_replaced(played, talk, bridge, |_| {});
}

#[test]
fn a_hub_that_lets_fronts_in_and_does_not_say_who_it_is_is_replaced() {
    let room = echo();
    let _hubs = Hubs(&room);
    let (mut played, talk, mut bridge) = opened(&room);
    let mut lock = File::create(room.path("data/run/hub.lock")).unwrap();
    lock.lock().unwrap();
    write!(lock, "{}", played.stand_in.id()).unwrap();
    drop(talk);
    wait_for("the hub is ended", || played.was_ended().then_some(()));
    drop((lock, played));
    is_served(&mut bridge);
}

#[test]
fn a_hub_that_dies_within_a_line_has_said_nothing() {
    let room = echo();
    let _hubs = Hubs(&room);
    let (mut played, mut talk, mut bridge) = opened(&room);
    let id = bridge.begin_call("s__echo", json!({ "n": 1 }));
    let (seq, said) = talk.request();
    let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{said},\"result\":{{}}}}\n");
    talk.stream.write_all(&head(Kind::Answer, seq, answer.len())).unwrap();
    talk.stream.write_all(&answer.as_bytes()[..10]).unwrap();
    played.stand_in.kill().unwrap();
    drop(talk);
    drop(played);
    assert_eq!(bridge.answer_to(id)["result"]["structuredContent"], json!({ "n": 1 }));
}

#[test]
fn what_a_hub_answers_twice_or_was_never_asked_does_not_reach_the_client() {
    let room = echo();
    let (_played, mut talk, mut bridge) = opened(&room);
    let id = bridge.begin_call("s__echo", json!({}));
    let (seq, said) = talk.request();
    talk.answer(seq + 1, &json!("never asked"));
    talk.answer(0, &json!("without a number"));
    talk.answer(seq, &said);
    talk.answer(seq, &said);
    assert_eq!(bridge.answer_to(id)["result"]["played"], json!(seq));
    let id = bridge.begin_call("s__echo", json!({}));
    let (seq, said) = talk.request();
    talk.answer(seq, &said);
    assert_eq!(bridge.answer_to(id)["result"]["played"], json!(seq));
    bridge.close_stdin();
    assert!(bridge.wait_exit().success());
    assert_eq!(bridge.next_line(), None);
}

#[test]
fn a_hub_that_never_says_who_it_is_leaves_a_session_without_one() {
    let room = echo();
    let played = Played::new(&room);
    let mut bridge = room.start();
    let _silent = played.listener.accept().unwrap();
    bridge.wait_for_log("serving in this process");
    bridge.initialize();
    is_ok(&mut bridge, "x");
}
