//! The stream: its order, its files, and what it shows of them.

use std::fs;
use std::io::Write;

use super::entry::{Entry, Screen, Wanted};
use super::files::Files;
use crate::paths::{Overrides, Paths};
use crate::store::stamp;

fn place() -> (tempfile::TempDir, Paths) {
    let room = tempfile::tempdir().unwrap();
    let paths =
        Paths::find(Overrides { data_dir: Some(room.path().to_owned()), ..Overrides::default() }).unwrap();
    paths.create().unwrap();
    (room, paths)
}

fn told(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| format!("{} {}", entry.source, entry.text)).collect()
}

fn append(paths: &Paths, name: &str, bytes: &[u8]) {
    let path = paths.logs_dir.join(name);
    fs::File::options().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_line_has_its_time_its_source_and_nothing_that_moves_a_terminal() {
    let (_room, paths) = place();
    append(&paths, "hub.log", b"2026-11-21T21:00:00.500Z  INFO bridge: hub serves\n");
    append(&paths, "s.log", b"2026-11-21T20:00:00Z \x1b[2J\x1b[31mred\xff\x07\n  at line 7\n");
    let wanted = Wanted { known: vec!["a-server".into()], ..Wanted::default() };
    let mut entries = Files::new(&paths, &wanted).last(10, false);
    entries.sort_by_key(|entry| entry.at_ms);
    assert_eq!(told(&entries), ["s red\u{fffd}", "s at line 7", "hub INFO bridge: hub serves"]);
    assert_eq!(entries[1].at_ms, entries[0].at_ms, "it goes on where the line before stood");
    let mut screen = Screen::new(&wanted);
    let at_ms = stamp::parse("2026-11-21T20:00:00.007Z").unwrap();
    let entry =
        |source: &str, at_ms| Entry { at_ms, about: false, source: source.into(), text: "ready".into() };
    let lines = [("hub", at_ms), ("a-server", at_ms), ("hub", at_ms + 24 * stamp::HOUR_MS)];
    let text: String = lines.iter().map(|(source, at_ms)| screen.line(&entry(source, *at_ms))).collect();
    // Only where the machine's time is that of the test.
    if text.contains("(UTC)") {
        insta::assert_snapshot!(text, @r"
        --- Sat 2026-11-21 (UTC)
        20:00:00.007  hub       ready
        20:00:00.007  a-server  ready
        --- Sun 2026-11-22 (UTC)
        20:00:00.007  hub       ready
        ");
    }
}

#[test]
fn lines_without_a_time_are_marked_and_leave_room_for_others() {
    let (_room, paths) = place();
    append(&paths, "s.log", &b"no time\n".repeat(100));
    append(&paths, "t.log", b"no time yet\n2026-11-21T20:00:00Z with one\n  at line 7\n");
    let all = Wanted { known: vec!["s".into(), "t".into()], ..Wanted::default() };
    let entries = Files::new(&paths, &all).last(20, false);
    let about: Vec<(&str, bool)> = entries.iter().map(|entry| (entry.source.as_str(), entry.about)).collect();
    let t = [("t", true), ("t", false), ("t", false)];
    assert_eq!(about, [[("s", true); 5].as_slice(), t.as_slice()].concat());
    let mut screen = Screen::new(&all);
    let lines: Vec<String> = entries.iter().skip(5).map(|entry| screen.line(entry)).collect();
    assert!(lines[0].contains("~ t    no time yet\n"), "{lines:?}");
    assert!(lines[1].contains("000  t    with one\n"), "{lines:?}");
    let only = Wanted { server: Some("s".into()), ..all };
    assert_eq!(Files::new(&paths, &only).last(20, false).len(), 20);
}

#[test]
fn a_server_that_is_called_hub_is_not_the_hub() {
    let (_room, paths) = place();
    append(&paths, "hub.log", b"2026-11-21T21:00:00.500Z  INFO bridge: hub serves\n");
    append(&paths, "hub.server.log", b"mine server event\n");
    let wanted = Wanted { server: Some("hub".into()), known: vec!["hub".into()], ..Wanted::default() };
    assert_eq!(told(&Files::new(&paths, &wanted).last(10, false)), ["hub mine server event"]);
    assert_eq!(told(&Files::of_servers(&paths, &wanted).last(10, false)), ["hub mine server event"]);
}

#[test]
fn of_the_hubs_log_only_what_is_asked_for_is_shown() {
    let (_room, paths) = place();
    let line = |rest: &str| format!("2026-11-21T21:00:00.500Z  INFO bridge: {rest}\n").into_bytes();
    for rest in [
        "server event server=s event=\"ready\"",
        "one server=s pid=7",
        "two server=s2",
        "three session=\"00aa\" server=\"s\"",
        "four session=00ab",
        "five",
    ] {
        append(&paths, "hub.log", &line(rest));
    }
    append(&paths, "s.log", b"mine\n");
    append(&paths, "s2.log", b"yours\n");
    let shown = |server: Option<&str>, session: Option<&str>| {
        let wanted =
            Wanted { server: server.map(Into::into), session: session.map(Into::into), ..Wanted::default() };
        let words = |entry: &Entry| {
            entry.text.trim_start_matches("INFO bridge: ").split(' ').next().unwrap().to_owned()
        };
        Files::new(&paths, &wanted).last(10, false).iter().map(words).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown(None, None), "one two three four five mine yours");
    assert_eq!(shown(Some("s"), None), "one three mine");
    assert_eq!(shown(None, Some("00a")), "three four");
    assert_eq!(shown(Some("s"), Some("00aa")), "three");
}

#[test]
fn of_a_large_log_only_the_end_is_read_and_of_a_short_one_the_older_too() {
    let (_room, paths) = place();
    append(&paths, "s.log", &b"0123456789\n".repeat(1_000_000));
    append(&paths, "t.log.old", b"one\ntwo\n");
    append(&paths, "t.log", b"three\nfour");
    let entries = Files::new(&paths, &Wanted::default()).last(12, false);
    assert_eq!(
        told(&entries),
        ["s 0123456789", "s 0123456789", "s 0123456789", "t two", "t three", "t four"]
    );
    append(&paths, "u.log", &vec![b'x'; 9_000_000]);
    let entries =
        Files::new(&paths, &Wanted { server: Some("u".into()), ..Wanted::default() }).last(3, false);
    assert!(entries.is_empty(), "of a line without an end nobody knows where it begins");
}

#[test]
fn files_that_grow_are_moved_aside_cut_or_made_later_are_followed() {
    let (_room, paths) = place();
    append(&paths, "s.log", b"old\nbegun");
    let mut files = Files::new(&paths, &Wanted::default());
    assert_eq!(told(&files.last(10, true)), ["s old"]);
    assert!(files.more().is_empty());
    append(&paths, "s.log", b" and ended\nnext\n");
    append(&paths, "late.log", b"made later\n");
    assert_eq!(told(&files.more()), ["s begun and ended", "s next", "late made later"]);
    append(&paths, "s.log", b"last words\n");
    fs::rename(paths.logs_dir.join("s.log"), paths.logs_dir.join("s.log.old")).unwrap();
    append(&paths, "s.log", b"anew\n");
    assert_eq!(told(&files.more()), ["s last words", "s anew"]);
    fs::write(paths.logs_dir.join("s.log"), "cut\n").unwrap();
    assert_eq!(told(&files.more()), ["s cut"]);
    fs::remove_file(paths.logs_dir.join("s.log")).unwrap();
    assert!(files.more().is_empty());
    append(&paths, "s.log", b"back\n");
    assert_eq!(told(&files.more()), ["s back"]);
    append(&paths, "s.log", &vec![b'x'; 3_000_000]);
    append(&paths, "s.log", b"\nafter a long line\n");
    let entries: Vec<Entry> = (0..5).flat_map(|_| files.more()).collect();
    assert_eq!(entries.len(), 2);
    assert!(entries[0].text.len() < 2_000 && entries[1].text == "after a long line");
}
