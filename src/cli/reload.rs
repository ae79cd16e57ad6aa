//! `bridge reload`: every bridge that runs reads its configuration again.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::cli::running;
use crate::control::Request;

/// Reading a file and making servers takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Have every bridge that runs read its configuration again
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "A bridge hears by itself when its configuration changes; this is to have it at
once, and to see what was changed. Only servers whose entries differ are
started, stopped or replaced, and their running calls go on to their ends. What
has a mistake stays as it was.

Exits with 1 when no bridge runs, or a configuration has a mistake.

Example:
  bridge reload")]
pub struct Args {}

/// Tells every bridge of a data folder, and prints what it changed.
///
/// # Errors
/// When nobody runs, or one of them did not do it, or found a mistake.
pub fn run(_args: &Args, data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    running::tell_all(data_dir, &Request::Reload, PATIENCE, out, said)
}

/// What was changed, and what is wrong.
fn said(answer: &Value) -> (String, Option<String>) {
    let items = |key: &str, between: &str| {
        let items = answer[key].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(between)
    };
    let all = [
        ("added", "added "),
        ("changed", "replaced "),
        ("shown", "shows the tools of "),
        ("removed", "removed "),
        ("settings", "from each server's next start on: "),
        ("needNewStart", "not before the bridge itself starts anew: "),
    ];
    let changes = all.map(|(key, what)| (what, items(key, ", ")));
    let changes: Vec<String> = changes
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}{names}"))
        .collect();
    // A line each: there are commas in them.
    let mistakes = items("mistakes", "\n  ");
    let wrong = (!mistakes.is_empty()).then(|| format!("what has a mistake stays as it was:\n  {mistakes}"));
    (if changes.is_empty() { "nothing changed".to_owned() } else { changes.join("; ") }, wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_in_one_line() {
        let (told, wrong) = said(&json!({
            "added": ["a", "b"], "changed": ["c"], "removed": ["d"], "settings": ["hang_after"],
            "needNewStart": ["durability"], "mistakes": ["config.toml:1:1: no", "config.toml:2:1: a, or b"],
        }));
        insta::assert_snapshot!(told, @"added a, b; replaced c; removed d; from each server's next start on: hang_after; not before the bridge itself starts anew: durability");
        let wanted = "what has a mistake stays as it was:\n  config.toml:1:1: no\n  config.toml:2:1: a, or b";
        assert_eq!(wrong.as_deref(), Some(wanted));
        assert_eq!(said(&json!({})), ("nothing changed".to_owned(), None));
    }
}
