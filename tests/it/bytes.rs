//! A proxied message changes in its id and its tool's name, and in no other byte.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::support::{Bridge, Room};

/// Calls of the property test.
const CASES: u32 = 400;

/// Stand for what the bridge replaces; no generated text holds a control character.
const ID: &str = "\u{1}ID\u{1}";
const NAME: &str = "\u{1}NAME\u{1}";

/// A whole `tools/call` with [`ID`] and [`NAME`] in their places.
#[derive(Debug, Clone)]
struct Case {
    line: String,
    id: String,
    /// The bytes of the arguments.
    arguments: String,
    /// Which of the server's tools is called.
    tool: &'static str,
    /// How its shown name is spelled in JSON.
    shown: String,
}

/// What the tool `odd` answers: strange, and well formed.
const ODD: &str = r#"{ "x":[1E2, 50.0 ,1180591620717411303424],"result":$ARGS , "id" :	$ID,"é\u0041":"\ud83d","jsonrpc":"2.0"}"#;

#[test]
fn a_call_and_its_result_keep_every_byte_but_id_and_name() {
    let odd = format!("on tools/call odd: raw {ODD}");
    let room = Room::new().server("s", &["record $ROOM/record", "on tools/call echo: reply $ARGS", &odd]);
    let mut bridge = room.start();
    bridge.initialize();
    // Starts the server, so that the record file is there.
    bridge.call("s__echo", json!({}));
    let record = File::open(room.path("record")).unwrap();
    let house = RefCell::new((bridge, Record(record)));
    let config =
        Config { cases: CASES, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&case(), |case| {
        let (bridge, record) = &mut *house.borrow_mut();
        check(bridge, record, &case)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn check(bridge: &mut Bridge, record: &mut Record, case: &Case) -> Result<(), TestCaseError> {
    record.rest();
    bridge.send(case.line.replace(ID, &case.id).replace(NAME, &case.shown));
    let answer = bridge.raw_answer_to(&case.id);
    let at_server = record.rest();
    prop_assert_eq!(at_server.lines().count(), 1, "{}", at_server);
    #[derive(Deserialize)]
    struct Sent<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    let sent: Sent<'_> = serde_json::from_str(&at_server).unwrap();
    let name = format!("\"{}\"", case.tool);
    prop_assert_eq!(
        at_server.trim_end_matches('\n'),
        case.line.replace(ID, sent.id.get()).replace(NAME, &name)
    );
    let expected = match case.tool {
        "echo" => format!(r#"{{"jsonrpc":"2.0","id":{},"result":{}}}"#, case.id, case.arguments),
        _ => ODD.replace("$ARGS", &case.arguments).replace("$ID", &case.id),
    };
    prop_assert_eq!(answer, expected);
    Ok(())
}

/// The file in which the server writes down what it received.
pub struct Record(pub File);

impl Record {
    /// What came since the last look.
    pub fn rest(&mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        text
    }
}

fn case() -> impl Strategy<Value = Case> {
    let params = (object(), extras(), meta());
    (params, extras(), id(), select(vec!["echo", "odd"]), spelling(), any::<(u64, u64)>()).prop_map(
        |((arguments, unknown, meta), others, id, tool, (method, escaped), (seed, other_seed))| {
            let mut members = vec![
                format!(r#""name":{NAME}"#),
                format!(r#""arguments":{arguments}"#),
                format!(r#""_meta" : {meta}"#),
            ];
            members.extend(unknown);
            let params = format!("{{{}}}", shuffled(members, seed).join(" ,"));
            let mut members = vec![
                r#""jsonrpc":"2.0""#.to_owned(),
                format!(r#""id": {ID}"#),
                method.to_owned(),
                format!(r#""params":{params}"#),
            ];
            members.extend(others);
            let line = format!("{{{}}}", shuffled(members, other_seed).join(","));
            let shown = if escaped { format!(r#""s\u005f_{tool}""#) } else { format!(r#""s__{tool}""#) };
            Case { line, id, arguments, tool, shown }
        },
    )
}

/// How the method is written, and whether the name is written with an escape.
fn spelling() -> impl Strategy<Value = (&'static str, bool)> {
    let methods =
        vec![r#""method":"tools/call""#, r#""method" :	"tools\/call""#, r#""m\u0065thod":"tools/c\u0061ll""#];
    (select(methods), any::<bool>())
}

pub fn shuffled(mut members: Vec<String>, seed: u64) -> Vec<String> {
    fastrand::Rng::with_seed(seed).shuffle(&mut members);
    members
}

pub fn id() -> impl Strategy<Value = String> {
    prop_oneof![number(), string()]
}

/// The request's metadata; a progress token may be any string or number.
fn meta() -> impl Strategy<Value = String> {
    let token = prop_oneof![number(), string()].prop_map(|token| format!(r#""progressToken":{token}"#));
    (proptest::option::of(token), extras()).prop_map(|(token, mut members)| {
        members.extend(token);
        format!("{{{}}}", members.join(", "))
    })
}

/// Members that nobody knows, each key once.
pub fn extras() -> impl Strategy<Value = Vec<String>> {
    let keys = vec![r#""x""#, r#""Ünknown""#, r#""\u0000""#, r#""task""#, r#""\ud83d\ude00""#, r#""""#];
    (proptest::sample::subsequence(keys, 0..=3), proptest::collection::vec(value(), 3)).prop_map(
        |(keys, values)| keys.into_iter().zip(values).map(|(key, value)| format!("{key}:{value}")).collect(),
    )
}

pub fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        number(),
        string(),
        select(vec!["null", "true", "false", "{}", "[]", "[ ]", "{\t}"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..4), space())
                .prop_map(|(items, space)| format!("[{space}{}]", items.join(&format!("{space},")))),
            (proptest::collection::vec((string(), inner), 0..4), space()).prop_map(|(members, space)| {
                let members: Vec<String> =
                    members.iter().map(|(key, value)| format!("{key}{space}:{value}")).collect();
                format!("{{{}{space}}}", members.join(&format!(",{space}")))
            }),
        ]
    })
}

pub fn object() -> impl Strategy<Value = String> {
    proptest::collection::vec((string(), value()), 0..5).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", " ", "\t", "  ", "\r"])
}

fn number() -> impl Strategy<Value = String> {
    let spelled = vec![
        "0",
        "-0",
        "1E2",
        "1e2",
        "1E+2",
        "50.0",
        "50.00",
        "1.5",
        "1e-7",
        "-1.5e300",
        "1E400",
        "0.1e1",
        "1180591620717411303424",
        "-170141183460469231731687303715884105728",
        "1.0000000000000000000001",
    ];
    prop_oneof![select(spelled).prop_map(str::to_owned), any::<i64>().prop_map(|number| number.to_string())]
}

/// A JSON string, with its quotes, as different writers spell it.
fn string() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a",
        "Z",
        "7",
        " ",
        "é",
        "日本",
        "😀",
        "\u{2028}",
        "\u{feff}",
        "\u{7f}",
        r"\u0041",
        r"\u00E9",
        r"\u00e9",
        r"\ud83d\ude00",
        r"\/",
        "/",
        r#"\""#,
        r"\\",
        r"\n",
        r"\u000a",
        r"\t",
        r"\u0000",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        ";",
        "'",
        "__",
        "\\\\\\\"",
    ];
    proptest::collection::vec(select(pieces), 0..8).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

#[test]
fn a_lone_surrogate_in_a_value_passes() {
    let room = Room::new().server("s", &["on tools/call echo: reply $ARGS"]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.send(
        r#"{"jsonrpc":"2.0","id":"\ud800","method":"tools/call","params":{"name":"s__echo","arguments":{"a":"\udfff\ud800x"}}}"#,
    );
    let line = bridge.raw_answer_to(r#""\ud800""#);
    assert_eq!(line, r#"{"jsonrpc":"2.0","id":"\ud800","result":{"a":"\udfff\ud800x"}}"#);
}

#[test]
fn errors_of_a_server_pass_as_they_are() {
    let error = r#"{"jsonrpc":"2.0","error" :{"data":[1E2],"message":"n\u006f","code":-1.0},"id":$ID}"#;
    let room = Room::new().server("s", &[&format!("on tools/call: raw {error}")]);
    let mut bridge = room.start();
    bridge.initialize();
    bridge.send(r#"{"jsonrpc":"2.0","id":"e","method":"tools/call","params":{"name":"s__echo"}}"#);
    assert_eq!(bridge.raw_answer_to("\"e\""), error.replace("$ID", "\"e\""));
    assert_eq!(bridge.rows("SELECT outcome FROM tool_calls"), [["rpc_error"]]);
}

#[test]
fn a_definition_keeps_every_byte_but_its_name() {
    let members = r#"{"x": 1E2,"annotations":{"readOnlyHint" :true},"y":"\u0041","outputSchema":{"a":[ ]}}"#;
    let room = Room::new().server("s", &[&format!("tool t {members}")]);
    let mut bridge = room.start();
    bridge.initialize();
    let id = bridge.request("tools/list", &json!({}));
    let line = bridge.raw_answer_to(&id.to_string());
    let inner = members.trim_matches(['{', '}']);
    assert!(line.contains(inner) && line.contains(r#"{"name":"s__t","#), "{line}");
}

#[test]
fn results_of_many_mib_pass_whole() {
    let room = Room::new().server("s", &["on tools/call big: big 20000000", "tool echo"]);
    let mut bridge = room.start();
    bridge.initialize();
    for _ in 0..3 {
        let answer = bridge.call("s__big", json!({}));
        assert_eq!(answer["result"]["content"][0]["text"].as_str().map(str::len), Some(20_000_000));
    }
    assert_eq!(bridge.call("s__echo", json!({}))["result"]["structuredContent"], json!({}));
}
