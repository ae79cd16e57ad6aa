//! Adds servers to the text of a configuration; every byte that stands there stays.
//!
//! What is added goes behind the rest, as `[servers.NAME]`: that is right after whatever a file holds, unless
//! its servers are written in one line. Each addition is read back as the bridge will read it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::config::server::Server;
use crate::config::{Loaded, parse};
use crate::names::{SERVER_NAME_CHARS_MAX, ServerName};

/// A server's entry, as it is written. Not `Debug`: it may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// What to execute.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables, in order.
    pub env: Vec<(String, String)>,
    /// The folder to start it in.
    pub cwd: Option<String>,
    /// Whether it may be started.
    pub enabled: bool,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It stands there now, under this name.
    As(String),
    /// It stood there already, under its name.
    Already,
}

/// A configuration that entries are added to. Not `Debug`: it may hold secrets.
#[derive(Clone)]
pub struct Draft {
    file: PathBuf,
    home: Option<PathBuf>,
    text: String,
    /// The slugs of all servers, those with mistakes too.
    taken: Vec<String>,
    sections: Vec<String>,
}

/// More servers of one name are not numbered.
const NUMBER_MAX: u32 = 1000;

impl Draft {
    /// Begins with what stands in a file; without one there is nothing yet.
    ///
    /// # Errors
    /// In words that go on after the file's name: when it is no TOML, or cannot be understood as a whole.
    pub fn open(file: &Path, bytes: Option<&[u8]>) -> Result<Self, String> {
        let bytes = bytes.unwrap_or_default();
        if super::is_json(file, &String::from_utf8_lossy(bytes)) {
            return Err(
                "is JSON: servers are added to TOML only, name a config.toml with --config".to_owned()
            );
        }
        let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
        let loaded = parse(file, home.clone(), bytes);
        if loaded.broken.file {
            let first = loaded.mistakes.first().map(place_and_words).unwrap_or_default();
            return Err(format!("cannot be understood, repair it first: {first}"));
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let taken = slugs(&loaded);
        Ok(Self { file: file.to_owned(), home, text, taken, sections: Vec::new() })
    }

    /// Adds an entry under its name, or one with a number if another server has that.
    ///
    /// # Errors
    /// In words that go on after "it": why the bridge cannot have such a server.
    pub fn add(&mut self, name: &str, entry: &Entry) -> Result<Added, String> {
        let added = self.read(&section(name, entry))?;
        if self.servers().iter().any(|server| is_same(server, &added)) {
            return Ok(Added::Already);
        }
        let name = self.free_name(&added.name)?;
        let section = section(&name, entry);
        let text = self.with(&section);
        let loaded = parse(&self.file, self.home.clone(), text.as_bytes());
        if !loaded.config.servers.iter().any(|server| server.name.as_str() == name) {
            return Err(
                "cannot stand behind what is in the configuration: write servers there as [servers.NAME]"
                    .into(),
            );
        }
        (self.text, self.taken) = (text, slugs(&loaded));
        self.sections.push(section);
        Ok(Added::As(name))
    }

    /// The text with everything that was added.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What was added, in order, as it stands in the text; each may hold secrets.
    #[must_use]
    pub fn sections(&self) -> Vec<String> {
        let end = self.line_end();
        self.sections.iter().map(|section| section.replace('\n', end)).collect()
    }

    /// An entry alone, as the bridge will read it.
    fn read(&self, section: &str) -> Result<Server, String> {
        let mut loaded = parse(&self.file, self.home.clone(), section.as_bytes());
        match (loaded.config.servers.pop(), loaded.mistakes.first().or(loaded.notes.first())) {
            (Some(server), None) => Ok(server),
            (_, Some(mistake)) => {
                // `servers.NAME.` stands before each path.
                let path = mistake.path.rsplit_once('.').map_or("", |(_, key)| key);
                let of_entry = ["command", "cwd"].contains(&path) || path.starts_with("args");
                Err(if of_entry {
                    format!("has a problem in {path}: {}", mistake.what)
                } else {
                    problem(&mistake.what)
                })
            }
            (_, None) => Err(problem("it is left out")),
        }
    }

    fn servers(&self) -> Vec<Server> {
        parse(&self.file, self.home.clone(), self.text.as_bytes()).config.servers
    }

    /// The name itself, or `NAME-2` and so on. `bridge` is nobody's: the bridge's own tools begin with it.
    fn free_name(&self, name: &ServerName) -> Result<String, String> {
        let is_free = |name: &ServerName| name.slug() != "bridge" && !self.taken.contains(&name.slug());
        if is_free(name) {
            return Ok(name.as_str().to_owned());
        }
        let numbered = (2..=NUMBER_MAX).filter_map(|number| {
            let end = format!("-{number}");
            let head: String = name.as_str().chars().take(SERVER_NAME_CHARS_MAX - end.len()).collect();
            ServerName::parse(&format!("{head}{end}")).ok()
        });
        let free = numbered.into_iter().find(is_free).map(|name| name.as_str().to_owned());
        free.ok_or_else(|| "has a name that too many servers have".to_owned())
    }

    /// The text with one more section, behind an empty line, with the line ends that the text has.
    fn with(&self, section: &str) -> String {
        let end = self.line_end();
        let mut text = self.text.clone();
        if !text.trim_start_matches('\u{feff}').is_empty() {
            text.push_str(&end.repeat(if text.ends_with('\n') { 1 } else { 2 }));
        }
        text.push_str(&section.replace('\n', end));
        text
    }

    fn line_end(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }
}

fn problem(what: &str) -> String {
    format!("has a problem: {what}")
}

fn place_and_words(mistake: &super::mistake::Mistake) -> String {
    let line = mistake.place.map(|place| format!("line {}: ", place.line)).unwrap_or_default();
    format!("{line}{}", mistake.what)
}

fn slugs(loaded: &Loaded) -> Vec<String> {
    let right = loaded.config.servers.iter().map(|server| server.name.slug());
    right.chain(loaded.broken.servers.iter().map(|(_, name)| name.slug())).collect()
}

/// Whether two entries start the same under the same name.
fn is_same(one: &Server, other: &Server) -> bool {
    let parts = |server: &Server| {
        let mut env = server.env.clone();
        env.sort_by(|(one, _), (other, _)| one.cmp(other));
        (
            server.name.clone(),
            server.command.clone(),
            server.args.clone(),
            env,
            server.cwd.clone(),
            server.enabled,
        )
    };
    parts(one) == parts(other)
}

/// A section as the bridge reads it.
#[must_use]
pub fn section(name: &str, entry: &Entry) -> String {
    let mut text = format!("[servers.{}]\ncommand = {}\n", key(name), quoted(&entry.command));
    let list = |items: &[String]| items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ");
    if !entry.args.is_empty() {
        let _ = writeln!(text, "args = [{}]", list(&entry.args));
    }
    if !entry.env.is_empty() {
        let members: Vec<String> =
            entry.env.iter().map(|(name, value)| format!("{} = {}", key(name), quoted(value))).collect();
        let _ = writeln!(text, "env = {{ {} }}", members.join(", "));
    }
    if let Some(cwd) = &entry.cwd {
        let _ = writeln!(text, "cwd = {}", quoted(cwd));
    }
    if !entry.enabled {
        text.push_str("enabled = false\n");
    }
    text
}

/// A key, in quotes where it needs them (TOML 1.0, "Keys").
fn key(text: &str) -> String {
    let is_bare =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { text.to_owned() } else { quoted(text) }
}

/// A text in one line: what JSON escapes TOML reads alike, and DEL besides.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(command: &str) -> Entry {
        Entry { command: command.to_owned(), args: Vec::new(), env: Vec::new(), cwd: None, enabled: true }
    }

    fn draft(text: &str) -> Draft {
        Draft::open(Path::new("/c/config.toml"), Some(text.as_bytes())).unwrap_or_else(|bad| panic!("{bad}"))
    }

    #[test]
    fn an_entry_goes_behind_what_is_there() {
        let before = "# mine\n[servers.time] # here\ncommand = 'uvx'\n\n[settings]\nhang_after = 4";
        let mut draft = draft(before);
        let full = Entry {
            args: vec!["-y".into(), "a \"b\"\n\u{7f}".into()],
            env: vec![("TOKEN".into(), "${env:T}".into()), ("A B".into(), "ü".into())],
            cwd: Some("~/work".into()),
            enabled: false,
            ..entry("npx")
        };
        assert_eq!(draft.add("my server", &full), Ok(Added::As("my server".into())));
        assert_eq!(draft.add("my server", &full), Ok(Added::Already));
        let added = draft.text().strip_prefix(before).unwrap();
        insta::assert_snapshot!(added, @r#"
        [servers."my server"]
        command = "npx"
        args = ["-y", "a \"b\"\n\u007f"]
        env = { TOKEN = "${env:T}", "A B" = "ü" }
        cwd = "~/work"
        enabled = false
        "#);
        assert_eq!(draft.sections().concat(), added.trim_start());
    }

    #[test]
    fn names_that_meet_are_numbered() {
        let mut draft = draft("[servers.\"a b\"]\ncommand = \"x\"\n[servers.bad]\ncommand = 1\n");
        assert_eq!(draft.add("a_b", &entry("y")), Ok(Added::As("a_b-2".into())));
        assert_eq!(draft.add("a_b", &entry("z")), Ok(Added::As("a_b-3".into())));
        assert_eq!(draft.add("bad", &entry("z")), Ok(Added::As("bad-2".into())));
        assert_eq!(draft.add("bridge", &entry("z")), Ok(Added::As("bridge-2".into())));
        let long = "x".repeat(SERVER_NAME_CHARS_MAX);
        assert_eq!(draft.add(&long, &entry("1")), Ok(Added::As(long.clone())));
        assert_eq!(draft.add(&long, &entry("2")), Ok(Added::As(format!("{}-2", &long[2..]))));
    }

    #[test]
    fn line_ends_stay_what_they_are() {
        let mut draft = draft("\u{feff}[settings]\r\nhang_after = 4\r\n");
        draft.add("a", &entry("x")).unwrap();
        assert_eq!(
            draft.text(),
            "\u{feff}[settings]\r\nhang_after = 4\r\n\r\n[servers.a]\r\ncommand = \"x\"\r\n"
        );
    }

    #[test]
    fn what_the_bridge_could_not_read_is_refused_in_words() {
        let mut draft = draft("servers = { a = { command = \"x\" } }");
        let refused = |result: Result<Added, String>| result.unwrap_err();
        insta::assert_snapshot!(refused(draft.add("b", &entry("x"))), @"cannot stand behind what is in the configuration: write servers there as [servers.NAME]");
        insta::assert_snapshot!(refused(draft.add("日本", &entry("x"))), @"has a problem: a server's name needs a letter or a digit (a-z, 0-9)");
        insta::assert_snapshot!(refused(draft.add("b", &entry("${HOME}/x"))), @"has a problem in command: variables are not expanded here, write the path itself, or begin it with ~/");
        let asks = Entry { args: vec!["${input:key}".into()], ..entry("x") };
        insta::assert_snapshot!(refused(draft.add("b", &asks)), @"has a problem in args[0]: only ${env:NAME} can be referred to, write $${ for a plain ${");
        let open = |file: &str, text: &str| {
            Draft::open(Path::new(file), Some(text.as_bytes())).map(|_| ()).unwrap_err()
        };
        insta::assert_snapshot!(open("/c/mcp.json", "{}"), @"is JSON: servers are added to TOML only, name a config.toml with --config");
        insta::assert_snapshot!(open("/c/config.toml", "[servers"), @"cannot be understood, repair it first: line 1: not valid TOML: unclosed table, expected `]`");
    }
}
