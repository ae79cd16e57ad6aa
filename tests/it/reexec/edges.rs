//! Where it cannot be done, what it leaves open, and what comes in the middle of it.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_program_that_cannot_be_run_leaves_the_session_to_the_old_one() {
    let room = echo();
    let hubs = Hubs::of(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let (own, program) = (exe(&bridge), hubs.newer());
    stopped(&mut bridge, |bridge| {
        hubs.kill();
        hubs.start(&program);
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o600)).unwrap();
        bridge.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":72,\"meth");
    });
    bridge.wait_for_log("newer bridge cannot be run");
    bridge.send_bytes(b"od\":\"ping\"}\n");
    assert_eq!(bridge.answer_to(72)["result"], json!({}));
    is_ok(&mut bridge, "second");
    assert_eq!((exe(&bridge), bridge.log().matches("newer bridge cannot be run").count()), (own, 1));
    // The next one can.
    hubs.upgrade(&mut bridge);
    is_ok(&mut bridge, "third");
}

#[test]
fn a_hub_whose_file_was_replaced_since_is_followed_all_the_same() {
    let room = echo();
    let hubs = Hubs::of(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let program = hubs.newer();
    stopped(&mut bridge, |_| {
        hubs.kill();
        hubs.start(&program);
        std::fs::remove_file(&program).unwrap();
        std::fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    });
    let deleted = PathBuf::from(format!("{} (deleted)", program.display()));
    wait_until("the bridge is what the hub is", || is_program(&bridge, &deleted));
    is_ok(&mut bridge, "second");
}

#[test]
fn a_front_that_starts_under_a_newer_hub_is_that_program_before_it_asks_anything() {
    let room = echo();
    let hubs = Hubs::of(&room);
    let program = hubs.newer();
    hubs.start(&program);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    assert!(is_program(&bridge, &program));
}

#[test]
fn a_file_is_read_on_where_the_older_program_stopped() {
    // More than may have no answer, so that it stops in the middle.
    let room = echo();
    let (stdin, stdout) = (room.path("in"), room.path("out"));
    let text = "x".repeat(8 << 20);
    let line = |id: usize| {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\",\"params\":{{\"x\":\"{text}\"}}}}\n")
    };
    std::fs::write(&stdin, (0..12).map(line).collect::<String>()).unwrap();
    let room = room.wires(Wires::Files { stdin, stdout });
    let hubs = Hubs::of(&room);
    let program = hubs.newer();
    hubs.start(&program);
    let mut bridge = room.start();
    let going = bridge.wait_for_log("going on as a newer bridge");
    assert!(bridge.wait_exit().success());
    let answered = room.lines("out");
    let mut ids: Vec<u64> = answered
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), answered.len(), "{going}");
}

#[test]
fn twenty_programs_leave_nothing_behind() {
    let room = echo();
    let hubs = Hubs::of(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let proc = format!("/proc/{}", bridge.pid());
    let open = || std::fs::read_dir(format!("{proc}/fd")).unwrap().count();
    let rss_kib = || {
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let (mut before, mut previous) = (None, None);
    for turn in 0..20 {
        let program = hubs.upgrade(&mut bridge);
        is_ok(&mut bridge, &turn.to_string());
        let now = (open(), rss_kib());
        let (files, kib) = *before.get_or_insert(now);
        assert!(now.0 == files && now.1 < kib + kib / 4, "after {turn}: {now:?}, first {files} and {kib}");
        let ours = children(bridge.pid());
        assert!(ours.is_empty(), "hubs that ended were not waited for: {ours:?}");
        if let Some(previous) = previous.replace(program) {
            std::fs::remove_file(previous).unwrap();
        }
    }
}

/// The processes that this one has started, those that nobody has waited for too.
fn children(parent: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let is_child = |stat: &String| {
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&parent.to_string())
    };
    stats.filter(is_child).collect()
}

#[test]
fn a_signal_in_the_middle_of_it_ends_the_session_in_order() {
    let room = echo();
    let hubs = Hubs::of(&room);
    let program = hubs.newer();
    let mut resumed = 0;
    for turn in 0..12 {
        let mut bridge = room.start();
        bridge.initialize();
        is_ok(&mut bridge, "first");
        hubs.replace(&mut bridge, &program);
        // Somewhere between the end of one program and the beginning of the next.
        let since = Instant::now();
        wait_until("it may come", || since.elapsed() >= Duration::from_millis(3) * turn);
        bridge.signal(Signal::TERM);
        let status = bridge.wait_exit();
        assert!(status.success(), "after {turn}: {status}\n{}", bridge.log());
        let found = bridge.log().contains("going on as a newer bridge");
        let reasons = || room.rows("SELECT close_reason FROM mcp_sessions ORDER BY id DESC LIMIT 1");
        wait_until("the session says why it ended", || !found || reasons() == [[json!("sigterm")]]);
        resumed += usize::from(found);
        // The next bridge starts its own hub again.
        hubs.kill();
    }
    assert!(resumed > 0);
    let mut locks = std::fs::read_dir(room.path("data/locks")).unwrap().flatten();
    assert!(!locks.any(|entry| entry.path().extension().is_some_and(|end| end == "lock")), "a lock was left");
}

#[test]
fn a_client_that_goes_in_the_middle_of_it_is_gone() {
    let room = echo();
    let hubs = Hubs::of(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "first");
    let program = hubs.newer();
    stopped(&mut bridge, |bridge| {
        hubs.kill();
        hubs.start(&program);
        bridge.close_stdin();
    });
    assert!(bridge.wait_exit().success());
}

#[test]
fn a_state_that_is_none_is_an_error_that_says_so() {
    let room = echo();
    let (code, _, stderr) = room.run(&["serve", "--resume=9"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("error: the session that was left cannot be gone on with: start the bridge anew"),
        "{stderr}"
    );
    let (code, _, stderr) =
        room.via(&["sh", "-c", "exec \"$0\" \"$@\" 9<$HOME/../config.toml"]).run(&["serve", "--resume=9"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("error: the state in which the session was left is not whole"), "{stderr}");
}
