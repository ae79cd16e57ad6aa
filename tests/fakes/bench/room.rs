//! The room the measurement stands in: a folder, a config file, and the three sides.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::peer::Side;

/// How many tools the server offers: `echo`, `big` and generated ones.
pub const TOOLS: usize = 300;

/// The text of a big result, in bytes.
pub const BIG: usize = 10 * 1024 * 1024;

/// A folder that is gone afterwards.
pub struct Room {
    folder: TempDir,
    /// The sides that are measured, in the order of the table.
    pub sides: Vec<Side>,
}

impl Room {
    /// Writes the config and names the sides. Without a `bridge` there are only two.
    ///
    /// # Errors
    /// When the folder or a file cannot be written.
    pub fn new(fake: &Path, bridge: Option<&Path>, server_lines: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let text = |path: &Path| path.display().to_string();
        let script = script();
        fs::write(path("config.toml"), config(&text(fake), &script, server_lines)?)?;
        let itself = std::env::current_exe()?;
        let behind = [vec!["pump".into(), "--".into(), text(fake)], script.clone()].concat();
        let serve = [
            "serve",
            "--in-process",
            "--config",
            &text(&path("config.toml")),
            "--data-dir",
            &text(&path("data")),
        ];
        let side = |name: &'static str, program: &Path, arguments, prefix| Side {
            name,
            program: program.to_owned(),
            arguments,
            prefix,
            stderr: folder.path().join(format!("{name}.stderr")),
        };
        let mut sides = vec![side("direct", fake, script, ""), side("pump", &itself, behind, "")];
        if let Some(bridge) = bridge {
            sides.push(side("bridge", bridge, serve.map(str::to_owned).to_vec(), "fake__"));
            let hub = ["serve", "--config", &text(&path("config.toml")), "--data-dir", &text(&path("hub"))];
            sides.push(side("hub", bridge, hub.map(str::to_owned).to_vec(), "fake__"));
        }
        Ok(Self { folder, sides })
    }

    /// How many calls are recorded as `ok`, over all sessions.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn recorded(&self) -> Result<u64> {
        let path = self.folder.path().join("data").join("bridge.db");
        let database = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let count: i64 =
            database
                .query_row("SELECT count(*) FROM tool_calls WHERE outcome = 'ok'", [], |row| row.get(0))?;
        Ok(count.try_into()?)
    }

    /// The last lines a side wrote on stderr.
    pub fn last_words(&self, side: &Side) -> String {
        let text = fs::read(&side.stderr).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Room {
    /// The hub outlives its fronts.
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.folder.path().join("hub/run/hub.lock"));
        let pid = pid.ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _gone = rustix::process::kill_process(pid, Signal::TERM);
        }
    }
}

fn script() -> Vec<String> {
    let lines = [
        "tool echo".to_owned(),
        "tool big".to_owned(),
        format!("tools {}", TOOLS - 2),
        format!("on tools/call big: big {BIG}"),
    ];
    lines.into_iter().flat_map(|line| ["-e".to_owned(), line]).collect()
}

fn config(fake: &str, script: &[String], server_lines: &[String]) -> Result<String> {
    // A JSON string and a JSON array of strings are TOML too.
    let (command, args) = (serde_json::to_string(fake)?, serde_json::to_string(script)?);
    Ok(format!("[servers.fake]\ncommand = {command}\nargs = {args}\n{}\n", server_lines.join("\n")))
}
