//! The bridge's own tools: an rmcp server in this process, behind the guard, on a connection like any
//! other server's.

pub mod changes;
mod connections;
pub mod dashboard;
mod definitions;
pub mod restart;
mod schemas;
mod selftest;
mod stats;
pub mod status;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rmcp::ErrorData;
use rmcp::ServiceExt;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
    ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::builtin::status::Sources;
use crate::control::Desk;
use crate::downstream::connection::Connection;
use crate::downstream::connection::outflow::HandOut;
use crate::downstream::pool::key::Farewell;
use crate::downstream::relay::Relay;
use crate::downstream::{Ending, LinkState, Status};
use crate::guard::{self, Guarded};
use crate::outcome::{Cause, Outcome};
use crate::tap::{Gone, tap};
use crate::version;
use crate::wire::Envelope;

/// The longest that one of the bridge's own tools may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// After the SDK's service ended on its own, it is started again after this.
const PAUSE: Duration = Duration::from_millis(250);

/// The variable that adds the tool which fails on purpose.
pub const SELFTEST_VARIABLE: &str = "BRIDGE_SELFTEST";

/// What a tool answers.
struct Answer {
    text: String,
    structured: Option<Value>,
    /// Whether it could not do what it was asked for.
    is_error: bool,
}

/// The server of the bridge's own tools.
#[derive(Clone)]
pub struct Builtin {
    sources: Arc<Sources>,
    desk: Arc<dyn Desk>,
    selftest: bool,
}

impl Builtin {
    /// A server that tells of these sources and has this desk do what changes something; `selftest` adds the tool
    /// that fails on purpose.
    #[must_use]
    pub fn new(sources: Arc<Sources>, desk: Arc<dyn Desk>, selftest: bool) -> Self {
        Self { sources, desk, selftest }
    }

    /// The definitions of its tools, each a JSON object.
    #[must_use]
    pub fn tools(selftest: bool) -> Vec<Arc<str>> {
        definitions::all(selftest).iter().map(|definition| definition.to_string().into()).collect()
    }

    /// Keeps the server there until `stop`: should the SDK's service ever end, it is logged and started
    /// again.
    pub async fn keep(
        self,
        status: watch::Sender<Status>,
        relay: Arc<dyn Relay>,
        mut stop: watch::Receiver<Option<Farewell>>,
    ) {
        loop {
            let connection = Connection::new("bridge".into(), Arc::default(), Arc::clone(&relay), None);
            tokio::select! {
                () = self.clone().live(&connection, &status) => {}
                _ = stop.wait_for(Option::is_some) => {
                    connection.end(Arc::new(Ending::of(Cause::BridgeStopped, "was stopped with the bridge")));
                    return;
                }
            }
            tracing::error!("own tools ended unexpectedly, starting them again");
            let ending = Arc::new(Ending::of(Cause::Crashed, "ended unexpectedly"));
            connection.end(Arc::clone(&ending));
            status.send_modify(|status| {
                status.state = LinkState::Stopped;
                status.last_ending = Some(ending);
            });
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One life of the SDK's service.
    async fn live(self, connection: &Arc<Connection>, status: &watch::Sender<Status>) {
        let from_sdk = Arc::downgrade(connection);
        let (feed, tap) = tap::<RoleServer>(move |line| {
            from_sdk.upgrade().ok_or(Gone)?.hear(Bytes::from(line));
            Ok(())
        });
        let service = async {
            match self.serve(tap).await {
                Ok(running) => {
                    if let Err(error) = running.waiting().await {
                        tracing::error!(%error, "own service failed");
                    }
                }
                Err(error) => tracing::error!(%error, "own service did not start"),
            }
        };
        let pump = async {
            let mut out = HandOut::of(connection);
            while let Some(line) = out.next().await {
                if let Err(error) = feed.line_in_time(&line).await {
                    refuse(connection, &line, &error.to_string());
                }
            }
        };
        let ready = async {
            if open(connection).await {
                status.send_modify(|status| {
                    status.state = LinkState::Ready(Arc::clone(connection));
                    status.since = SystemTime::now();
                });
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = service => {}
            () = pump => {}
            () = ready => {}
        }
    }

    async fn tool(&self, name: &str, arguments: JsonObject) -> Result<Answer, ErrorData> {
        match name {
            "bridge_status" => Ok(status::report(&self.sources)),
            "bridge_connections" => Ok(connections::report(&self.sources)),
            "bridge_dashboard" => dashboard::report(&self.sources, &arguments).await,
            "bridge_disconnect" => connections::disconnect(&self.sources, &arguments),
            "bridge_restart" => restart::run(&*self.desk, &self.sources, &arguments).await,
            "bridge_stats" => stats::report(&self.sources, &arguments).await,
            "bridge_selftest" if self.selftest => selftest::run(&arguments).await,
            _ => Err(ErrorData::invalid_params(
                format!("no tool {name:?}"),
                Some(json!({ "kind": "unknown_tool" })),
            )),
        }
    }
}

impl ServerHandler for Builtin {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_resources().build())
            .with_server_info(Implementation::new("bridge", version::own()))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = serde_json::from_value(Value::Array(definitions::all(self.selftest)));
        let tools = tools.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match request.uri.as_str() {
            dashboard::PAGE_URI => Ok(dashboard::resource().into()),
            other => Err(ErrorData::resource_not_found(format!("no resource {other:?}"), None)),
        }
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let guarded = tokio::select! {
            guarded = guard::run(|| self.tool(&request.name, arguments), std::future::pending()) => guarded,
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
        };
        match guarded {
            Guarded::Done(answer) => answer.map(|answer| {
                let content = vec![ContentBlock::text(answer.text)];
                let mut result = match answer.is_error {
                    true => CallToolResult::error(content),
                    false => CallToolResult::success(content),
                };
                result.structured_content = answer.structured;
                result.into()
            }),
            Guarded::Panicked(text) => {
                tracing::error!(tool = %request.name, text, "tool panicked");
                Err(ErrorData::internal_error("panic", Some(json!({ "kind": Outcome::Panic.word() }))))
            }
            Guarded::CalledOff(_) => Err(ErrorData::internal_error("cancelled", None)),
        }
    }
}

/// Opens the SDK's session with ourselves.
async fn open(connection: &Arc<Connection>) -> bool {
    const PARAMS: &str =
        r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bridge","version":"0"}}"#;
    const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let Ok(mut in_flight) = connection.ask_own("initialize", PARAMS) else { return false };
    in_flight.answer().await.is_ok() && connection.say(INITIALIZED.into()).is_ok()
}

/// The arguments are not of the tool's form, or name nothing that is there.
fn bad(message: String) -> ErrorData {
    ErrorData::invalid_params(message, Some(json!({ "kind": Cause::BadParams.word() })))
}

/// Answers in the SDK's place what does not fit its model.
fn refuse(connection: &Arc<Connection>, line: &[u8], why: &str) {
    let Some(id) = Envelope::parse(line).ok().and_then(|envelope| envelope.id) else { return };
    let error = json!({ "code": -32602, "message": why, "data": { "kind": Cause::BadParams.word() } });
    connection.hear(Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)));
}
