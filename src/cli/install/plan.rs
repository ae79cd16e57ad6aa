//! What `bridge install` would do: found out first, shown, and done only then.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::install::record::What;
use crate::cli::mover::{self, Mover};
use crate::cli::words;
use crate::clients::book::{Book, Put};
use crate::clients::place::{Ground, Place};
use crate::clients::{Client, ENTRY, Launch, config_in, masked, taken};
use crate::config::edit::Added;
use crate::files::{self, Found};

/// What somebody wants.
pub struct Wish {
    /// For which clients, in order.
    pub clients: Vec<Client>,
    /// Whether they were named: one that is not installed is then a fault.
    pub are_named: bool,
    /// Whether servers move into the bridge's configuration.
    pub moves: bool,
    /// How the bridge is to be started.
    pub launch: Launch,
    /// Where clients keep their files.
    pub ground: Ground,
    /// The bridge's configuration; it may be missing.
    pub config: PathBuf,
}

/// What would be done.
pub struct Plan {
    /// For each client.
    pub parts: Vec<Part>,
    /// To the bridge's configuration, if anything.
    pub own: Option<Change>,
}

/// What would be done for a client.
pub struct Part {
    /// The client.
    pub client: Client,
    /// Its file.
    pub file: PathBuf,
    /// What is said of it.
    pub words: Vec<String>,
    /// What would be done, or why nothing can be.
    pub outlook: Outlook,
}

/// What becomes of a client's file.
pub enum Outlook {
    /// The client is not here.
    Absent,
    /// It stays: nothing is missing.
    Ready,
    /// It stays, for a reason that goes on after "it".
    Fault(String),
    /// It changes.
    Change(Box<Change>),
}

/// A file that changes.
pub struct Change {
    /// What is there.
    pub found: Found,
    /// What will be there.
    pub bytes: Vec<u8>,
    /// For the record.
    pub what: What,
    /// As it is shown: what is there, and what will be.
    shown: [String; 2],
}

/// How it begins what is said of a server that stays.
const LEAVES: &str = "leaves ";

/// So many lines around a change are shown.
const AROUND: usize = 3;

impl Plan {
    /// Looks at all files; touches nothing.
    ///
    /// # Errors
    /// When servers are to move and the bridge's configuration cannot take any.
    pub fn make(wish: &Wish) -> anyhow::Result<Self> {
        let mut mover = if wish.moves { Some(open(wish)?) } else { None };
        let parts = wish.clients.iter().map(|client| part(wish, *client, &mut mover)).collect();
        Ok(Self { parts, own: mover.and_then(own_change) })
    }

    /// Whether anything would be written.
    pub fn changes(&self) -> usize {
        let of_clients = self.parts.iter().filter(|part| matches!(part.outlook, Outlook::Change(_))).count();
        of_clients + usize::from(self.own.is_some())
    }

    /// Whether the same would be done, whatever else became of the files.
    pub fn is_same(&self, other: &Self) -> bool {
        let done = |plan: &Self| {
            let all = plan.parts.iter().map(|part| match &part.outlook {
                Outlook::Change(change) => (part.words.clone(), Some(change.what.clone())),
                _ => (part.words.clone(), None),
            });
            (all.collect::<Vec<_>>(), plan.own.as_ref().map(|own| own.what.clone()))
        };
        done(self) == done(other)
    }

    /// The clients whose files stay as they are although something was wanted.
    pub fn faults(&self) -> Vec<&'static str> {
        let faults = self.parts.iter().filter(|part| matches!(part.outlook, Outlook::Fault(_)));
        faults.map(|part| part.client.title()).collect()
    }

    /// Shows all of it, without secrets.
    ///
    /// # Errors
    /// When nobody reads.
    pub fn show(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        self.parts.iter().try_for_each(|part| part.show(out))?;
        let changes = self.parts.iter().filter_map(|part| match &part.outlook {
            Outlook::Change(change) => Some(&**change),
            _ => None,
        });
        self.own.iter().chain(changes).try_for_each(|change| change.show(out))
    }
}

impl Part {
    fn show(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let (title, file) = (self.client.title(), self.file.display());
        let (head, last) = match &self.outlook {
            Outlook::Absent => (format!("{title}: not installed here"), None),
            Outlook::Ready => (format!("{title}: nothing to do"), None),
            Outlook::Fault(why) => (format!("{title}: {file}"), Some(format!("stays as it is: it {why}"))),
            Outlook::Change(_) => (format!("{title}: {file}"), None),
        };
        words::say(out, &head)?;
        for line in self.words.iter().chain(&last) {
            let line = words::wrapped(line, words::screen_columns().saturating_sub(2)).replace('\n', "\n  ");
            words::say(out, &format!("  {line}"))?;
        }
        Ok(())
    }
}

impl Change {
    fn show(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        // Of our own configuration only what is new is shown.
        let around = if matches!(self.what, What::Own { .. }) { 0 } else { AROUND };
        mover::show(&self.found.path, &self.shown, around, out)
    }
}

