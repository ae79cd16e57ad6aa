//! What is in a room.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Bridge, Room, Wires, fake_server, rows, wait_for, wait_until};

impl Room {
    /// An empty room: no servers, every setting at its default.
    pub fn new() -> Self {
        let dir = Arc::new(tempfile::Builder::new().prefix("bridge-it-").tempdir().unwrap());
        for folder in ["home", "data", "scripts"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Self {
            dir,
            settings: String::new(),
            servers: String::new(),
            config: None,
            env: Vec::new(),
            args: Vec::new(),
            via: Vec::new(),
            wires: Wires::Pipes,
            read_later: false,
            through_hub: false,
        }
    }

    /// A server that plays this script (`tests/fakes/script.rs`). `$ROOM` in a line is the room's folder.
    pub fn server(self, name: &str, script: &[&str]) -> Self {
        self.server_with(name, script, "")
    }

    /// The same, with more keys in its entry, each on a line of its own: `call_timeout_s = 1`.
    pub fn server_with(mut self, name: &str, script: &[&str], keys: &str) -> Self {
        let file = self.path("scripts").join(name);
        std::fs::write(&file, script.join("\n").replace("$ROOM", self.path("").to_str().unwrap())).unwrap();
        let entry = format!(
            "[servers.{}]\ncommand = {}\nargs = [\"--script\", {}]\n{keys}\n",
            json!(name),
            json!(fake_server()),
            json!(file),
        );
        self.servers.push_str(&entry);
        self
    }

    /// What is said of the clients of this name, each key on a line of its own: `result_max_mib = 1`.
    pub fn client(mut self, name: &str, keys: &str) -> Self {
        let _ = writeln!(self.servers, "[clients.{}]\n{keys}", json!(name));
        self
    }

    /// A line of `[settings]`: `first_list_wait_s = 1`.
    pub fn setting(mut self, line: &str) -> Self {
        let _ = writeln!(self.settings, "{line}");
        self
    }

    /// Another configuration than the room's own, as it stands: its file name in the room and its text.
    pub fn config(mut self, name: &str, text: &str) -> Self {
        let file = self.path(name);
        std::fs::write(&file, text.replace("$ROOM", self.path("").to_str().unwrap())).unwrap();
        self.config = Some(file);
        self
    }

    /// A variable of the bridge's environment, which is otherwise nearly empty.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more argument after `serve`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Starts the bridge by another program, which gets the command line as its last arguments.
    pub fn via(mut self, program: &[&str]) -> Self {
        self.via = program.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// What stdin and stdout are made of.
    pub fn wires(mut self, wires: Wires) -> Self {
        self.wires = wires;
        self
    }

    /// Nothing is read from the bridge until [`Bridge::read`].
    pub fn read_later(mut self) -> Self {
        self.read_later = true;
        self
    }

    /// Bridges that are started here are fronts of one hub; else each serves in its own process.
    pub fn through_hub(mut self) -> Self {
        self.through_hub = true;
        self
    }

    /// A place in the room.
    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.path().to_owned() } else { self.dir.path().join(name) }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The text of a file in the room; empty while it is not there.
    pub fn text(&self, name: &str) -> String {
        std::fs::read(self.path(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The whole lines of a file in the room: what a script's `record` wrote.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = self.text(name);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect()
    }

    /// Waits until a line of the file holds the text, and returns the first such line.
    #[track_caller]
    pub fn wait_for_line(&self, name: &str, text: &str) -> String {
        let what = format!("{name} has a line with {text:?}");
        wait_for(&what, || self.lines(name).into_iter().find(|line| line.contains(text)))
    }

    /// What a script's `record` has of this method.
    pub fn recorded(&self, name: &str, method: &str) -> Vec<Value> {
        let lines = self.lines(name);
        let said = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        said.filter(|line| line["method"] == method).collect()
    }

    /// Waits until a script's `record` has something of this method, and returns the last of it.
    #[track_caller]
    pub fn wait_for_recorded(&self, name: &str, method: &str) -> Value {
        wait_for(&format!("{name} has a line of {method}"), || self.recorded(name, method).pop())
    }

    /// Process ids out of a file that a script's `count` or `fork-deaf` wrote.
    pub fn pids(&self, name: &str) -> Vec<u32> {
        self.text(name).lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// Rows of the record, read-only.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        rows(&self.data(), sql)
    }

    /// The command line with the room's environment, not started: for verbs other than `serve`.
    pub fn command(&self, args: &[&str]) -> Command {
        let words = self.via.iter().map(String::as_str);
        let mut words = words.chain([env!("CARGO_BIN_EXE_bridge")]).chain(args.iter().copied());
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("BRIDGE_DATA_DIR", self.data())
            .env("BRIDGE_CONFIG", self.config_file())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path("home"));
        command
    }

    /// Starts `bridge serve` in the room.
    #[track_caller]
    pub fn start(&self) -> Bridge {
        let mut args = vec!["serve"];
        args.extend((!self.through_hub).then_some("--in-process"));
        args.extend(self.args.iter().map(String::as_str));
        Bridge::start(self.command(&args), &self.wires, self.read_later, Arc::clone(&self.dir))
    }

    /// The same, in another environment: a client may start it anywhere.
    #[track_caller]
    pub fn start_so(&self, change: impl FnOnce(&mut Command)) -> Bridge {
        let mut command = self.command(&["serve"]);
        change(&mut command);
        Bridge::start(command, &self.wires, self.read_later, Arc::clone(&self.dir))
    }

    /// The sockets on which the bridges of this room can be told something.
    pub fn doors(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("data/run")).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "sock")).collect()
    }

    /// Starts a bridge, and waits until it can be told something.
    #[track_caller]
    pub fn start_with_door(&self) -> Bridge {
        let before = self.doors().len();
        let mut bridge = self.start();
        bridge.initialize_with(json!({ "capabilities": { "roots": {} } }));
        wait_until("it can be told something", || self.doors().len() > before);
        bridge
    }

    /// Runs a verb other than `serve`: exit code, stdout, stderr.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// What a verb prints when all is well.
    #[track_caller]
    pub fn said(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(args);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        stdout
    }

    /// A copy of the bridge under this name that says to be of another version, which must be as long as the own one.
    #[track_caller]
    pub fn program_of(&self, name: &str, version: &str) -> PathBuf {
        let marked = |version: &str| format!("this bridge has the version {version}");
        let own = marked(env!("CARGO_PKG_VERSION"));
        let other = marked(version);
        assert_eq!(own.len(), other.len());
        let mut bytes = std::fs::read(env!("CARGO_BIN_EXE_bridge")).unwrap();
        let places: Vec<usize> = memchr::memmem::find_iter(&bytes, &own).collect();
        assert!(!places.is_empty());
        for place in places {
            bytes[place..place + own.len()].copy_from_slice(other.as_bytes());
        }
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    /// The same, by a program that is a copy of the bridge.
    #[track_caller]
    pub fn start_as(&self, program: &Path) -> Bridge {
        let mut command = Command::new(program);
        let usual = self.command(&[]);
        command.arg("serve").env_clear().current_dir(self.path("home"));
        command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Bridge::start(command, &self.wires, self.read_later, Arc::clone(&self.dir))
    }

    /// Starts a fake server alone: what is called a bridge is then that server.
    #[track_caller]
    pub fn fake(&self, script: &[&str]) -> Bridge {
        let mut command = Command::new(fake_server());
        for line in script {
            command.args(["-e", &line.replace("$ROOM", self.path("").to_str().unwrap())]);
        }
        command.env_clear().current_dir(self.path("home"));
        Bridge::start(command, &self.wires, self.read_later, Arc::clone(&self.dir))
    }

    pub(super) fn config_file(&self) -> PathBuf {
        if let Some(file) = &self.config {
            return file.clone();
        }
        let file = self.path("config.toml");
        let text = format!("[settings]\n{}\n{}", self.settings, self.servers);
        // A bridge that was started a moment ago may be reading it.
        if !std::fs::read_to_string(&file).is_ok_and(|there| there == text) {
            std::fs::write(&file, text).unwrap();
        }
        file
    }
}
