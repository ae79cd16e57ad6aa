//! The promises of a configuration, each with its text.

use super::*;

use std::fmt::Write as _;
use std::time::Duration;

use crate::config::launch::LaunchKey;
use crate::config::settings::Durability;
use crate::config::sharing::{Capacity, Scope};
use crate::config::tools::OnChange;
use crate::credentials::Template;

mod client;
mod clients;
mod tools;

fn parsed(file: &str, text: &str) -> Loaded {
    parse(Path::new(file), Some(PathBuf::from("/home/ann")), text.as_bytes())
}

fn own(text: &str) -> Loaded {
    parsed("config.toml", text)
}

/// Mistakes, then notes, one a line, then the names of the servers that can be used.
fn shown(loaded: &Loaded) -> String {
    let mut text = String::new();
    for mistake in &loaded.mistakes {
        writeln!(text, "{mistake}").unwrap();
    }
    for note in &loaded.notes {
        writeln!(text, "note {note}").unwrap();
    }
    let names: Vec<_> = loaded.config.servers.iter().map(|server| server.name.as_str()).collect();
    text + "usable: " + &names.join(", ")
}

fn only(text: &str) -> Server {
    let loaded = own(text);
    assert_eq!(loaded.mistakes, []);
    loaded.config.servers.first().unwrap().clone()
}

#[test]
fn the_example_and_the_readme_are_right_and_show_the_defaults() {
    let readme = include_str!("../../README.md").split("```toml\n").nth(1).unwrap();
    let minimal = only("[servers.github]\ncommand = 'x'\n");
    for text in [EXAMPLE, readme.split("```").next().unwrap()] {
        let loaded = own(text);
        assert_eq!(shown(&loaded), "usable: time, github");
        assert_eq!(loaded.config.settings, Settings::default());
        let github = loaded.config.servers.get(1).unwrap();
        let usual = &loaded.config.settings.capacity;
        assert_eq!(github.capacity.over(usual), *usual);
        let defaults = |server: &Server| {
            let timeouts = (server.start_timeout, server.call_timeout);
            (timeouts, server.warm, server.trust_annotations, server.scope, server.on_tool_change)
        };
        assert_eq!(defaults(github), defaults(&minimal));
    }
}

#[test]
fn an_entry_becomes_a_server() {
    let server = only(
        "[servers.'my server']\ncommand = 'uvx'\nargs = ['a', '${env:B}']\nenv.Z = '1'\nenv.A = '${env:A}'\n\
         enabled = false\nstart_timeout_s = 5\ncall_timeout_s = 6\n",
    );
    assert_eq!((server.name.as_str(), server.command.as_str()), ("my server", "uvx"));
    assert_eq!(server.args.iter().map(Template::as_written).collect::<Vec<_>>(), ["a", "${env:B}"]);
    assert_eq!(server.env.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["Z", "A"]);
    assert_eq!((server.cwd, server.enabled), (None, false));
    assert_eq!((server.start_timeout, server.call_timeout), (Duration::from_secs(5), Duration::from_secs(6)));
}

#[test]
fn every_setting_is_read() {
    let loaded = own("[settings]\nfirst_list_wait_s = 0\nretention_days = 1\ndurability = 'power'\n\
         stderr_log_max_kib = 16\nin_line_max_mib = 1\nout_line_max_mib = 2\nfailure_threshold = 3\n\
         recovery_timeout_s = 4\nquestion_expiry_s = 7\nhang_after = 8\nmax_cold_starts = 2\nidle_stop_m = 9\n\
         handoff_after_s = 5\nmax_connections = 11\nmax_concurrent = 12\nmax_queue = 13\nqueue_timeout_s = 14\n\
         thread_idle_m = 0\nuser_idle_m = 16\nhub_idle_m = 17\non_tool_change = 'quarantine'\n");
    assert_eq!(shown(&loaded), "usable: ");
    let expected = Settings {
        first_list_wait: Duration::ZERO,
        retention: Duration::from_secs(86_400),
        durability: Durability::Power,
        stderr_log_max_bytes: 16_384,
        in_line_max_bytes: 1 << 20,
        out_line_max_bytes: 2 << 20,
        question_expiry: Duration::from_secs(7),
        handoff_after: Some(Duration::from_secs(5)),
        failure_threshold: 3,
        max_cold_starts: 2,
        hang_after: 8,
        idle_stop: Some(Duration::from_secs(540)),
        recovery_timeout: Duration::from_secs(4),
        capacity: capacity((11, 12, 13, 14)),
        thread_idle: None,
        user_idle: Some(Duration::from_secs(960)),
        hub_idle: Duration::from_secs(1020),
        on_tool_change: OnChange::Quarantine,
    };
    assert_eq!(loaded.config.settings, expected);
}

