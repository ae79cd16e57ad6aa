//! What is said of clients, and what is known of them.

use std::time::Duration;

use super::{own, shown};

use crate::config::clients::{Clients, Limits};
use crate::config::settings::MIB;

const BEHIND: usize = 64 << 10;

fn limits(text: &str, name: Option<&str>) -> Limits {
    let loaded = own(text);
    assert_eq!(loaded.mistakes, []);
    Clients::new(loaded.config.clients.clone(), &loaded.config.settings).limits(name)
}

#[track_caller]
fn check(text: &str, name: Option<&str>, after_s: Option<u64>, line_bytes_max: usize) {
    let handoff_after = after_s.map(Duration::from_secs);
    assert_eq!(limits(text, name), Limits { handoff_after, line_bytes_max }, "{name:?} with {text:?}");
}

#[test]
fn a_client_can_stand_what_is_known_of_it() {
    check("", Some("claude-ai"), Some(50), 10 * MIB - BEHIND);
    check("", Some("claude-code"), None, 10 * MIB - BEHIND);
    check("", Some("Zed"), Some(50), 64 * MIB);
    // A name is what the client says, to the letter.
    check("", Some("zed"), None, 64 * MIB);
    check("", None, None, 64 * MIB);
}

#[test]
fn what_is_said_of_a_client_goes_before_what_is_known() {
    let settings = "[settings]\nhandoff_after_s = 7\nout_line_max_mib = 2\n";
    check(settings, Some("Zed"), Some(7), 2 * MIB);
    check(settings, Some("else"), None, 2 * MIB);
    let clients = "[settings]\nhandoff_after_s = 0\n[clients.else]\nhandoff_after_s = 3\n\
                   [clients.claude-ai]\nresult_max_mib = 1\n[clients.'a b']\nresult_max_mib = 100\n";
    check(clients, Some("else"), Some(3), 64 * MIB);
    check(clients, Some("claude-ai"), None, MIB - BEHIND);
    check(clients, Some("a b"), None, 100 * MIB - BEHIND);
    check("[clients.Zed]\nhandoff_after_s = 0\n", Some("Zed"), None, 64 * MIB);
}

#[test]
fn mistakes_in_what_is_said_of_clients_are_named() {
    let loaded = own("[clients.'my client']\nresult_max_mb = 1\nhandoff_after_s = -1\n\
                      [clients]\nZed = 7\n");
    insta::assert_snapshot!(shown(&loaded), @r#"
    config.toml:2:1: clients."my client".result_max_mb: unknown key, did you mean "result_max_mib"?
    config.toml:3:1: clients."my client".handoff_after_s: must be from 0 to 86400
    config.toml:5:1: clients.Zed: must be a table, found an integer
    usable: 
    "#);
}
