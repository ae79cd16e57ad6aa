use std::os::unix::net::UnixStream;

use bytes::Bytes;
use proptest::prelude::*;

use super::state::{self, BadState, Left};
use super::*;
use crate::frames::{Framed, Kind, head};
use crate::front::{Front, lock};
use crate::lines::Excess;

/// What happens to a front before another program goes on with its session.
#[derive(Debug, Clone)]
enum Event {
    Hears(Vec<u8>),
    /// The hub answers the oldest request, or asks the client something.
    Answers,
    Asks(u32),
    /// It is about to write the newest one to a server.
    Dispatches,
    Dies,
    /// There is no hub for long.
    NoHub,
}

fn event() -> impl Strategy<Value = Event> {
    let id = any::<u8>();
    let method = prop::sample::select(vec![
        "initialize",
        "tools/list",
        "tools/call",
        "logging/setLevel",
        "resources/subscribe",
        "ping",
    ]);
    let request = (id, method, ".{0,40}").prop_map(|(id, method, uri)| {
        let line = serde_json::json!({ "id": id, "method": method, "params": { "uri": uri } });
        Event::Hears(line.to_string().into_bytes())
    });
    let cancel = id.prop_map(|id| {
        format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#).into_bytes()
    });
    let opened = Just(br#"{"method":"notifications/initialized"}"#.to_vec());
    // No message, with an id all the same, and no UTF-8.
    let misfit = prop::collection::vec(128..=255_u8, 0..20)
        .prop_map(|bytes| [br#"{"id":7,"method":"#.as_slice(), &bytes].concat());
    let other = prop_oneof![cancel, opened, misfit].prop_map(Event::Hears);
    prop_oneof![
        5 => request,
        2 => other,
        2 => Just(Event::Answers),
        1 => any::<u32>().prop_map(Event::Asks),
        2 => Just(Event::Dispatches),
        1 => Just(Event::Dies),
        1 => Just(Event::NoHub),
    ]
}

fn rest() -> impl Strategy<Value = Rest> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    let too_long =
        (bytes(), bytes(), any::<usize>()).prop_map(|(head, tail, bytes)| Excess { head, tail, bytes });
    (bytes(), prop::option::of(too_long)).prop_map(|(half, too_long)| Rest { half, too_long })
}

fn said(front: &Front, kind: Kind, seq: u64, body: String) {
    front.take(&Framed { kind, seq, body: Bytes::from(body) }, &mut Vec::new()).unwrap();
}

/// A front to which all of that has happened, and whose last hub is gone.
fn front(events: Vec<Event>) -> Front {
    let front = Front::default();
    let (ours, mut hub) = UnixStream::pair().unwrap();
    front.attach(ours);
    for event in events {
        let seqs: Vec<u64> =
            lock(&front.book).ledger.requests().unwrap().iter().map(|[known, _]| known.seq).collect();
        let is_long = matches!(event, Event::NoHub);
        match (event, seqs.first(), seqs.last()) {
            (Event::Hears(line), ..) => front.hear(&[line.into()]),
            (Event::Answers, Some(first), _) => {
                said(&front, Kind::Answer, *first, "{\"id\":1,\"result\":{\"tools\":[]}}\n".into());
            }
            (Event::Asks(id), ..) => {
                said(&front, Kind::Line, 0, format!("{{\"id\":{id},\"method\":\"roots/list\"}}\n"));
            }
            (Event::Dispatches, _, Some(last)) => front.dispatched(*last),
            (Event::Dies | Event::NoHub, ..) => {
                front.hub_died(&mut Vec::new()).unwrap();
                if is_long {
                    front.no_hub(&mut Vec::new()).unwrap();
                }
                let ours;
                (ours, hub) = UnixStream::pair().unwrap();
                front.attach(ours);
            }
            _ => {}
        }
    }
    drop(hub);
    front.hub_died(&mut Vec::new()).unwrap();
    front
}

const ENDS: Numbers = Numbers { stdin: 5, stdout: 6, lock: 7, hub: 8, dispatched: 9 };

fn welcome() -> Welcome {
    serde_json::from_str(r#"{"version":1,"pid":1,"line_bytes_max":7}"#).unwrap()
}

fn written(front: &Front, rest: &Rest) -> File {
    let mut file = tempfile::tempfile().unwrap();
    state::write(&mut file, front, "0123", ENDS, &welcome(), rest).unwrap();
    file
}

fn seen(front: &Front) -> String {
    format!("{:?} {:?}", lock(&front.book), front.ids)
}

proptest! {
    #[test]
    fn a_state_that_was_written_and_read_is_the_same_session(
        events in prop::collection::vec(event(), 0..40),
        rest in rest(),
    ) {
        let front = front(events);
        let read = state::read(written(&front, &rest)).unwrap();
        prop_assert_eq!(seen(&front), seen(&read.front));
        let Left { session, ends, welcome, rest: read, .. } = read;
        prop_assert_eq!((&session[..], ends, welcome.line_bytes_max, read), ("0123", ENDS, 7, rest));
    }

    #[test]
    fn one_that_ends_too_early_is_no_session(
        events in prop::collection::vec(event(), 0..10),
        lost in 1..400_u64,
    ) {
        let file = written(&front(events), &Rest::default());
        let whole = file.metadata().unwrap().len();
        file.set_len(whole.saturating_sub(lost)).unwrap();
        prop_assert!(matches!(state::read(file), Err(BadState::Torn)));
    }
}

#[test]
fn one_of_another_version_is_named() {
    let mut file = tempfile::tempfile().unwrap();
    let later = br#"{"version":2,"all else":"is different"}"#;
    file.write_all(&[&head(Kind::Hello, 0, later.len())[..], later].concat()).unwrap();
    let error = state::read(file).unwrap_err();
    assert!(error.to_string().contains("version 2, and this bridge knows version 1"), "{error}");
}

#[test]
fn only_a_newer_program_that_knows_the_state_takes_over() {
    let welcome = |bridge: &str, resumes: &[u32]| Welcome {
        bridge: bridge.into(),
        resumes: resumes.to_vec(),
        ..welcome()
    };
    assert!(is_wanted(&welcome("99.0.0", &[1, 2])));
    assert!(!is_wanted(&welcome("99.0.0", &[2])));
    assert!(!is_wanted(&welcome("99.0.0", &[])));
    assert!(!is_wanted(&welcome(version::own(), &[1])));
}
