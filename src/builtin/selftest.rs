//! `bridge_selftest`: each way in which a tool can fail, on purpose (BRIDGE_SELFTEST=1).

use rmcp::ErrorData;
use rmcp::model::JsonObject;
use serde_json::json;

use crate::builtin::Answer;

const BIG_BYTES: u64 = 1024 * 1024;

/// The most that may be asked for, in bytes.
const BIG_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// Fails as it is told. `panic` fails while the work is made, `panic_late` after an await.
#[expect(clippy::panic, reason = "this tool exists to panic where the guard has to catch it")]
pub fn run(arguments: &JsonObject) -> impl Future<Output = Result<Answer, ErrorData>> + Send + use<> {
    let kind = arguments.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
    let bytes = arguments.get("bytes").and_then(serde_json::Value::as_u64).unwrap_or(BIG_BYTES);
    if kind == "panic" {
        panic!("self-test: panic while the work is made");
    }
    async move {
        match kind.as_str() {
            "panic_late" => {
                tokio::task::yield_now().await;
                panic!("self-test: panic after an await");
            }
            "error" => {
                Err(ErrorData::internal_error("self-test: an error", Some(json!({ "kind": "selftest" }))))
            }
            "hang" => std::future::pending().await,
            "big" => {
                let size = usize::try_from(bytes.min(BIG_BYTES_MAX)).unwrap_or_default();
                Ok(Answer { text: "x".repeat(size), structured: None, is_error: false })
            }
            other => {
                let message = format!("kind is one of panic, panic_late, error, hang, big; not {other:?}");
                Err(ErrorData::invalid_params(message, Some(json!({ "kind": "bad_params" }))))
            }
        }
    }
}
