//! A folder with a configuration, the servers' scripts and the record; it is gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use tempfile::TempDir;

use crate::book::name;
use crate::client::Start;
use crate::gauge::beside_this_program;

/// The programs that are tried.
#[derive(Args)]
pub struct Programs {
    /// The bridge [default: beside this program]
    #[arg(long, global = true)]
    bridge: Option<PathBuf>,
    /// The fake server [default: beside this program]
    #[arg(long, global = true)]
    fake: Option<PathBuf>,
    /// Keep the folder with the record and all logs, and say where it is
    #[arg(long, global = true)]
    keep: bool,
}

/// Where everything happens.
pub struct Room {
    /// The folder, without a symbolic link in its path.
    pub path: PathBuf,
    bridge: PathBuf,
    /// None when the folder is kept.
    _folder: Option<TempDir>,
}

impl Room {
    /// Writes the configuration: one server for each script, in which `$ROOM` is the folder.
    ///
    /// # Errors
    /// When something cannot be written, or a program is missing.
    pub fn new(programs: &Programs, settings: &str, keys: &str, scripts: &[String]) -> Result<Self> {
        let program = |given: &Option<PathBuf>, word| {
            given.clone().map_or_else(|| beside_this_program(word), Ok)?.canonicalize().context(word)
        };
        let (bridge, fake) = (program(&programs.bridge, "bridge")?, program(&programs.fake, "fake-server")?);
        let mut folder = tempfile::Builder::new().prefix("bridge-chaos-").tempdir()?;
        folder.disable_cleanup(programs.keep);
        let room =
            Self { path: folder.path().canonicalize()?, bridge, _folder: (!programs.keep).then_some(folder) };
        fs::create_dir(room.path.join("scripts"))?;
        fs::create_dir(room.path.join("marks"))?;
        let mut config = format!("[settings]\n{settings}\n");
        for (server, script) in scripts.iter().enumerate() {
            let file = room.script(server);
            fs::write(&file, script.replace("$ROOM", &room.path.display().to_string()))?;
            // A JSON string is TOML too.
            let (name, fake, file) = (json!(name(server)), json!(fake), json!(file));
            config += &format!("[servers.{name}]\ncommand = {fake}\nargs = [\"--script\", {file}]\n{keys}\n");
        }
        fs::write(room.path.join("config.toml"), config)?;
        Ok(room)
    }

    /// How the bridge of this client is started.
    pub fn start(&self, client: usize) -> Start {
        let text = |name: &str| self.path.join(name).display().to_string();
        let arguments =
            ["serve", "--in-process", "--config", &text("config.toml"), "--data-dir", &text("data")];
        Start {
            bridge: self.bridge.clone(),
            arguments: arguments.map(str::to_owned).to_vec(),
            folder: self.folder(client),
            stderr: self.log(client),
        }
    }

    /// Where a client's bridge and its servers stand.
    pub fn folder(&self, client: usize) -> PathBuf {
        self.path.join(format!("client-{client}"))
    }

    /// What a client's bridge logs.
    pub fn log(&self, client: usize) -> PathBuf {
        self.path.join(format!("client-{client}.log"))
    }

    /// A server's script, which is a word of its command line.
    pub fn script(&self, server: usize) -> PathBuf {
        self.path.join("scripts").join(name(server))
    }

    /// A file that says that something of this server happened, and need not happen again.
    pub fn mark(&self, server: usize, what: &str) -> PathBuf {
        self.path.join("marks").join(format!("{}-{what}", name(server)))
    }

    /// The record.
    pub fn database(&self) -> PathBuf {
        self.path.join("data").join("bridge.db")
    }
}

/// Bytes and lines of a file.
pub fn size(file: &Path) -> (usize, usize) {
    let bytes = fs::read(file).unwrap_or_default();
    (bytes.len(), memchr::memchr_iter(b'\n', &bytes).count())
}
