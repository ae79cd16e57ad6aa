//! How a server is opened whose era nobody knows yet, and how a client says its own.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::{check_error, raw_recorded};
use crate::support::{Bridge, CAPABILITIES_KEY, CLIENT_KEY, Room, check_gone, fake_server, wait_until};

/// What a stop may take on a busy machine; a second process would have to be stopped too.
const STOP_MAX: Duration = Duration::from_millis(1500);

/// The methods of the requests in a `record`, in their order.
fn methods(room: &Room, file: &str) -> Vec<String> {
    let lines = room.lines(file);
    let said = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    said.filter(|line| !line["id"].is_null())
        .map(|line| line["method"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn check_calls(bridge: &mut Bridge) {
    let answer = bridge.call("s__echo", json!({ "n": 1 }));
    assert_eq!(answer["result"]["structuredContent"], json!({ "n": 1 }), "{answer}");
}

#[track_caller]
fn check_calls_modern(bridge: &mut Bridge) {
    let answer = bridge.modern("tools/call", json!({ "name": "s__echo", "arguments": { "n": 1 } }));
    assert_eq!(answer["result"]["structuredContent"], json!({ "n": 1 }), "{answer}");
}

#[track_caller]
fn check_no_restart(room: &Room) {
    let restarts = "SELECT event FROM server_events WHERE event NOT IN ('start', 'ready', 'exit')";
    assert_eq!(room.rows(restarts), [] as [Vec<Value>; 0]);
    assert_eq!(room.rows("SELECT count(*) FROM server_events WHERE event = 'start'"), [[json!(1)]]);
}

#[test]
fn an_unknown_server_is_opened_by_initialize_for_a_legacy_client() {
    let room = Room::new().server("s", &["strict", "record $ROOM/record", "count $ROOM/count"]);
    let mut bridge = room.start();
    bridge.initialize();
    check_calls(&mut bridge);
    assert_eq!(methods(&room, "record"), ["initialize", "tools/list", "tools/call"]);
    assert_eq!(room.pids("count").len(), 1);
}

#[test]
fn a_modern_server_is_found_behind_a_legacy_client_in_the_same_process() {
    let room = Room::new().server("s", &["era modern", "record $ROOM/record", "count $ROOM/count"]);
    for starts in [1, 2] {
        let mut bridge = room.start();
        bridge.initialize();
        check_calls(&mut bridge);
        assert_eq!(bridge.status()["servers"][0]["state"], "ready");
        assert!(bridge.end().success());
        assert_eq!(room.pids("count").len(), starts);
    }
    assert_eq!(methods(&room, "record")[..2], ["initialize", "server/discover"]);
    assert_eq!(room.rows("SELECT era FROM catalog"), [[json!("modern")]]);
}

/// A legacy server that hears of the modern era in this way is thrown away once, and then left alone.
#[track_caller]
fn check_probed(how: &str) {
    let room = Room::new().server("s", &["record $ROOM/record", "count $ROOM/count", how]);
    let mut bridge = room.start();
    check_calls_modern(&mut bridge);
    assert_eq!(
        methods(&room, "record"),
        ["server/discover", "initialize", "tools/list", "tools/call"],
        "{how}"
    );
    let pids = room.pids("count");
    assert_eq!(pids.len(), 2, "{how}");
    check_gone(&pids[..1]);
    let status = bridge.modern("tools/call", json!({ "name": "bridge_status" }));
    let server = &status["result"]["structuredContent"]["servers"][0];
    assert_eq!((&server["starts"], &server["failedStarts"]), (&json!(1), &json!(0)), "{how}");
    assert!(bridge.end().success());
    check_no_restart(&room);
    for more in 1..=2 {
        let mut bridge = room.start();
        check_calls_modern(&mut bridge);
        bridge.end();
        assert_eq!(room.pids("count").len(), 2 + more, "it is not asked again");
    }
    let discovered = raw_recorded(&room, "record", "server/discover");
    assert_eq!(discovered.len(), 1, "{how}");
}

#[test]
fn a_legacy_server_is_asked_once_whether_it_is_modern() {
    check_probed("on server/discover: error -32601 method not found");
}

#[test]
fn a_legacy_server_that_ends_when_it_is_asked_is_started_for_initialize() {
    check_probed("strict");
}

#[test]
fn a_server_that_says_nothing_when_it_is_asked_is_started_for_initialize_and_asked_the_next_time() {
    let hang = "on server/discover: once $ROOM/hung hang";
    let script = ["era dual", "record $ROOM/record", "count $ROOM/count", hang];
    // It has half of that to answer.
    let room = Room::new().server_with("s", &script, "start_timeout_s = 4");
    for (processes, era) in [(2, "legacy"), (3, "modern")] {
        let mut bridge = room.start();
        check_calls_modern(&mut bridge);
        assert!(bridge.end().success());
        assert_eq!(room.pids("count").len(), processes);
        assert_eq!(room.rows("SELECT era, legacy_only FROM catalog"), [[json!(era), Value::Null]]);
    }
    assert_eq!(methods(&room, "record")[..3], ["server/discover", "initialize", "tools/list"]);
}

#[test]
fn a_bridge_that_stops_while_a_server_is_asked_starts_it_no_second_time() {
    for answer in ["hang", "error -32601 method not found"] {
        let script = ["ignore-eof", "ignore-term", "count $ROOM/count", "record $ROOM/record"];
        let how = format!("on server/discover: {answer}");
        let room = Room::new().server("s", &[&script[..], &[&how]].concat());
        let mut bridge = room.start();
        bridge.modern_request("tools/call", json!({ "name": "s__echo" }));
        match answer {
            "hang" => drop(room.wait_for_recorded("record", "server/discover")),
            // It does not obey, so that its end takes a while.
            _ => drop(bridge.wait_for_log("did not take the modern revision")),
        }
        let before = Instant::now();
        assert!(bridge.end().success());
        assert!(before.elapsed() < STOP_MAX, "{:?}", before.elapsed());
        let pids = room.pids("count");
        assert_eq!(pids.len(), 1, "{answer}");
        check_gone(&pids);
        let ends = room.rows("SELECT event FROM server_events WHERE event != 'start'");
        assert_eq!(ends, [[json!("exit")]], "{answer}");
    }
}

#[test]
fn a_legacy_server_that_answers_anything_when_it_is_asked_is_started_for_initialize() {
    check_probed("on server/discover: reply {}");
}

#[test]
fn what_is_known_of_a_server_holds_until_its_program_changes() {
    let room = Room::new();
    let program = room.path("program");
    std::fs::copy(fake_server(), &program).unwrap();
    let config = format!(
        "[servers.s]\ncommand = {}\nargs = [\"-e\", \"record $ROOM/record\", \"-e\", \"count $ROOM/count\"]\n",
        json!(program)
    );
    let room = room.config("own.toml", &config);
    for _ in 0..2 {
        let mut bridge = room.start();
        check_calls_modern(&mut bridge);
        bridge.end();
    }
    assert_eq!(raw_recorded(&room, "record", "server/discover").len(), 1);
    let later = SystemTime::now() + Duration::from_secs(60);
    File::options().write(true).open(&program).unwrap().set_modified(later).unwrap();
    for _ in 0..2 {
        let mut bridge = room.start();
        check_calls_modern(&mut bridge);
        bridge.end();
    }
    assert_eq!(raw_recorded(&room, "record", "server/discover").len(), 2, "the new program may know more");
    assert_eq!(room.pids("count").len(), 6);
}

#[test]
fn a_server_of_both_eras_is_opened_in_its_clients() {
    let room = Room::new().server("s", &["era dual", "record $ROOM/record", "count $ROOM/count"]);
    let mut bridge = room.start();
    check_calls_modern(&mut bridge);
    bridge.end();
    assert_eq!(methods(&room, "record")[0], "server/discover");
    let before = methods(&room, "record").len();
    let mut bridge = room.start();
    bridge.initialize();
    check_calls(&mut bridge);
    bridge.end();
    assert_eq!(methods(&room, "record")[before], "initialize");
    let before = methods(&room, "record").len();
    let mut bridge = room.start();
    check_calls_modern(&mut bridge);
    bridge.end();
    assert_eq!(methods(&room, "record")[before], "server/discover");
    assert_eq!(room.pids("count").len(), 3, "each was one process");
}

#[test]
fn a_server_known_as_modern_that_is_not_any_more_is_opened_by_initialize() {
    let room = Room::new().server("s", &["era modern", "count $ROOM/count"]);
    let mut bridge = room.start();
    check_calls_modern(&mut bridge);
    bridge.end();
    let script = format!("strict\ncount {}\n", room.path("count").display());
    std::fs::write(room.path("scripts/s"), script).unwrap();
    let mut bridge = room.start();
    check_calls_modern(&mut bridge);
}

#[test]
fn a_revision_that_nobody_speaks_keeps_a_modern_server_from_being_opened() {
    let room = Room::new().server_with(
        "s",
        &["era modern", "versions 2099-01-01", "count $ROOM/count"],
        "start_timeout_s = 2",
    );
    let mut bridge = room.start();
    let answer = bridge.modern("tools/call", json!({ "name": "s__echo" }));
    assert_eq!(answer["result"]["_meta"]["bridge/error"]["kind"], "unavailable", "{answer}");
}

#[test]
fn discover_says_what_the_bridge_speaks_and_refuses_every_other_revision() {
    let room = Room::new().server("s", &["count $ROOM/count"]);
    let mut bridge = room.start();
    let result = bridge.modern("server/discover", json!({}))["result"].take();
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(result["resultType"], "complete");
    assert!(result["capabilities"]["tools"].is_object() && result["ttlMs"].is_number(), "{result}");
    for (version, requested) in [(json!("2025-11-25"), json!("2025-11-25")), (json!(7), json!(7))] {
        for method in ["server/discover", "tools/call", "tools/list", "subscriptions/listen", "x/y"] {
            let meta = json!({ "io.modelcontextprotocol/protocolVersion": version });
            let answer = bridge.modern(method, json!({ "name": "s__echo", "_meta": meta }));
            check_error(&answer, -32022);
            assert_eq!(answer["error"]["data"]["supported"], json!(["2026-07-28"]));
            assert_eq!(answer["error"]["data"]["requested"], requested);
        }
    }
    assert!(room.pids("count").is_empty(), "nothing was started");
}

#[test]
fn a_legacy_session_takes_modern_requests_and_the_other_way_round() {
    for first in ["legacy", "modern"] {
        let room = Room::new()
            .server("s", &["record $ROOM/s", "on tools/call: request roots/list"])
            .server("m", &["era modern", r#"on tools/call: input {"k":{"method":"roots/list"}} st"#]);
        let mut bridge = room.start();
        bridge.carry(CAPABILITIES_KEY, super::able());
        if first == "modern" {
            bridge.modern("tools/list", json!({}));
        }
        bridge.initialize_with(json!({ "capabilities": { "roots": {} } }));
        if first == "legacy" {
            bridge.modern("tools/list", json!({}));
        }
        // An older request to either server: the client is asked.
        for tool in ["s__echo", "m__echo"] {
            let id = bridge.begin_call(tool, json!({}));
            let asked = bridge.asked("roots/list");
            bridge.answer(&asked.id, &json!({ "roots": [] }));
            assert!(bridge.answer_to(id)["result"]["resultType"].is_null() || tool == "m__echo");
        }
        // A modern request to the modern server: its own question passes.
        let answer = bridge.modern("tools/call", json!({ "name": "m__echo" }));
        assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
        assert_eq!(answer["result"]["requestState"], "st");
        // A modern request to the older server: a client that takes requests is asked like before.
        let id = bridge.modern_request("tools/call", json!({ "name": "s__echo" }));
        let asked = bridge.asked("roots/list");
        bridge.answer(&asked.id, &json!({ "roots": [] }));
        assert_eq!(bridge.answer_to(id)["result"]["resultType"], "complete");
        assert!(bridge.end().success());
    }
}

#[test]
fn a_probe_beside_the_real_client_starts_nothing() {
    let room = Room::new().server("s", &["count $ROOM/count"]);
    let mut probe = room.start();
    probe.modern("server/discover", json!({}));
    let mut bridge = room.start();
    bridge.initialize();
    assert!(probe.end().success());
    assert!(room.pids("count").is_empty());
    wait_until("the real one serves", || bridge.call("s__echo", json!({}))["result"].is_object());
}

#[test]
fn a_session_that_is_opened_later_says_itself_who_it_is() {
    let room = Room::new().server("s", &["era modern", "record $ROOM/record"]);
    let mut bridge = room.start();
    bridge.carry(CAPABILITIES_KEY, json!({ "sampling": {} }));
    check_calls_modern(&mut bridge);
    for capability in ["roots", "elicitation"] {
        bridge.initialize_with(json!({ "capabilities": { capability: {} } }));
        check_calls(&mut bridge);
    }
    let meta = |call: &Value, key: &str| call["params"]["_meta"][key].clone();
    let calls = room.recorded("record", "tools/call");
    let said: Vec<_> = calls
        .iter()
        .map(|call| (meta(call, CLIENT_KEY)["name"].clone(), meta(call, CAPABILITIES_KEY)))
        .collect();
    assert_eq!(
        said,
        [
            (json!("modern-it"), json!({ "sampling": {} })),
            (json!("it"), json!({ "roots": {} })),
            (json!("it"), json!({ "elicitation": {} })),
        ]
    );
}
