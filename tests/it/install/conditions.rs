//! Each client's file in each condition.

use super::*;

/// What a client's file may be like when all is well, with the words for it.
fn good(client: Known) -> Vec<(&'static str, String)> {
    let key = client.key;
    let mut good = vec![
        ("empty", String::new()),
        ("an empty line", "\n".to_owned()),
        ("no map yet", "{}".to_owned()),
        ("null for a map", format!("{{\n  \"{key}\": null\n}}\n")),
        ("an empty map", format!("{{\"{key}\": {{}}, \"z\": 1}}")),
        ("all in one line", format!("{{\"b\":1,\"{key}\":{{\"x\":{{\"command\":\"y\"}}}},\"a\":[2,{{}}]}}")),
        (
            "four spaces",
            format!(
                "{{\n    \"{key}\": {{\n        \"x\": {{\n            \"command\": \"y\"\n        }}\n    }}\n}}\n"
            ),
        ),
        (
            "tabs, line ends and a mark of Windows",
            format!(
                "\u{feff}{{\r\n\t\"z\": \"ü\\u00fc\",\r\n\t\"{key}\": {{\r\n\t\t\"x\": {{\"command\": \"y\"}}\r\n\t}}\r\n}}\r\n\r\n"
            ),
        ),
    ];
    if !is_strict(client) {
        good.push((
            "comments and last commas",
            format!("// top\n{{\n  \"{key}\": {{ // here\n    /* x */\n    \"x\": {{\"command\": \"y\"}}, // after\n  }},\n}} // end\n"),
        ));
    }
    good
}

#[test]
fn every_client_gets_the_entry_keeps_all_else_and_gets_its_file_back() {
    for client in CLIENTS {
        for (words, text) in good(client) {
            let home = Home::new().with(client, &text);
            set_mode(&home.path(client.file), 0o640);
            let before = home.things();
            home.said(&["install", "--yes"]);
            let what = format!("{}, {words}", client.word);
            assert_eq!(home.entry(client), home.usual_entry(client), "{what}");
            let after = home.text(client.file);
            assert_eq!(rest(&after, client), rest(&text, client), "{what}");
            assert_eq!(after.starts_with('\u{feff}'), text.starts_with('\u{feff}'), "{what}");
            let others = after.matches('\n').count() - after.matches("\r\n").count();
            assert!(others == 0 || !text.contains('\r'), "{what}: {after:?}");
            assert_eq!(home.path(client.file).metadata().unwrap().mode() & 0o777, 0o640, "{what}");
            let installed = home.things();
            assert!(home.said(&["install", "--yes"]).contains(": nothing to do\n"), "{what}");
            assert_eq!(home.things(), installed, "{what}");
            home.said(&["install", "--undo", "--yes"]);
            assert_eq!(home.things(), before, "{what}");
            assert!(home.said(&["install", "--undo", "--yes"]).starts_with("Nothing to undo: "), "{what}");
        }
    }
}

/// A file without the bridge's entry: its values, and its comments as far as there are any.
fn rest(text: &str, client: Known) -> (Value, Vec<String>) {
    let mut value = if text.trim().is_empty() { json!({}) } else { parsed(text) };
    if value[client.key].is_null() {
        value.as_object_mut().unwrap().remove(client.key);
    } else {
        value[client.key].as_object_mut().unwrap().remove("bridge");
        if value[client.key] == json!({}) {
            value.as_object_mut().unwrap().remove(client.key);
        }
    }
    let comments =
        text.lines().filter_map(|line| line.find("//").or(line.find("/*")).map(|at| line[at..].to_owned()));
    (value, comments.collect())
}

#[test]
fn a_client_without_a_file_gets_one_that_goes_again() {
    for client in CLIENTS {
        let home = Home::new();
        fs::create_dir_all(home.path(client.folder)).unwrap();
        let before = home.things();
        home.said(&["install", client.word, "--yes"]);
        assert_eq!(home.entry(client), home.usual_entry(client), "{}", client.word);
        let mode = home.path(client.file).metadata().unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}: it is its owner's alone", client.word);
        home.said(&["install", client.word, "--undo", "--yes"]);
        assert_eq!(home.things(), before, "{}", client.word);
    }
}

#[test]
fn a_client_that_is_not_installed_is_skipped_unless_it_was_named() {
    let home = Home::new().with(CURSOR, "{}");
    let said = home.said(&["install", "--dry-run"]);
    assert_eq!(said.matches(": not installed here\n").count(), 5, "{said}");
    let refused = home.refused(&["install", "zed", "--yes"]);
    assert!(
        refused.contains(
            "stays as it is: it is not there, and neither is $ROOM/home/.config/zed: is it installed?"
        ),
        "{refused}"
    );
    assert!(refused.ends_with("error: not everything can be done, see above: Zed"), "{refused}");
    let refused = Home::new().refused(&["install", "--yes"]);
    assert!(
        refused.ends_with(
            "error: none of these clients is installed here, so there is nothing to put the bridge into"
        ),
        "{refused}"
    );
    assert_eq!(home.run(&["install", "emacs"]).0, Some(2));
}