fn capacity((max_connections, max_concurrent, max_queue, s): (usize, usize, usize, u64)) -> Capacity {
    Capacity { max_connections, max_concurrent, max_queue, queue_timeout: Duration::from_secs(s) }
}

#[test]
fn an_entry_says_who_shares_its_connections_and_how_many_there_are() {
    let usual = capacity((1, 2, 3, 4));
    let plain = only("[servers.s]\ncommand = 'x'\n");
    assert_eq!((plain.scope, plain.capacity.over(&usual)), (Scope::Shared, usual.clone()));
    for scope in Scope::ALL {
        let server = only(&format!("[servers.s]\ncommand = 'x'\nscope = '{}'\n", scope.word()));
        assert_eq!(server.scope, scope);
    }
    let server = only(
        "[servers.s]\ncommand = 'x'\nmax_connections = 5\nmax_concurrent = 6\nmax_queue = 7\nqueue_timeout_s = 8\n",
    );
    assert_eq!(server.capacity.over(&usual), capacity((5, 6, 7, 8)));
    let loaded = own("[servers.s]\ncommand = 'x'\nscope = 'tread'\nmax_concurrent = 0\n");
    assert_eq!(
        shown(&loaded),
        "config.toml:3:1: servers.s.scope: must be one of \"shared\", \"session\", \"thread\", \"user\", \"call\"\n\
         config.toml:4:1: servers.s.max_concurrent: must be from 1 to 10000\nusable: "
    );
}

