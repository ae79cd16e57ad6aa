//! `bridge top` and `bridge status --watch` on a terminal: what they take they give back.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use serde_json::json;

use crate::support::{Room, send_signal, wait_until};

/// A verb on a terminal of its own.
struct Screen {
    child: Child,
    terminal: OwnedFd,
    before: Termios,
    keys: File,
    drawn: Arc<Mutex<Vec<u8>>>,
    size: (u16, u16),
}

/// Our end of a new terminal, and the other one.
fn terminal((columns, rows): (u16, u16)) -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    // Whoever is started on the other end would hold this one.
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OwnedFd::from(File::options().read(true).write(true).open(name).unwrap());
    tcsetwinsize(&terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (File::from(ours), terminal)
}

impl Screen {
    #[track_caller]
    fn start(room: &Room, args: &[&str], (columns, rows): (u16, u16)) -> Self {
        let (keys, terminal) = terminal((columns, rows));
        let before = tcgetattr(&terminal).unwrap();
        let end = || Stdio::from(terminal.try_clone().unwrap());
        let child =
            room.command(args).env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let (drawn, mut read) = (Arc::<Mutex<Vec<u8>>>::default(), keys.try_clone().unwrap());
        let into = Arc::clone(&drawn);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = read.read(&mut bytes) {
                into.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, terminal, before, keys, drawn, size: (columns, rows) }
    }

    /// The terminal as a person sees it.
    fn seen(&self) -> vt100::Parser {
        let (columns, rows) = self.size;
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(&self.drawn.lock().unwrap());
        parser
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        wait_until(&format!("the screen shows {text:?}"), || self.seen().screen().contents().contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end, and looks at what is left of the terminal.
    #[track_caller]
    fn ends(mut self) {
        let mut status = None;
        wait_until("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{}", self.seen().screen().contents());
        let after = tcgetattr(self.terminal.as_fd()).unwrap();
        assert_eq!(after.local_modes, self.before.local_modes);
        assert!(after.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
        wait_until("the screen is the one before", || {
            let seen = self.seen();
            !seen.screen().alternate_screen() && !seen.screen().hide_cursor()
        });
    }
}

#[test]
fn top_draws_restarts_stops_and_gives_the_terminal_back() {
    let room = Room::new().server("s", &["tool x", "on start: stderr it wrote this"]);
    let mut bridge = room.start_with_door();
    bridge.call("s__x", json!({}));
    let mut screen = Screen::start(&room, &["top"], (80, 24));
    screen.shows("ready");
    screen.shows("it wrote this");
    let before = bridge.server("s")["pid"].clone();
    screen.press("r");
    wait_until("it is another process", || {
        let is = bridge.server("s");
        is["state"] == "ready" && is["pid"] != before
    });
    screen.shows("was ended, process");
    screen.press("s");
    wait_until("it is stopped", || bridge.server("s")["held"] == true);
    screen.press("q");
    screen.ends();
}

#[test]
fn top_switches_a_server_off_when_it_is_told_so_twice() {
    let room = Room::new().server("s", &[]).server("t", &[]);
    let _bridge = room.start_with_door();
    let config = || std::fs::read_to_string(room.path("config.toml")).unwrap();
    let before = config();
    let mut screen = Screen::start(&room, &["top"], (80, 24));
    screen.shows("> s");
    screen.press("d");
    screen.shows("Switch s off? Its entry stays. [y/N]");
    screen.press("n");
    screen.shows("q quit");
    assert_eq!(config(), before);
    screen.press("dy");
    screen.shows("s is switched off; bridge enable s switches it on again");
    screen.shows("> t");
    assert!(config().contains("enabled = false"), "{}", config());
    screen.press("q");
    screen.ends();
}

#[test]
fn top_waits_for_a_bridge_goes_on_beside_one_that_hangs_and_ends_with_a_signal() {
    let room = Room::new().server("s", &[]);
    let screen = Screen::start(&room, &["top"], (80, 24));
    screen.shows("No bridge runs on");
    let bridge = room.start_with_door();
    screen.shows("stopped");
    bridge.signal(Signal::STOP);
    screen.shows("did not answer within 2 s");
    bridge.signal(Signal::CONT);
    send_signal(screen.child.id(), Signal::TERM);
    screen.ends();
}

#[test]
fn a_watch_on_a_terminal_ends_with_ctrl_c_and_fits_a_small_one() {
    let room = Room::new().server("s", &[]);
    let _bridge = room.start_with_door();
    let mut screen = Screen::start(&room, &["status", "--watch", "1"], (20, 5));
    screen.shows("more lines");
    screen.press("\u{3}");
    screen.ends();
}

#[test]
fn what_draws_on_a_terminal_ends_with_it() {
    let room = Room::new().server("s", &[]);
    for args in [&["top"][..], &["status", "--watch", "1"]] {
        let (mut ours, theirs) = terminal((80, 24));
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let mut command = room.command(args);
        let mut child =
            command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop((command, theirs));
        // It draws; then its window is closed.
        assert!(ours.read(&mut [0; 64]).unwrap() > 0);
        drop(ours);
        wait_until("it ends", || child.try_wait().unwrap().is_some());
    }
}

#[test]
fn without_a_terminal_top_names_the_watch() {
    let (code, stdout, stderr) = Room::new().run(&["top"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr, "error: bridge top needs a terminal; elsewhere there is bridge status --watch\n");
}
