use std::path::Path;

use super::*;
use crate::config;
use crate::downstream::listing::Items;
use crate::downstream::watcher::Phases;
use crate::era::Era;
use crate::list::Each;

const TOOLS: &str = r#"[
{"name":"get_current_time","description":"Get current time in a specific timezone\nand more","inputSchema":{"type":"object"}},
{"name":"convert_time","description":"Convert time between timezones, which takes a line that is longer than what there is room for","inputSchema":{"type":"object","properties":{"from":{"type":"string"}}}},
{"name":"x"}]"#;

fn server(entry: &str) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, format!("[servers.time]\n{entry}\n")).unwrap();
    let mut loaded = config::load(Some(&file));
    assert_eq!(loaded.mistakes, []);
    loaded.config.servers.remove(0)
}

fn trial(result: Result<Seen, Ending>) -> Trial {
    Trial {
        server: ServerName::parse("time").unwrap(),
        program: Some(Path::new("/home/you/.local/bin/uvx").into()),
        pid: Some(4711),
        after: Duration::from_millis(1234),
        result: result.map_err(Arc::new),
    }
}

fn seen() -> Seen {
    let ms = Duration::from_millis;
    let items = |text: &str| Some(Items::parse(text).unwrap());
    Seen {
        phases: Phases { gate: ms(0), spawned: ms(3), handshake: ms(1_200), first_list: ms(1_234) },
        greeting: Some(Greeting {
            era: Era::Legacy,
            legacy_only: false,
            protocol_version: "2025-11-25".into(),
            capabilities: "{}".into(),
            instructions: None,
            server_info: Some(r#"{"name":"mcp-time","version":"1.26.0"}"#.into()),
        }),
        lists: Each { tools: items(TOOLS), prompts: items("[{}]"), resources: items("[]"), templates: None },
    }
}

fn shown(entry: &str, trial: &Trial) -> String {
    let screen = screen(&server(entry), trial, 80);
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    screen
}

#[test]
fn a_server_that_is_ready_tells_what_it_is_and_has() {
    insta::assert_snapshot!(shown("command = 'uvx'", &trial(Ok(seen()))), @r"
    time was ready in 1.2s (process 4711)
      program   /home/you/.local/bin/uvx
      server    mcp-time 1.26.0, protocol 2025-11-25
      start     process after 3.0ms, handshake after 1.2s, lists after 1.2s
      offers    3 tools (342 bytes), 1 prompt, templates not listed

    TOOL              BYTES  DESCRIPTION
    get_current_time    125  Get current time in a specific timezone
    convert_time        205  Convert time between timezones, which takes a line th…
    x                    12
    ");
    let silent = Seen { greeting: None, lists: Each::default(), ..seen() };
    insta::assert_snapshot!(shown("command = 'uvx'", &trial(Ok(silent))), @r"
    time was ready in 1.2s (process 4711)
      program   /home/you/.local/bin/uvx
      start     process after 3.0ms, handshake after 1.2s, lists after 1.2s
      offers    tools not listed, prompts not listed, resources not listed,
                templates not listed
    ");
}

#[test]
fn a_server_that_failed_tells_why_and_what_to_do() {
    let failed = |cause, what: &str, stderr: &[&str]| {
        let stderr = stderr.iter().map(|&line| line.to_owned()).collect();
        trial(Err(Ending::of(cause, what).with_stderr(stderr)))
    };
    let exited = failed(
        Cause::ExitedBeforeReady,
        "ended before it was ready (exit code 1)",
        &[
            "Traceback (most recent call last):",
            "  a line that is so long that it has to be broken since there is not so much room",
            "KeyError: 'TOKEN'",
        ],
    );
    insta::assert_snapshot!(shown("command = 'uvx'", &exited), @r"
    time did not become ready: it ended before it was ready (exit code 1)
      program   /home/you/.local/bin/uvx
      cause     exited_before_ready, after 1.2s
      it wrote  Traceback (most recent call last):
                a line that is so long that it has to be broken since there is not
                so much room
                KeyError: 'TOKEN'
      to do     What it wrote says why; run its command in a terminal to see more.
    ");
    let slow = failed(Cause::TooSlow, "was not ready after 60 s: it did not answer the handshake", &[]);
    insta::assert_snapshot!(shown("command = 'uvx'", &slow), @r"
    time did not become ready: it was not ready after 60 s: it did not answer the
      handshake
      program   /home/you/.local/bin/uvx
      cause     too_slow, after 1.2s
      to do     uvx downloads before the first start: try it again, or give it more
                time (start_timeout_s = 120).
    ");
    let lost = Trial {
        program: None,
        pid: None,
        ..failed(
            Cause::NotFound,
            "could not be started: the command \"npx\" was not found; give its absolute path, or add its folder to PATH",
            &[],
        )
    };
    insta::assert_snapshot!(shown("command = 'npx'", &lost), @r#"
    time did not become ready: it could not be started: the command "npx" was not
      found; give its absolute path, or add its folder to PATH
      cause     not_found, after 1.2s
      to do     npx comes with Node.js (https://nodejs.org): install that, or name
                its absolute path.
    "#);
}

#[test]
fn each_cause_has_its_advice() {
    let ending = |cause, stderr: &[&str]| {
        Ending::of(cause, "failed").with_stderr(stderr.iter().map(|&line| line.to_owned()).collect())
    };
    let advice = |entry: &str, ending: Ending| advice(&server(entry), &ending);
    let all = [
        advice("command = 'my-server'", ending(Cause::NotFound, &[])),
        advice("command = 'uvx'\ncwd = '/no/such/folder'", ending(Cause::NotFound, &[])),
        advice("command = 'uvx'\nenv = { A = '${env:NO_SUCH_VARIABLE_HERE}' }", ending(Cause::NotFound, &[])),
        advice("command = 'x'", ending(Cause::NotExecutable, &[])),
        advice("command = 'x'\nstart_timeout_s = 5", ending(Cause::TooSlow, &[])),
        advice("command = 'x'", ending(Cause::ProtocolGarbage, &["hello"])),
        advice("command = 'x'", ending(Cause::ExitedBeforeReady, &[])),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    See whether it is spelled right and installed, or name its absolute path.
    Make that folder, or name another one (cwd).
    Set it, and also where the AI client is started: a desktop program does not see the variables of your shell.
    Name the program itself, or allow it to be executed (chmod +x).
    Give it more time: start_timeout_s = 10.
    An MCP server writes nothing but messages to its stdout: see whether it needs an argument (stdio), or is another program.
    It wrote nothing to its stderr: run its command in a terminal, and see what it needs.
    ");
}

#[test]
fn a_script_gets_the_same_in_json() {
    let mut ready = json(&server("command = 'uvx'"), &trial(Ok(seen())));
    ready["tools"][1] = json!("another");
    insta::assert_snapshot!(format!("{ready:#}"), @r#"
    {
      "afterMs": 1234,
      "era": "legacy",
      "phasesMs": {
        "firstList": 1234,
        "gate": 0,
        "handshake": 1200,
        "spawned": 3
      },
      "pid": 4711,
      "program": "/home/you/.local/bin/uvx",
      "prompts": 1,
      "protocolVersion": "2025-11-25",
      "ready": true,
      "resourceTemplates": null,
      "resources": 0,
      "server": "time",
      "serverInfo": {
        "name": "mcp-time",
        "version": "1.26.0"
      },
      "tools": [
        {
          "bytes": 125,
          "description": "Get current time in a specific timezone\nand more",
          "name": "get_current_time"
        },
        "another",
        {
          "bytes": 12,
          "description": "",
          "name": "x"
        }
      ]
    }
    "#);
    let ending = Ending { exit_code: Some(1), ..Ending::of(Cause::ExitedBeforeReady, "ended") };
    let failed = json(&server("command = 'uvx'"), &trial(Err(ending)));
    insta::assert_snapshot!(format!("{failed:#}"), @r#"
    {
      "afterMs": 1234,
      "error": {
        "advice": "It wrote nothing to its stderr: run its command in a terminal, and see what it needs.",
        "cause": "exited_before_ready",
        "exitCode": 1,
        "signal": null,
        "stderr": [],
        "what": "ended"
      },
      "pid": 4711,
      "program": "/home/you/.local/bin/uvx",
      "ready": false,
      "server": "time"
    }
    "#);
}