fn open(wish: &Wish) -> anyhow::Result<Mover> {
    Mover::open(&wish.config).map_err(|why| anyhow::anyhow!("no server can be moved: {why}"))
}

fn own_change(mover: Mover) -> Option<Change> {
    let sections = mover.draft.sections();
    if sections.is_empty() {
        return None;
    }
    let shown = mover.shown();
    let bytes = mover.draft.text().as_bytes().to_owned();
    Some(Change { found: mover.found, bytes, what: What::Own { sections }, shown })
}

fn part(wish: &Wish, client: Client, mover: &mut Option<Mover>) -> Part {
    let Place { file, folder } = wish.ground.place(client);
    let mut words = Vec::new();
    let is_here = file.symlink_metadata().is_ok() || folder.is_dir();
    let outlook = match (is_here, wish.are_named) {
        (true, _) => {
            // What a client that stays as it is would have moved is not moved.
            let mut trial = mover.clone();
            match outlook(wish, client, &file, &mut trial, &mut words) {
                Ok(outlook) => {
                    *mover = trial;
                    outlook
                }
                Err(why) => {
                    words.retain(|words| words.starts_with(LEAVES));
                    Outlook::Fault(why)
                }
            }
        }
        (false, true) => {
            Outlook::Fault(format!("is not there, and neither is {}: is it installed?", folder.display()))
        }
        (false, false) => Outlook::Absent,
    };
    Part { client, file, words, outlook }
}

fn outlook(
    wish: &Wish,
    client: Client,
    file: &std::path::Path,
    mover: &mut Option<Mover>,
    words: &mut Vec<String>,
) -> Result<Outlook, String> {
    let found = files::find(file).map_err(|bad| bad.to_string())?;
    let book = Book::open(client, found.bytes.as_deref())?;
    let moved = match mover {
        Some(mover) => take_over(wish, client, &book, mover, words)?,
        None => Vec::new(),
    };
    // The others go last: how the map is written is seen by them.
    let (of_its_name, others): (Vec<_>, Vec<_>) = moved.iter().partition(|name| *name == ENTRY);
    of_its_name.into_iter().for_each(|name| book.remove(name));
    let put = book.put(&wish.launch)?;
    others.into_iter().for_each(|name| book.remove(name));
    words.extend(said(&put, wish, &book));
    if moved.is_empty() && matches!(put, Put::Ready(_)) {
        return Ok(Outlook::Ready);
    }
    let bytes = book.bytes();
    let shown = [found.bytes.as_deref().unwrap_or_default(), &bytes]
        .map(|bytes| masked::text(client, &String::from_utf8_lossy(bytes)).replace('\r', ""));
    let entry = put.name().to_owned();
    let print = book.print(&entry);
    let what =
        What::Client { client: client.word().to_owned(), entry, print, moved: moved.into_iter().collect() };
    Ok(Outlook::Change(Box::new(Change { found, bytes, what, shown })))
}

/// Takes over what can be moved, and names it and the rest. Gives the names of those that go.
fn take_over(
    wish: &Wish,
    client: Client,
    book: &Book,
    mover: &mut Mover,
    words: &mut Vec<String>,
) -> Result<Vec<String>, String> {
    let mut moved = Vec::new();
    for slot in book.slots() {
        if slot.starts(&wish.launch) {
            let says = config_in(&slot.args()).filter(|_| wish.launch.config.is_none());
            if let Some(says) = says.filter(|says| *says != wish.config) {
                return Err(format!(
                    "has an entry that starts the bridge with {0}: say --config {0} to move servers there",
                    says.display()
                ));
            }
            continue;
        }
        let name = &slot.name;
        let shown = words::plain(name);
        let taken =
            taken::take(client, &slot).and_then(|taken| Ok((mover.add(name, &taken.entry)?, taken.dropped)));
        match taken {
            Ok((added, dropped)) => {
                let to = match added {
                    Added::Already => " (the bridge has it already)".to_owned(),
                    Added::As(new) if new != *name => format!(" as {new} (the bridge has another {shown})"),
                    Added::As(_) => String::new(),
                };
                let without = if dropped.is_empty() {
                    String::new()
                } else {
                    format!(" without its {}", dropped.join(", "))
                };
                words.push(format!("moves {shown}{to}{without}"));
                moved.push(name.clone());
            }
            Err(why) => words.push(format!("{LEAVES}{shown}: it {why}")),
        }
    }
    Ok(moved)
}

/// What is said of the bridge's entry.
fn said(put: &Put, wish: &Wish, book: &Book) -> Vec<String> {
    let name = put.name();
    let mut words = match put {
        Put::Ready(_) => Vec::new(),
        Put::Changed(_) => vec![format!("changes the entry {name}, so that it starts this bridge")],
        Put::Added(_) => vec![format!("adds the entry {ENTRY}")],
    };
    for slot in book.slots() {
        if slot.name == name && slot.is_off() {
            words.push(format!("note: the entry {name} is switched off there"));
        } else if slot.name != name && slot.starts(&wish.launch) {
            words.push(format!("note: the entry {} starts a bridge too, remove one of them", slot.name));
        }
    }
    words
}
