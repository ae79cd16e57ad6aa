//! The clients that are installed here: whether each starts this bridge, and what it starts beside it.

use std::path::{Path, PathBuf};

use crate::cli::doctor::finding::{Finding, Level};
use crate::cli::install::program;
use crate::clients::book::{Book, Slot};
use crate::clients::place::Ground;
use crate::clients::{Client, Launch};
use crate::config::server::Server;

/// The largest file of a client that is read.
const BYTES_MAX: u64 = 16 << 20;

/// What an entry of the bridge is compared with.
pub struct Wanted<'a> {
    /// How a client would start this bridge, in these places.
    pub launch: Launch,
    /// The servers of the bridge.
    pub servers: &'a [Server],
}

/// One client's file.
pub struct Seen {
    /// The client.
    pub client: Client,
    /// Its file.
    pub file: PathBuf,
    /// What is in it; nothing while it is not there, or why it cannot be read.
    pub bytes: Result<Option<Vec<u8>>, String>,
}

/// A client that starts a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The client.
    pub client: Client,
    /// The name of the entry, which it counts in when it cuts the names of tools.
    pub entry: String,
}

/// Reads the files of the clients that are installed.
pub fn read(ground: &Ground) -> Vec<Seen> {
    let installed = Client::ALL.into_iter().map(|client| (client, ground.place(client)));
    let installed = installed.filter(|(_, place)| place.folder.exists() || place.file.exists());
    installed.map(|(client, place)| Seen { client, bytes: bytes(&place.file), file: place.file }).collect()
}

fn bytes(file: &Path) -> Result<Option<Vec<u8>>, String> {
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
        Ok(found) if !found.is_file() => return Err("is not a file".to_owned()),
        Ok(found) if found.len() > BYTES_MAX => return Err("is too large to be read".to_owned()),
        Ok(_) => {}
    }
    std::fs::read(file).map(Some).map_err(|error| format!("cannot be read: {error}"))
}

/// What is to be said of the clients, and which of them start a bridge.
pub fn look(seen: &[Seen], wanted: &Wanted<'_>) -> (Vec<Finding>, Vec<Entered>) {
    let (mut findings, mut entered, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for seen in seen {
        let book = seen.bytes.clone().and_then(|bytes| Book::open(seen.client, bytes.as_deref()));
        let book = match book {
            Ok(book) => book,
            Err(why) => {
                let advice = format!(
                    "correct {}; until then the client may see no servers at all",
                    seen.file.display()
                );
                findings.push(Finding::error(
                    "client.file",
                    seen.client.title(),
                    format!("its file {why}"),
                    advice,
                ));
                continue;
            }
        };
        let slots = book.slots();
        let bridges: Vec<&Slot> = slots.iter().filter(|slot| slot.starts(&wanted.launch)).collect();
        match bridges.first() {
            None => without.push(seen.client),
            Some(bridge) => {
                entered.push(Entered { client: seen.client, entry: bridge.name.clone() });
                findings.extend(bridges.iter().map(|bridge| entry(seen, bridge, wanted)));
                findings.extend(twice(seen, &bridges));
            }
        }
        findings.extend(beside(seen, &slots, wanted, !bridges.is_empty()));
    }
    if seen.is_empty() {
        let message = "none of the clients that bridge install knows is installed here";
        let advice = "in any other client write an entry that starts: bridge serve";
        findings.push(Finding::note("client.none", "", message, advice));
    }
    let is_nowhere = entered.is_empty();
    findings.extend(without.into_iter().map(|client| missing(client, is_nowhere)));
    (findings, entered)
}

fn missing(client: Client, is_nowhere: bool) -> Finding {
    let level = if is_nowhere { Level::Warning } else { Level::Note };
    let advice = format!("bridge install {}", client.word());
    Finding::bad("client.missing", level, client.title(), "does not start the bridge", advice)
}

/// What is said of an entry that starts a bridge.
fn entry(seen: &Seen, bridge: &Slot, wanted: &Wanted<'_>) -> Finding {
    let client = seen.client;
    let command = bridge.command().unwrap_or_default();
    let again = format!("bridge install {}", client.word());
    let error = |check, message: String| Finding::error(check, client.title(), message, again.as_str());
    let warning = |check, message: String| Finding::warning(check, client.title(), message, again.as_str());
    let path = Path::new(&command);
    let (own, args) = (Path::new(&wanted.launch.program), wanted.launch.args());
    let finding = if bridge.is_off() {
        let advice = format!("switch it on there (in {})", seen.file.display());
        Finding::warning(
            "client.off",
            client.title(),
            format!("the entry {} is switched off", bridge.name),
            advice,
        )
    } else if !path.is_absolute() {
        warning("client.relative", format!("starts {command:?}, which a desktop's PATH may not find"))
    } else if !path.is_file() {
        error("client.gone", format!("starts {command}, which is not there"))
    } else if !is_same(path, own) {
        warning("client.other", format!("starts another bridge: {command}; this one is {}", own.display()))
    } else if let Some(place) = program::passing(&command) {
        let advice = format!("put it where it stays (cargo install --path .), then {again}");
        Finding::warning(
            "client.place",
            client.title(),
            format!("starts {command}, which lies in {place}"),
            advice,
        )
    } else if bridge.args() != args {
        let words = bridge.args().iter().skip(1).map(|arg| format!(" {arg}")).collect::<String>();
        let message = format!("starts this bridge in other places than those looked at here: serve{words}");
        let advice = format!("bridge doctor{words}");
        Finding::note("client.places", client.title(), message, advice)
    } else {
        Finding::well("client.entry", client.title(), "starts this bridge")
    };
    let finding = finding.with("client", client.word()).with("file", seen.file.display().to_string());
    finding.with("entry", bridge.name.as_str()).with("command", command)
}

fn twice(seen: &Seen, bridges: &[&Slot]) -> Option<Finding> {
    let names: Vec<&str> = bridges.iter().map(|slot| slot.name.as_str()).collect();
    let all = names.join(", ");
    (names.len() > 1).then(|| {
        let message = format!("starts the bridge more than once: {all}");
        let advice = format!("remove all but one of them in {}", seen.file.display());
        Finding::warning("client.twice", seen.client.title(), message, advice)
    })
}

/// Servers that the client starts itself: those that the bridge has too run twice.
fn beside(seen: &Seen, slots: &[Slot], wanted: &Wanted<'_>, has_bridge: bool) -> Vec<Finding> {
    let others = slots.iter().filter(|slot| !slot.starts(&wanted.launch) && !slot.is_off());
    let others: Vec<&str> = others.map(|slot| slot.name.as_str()).collect();
    let is_ours =
        |name: &&str| wanted.servers.iter().any(|server| server.enabled && server.name.as_str() == *name);
    let (doubled, alone): (Vec<&str>, Vec<&str>) = others.into_iter().partition(is_ours);
    let mut findings = Vec::new();
    if has_bridge && !doubled.is_empty() {
        let message = format!("starts {} itself, and the bridge does so too", doubled.join(", "));
        let advice = format!("bridge install {} --move-servers, or remove them there", seen.client.word());
        let finding = Finding::warning("client.doubled", seen.client.title(), message, advice);
        findings.push(finding.with("servers", doubled));
    }
    if has_bridge && !alone.is_empty() {
        let message = format!("starts beside the bridge, unwatched: {}", alone.join(", "));
        let advice = format!("bridge install {} --move-servers", seen.client.word());
        let finding = Finding::note("client.beside", seen.client.title(), message, advice);
        findings.push(finding.with("servers", alone));
    }
    findings
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