#[test]
fn all_mistakes_come_at_once_and_the_rest_is_used() {
    let loaded = own(r#"colour = true
[setings]
[settings]
retention_days = 0
durability = "powr"
failure_threshold = 2.5
in_line_max_mib = -1

[servers.zulu]
command = "zulu"

[servers.time]
comand = "uvx"
args = ["a", 7]

[servers."日本"]
command = 'x'
[servers.web]
url = "https://example.org/mcp"
headers = { a = "b" }
[servers.env]
command = ["x"]
env = ["A=b"]
args = "x"
cwd = 3
enabled = "yes"
call_timeout_s = 0
[servers."a.b"]
command = "x"
disabled = true
env = { "A=B" = "x", C = "${env:D", E = "${input:f}" }
[servers.a_b]
command = "x\u0000"
[servers]
alpha = { command = "alpha" }
flat = "x"
many = [{ command = "x" }, { command = "y" }]
"#);
    insta::assert_snapshot!(shown(&loaded), @r#"
    config.toml:1:1: colour: unknown key, known are settings, clients, servers
    config.toml:2:2: setings: unknown key, did you mean "settings"?
    config.toml:4:1: settings.retention_days: must be from 1 to 36500
    config.toml:5:1: settings.durability: must be "process" or "power"
    config.toml:6:1: settings.failure_threshold: must be an integer, found a number with a fraction
    config.toml:7:1: settings.in_line_max_mib: must be from 1 to 1024
    config.toml:12:10: servers.time: needs a "command" to start the server with
    config.toml:13:1: servers.time.comand: unknown key, did you mean "command"?
    config.toml:14:14: servers.time.args[1]: must be a text, found an integer
    config.toml:16:10: servers.日本: a server's name needs a letter or a digit (a-z, 0-9)
    config.toml:22:1: servers.env.command: must be a text, found a list
    config.toml:23:1: servers.env.env: must be a table, found a list
    config.toml:24:1: servers.env.args: must be a list of texts, found a text
    config.toml:25:1: servers.env.cwd: must be a text, found an integer
    config.toml:26:1: servers.env.enabled: must be true or false, found a text
    config.toml:27:1: servers.env.call_timeout_s: must be from 1 to 86400
    config.toml:30:1: servers."a.b".disabled: unknown key, write enabled = false to switch the server off
    config.toml:31:9: servers."a.b".env: a variable's name cannot be empty, nor hold "=" or NUL
    config.toml:31:22: servers."a.b".env.C: a "${env:" has no closing "}", write ${env:NAME}, or $${env: for the text itself
    config.toml:31:37: servers."a.b".env.E: only ${env:NAME} can be referred to, write $${ for a plain ${
    config.toml:32:10: servers.a_b: its tools would have the same names as those of servers."a.b", rename one
    config.toml:33:1: servers.a_b.command: cannot hold a NUL character
    config.toml:36:1: servers.flat: must be a table, found a text
    config.toml:37:1: servers.many: must be a table, found a list
    note config.toml:18:10: servers.web: kept, and not used yet: the bridge cannot reach servers over HTTP
    usable: zulu, alpha
    "#);
    assert_eq!(loaded.config.settings, Settings::default());
}

#[test]
fn a_file_that_is_no_toml_gives_no_servers() {
    let loaded = own("[servers.a]\ncommand = 'x'\n[servers.b]\ncommand = 'unclosed\n");
    insta::assert_snapshot!(shown(&loaded), @"
    config.toml:4:20: not valid TOML: invalid literal string, expected `'`
    usable:
    ");
    let loaded = own("[servers.a]\ncommand = 'x'\n[servers.a]\ncommand = 'y'\n");
    insta::assert_snapshot!(shown(&loaded), @"
    config.toml:3:10: not valid TOML: duplicate key
    usable:
    ");
}

#[cfg(unix)]
#[test]
fn paths_are_meant_from_the_files_folder_or_home() {
    let placed = |command: &str, cwd: &str| {
        let text = format!("[servers.a]\ncommand = '{command}'\ncwd = '{cwd}'");
        let loaded = parsed("/etc/bridge/config.toml", &text);
        match loaded.config.servers.first() {
            Some(server) => format!("{} in {}", server.command, server.cwd.clone().unwrap().display()),
            None => shown(&loaded),
        }
    };
    assert_eq!(placed("x", "sub"), "x in /etc/bridge/sub");
    assert_eq!(placed("bin/x", "~"), "/etc/bridge/bin/x in /home/ann");
    assert_eq!(placed("~/bin/x", "~/w/"), "/home/ann/bin/x in /home/ann/w/");
    assert_eq!(placed("/bin/x", "/"), "/bin/x in /");
    assert_eq!(placed("~bob/x", "~bob"), "/etc/bridge/~bob/x in /etc/bridge/~bob");
    insta::assert_snapshot!(placed("$HOME/x", " "), @"
    /etc/bridge/config.toml:2:1: servers.a.command: variables are not expanded here, write the path itself, or begin it with ~/
    /etc/bridge/config.toml:3:1: servers.a.cwd: cannot be empty
    usable:
    ");
}

#[test]
fn the_file_itself_can_be_the_mistake() {
    assert_eq!(load(None), Loaded::default());
    let room = tempfile::tempdir().unwrap();
    let gone = load(Some(&room.path().join("gone.toml")));
    assert_eq!(gone.source, Some(room.path().join("gone.toml")));
    assert!(shown(&gone).contains("gone.toml: cannot be read: "), "{}", shown(&gone));
    assert_eq!(load(Some(room.path())).mistakes.len(), 1);
    let latin = parse(Path::new("config.toml"), None, b"[settings]\n# caf\xe9\n");
    insta::assert_snapshot!(shown(&latin), @"
    config.toml:2:6: not UTF-8 text from here on, save the file as UTF-8
    usable:
    ");
    assert_eq!(shown(&own("\u{feff}# nothing\r\n")), "usable: ");
}

#[test]
fn a_file_that_ends_anywhere_is_read_without_a_panic() {
    let json =
        r#"{"mcpServers": {"ä": {"command": "x", "args": ["\u00e4", 1e5], "env": {"A": "${env:B}"}}}}"#;
    for text in [EXAMPLE, json] {
        for end in 0..text.len() {
            let bytes = text.as_bytes().get(..end).unwrap();
            let loaded = parse(Path::new("config"), None, bytes);
            assert!(loaded.mistakes.iter().all(|mistake| mistake.place.is_some()));
        }
    }
}

#[test]
fn no_mistake_and_no_debug_text_holds_a_secret() {
    const SECRET: &str = "s3cr3t";
    let texts = [
        "[servers.a]\ncommand = 'x'\nenv = { A = 's3cr3t' }\nargs = ['--key=s3cr3t']\n",
        "[servers.a]\ncommand = 'x'\nenv = { A = 's3cr3t, B = 'x' }\n",
        "[servers.a]\ncommand = 'x'\nenv = { A = s3cr3t }\n",
        "[servers.a]\ncommand = 'x'\nenv = 's3cr3t'\n",
        "[servers.a]\ncommand = 'x'\nenv = ['A=s3cr3t']\nargs = 's3cr3t'\n",
        "[servers.a]\ncommand = 'x'\nenv = { 'A=s3cr3t' = '' }\n",
        "[servers.a]\ncommand = 'x'\nenv = { A = '${env:s3cr3t', B = '${s3cr3t:x}', C = '${env:=s3cr3t}' }\n",
        "[servers.a]\ncommand = 'x'\nenv = { A = \"s3cr3t\\q\" }\n",
        "[servers.a]\ncommand = 'x'\nenv = { A = 's3cr3t' }\nenv = { A = 's3cr3t' }\n",
        "[servers.a]\ncommand = 'x'\ncwd = '${s3cr3t}'\nenabled = 's3cr3t'\n[settings]\ndurability = 's3cr3t'\n",
        r#"{"mcpServers": {"a": {"command": "x", "env": {"A": "s3cr3t"}, "args": ["s3cr3t"]}}}"#,
        r#"{"mcpServers": {"a": {"command": "x", "env": {"A": "s3cr3t" "B": 1}}}}"#,
        r#"{"mcpServers": {"a": {"command": "x", "env": {"A": s3cr3t}}}}"#,
        r#"{"mcpServers": {"a": {"command": "x", "env": {"A": "s3cr3t\q"}, "type": "s3cr3t"}}}"#,
        r#"{"mcpServers": {"a": {"command": "x", "type": "s3cr3t", "env": "s3cr3t"}}}"#,
    ];
    for text in texts {
        let loaded = own(text);
        let everything = format!("{loaded:?} {}", shown(&loaded));
        assert!(!everything.contains(SECRET), "{text}\n{everything}");
    }
}

#[test]
fn a_launch_key_depends_on_the_launch_and_nothing_else() {
    let key = |text: &str| LaunchKey::of(&only(text));
    let base = key("[servers.a]\ncommand = 'x'\nargs = ['a', 'b']\nenv = { A = '1', B = '2' }");
    insta::assert_snapshot!(base, @"68ed97a72510714c69e769e5daac17e0");
    assert_eq!(base, key("[servers.z]\ncommand='x'\nargs=['a','b']\nenv={B='9', A='8'}\nenabled=false"));
    let others = [
        "[servers.a]\ncommand = 'y'\nargs = ['a', 'b']\nenv = { A = '1', B = '2' }",
        "[servers.a]\ncommand = 'x'\nargs = ['ab']\nenv = { A = '1', B = '2' }",
        "[servers.a]\ncommand = 'x'\nargs = ['b', 'a']\nenv = { A = '1', B = '2' }",
        "[servers.a]\ncommand = 'x'\nargs = ['a', 'b', 'A']\nenv = { B = '2' }",
        "[servers.a]\ncommand = 'x'\nargs = ['a', 'b']\nenv = { A = '1' }\ncwd = '/B'",
        "[servers.a]\ncommand = 'x'\nargs = ['a', 'b']\nenv = { A = '1', B = '2' }\ncwd = '/'",
    ];
    let mut keys: Vec<_> = others.into_iter().map(|text| key(text).to_string()).collect();
    keys.push(base.to_string());
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), others.len() + 1);
}
