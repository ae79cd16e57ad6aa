//! A front goes on as the program of a newer hub, and its client does not notice.

#![cfg(target_os = "linux")]

mod edges;
mod storm;

use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bridge, Room, Wires, alive, send_signal, wait_for, wait_until};

/// The hubs of a room, each of a newer program than the one before.
struct Hubs<'a> {
    room: &'a Room,
    /// Those that were started here.
    children: RefCell<Vec<Child>>,
    programs: Cell<u32>,
}

impl<'a> Hubs<'a> {
    fn of(room: &'a Room) -> Self {
        Self { room, children: RefCell::default(), programs: Cell::new(0) }
    }

    /// The hub that serves now.
    fn now(&self) -> Option<u32> {
        let log = self.room.text("data/logs/hub.log");
        let serving = log.lines().rev().find(|line| line.contains("hub serving"))?;
        let pid = serving.split("pid=").nth(1)?.split_whitespace().next()?.parse().ok()?;
        alive(pid).then_some(pid)
    }

    /// A copy of the bridge that is newer than all before.
    fn newer(&self) -> PathBuf {
        let number = self.programs.get() + 1;
        self.programs.set(number);
        let version = format!("{}.{}.{}", 1 + number / 100, number / 10 % 10, number % 10);
        self.room.program_of(&format!("bridge-{number}"), &version)
    }

    /// Starts the hub of a program, and waits until it serves.
    #[track_caller]
    fn start(&self, program: &Path) {
        std::fs::create_dir_all(self.room.path("data/logs")).unwrap();
        if let Ok(lock) = std::fs::File::open(self.room.path("data/run/hub.lock")) {
            wait_until("the last thread of a killed hub lets go", || lock.try_lock_shared().is_ok());
        }
        let log =
            OpenOptions::new().create(true).append(true).open(self.room.path("data/logs/hub.log")).unwrap();
        let mut command = Command::new(program);
        let usual = self.room.command(&[]);
        command.arg("hub").env_clear().current_dir(self.room.path("home"));
        command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let hub = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let pid = hub.id();
        self.children.borrow_mut().push(hub);
        wait_until("the hub serves", || self.now() == Some(pid));
    }

    #[track_caller]
    fn kill(&self) {
        let pid = wait_for("a hub runs", || self.now());
        send_signal(pid, Signal::KILL);
        wait_until("the hub is gone", || !alive(pid));
    }

    /// Kills the hub, and puts that of a program into its place before the bridge sees any of it.
    #[track_caller]
    fn replace(&self, bridge: &mut Bridge, program: &Path) {
        stopped(bridge, |_| {
            self.kill();
            self.start(program);
        });
    }

    /// The same with a newer program, and waits until the bridge is that program.
    #[track_caller]
    fn upgrade(&self, bridge: &mut Bridge) -> PathBuf {
        let program = self.newer();
        self.replace(bridge, &program);
        wait_until("the bridge is the newer program", || is_program(bridge, &program));
        program
    }
}

impl Drop for Hubs<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.now() {
            send_signal(pid, Signal::TERM);
        }
        for hub in self.children.get_mut() {
            let _ = hub.wait();
        }
    }
}

/// The bridge does nothing meanwhile.
#[track_caller]
fn stopped(bridge: &mut Bridge, act: impl FnOnce(&mut Bridge)) {
    bridge.signal(Signal::STOP);
    let file = format!("/proc/{}/stat", bridge.pid());
    let stat = || std::fs::read_to_string(&file).unwrap();
    wait_until("the bridge is stopped", || stat().rsplit(") ").next().unwrap().starts_with('T'));
    act(bridge);
    bridge.signal(Signal::CONT);
}

fn exe(bridge: &Bridge) -> PathBuf {
    std::fs::read_link(format!("/proc/{}/exe", bridge.pid())).unwrap()
}

fn is_program(bridge: &Bridge, program: &Path) -> bool {
    exe(bridge) == program
}

fn echo() -> Room {
    Room::new().server("s", &["tool echo"]).through_hub()
}

#[track_caller]
fn is_ok(bridge: &mut Bridge, text: &str) {
    let answer = bridge.call("s__echo", json!({ "text": text }));
    assert!(answer["result"]["structuredContent"]["text"] == text, "{answer}\n{}", bridge.log());
}

#[test]
fn a_session_goes_on_in_the_same_process_as_a_newer_program() {
    for wires in [Wires::Pipes, Wires::Sockets] {
        let room = echo().wires(wires);
        let hubs = Hubs::of(&room);
        let mut bridge = room.start();
        bridge.initialize();
        is_ok(&mut bridge, "first");
        for turn in ["second", "third"] {
            hubs.upgrade(&mut bridge);
            is_ok(&mut bridge, turn);
        }
        // What was resumed can lose a hub like any other.
        hubs.kill();
        is_ok(&mut bridge, "fourth");
        assert!(bridge.end().success());
        let ended = || room.rows("SELECT close_reason, tool_calls FROM mcp_sessions");
        wait_until("the session is closed", || ended() == [[json!("end_of_input"), json!(4)]]);
        assert_eq!(room.rows("SELECT count(*) FROM tool_calls WHERE outcome = 'ok'"), [[json!(4)]]);
    }
}

