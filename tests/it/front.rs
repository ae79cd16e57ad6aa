//! A client behind its front: hubs die, and it does not notice.

mod doors;
mod lost;
mod scripted;
#[cfg(target_os = "linux")]
mod straits;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bridge, Room, Wires, alive, send_signal, wait_for, wait_until};

/// Whatever becomes of a test, its hub ends.
pub struct Hubs<'a>(pub &'a Room);

impl Hubs<'_> {
    /// The hub that listens now.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        wait_for("a hub runs", || self.now())
    }

    fn now(&self) -> Option<u32> {
        let log = self.0.text("data/logs/hub.log");
        let serving = log.lines().rev().find(|line| line.contains("hub serving"))?;
        let pid = serving.split("pid=").nth(1)?.split_whitespace().next()?.parse().ok()?;
        alive(pid).then_some(pid)
    }

    #[track_caller]
    pub fn kill(&self) -> u32 {
        let pid = self.pid();
        send_signal(pid, Signal::KILL);
        wait_until("the hub is gone", || !alive(pid));
        pid
    }
}

impl Drop for Hubs<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.now() {
            send_signal(pid, Signal::TERM);
        }
    }
}

pub fn echo() -> Room {
    Room::new().server("s", &["tool echo"]).through_hub()
}

#[track_caller]
pub fn is_ok(bridge: &mut Bridge, text: &str) {
    let answer = bridge.call("s__echo", json!({ "text": text }));
    assert!(answer["result"]["isError"] != true && answer["error"].is_null(), "{answer}\n{}", bridge.log());
}

#[test]
fn a_hub_that_hangs_is_replaced_for_a_new_client_too() {
    let room = echo();
    let hubs = Hubs(&room);
    room.start().initialize();
    let hung = hubs.pid();
    send_signal(hung, Signal::STOP);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "served");
    assert!(bridge.log().contains("hub does not say who it is"), "{}", bridge.log());
    assert_ne!(hubs.pid(), hung);
}

#[test]
fn a_session_outlives_its_hubs() {
    for wires in [Wires::Pipes, Wires::Sockets] {
        let room = echo().wires(wires);
        let hubs = Hubs(&room);
        let mut bridge = room.start();
        bridge.initialize();
        is_ok(&mut bridge, "first");
        for turn in 0..5 {
            hubs.kill();
            is_ok(&mut bridge, &turn.to_string());
        }
        assert!(bridge.end().success());
        let ended = || room.rows("SELECT close_reason, tool_calls FROM mcp_sessions");
        wait_until("the session is closed", || ended() == [[json!("end_of_input"), json!(6)]]);
        assert_eq!(room.rows("SELECT count(*) FROM tool_calls WHERE outcome = 'ok'"), [[json!(6)]]);
    }
}

#[test]
fn fronts_that_start_at_once_have_one_hub() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridges: Vec<Bridge> = (0..3).map(|_| room.start()).collect();
    for bridge in &mut bridges {
        bridge.initialize();
        is_ok(bridge, "x");
    }
    let serving = room.text("data/logs/hub.log").matches("hub serving").count();
    assert_eq!(serving, 1);
    hubs.kill();
    for bridge in &mut bridges {
        is_ok(bridge, "y");
    }
    assert_eq!(room.text("data/logs/hub.log").matches("hub serving").count(), 2);
}

#[test]
fn a_hub_that_hangs_is_replaced_and_says_nothing_more() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let hub = hubs.pid();
    send_signal(hub, Signal::STOP);
    is_ok(&mut bridge, "second");
    bridge.wait_for_log("parting=\"silent\"");
    send_signal(hub, Signal::CONT);
    wait_until("it is gone", || !alive(hub));
    is_ok(&mut bridge, "third");
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
    assert_eq!(
        room.rows("SELECT outcome, count(*) FROM tool_calls GROUP BY outcome"),
        [[json!("ok"), json!(3)]]
    );
}

#[test]
fn a_hub_that_pauses_is_waited_for() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let hub = hubs.pid();
    send_signal(hub, Signal::STOP);
    let id = bridge.begin_call("s__echo", json!({ "n": 1 }));
    send_signal(hub, Signal::CONT);
    assert_eq!(bridge.answer_to(id)["result"]["structuredContent"], json!({ "n": 1 }));
    assert_eq!(hubs.pid(), hub);
}

