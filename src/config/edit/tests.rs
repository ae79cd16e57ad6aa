use super::*;
use crate::config::sharing::Scope;

fn entry(command: &str) -> Entry {
    Entry {
        command: command.to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: None,
        scope: Scope::Shared,
        enabled: true,
    }
}

fn draft(text: &str) -> Draft {
    Draft::open(Path::new("/c/config.toml"), Some(text.as_bytes())).unwrap_or_else(|bad| panic!("{bad}"))
}

#[test]
fn an_entry_goes_behind_what_is_there() {
    let before = "# mine\n[servers.time] # here\ncommand = 'uvx'\n\n[settings]\nhang_after = 4";
    let mut draft = draft(before);
    let full = Entry {
        args: vec!["-y".into(), "a \"b\"\n\u{7f}".into()],
        env: vec![("TOKEN".into(), "${env:T}".into()), ("A B".into(), "ü".into())],
        cwd: Some("~/work".into()),
        enabled: false,
        ..entry("npx")
    };
    assert_eq!(draft.add("my server", &full), Ok(Added::As("my server".into())));
    assert_eq!(draft.add("my server", &full), Ok(Added::Already));
    let added = draft.text().strip_prefix(before).unwrap();
    insta::assert_snapshot!(added, @r#"
    [servers."my server"]
    command = "npx"
    args = ["-y", "a \"b\"\n\u007f"]
    env = { TOKEN = "${env:T}", "A B" = "ü" }
    cwd = "~/work"
    enabled = false
    "#);
    assert_eq!(draft.sections().concat(), added.trim_start());
}

#[test]
fn names_that_meet_are_numbered() {
    let mut draft = draft("[servers.\"a b\"]\ncommand = \"x\"\n[servers.bad]\ncommand = 1\n");
    assert_eq!(draft.add("a_b", &entry("y")), Ok(Added::As("a_b-2".into())));
    assert_eq!(draft.add("a_b", &entry("z")), Ok(Added::As("a_b-3".into())));
    assert_eq!(draft.add("bad", &entry("z")), Ok(Added::As("bad-2".into())));
    assert_eq!(draft.add("bridge", &entry("z")), Ok(Added::As("bridge-2".into())));
    let long = "x".repeat(SERVER_NAME_CHARS_MAX);
    assert_eq!(draft.add(&long, &entry("1")), Ok(Added::As(long.clone())));
    assert_eq!(draft.add(&long, &entry("2")), Ok(Added::As(format!("{}-2", &long[2..]))));
}

#[test]
fn line_ends_stay_what_they_are() {
    let mut draft = draft("\u{feff}[settings]\r\nhang_after = 4\r\n");
    draft.add("a", &entry("x")).unwrap();
    assert_eq!(
        draft.text(),
        "\u{feff}[settings]\r\nhang_after = 4\r\n\r\n[servers.a]\r\ncommand = \"x\"\r\n"
    );
}

#[test]
fn what_the_bridge_could_not_read_is_refused_in_words() {
    let mut draft = draft("servers = { a = { command = \"x\" } }");
    let refused = |result: Result<Added, String>| result.unwrap_err();
    insta::assert_snapshot!(refused(draft.add("b", &entry("x"))), @"cannot stand behind what is in the configuration: write servers there as [servers.NAME]");
    insta::assert_snapshot!(refused(draft.add("日本", &entry("x"))), @"has a problem: a server's name needs a letter or a digit (a-z, 0-9)");
    insta::assert_snapshot!(refused(draft.add("b", &entry("${HOME}/x"))), @"has a problem in command: variables are not expanded here, write the path itself, or begin it with ~/");
    let asks = Entry { args: vec!["${input:key}".into()], ..entry("x") };
    insta::assert_snapshot!(refused(draft.add("b", &asks)), @"has a problem in args[0]: only ${env:NAME} can be referred to, write $${ for a plain ${");
    let open =
        |file: &str, text: &str| Draft::open(Path::new(file), Some(text.as_bytes())).map(|_| ()).unwrap_err();
    insta::assert_snapshot!(open("/c/mcp.json", "{}"), @"is JSON: only TOML is edited, name a config.toml with --config");
    insta::assert_snapshot!(open("/c/config.toml", "[servers"), @"cannot be understood, repair it first: line 1: not valid TOML: unclosed table, expected `]`");
}

/// A text without one of its servers.
#[track_caller]
fn check_removed(name: &str, before: &str, after: &str) {
    let mut draft = draft(before);
    draft.remove(name).unwrap();
    assert_eq!(draft.text(), after, "{before:?} without {name}");
}

#[test]
fn what_somebody_has_commented_out_is_not_the_entrys() {
    check_removed(
        "b",
        "[servers.a]\ncommand = \"a\"\n\n# [servers.old]\n# command = \"old\"\n# The one for work.\n[servers.b]\ncommand = \"b\"\n",
        "[servers.a]\ncommand = \"a\"\n\n# [servers.old]\n# command = \"old\"\n",
    );
}

#[test]
fn a_server_is_cut_out_in_whatever_form_it_stands() {
    let check = check_removed;
    let two = "# mine\n\n[servers.a] # first\ncommand = 'x'\nargs = [\n  'y',\n]\n\n# second\n[servers.b]\ncommand = 'y'\n";
    check("a", two, "# mine\n\n# second\n[servers.b]\ncommand = 'y'\n");
    check("b", two, "# mine\n\n[servers.a] # first\ncommand = 'x'\nargs = [\n  'y',\n]\n");
    // What begins the file says something of all of it.
    check("a", "# mine\n[servers.a]\ncommand = 'x'\n", "# mine\n");
    check("a", "[servers.a]\ncommand = 'x'\n\n\n[settings]\n", "[settings]\n");
    let below =
        "[servers.a]\ncommand = 'x'\n[servers.b]\ncommand = 'y'\n[servers.a.env]\nA = 'b'\n[settings]\n";
    check("a", below, "[servers.b]\ncommand = 'y'\n[settings]\n");
    check("a", "[servers]\na = { command = 'x' } # a\nb.command = 'y'\n", "[servers]\nb.command = 'y'\n");
    check(
        "b",
        "[servers]\na = { command = 'x' }\nb.command = 'y'\nb.env.A = 'z'\n",
        "[servers]\na = { command = 'x' }\n",
    );
    check(
        "a",
        "servers.a.command = 'x'\nservers.b.command = 'y'\nservers.a.args = []\n",
        "servers.b.command = 'y'\n",
    );
    check(
        "a",
        "servers = { a = { command = 'x' }, b = { command = 'y' } }\n",
        "servers = { b = { command = 'y' } }\n",
    );
    check(
        "b",
        "servers = { a = { command = 'x' }, b = { command = 'y' } }\n",
        "servers = { a = { command = 'x' } }\n",
    );
    check("a", "servers = { a = { command = 'x' } }\n", "servers = { }\n");
    // One that is broken can go too, and so can one behind an address.
    check("bad", "[servers.bad]\ncommand = 7\n[servers.a]\ncommand = 'x'", "[servers.a]\ncommand = 'x'");
    check("web", "hm = 1\n[servers.web]\nurl = 'https://x'\n", "hm = 1\n");
    check(
        "a b",
        "\u{feff}[servers.'a b']\r\ncommand = 'x'\r\n\r\n[settings] # é\r\n",
        "\u{feff}[settings] # é\r\n",
    );
    let dotted = draft("servers = { a.command = 'x', b = { command = 'y' } }\n").remove("a").unwrap_err();
    assert_eq!(dotted, "stands there in a form that is not edited here: change it by hand");
}

#[test]
fn a_server_is_switched_in_whatever_form_it_stands() {
    let check = |before: &str, after: &str| {
        let mut draft = draft(before);
        assert_eq!(draft.switch("a", false), Ok(true), "{before}");
        assert_eq!(draft.text(), after);
        assert_eq!(draft.switch("a", false), Ok(false), "{before}");
        assert_eq!(draft.switch("a", true), Ok(true), "{before}");
        assert_eq!(draft.text(), after.replace("enabled = false", "enabled = true"));
    };
    check(
        "[servers.a]\ncommand = 'x' # it\n\n[settings]\n",
        "[servers.a]\ncommand = 'x' # it\nenabled = false\n\n[settings]\n",
    );
    check(
        "[servers.a]\ncommand = 'x'\nenabled = true # yes\n",
        "[servers.a]\ncommand = 'x'\nenabled = false # yes\n",
    );
    check(
        "  [servers.a]\r\n  command = 'x'\r\n  [servers.a.env]\r\n",
        "  [servers.a]\r\n  command = 'x'\r\n  enabled = false\r\n  [servers.a.env]\r\n",
    );
    check("[servers.a]\ncommand = 'x'", "[servers.a]\ncommand = 'x'\nenabled = false");
    check("servers.a.command = 'x'\n", "servers.a.command = 'x'\nservers.a.enabled = false\n");
    check("[servers]\na = { command = 'x' }\n", "[servers]\na = { command = 'x', enabled = false }\n");
    check(
        "servers = { a = {command = 'x'}, b = {} }\n",
        "servers = { a = {command = 'x', enabled = false }, b = {} }\n",
    );
    assert_eq!(
        draft("[servers.a]\ncommand = 'x'\n").switch("a", true),
        Ok(false),
        "nothing says that it is off"
    );
}

#[test]
fn where_servers_stand_in_braces_another_goes_into_them() {
    let mut draft = draft("servers = { a = { command = \"x\" } } # mine\n");
    let name = ServerName::parse("b c").unwrap();
    draft.insert(&name, &Entry { args: vec!["y".into()], ..entry("x") }).unwrap();
    assert_eq!(
        draft.text(),
        "servers = { a = { command = \"x\" }, \"b c\" = { command = \"x\", args = [\"y\"] } } # mine\n"
    );
    assert!(draft.is_taken(&ServerName::parse("b.c").unwrap()), "its tools would have the same names");
}

#[test]
fn a_server_behind_an_address_is_kept_as_it_is_written() {
    let mut draft = draft("");
    let name = ServerName::parse("web").unwrap();
    let headers = vec![("Authorization".into(), "Bearer ${env:TOKEN}".into())];
    let address = Address { url: "https://example.org/mcp".into(), headers, enabled: true };
    draft.insert_address(&name, &address).unwrap();
    insta::assert_snapshot!(draft.text(), @r#"
    [servers.web]
    url = "https://example.org/mcp"
    headers = { Authorization = "Bearer ${env:TOKEN}" }
    "#);
    let bad = Address { url: "example.org".into(), ..address };
    insta::assert_snapshot!(draft.insert_address(&name, &bad).unwrap_err(), @"has a problem: must begin with https:// or http://");
}

#[test]
fn a_name_that_is_nearly_right_is_found() {
    let draft = draft("[servers.github]\ncommand = 'x'\n[servers.time]\ncommand = 7\n");
    assert_eq!(draft.names(), ["github", "time"]);
    assert_eq!(draft.meant("gihtub").as_deref(), Some("github"));
    assert_eq!(draft.meant("xyz"), None);
}

proptest::proptest! {
    /// Whatever stands around it, a server that is added and taken out again leaves no trace, and so does one that is
    /// switched.
    #[test]
    fn what_is_done_and_undone_leaves_every_byte(
        parts in proptest::collection::vec((0..7_usize, 0..3_usize), 0..8),
        is_windows in proptest::bool::ANY,
        name in "[a-z][a-z .-]{0,8}",
    ) {
        let parts = parts.iter().enumerate().map(|(number, (part, blank))| {
            let text = match part {
                0 => format!("# a comment {number}\n"),
                1 => format!("[servers.s{number}] # {number}\ncommand = 'x'\n"),
                2 => format!("# of {number}\n[servers.s{number}]\ncommand = \"x\" # é\nargs = [ 'a',\n  'b' ]\n"),
                3 => format!("[servers.s{number}.env]\nA = 'b'\n[servers.s{number}]\ncommand = 'x'\n"),
                4 => format!("[clients.'c {number}']\nhandoff_after_s =   7\n"),
                5 => format!("  [servers.'s {number}']\n  command = 'x'\n  enabled = true\n# after\n"),
                _ => format!("[servers.s{number}]\ncommand = 'x'\n[servers.s{number}.env]\nB = 'c'\n"),
            };
            text + &"\n".repeat(*blank)
        });
        let text: String = parts.collect();
        let text = format!("{}\n", text.trim_end());
        let text = if is_windows { text.replace('\n', "\r\n") } else { text };
        let mut draft = draft(&text);
        let names = draft.names();
        let name = ServerName::parse(&name).unwrap();
        draft.insert(&name, &entry("new")).unwrap();
        draft.remove(name.as_str()).unwrap();
        proptest::prop_assert_eq!(draft.text().trim_end(), text.trim_end());
        for name in names {
            let mut draft = Draft::open(Path::new("/c/config.toml"), Some(text.as_bytes())).unwrap_or_else(|bad| panic!("{bad}"));
            proptest::prop_assert!(draft.switch(&name, false).unwrap());
            draft.switch(&name, true).unwrap();
            let bare = |text: &str| text.replace("enabled = true", "").split_whitespace().collect::<Vec<_>>().join(" ");
            proptest::prop_assert_eq!(bare(draft.text()), bare(&text));
            draft.remove(&name).unwrap();
            proptest::prop_assert!(!draft.names().contains(&name));
        }
    }
}
