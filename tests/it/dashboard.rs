//! The dashboard: a tool with a page for clients that show pages, and the same page in a file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::said::{names, text};
use crate::support::{Bridge, Room, wait_until};

const PAGE: &str = "ui://bridge/dashboard";

/// Nobody may take this for markup.
const HOSTILE: &str = "<!--<script><img src=x onerror=alert(1)>";

/// A client that shows pages.
fn shows_pages() -> Value {
    let types = json!({ "mimeTypes": ["text/html;profile=mcp-app"] });
    json!({ "capabilities": { "extensions": { "io.modelcontextprotocol/ui": types } } })
}

/// `initialize` of a server that has resources.
fn has_resources() -> String {
    let result = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": { "resources": {}, "tools": {} },
        "serverInfo": { "name": "x", "version": "1" },
    });
    format!("on initialize: reply {result}")
}

#[track_caller]
fn check_page(answer: &Value) {
    let page = &answer["result"]["contents"][0];
    assert_eq!(
        (&page["uri"], &page["mimeType"]),
        (&json!(PAGE), &json!("text/html;profile=mcp-app")),
        "{answer}"
    );
    let html = page["text"].as_str().unwrap();
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"), "{html}");
    let (own, hosts) = (["http://www.w3.org/2000/svg"], html.split("\"").filter(|text| text.contains("://")));
    assert_eq!(hosts.collect::<Vec<_>>(), own, "it would ask somebody");
}

