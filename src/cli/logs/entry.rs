//! One line of the stream, and which lines somebody wants to see.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::cli::logs::Args;
use crate::cli::server;
use crate::config;
use crate::config::mistake::suggestion;
use crate::names::ServerName;
use crate::paths::{Paths, log_stem};
use crate::store::read::Reader;

/// A longer name of a source pushes its own lines to the right, and no others.
const SOURCE_CHARS_MAX: usize = 16;

/// Sessions of which one may be meant.
const SESSIONS_LOOKED_AT: u32 = 10_000;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Whether that is only when its file was written last.
    pub about: bool,
    /// Who says it, or of whom it is said: `hub`, or a server's name.
    pub source: String,
    /// What, without control characters.
    pub text: String,
}

/// What somebody wants to see.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only of this server.
    pub server: Option<String>,
    /// Only of sessions whose ids begin like this.
    pub session: Option<String>,
    /// Only what came then or later, Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Every server that is known by name.
    pub known: Vec<String>,
}

impl Wanted {
    /// What the arguments say.
    ///
    /// # Errors
    /// When the server or the session they name is not known.
    pub fn of(args: &Args, since_ms: Option<i64>, paths: &Paths) -> anyhow::Result<Self> {
        let known = known(paths);
        if let Some(server) = args.server.as_ref().filter(|server| !known.contains(server)) {
            server::check_whole(&config::load(paths.config_file.as_deref()))?;
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            let meant = suggestion(server, &names).map(|name| format!(", did you mean {name:?}?"));
            let others = || match names.as_slice() {
                [] => ": no server is known yet".to_owned(),
                names => format!(", known are {}", names.join(", ")),
            };
            anyhow::bail!("There is no server {server:?}{}", meant.unwrap_or_else(others));
        }
        if let Some(session) = &args.session {
            check_session(session, &paths.data_dir)?;
        }
        Ok(Self { server: args.server.clone(), session: args.session.clone(), since_ms, known })
    }
}

/// Servers of the configuration, and those that anything ever happened to.
fn known(paths: &Paths) -> Vec<String> {
    let loaded = config::load(paths.config_file.as_deref());
    let mut known: Vec<String> = loaded.config.servers.iter().map(|server| server.name.to_string()).collect();
    known.extend(loaded.broken.servers.iter().map(|(_, name)| name.to_string()));
    // Without a record there are just fewer names.
    if let Ok(Some(reader)) = Reader::open(&paths.data_dir) {
        known.extend(reader.server_names().unwrap_or_default());
    }
    known.sort();
    known.dedup();
    known
}

fn check_session(session: &str, data_dir: &Path) -> anyhow::Result<()> {
    let reader = Reader::open(data_dir)?;
    let rows = reader.map(|reader| reader.sessions(SESSIONS_LOOKED_AT)).transpose()?.unwrap_or_default();
    if session.is_empty() || !rows.iter().any(|row| row.id.starts_with(session)) {
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let meant = suggestion(session, &ids).map(|id| format!(", did you mean {id}?"));
        anyhow::bail!(
            "There is no session {session:?} in the record{}",
            meant.unwrap_or_else(|| "; bridge sessions names them".to_owned())
        );
    }
    Ok(())
}

/// How lines are laid out.
#[derive(Debug)]
pub struct Screen {
    zone: TimeZone,
    day: Option<Date>,
    width: usize,
}

impl Screen {
    /// In the time of this machine.
    pub fn new(wanted: &Wanted) -> Self {
        let shown =
            wanted.known.iter().filter(|name| wanted.server.as_ref().is_none_or(|only| only == *name));
        let widest = shown.map(|name| name.chars().count()).filter(|width| *width <= SOURCE_CHARS_MAX);
        Self { zone: TimeZone::system(), day: None, width: widest.max().unwrap_or(0).max("hub".len()) }
    }

    /// The line of an entry with its end, after one for the day if that is another one.
    pub fn line(&mut self, entry: &Entry) -> String {
        let at = Timestamp::from_millisecond(entry.at_ms).unwrap_or_default().to_zoned(self.zone.clone());
        let mut text = String::new();
        if self.day.replace(at.date()) != Some(at.date()) {
            text = format!("--- {} ({})\n", at.strftime("%a %Y-%m-%d"), at.strftime("%Z"));
        }
        let (time, width) = (at.strftime("%H:%M:%S%.3f"), self.width);
        let mark = if entry.about { "~" } else { " " };
        text + &format!("{time}{mark} {:width$}  {}\n", entry.source, entry.text)
    }
}

/// The name of a server whose log file is called like this.
pub fn server_of(stem: &str, known: &[String]) -> String {
    let is_its = |name: &&String| ServerName::parse(name).is_ok_and(|name| log_stem(&name) == stem);
    known.iter().find(is_its).map_or_else(|| stem.to_owned(), Clone::clone)
}