#[test]
fn what_is_under_way_is_answered_once() {
    for wires in [Wires::Pipes, Wires::Sockets] {
        let room = Room::new()
            .server("s", &["tool echo"])
            .server_with(
                "h",
                &["record $ROOM/h", "on tools/call: once $ROOM/hung hang"],
                "max_concurrent = 1",
            )
            .through_hub()
            .wires(wires);
        let hubs = Hubs::of(&room);
        let mut bridge = room.start();
        bridge.initialize();
        is_ok(&mut bridge, "first");
        let dispatched = bridge.begin_call("h__echo", json!({}));
        room.wait_for_line("h", "tools/call");
        let waits = bridge.begin_call("h__echo", json!({ "n": 2 }));
        let text = "x".repeat(8 << 20);
        let params = json!({ "name": "s__echo", "arguments": { "text": text } });
        let long =
            json!({ "jsonrpc": "2.0", "id": 70, "method": "tools/call", "params": params }).to_string();
        let (half, rest) = long.split_at(4 << 20);
        bridge.send_bytes(half.as_bytes());
        hubs.upgrade(&mut bridge);
        bridge.send(rest);
        bridge.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":71,\"method\":\"\xff\xfe\"}\n");
        let answer: Value = bridge.answer_to(70);
        assert_eq!(answer["result"]["structuredContent"]["text"].as_str().map(str::len), Some(8 << 20));
        assert_eq!(bridge.answer_to(71)["error"]["code"], -32700);
        let lost = bridge.answer_to(dispatched);
        assert_eq!(lost["result"]["_meta"]["bridge/error"]["kind"], "outcome_unknown", "{lost}");
        assert_eq!(bridge.answer_to(waits)["result"]["structuredContent"], json!({ "n": 2 }));
        assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
        let outcomes =
            room.rows("SELECT outcome, count(*) FROM tool_calls GROUP BY outcome ORDER BY outcome");
        assert_eq!(outcomes, [[json!("ok"), json!(3)], [json!("outcome_unknown"), json!(1)]]);
    }
}

#[test]
fn what_was_heard_and_has_no_hub_comes_through_byte_by_byte() {
    let room = echo();
    let hubs = Hubs::of(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let program = hubs.newer();
    stopped(&mut bridge, |bridge| {
        hubs.kill();
        bridge.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":71,\"method\":\"\xff\xfe\"}\r\n");
        bridge.send(r#"{"jsonrpc":"2.0","id":"\u0061", "method":"tools/call","params":{"name":"s__echo","arguments":{"n":1.00}}}"#);
        bridge.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":72,\"meth");
        hubs.start(&program);
    });
    wait_until("the bridge is the newer program", || is_program(&bridge, &program));
    bridge.send_bytes(b"od\":\"ping\"}\n");
    assert_eq!(bridge.answer_to(72)["result"], json!({}));
    assert_eq!(bridge.answer_to(71)["error"]["code"], -32700);
    assert!(bridge.raw_answer_to(r#""\u0061""#).contains(r#"{"n":1.00}"#));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn a_subscription_a_level_and_a_question_go_on() {
    let script = [
        "record $ROOM/said",
        "resource fake://a",
        "capabilities {\"resources\":{\"subscribe\":true},\"logging\":{},\"tools\":{}}",
        "on tools/call: request roots/list",
    ];
    let room = Room::new().server("s", &script).through_hub();
    let hubs = Hubs::of(&room);
    let mut bridge = room.start();
    bridge.initialize_with(json!({ "capabilities": { "roots": {} } }));
    assert!(bridge.ask("resources/subscribe", &json!({ "uri": "fake://a" }))["error"].is_null());
    assert!(bridge.ask("logging/setLevel", &json!({ "level": "error" }))["error"].is_null());
    let mut asked = Vec::new();
    for turn in 1..3 {
        bridge.begin_call("s__echo", json!({}));
        asked.push(bridge.asked("roots/list").id);
        hubs.upgrade(&mut bridge);
        // It is taken back, and no later one has its id.
        assert_eq!(
            bridge.told("notifications/cancelled")["params"]["requestId"].to_string(),
            asked[turn - 1]
        );
        wait_until("the server hears it again", || {
            room.recorded("said", "resources/subscribe").len() > turn
                && room.recorded("said", "logging/setLevel").len() > turn
        });
    }
    assert_ne!(asked[0], asked[1]);
}
