use super::*;

/// What a line offers, as `definition`.
#[track_caller]
fn offers(text: &str, expected: &[&str]) {
    let script = Script::parse(&format!("no-tools\n{text}")).unwrap();
    let definitions: Vec<&str> = script.offers.iter().map(|offer| offer.definition.as_str()).collect();
    assert_eq!(definitions, expected);
}

#[track_caller]
fn check(text: &str, expected: &[Action]) {
    let script = Script::parse(&format!("on tools/call: {text}")).unwrap();
    assert_eq!(script.rule(&Event::Method("tools/call".into())), Some(expected));
}

#[test]
fn actions_are_chained_with_semicolons() {
    check("stderr boom; exit 3", &[Action::Stderr("boom".into()), Action::Exit(3)]);
    check("sleep 10;", &[Action::Sleep(10)]);
}

#[test]
fn a_semicolon_in_a_json_string_does_not_separate() {
    check(r#"reply {"a":"x;\";y"}; hang"#, &[Action::Reply(r#"{"a":"x;\";y"}"#.into()), Action::Hang]);
    check(r"stderr a\;b", &[Action::Stderr("a;b".into())]);
}

#[test]
fn once_holds_another_action() {
    let action = Action::Once { marker: "/tmp/m".into(), action: Box::new(Action::Exit(7)) };
    check("once /tmp/m exit 7", &[action]);
}

#[test]
fn what_is_done_several_times_is_another_action() {
    let action = Action::Times { count: 3, action: Box::new(Action::Garbage("a b".into())) };
    check("times 3 garbage a b", &[action]);
}

#[test]
fn a_fork_may_hold_stdout_and_tell_its_id() {
    check("fork-deaf", &[Action::ForkDeaf { hold_stdout: false, pid_file: None }]);
    check("fork-deaf hold /t", &[Action::ForkDeaf { hold_stdout: true, pid_file: Some("/t".into()) }]);
}

#[test]
fn the_default_tool_is_echo_and_named_tools_are_offered() {
    let names = |text| Script::parse(text).unwrap().offers.into_iter().map(|t| t.name).collect::<Vec<_>>();
    assert_eq!(names(""), ["echo"]);
    assert_eq!(names("on tools/call slow: sleep 5"), ["echo", "slow"]);
    assert_eq!(names("tool a\ntools 2"), ["a", "tool_000", "tool_001"]);
}

#[test]
fn a_tools_members_keep_their_bytes() {
    let script = Script::parse(r#"tool t { "x" : 1E2 , "inputSchema":{"type":"object"} }"#).unwrap();
    assert_eq!(script.offers[0].definition, r#"{"name":"t", "x" : 1E2 , "inputSchema":{"type":"object"} }"#);
}

#[test]
fn the_last_rule_for_an_event_counts() {
    let script = Script::parse("on start: exit 1\non start: exit 2").unwrap();
    assert_eq!(script.rule(&Event::Start), Some([Action::Exit(2)].as_slice()));
}

#[test]
fn a_line_that_is_not_understood_is_named() {
    let mistake = Script::parse("on start: dance").unwrap_err();
    assert_eq!(mistake.to_string(), "no action `dance`: in `on start: dance`");
}

#[test]
fn each_kind_has_what_its_definition_needs() {
    offers(r#"tool t {"title":"T"}"#, &[r#"{"name":"t","inputSchema":{"type":"object"},"title":"T"}"#]);
    offers(r#"prompt p {"arguments": []}"#, &[r#"{"name":"p","arguments": []}"#]);
    offers(r#"resource a:b {"size":1}"#, &[r#"{"uri":"a:b","name":"a:b","size":1}"#]);
    offers(r#"resource a:b { "name":"n" }"#, &[r#"{"uri":"a:b", "name":"n" }"#]);
    offers(r#"template a:{x} {"name":"n"}"#, &[r#"{"uriTemplate":"a:{x}","name":"n"}"#]);
    offers("prompts 1", &[r#"{"name":"prompt_000","description":"prompt_000 of the fake server"}"#]);
}

#[test]
fn an_event_may_be_about_one_uri() {
    let script =
        Script::parse("no-tools\non resources/read file:///a: echo; hang\non prompts/get p:hang").unwrap();
    let chain = [Action::Echo, Action::Hang];
    assert_eq!(script.rule_for("resources/read", Some("file:///a")), Some(chain.as_slice()));
    assert_eq!(script.rule_for("resources/read", Some("file:///b")), None);
    let names: Vec<&str> = script.offers.iter().map(|offer| offer.name.as_str()).collect();
    assert_eq!(names, ["file:///a", "p"], "what is named is offered");
}

#[test]
fn input_may_have_a_state_whose_bytes_stay() {
    let input = |requests: &str, state: Option<&str>| Action::Input {
        requests: requests.to_owned(),
        state: state.map(str::to_owned),
    };
    check(r#"input {"a":{}}"#, &[input(r#"{"a":{}}"#, None)]);
    check(r"input {} plain text", &[input("{}", Some(r#""plain text""#))]);
    check(r#"input {"a" : 1} "\u0061;""#, &[input(r#"{"a" : 1}"#, Some(r#""\u0061;""#))]);
}

#[test]
fn revisions_belong_to_their_era() {
    let script = Script::parse("era dual\nversions 2025-06-18 2026-07-28 2027-01-01").unwrap();
    assert_eq!(script.era, Era::Dual);
    assert_eq!(script.modern_versions(), ["2026-07-28", "2027-01-01"]);
    assert_eq!(script.legacy_versions().collect::<Vec<_>>(), ["2025-06-18"]);
    assert_eq!(Script::default().modern_versions(), [MODERN]);
}
