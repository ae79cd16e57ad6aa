//! Requests are taken back in both directions, and progress is told in both.

use serde_json::{Value, json};

use crate::support::{Bridge, Room, wait_until};

/// A room with a server that hangs on everything, and its client.
fn hanging() -> (Room, Bridge) {
    let script = [
        "record $ROOM/record",
        "prompt p",
        "resource a:b",
        "on tools/call: hang",
        "on prompts/get: hang",
        "on resources/read: hang",
        "on completion/complete: hang",
        "on x/y: hang",
    ];
    let room = Room::new().server("s", &script);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("prompts/list", &json!({}));
    (room, bridge)
}

/// The id of the last request of a method, as the server knows it.
#[track_caller]
fn own_id(room: &Room, method: &str) -> String {
    room.wait_for_recorded("record", method)["id"].to_string()
}

#[test]
fn a_client_takes_back_any_request_in_its_own_words() {
    let (room, mut bridge) = hanging();
    let requests = [
        ("tools/call", r#"{"name":"s__echo"}"#),
        ("prompts/get", r#"{"name":"s__p"}"#),
        ("resources/read", r#"{"uri":"a:b"}"#),
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"s__p"},"argument":{}}"#),
        ("x/y", "{}"),
    ];
    for (n, (method, params)) in requests.into_iter().enumerate() {
        let id = format!(r#""c\u0041-{n}""#);
        bridge.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#));
        let own = own_id(&room, method);
        let words = r#"{"x":1E2,"params":{"reason":"b\u0061d; idea","requestId" : $ID,"_meta":{"y":[1.0]}},"method":"notifications\/cancelled","jsonrpc":"2.0"}"#;
        for _ in 0..2 {
            bridge.send(words.replace("$ID", &id));
        }
        let there = words.replace("$ID", &own);
        wait_until("the server hears of it", || room.lines("record").contains(&there));
    }
    assert_eq!(bridge.said_so_far(), [] as [Value; 0], "none is answered");
    assert_eq!(room.recorded("record", "notifications/cancelled").len(), 5, "each is told once");
}

#[test]
fn what_is_not_under_way_cannot_be_taken_back() {
    let room = Room::new().server("s", &["record $ROOM/record"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.send(r#"{"jsonrpc":"2.0","id":"done","method":"tools/call","params":{"name":"s__echo"}}"#);
    bridge.raw_answer_to("\"done\"");
    for id in ["\"done\"", "\"never\"", "1099511627776", "1.0", "null", "{}"] {
        bridge.send(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
        ));
    }
    bridge.call("s__echo", json!({}));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
    assert_eq!(room.recorded("record", "notifications/cancelled"), [] as [Value; 0]);
}

/// A question with an id that a server chose, and its notification that takes it back.
const QUESTION: &str = r#"{"jsonrpc":"2.0","id":70,"method":"sampling/createMessage","params":{"n":1E2}}"#;
const TAKE_BACK: &str = r#"{"x":[1E2],"params":{"y":1.0,"requestId": 70 ,"reason":"n\u006f; more"},"method":"notifications/cancelled","jsonrpc":"2.0"}"#;

#[test]
fn a_server_takes_back_its_own_question_in_its_own_words() {
    let ask = format!("on tools/call ask: notify {QUESTION}");
    let take = format!("on tools/call take: notify {TAKE_BACK}; notify {TAKE_BACK}");
    let stranger = TAKE_BACK.replace("70", "71");
    let other = format!("on tools/call other: notify {stranger}");
    // Another server has a question under the same id.
    let room = Room::new()
        .server("s", &["record $ROOM/record", &ask, &take, &other])
        .server("t", &["record $ROOM/t", &ask]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("t__ask", json!({}));
    let others = bridge.asked("sampling/createMessage").id;
    bridge.call("s__ask", json!({}));
    let asked = bridge.asked("sampling/createMessage").id;
    bridge.call("s__other", json!({}));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0], "it has no such question");
    bridge.call("s__take", json!({}));
    assert_eq!(bridge.raw_told("notifications/cancelled"), TAKE_BACK.replace("70", &asked));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0], "once is enough");
    bridge.answer(&asked, &json!({ "late": true }));
    bridge.answer(&others, &json!({ "right": true }));
    room.wait_for_line("t", r#"{"jsonrpc":"2.0","id":70,"result":{"right":true}}"#);
    bridge.call("s__echo", json!({}));
    assert!(!room.text("record").contains("late"));
}

#[test]
fn an_answered_question_cannot_be_taken_back() {
    let ask = format!("on tools/call ask: notify {QUESTION}");
    let take = format!("on tools/call take: notify {TAKE_BACK}");
    let room = Room::new().server("s", &["record $ROOM/record", &ask, &take]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__ask", json!({}));
    let asked = bridge.asked("sampling/createMessage").id;
    bridge.answer(&asked, &json!({}));
    room.wait_for_line("record", r#""id":70,"result""#);
    bridge.call("s__take", json!({}));
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn progress_of_a_question_goes_to_the_server_that_asked() {
    let ask =
        r#"on tools/call: ask sampling/createMessage {"who":"$WHO","_meta":{"x":1E2,"progressToken" :7}}"#;
    let room = Room::new()
        .server("a", &["record $ROOM/a", &ask.replace("$WHO", "a")])
        .server("b", &["record $ROOM/b", &ask.replace("$WHO", "b")]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("a__echo", json!({}));
    bridge.call("b__echo", json!({}));
    let (a, b) = (bridge.asked("sampling/createMessage"), bridge.asked("sampling/createMessage"));
    assert_eq!((&a.params["who"], &b.params["who"]), (&json!("a"), &json!("b")));
    let (to_a, to_b) =
        (a.params["_meta"]["progressToken"].to_string(), b.params["_meta"]["progressToken"].to_string());
    assert_eq!(to_a, "7", "nothing changes without need");
    assert_ne!(to_a, to_b);
    assert!(b.line.contains(&format!(r#""_meta":{{"x":1E2,"progressToken" :{to_b}}}"#)), "{}", b.line);
    let words = r#"{"params":{"message":"h\u0061lf","total":1E2,"progress":50.0,"progressToken": $TOKEN},"method":"notifications/progress","x":1}"#;
    for (file, token) in [("b", &to_b), ("a", &to_a)] {
        bridge.send(words.replace("$TOKEN", token));
        let there = words.replace("$TOKEN", "7");
        wait_until("it is told", || room.lines(file).contains(&there));
    }
    for (asked, file) in [(&a, "a"), (&b, "b")] {
        bridge.answer(&asked.id, &json!({}));
        room.wait_for_line(file, r#""result":{}"#);
    }
    // Progress of nothing.
    for token in ["7", &to_b, "8"] {
        bridge.send(words.replace("$TOKEN", token));
    }
    bridge.call("a__echo", json!({}));
    bridge.call("b__echo", json!({}));
    for file in ["a", "b"] {
        assert_eq!(room.recorded(file, "notifications/progress").len(), 1, "{file}");
    }
    assert_eq!(
        bridge.asked("sampling/createMessage").params["_meta"]["progressToken"],
        7,
        "it is free again"
    );
}

#[test]
fn progress_of_any_request_passes_as_the_server_wrote_it() {
    let said = r#"{"params":{"progress":1E0,"progressToken" : $TOKEN,"message":"\u0041; b","x":[ ]},"y":1.0,"method":"notifications/progress","jsonrpc":"2.0"}"#;
    let chain = format!("notify {said}");
    let script = [
        "prompt p".to_owned(),
        "resource a:b".to_owned(),
        format!("on tools/call: {chain}"),
        format!("on prompts/get: {chain}"),
        format!("on resources/read: {chain}"),
        format!("on x/y: {chain}; reply {{}}"),
    ];
    let room = Room::new().server("s", &script.iter().map(String::as_str).collect::<Vec<_>>());
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("prompts/list", &json!({}));
    for (method, member) in [
        ("tools/call", r#""name":"s__echo","#),
        ("prompts/get", r#""name":"s__p","#),
        ("resources/read", r#""uri":"a:b","#),
        ("x/y", ""),
    ] {
        let token = format!(r#""{method}\u0041""#);
        bridge.send(format!(
            r#"{{"jsonrpc":"2.0","id":1.5,"method":"{method}","params":{{{member}"_meta":{{"progressToken":{token}}}}}}}"#
        ));
        assert_eq!(bridge.recv_line(), said.replace("$TOKEN", &token), "before the answer");
        assert!(bridge.recv_line().contains("\"id\":1.5,\"result\""));
    }
}
