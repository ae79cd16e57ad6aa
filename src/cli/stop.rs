//! `bridge stop`: the hub ends in peace, or one server.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::cli::hub::{WAIT_S, up};
use crate::cli::{running, server, words};
use crate::control::Request;
use crate::local::Hall;
use crate::paths::Paths;

/// A hub that nothing keeps any more has ended within this.
const END_WITHIN: Duration = Duration::from_secs(15);

/// End the hub in peace, or one server until it is started again
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "With a server: its processes end, in every bridge that runs, and calls of it are
refused until bridge start SERVER or bridge restart SERVER, also by bridges
that are started later. Its tools stay listed. Calls that run in it end with an
unknown outcome. No bridge has to run.

Without one: the hub finishes what is under way, ends its servers and closes the record. Its
clients stay attached: the next request of any of them starts it again, unless
it is held. While it is held, calls are answered that the bridge was stopped.
A bridge that serves without a hub (serve --in-process) is not concerned.

Exits with 1 when there is no such server, no hub runs, or it does not end.

Examples:
  bridge stop github   no calls of this server until bridge start github
  bridge stop          frees what the hub and its servers hold
  bridge stop --hold   and it stays so until bridge start")]
pub struct Args {
    /// Only this server; its name in the configuration
    #[arg(value_name = "SERVER", conflicts_with_all = ["hold", "wait"])]
    server: Option<String>,
    /// Nothing starts it again before bridge start
    #[arg(long)]
    hold: bool,
    /// What is under way has so long; what is not done then is the next hub's
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_S)]
    wait: u64,
}

/// Ends one server, or asks the hub to end, waits until it has, and prints what became of it.
///
/// # Errors
/// When there is no such server, or no hub runs that is not held either, or it does not end.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    if let Some(server) = &args.server {
        return server::stop(paths, server, out);
    }
    let hall = Hall::of(&paths.data_dir);
    if args.hold {
        paths.create()?;
        hall.make()?;
        hall.notes().hold().context("the hold cannot be written")?;
    }
    let wait = Duration::from_secs(args.wait);
    let stopped = running::ask_hub(&paths.data_dir, &Request::Stop { wait }, wait + END_WITHIN)?;
    let told = match &stopped {
        Some(stopped) => {
            let pid = stopped["pid"].as_u64().unwrap_or_default();
            anyhow::ensure!(
                up::has_ended(paths, pid, END_WITHIN),
                "hub {pid} has finished its work and does not end; see logs/hub.log in {}",
                paths.data_dir.display()
            );
            ended(stopped)
        }
        None => {
            anyhow::ensure!(args.hold, "No hub runs on {}.", paths.data_dir.display());
            "no hub runs".into()
        }
    };
    let next = if args.hold { "bridge start starts it" } else { "the next request of a client starts it" };
    words::say(out, &format!("{told}; {next} again"))
}

fn ended(stopped: &Value) -> String {
    let unfinished = stopped["unfinished"].as_u64().unwrap_or_default();
    let left = match unfinished {
        0 => String::new(),
        1 => ", 1 request was not finished".into(),
        many => format!(", {} requests were not finished", words::count(many)),
    };
    format!("hub {} has ended{left}", stopped["pid"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_finished_is_told() {
        let told = |unfinished| ended(&json!({ "pid": 7, "unfinished": unfinished }));
        assert_eq!(told(0), "hub 7 has ended");
        assert_eq!(told(1), "hub 7 has ended, 1 request was not finished");
        assert_eq!(told(1_200), "hub 7 has ended, 1,200 requests were not finished");
    }
}
