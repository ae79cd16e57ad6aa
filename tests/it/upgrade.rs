//! Hubs that end in peace: stopped, by a signal, or because another program takes their place.

mod bad;
mod load;
mod stopped;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::front::{Hubs, echo, is_ok};
use crate::support::{Room, wait_until};

/// What a verb prints that was to go well.
#[track_caller]
fn does(room: &Room, args: &[&str]) -> String {
    let (code, stdout, stderr) = room.run(args);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}\n{}", room.text("data/logs/hub.log"));
    stdout
}

/// The hub as it says who it is.
#[track_caller]
fn hub(room: &Room) -> Value {
    let all: Value = serde_json::from_str(&does(room, &["status", "--json"])).unwrap();
    all.as_array().unwrap().iter().find_map(|each| each.get("hub").cloned()).unwrap_or_default()
}

/// A copy of the bridge of the same version.
fn copy(room: &Room, name: &str) -> PathBuf {
    let path = room.path(name);
    std::fs::copy(env!("CARGO_BIN_EXE_bridge"), &path).unwrap();
    runs(&path);
    path
}

/// Waits until nobody has a new program open for writing: a process that another test starts may hold it a while.
fn runs(program: &Path) {
    wait_until("it can be run", || Command::new(program).arg("--version").output().is_ok());
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn another_program_takes_over_and_no_client_notices() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "before");
    let (old, program) = (hubs.pid(), copy(&room, "other"));
    let said = does(&room, &["upgrade", text(&program)]);
    let new = hubs.pid();
    assert!(
        said.contains(&format!("hub {new} ")) && said.contains(&format!("in place of hub {old} ")),
        "{said}"
    );
    is_ok(&mut bridge, "after");
    assert_eq!(hub(&room)["program"], text(&program));
    // Hubs are started from it from now on.
    hubs.kill();
    is_ok(&mut bridge, "after its death");
    assert_eq!(hub(&room)["program"], text(&program));
    assert_eq!(bridge.said_so_far(), Vec::<Value>::new());
}

#[test]
fn without_a_hub_an_upgrade_starts_one() {
    let room = echo();
    let hubs = Hubs(&room);
    let said = does(&room, &["upgrade"]);
    assert!(
        said.contains(&format!("hub {} (version {}) serves\n", hubs.pid(), env!("CARGO_PKG_VERSION"))),
        "{said}"
    );
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "x");
}

#[test]
fn a_newer_front_brings_its_hub_and_the_older_front_goes_on() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut older = room.start();
    older.initialize();
    is_ok(&mut older, "first");
    let old = hubs.pid();
    let program = room.program_of("newer", "0.9.0");
    // Several at once are one succession.
    let mut newer = [room.start_as(&program), room.start_as(&program)];
    wait_until("the newer program serves", || hub(&room)["version"] == "0.9.0");
    assert_ne!(hubs.pid(), old);
    for bridge in &mut newer {
        bridge.initialize();
        is_ok(bridge, "newer");
    }
    is_ok(&mut older, "second");
    assert_eq!(room.text("data/logs/hub.log").matches("hub serving").count(), 2);
    // The older front starts it too.
    drop(newer);
    hubs.kill();
    is_ok(&mut older, "third");
    assert_eq!(hub(&room)["version"], "0.9.0");
}

#[test]
fn of_two_upgrades_at_once_none_breaks_anything() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize();
    is_ok(&mut bridge, "before");
    let (old, program) = (hubs.pid(), copy(&room, "other"));
    let start = |_| {
        room.command(&["upgrade", text(&program)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both: Vec<Child> = (0..2).map(start).collect();
    let both: Vec<_> = both.into_iter().map(|run| run.wait_with_output().unwrap()).collect();
    assert!(both.iter().any(|run| run.status.success()), "{both:?}");
    assert_ne!(hubs.pid(), old);
    is_ok(&mut bridge, "after");
}

#[test]
fn the_status_shows_the_hub_its_fronts_and_a_hold() {
    let room = echo();
    let hubs = Hubs(&room);
    let mut bridge = room.start();
    bridge.initialize_by("claude-code");
    is_ok(&mut bridge, "x");
    let (version, status) = (env!("CARGO_PKG_VERSION"), || does(&room, &["status"]));
    assert!(
        status().starts_with(&format!("hub {}  version {version}, started ", hubs.pid())),
        "{}",
        status()
    );
    let front = format!("  front {}  claude-code 1, version {version}, attached ", bridge.pid());
    wait_until("the front and its client are shown", || status().contains(&front));
    does(&room, &["stop", "--hold"]);
    let shown = does(&room, &["status"]);
    assert!(shown.contains("bridge start"), "{shown}");
}

/// Says bytes to a hub, and hands over the end of a pipe with the first of them.
fn send_with(stream: &std::os::unix::net::UnixStream, bytes: &[u8], end: &std::io::PipeWriter) {
    use std::os::fd::AsFd;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let ends = [end.as_fd()];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&ends)));
    let sent =
        rustix::net::sendmsg(stream, &[std::io::IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL);
    assert_eq!(sent.unwrap(), bytes.len());
}
