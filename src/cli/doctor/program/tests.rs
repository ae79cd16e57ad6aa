//! Each way in which a program cannot be started, made in a folder of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config;

/// A home with two folders of programs: one on everybody's `PATH`, one on the shell's only.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["everybody", "shell", "elsewhere"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(self, name: &str, text: &str, mode: u32) -> Self {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// What is found of servers with these commands, in words.
    fn look(&self, system: System, entries: &[&str]) -> String {
        let mut text = String::new();
        for (number, entry) in entries.iter().enumerate() {
            let entry = entry.replace("$DESK", self.dir.path().to_str().unwrap());
            text.push_str(&format!("[servers.s{number}]\n{entry}\n"));
        }
        let file = self.path("config.toml");
        fs::write(&file, text).unwrap();
        let loaded = config::load(Some(&file));
        assert_eq!(loaded.mistakes, []);
        let folders = ["shell", "everybody"].map(|name| self.path(name).display().to_string()).join(":");
        let environment: Environment = [("PATH", folders)].into_iter().collect();
        let around = Around {
            environment: &environment,
            desktop: vec![self.path("everybody")],
            system,
            elsewhere: vec![self.path("elsewhere")],
        };
        let servers: Vec<&Server> = loaded.config.servers.iter().collect();
        let found = look(&servers, &around).into_iter().filter(|found| found.check != "program.path");
        let lines = found.map(|found| {
            let advice = found.advice.map(|advice| format!(" -> {advice}")).unwrap_or_default();
            format!("{} {}: {}{advice}", found.level.word(), found.subject, found.message)
        });
        let lines = lines.collect::<Vec<_>>().join("\n");
        lines.replace(&format!("{}/", self.dir.path().display()), "$DESK/")
    }
}

const PROGRAM: &str = "\u{7f}ELF";

#[test]
fn a_program_that_everybody_finds_is_well() {
    let desk = Desk::new().file("everybody/npx", PROGRAM, 0o755);
    assert_eq!(
        desk.look(System::Other, &["command = 'npx'", "command = 'npx'", "command = '$DESK/everybody/npx'"]),
        "ok npx: $DESK/everybody/npx (for s0, s1)\n\
         ok $DESK/everybody/npx: is there (for s2)"
    );
}

