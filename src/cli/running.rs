//! The bridges that run now, asked all at once.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::builtin;
use crate::cli::words;
use crate::control::{self, NoAnswer, Request};
use crate::local::{self, Door, Hall};

/// A bridge that says nothing of itself for so long hangs, and is not waited for any longer.
pub const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// So many characters of a server's last line are shown.
const LAST_OUTPUT_MAX: usize = 160;

/// One bridge that runs, and what it said.
#[derive(Debug)]
pub struct Asked {
    /// Its process.
    pub pid: Option<u32>,
    /// Its answer, or why there is none.
    pub answer: Result<Value, NoAnswer>,
}

/// Asks every bridge of a data folder the same, side by side; each has this long.
///
/// # Errors
/// When the folder of their doors is not this user's own.
pub fn ask_all(data_dir: &Path, request: &Request, patience: Duration) -> anyhow::Result<Vec<Asked>> {
    ask_behind(&Hall::of(data_dir).doors()?, request, patience)
}

/// The same with the hub's own answer at the end, and as somebody asks who only looks: nothing is tidied up.
///
/// # Errors
/// When the folder of their doors cannot be read.
pub fn look_at_all(data_dir: &Path) -> anyhow::Result<(Vec<Asked>, Option<Asked>)> {
    let doors = Hall::of(data_dir).living_doors()?;
    let asked = ask_behind(&doors, &Request::Status, SIGN_OF_LIFE)?;
    let Some(hub) = doors.iter().find(|door| door.name == local::HUB) else { return Ok((asked, None)) };
    let answer = runtime()?.block_on(control::ask(hub, &Request::Status, SIGN_OF_LIFE));
    Ok((asked, Some(Asked { pid: keeper(hub), answer })))
}

/// Whoever has the hub's place.
#[cfg(unix)]
fn keeper(hub: &Door) -> Option<u32> {
    hub.keeper()
}

/// Cannot be told there.
#[cfg(not(unix))]
fn keeper(_hub: &Door) -> Option<u32> {
    None
}

fn ask_behind(doors: &[Door], request: &Request, patience: Duration) -> anyhow::Result<Vec<Asked>> {
    let asked = doors.iter().filter(|door| door.name != local::HUB).map(|door| async move {
        let answer = ask(door, request, patience).await;
        Asked { pid: control::pid_behind(door), answer }
    });
    let mut asked = runtime()?.block_on(join_all(asked));
    asked.retain(|asked| !matches!(asked.answer, Err(NoAnswer::Gone)));
    Ok(asked)
}

/// Asks the hub itself, if there is one.
///
/// # Errors
/// When the folder of its door is not this user's own, or the hub gives no answer.
pub fn ask_hub(data_dir: &Path, request: &Request, patience: Duration) -> anyhow::Result<Option<Value>> {
    let door = Hall::of(data_dir).doors()?.into_iter().find(|door| door.name == local::HUB);
    let Some(door) = door else { return Ok(None) };
    match runtime()?.block_on(control::ask(&door, request, patience)) {
        Ok(answer) => Ok(Some(answer)),
        Err(NoAnswer::Gone) => Ok(None),
        Err(error) => Err(anyhow::Error::from(error).context("the hub gives no answer")),
    }
}

/// Waits for bridges.
///
/// # Errors
/// When the system has no room for it.
pub fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

async fn ask(door: &Door, request: &Request, patience: Duration) -> Result<Value, NoAnswer> {
    if patience > SIGN_OF_LIFE {
        control::ask(door, &Request::Status, SIGN_OF_LIFE).await?;
    }
    control::ask(door, request, patience).await
}

/// Tells every bridge of a data folder the same, and prints what each says it did; `said` makes words of an
/// answer, and of what went wrong all the same.
///
/// # Errors
/// When nobody runs, or something went wrong with one of them.
pub fn tell_all(
    data_dir: &Path,
    request: &Request,
    patience: Duration,
    out: &mut dyn Write,
    said: fn(&Value) -> (String, Option<String>),
) -> anyhow::Result<()> {
    let asked = ask_all(data_dir, request, patience)?;
    anyhow::ensure!(!asked.is_empty(), "{}", nobody(data_dir));
    tell(asked, out, said)
}

/// Prints what each bridge says it did.
///
/// # Errors
/// When something went wrong with one of them.
pub fn tell(
    asked: Vec<Asked>,
    out: &mut dyn Write,
    said: fn(&Value) -> (String, Option<String>),
) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for Asked { pid, answer } in asked {
        let bridge = pid.map_or_else(|| "bridge".into(), |pid| format!("bridge {pid}"));
        let failed = match answer {
            Ok(answer) => {
                let (told, failed) = said(&answer);
                words::say(out, &format!("{bridge}: {told}"))?;
                failed
            }
            Err(error) => Some(error.to_string()),
        };
        wrong.extend(failed.map(|failed| format!("{bridge}: {failed}")));
    }
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// How the start of a server went, and what went wrong.
pub fn started(answer: &Value) -> (String, Option<String>) {
    if answer["runs"] == true {
        let (server, pid) = (answer["server"].as_str().unwrap_or_default(), &answer["pid"]);
        return (
            format!("{server} runs already, process {pid} is {}", answer["state"].as_str().unwrap_or("?")),
            None,
        );
    }
    let (told, wrong) = builtin::restart::said(answer);
    (told, wrong.map(|wrong| format!("{wrong}{}", last_output(&answer["stderr"]))))
}

/// What a server that failed wrote last, as far as a line of a screen holds it.
pub fn last_output(stderr: &Value) -> String {
    let last = stderr.as_array().and_then(|lines| lines.last()).and_then(Value::as_str);
    last.map(|line| format!("; it wrote last: {}", words::cut(line, LAST_OUTPUT_MAX))).unwrap_or_default()
}

/// What is said when nobody runs.
pub fn nobody(data_dir: &Path) -> String {
    format!(
        "No bridge runs on {}.\nAn AI client starts it with `bridge serve`, one that is attached with its next request.",
        data_dir.display()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_new_start_is_told_with_both_processes() {
        let (told, wrong) =
            started(&json!({ "server": "s", "endedPid": 1, "state": "ready", "pid": 2, "error": null }));
        assert_eq!((told.as_str(), wrong), ("process 1 of s was ended, process 2 is ready", None));
        let (told, wrong) = started(
            &json!({ "server": "s", "state": "resting", "error": "ended with exit code 3", "stderr": ["a", "no key"] }),
        );
        assert_eq!(told, "s had no process");
        assert_eq!(
            wrong.as_deref(),
            Some("s cannot be started: it ended with exit code 3; it wrote last: no key")
        );
    }
}
