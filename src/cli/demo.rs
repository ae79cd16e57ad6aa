//! `bridge demo`: what the bridge does when a tool, a server or the hub of the bridge itself dies.

mod desktop;
mod hub;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::cli::demo::desktop::Desktop;
use crate::cli::stats;
use crate::downstream::process::kill_one;

/// Shows in a few seconds what the bridge does when something dies.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  bridge demo

It works in a temporary folder, with a sample server that is part of this
program, and leaves nothing behind.")]
pub struct Args {}

/// Runs the demo and tells it step by step.
///
/// # Errors
/// When a step does not end as it should.
pub fn run(_args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let program = std::env::current_exe().context("the path of this program is not known")?;
    let config = folder.path().join("config.toml");
    let command = toml_edit::Value::from(program.display().to_string());
    std::fs::write(&config, format!("[servers.sample]\ncommand = {command}\nargs = [\"__sample\"]\n"))?;
    let result = runtime.block_on(tell(&mut Teller::new(out), &program, folder.path()));
    runtime.shutdown_timeout(Duration::from_millis(200));
    let ended = hub::end(folder.path());
    result?;
    ended?;
    writeln!(out, "\nWhat `bridge stats` says of it:\n")?;
    stats::run(&stats::Args::default(), folder.path(), out)?;
    writeln!(
        out,
        "\nNext: bridge install --move-servers puts it in front of your clients' servers, and asks first."
    )?;
    Ok(())
}

async fn tell(teller: &mut Teller<'_>, program: &Path, folder: &Path) -> anyhow::Result<()> {
    let client = Desktop::start(program, folder).await?;
    teller.step("the client starts `bridge serve` and opens a session")?;
    let tools = client.tools().await?;
    teller.step(&format!("it lists {} tools: {}", tools.len(), tools.join(", ")))?;
    let answer = client.call("sample__echo", json!({ "text": "hello" })).await?;
    teller.step(&format!("it calls sample__echo: {:?}", text(&answer)))?;

    let panic = client.call("bridge_selftest", json!({ "kind": "panic" })).await?;
    ensure!(kind(&panic) == "panic", "the panic was not caught: {panic}");
    teller.step(&format!("a tool panics inside the bridge; the client reads: {:?}", short(text(&panic))))?;

    let server = client.server_pid().await?;
    kill_one(server);
    client.wait_for_death(server).await?;
    teller.step(&format!("kill -9 {server}: the sample server is dead"))?;
    let answer = client.call("sample__echo", json!({ "text": "still here" })).await?;
    let again = client.server_pid().await?;
    ensure!(again != server, "the server was not started again");
    teller.step(&format!(
        "the same client calls again: {:?} (server started again as {again})",
        text(&answer)
    ))?;

    let hub = client.hub_pid().await?;
    let running = client.call("sample__slow", json!({ "seconds": 2 }));
    let killed = async {
        // Once the record shows it, the call is on its way.
        client.wait_for_open_call(folder).await?;
        kill_one(hub);
        teller.step(&format!("kill -9 {hub}: the bridge's hub is dead, in the middle of a call"))
    };
    let (answer, killed) = tokio::join!(running, killed);
    killed?;
    let answer = answer?;
    teller.step(&match kind(&answer) {
        "outcome_unknown" => format!("the client reads: {:?}", short(text(&answer))),
        // So it was sent again.
        _ => format!("the call had not left the hub; the client reads: {:?}", text(&answer)),
    })?;
    let answer = client.call("sample__echo", json!({ "text": "what death?" })).await?;
    let again = client.hub_pid().await?;
    ensure!(again != hub, "the hub was not started again");
    teller.step(&format!(
        "it calls again, in the same session: {:?} (hub started again as {again})",
        text(&answer)
    ))?;
    client.end().await?;
    teller.step("the client goes; the bridge ends in order")
}

/// Prints each step with the time since the step before.
struct Teller<'a> {
    out: &'a mut dyn Write,
    last: Instant,
}

impl<'a> Teller<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self { out, last: Instant::now() }
    }

    fn step(&mut self, what: &str) -> anyhow::Result<()> {
        writeln!(self.out, "{:>6} ms  {what}", self.last.elapsed().as_millis())?;
        self.last = Instant::now();
        Ok(())
    }
}

fn text(result: &Value) -> &str {
    result.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default()
}

fn kind(result: &Value) -> &str {
    result.pointer("/_meta/bridge~1error/kind").and_then(Value::as_str).unwrap_or_default()
}

fn short(text: &str) -> &str {
    text.split(';').next().unwrap_or(text)
}
