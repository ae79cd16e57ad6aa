//! Prompts, completions, and methods that nobody knows: routed by what they name, and otherwise untouched.

use serde_json::{Value, json};

use crate::support::{Bridge, Room, wait_for};

/// The request as the server got it, with the client's id in place of the bridge's.
#[track_caller]
fn received(room: &Room, file: &str, id: &str) -> String {
    let lines = room.lines(file);
    let line = lines.last().unwrap();
    let own = serde_json::from_str::<Value>(line).unwrap()["id"].to_string();
    line.replace(&own, id)
}

#[test]
fn a_prompt_is_got_under_its_servers_name_and_the_rest_stays_as_it_is() {
    let result = r#"{"messages":[{"role":"user","content":{"type":"text","text":"\u0041"}}] ,"n":[1E2]}"#;
    let room = Room::new()
        .server("my server", &["record $ROOM/record", &format!("on prompts/get p.q: reply {result}")])
        .server("t", &["prompt p"]);
    let mut bridge = room.start();
    bridge.initialize();
    let list = bridge.ask("prompts/list", &json!({}));
    let shown = list["result"]["prompts"][0]["name"].as_str().unwrap().to_owned();
    let request = r#"{"params":{"arguments" :{"name":"s__p","n":50.0,"a":"\u0041"},"name" : $NAME,"x":1E2},"id":"g","method":"prompts/get","y":[ ]}"#;
    bridge.send(request.replace("$NAME", &json!(shown).to_string()));
    assert_eq!(bridge.raw_answer_to("\"g\""), format!(r#"{{"jsonrpc":"2.0","id":"g","result":{result}}}"#));
    assert_eq!(received(&room, "record", "\"g\""), request.replace("$NAME", "\"p.q\""));
    let answer = bridge.ask("prompts/get", &json!({ "name": "t__nothing" }));
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["data"]["kind"]),
        (&json!(-32602), &json!("unknown_prompt"))
    );
    let answer = bridge.ask("prompts/get", &json!({ "name": 7 }));
    assert_eq!(answer["error"]["data"]["kind"], "bad_params");
    assert_eq!(bridge.rows("SELECT count(*) FROM tool_calls"), [[json!(0)]]);
}

