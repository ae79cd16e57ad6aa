//! What an entry says of its server's tools.

use super::{only, own, parsed, shown};

use crate::config::change::Change;
use crate::config::tools::OnChange;
use crate::tools::Rules;

const ENTRY: &str = "[servers.s]\ncommand = 'x'\n";

#[test]
fn an_entry_says_which_tools_are_shown_and_how() {
    let server = only(&format!(
        "{ENTRY}on_tool_change = 'log'\n[servers.s.tools]\nallow = ['a*', 'b']\ndeny = ['ab']\nrename.a1 = 'new-1'\n\
         describe = {{ b = 'Words.' }}\n"
    ));
    let rules = &server.tools;
    assert_eq!(["a1", "ab", "b", "c"].map(|tool| rules.show(tool)), [true, false, true, false]);
    assert_eq!((rules.name_of("a1"), rules.describe["b"].as_str()), ("new-1", "Words."));
    assert_eq!(server.on_tool_change, Some(OnChange::Log));
    let plain = only(ENTRY);
    assert_eq!((&*plain.tools, plain.on_tool_change), (&Rules::default(), None));
}

#[test]
fn every_mistake_about_tools_has_its_line() {
    let loaded = own("[servers.a_server_with_a_name]\ncommand = 'x'\non_tool_change = 'panic'\n\
         [servers.a_server_with_a_name.tools]\nalow = ['x']\nallow = []\ndeny = ['ok', 'secret[', 7]\n\
         [servers.a_server_with_a_name.tools.rename]\na = 'has space'\nb = ''\nc = 'same'\nd = 'same'\n\
         e = 'this_name_is_far_too_long_for_it'\n[servers.a_server_with_a_name.tools.describe]\na = ' '\nb = 7\n\
         [servers.t]\ncommand = 'x'\ntools = ['*']\n");
    insta::assert_snapshot!(shown(&loaded), @r#"
    config.toml:3:1: servers.a_server_with_a_name.on_tool_change: must be one of "log", "notify", "quarantine"
    config.toml:5:1: servers.a_server_with_a_name.tools.alow: unknown key, did you mean "allow"?
    config.toml:6:1: servers.a_server_with_a_name.tools.allow: allows no tool at all: leave it out for all of them, or write enabled = false
    config.toml:7:15: servers.a_server_with_a_name.tools.deny[1]: is no pattern of names: unclosed character class; missing ']'
    config.toml:7:26: servers.a_server_with_a_name.tools.deny[2]: must be a text, found an integer
    config.toml:9:1: servers.a_server_with_a_name.tools.rename.a: a tool's name is made of letters, digits, "_" and "-" (a-z, A-Z, 0-9)
    config.toml:10:1: servers.a_server_with_a_name.tools.rename.b: a tool's name is made of letters, digits, "_" and "-" (a-z, A-Z, 0-9)
    config.toml:12:1: servers.a_server_with_a_name.tools.rename.d: another tool is given the same name, choose another one
    config.toml:13:1: servers.a_server_with_a_name.tools.rename.e: with the server's name before it this is too long, it may have 28 characters
    config.toml:15:1: servers.a_server_with_a_name.tools.describe.a: cannot be empty: a model would not know what the tool is for
    config.toml:16:1: servers.a_server_with_a_name.tools.describe.b: must be a text, found an integer
    config.toml:19:1: servers.t.tools: must be a table, found a list
    usable:
    "#);
}

#[test]
fn another_programs_tools_are_its_own_unless_they_are_written_as_ours() {
    let entry = |tools: &str| {
        parsed("c.json", &format!(r#"{{"servers":{{"s":{{"command":"x","tools":{tools}}}}}}}"#))
    };
    for foreign in [r#"["*"]"#, r#"{"some_tool":{"enabled":false}}"#, "7", "null"] {
        let loaded = entry(foreign);
        assert_eq!(shown(&loaded), "usable: s", "{foreign}");
        assert_eq!(*loaded.config.servers[0].tools, Rules::default());
    }
    let ours = entry(r#"{"deny":["a"],"else":1}"#);
    assert!(!ours.config.servers[0].tools.show("a"));
    insta::assert_snapshot!(shown(&ours), @r"
    note c.json:1:54: servers.s.tools.else: this key is not known here and has no effect
    usable: s
    ");
}

#[test]
fn tools_that_are_shown_otherwise_are_no_reason_to_start_a_server_anew() {
    let old = own(&format!("{ENTRY}[servers.t]\ncommand = 't'\n"));
    let change = |text: &str| {
        let Change { changed, shown, settings, later, .. } = Change::between(&old.config, &own(text).config);
        let names =
            |all: &[crate::names::ServerName]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        (names(&changed), names(&shown), settings.len() + later.len())
    };
    let s = || vec!["s".to_owned()];
    for more in ["tools.deny = ['a']", "tools.rename.a = 'b'", "on_tool_change = 'quarantine'"] {
        let text = format!("{ENTRY}{more}\n[servers.t]\ncommand = 't'\n");
        assert_eq!(change(&text), (vec![], s(), 0), "{more}");
    }
    let both = format!("{ENTRY}tools.deny = ['a']\nargs = ['a']\n[servers.t]\ncommand = 't'\n");
    assert_eq!(change(&both), (s(), vec![], 0));
    let all = format!(
        "[settings]\non_tool_change = 'log'\n{ENTRY}on_tool_change = 'notify'\n[servers.t]\ncommand = 't'\n"
    );
    assert_eq!(change(&all), (vec![], vec!["t".to_owned()], 0));
}