#[test]
fn the_tool_points_to_a_page_that_can_be_read_and_stands_in_no_list() {
    let room = Room::new()
        .server("s", &[&has_resources(), r#"on resources/list: reply {"resources":[{"uri":"r:a"}]}"#]);
    for hello in [shows_pages(), json!({})] {
        let mut bridge = room.start();
        bridge.initialize_with(hello);
        let tools = bridge.ask("tools/list", &json!({}));
        assert!(names(&tools).contains(&"bridge_dashboard"));
        let tool = tools["result"]["tools"].as_array().unwrap();
        let tool = tool.iter().find(|tool| tool["name"] == "bridge_dashboard").unwrap();
        assert_eq!(tool["_meta"]["ui"]["resourceUri"], PAGE);
        let listed = bridge.ask("resources/list", &json!({}));
        assert_eq!(listed["result"]["resources"], json!([{ "uri": "r:a" }]));
        check_page(&bridge.ask("resources/read", &json!({ "uri": PAGE })));
        let other = bridge.ask("resources/read", &json!({ "uri": "ui://bridge/other" }));
        assert!(other["error"].is_object(), "{other}");
    }
}

#[test]
fn a_modern_client_reads_and_calls_it_as_well() {
    let room = Room::new().server("s", &[]);
    let mut bridge = room.start();
    let page = bridge.modern("resources/read", json!({ "uri": PAGE }));
    check_page(&page);
    assert_eq!(page["result"]["resultType"], "complete", "{page}");
    let answer = bridge.modern("tools/call", json!({ "name": "bridge_dashboard", "arguments": {} }));
    assert_eq!(answer["result"]["structuredContent"]["servers"][0]["name"], "s", "{answer}");
}

#[test]
fn a_server_that_has_a_page_of_the_same_address_does_not_take_its_place() {
    let theirs =
        json!({ "resources": [{ "uri": PAGE, "name": "theirs" }, { "uri": "ui://theirs", "name": "own" }] });
    let room = Room::new().server(
        "s",
        &[
            &has_resources(),
            &format!("on resources/list: reply {theirs}"),
            r#"on resources/read ui://theirs: reply {"contents":[{"uri":"ui://theirs","text":"theirs"}]}"#,
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("tools/list", &json!({}));
    let listed = bridge.ask("resources/list", &json!({}));
    assert_eq!(listed["result"]["resources"], json!([{ "uri": "ui://theirs", "name": "own" }]));
    check_page(&bridge.ask("resources/read", &json!({ "uri": PAGE })));
    let own = bridge.ask("resources/read", &json!({ "uri": "ui://theirs" }));
    assert_eq!(own["result"]["contents"][0]["text"], "theirs", "{own}");
    let clash = &bridge.status()["nameClashes"][0];
    assert_eq!(
        (&clash["server"], &clash["wanted"], &clash["shown"]),
        (&json!("s"), &json!(PAGE), &Value::Null)
    );
}

/// A bridge with a record: four calls of `s`, of which one failed, and one of the other.
fn used(room: &Room) -> Bridge {
    let mut bridge = room.start_with_door();
    for tool in ["s__echo", "s__fails", "s__echo", "s__echo"] {
        bridge.call(tool, json!({}));
    }
    bridge
}

fn room() -> Room {
    Room::new().server("s", &["on tools/call fails: iserror no"]).server(HOSTILE, &[])
}

#[test]
fn its_figures_are_the_records_without_the_bridges_own_calls() {
    let room = room();
    let mut bridge = used(&room);
    for _ in 0..2 {
        let answer = bridge.call("bridge_dashboard", json!({ "since": "24h" }));
        let data = &answer["result"]["structuredContent"];
        let totals = &data["totals"];
        assert_eq!(
            (&totals["calls"], &totals["errors"], &totals["cancelled"]),
            (&json!(4), &json!(1), &json!(0))
        );
        assert_eq!((&totals["sessions"], &totals["sessionsOpen"]), (&json!(1), &json!(1)));
        assert_eq!((&data["span"]["asked"], &data["span"]["stepHours"]), (&json!("24h"), &json!(1)));
        let series = data["series"]["calls"].as_array().unwrap();
        assert_eq!(series.len(), 24);
        assert_eq!(series.iter().filter_map(Value::as_u64).sum::<u64>(), 4);
        let servers = data["servers"].as_array().unwrap();
        let [s, other] = servers.as_slice() else { panic!("{data}") };
        assert_eq!((&s["state"], &s["calls"], &s["errors"]), (&json!("ready"), &json!(4), &json!(1)));
        assert_eq!(
            (&other["name"], &other["state"], &other["p50Ms"]),
            (&json!(HOSTILE), &json!("stopped"), &Value::Null)
        );
        assert!(text(&answer).contains(": 4 calls, of which 1 failed and 0 were cancelled"), "{answer}");
        assert!(text(&answer).contains("- s: ready, 4 calls, 1 failed"), "{answer}");
    }
    for since in [json!("yesterday"), json!(7), json!("1mo")] {
        let answer = bridge.call("bridge_dashboard", json!({ "since": since }));
        assert!(answer["error"]["message"].as_str().is_some_and(|told| told.contains("since")), "{answer}");
    }
}

/// What a page holds.
#[track_caller]
fn held(page: &Path) -> Value {
    let html = std::fs::read_to_string(page).unwrap();
    let (_, record) = html.split_once(r#"id="record">"#).unwrap();
    serde_json::from_str(record.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_page_in_a_file_holds_the_record_and_the_states_and_nobody_elses_markup() {
    let room = room();
    let file = room.path("page.html");
    let write = || room.said(&["dashboard", "--since", "24h", "--out", file.to_str().unwrap()]);
    assert_eq!(write(), format!("wrote {}\n", file.display()));
    let empty = held(&file);
    assert_eq!(
        (&empty["totals"]["calls"], &empty["servers"], &empty["live"]),
        (&json!(0), &json!([]), &json!(false))
    );
    let bridge = used(&room);
    write();
    let data = held(&file);
    assert_eq!((&data["totals"]["calls"], &data["live"]), (&json!(4), &json!(true)));
    assert_eq!(
        (&data["servers"][0]["state"], &data["servers"][1]["name"]),
        (&json!("ready"), &json!(HOSTILE))
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let html = std::fs::read_to_string(&file).unwrap();
    assert!(!html.contains("<img"), "a name became markup");
    bridge.end();
    write();
    let data = held(&file);
    assert_eq!((&data["live"], &data["servers"][0]["state"]), (&json!(false), &json!("stopped")));
    assert_eq!(data["servers"][0]["calls"], 4);
    assert!(data["notes"][0].as_str().unwrap().ends_with("what the record said last."), "{data}");
}

#[test]
fn the_desktop_is_asked_to_show_the_page_and_without_one_its_place_is_told() {
    let room = Room::new();
    let (bin, shown) = (room.path("bin"), room.path("shown"));
    std::fs::create_dir(&bin).unwrap();
    let opener = bin.join("xdg-open");
    std::fs::write(
        &opener,
        format!("#!/bin/sh\necho \"$1\" > '{}.part'\nmv '{0}.part' '{0}'\n", shown.display()),
    )
    .unwrap();
    std::fs::set_permissions(&opener, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let run = |display: &str| {
        let mut command = room.command(&["dashboard"]);
        command.env("PATH", &path).env("DISPLAY", display).env("TMPDIR", room.path("home"));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let told = run("");
    assert!(
        told.ends_with(
            "not shown: there is no desktop here; open it with a browser, or give it a place with --out\n"
        ),
        "{told}"
    );
    assert!(!shown.exists());
    let told = run(":0");
    let page = told.strip_prefix("wrote ").unwrap().strip_suffix("\nshowing it in your browser\n").unwrap();
    wait_until("the opener has it", || shown.exists());
    assert_eq!(room.text("shown").trim(), page);
    assert_eq!(held(Path::new(page))["version"], 1);
    assert_eq!(Path::new(page).metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_cannot_be_done_is_said() {
    let room = Room::new();
    let (code, _, error) = room.run(&["dashboard", "--since", "yesterday", "--out", "x.html"]);
    assert!(code == Some(1) && error.contains("yesterday"), "{error}");
    let folder = room.path("home");
    let (code, _, error) = room.run(&["dashboard", "--out", folder.to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("cannot be written"), "{error}");
}
