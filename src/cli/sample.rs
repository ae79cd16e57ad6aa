//! `bridge __sample`: the MCP server that `bridge demo` puts behind the bridge.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::{ErrorData, ServerHandler, ServiceExt};
use serde_json::json;

use crate::lines::{Line, Lines};
use crate::pipes::{self, Stdio};
use crate::session::outlet::Outlet;
use crate::tap::tap;
use crate::version;
use crate::wire::Frame;

const LINE_BYTES_MAX: usize = 1024 * 1024;

/// The longest that `slow` sleeps, in seconds.
const SLOW_S_MAX: u64 = 60;

#[derive(Clone)]
struct Sample;

/// Serves on stdin and stdout until the end of input.
///
/// # Errors
/// When stdin or stdout is closed.
pub fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let Stdio { source, sink } = pipes::take_stdio()?;
        let outlet = Arc::new(Outlet::default());
        let (feed, tap) = tap::<RoleServer>({
            let outlet = Arc::clone(&outlet);
            move |line| {
                outlet.answer(Frame::own(line), None);
                Ok(())
            }
        });
        let writer = tokio::spawn(async move { outlet.write_out(sink).await });
        let service =
            tokio::spawn(async { Sample.serve(tap).await?.waiting().await.map_err(anyhow::Error::from) });
        let mut lines = Lines::new(source, LINE_BYTES_MAX);
        while lines.fill().await? {
            while let Some(line) = lines.next_line() {
                if let Line::Whole(line) = line {
                    // What does not fit the SDK is none of a sample's business.
                    let _ = feed.line_in_time(&line).await;
                }
            }
        }
        service.abort();
        writer.abort();
        Ok(())
    })
}

impl ServerHandler for Sample {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("bridge-sample", version::own()))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = |name: &'static str, about: &'static str, key: &str, kind: &str| {
            let schema =
                json!({ "type": "object", "properties": { key: { "type": kind } }, "required": [key] });
            Tool::new(name, about, schema.as_object().cloned().unwrap_or_default())
        };
        Ok(ListToolsResult::with_all_items(vec![
            tool("echo", "Says the text again.", "text", "string"),
            tool("slow", "Sleeps for some seconds.", "seconds", "number"),
        ]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let text = match request.name.as_ref() {
            "echo" => arguments.get("text").and_then(|text| text.as_str()).unwrap_or_default().to_owned(),
            "slow" => {
                let seconds = arguments.get("seconds").and_then(serde_json::Value::as_u64).unwrap_or(1);
                tokio::time::sleep(Duration::from_secs(seconds.min(SLOW_S_MAX))).await;
                "awake again".to_owned()
            }
            other => return Err(ErrorData::invalid_params(format!("no tool {other:?}"), None)),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}
