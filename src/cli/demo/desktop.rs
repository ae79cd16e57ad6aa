//! A desktop client in small: it starts `bridge serve` as a child and speaks to it with the SDK.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};

use crate::builtin::SELFTEST_VARIABLE;
use crate::downstream::process;
use crate::store::read::Reader;
use crate::tap::{Feed, Gone, tap};

/// The longest that any step may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a condition outside this process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A client and its bridge.
pub struct Desktop {
    service: RunningService<RoleClient, ()>,
    child: Mutex<Child>,
    stdin: mpsc::Sender<Option<Vec<u8>>>,
    log: Arc<watch::Sender<Vec<String>>>,
}

impl Desktop {
    /// Starts the bridge and opens a session.
    pub async fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["serve", "--in-process"])
            .arg("--config")
            .arg(folder.join("config.toml"))
            .arg("--data-dir")
            .arg(folder)
            .env(SELFTEST_VARIABLE, "1")
            .env_remove("BRIDGE_LOG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("bridge serve does not start")?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { bail!("bridge serve has no pipes") };
        let (sender, lines) = mpsc::channel(64);
        let (feed, tap) = tap::<RoleClient>({
            let sender = sender.clone();
            move |line| sender.try_send(Some(line)).map_err(|_| Gone)
        });
        let log = Arc::new(watch::Sender::new(Vec::new()));
        // Each ends with its pipe.
        tokio::spawn(write(stdin, lines));
        tokio::spawn(read(stdout, feed));
        tokio::spawn(keep_log(stderr, Arc::clone(&log)));
        let service = within(().serve(tap)).await?.context("the session does not open")?;
        Ok(Self { service, child: Mutex::new(child), stdin: sender, log })
    }

    /// The names of the tools on offer.
    pub async fn tools(&self) -> anyhow::Result<Vec<String>> {
        let tools = within(self.service.peer().list_all_tools()).await??;
        Ok(tools.into_iter().map(|tool| tool.name.into_owned()).collect())
    }

    /// Calls a tool; the result as JSON.
    pub async fn call(&self, tool: &'static str, arguments: Value) -> anyhow::Result<Value> {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let request = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = within(self.service.peer().call_tool(request)).await??;
        Ok(serde_json::to_value(result)?)
    }

    /// The process of the sample server, as the bridge tells it.
    pub async fn server_pid(&self) -> anyhow::Result<u32> {
        let status = self.call("bridge_status", Value::Null).await?;
        let pid = status.pointer("/structuredContent/servers/0/pid").and_then(Value::as_u64);
        pid.and_then(|pid| u32::try_from(pid).ok()).ok_or_else(|| anyhow!("the sample server does not run"))
    }

    /// Waits until nothing lives of a server that was killed: a call that came before would be inside it.
    pub async fn wait_for_death(&self, server: u32) -> anyhow::Result<()> {
        within(async {
            while process::lives(server) {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await
    }

    /// Waits until the record shows a call that runs.
    pub async fn wait_for_open_call(&self, folder: &Path) -> anyhow::Result<()> {
        let look = async {
            loop {
                let open = match Reader::open(folder)? {
                    Some(reader) => reader.open_calls()?,
                    None => 0,
                };
                if open > 0 {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        within(look).await?
    }

    /// Waits for a line of the bridge's log that says this; gives the line.
    pub async fn wait_for_log(&self, words: &str) -> anyhow::Result<String> {
        let mut log = self.log.subscribe();
        let said = within(log.wait_for(|lines| lines.iter().any(|line| line.contains(words)))).await??;
        let line = said.iter().find_map(|line| line.get(line.find(words)?..));
        Ok(line.unwrap_or_default().to_owned())
    }

    /// `kill -9` of the bridge.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // A bridge that is gone already is what we want.
        let _ = child.start_kill();
    }

    /// Closes the bridge's input and waits for its end.
    pub async fn end(self) -> anyhow::Result<()> {
        let Self { service, child, stdin, .. } = self;
        stdin.send(None).await.context("the bridge is gone already")?;
        let mut child = child.into_inner().unwrap_or_else(PoisonError::into_inner);
        let status = within(child.wait()).await??;
        drop(service);
        if status.success() { Ok(()) } else { bail!("bridge serve ended with {status}") }
    }
}

async fn within<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))
}

async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Option<Vec<u8>>>) {
    while let Some(Some(mut line)) = lines.recv().await {
        line.push(b'\n');
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

async fn read(stdout: ChildStdout, feed: Feed<RoleClient>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if feed.line_in_time(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn keep_log(stderr: ChildStderr, log: Arc<watch::Sender<Vec<String>>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.send_modify(|kept| kept.push(line));
    }
}
