//! Whatever passes through changes in its id and in the names that are shown, in both directions.

use std::cell::RefCell;
use std::fs::File;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::bytes::{Record, extras, id, object, shuffled, value};
use crate::support::{Bridge, Room};

/// Cases of each property.
const CASES: u32 = 200;

/// Stands for the id; no generated text holds a control character.
const ID: &str = "\u{1}ID\u{1}";

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

#[track_caller]
fn id_of(line: &str) -> String {
    serde_json::from_str::<Head<'_>>(line).unwrap().id.get().to_owned()
}

/// A line of these members and others that nobody knows, in any order, with [`ID`] in the place of its id.
fn line(members: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = String> {
    (members, extras(), any::<u64>()).prop_map(|(mut members, others, seed)| {
        members.extend(others);
        members.push(format!(r#""id" : {ID}"#));
        format!("{{{}}}", shuffled(members, seed).join(" ,"))
    })
}

/// An object of these members and others that nobody knows, in any order.
fn params(members: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = String> {
    (members, extras(), any::<u64>()).prop_map(|(mut members, others, seed)| {
        members.extend(others);
        format!("{{{}}}", shuffled(members, seed).join(", "))
    })
}

fn run<T: std::fmt::Debug>(cases: impl Strategy<Value = T>, check: impl Fn(T) -> Result<(), TestCaseError>) {
    let config =
        Config { cases: CASES, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
    if let Err(error) = TestRunner::new(config).run(&cases, check) {
        panic!("{error}");
    }
}

/// A bridge whose server answers with the arguments' own bytes, and what the server receives.
fn answering() -> (Room, RefCell<(Bridge, Record)>) {
    let answer = r#"{"x" :[1E2],"id": $ID,"result":$ARGS,"y":50.0}"#;
    let room = Room::new().server(
        "s",
        &[
            "record $ROOM/record",
            "prompt p",
            "resource a:b",
            &format!("on prompts/get: raw {answer}"),
            &format!("on resources/read: raw {answer}"),
            &format!("on x/y: raw {answer}"),
        ],
    );
    let mut bridge = room.start();
    bridge.initialize();
    bridge.ask("prompts/list", &json!({}));
    let record = Record(File::open(room.path("record")).unwrap());
    (room, RefCell::new((bridge, record)))
}

#[test]
fn a_request_that_calls_no_tool_keeps_every_byte_but_id_and_name_and_so_does_its_answer() {
    let kinds = vec![
        ("prompts/get", r#""name": "s__p""#, r#""name": "p""#),
        ("prompts/get", r#""n\u0061me":"\u0073__p""#, r#""n\u0061me":"p""#),
        ("resources/read", r#""uri":"a:\u0062""#, r#""uri":"a:\u0062""#),
        ("x/y", r#""name":"z""#, r#""name":"z""#),
    ];
    let cases = select(kinds).prop_flat_map(|(method, here, there)| {
        let arguments = object();
        let line = arguments.prop_flat_map(move |arguments| {
            let members = vec![here.to_owned(), format!(r#""arguments":{arguments}"#)];
            let line = line(params(Just(members)).prop_map(move |params| {
                vec![format!(r#""method":"{method}""#), format!(r#""params" :{params}"#)]
            }));
            (line, Just(arguments))
        });
        (line, id(), Just((here, there)))
    });
    let (_room, house) = answering();
    run(cases, |((line, arguments), id, (here, there))| {
        let (bridge, record) = &mut *house.borrow_mut();
        record.rest();
        bridge.send(line.replace(ID, &id));
        let answer = bridge.raw_answer_to(&id);
        prop_assert_eq!(answer, format!(r#"{{"x" :[1E2],"id": {id},"result":{arguments},"y":50.0}}"#));
        let received = record.rest();
        let received = received.trim_end_matches('\n');
        // The name stands nowhere else: no generated key is one of ours.
        let expected = line.replacen(here, there, 1).replace(ID, &id_of(received));
        prop_assert_eq!(received, expected);
        Ok(())
    });
}

#[test]
fn a_question_and_its_answer_keep_every_byte_but_the_id() {
    let methods = vec!["sampling/createMessage", "elicitation/create", "roots/list", "x/y"];
    let question = line((select(methods), params(Just(Vec::new()))).prop_map(|(method, params)| {
        vec![format!(r#""method" :"{method}""#), format!(r#""params":{params}"#)]
    }));
    let answer =
        line((select(vec!["result", "error"]), prop_oneof![object(), value()]).prop_map(|(kind, value)| {
            // An error that is null is none.
            let value = if value == "null" { "{}".to_owned() } else { value };
            vec![format!(r#""{kind}": {value}"#)]
        }));
    // The server says its arguments as they are. They stand in a batch of one, which revision 2025-03-26
    // allows: so a line that begins with any member is no matter.
    let answered = r#"{"jsonrpc":"2.0","id":$ID,"result":{}}"#;
    let room = Room::new()
        .server("s", &["record $ROOM/record", &format!("on tools/call: notify [$ARGS]; raw {answered}")]);
    let mut bridge = room.start();
    bridge.initialize_as("2025-03-26");
    bridge.call("s__echo", json!({ "jsonrpc": "2.0", "method": "x" }));
    bridge.told("x");
    let record = Record(File::open(room.path("record")).unwrap());
    let house = RefCell::new((bridge, record));
    run((question, id(), answer), |(question, id, answer)| {
        let (bridge, record) = &mut *house.borrow_mut();
        let arguments = question.replace(ID, &id);
        bridge.send(format!(
            r#"{{"jsonrpc":"2.0","id":"call","method":"tools/call","params":{{"name":"s__echo","arguments":{arguments}}}}}"#
        ));
        let asked = bridge.recv_line();
        bridge.raw_answer_to("\"call\"");
        let own = id_of(&asked);
        prop_assert_eq!(&asked, &question.replace(ID, &own));
        record.rest();
        bridge.send(answer.replace(ID, &own));
        // What is said after it comes after it.
        bridge.send(
            r#"{"jsonrpc":"2.0","id":"end","method":"tools/call","params":{"name":"s__echo","arguments":7}}"#,
        );
        bridge.raw_answer_to("\"end\"");
        let received = record.rest();
        prop_assert_eq!(received.lines().next().unwrap_or_default(), answer.replace(ID, &id));
        Ok(())
    });
}
