//! Adds servers to the text of a configuration, takes them out and switches them; every other byte stays.
//!
//! What is added goes behind the rest, as `[servers.NAME]`: that is right after whatever a file holds, unless
//! its servers are written in braces, where it goes into these. Each change is read back as the bridge will read it.

mod cut;
pub mod entry;

use std::path::{Path, PathBuf};

use crate::config::edit::cut::Cutter;
use crate::config::edit::entry::{Address, Entry, Keys, key, keys, keys_of_address, lines, section};
use crate::config::mistake::suggestion;
use crate::config::server::{IS_BRIDGE, Server};
use crate::config::{Loaded, parse};
use crate::names::{SERVER_NAME_CHARS_MAX, ServerName};

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

/// Why an entry cannot be changed.
const FORM: &str = "stands there in a form that is not edited here: change it by hand";

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
            return Err("is JSON: only TOML is edited, name a config.toml with --config".to_owned());
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
        if self.loaded().config.servers.iter().any(|server| is_same(server, &added)) {
            return Ok(Added::Already);
        }
        let name = self.free_name(&added.name)?;
        self.append(&name, &keys(entry))?;
        Ok(Added::As(name))
    }

    /// Adds an entry under a name that no server has.
    ///
    /// # Errors
    /// In words that go on after "it": why the bridge cannot have such a server.
    pub fn insert(&mut self, name: &ServerName, entry: &Entry) -> Result<(), String> {
        self.read(&section(name.as_str(), entry))?;
        self.put(name.as_str(), &keys(entry))
    }

    /// Adds the entry of a server behind an address under a name that no server has.
    ///
    /// # Errors
    /// As [`Draft::insert`].
    pub fn insert_address(&mut self, name: &ServerName, address: &Address) -> Result<(), String> {
        let alone = lines(name.as_str(), &keys_of_address(address));
        let alone = parse(&self.file, self.home.clone(), alone.as_bytes());
        alone.mistakes.first().map_or(Ok(()), |mistake| Err(problem(&mistake.what)))?;
        self.put(name.as_str(), &keys_of_address(address))
    }

    /// Whether a server of the file has this name, or one that its tools could not be told from.
    #[must_use]
    pub fn is_taken(&self, name: &ServerName) -> bool {
        self.taken.contains(&name.slug())
    }

    /// The names of all servers, those with mistakes too, in the file's order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        Cutter::new(self.bare()).map(|cutter| cutter.names()).unwrap_or_default()
    }

    /// The server that was probably meant by a name that no server has.
    #[must_use]
    pub fn meant(&self, name: &str) -> Option<String> {
        let names = self.names();
        suggestion(name, &names.iter().map(String::as_str).collect::<Vec<_>>()).map(str::to_owned)
    }

    /// Takes an entry out.
    ///
    /// # Errors
    /// In words that go on after "it": when it stands in a form that is not edited here.
    pub fn remove(&mut self, name: &str) -> Result<(), String> {
        let text = Cutter::new(self.bare()).and_then(|cutter| cutter.without(name)).ok_or(FORM)?;
        let is_gone = |draft: &Self| !draft.names().iter().any(|other| other == name);
        self.change(text, name, is_gone)
    }

    /// Switches an entry on or off; false if it is so already.
    ///
    /// # Errors
    /// As [`Draft::remove`].
    pub fn switch(&mut self, name: &str, on: bool) -> Result<bool, String> {
        let text = Cutter::new(self.bare()).and_then(|cutter| cutter.switched(name, on)).ok_or(FORM)?;
        if text == self.bare() {
            return Ok(false);
        }
        self.change(text, name, |draft| draft.names().iter().any(|other| other == name))?;
        Ok(true)
    }

    /// Adds keys under a name, behind the rest.
    fn append(&mut self, name: &str, keys: &Keys) -> Result<(), String> {
        let text = self.with(&lines(name, keys));
        let is_there = |draft: &Self| draft.has(name);
        self.change(text, name, is_there).map_err(|_| {
            "cannot stand behind what is in the configuration: write servers there as [servers.NAME]"
                .to_owned()
        })?;
        self.sections.push(lines(name, keys));
        Ok(())
    }

    /// The same, in the braces where servers are written in these.
    fn put(&mut self, name: &str, keys: &Keys) -> Result<(), String> {
        let members: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let member = format!("{} = {{ {} }}", key(name), members.join(", "));
        match Cutter::new(self.bare()).and_then(|cutter| cutter.with_entry(&member)) {
            Some(text) => self.change(text, name, |draft| draft.has(name)),
            None => self.append(name, keys),
        }
    }

    /// Takes another text, without its byte order mark, if it changes nothing but what it should.
    fn change(&mut self, text: String, name: &str, is_right: impl Fn(&Self) -> bool) -> Result<(), String> {
        let mark = self.text.strip_suffix(self.bare()).unwrap_or_default();
        let mut new = Self { text: format!("{mark}{text}"), ..self.clone() };
        let (before, after) = (self.loaded(), new.loaded());
        let others = |loaded: &Loaded| {
            let others = loaded.config.servers.iter().filter(|server| server.name.as_str() != name);
            others.cloned().collect::<Vec<_>>()
        };
        let (old, now) = (others(&before), others(&after));
        let is_whole = !after.broken.file && old.iter().all(|server| now.contains(server));
        let is_same =
            before.config.settings == after.config.settings && before.config.clients == after.config.clients;
        if !is_whole || !is_same || !is_right(&new) {
            return Err(FORM.to_owned());
        }
        new.taken = slugs(&after);
        *self = new;
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        let config = self.loaded().config;
        config.servers.iter().any(|server| server.name.as_str() == name)
            || config.remotes.iter().any(|remote| remote.name.as_str() == name)
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

    /// The text without its byte order mark.
    fn bare(&self) -> &str {
        self.text.strip_prefix('\u{feff}').unwrap_or(&self.text)
    }

    fn loaded(&self) -> Loaded {
        parse(&self.file, self.home.clone(), self.text.as_bytes())
    }

    /// An entry alone, as the bridge will read it.
    fn read(&self, section: &str) -> Result<Server, String> {
        let mut loaded = parse(&self.file, self.home.clone(), section.as_bytes());
        let server = loaded.config.servers.pop();
        // Without a mistake only this is left out, and a note says so.
        let note = loaded.notes.first().filter(|_| server.is_some());
        match (server, loaded.mistakes.first().or(note)) {
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
            (_, None) => Err(IS_BRIDGE.to_owned()),
        }
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
        let mut text = self.bare().to_owned();
        if !text.is_empty() {
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
    let right = right.chain(loaded.config.remotes.iter().map(|remote| remote.name.slug()));
    right.chain(loaded.broken.servers.iter().map(|(_, name)| name.slug())).collect()
}

/// Whether an entry says all that is to be said of a server.
#[must_use]
pub fn is_all_of(entry: &Entry, server: &Server) -> bool {
    let alone = section(server.name.as_str(), entry);
    parse(Path::new("config.toml"), None, alone.as_bytes()).config.servers.contains(server)
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
            server.scope,
            server.enabled,
        )
    };
    parts(one) == parts(other)
}

#[cfg(test)]
mod tests;
