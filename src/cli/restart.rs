//! `bridge restart`: a server gets new processes and a new chance.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::builtin;
use crate::cli::running;
use crate::control::Request;

/// A bridge waits for the start of a server, and says after a while that it still starts.
const PATIENCE: Duration = Duration::from_secs(20);

/// End a server's processes and start it anew
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "It forgets that the server failed: one that is parked is tried at once. Calls
that run in it end with an unknown outcome. Every bridge that runs does it.

Exits with 1 when no bridge runs, or one of them does not have the server or
cannot start it.

Example:
  bridge restart github")]
pub struct Args {
    /// The server's name in the configuration
    #[arg(value_name = "SERVER")]
    server: String,
}

/// Tells every bridge of a data folder, and prints how the start went.
///
/// # Errors
/// When nobody runs, or one of them does not have the server, or it could not be started.
pub fn run(args: &Args, data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let request = Request::Restart { server: args.server.clone() };
    running::tell_all(data_dir, &request, PATIENCE, out, said)
}

/// How it went, and what went wrong.
fn said(answer: &Value) -> (String, Option<String>) {
    let (told, wrong) = builtin::restart::said(answer);
    (told, wrong.map(|wrong| format!("{wrong}{}", running::last_output(&answer["stderr"]))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_new_start_is_told_with_both_processes() {
        let (told, wrong) =
            said(&json!({ "server": "s", "endedPid": 1, "state": "ready", "pid": 2, "error": null }));
        assert_eq!((told.as_str(), wrong), ("process 1 of s was ended, process 2 is ready", None));
        let (told, wrong) = said(
            &json!({ "server": "s", "state": "resting", "error": "ended with exit code 3", "stderr": ["a", "no key"] }),
        );
        assert_eq!(told, "s had no process");
        assert_eq!(
            wrong.as_deref(),
            Some("s cannot be started: it ended with exit code 3; it wrote last: no key")
        );
    }
}
