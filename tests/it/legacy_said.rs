//! What servers and an older client say to each other without being asked.

use serde_json::{Value, json};

use crate::support::{Bridge, Room};

#[test]
fn a_level_reaches_the_servers_that_log_now_and_later() {
    let room = Room::new()
        .server("runs", &["record $ROOM/runs"])
        .server("later", &["record $ROOM/later"])
        .server("mute", &["record $ROOM/mute", r#"capabilities {"tools":{}}"#]);
    let mut first = room.start();
    first.initialize();
    first.ask("tools/list", &json!({}));
    first.end();
    for name in ["runs", "later", "mute"] {
        std::fs::write(room.path(name), "").unwrap();
    }
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("runs__echo", json!({}));
    bridge.call("mute__echo", json!({}));
    assert_eq!(bridge.ask("logging/setLevel", &json!({ "level": "error" }))["result"], json!({}));
    assert_eq!(room.recorded("runs", "logging/setLevel").len(), 1, "it is told before the client is");
    assert_eq!(room.text("later"), "", "nothing is started for it");
    bridge.call("later__echo", json!({}));
    for name in ["runs", "later"] {
        assert_eq!(room.wait_for_recorded(name, "logging/setLevel")["params"], json!({ "level": "error" }));
    }
    bridge.ask("logging/setLevel", &json!({ "level": "error" }));
    bridge.ask("logging/setLevel", &json!({ "level": "debug" }));
    let levels = |name| -> Vec<Value> {
        room.recorded(name, "logging/setLevel").iter().map(|line| line["params"]["level"].clone()).collect()
    };
    assert_eq!(
        (levels("runs"), levels("later")),
        (vec![json!("error"), json!("debug")], vec![json!("error"), json!("debug")])
    );
    assert_eq!(levels("mute"), [] as [Value; 0]);
}

#[test]
fn a_level_that_is_taken_back_before_it_is_told_has_no_answer() {
    let script = ["tool echo", "on logging/setLevel: once $ROOM/once hang", "on tools/call die: exit 1"];
    let room = Room::new().server("s", &[&["record $ROOM/record"], &script[..]].concat());
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    let set = bridge.request("logging/setLevel", &json!({ "level": "error" }));
    room.wait_for_recorded("record", "logging/setLevel");
    bridge.cancel(set);
    // The next process is told at once, and says yes.
    bridge.call("s__die", json!({}));
    crate::support::wait_until("it is there again", || {
        bridge.call("s__echo", json!({}))["result"]["isError"] != true
    });
    assert_eq!(room.recorded("record", "logging/setLevel").len(), 2);
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[track_caller]
fn check_said(bridge: &mut Bridge, tool: &str, expected: &[&str]) {
    let id = bridge.begin_call(tool, json!({}));
    for line in expected {
        assert_eq!(bridge.recv_line(), *line);
    }
    assert_eq!(bridge.recv()["id"], id);
}

#[test]
fn a_message_keeps_every_byte_and_says_whose_it_is() {
    let line = |params: &str| format!(r#"{{"x":[1E2],"params":{params},"method":"notifications\/message"}}"#);
    let said = [
        (r#"{"level":"error","data":{"n":50.0}}"#, r#"{"logger":"my s","level":"error","data":{"n":50.0}}"#),
        (r#"{"logger" : "\u0041","level":"warning"}"#, r#"{"logger" : "my s/\u0041","level":"warning"}"#),
        (r#"{"logger":"","level":"error"}"#, r#"{"logger":"my s/","level":"error"}"#),
        (r#"{"logger":7,"level":"alert"}"#, r#"{"logger":7,"level":"alert"}"#),
        (r#"{"level":"loud"}"#, r#"{"logger":"my s","level":"loud"}"#),
    ];
    let hidden = [r#"{"level":"info","data":1}"#, r#"{"level":"n\u006ftice"}"#];
    let params = said.iter().map(|(there, _)| *there).chain(hidden);
    let notify: Vec<String> = params.map(|params| format!("notify {}", line(params))).collect();
    let rule = format!("on tools/call speak: {}", notify.join("; "));
    let room = Room::new().server("my s", &[&rule]);
    let mut bridge = room.start();
    bridge.initialize();
    let tools = bridge.ask("tools/list", &json!({}));
    let tool = tools["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|tool| tool["name"].as_str().filter(|name| name.ends_with("speak")).map(str::to_owned));
    bridge.ask("logging/setLevel", &json!({ "level": "warning" }));
    let expected: Vec<String> = said.iter().map(|(_, here)| line(here)).collect();
    check_said(&mut bridge, &tool.unwrap(), &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn what_a_server_says_in_words_that_nobody_knows_passes_as_it_is() {
    let said = [
        r#"{"method":"notifications/x\u0041","params":{"n" :[1E2,50.0]},"y":{ }}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"\u0041","x":1.0}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"t","status":"working","ttl":1E3}}"#,
        r#"{"method":"notifications/bare"}"#,
        r#"{"method":"x","params":[1.0]}"#,
    ];
    let notify: Vec<String> = said.iter().map(|line| format!("notify {line}")).collect();
    let room = Room::new().server("s", &[&format!("on tools/call: {}", notify.join("; "))]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    check_said(&mut bridge, "s__echo", &said);
}

#[test]
fn changes_are_told_by_their_kind_and_only_when_there_is_one() {
    let changed =
        |kind: &str| format!(r#"notify {{"jsonrpc":"2.0","method":"notifications/{kind}/list_changed"}}"#);
    let nothing = format!(
        "on tools/call nothing: {}; {}; {}",
        changed("tools"),
        changed("prompts"),
        changed("resources")
    );
    let room = Room::new().server(
        "s",
        &[
            "prompt p",
            "resource a:1",
            "tool echo",
            "record $ROOM/record",
            &nothing,
            "on tools/call tools: list-changed",
            "on tools/call prompts: prompts-changed",
            "on tools/call resources: resources-changed",
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    let lists = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];
    for list in lists {
        bridge.ask(list, &json!({}));
    }
    bridge.said_so_far();
    bridge.call("s__nothing", json!({}));
    for list in lists {
        let asked = || (room.recorded("record", list).len() >= 2).then_some(());
        crate::support::wait_for("the server is asked again", asked);
    }
    for kind in ["tools", "prompts", "resources"] {
        bridge.call(&format!("s__{kind}"), json!({}));
        let method = format!("notifications/{kind}/list_changed");
        assert_eq!(bridge.raw_told(&method), format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#));
        let list = bridge.ask(&format!("{kind}/list"), &json!({}));
        assert!(list.to_string().contains("extra"), "{list}");
    }
    let said = bridge.said_so_far();
    assert_eq!(said, [] as [Value; 0], "no change is told twice, and none that is not there");
}

#[test]
fn changed_roots_are_told_to_every_server_that_runs() {
    let room = Room::new().server("a", &["record $ROOM/a"]).server("b", &["record $ROOM/b"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("a__echo", json!({}));
    bridge.call("b__echo", json!({}));
    let line = r#"{"method":"notifications\/roots\/list_changed","x":[1E2],"params":{"_meta":{ }}}"#;
    bridge.send(line);
    room.wait_for_line("a", line);
    room.wait_for_line("b", line);
    assert!(room.lines("a").contains(&line.to_owned()) && room.lines("b").contains(&line.to_owned()));
}

#[test]
fn what_the_client_says_in_words_that_nobody_knows_goes_to_whom_it_concerns() {
    let link = r#"on tools/call link: reply {"content":[{"type":"resource_link","uri":"l:1","name":"n"}]}"#;
    let room = Room::new().server("a", &["record $ROOM/a", "resource a:1", "tasks"]).server(
        "b",
        &["record $ROOM/b", "resource b:1", "template b:x/{y}", "tasks", "on tools/call hang: hang", link],
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    bridge.call("b__link", json!({}));
    bridge.call("a__echo", json!({}));
    let task = bridge.ask("tools/call", &json!({ "name": "b__hang", "task": {} }));
    let task = task["result"]["task"]["taskId"].as_str().unwrap().to_owned();
    let line = |params: &str| format!(r#"{{"y":1E2,"method":"notifications/x","params":{params}}}"#);
    let task = format!(r#"{{"taskId":"{task}","n":[1.0]}}"#);
    for params in [r#"{"uri":"b:\u0031"}"#, r#"{"uri":"b:x/7","n":50.0}"#, r#"{"uri":"l:1"}"#, &task] {
        bridge.send(line(params));
        room.wait_for_line("b", params);
        assert!(room.lines("b").contains(&line(params)));
    }
    for params in ["{}", r#"{"uri":"z:1"}"#, r#"{"taskId":"nobody"}"#, "[1]", "7"] {
        bridge.send(line(params));
    }
    bridge.call("a__echo", json!({}));
    bridge.call("b__echo", json!({}));
    assert_eq!(room.recorded("a", "notifications/x").len(), 0);
    assert_eq!(room.recorded("b", "notifications/x").len(), 4);
}

#[test]
fn the_only_server_hears_all_that_the_client_says() {
    let room = Room::new().server("s", &["record $ROOM/record"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("s__echo", json!({}));
    for line in [
        r#"{"method":"notifications/x"}"#,
        r#"{"params":{"n":1E2,"uri":"z:1"},"method":"notifications/x","jsonrpc":"2.0"}"#,
        r#"{"method":"m\u0065","params":[50.0]}"#,
    ] {
        bridge.send(line);
        room.wait_for_line("record", line);
        assert!(room.lines("record").contains(&line.to_owned()));
    }
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
}

#[test]
fn a_batch_of_a_server_is_heard_member_by_member() {
    let batch = r#"[{"method":"notifications/x","params":{"n":1E2}},7,{"jsonrpc":"2.0","id":"q","method":"roots/list"}, {"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":$ID,"result":{"n":50.0}}]"#;
    let room = Room::new().server("s", &["record $ROOM/record", &format!("on tools/call: raw {batch}")]);
    let mut bridge = room.start();
    bridge.initialize_as("2025-03-26");
    bridge.send(r#"{"jsonrpc":"2.0","id":"b","method":"tools/call","params":{"name":"s__echo"}}"#);
    assert_eq!(bridge.raw_told("notifications/x"), r#"{"method":"notifications/x","params":{"n":1E2}}"#);
    let asked = bridge.asked("roots/list");
    assert_eq!(bridge.raw_answer_to("\"b\""), r#"{"jsonrpc":"2.0","id":"b","result":{"n":50.0}}"#);
    room.wait_for_line("record", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    // The client may answer in a batch of its own.
    bridge.send(format!(r#"[{{"jsonrpc":"2.0","id":{},"result":{{"roots":[1.0]}}}}]"#, asked.id));
    room.wait_for_line("record", r#"{"jsonrpc":"2.0","id":"q","result":{"roots":[1.0]}}"#);
}
