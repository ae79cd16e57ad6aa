//! Tasks of revision 2025-11-25, in both directions.

use serde_json::{Value, json};

use crate::support::{Bridge, Room, wait_for, wait_until};

/// Calls a tool as a task; gives the task's id.
#[track_caller]
fn task(bridge: &mut Bridge, tool: &str) -> String {
    let answer =
        bridge.ask("tools/call", &json!({ "name": tool, "arguments": {}, "task": { "ttl": 60000 } }));
    let id = answer["result"]["task"]["taskId"].as_str();
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A server whose tasks have ids of their own: the fake server counts its tasks from 1.
fn server(name: &str) -> Vec<String> {
    let task = |id: &str| format!(r#"{{"taskId":"{name}-{id}","status":"working","n":1E2}}"#);
    vec![
        format!("record $ROOM/{name}"),
        r#"capabilities {"tools":{},"tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}}"#
            .to_owned(),
        format!(r#"on tools/call new: reply {{"x":[50.0 ],"task":{}}}"#, task("1")),
        format!("on tasks/get: reply {}", task("1")),
        format!(r#"on tasks/result: reply {{"content":[],"of":"{name}","n":1E2}}"#),
        format!("on tasks/cancel: reply {}", task("1")),
        format!(r#"on tasks/get {name}-old: reply {}"#, task("old")),
        format!(r#"on tasks/list: reply {{"tasks":[{}, {}] ,"y":1E2}}"#, task("1"), task("listed")),
    ]
}

fn with(room: Room, name: &str, script: &[String]) -> Room {
    room.server(name, &script.iter().map(String::as_str).collect::<Vec<_>>())
}

fn two() -> (Room, Bridge) {
    let room = with(with(Room::new(), "a", &server("a")), "b", &server("b"));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    (room, bridge)
}

#[test]
fn what_is_asked_about_a_task_goes_to_the_server_that_gave_it() {
    let (room, mut bridge) = two();
    bridge.send(r#"{"id":"t","params":{"task":{"ttl":1E3},"name":"b__new","x":50.0},"method":"tools/call"}"#);
    let given = r#"{"jsonrpc":"2.0","id":"t","result":{"x":[50.0 ],"task":{"taskId":"b-1","status":"working","n":1E2}}}"#;
    assert_eq!(bridge.raw_answer_to("\"t\""), given);
    assert!(
        room.wait_for_line("b", "tools/call")
            .contains(r#""params":{"task":{"ttl":1E3},"name":"new","x":50.0}"#)
    );
    for (method, result) in [
        ("tasks/get", r#"{"taskId":"b-1","status":"working","n":1E2}"#),
        ("tasks/result", r#"{"content":[],"of":"b","n":1E2}"#),
        ("tasks/cancel", r#"{"taskId":"b-1","status":"working","n":1E2}"#),
    ] {
        let request = r#"{"params":{"n":[1E2],"taskId" :"b\u002d1"},"id": $ID,"method":"$METHOD","z":1.0}"#
            .replace("$METHOD", method);
        bridge.send(request.replace("$ID", "\"q\""));
        assert_eq!(
            bridge.raw_answer_to("\"q\""),
            format!(r#"{{"jsonrpc":"2.0","id":"q","result":{result}}}"#)
        );
        let own = room.wait_for_recorded("b", method)["id"].to_string();
        assert!(room.lines("b").contains(&request.replace("$ID", &own)));
        assert_eq!(room.recorded("a", method).len(), 0, "{method}");
    }
    let rows = bridge.rows("SELECT server, tool, outcome FROM tool_calls");
    assert_eq!(rows, [[json!("b"), json!("new"), json!("ok")]], "only the call has a row");
}

#[test]
fn a_task_that_nobody_remembers_is_asked_of_each_server_with_tasks() {
    let room = with(
        Room::new().server("a", &["tasks", "record $ROOM/a"]).server("none", &["record $ROOM/none"]),
        "b",
        &server("b"),
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let answer = bridge.ask("tasks/get", &json!({ "taskId": "b-old" }));
    assert_eq!(answer["result"]["taskId"], "b-old");
    assert_eq!(room.recorded("a", "tasks/get").len(), 1);
    bridge.ask("tasks/cancel", &json!({ "taskId": "b-old" }));
    assert_eq!(room.recorded("a", "tasks/cancel").len(), 0, "now it is known whose it is");
    assert_eq!(room.recorded("none", "tasks/get").len(), 0);
    let answer = bridge.ask("tasks/get", &json!({ "taskId": 7 }));
    assert_eq!(answer["error"]["data"]["kind"], "bad_params");
}

#[test]
fn a_task_is_unknown_where_no_server_has_tasks() {
    let room = Room::new().server("s", &["record $ROOM/record"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let answer = bridge.ask(method, &json!({ "taskId": "x" }));
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["data"]["kind"]),
            (&json!(-32602), &json!("unknown_task"))
        );
    }
    assert_eq!(bridge.ask("tasks/list", &json!({}))["result"], json!({ "tasks": [] }));
    assert_eq!(room.recorded("record", "tasks/list").len(), 0);
}

/// All pages: the lines of the answers with their cursors left out, and the tasks.
#[track_caller]
fn pages(bridge: &mut Bridge) -> (usize, Vec<String>) {
    let (mut params, mut count, mut tasks) = (json!({}), 0, Vec::new());
    loop {
        let mut answer = bridge.ask("tasks/list", &params);
        let result = answer["result"].take();
        let page = result["tasks"].as_array().unwrap_or_else(|| panic!("{answer}"));
        tasks.extend(page.iter().map(|task| task["taskId"].as_str().unwrap().to_owned()));
        count += 1;
        if result["nextCursor"].is_null() {
            return (count, tasks);
        }
        params = json!({ "cursor": result["nextCursor"], "_meta": {} });
    }
}

#[test]
fn the_tasks_of_all_servers_are_listed_page_by_page() {
    let paged = [
        "record $ROOM/a",
        r#"capabilities {"tools":{},"tasks":{"list":{}}}"#,
        r#"on tasks/list: once $ROOM/1 reply {"nextCursor":"c;\u0041","tasks":[{"taskId":"a-1"}]}; reply {"tasks":[{"taskId":"a-2"}]}"#,
        r#"on tasks/get: reply {"taskId":"?"}"#,
    ];
    let room = with(Room::new().server("a", &paged).server("none", &[]), "b", &server("b"));
    let room = room.server("mute", &[r#"capabilities {"tools":{},"tasks":{"cancel":{}}}"#]);
    let room = with(room, "stopped", &server("stopped"));
    let mut first = room.start();
    first.initialize();
    first.ask("tools/list", &json!({}));
    first.end();
    std::fs::write(room.path("a"), "").unwrap();
    let mut bridge = room.start();
    bridge.initialize();
    for server in ["a", "b", "mute"] {
        bridge.call(&format!("{server}__echo"), json!({}));
    }
    assert_eq!(pages(&mut bridge), (3, ["a-1", "a-2", "b-1", "b-listed"].map(str::to_owned).to_vec()));
    let asked = room.recorded("a", "tasks/list");
    assert_eq!(asked[0]["params"], json!({}));
    assert_eq!(asked[1]["params"], json!({ "cursor": "c;A", "_meta": {} }), "its own cursor");
    assert!(room.text("a").contains(r#""cursor":"c;\u0041""#), "byte for byte");
    assert_eq!(room.recorded("b", "tasks/list")[0]["params"], json!({ "_meta": {} }));
    bridge.ask("tasks/get", &json!({ "taskId": "b-listed" }));
    assert_eq!(room.recorded("b", "tasks/get").len(), 1, "what is listed is known");
    assert_eq!(room.recorded("a", "tasks/get").len(), 0);
    for cursor in [json!("x"), json!(7), json!("[1]")] {
        let answer = bridge.ask("tasks/list", &json!({ "cursor": cursor }));
        assert_eq!(answer["error"]["data"]["kind"], "bad_params", "{answer}");
    }
}

#[test]
fn servers_that_fail_are_left_out_of_the_list_of_tasks() {
    let failing = |name: &str, rule: &str| -> Vec<String> {
        let script = server(name).into_iter().filter(|line| !line.contains("on tasks/list"));
        script.chain([format!("on tasks/list: {rule}")]).collect()
    };
    let hangs = failing("hangs", "hang");
    let hangs: Vec<&str> = hangs.iter().map(String::as_str).collect();
    let room = with(Room::new(), "errs", &failing("errs", "error -32603 first"));
    let room = with(room.server_with("hangs", &hangs, "call_timeout_s = 1"), "stopped", &server("stopped"));
    let room = with(with(room, "b", &server("b")), "last", &failing("last", "error -32603 last"));
    let mut first = room.start();
    first.initialize();
    first.ask("tools/list", &json!({}));
    first.end();
    std::fs::write(room.path("b"), "").unwrap();
    let mut bridge = room.start();
    bridge.initialize();
    for server in ["errs", "hangs", "last"] {
        bridge.call(&format!("{server}__echo"), json!({}));
    }
    let answer = bridge.ask("tasks/list", &json!({}));
    assert_eq!(answer["error"]["message"], "first", "no server has a page");
    bridge.call("b__echo", json!({}));
    assert_eq!(pages(&mut bridge), (2, ["b-1", "b-listed"].map(str::to_owned).to_vec()));
    // A cursor of a server that has ended since.
    let cursor = json!({ "cursor": r#"["stopped","\"c\""]"#, "n": 1 });
    assert_eq!(bridge.ask("tasks/list", &cursor)["result"]["tasks"][0]["taskId"], "b-1");
    let asked = room.recorded("b", "tasks/list").pop().unwrap();
    assert_eq!(asked["params"], json!({ "n": 1 }), "the cursor was not its own");
    let answer = bridge.ask("tasks/list", &json!({ "cursor": r#"["gone",null]"# }));
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["data"]["kind"]),
        (&json!(-32602), &json!("bad_params"))
    );
}

#[test]
fn a_page_of_tasks_keeps_every_byte() {
    let room = with(Room::new(), "b", &server("b"));
    let mut bridge = room.start();
    bridge.initialize();
    bridge.call("b__echo", json!({}));
    bridge.send(r#"{"id":"l\u0041","method":"tasks/list","x":1E2}"#);
    let tasks =
        r#"[{"taskId":"b-1","status":"working","n":1E2}, {"taskId":"b-listed","status":"working","n":1E2}]"#;
    assert_eq!(
        bridge.raw_answer_to(r#""l\u0041""#),
        format!(r#"{{"jsonrpc":"2.0","id":"l\u0041","result":{{"tasks":{tasks} ,"y":1E2}}}}"#)
    );
    let own = room.wait_for_recorded("b", "tasks/list")["id"].to_string();
    assert!(room.lines("b").contains(&format!(r#"{{"id":{own},"method":"tasks/list","x":1E2}}"#)));
}

#[test]
fn the_result_of_a_task_has_all_the_time_it_takes_and_can_be_taken_back() {
    let script =
        ["tasks", "record $ROOM/record", "on tools/call slow: sleep 1600; echo", "on tools/call hang: hang"];
    let room = Room::new().server_with("s", &script, "call_timeout_s = 1");
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let slow = task(&mut bridge, "s__slow");
    let waiting = bridge.request("tasks/result", &json!({ "taskId": slow }));
    assert_eq!(bridge.call("s__hang", json!({}))["result"]["_meta"]["bridge/error"]["kind"], "timeout");
    let answer = bridge.answer_to(waiting);
    assert_eq!(answer["result"]["structuredContent"], json!({}), "{answer}");
    let hang = task(&mut bridge, "s__hang");
    let waiting = bridge.request("tasks/result", &json!({ "taskId": hang }));
    let own = wait_for("the server has it", || {
        room.recorded("record", "tasks/result").into_iter().find(|line| line["params"]["taskId"] == *hang)
    });
    bridge.cancel(waiting);
    let is_told = |line: &Value| line["params"]["requestId"] == own["id"];
    wait_until("the server is told", || {
        room.recorded("record", "notifications/cancelled").iter().any(is_told)
    });
    assert_eq!(bridge.said_so_far(), [] as [Value; 0]);
    let answer = bridge.ask("tasks/cancel", &json!({ "taskId": hang }));
    assert_eq!(answer["result"]["status"], "cancelled");
}

#[test]
fn progress_of_a_task_is_told_as_long_as_it_runs() {
    let said = |n: u8| {
        format!(
            r#"{{"method":"notifications/progress","params":{{"n":1E2,"progress":{n},"progressToken":$TOKEN}}}}"#
        )
    };
    let script = [
        "tasks",
        "resource a:1",
        &format!("on tools/call run: sleep 1; notify {}; request roots/list; notify {}", said(1), said(2)),
    ];
    let room = Room::new().server("s", &script);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    bridge.send(r#"{"jsonrpc":"2.0","id":"t","method":"tools/call","params":{"name":"s__run","task":{},"_meta":{"progressToken":"p\u0041"}}}"#);
    bridge.raw_answer_to("\"t\"");
    let asked = bridge.asked("roots/list").id;
    assert_eq!(bridge.raw_told("notifications/progress"), said(1).replace("$TOKEN", r#""p\u0041""#));
    bridge.answer(&asked, &json!({}));
    assert_eq!(bridge.raw_told("notifications/progress"), said(2).replace("$TOKEN", r#""p\u0041""#));
}

#[test]
fn a_task_that_the_client_gives_is_the_business_of_the_server_that_asked() {
    let ask = r#"on tools/call: ask sampling/createMessage {"task":{"ttl":1E3},"_meta":{"progressToken":5}}"#;
    let get = r#"on tools/call get: request tasks/get {"taskId":"c-b","n":1E2}"#;
    let room = Room::new()
        .server("a", &["record $ROOM/a", ask])
        .server("b", &["record $ROOM/b", "tool echo", ask, get]);
    let mut bridge = room.start();
    bridge.initialize();
    for server in ["a", "b"] {
        bridge.call(&format!("{server}__echo"), json!({}));
        let asked = bridge.asked("sampling/createMessage");
        assert!(asked.line.contains(r#"{"task":{"ttl":1E3},"#));
        let given = format!(r#""result":{{"n":[50.0],"task":{{"status":"working","taskId":"c-{server}"}}}}"#);
        bridge.send(format!(r#"{{"jsonrpc":"2.0","id":{},{given}}}"#, asked.id));
        room.wait_for_line(server, &format!(r#""id":"fake-1",{given}"#));
    }
    // The server asks for it, again and again.
    for _ in 0..3 {
        let get = bridge.begin_call("b__get", json!({}));
        let asked = bridge.asked("tasks/get");
        assert!(asked.line.contains(r#""params":{"taskId":"c-b","n":1E2}"#));
        bridge.send(format!(r#"{{"id":{},"result":{{"taskId":"c-b","status":"working"}}}}"#, asked.id));
        assert_eq!(bridge.answer_to(get)["result"]["structuredContent"]["answer"]["taskId"], "c-b");
    }
    // The client tells of them.
    for server in ["b", "a"] {
        let status = r#"{"x":1E2,"method":"notifications/tasks/status","params":{"status":"completed","taskId" :"c\u002d$S"}}"#
            .replace("$S", server);
        bridge.send(&status);
        room.wait_for_line(server, &status);
        assert!(room.lines(server).contains(&status));
    }
    for server in ["a", "b"] {
        assert_eq!(room.recorded(server, "notifications/tasks/status").len(), 1, "{server}");
    }
}

#[test]
fn progress_of_a_task_that_the_client_gave_reaches_the_server() {
    let ask = r#"on tools/call: ask sampling/createMessage {"task":{},"_meta":{"progressToken":5}}"#;
    let room = Room::new().server("a", &["record $ROOM/a", ask]).server("b", &["record $ROOM/b", ask]);
    let mut bridge = room.start();
    bridge.initialize();
    let mut tokens = Vec::new();
    for server in ["a", "b"] {
        bridge.call(&format!("{server}__echo"), json!({}));
        let asked = bridge.asked("sampling/createMessage");
        bridge.answer(&asked.id, &json!({ "task": { "taskId": server, "status": "working" } }));
        room.wait_for_line(server, r#""result":{"task""#);
        tokens.push(asked.params["_meta"]["progressToken"].clone());
    }
    assert_ne!(tokens[0], tokens[1]);
    for (server, token) in ["a", "b"].into_iter().zip(&tokens) {
        bridge.notify("notifications/progress", &json!({ "progressToken": token, "progress": 1 }));
        let told = room.wait_for_recorded(server, "notifications/progress");
        assert_eq!(told["params"], json!({ "progressToken": 5, "progress": 1 }));
    }
}