#[test]
fn what_no_client_could_read_stays_as_it_is() {
    for client in CLIENTS {
        let key = client.key;
        let not_json = "it is not valid JSON, repair it first: line ";
        let broken: [(String, Vec<u8>); 9] = [
            (not_json.to_owned(), b"{\"a\": 1".to_vec()),
            (not_json.to_owned(), b"{'a': 1}".to_vec()),
            (not_json.to_owned(), format!("{{\"{key}\": {{}}}} trailing").into()),
            (not_json.to_owned(), "[".repeat(100_000).into()),
            ("it is not UTF-8 text from byte 1 on: save it as UTF-8".to_owned(), b"{\xff}".to_vec()),
            ("it does not hold a JSON object: repair it first".to_owned(), b"[]".to_vec()),
            (
                format!("it has \"{key}\", which is no JSON object: repair it first"),
                format!("{{\"{key}\": []}}").into(),
            ),
            (
                format!("it has \"{key}\" twice: remove one first"),
                format!("{{\"{key}\": {{}}, \"{key}\": {{}}}}").into(),
            ),
            (
                "it is larger than 16 MiB: nothing of this size is changed".to_owned(),
                vec![b' '; (16 << 20) + 1],
            ),
        ];
        for (words, text) in broken {
            let home = Home::new().with(client, text);
            let refused = home.refused(&["install", "--yes"]);
            assert!(refused.contains(&words), "{}: {words}: {refused}", client.word);
        }
        let home = Home::new().with(client, "{\n  // a comment\n}");
        assert_eq!(home.run(&["install", "--yes"]).0 == Some(1), is_strict(client), "{}", client.word);
    }
}

/// Puts something where a file should be.
type Make = fn(&Path);

#[test]
fn what_is_no_file_or_may_not_be_written_stays_as_it_is() {
    for client in CLIENTS {
        let make: [(&str, Make); 7] = [
            ("is not a file but a folder: move it away", |path| fs::create_dir(path).unwrap()),
            ("is not a file but a pipe or device: move it away", |path| {
                rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0)
                    .unwrap();
            }),
            ("is a link to nowhere.json, which does not exist", |path| {
                symlink("nowhere.json", path).unwrap()
            }),
            ("is a link that leads back to itself: remove it", |path| {
                symlink(path.file_name().unwrap(), path).unwrap()
            }),
            ("is read-only: allow writing to it if it may be changed (chmod u+w)", |path| {
                fs::write(path, "{}").unwrap();
                set_mode(path, 0o444);
            }),
            ("which is read-only: allow writing to it (chmod u+w)", |path| {
                fs::write(path, "{}").unwrap();
                set_mode(path.parent().unwrap(), 0o555);
            }),
            ("which is read-only: allow writing to it (chmod u+w)", |path| {
                set_mode(path.parent().unwrap(), 0o555)
            }),
        ];
        for (words, make) in make {
            let home = Home::new();
            fs::create_dir_all(home.path(client.folder)).unwrap();
            let path = home.path(client.file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            make(&path);
            let refused = home.refused(&["install", "--yes", "--move-servers"]);
            assert!(refused.contains(words), "{}: {words}: {refused}", client.word);
            set_mode(path.parent().unwrap(), 0o755);
        }
    }
}

#[test]
fn a_link_stays_and_what_it_points_to_is_changed() {
    for client in CLIENTS {
        let home = Home::new().with(client, "{}");
        home.write("dotfiles/it.json", "{ }\n");
        fs::remove_file(home.path(client.file)).unwrap();
        symlink(home.path("dotfiles/it.json"), home.path(client.file)).unwrap();
        let before = home.things();
        home.said(&["install", "--yes"]);
        assert!(home.path(client.file).symlink_metadata().unwrap().is_symlink(), "{}", client.word);
        assert_eq!(home.entry(client), home.usual_entry(client), "{}", client.word);
        home.said(&["install", "--undo", "--yes"]);
        assert_eq!(home.things(), before, "{}", client.word);
    }
}

#[test]
fn one_client_that_cannot_be_changed_does_not_keep_the_others_from_it() {
    let home = Home::new().with(CURSOR, "{").with(ZED, "{}");
    let (code, stdout, stderr) = home.run(&["install", "--yes"]);
    assert_eq!((code, stderr.as_str()), (Some(1), "error: not everything can be done, see above: Cursor\n"));
    assert!(stdout.contains("wrote $ROOM/home/.config/zed/settings.json"), "{stdout}");
    assert_eq!(home.entry(ZED), home.usual_entry(ZED));
    assert_eq!(home.text(CURSOR.file), "{");
}

#[test]
fn a_disk_that_takes_nothing_more_leaves_everything_as_it_was() {
    for text in [Some("{\n  \"mcpServers\": {\"a\": {\"command\": \"x\"}}\n}\n"), None] {
        let home = Home::new();
        fs::create_dir_all(home.path(CURSOR.folder)).unwrap();
        if let Some(text) = text {
            home.write(CURSOR.file, text);
        }
        let before = home.things();
        // As if it were full: no file may grow.
        let full = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
        let bridge = home.command(&[]);
        let mut command = Command::new("sh");
        command.args(["-c", full]).arg(bridge.get_program()).args(["install", "--yes", "--move-servers"]);
        command.env_clear().envs(bridge.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.output().unwrap();
        let stderr = home.plain(&String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("File too large"), "{stderr}");
        assert_eq!(home.things(), before, "{stderr}");
        assert!(!home.path(DATA).join("install.json").exists());
        home.said(&["install", "--yes", "--move-servers"]);
    }
}
