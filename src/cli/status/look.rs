//! One look at everything that runs: what each bridge says of itself, and what the record says of the last calls.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::cli::running::{self, Asked, SIGN_OF_LIFE};
use crate::cli::status::place;
use crate::cli::words;
use crate::control::Request;
use crate::store::read::Reader;
use crate::store::read::series::Which;
use crate::store::stamp::HOUR_MS;
use crate::store::totals::Totals;

/// What was seen.
#[derive(Debug)]
pub struct Look {
    /// Each bridge, and what it said.
    pub asked: Vec<Asked>,
    /// The hub's place, if there is something to say of it.
    pub hub: Option<Value>,
    /// The calls of this hour and the last, by server; or why they are not known.
    pub calls: Result<BTreeMap<String, Totals>, String>,
}

impl Look {
    /// Looks now; a bridge that hangs is waited for two seconds.
    ///
    /// # Errors
    /// When the folder of their sockets is not this user's own.
    pub fn take(data_dir: &Path) -> anyhow::Result<Self> {
        let asked = running::ask_all(data_dir, &Request::Status, SIGN_OF_LIFE)?;
        let hub = place::look(data_dir);
        let calls = calls(data_dir).map_err(|error| format!("{error:#}"));
        Ok(Self { asked, hub, calls })
    }

    /// Whether nobody runs.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.hub.is_none()
    }

    /// The same for a script.
    pub fn json(&self) -> Value {
        self.asked.iter().map(|asked| self.bridge(asked)).chain(self.hub.clone()).collect()
    }

    fn bridge(&self, asked: &Asked) -> Value {
        let answer = match &asked.answer {
            Ok(answer) => answer,
            Err(error) => return json!({ "pid": asked.pid, "answers": false, "error": error.to_string() }),
        };
        let servers = answer.pointer("/status/servers").and_then(Value::as_array).into_iter().flatten();
        let names = servers.filter_map(|server| server["name"].as_str());
        let latency = self.calls.as_ref().map(|calls| {
            names
                .map(|name| (name.to_owned(), calls.get(name).map_or(Value::Null, latency)))
                .collect::<Value>()
        });
        let mut all = json!({
            "pid": asked.pid,
            "answers": true,
            "latency": latency.as_ref().ok(),
        });
        if let (Some(all), Some(answer)) = (all.as_object_mut(), answer.as_object()) {
            all.extend(answer.clone());
            all.extend(latency.err().map(|error| ("latencyError".to_owned(), error.as_str().into())));
        }
        all
    }
}

/// The last calls of each server. Whole hours are sums that stand in the record already, however many calls there were.
fn calls(data_dir: &Path) -> anyhow::Result<BTreeMap<String, Totals>> {
    let Some(reader) = Reader::open(data_dir)? else { return Ok(BTreeMap::new()) };
    let last_hour_ms = (words::now_ms().div_euclid(HOUR_MS) - 1) * HOUR_MS;
    let which = Which { from_ms: Some(last_hour_ms), ..Which::default() };
    let servers = reader.servers(&which).context("the record cannot be read")?;
    Ok(servers.into_iter().filter_map(|server| Some((server.name?, server.totals))).collect())
}

fn latency(calls: &Totals) -> Value {
    let ms = |percent| calls.histogram.percentile_us(percent).map(|us| us as f64 / 1_000.0);
    json!({ "calls": calls.calls, "p50Ms": ms(50), "p95Ms": ms(95) })
}