#[test]
fn without_a_hub_a_bridge_serves_in_its_own_process() {
    let room = echo();
    // No door can stand in a file.
    std::fs::write(room.path("data/run"), "").unwrap();
    let mut bridge = room.start();
    bridge.wait_for_log("serving in this process");
    bridge.initialize();
    is_ok(&mut bridge, "first");
}

#[test]
fn what_stands_in_a_hubs_place_does_not_keep_another_from_it() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    // Its door is removed, and it is killed before it looks.
    std::fs::remove_file(room.path("data/run/hub.sock")).unwrap();
    hubs.kill();
    is_ok(&mut bridge, "no door");
    hubs.kill();
    std::fs::write(room.path("data/run/hub.lock"), "99999999").unwrap();
    is_ok(&mut bridge, "a lock file that nobody holds");
}

#[test]
fn a_hub_starts_also_when_the_programs_file_is_gone_or_garbage() {
    let room = echo();
    let hubs = Hubs(&room);
    let program = room.path("bridge-copy");
    std::fs::copy(env!("CARGO_BIN_EXE_bridge"), &program).unwrap();
    let mut bridge = room.start_as(&program);
    bridge.initialize();
    is_ok(&mut bridge, "first");
    std::fs::remove_file(&program).unwrap();
    hubs.kill();
    is_ok(&mut bridge, "gone");
    std::fs::write(&program, "garbage").unwrap();
    hubs.kill();
    is_ok(&mut bridge, "garbage");
}

#[test]
fn a_killed_front_ends_its_session_and_no_other() {
    let room = echo();
    let _hubs = Hubs(&room);
    let (mut first, mut second) = (room.start(), room.start());
    for bridge in [&mut first, &mut second] {
        bridge.initialize();
        is_ok(bridge, "x");
    }
    first.kill_9();
    let reasons = || room.rows("SELECT close_reason FROM mcp_sessions ORDER BY close_reason IS NULL, id");
    wait_until("its session is closed", || reasons() == [[json!("front_gone")], [json!(null)]]);
    is_ok(&mut second, "y");
}

#[test]
fn a_clients_signal_ends_a_front_at_once_and_not_the_hub() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "x");
    let (hub, before) = (hubs.pid(), std::time::Instant::now());
    bridge.signal(Signal::TERM);
    assert!(bridge.wait_exit().success());
    assert!(before.elapsed().as_secs() < 5);
    wait_until("the session is closed", || {
        room.rows("SELECT close_reason FROM mcp_sessions") == [[json!("sigterm")]]
    });
    assert_eq!(hubs.pid(), hub);
}

#[test]
fn a_client_that_goes_in_good_order_while_its_hub_hangs_has_not_crashed() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "x");
    send_signal(hubs.pid(), Signal::STOP);
    assert!(bridge.end().success());
    hubs.kill();
    let mut next = room.start();
    next.initialize();
    let reason = || room.rows("SELECT close_reason FROM mcp_sessions ORDER BY id LIMIT 1");
    wait_until("its session is closed", || reason() != [[json!(null)]]);
    assert_eq!(reason(), [[json!("end_of_input")]]);
}

#[test]
fn a_session_that_its_hub_has_closed_leaves_no_lock() {
    let room = echo();
    let _hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "x");
    assert!(bridge.end().success());
    let files = std::fs::read_dir(room.path("data/locks")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(files.filter(|path| path.extension().is_some_and(|word| word == "lock")).count(), 0);
}

#[test]
fn a_line_that_is_too_long_is_answered_as_it_is_without_a_hub() {
    let script = ["tool echo", "on tools/call: request sampling/createMessage {}"];
    let room = || Room::new().setting("in_line_max_mib = 1").server("s", &script);
    let said = |room: Room| {
        let _hubs = Hubs(&room);
        let mut bridge = room.start();
        bridge.initialize_with(json!({ "capabilities": { "sampling": {} } }));
        let long = "x".repeat(1_200_000);
        bridge.send(format!(r#"{{"jsonrpc":"2.0","id":"long","method":"{long}"}}"#));
        let refused = bridge.raw_answer_to("\"long\"");
        let call = bridge.begin_call("s__echo", json!({}));
        let asked = bridge.asked("sampling/createMessage");
        bridge.send(format!(r#"{{"result":{{"text":"{long}"}},"jsonrpc":"2.0","id":{}}}"#, asked.id));
        (refused, bridge.answer_to(call)["result"]["structuredContent"].clone())
    };
    let alone = said(room());
    assert!(alone.0.contains("too_long") && alone.1.to_string().contains("cannot be read"), "{alone:?}");
    assert_eq!(said(room().through_hub()), alone);
}
