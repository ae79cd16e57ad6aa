//! What is said of servers that were started, in each way in which that can go.

use super::*;
use crate::config;
use crate::downstream::greeting::Greeting;
use crate::downstream::watcher::Phases;
use crate::era::Era;
use crate::names::ServerName;
use crate::outcome::Cause;

const TOOLS: &str = r#"[{"name":"a"},{"name":"b"}]"#;

fn server(entry: &str) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, format!("[servers.time]\n{entry}\n")).unwrap();
    let mut loaded = config::load(Some(&file));
    assert_eq!(loaded.mistakes, []);
    loaded.config.servers.remove(0)
}

fn trial(seconds: u64, result: Result<Seen, Ending>) -> Trial {
    Trial {
        server: ServerName::parse("time").unwrap(),
        program: None,
        pid: Some(4711),
        after: Duration::from_secs(seconds),
        result: result.map_err(Arc::new),
    }
}

fn seen(tools: Option<&str>) -> Seen {
    let none = Some(Items::default());
    let greeting = Greeting {
        era: Era::Legacy,
        legacy_only: false,
        protocol_version: "2025-11-25".into(),
        capabilities: "{}".into(),
        instructions: None,
        server_info: Some(r#"{"name":"mcp-time","version":"1.26.0"}"#.into()),
    };
    let tools = tools.map(|tools| Items::parse(tools).unwrap());
    let lists = Each { tools, prompts: none.clone(), resources: none.clone(), templates: none };
    Seen { phases: Phases::default(), greeting: Some(greeting), lists }
}

fn ending(stderr: &[&str]) -> Ending {
    let stderr = stderr.iter().map(|&line| line.to_owned()).collect();
    Ending::of(Cause::ExitedBeforeReady, "ended before it was ready (exit code 1)").with_stderr(stderr)
}

/// What is said, in a line each; `others` are servers that run and those that are explained.
fn found(entry: &str, trial: Trial, others: [&[&str]; 2]) -> String {
    let [running, explained] = others.map(|names| names.iter().map(|&name| name.to_owned()).collect());
    let environment: Environment = [("TOKEN", "s3cr3t-value")].into_iter().collect();
    let around = Around { running: &running, explained: &explained, environment: &environment };
    let lines = started(&[server(entry)], &[trial], &around).into_iter().map(|found| {
        let advice = found.advice.map(|advice| format!(" -> {advice}")).unwrap_or_default();
        let output: String = found.output.iter().map(|line| format!(" | {line}")).collect();
        format!("{} {}: {}{output}{advice}", found.level.word(), found.check, found.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

const NOBODY: [&[&str]; 2] = [&[], &[]];

#[test]
fn a_start_that_is_slow_or_brings_nothing_is_said() {
    let told = [
        found("command = 'x'", trial(2, Ok(seen(Some(TOOLS)))), NOBODY),
        found("command = 'uvx'\nargs = ['mcp-time']", trial(14, Ok(seen(Some(TOOLS)))), NOBODY),
        found("command = 'x'", trial(2, Ok(seen(Some("[]")))), NOBODY),
        found("command = 'x'", trial(2, Ok(seen(None))), NOBODY),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    ok server.start: ready in 2.0s, 2 tools, legacy era, 2025-11-25
    warning server.slow: ready in 14s, 2 tools, legacy era, 2025-11-25 -> have nothing fetched at its start (install or pin its package); warm = true in its entry starts it before somebody waits
    note server.pin: uvx takes the newest mcp-time there is: a start may take long, and it may change overnight -> write mcp-time@1.26.0, if that is its version: it says so of itself
    note server.empty: ready in 2.0s, 0 tools, legacy era, 2025-11-25, and nothing else -> see whether it needs an argument or a login to have something to offer
    warning server.tools: ready in 2.0s, legacy era, 2025-11-25, and did not say which tools it has -> see what it wrote: bridge logs, or its command in a terminal; then bridge restart time
    ");
}

#[test]
fn a_start_that_fails_is_said_once_without_secrets() {
    let entry = "command = 'x'\nargs = ['--key', 'wr1tten-out']\nenv = { A = '${env:TOKEN}', MODE = 'fast' }";
    let wrote = ["1", "2", "3", "4", "5", "fast: no s3cr3t-value", "nor wr1tten-out"];
    let told = [
        found(entry, trial(1, Err(ending(&wrote))), NOBODY),
        found(entry, trial(1, Err(ending(&[]))), [&["time"], &[]]),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    error server.start: did not become ready: it ended before it was ready (exit code 1) | 2 | 3 | 4 | 5 | fast: no *** | nor *** -> What it wrote says why; run its command in a terminal to see more.
    warning server.start: did not become ready: it ended before it was ready (exit code 1) -> nothing, if only one of it may run at a time: a bridge has it running
    ");
    assert_eq!(found(entry, trial(1, Err(ending(&wrote))), [&[], &["time"]]), "");
}
