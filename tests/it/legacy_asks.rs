//! Servers ask a client that takes requests: whatever the method, each answer goes to who asked.

use serde_json::{Value, json};

use crate::said::{echoed, kind};
use crate::support::{Bridge, Room, check_gone, wait_for, wait_until};

/// Ids as servers write them, and what they ask.
const QUESTIONS: [(&str, &str, &str); 7] = [
    (r#""fake-1""#, "sampling/createMessage", r#"{"messages":[],"maxTokens":1E2,"x":{"n":50.0}}"#),
    ("1", "elicitation/create", r#"{"message":"who; \u0041?","requestedSchema":{"type" : "object"}}"#),
    ("9007199254740993", "elicitation/create", r#"{"mode":"url","url":"https:\/\/a","elicitationId":"e"}"#),
    ("1180591620717411303424", "roots/list", r#"{"_meta":{"progressToken":1.0}}"#),
    ("-0", "roots/list", "[1E300]"),
    (r#""\u0041\ud800""#, "x/y", r#"{"name":"s__q0","uri":"a:b"}"#),
    ("1.50", "tasks/list", r#"{ }"#),
];

fn question((id, method, params): (&str, &str, &str)) -> String {
    format!(r#"{{"x":[1E2],"params":{params},"id": {id},"method":"{method}","jsonrpc":"2.0"}}"#)
}

/// A server whose tools `q0` … ask the client one question each.
fn asking() -> Room {
    let mut script = vec!["record $ROOM/record".to_owned()];
    let rule = |(n, asked)| format!("on tools/call q{n}: notify {}", question(asked));
    script.extend(QUESTIONS.into_iter().enumerate().map(rule));
    Room::new().server("s", &script.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn whatever_a_server_asks_comes_to_the_client_and_the_answer_comes_back_byte_for_byte() {
    let room = asking();
    let mut bridge = room.start();
    bridge.initialize();
    for (n, asked) in QUESTIONS.into_iter().enumerate() {
        bridge.call(&format!("s__q{n}"), json!({}));
        let heard = bridge.asked(asked.1);
        assert!(heard.id.parse::<i32>().is_ok(), "an id that any client can keep: {}", heard.id);
        assert_eq!(heard.line, question((&heard.id, asked.1, asked.2)));
        let answer = match n % 2 {
            0 => r#"{"result" :{"n":[1E2,50.00 ],"x":"\u0041"},"y":{ },"id":$ID,"jsonrpc":"2.0"}"#,
            _ => r#"{"jsonrpc":"2.0","error":{"data":[1.0],"message":"n\u006f","code":-1},"id": $ID}"#,
        };
        bridge.send(answer.replace("$ID", &heard.id));
        let there = answer.replace("$ID", asked.0);
        room.wait_for_line("record", &there);
        assert!(room.lines("record").contains(&there), "nothing before and nothing behind it");
    }
}

#[test]
fn large_questions_and_answers_pass_whole() {
    let text = "é".repeat(100_000);
    let params = format!(r#"{{"messages":["{text}"],"n":1E2}}"#);
    let asked = question(("\"big\"", "sampling/createMessage", &params));
    let room = Room::new().server("s", &["record $ROOM/record", &format!("on tools/call: notify {asked}")]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let heard = bridge.asked("sampling/createMessage");
    assert_eq!(heard.line, question((&heard.id, "sampling/createMessage", &params)));
    let answer = |id: &str| format!(r#"{{"result":{{"text":"{text}","n":50.0}},"id":{id}}}"#);
    bridge.send(answer(&heard.id));
    wait_until("it is there", || room.lines("record").contains(&answer("\"big\"")));
}

#[test]
fn equal_ids_of_two_servers_and_of_the_client_are_kept_apart() {
    let ask = |who: &str| format!(r#"on tools/call: request roots/list {{"who":"{who}"}}"#);
    let room = Room::new().server("a", &[&ask("a")]).server("b", &[&ask("b")]);
    let mut bridge = room.start();
    bridge.initialize();
    // Both servers call their question "fake-1", and so does the client.
    bridge.send(r#"{"jsonrpc":"2.0","id":"fake-1","method":"tools/call","params":{"name":"a__echo"}}"#);
    bridge.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b__echo"}}"#);
    let first = bridge.asked("roots/list");
    let second = bridge.asked("roots/list");
    assert_ne!(first.id, second.id);
    for asked in [&second, &first] {
        bridge.answer(&asked.id, &json!({ "for": asked.params["who"] }));
    }
    for (id, who) in [("\"fake-1\"", "a"), ("1", "b")] {
        let answer: Value = serde_json::from_str(&bridge.raw_answer_to(id)).unwrap();
        assert_eq!(echoed(&answer)["answer"], json!({ "for": who }));
    }
}

#[test]
fn a_question_may_have_the_id_of_the_request_that_waits_for_it() {
    let ask = r#"{"jsonrpc":"2.0","id":$ID,"method":"roots/list"}"#;
    let room =
        Room::new().server("s", &["record $ROOM/record", &format!("on tools/call: notify {ask}; hang")]);
    let mut bridge = room.start();
    bridge.initialize();
    let call = bridge.begin_call("s__echo", json!({}));
    let asked = bridge.asked("roots/list");
    assert_eq!(asked.line, ask.replace("$ID", &asked.id), "without params");
    bridge.answer(&asked.id, &json!({ "roots": [] }));
    let own = room.wait_for_recorded("record", "tools/call")["id"].clone();
    let there = room.wait_for_line("record", r#""result":{"roots":[]}"#);
    assert_eq!(serde_json::from_str::<Value>(&there).unwrap()["id"], own);
    bridge.cancel(call);
    assert_eq!(room.wait_for_recorded("record", "notifications/cancelled")["params"]["requestId"], own);
}

#[test]
fn a_server_that_asks_too_much_at_once_gets_an_error_for_the_rest() {
    let flood = format!("on tools/call flood: {}", "ask roots/list; ".repeat(70));
    let room =
        Room::new().server("s", &["record $ROOM/record", "on tools/call one: request roots/list", &flood]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__flood", json!({}));
    let refused = || room.lines("record").iter().filter(|line| line.contains("too many requests")).count();
    wait_until("the rest is refused", || refused() == 6);
    let asked: Vec<String> = (0..64).map(|_| bridge.asked("roots/list").id).collect();
    assert_eq!(bridge.said_so_far(), [] as [Value; 0], "64 and no more");
    // One answer makes room for one.
    bridge.answer(&asked[7], &json!({}));
    room.wait_for_line("record", r#""id":"fake-8","result":{}"#);
    let one = bridge.begin_call("s__one", json!({}));
    let id = bridge.asked("roots/list").id;
    bridge.answer(&id, &json!({ "n": 1 }));
    assert_eq!(echoed(&bridge.answer_to(one)), &json!({ "answer": { "n": 1 } }));
    assert_eq!(refused(), 6);
}

/// Opens a session and leaves out the word that the client is ready.
fn half_open(bridge: &mut Bridge) {
    let client = json!({ "name": "it", "version": "1" });
    let params =
        json!({ "protocolVersion": "2025-11-25", "capabilities": { "roots": {} }, "clientInfo": client });
    bridge.ask("initialize", &params);
}

#[test]
fn a_question_before_the_client_is_ready_is_asked_when_it_is() {
    let room = Room::new().server("s", &["record $ROOM/record", "on tools/call: ask roots/list"]);
    let mut bridge = room.start();
    half_open(&mut bridge);
    bridge.call("s__echo", json!({}));
    bridge.call("s__echo", json!({}));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
    bridge.notify("notifications/initialized", &json!({}));
    for id in ["\"fake-1\"", "\"fake-2\""] {
        let asked = bridge.asked("roots/list");
        bridge.answer(&asked.id, &json!({ "roots": [] }));
        room.wait_for_line("record", &format!(r#""id":{id},"result":{{"roots":[]}}"#));
    }
}

#[test]
fn a_question_that_is_over_before_the_client_is_ready_is_never_asked() {
    let room = Room::new().server(
        "s",
        &["on tools/call take: ask roots/list; cancel-request", "on tools/call die: ask roots/list; exit 3"],
    );
    let mut bridge = room.start();
    half_open(&mut bridge);
    bridge.call("s__take", json!({}));
    assert_eq!(kind(&bridge.call("s__die", json!({}))), "outcome_unknown");
    bridge.notify("notifications/initialized", &json!({}));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn a_question_whose_server_dies_is_taken_back_and_its_late_answer_dropped() {
    let room = Room::new()
        .server("s", &["record $ROOM/record", "on tools/call die: ask roots/list; exit 3"])
        .server("t", &["on tools/call: request roots/list"]);
    let mut bridge = room.start();
    bridge.initialize();
    let other = bridge.begin_call("t__echo", json!({}));
    let others = bridge.asked("roots/list").id;
    assert_eq!(kind(&bridge.call("s__die", json!({}))), "outcome_unknown");
    let asked = bridge.asked("roots/list").id;
    let told = bridge.told("notifications/cancelled");
    assert_eq!(told["params"]["requestId"].to_string(), asked);
    bridge.answer(&asked, &json!({ "late": true }));
    bridge.answer(&others, &json!({ "right": true }));
    assert_eq!(echoed(&bridge.answer_to(other))["answer"], json!({ "right": true }));
    bridge.call("s__echo", json!({}));
    assert!(!room.text("record").contains("late"), "the new process never asked");
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn a_server_may_ask_before_it_is_ready() {
    let room = Room::new().server(
        "s",
        &["record $ROOM/record", "on notifications/initialized: ask roots/list", "on tools/list: sleep 300"],
    );
    let mut bridge = room.start();
    bridge.initialize();
    let list = bridge.request("tools/list", &json!({}));
    let asked = bridge.asked("roots/list").id;
    bridge.answer(&asked, &json!({ "roots": [] }));
    room.wait_for_line("record", r#""id":"fake-1","result":{"roots":[]}"#);
    assert!(bridge.answer_to(list)["result"]["tools"].is_array());
}

#[test]
fn a_question_without_an_answer_keeps_nobody_from_ending() {
    let room = Room::new().server("s", &["count $ROOM/pids", "on tools/call: request roots/list"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.begin_call("s__echo", json!({}));
    bridge.asked("roots/list");
    assert!(bridge.end().success());
    check_gone(&room.pids("pids"));
}

#[test]
fn a_call_that_is_taken_back_leaves_its_question_to_its_server() {
    let room = Room::new().server("s", &["record $ROOM/record", "on tools/call: request roots/list"]);
    let mut bridge = room.start();
    bridge.initialize();
    let call = bridge.begin_call("s__echo", json!({}));
    let asked = bridge.asked("roots/list").id;
    bridge.cancel(call);
    room.wait_for_recorded("record", "notifications/cancelled");
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
    bridge.answer(&asked, &json!({ "roots": [] }));
    room.wait_for_line("record", r#""id":"fake-1","result":{"roots":[]}"#);
}

#[test]
fn a_server_that_asks_and_never_reads_does_not_fill_the_memory() {
    // Each line is answered at once; 160 MB of answers would pile up.
    let id = "x".repeat(4000);
    let flood = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"ping"}}"#);
    let first = 1_u64 << 40;
    let initialized =
        r#""result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{}}"#;
    let script = format!(
        "read -r a; echo '{{\"jsonrpc\":\"2.0\",\"id\":{first},{initialized}}}'; read -r b; read -r c; \
         echo '{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"tools\":[]}}}}'; \
         yes '{flood}' | head -n 40000; echo over > $ROOM/over; sleep 60",
        first + 1
    );
    let room = Room::new();
    let config = format!("[servers.s]\ncommand = \"sh\"\nargs = [\"-c\", {}]\n", json!(script));
    let room = room.config("flood.toml", &config);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    wait_for("it has asked all", || (!room.text("over").is_empty()).then_some(()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.pid())).unwrap();
    let kib = |key: &str| -> u64 {
        let value = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        value.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // The program's own pages are no memory that a server fills.
    let (peak, program) = (kib("VmHWM:"), kib("RssFile:"));
    assert!(peak - program < 80 * 1024, "{peak} KiB, {program} of them the program");
    bridge.status();
}

#[test]
fn an_answer_that_is_too_long_is_no_request_and_the_server_is_told() {
    let script = ["on tools/call: request sampling/createMessage {}"];
    let room = Room::new().setting("in_line_max_mib = 1").server("s", &script);
    let mut bridge = room.start();
    bridge.initialize_with(json!({ "capabilities": { "sampling": {} } }));
    let call = bridge.begin_call("s__echo", json!({}));
    let asked = bridge.asked("sampling/createMessage");
    let long = "x".repeat(1_200_000);
    // Some clients write the id last.
    bridge.send(format!(r#"{{"result":{{"text":"{long}"}},"jsonrpc":"2.0","id":{}}}"#, asked.id));
    let answer = bridge.answer_to(call).to_string();
    assert!(answer.contains("the client's answer cannot be read"), "{answer}");
    assert!(!answer.contains(r#""error":{"code":-32600"#), "{answer}");
}
