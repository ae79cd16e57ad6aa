//! Prompts, resources and templates are listed, kept and told like tools; resources are asked for again.

use serde_json::{Value, json};

use crate::said::OWN;
use crate::support::{Bridge, Room, wait_until};

/// `initialize` of a server with these capabilities.
fn can(capabilities: &Value) -> String {
    let result = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": capabilities,
        "serverInfo": { "name": "x", "version": "1" },
        "instructions": "Be kind; and quick.",
    });
    format!("on initialize: reply {result}")
}

/// A server with everything, which promises to tell of changes.
fn full() -> Vec<String> {
    let told = json!({ "listChanged": true });
    let (ui, e) = (json!({ "n": 1 }), json!({}));
    vec![
        "count $ROOM/count".to_owned(),
        "record $ROOM/record".to_owned(),
        can(&json!({ "tools": told, "prompts": told, "resources": told,
                     "extensions": { "x/ui": ui }, "experimental": { "e": e } })),
        r#"on prompts/list: reply {"prompts":[{"name":"b"},{"x":1E2,"name":"a"}]}"#.to_owned(),
        r#"on resources/list: reply {"resources":[{"uri":"r:b"},{"uri":"r:a","name":"n"}]}"#.to_owned(),
        r#"on resources/templates/list: reply {"resourceTemplates":[{"uriTemplate":"t:{x}"}]}"#.to_owned(),
    ]
}

