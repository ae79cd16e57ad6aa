//! Which calls share a process.

use serde_json::json;

use super::{HANGS, SAYS_PID, begin, call, connections, pid, room, start};
use crate::said::echoed;
use crate::support::{check_gone, wait_until};

#[test]
fn everybody_shares_a_shared_server() {
    let room = room("shared", &SAYS_PID, "");
    let mut bridge = start(&room);
    let one = pid(&mut bridge, "", "");
    assert_eq!((pid(&mut bridge, "t1", "ann"), pid(&mut bridge, "t2", "bob")), (one, one));
    assert_eq!(room.pids("count"), [one]);
}

#[test]
fn each_client_session_has_its_own() {
    let room = room("session", &SAYS_PID, "");
    let mut bridge = start(&room);
    let one = pid(&mut bridge, "", "");
    assert_eq!(pid(&mut bridge, "t1", "ann"), one);
    // A client of another name is another session.
    let other = bridge.modern("tools/call", json!({ "name": "s__echo" }));
    assert_ne!(echoed(&other)["pid"], one);
    let shown: Vec<_> = connections(&mut bridge).iter().map(|row| row["session"].clone()).collect();
    assert!(shown.len() == 2 && shown[0] != shown[1] && shown.iter().all(|id| id.is_string()), "{shown:?}");
}

#[test]
fn each_thread_has_its_own_and_calls_without_one_the_sessions() {
    let room = room("thread", &SAYS_PID, "");
    let mut bridge = start(&room);
    let (one, other, none) =
        (pid(&mut bridge, "t1", ""), pid(&mut bridge, "t2", ""), pid(&mut bridge, "", "ann"));
    assert!(one != other && other != none && one != none);
    assert_eq!((pid(&mut bridge, "t1", ""), pid(&mut bridge, "", "")), (one, none));
    assert_ne!(pid(&mut bridge, "t1", "ann"), one, "two users may name their threads alike");
    let shown = connections(&mut bridge);
    let kinds: Vec<_> = shown.iter().map(|row| (row["scope"].clone(), row["thread"].clone())).collect();
    assert_eq!(
        json!(kinds),
        json!([["session", null], ["thread", "t1"], ["thread", "t2"], ["thread", "t1"]])
    );
    assert_eq!(
        (&shown[3]["user"], &shown[1]["requests"], &shown[1]["pid"]),
        (&json!("ann"), &json!(2), &json!(one))
    );
    let text = bridge.call("bridge_status", json!({}))["result"]["content"][0]["text"].to_string();
    assert!(text.contains(", 4 connections, 0 in use"), "{text}");
    let status = bridge.status();
    let figures = &status["servers"][0]["connections"];
    assert_eq!((&status["servers"][0]["scope"], &figures["total"]), (&json!("thread"), &json!(4)));
    assert_eq!(figures["byThread"], json!({ "t1": 2, "t2": 1 }));
    assert_eq!((&figures["requests"], &figures["reuseRate"]), (&json!(6), &json!(1.0 / 3.0)));
}

#[test]
fn each_user_has_its_own_whatever_the_thread() {
    let room = room("user", &SAYS_PID, "");
    let mut bridge = start(&room);
    let (ann, bob, none) =
        (pid(&mut bridge, "t1", "ann"), pid(&mut bridge, "t1", "bob"), pid(&mut bridge, "t1", ""));
    assert!(ann != bob && bob != none && ann != none);
    assert_eq!((pid(&mut bridge, "t2", "ann"), pid(&mut bridge, "", "")), (ann, none));
}

#[test]
fn each_call_has_its_own_which_leaves_no_process_behind() {
    let room = room("call", &SAYS_PID, "max_connections = 2");
    let mut bridge = start(&room);
    bridge.ask("tools/list", &json!({}));
    let base = room.pids("count")[0];
    let ids: Vec<u64> = (0..6).map(|_| begin(&mut bridge, "s__echo", "", "")).collect();
    let mut pids: Vec<u32> = Vec::new();
    for id in ids {
        let answer = bridge.answer_to(id);
        pids.push(u32::try_from(echoed(&answer)["pid"].as_u64().unwrap()).unwrap());
    }
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 6);
    check_gone(&pids);
    wait_until("only the one that lists is there", || connections(&mut bridge).len() == 1);
    assert_eq!(room.pids("count").len(), 7);
    bridge.end();
    check_gone(&[base]);
}