#[test]
fn what_is_not_there_is_said_with_how_it_gets_there() {
    let desk = Desk::new().file("elsewhere/uvx", PROGRAM, 0o755);
    fs::create_dir(desk.path("everybody/folder")).unwrap();
    let found = desk.look(
        System::Other,
        &[
            "command = 'npx'",
            "command = 'uvx'",
            "command = '$DESK/none'",
            "command = 'folder'",
            "command = '$DESK/shell'",
        ],
    );
    insta::assert_snapshot!(found, @r#"
    error npx: is not found (for s0) -> install Node.js (https://nodejs.org), or write its absolute path
    error uvx: is on no PATH here, and lies at $DESK/elsewhere/uvx (for s1) -> write command = "$DESK/elsewhere/uvx"
    error $DESK/none: is not there (for s2) -> correct the path in its entry
    error folder: is not found (for s3) -> install it, or add its folder to PATH, or write its absolute path
    error $DESK/shell: is a folder (for s4) -> write the path of the program in it
    "#);
}

#[test]
fn what_cannot_be_executed_is_said() {
    let desk = Desk::new()
        .file("everybody/closed", PROGRAM, 0o644)
        .file("everybody/no-node", "#!/usr/bin/env -S node --x\n", 0o755)
        .file("everybody/no-shell", "#!/no/such/shell -e\n", 0o755)
        .file("everybody/dos", "#!/bin/sh\r\necho\r\n", 0o755)
        .file("everybody/sh", "#!/bin/sh\n", 0o755);
    let found = desk.look(
        System::Other,
        &[
            "command = 'closed'",
            "command = 'no-node'",
            "command = 'no-shell'",
            "command = 'dos'",
            "command = 'sh'",
        ],
    );
    insta::assert_snapshot!(found, @r"
    error closed: $DESK/everybody/closed may not be executed (for s0) -> chmod +x $DESK/everybody/closed, or start it by what reads it: node, python3, …
    error no-node: the first line of $DESK/everybody/no-node names node, which is not found (for s1) -> install Node.js (https://nodejs.org), or correct that line
    error no-shell: the first line of $DESK/everybody/no-shell names /no/such/shell, which is not found (for s2) -> install it, or add its folder to PATH, or correct that line
    error dos: the lines of $DESK/everybody/dos end as those of Windows do (for s3) -> save it with the lines of Unix: sed -i 's/\r$//' $DESK/everybody/dos
    ok sh: $DESK/everybody/sh (for s4)
    ");
}

#[test]
fn what_only_a_shell_finds_is_a_warning_on_a_mac_and_a_note_elsewhere() {
    let desk = Desk::new()
        .file("shell/uvx", PROGRAM, 0o755)
        .file("shell/node", PROGRAM, 0o755)
        .file("shell/npx", "#!/usr/bin/env node\n", 0o755)
        .file("everybody/tool", "#!/usr/bin/env node\n", 0o755);
    let entries = [
        "command = 'uvx'",
        "command = 'npx'",
        "command = 'tool'",
        "command = 'uvx'\nenv = { PATH = '$DESK/shell' }",
    ];
    insta::assert_snapshot!(desk.look(System::Mac, &entries), @r#"
    warning uvx: $DESK/shell/uvx is not on the PATH of programs that a desktop starts (for s0) -> write command = "$DESK/shell/uvx"
    warning npx: $DESK/shell/npx needs programs that are not on the PATH of what a desktop starts (for s1) -> write env = { PATH = "$DESK/shell:/usr/bin:/bin" } into its entry
    warning tool: $DESK/everybody/tool needs programs that are not on the PATH of what a desktop starts (for s2) -> write env = { PATH = "$DESK/shell:$DESK/everybody:/usr/bin:/bin" } into its entry
    ok uvx: $DESK/shell/uvx (for s3)
    "#);
    assert!(desk.look(System::Other, &entries).starts_with("note uvx: "));
}

#[test]
fn on_windows_a_script_needs_its_end() {
    let desk = Desk::new()
        .file("everybody/npx", "#!/bin/sh\n", 0o755)
        .file("everybody/npx.cmd", "@echo off", 0o755)
        .file("everybody/node.exe", PROGRAM, 0o755);
    let found =
        desk.look(System::Windows, &["command = 'npx'", "command = 'npx.cmd'", "command = 'node.exe'"]);
    insta::assert_snapshot!(found, @r#"
    error npx: is the script $DESK/everybody/npx.cmd on Windows, and is started by its whole name only (for s0) -> write command = "npx.cmd"
    error npx.cmd: is the script $DESK/everybody/npx.cmd on Windows, and is started by its whole name only (for s1) -> write command = "npx.cmd.cmd"
    ok node.exe: $DESK/everybody/node.exe (for s2)
    "#);
}

#[test]
fn the_first_line_names_who_reads_a_script() {
    let at = |path: &str| Some(Reader::At(path.into()));
    let name = |name: &str| Some(Reader::Named(name.into()));
    assert_eq!(named(b"#!/bin/sh\nx"), at("/bin/sh"));
    assert_eq!(named(b"#! /usr/bin/python3 -u"), at("/usr/bin/python3"));
    assert_eq!(named(b"#!/usr/bin/env X=1 -S node --y\n"), name("node"));
    assert_eq!(named(b"#!/bin/sh\r\n"), Some(Reader::WindowsLines));
    assert_eq!(
        [named(b"\x7fELF"), named(b"#!"), named(b"#!/usr/bin/env\n"), named(b"#!sh\n")],
        [const { None }; 4]
    );
}
