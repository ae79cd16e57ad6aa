//! `bridge stop SERVER` and `bridge start SERVER`: one server is held, or runs again.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::cli::running;
use crate::cli::words;
use crate::config::mistake::{Mistake, suggestion};
use crate::config::{self, Loaded};
use crate::control::Request;
use crate::local::stopped::Stopped;
use crate::names::ServerName;
use crate::paths::Paths;
use crate::store::stamp;

/// A bridge waits for the end or the start of a server, and says after a while that it goes on.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Has every bridge end a server, and notes down for those that are to come that it is not to be started.
///
/// # Errors
/// When neither the configuration nor a bridge that runs has such a server, or something went wrong with one of them.
pub fn stop(paths: &Paths, server: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let known = known(paths, server);
    if let Ok(name) = &known {
        note_down(paths, name)?;
    }
    let request = Request::StopServer { server: server.to_owned() };
    match (running::ask_all(&paths.data_dir, &request, PATIENCE)?, known) {
        (asked, Err(unknown)) if asked.is_empty() => Err(unknown),
        (asked, Ok(_)) if asked.is_empty() => {
            words::say(out, &format!("no bridge runs; {server} stays stopped until bridge start {server}"))
        }
        (asked, _) => running::tell(asked, out, stopped),
    }
}

/// Lets every bridge start a server, and has those that run start it now.
///
/// # Errors
/// As [`stop`], and when the server could not be started.
pub fn start(paths: &Paths, server: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let known = known(paths, server);
    let was_stopped = lift(paths, server)?;
    let request = Request::StartServer { server: server.to_owned() };
    match (running::ask_all(&paths.data_dir, &request, PATIENCE)?, known) {
        (asked, _) if !asked.is_empty() => running::tell(asked, out, running::started),
        (_, Err(unknown)) if !was_stopped => Err(unknown),
        _ => {
            let told = if was_stopped { "is not stopped any more" } else { "was not stopped" };
            words::say(
                out,
                &format!("no bridge runs; {server} {told}, and the next call of a client starts it"),
            )
        }
    }
}

/// From now on a server may be started; whether it might not.
///
/// # Errors
/// When the note that it is stopped cannot be removed.
pub fn lift(paths: &Paths, server: &str) -> anyhow::Result<bool> {
    let Ok(name) = ServerName::parse(server) else { return Ok(false) };
    Stopped::of(paths)
        .lift(&name)
        .with_context(|| format!("{server} stays stopped: its note cannot be removed"))
}

fn note_down(paths: &Paths, server: &ServerName) -> anyhow::Result<()> {
    paths.create()?;
    let noted = Stopped::of(paths).put(server, stamp::text(words::now_ms()));
    noted.with_context(|| format!("it cannot be noted down that {server} is stopped"))
}

/// The server of this name in the configuration.
fn known(paths: &Paths, server: &str) -> anyhow::Result<ServerName> {
    let loaded = config::load(paths.config_file.as_deref());
    let enabled = loaded.config.enabled();
    if let Some(found) = enabled.iter().find(|entry| entry.name.as_str() == server) {
        return Ok(found.name.clone());
    }
    let names: Vec<&str> = enabled.iter().map(|entry| entry.name.as_str()).collect();
    Err(unknown(paths, &names, server))
}

/// Refuses a configuration that cannot be understood as a whole: nothing can be said of its servers.
///
/// # Errors
/// The first mistake, with its place.
pub fn check_whole(loaded: &Loaded) -> anyhow::Result<()> {
    match loaded.mistakes.first() {
        Some(mistake) if loaded.broken.file => {
            Err(anyhow::anyhow!("the configuration cannot be understood, repair it first: {mistake}"))
        }
        _ => Ok(()),
    }
}

/// What is said of a server that the configuration does not have, has with a mistake, or has switched off; `names`
/// are those it has.
pub fn unknown(paths: &Paths, names: &[&str], server: &str) -> anyhow::Error {
    let loaded = config::load(paths.config_file.as_deref());
    if let Err(broken) = check_whole(&loaded) {
        return broken;
    }
    if loaded.broken.servers.iter().any(|(_, broken)| broken.as_str() == server) {
        let entry = format!("servers.{server}");
        let is_its = |mistake: &&Mistake| mistake.path.starts_with(&entry);
        // A name that is no bare word is written otherwise.
        let mistake = loaded.mistakes.iter().find(is_its).or(loaded.mistakes.first());
        let mistake = mistake.map(ToString::to_string).unwrap_or_default();
        return anyhow::anyhow!("the entry of {server} has a mistake, repair it first: {mistake}");
    }
    let place = paths.config_file.as_ref().map(|file| file.display().to_string());
    let place = place.unwrap_or_else(|| "the configuration".to_owned());
    let meant = match (suggestion(server, names), names) {
        (Some(meant), _) => format!(", did you mean {meant:?}?"),
        (None, []) => String::new(),
        (None, names) => format!(", which has {}", names.join(", ")),
    };
    anyhow::anyhow!("There is no server {server:?} in {place}{meant}")
}

/// How it ended, and what went wrong.
fn stopped(answer: &Value) -> (String, Option<String>) {
    let server = answer["server"].as_str().unwrap_or_default();
    let ended = match (answer["endedPid"].as_u64(), answer["gone"].as_bool()) {
        (Some(pid), Some(true)) => format!("process {pid} of {server} was ended"),
        (Some(pid), _) => format!("process {pid} of {server} is ending"),
        (None, _) => format!("{server} had no process"),
    };
    (format!("{ended}; it stays stopped until bridge start {server}"), None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_told_of_an_end_names_the_way_back() {
        let told = |answer: Value| stopped(&answer).0;
        assert_eq!(
            told(json!({ "server": "s", "endedPid": 7, "gone": true })),
            "process 7 of s was ended; it stays stopped until bridge start s"
        );
        assert_eq!(
            told(json!({ "server": "s", "endedPid": 7, "gone": false })),
            "process 7 of s is ending; it stays stopped until bridge start s"
        );
        assert_eq!(
            told(json!({ "server": "s", "endedPid": null, "gone": true })),
            "s had no process; it stays stopped until bridge start s"
        );
    }
}