#[test]
fn a_call_that_is_taken_back_takes_its_process_along() {
    let room = room("call", &HANGS, "");
    let mut bridge = start(&room);
    let id = begin(&mut bridge, "s__hang", "", "");
    wait_until("it has reached its server", || super::reached(&room, "hang") == 1);
    bridge.notify("notifications/cancelled", &json!({ "requestId": id }));
    wait_until("only the one that lists is left", || connections(&mut bridge).len() <= 1);
}

#[test]
fn first_calls_at_once_start_one_process() {
    let script = [&SAYS_PID[..], &["on initialize: sleep 300"]].concat();
    let room = room("thread", &script, "");
    let mut bridge = start(&room);
    let ids: Vec<u64> = (0..20).map(|_| begin(&mut bridge, "s__echo", "t", "")).collect();
    let mut pids: Vec<_> = ids.into_iter().map(|id| echoed(&bridge.answer_to(id))["pid"].clone()).collect();
    pids.dedup();
    assert_eq!((pids.len(), room.pids("count").len()), (1, 1));
}

#[test]
fn what_no_id_can_be_is_refused() {
    let room = room("thread", &SAYS_PID, "");
    let mut bridge = start(&room);
    for bad in [json!(7), json!(""), json!("x".repeat(257))] {
        for key in ["bridge/threadId", "bridge/userId"] {
            let answer = bridge.ask("tools/call", &json!({ "name": "s__echo", "_meta": { key: bad } }));
            assert_eq!(answer["error"]["data"]["kind"], "bad_params", "{answer}");
            assert!(answer["error"]["message"].as_str().unwrap().contains(key), "{answer}");
        }
    }
    pid(&mut bridge, &"x".repeat(256), "");
    assert!(call(&mut bridge, "\u{1f9f5}", "").get("error").is_none());
    assert_eq!(bridge.rows("SELECT count(*) FROM tool_calls WHERE error_kind = 'bad_params'"), [[6]]);
}

#[test]
fn a_task_is_asked_about_where_it_was_given() {
    let script = [
        "tasks",
        "count $ROOM/count",
        r#"on tools/call: reply {"content":[],"structuredContent":{"pid":$PID}}"#,
    ];
    let room = room("call", &script, "");
    let mut bridge = start(&room);
    let params = json!({ "name": "s__echo", "task": {} });
    let tasks: Vec<_> = (0..2).map(|_| bridge.ask("tools/call", &params)["result"]["task"].take()).collect();
    // Each process counts its own tasks from one.
    let ids: Vec<_> = tasks.iter().map(|task| task["taskId"].as_str().unwrap().to_owned()).collect();
    let result = bridge.ask("tasks/result", &json!({ "taskId": ids[1] }));
    let answered = result["result"]["structuredContent"]["pid"].as_u64().unwrap();
    assert!(room.pids("count").contains(&u32::try_from(answered).unwrap()), "{result}");
    let rows = connections(&mut bridge);
    let giver = rows.iter().find(|row| row["pid"] == answered).unwrap();
    assert_eq!((&giver["scope"], &giver["requests"]), (&json!("call"), &json!(2)));
}

#[test]
fn a_threads_tasks_are_listed_to_it_alone() {
    let room = room("thread", &["tasks"], "");
    let mut bridge = start(&room);
    let meta = super::meta("t1", "");
    bridge.ask("tools/call", &json!({ "name": "s__echo", "task": {}, "_meta": meta }));
    let theirs = bridge.ask("tasks/list", &json!({ "_meta": meta }));
    assert_eq!(theirs["result"]["tasks"].as_array().unwrap().len(), 1, "{theirs}");
    for other in [json!({}), json!({ "_meta": super::meta("t2", "") })] {
        assert_eq!(bridge.ask("tasks/list", &other)["result"]["tasks"], json!([]));
    }
}
