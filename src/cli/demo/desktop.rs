//! A desktop client in small: it starts `bridge serve` as a child and speaks to it with the SDK.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

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
    child: Child,
    stdin: mpsc::Sender<Option<Vec<u8>>>,
}

impl Desktop {
    /// Starts the bridge and opens a session.
    pub async fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(folder.join("config.toml"))
            .arg("--data-dir")
            .arg(folder)
            .env(SELFTEST_VARIABLE, "1")
            .env_remove("BRIDGE_LOG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("bridge serve does not start")?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else { bail!("bridge serve has no pipes") };
        let (sender, lines) = mpsc::channel(64);
        let (feed, tap) = tap::<RoleClient>({
            let sender = sender.clone();
            move |line| sender.try_send(Some(line)).map_err(|_| Gone)
        });
        // Each ends with its pipe.
        tokio::spawn(write(stdin, lines));
        tokio::spawn(read(stdout, feed));
        let service = within(().serve(tap)).await?.context("the session does not open")?;
        Ok(Self { service, child, stdin: sender })
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
        self.told("/servers/0/pid").await?.ok_or_else(|| anyhow!("the sample server does not run"))
    }

    /// The process behind the one that was started, as it tells it.
    pub async fn hub_pid(&self) -> anyhow::Result<u32> {
        let pid = self.told("/bridge/pid").await?;
        pid.filter(|pid| Some(*pid) != self.child.id()).ok_or_else(|| anyhow!("no hub runs"))
    }

    async fn told(&self, place: &str) -> anyhow::Result<Option<u32>> {
        let status = self.call("bridge_status", Value::Null).await?;
        let number = status.pointer(&format!("/structuredContent{place}")).and_then(Value::as_u64);
        Ok(number.and_then(|number| u32::try_from(number).ok()))
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

    /// Closes the bridge's input and waits for its end.
    pub async fn end(self) -> anyhow::Result<()> {
        let Self { service, mut child, stdin } = self;
        stdin.send(None).await.context("the bridge is gone already")?;
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