fn script(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

/// The names or URIs in a list.
#[track_caller]
fn list(bridge: &mut Bridge, method: &str) -> Vec<String> {
    let answer = bridge.ask(method, &json!({}));
    let (member, key) = match method {
        "prompts/list" => ("prompts", "name"),
        "resources/list" => ("resources", "uri"),
        "resources/templates/list" => ("resourceTemplates", "uriTemplate"),
        _ => ("tools", "name"),
    };
    let items = answer["result"][member].as_array().unwrap_or_else(|| panic!("{answer}"));
    items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

/// How often the server was asked for a list.
fn asked(room: &Room, method: &str) -> usize {
    room.text("record").matches(&format!(r#""method":"{method}""#)).count()
}

#[test]
fn every_list_is_merged_and_there_at_once_after_a_start() {
    let room = Room::new().server("s", &script(&full())).server("plain", &[]);
    for starts in [1, 1] {
        let mut bridge = room.start();
        bridge.initialize();
        assert_eq!(list(&mut bridge, "prompts/list"), ["s__a", "s__b"]);
        assert_eq!(list(&mut bridge, "resources/list"), ["r:a", "r:b"]);
        assert_eq!(list(&mut bridge, "resources/templates/list"), ["t:{x}"]);
        assert_eq!(list(&mut bridge, "tools/list").len(), 2 + OWN.len());
        let prompts = bridge.request("prompts/list", &json!({}));
        let line = bridge.raw_answer_to(&prompts.to_string());
        assert!(
            line.ends_with(r#""result":{"prompts":[{"x":1E2,"name":"s__a"},{"name":"s__b"}]}}"#),
            "{line}"
        );
        assert_eq!(bridge.status()["servers"][0]["prompts"], 2);
        assert!(bridge.end().success());
        assert_eq!(room.pids("count").len(), starts, "only the first start asked the server");
    }
    let row =
        "SELECT prompts, resources, templates, era, protocol_version, instructions, binary_time IS NOT NULL
               FROM catalog WHERE server = 's'";
    let resources = r#"[{"uri":"r:b"},{"uri":"r:a","name":"n"}]"#;
    assert_eq!(
        room.rows(row)[0],
        [
            json!(r#"[{"name":"b"},{"x":1E2,"name":"a"}]"#),
            json!(resources),
            json!(r#"[{"uriTemplate":"t:{x}"}]"#),
            json!("legacy"),
            json!("2025-11-25"),
            json!("Be kind; and quick."),
            json!(1),
        ]
    );
}

#[test]
fn what_servers_say_of_themselves_is_said_by_the_bridge_once_it_is_known() {
    let room = Room::new().server("s", &script(&full()));
    let mut bridge = room.start();
    let first = bridge.initialize();
    assert!(first["capabilities"]["extensions"].is_null(), "{first}");
    list(&mut bridge, "tools/list");
    assert!(bridge.end().success());
    let mut bridge = room.start();
    let result = bridge.initialize();
    assert_eq!(result["capabilities"]["extensions"], json!({ "x/ui": { "n": 1 } }));
    assert_eq!(result["capabilities"]["experimental"], json!({ "e": {} }));
    let instructions = result["instructions"].as_str().unwrap();
    assert!(instructions.ends_with("\n\n# s\nBe kind; and quick."), "{instructions}");
    let discovered = bridge.modern("server/discover", json!({}))["result"].take();
    assert_eq!(discovered["capabilities"]["extensions"], result["capabilities"]["extensions"]);
    assert_eq!(
        (&discovered["instructions"], &discovered["capabilities"]["tasks"]),
        (&result["instructions"], &Value::Null)
    );
    assert!(result["capabilities"]["tasks"]["requests"]["tools"]["call"].is_object());
}

#[test]
fn lists_that_a_server_does_not_have_are_not_asked_for_and_empty() {
    let capabilities = can(&json!({ "resources": { "listChanged": true } }));
    let resources = r#"on resources/list: reply {"resources":[{"uri":"r:"}]}"#;
    let room = Room::new().server("s", &["record $ROOM/record", &capabilities, resources]);
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(list(&mut bridge, "prompts/list"), [] as [&str; 0]);
    assert_eq!(list(&mut bridge, "resources/templates/list"), [] as [&str; 0], "it answers that with -32601");
    assert_eq!(list(&mut bridge, "resources/list"), ["r:"]);
    assert_eq!((asked(&room, "prompts/list"), asked(&room, "tools/list")), (0, 0));
}

#[test]
fn a_list_beside_the_tools_that_fails_keeps_no_server_from_being_ready_and_what_is_known() {
    let mut script = full();
    let room = Room::new().server_with("s", &self::script(&script), "start_timeout_s = 2");
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(list(&mut bridge, "prompts/list"), ["s__a", "s__b"]);
    bridge.end();
    for worse in ["error", "hang", r#"reply {"prompts":7}"#] {
        script[3] = format!("on prompts/list: {worse}");
        std::fs::write(
            room.path("scripts/s"),
            script.join("\n").replace("$ROOM", room.path("").to_str().unwrap()),
        )
        .unwrap();
        let mut bridge = room.start();
        bridge.initialize();
        assert!(bridge.call("s__echo", json!({}))["result"].is_object(), "after {worse}");
        assert_eq!(list(&mut bridge, "prompts/list"), ["s__a", "s__b"], "after {worse}");
        bridge.end();
    }
}

#[test]
fn a_change_is_told_of_its_own_list_and_no_other() {
    let mut script = full();
    let notify = r#"notify {"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#;
    script.push(format!("on tools/call change: {notify}; {notify}; {notify}"));
    script[3] = r#"on prompts/list: once $ROOM/first reply {"prompts":[{"name":"a"}]}; reply {"prompts":[]}"#
        .to_owned();
    let room = Room::new().server("s", &self::script(&script));
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(list(&mut bridge, "prompts/list"), ["s__a"]);
    list(&mut bridge, "resources/list");
    list(&mut bridge, "tools/list");
    bridge.said_so_far();
    bridge.call("s__change", json!({}));
    bridge.told("notifications/prompts/list_changed");
    assert_eq!(list(&mut bridge, "prompts/list"), [] as [&str; 0], "prompts may become none");
    let said = bridge.said_so_far();
    assert!(said.is_empty(), "nothing else is told: {said:?}");
    assert_eq!((asked(&room, "tools/list"), asked(&room, "resources/list")), (1, 1));
    assert!((2..=4).contains(&asked(&room, "prompts/list")));
}

#[test]
fn resources_of_a_server_that_does_not_tell_are_asked_for_each_time() {
    let script = [
        "record $ROOM/record".to_owned(),
        can(&json!({ "tools": {}, "resources": {} })),
        r#"on resources/list: once $ROOM/1 reply {"resources":[{"uri":"r:1"}]}; reply {"resources":[{"uri":"r:2"}]}"#.to_owned(),
    ];
    let room = Room::new().server("s", &self::script(&script));
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(list(&mut bridge, "resources/list"), [] as [&str; 0]);
    assert_eq!(asked(&room, "initialize"), 0, "a list of resources starts nothing");
    bridge.call("s__echo", json!({}));
    bridge.told("notifications/resources/list_changed");
    assert_eq!(list(&mut bridge, "resources/list"), ["r:2"], "at its start it said something else");
    assert_eq!(list(&mut bridge, "resources/list"), ["r:2"]);
    assert_eq!(asked(&room, "resources/list"), 3);
    let changed = bridge
        .said_so_far()
        .iter()
        .filter(|line| line["method"] == "notifications/resources/list_changed")
        .count();
    assert_eq!(changed, 0, "the answer shows it");
}

#[test]
fn prompts_of_a_server_that_does_not_tell_are_shown_at_once_and_asked_for_beside() {
    let script = [
        "record $ROOM/record".to_owned(),
        can(&json!({ "prompts": {} })),
        r#"on prompts/list: once $ROOM/1 reply {"prompts":[]}; sleep 4000; reply {"prompts":[{"name":"p"}]}"#
            .to_owned(),
    ];
    let room = Room::new().server("s", &self::script(&script));
    let mut bridge = room.start();
    bridge.initialize();
    assert_eq!(list(&mut bridge, "prompts/list"), [] as [&str; 0]);
    // A list that is on its way to the client when they arrive shows them, and they are not told then.
    wait_until("the prompts are asked for again", || {
        assert_eq!(list(&mut bridge, "prompts/list"), [] as [&str; 0], "shown at once");
        asked(&room, "prompts/list") == 2
    });
    bridge.told("notifications/prompts/list_changed");
    assert_eq!(list(&mut bridge, "prompts/list"), ["s__p"]);
}

#[test]
fn a_modern_list_says_who_we_are_and_bad_cursors_are_refused() {
    let room = Room::new().server("s", &script(&full()));
    let mut bridge = room.start();
    for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
        let result = bridge.modern(method, json!({}))["result"].take();
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "bridge", "{result}");
        assert_eq!((&result["resultType"], &result["ttlMs"]), (&json!("complete"), &json!(0)));
        for cursor in [json!(7), json!({})] {
            let answer = bridge.modern(method, json!({ "cursor": cursor }));
            assert_eq!(answer["error"]["code"], -32602, "{method} {answer}");
        }
        assert!(bridge.modern(method, json!({ "cursor": "zzz" }))["result"].is_object());
    }
}

#[test]
fn requests_right_behind_initialize_are_answered_like_later_ones() {
    let room = Room::new().server("s", &script(&full()));
    for _ in 0..2 {
        let mut bridge = room.start();
        let info = json!({ "name": "it", "version": "1" });
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info });
        let initialize = bridge.request("initialize", &params);
        bridge.notify("notifications/initialized", &json!({}));
        let ids = ["tools/list", "prompts/list"].map(|method| bridge.request(method, &json!({})));
        assert_eq!(bridge.answer_to(initialize)["result"]["protocolVersion"], "2025-11-25");
        let [tools, prompts] = ids.map(|id| bridge.answer_to(id)["result"].take());
        assert_eq!(
            (tools["tools"].as_array().unwrap().len(), prompts["prompts"].as_array().unwrap().len()),
            (1 + OWN.len(), 2)
        );
        assert!(bridge.end().success());
    }
}
