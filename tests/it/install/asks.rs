//! It asks on a terminal, and what happens while somebody reads.

use std::io::{Read, Write};
use std::process::Stdio;

use super::*;

const TEXT: &str = "{\n  \"n\": 1\n}\n";

/// Runs a verb on a terminal: when it has asked, something happens, and then somebody answers. Gives its exit code
/// and all that was to be read.
fn answered(home: &Home, args: &[&str], meanwhile: impl FnOnce(), answer: &str) -> (Option<i32>, String) {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty;
    let master = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
    pty::grantpt(&master).unwrap();
    pty::unlockpt(&master).unwrap();
    let name = pty::ptsname(&master, Vec::new()).unwrap();
    // It must not become the tests' own terminal.
    let slave = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = home.command(args);
    let mut child = command.stdin(slave).stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    drop(command);
    let mut said = Vec::new();
    while !said.ends_with(b"[y/N] ") {
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    meanwhile();
    fs::File::from(master.try_clone().unwrap()).write_all(answer.as_bytes()).unwrap();
    reader.read_to_end(&mut said).unwrap();
    (child.wait().unwrap().code(), home.plain(&String::from_utf8(said).unwrap()))
}

#[test]
fn nothing_is_written_without_a_yes() {
    for (answer, is_yes) in
        [("y\n", true), ("YES\n", true), ("n\n", false), ("\n", false), ("what\n", false), ("\u{4}", false)]
    {
        let home = Home::new().with(CURSOR, TEXT);
        let (code, said) = answered(&home, &["install"], || (), answer);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("\nWrite this file? [y/N] "), "{said}");
        assert_eq!(home.text(CURSOR.file) != TEXT, is_yes, "{answer:?}: {said}");
        assert_eq!(said.ends_with("[y/N] Nothing was changed.\n"), !is_yes, "{said}");
        assert_eq!(home.path(DATA).exists(), is_yes, "looking makes nothing");
    }
}

#[test]
fn undo_asks_too() {
    let home = Home::new().with(CURSOR, TEXT).with(ZED, "");
    home.said(&["install", "--yes"]);
    let installed = home.things();
    let (code, said) = answered(&home, &["install", "--undo"], || (), "n\n");
    assert!(code == Some(0) && said.contains("Undo these 2 files? [y/N] Nothing was changed."), "{said}");
    assert_eq!(home.things(), installed);
    assert_eq!(answered(&home, &["install", "--undo"], || (), "y\n").0, Some(0));
    assert_eq!(home.text(CURSOR.file), TEXT);
}

#[test]
fn where_nobody_can_be_asked_nothing_is_done() {
    let home = Home::new().with(CURSOR, TEXT);
    let refused = home.refused(&["install"]);
    assert!(refused.contains("+ \"bridge\": {"), "the plan is shown: {refused}");
    assert!(
        refused.ends_with("error: nothing was changed: nobody can be asked here, say --yes"),
        "{refused}"
    );
    home.said(&["install", "--yes"]);
    assert!(home.refused(&["install", "--undo"]).ends_with("say --yes"));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let home = Home::new().with(CURSOR, TEXT);
    for args in [&["install", "--force", "--yes"][..], &["install", "--undo", "--move-servers", "--yes"]] {
        assert_eq!(home.run(args).0, Some(2), "{args:?}");
    }
    assert_eq!(home.text(CURSOR.file), TEXT);
}

#[test]
fn a_dry_run_touches_nothing() {
    let home = Home::new().with(CURSOR, r#"{"mcpServers": {"a": {"command": "x"}}}"#);
    let before = home.things();
    home.said(&["install", "--dry-run", "--move-servers"]);
    assert_eq!(home.things(), before);
    assert!(!home.path(DATA).exists() && !home.path(CONFIG).exists());
    home.said(&["install", "--yes", "--move-servers"]);
    let installed = home.things();
    home.said(&["install", "--undo", "--dry-run"]);
    assert_eq!(home.things(), installed);
}

#[test]
fn a_client_that_rewrites_its_file_meanwhile_keeps_what_it_wrote() {
    let home = Home::new().with(CURSOR, TEXT);
    let (code, said) = answered(&home, &["install"], || home.write(CURSOR.file, "{\"n\": 2}"), "y\n");
    assert_eq!(code, Some(0), "{said}");
    let wanted = json!({ "n": 2, "mcpServers": { "bridge": home.usual_entry(CURSOR) } });
    assert_eq!(parsed(&home.text(CURSOR.file)), wanted);
    home.said(&["install", "--undo", "--yes"]);
    assert_eq!(home.text(CURSOR.file), "{\"n\": 2}");
}

#[test]
fn what_was_not_agreed_to_is_not_done() {
    for text in ["{", r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}"#] {
        let home = Home::new().with(CURSOR, r#"{"mcpServers": {"a": {"command": "x"}}}"#);
        let meanwhile = || home.write(CURSOR.file, text);
        let (code, said) = answered(&home, &["install", "--move-servers"], meanwhile, "y\n");
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("error: the files were changed meanwhile so that something else would be done"),
            "{said}"
        );
        assert_eq!(home.text(CURSOR.file), text);
        assert!(!home.path(CONFIG).exists());
    }
}

#[test]
fn two_that_install_at_once_leave_one_entry() {
    let home = Home::new().with(CURSOR, TEXT);
    let before = home.things();
    let children: Vec<_> = (0..4)
        .map(|_| {
            home.command(&["install", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for child in children {
        // One that comes when another has done it may find that it was not asked for that.
        child.wait_with_output().unwrap();
    }
    assert_eq!(home.entry(CURSOR), home.usual_entry(CURSOR));
    home.said(&["install", "--undo", "--yes"]);
    assert_eq!(home.things(), before);
}