#[test]
fn a_completion_goes_to_the_server_of_its_prompt_or_template() {
    let room = Room::new()
        .server("s", &["record $ROOM/s", "prompt p", "template a:{x}", "resource a:1"])
        .server("t", &["record $ROOM/t", "prompt p", "template b:{x}"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("prompts/list", &json!({}));
    for (reference, there, file) in [
        (
            r#"{"type":"ref/prompt" ,"name":"t__p","title":"T"}"#,
            r#"{"type":"ref/prompt" ,"name":"p","title":"T"}"#,
            "t",
        ),
        (r#"{"name": "s\u005f_p","type":"ref/prompt"}"#, r#"{"name": "p","type":"ref/prompt"}"#, "s"),
        (r#"{"type":"ref/resource","uri":"b:{x}"}"#, r#"{"type":"ref/resource","uri":"b:{x}"}"#, "t"),
        (r#"{"type":"ref/resource","uri":"a:{x}"}"#, r#"{"type":"ref/resource","uri":"a:{x}"}"#, "s"),
        (r#"{"type":"ref/resource","uri":"a:1"}"#, r#"{"type":"ref/resource","uri":"a:1"}"#, "s"),
        (r#"{"type":"ref/resource","uri":"b:7"}"#, r#"{"type":"ref/resource","uri":"b:7"}"#, "t"),
    ] {
        let request = r#"{"jsonrpc":"2.0","id":"c","method":"completion/complete","params":{"argument":{"name":"s__p","value":"\u0041"},"ref": $REF,"context":{"arguments":{"n":1E2}}}}"#;
        bridge.send(request.replace("$REF", reference));
        let answer: Value = serde_json::from_str(&bridge.raw_answer_to("\"c\"")).unwrap();
        let values = json!([there, r#"{"name":"s__p","value":"\u0041"}"#, r#"{"arguments":{"n":1E2}}"#]);
        assert_eq!(answer["result"]["completion"]["values"], values);
        assert_eq!(received(&room, file, "\"c\""), request.replace("$REF", there));
    }
    for reference in [json!({ "name": "x__p" }), json!({}), json!(7)] {
        let answer = bridge.ask("completion/complete", &json!({ "ref": reference, "argument": {} }));
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

const REPLY: &str = r#"{"z" :[1E2,50.0],"a":"\u0041"}"#;

#[track_caller]
fn check_passes(bridge: &mut Bridge, room: &Room, (params, there): (&str, &str), file: &str) {
    let request = r#"{"m":1E2,"method":"x\/y","params": $PARAMS,"id":"u"}"#;
    bridge.send(request.replace("$PARAMS", params));
    assert_eq!(
        bridge.raw_answer_to("\"u\""),
        format!(r#"{{"jsonrpc":"2.0","id":"u","result":{REPLY}}}"#),
        "{params}"
    );
    assert_eq!(received(room, file, "\"u\""), request.replace("$PARAMS", there));
}

#[test]
fn an_unknown_method_goes_to_the_server_of_what_it_names() {
    let script = |name: &str| {
        vec![
            format!("record $ROOM/{name}"),
            format!("resource {name}:1"),
            format!("template {name}:x/{{y}}"),
            "prompt p".to_owned(),
            "tool t".to_owned(),
            format!("on x/y: reply {REPLY}"),
        ]
    };
    let (a, b) = (script("a"), script("b"));
    let lines = |script: &[String]| script.join("\n");
    let room = Room::new().server("a", &[&lines(&a)]).server("b", &[&lines(&b)]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let same = |params| (params, params);
    check_passes(&mut bridge, &room, same(r#"{"uri":"b:\u0031","n":[1.0]}"#), "b");
    check_passes(&mut bridge, &room, same(r#"{"uri":"b:x/7"}"#), "b");
    check_passes(&mut bridge, &room, (r#"{"name" : "b__t" ,"n":1E2}"#, r#"{"name" : "t" ,"n":1E2}"#), "b");
    check_passes(&mut bridge, &room, (r#"{"name":"b__p"}"#, r#"{"name":"p"}"#), "b");
    for params in [json!({}), json!({ "name": "t" }), json!({ "name": 7 }), json!([1]), json!(null)] {
        let answer = bridge.ask("x/y", &params);
        assert_eq!(answer["error"]["code"], -32601, "{answer}");
        assert_eq!(answer["error"]["data"]["kind"], "method_not_found");
    }
}

#[test]
fn with_one_server_an_unknown_method_needs_to_name_nothing() {
    let room = Room::new().server("s", &["record $ROOM/s", "prompt p", &format!("on x/y: reply {REPLY}")]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    for params in ["{ }", "[1E2]", r#"{"name":"of something else"}"#, r#"{"name":7}"#, r#"{"n":{"uri":1}}"#] {
        check_passes(&mut bridge, &room, (params, params), "s");
    }
    bridge.send(r#"{"id":"bare","method":"x/y"}"#);
    assert!(bridge.raw_answer_to("\"bare\"").contains(REPLY));
    assert_eq!(received(&room, "s", "1"), r#"{"id":1,"method":"x/y"}"#);
    let answer = bridge.ask("x/z", &json!({}));
    assert_eq!(
        answer["error"],
        json!({ "code": -32601, "message": "method not found" }),
        "the server's own word"
    );
}

#[test]
fn a_prompt_inside_a_dying_server_is_asked_for_once_more() {
    let room = Room::new().server(
        "s",
        &[
            "record $ROOM/record",
            "prompt p",
            "on prompts/get p: once $ROOM/died exit 3",
            "on prompts/get q: exit 3",
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("prompts/list", &json!({}));
    let answer = bridge.ask("prompts/get", &json!({ "name": "s__p", "arguments": { "n": 1 } }));
    assert_eq!(answer["result"]["messages"][0]["content"]["text"], r#"{"n":1}"#);
    assert_eq!(room.recorded("record", "prompts/get").len(), 2);
    let answer = bridge.ask("prompts/get", &json!({ "name": "s__q" }));
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    assert_eq!(answer["error"]["data"]["kind"], "outcome_unknown");
    assert_eq!(answer["error"]["data"]["exitCode"], 3);
    assert_eq!(room.recorded("record", "prompts/get").len(), 4, "twice, and no more");
}

#[test]
fn an_unknown_method_inside_a_dying_server_is_not_sent_again() {
    let room = Room::new().server("s", &["record $ROOM/record", "on x/y: exit 3"]);
    let mut bridge = room.start();
    bridge.initialize();
    let answer = bridge.ask("x/y", &json!({}));
    assert_eq!(answer["error"]["data"]["kind"], "outcome_unknown", "{answer}");
    assert_eq!(room.recorded("record", "x/y").len(), 1);
}

#[test]
fn what_is_no_call_of_a_tool_fails_by_an_error_and_leaves_no_row() {
    let offers = ["prompt p", "resource a:1"];
    let room = Room::new().server("s", &offers).server_with(
        "t",
        &["prompt p", "record $ROOM/t", "on prompts/get: hang"],
        "call_timeout_s = 1",
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("prompts/list", &json!({}));
    bridge.end();
    std::fs::write(room.path("scripts/s"), offers.join("\n") + "\non start: stderr no; exit 3").unwrap();
    let mut bridge = room.start();
    bridge.initialize();
    for (method, params) in [
        ("prompts/get", json!({ "name": "s__p" })),
        ("resources/read", json!({ "uri": "a:1" })),
        ("completion/complete", json!({ "ref": { "type": "ref/prompt", "name": "s__p" }, "argument": {} })),
    ] {
        let answer = bridge.ask(method, &params);
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
        let data = &answer["error"]["data"];
        assert_eq!((&data["kind"], &data["server"]), (&json!("unavailable"), &json!("s")));
        assert_eq!((&data["exitCode"], &data["retryable"]), (&json!(3), &json!(true)));
        assert_eq!(data["stderr"], json!(["no"]));
        assert!(data["tool"].is_null() && data["call"].is_null(), "{data}");
    }
    let answer = bridge.ask("prompts/get", &json!({ "name": "t__p" }));
    assert_eq!(answer["error"]["data"]["kind"], "timeout", "{answer}");
    wait_for("it is taken back", || room.recorded("t", "notifications/cancelled").pop());
    assert_eq!(bridge.rows("SELECT count(*) FROM tool_calls"), [[json!(0)]]);
    bridge.call("t__echo", json!({}));
    assert_eq!(bridge.rows("SELECT count(*) FROM tool_calls"), [[json!(1)]]);
}

#[test]
fn a_prompt_that_a_server_turns_out_not_to_have_is_unknown() {
    let room = Room::new().server("s", &["prompt p"]);
    let mut bridge = room.start();
    bridge.initialize();
    // The server has never said what it has: it is started and asked.
    let answer = bridge.ask("prompts/get", &json!({ "name": "s__nothing" }));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert_eq!(answer["error"]["data"]["kind"], "unknown_prompt");
}
