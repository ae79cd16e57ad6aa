//! `bridge install` in front of every client's file, in every condition.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Room;

mod asks;
mod changed;
mod conditions;
mod moves;
mod places;
mod screens;

/// A client: its word, its file in the home folder, the folder that shows it, and the key of its servers.
#[derive(Clone, Copy)]
struct Known {
    word: &'static str,
    file: &'static str,
    folder: &'static str,
    key: &'static str,
}

const fn known(word: &'static str, file: &'static str, folder: &'static str, key: &'static str) -> Known {
    Known { word, file, folder, key }
}

const CLIENTS: [Known; 6] = [
    known("claude-desktop", ".config/Claude/claude_desktop_config.json", ".config/Claude", "mcpServers"),
    known("claude-code", ".claude.json", ".claude", "mcpServers"),
    known("cursor", ".cursor/mcp.json", ".cursor", "mcpServers"),
    known("vscode", ".config/Code/User/mcp.json", ".config/Code", "servers"),
    known("windsurf", ".codeium/windsurf/mcp_config.json", ".codeium/windsurf", "mcpServers"),
    known("zed", ".config/zed/settings.json", ".config/zed", "context_servers"),
];

const CURSOR: Known = CLIENTS[2];
const ZED: Known = CLIENTS[5];

/// Whether a client reads nothing but plain JSON.
fn is_strict(client: Known) -> bool {
    matches!(client.word, "claude-desktop" | "claude-code")
}

/// The home of a user, and a bridge that lies where a package manager would link it.
struct Home {
    room: Room,
}

/// What stands at a path: a folder, a link or a file, with its mode.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Folder,
    Link(PathBuf),
    File { text: Vec<u8>, mode: u32 },
}

impl Home {
    fn new() -> Self {
        let room = Room::new();
        fs::create_dir(room.path("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_bridge"), room.path("bin/bridge")).unwrap();
        Self { room }
    }

    /// With this client, and this in its file.
    fn with(self, client: Known, text: impl AsRef<[u8]>) -> Self {
        self.write(client.file, text);
        fs::create_dir_all(self.path(client.folder)).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.path("home").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn config(&self) -> String {
        fs::read_to_string(self.path(CONFIG)).unwrap_or_default()
    }

    /// The bridge as a user of this home calls it.
    fn command(&self, args: &[&str]) -> Command {
        let usual = self.room.command(&[]);
        let mut command = Command::new(self.room.path("bin/bridge"));
        command.args(args).env_clear().current_dir(self.room.path("home"));
        let own = usual.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.envs(own.filter(|(name, _)| !name.to_str().unwrap().starts_with("BRIDGE_")));
        command
    }

    /// Exit code, stdout, stderr; the room is `$ROOM` in them.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(args).output().unwrap();
        let plain = |bytes| self.plain(&String::from_utf8(bytes).unwrap());
        (output.status.code(), plain(output.stdout), plain(output.stderr))
    }

    fn plain(&self, text: &str) -> String {
        let real = self.room.path("").canonicalize().unwrap();
        text.replace(real.to_str().unwrap(), "$ROOM").replace(self.room.path("").to_str().unwrap(), "$ROOM")
    }

    /// What it prints when all is well.
    #[track_caller]
    fn said(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(args);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}: {stdout}");
        stdout
    }

    /// What it says, in one line, when something has to stay as it is; nothing was touched then.
    #[track_caller]
    fn refused(&self, args: &[&str]) -> String {
        let before = self.things();
        let (code, stdout, stderr) = self.run(args);
        assert_eq!(code, Some(1), "{args:?}: {stdout} {stderr}");
        assert_eq!(self.things(), before, "{args:?}: {stdout} {stderr}");
        flat(&format!("{stdout} {stderr}"))
    }

    /// Everything in the home folder but the bridge's own data.
    fn things(&self) -> BTreeMap<PathBuf, Thing> {
        let mut things = BTreeMap::new();
        gather(&self.room.path("home"), &mut things);
        let data = self.path(DATA);
        things.retain(|path, _| !path.starts_with(&data) && !data.starts_with(path));
        things
    }

    /// The entry that a client has for the bridge.
    #[track_caller]
    fn entry(&self, client: Known) -> Value {
        parsed(&self.text(client.file))[client.key]["bridge"].clone()
    }

    /// What the entry is when no places are given.
    fn usual_entry(&self, client: Known) -> Value {
        let mut entry = json!({ "command": self.room.path("bin/bridge"), "args": ["serve"] });
        if matches!(client.word, "claude-code" | "vscode") {
            entry["type"] = json!("stdio");
        }
        entry
    }
}

/// The data folder and the configuration in a home folder (of Linux).
const DATA: &str = ".local/share/bridge";
const CONFIG: &str = ".config/bridge/config.toml";

fn gather(folder: &Path, things: &mut BTreeMap<PathBuf, Thing>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let thing = if metadata.is_symlink() {
            Thing::Link(fs::read_link(&path).unwrap())
        } else if metadata.is_dir() {
            gather(&path, things);
            Thing::Folder
        } else if metadata.is_file() {
            Thing::File { text: fs::read(&path).unwrap(), mode: metadata.mode() & 0o7777 }
        } else {
            continue;
        };
        things.insert(path, thing);
    }
}

/// JSON with comments and last commas, as a client reads it; a string in these tests holds neither.
fn parsed(text: &str) -> Value {
    let text = text.trim_start_matches('\u{feff}');
    let lines =
        text.lines().map(|line| line.split(" //").next().unwrap()).filter(|line| !line.starts_with("//"));
    let mut plain: String = lines.collect::<Vec<_>>().join("\n");
    while let Some(at) = plain.find("/*") {
        let end = at + plain[at..].find("*/").unwrap() + 2;
        plain.replace_range(at..end, "");
    }
    let tight: String = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let tight = tight.replace(", }", "}").replace(",}", "}").replace(", ]", "]");
    serde_json::from_str(&tight).unwrap_or_else(|error| panic!("{error}: {tight}"))
}

/// Text in one line: where it is broken depends on how long a path is.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
