use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::frames::Cutter;

fn line(id: usize) -> Bytes {
    Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x"}}}}"#))
}

/// One life of a hub.
#[derive(Debug, Clone)]
struct Life {
    /// Requests that the client sends in it.
    asks: usize,
    /// Which of its requests it hands to a server.
    dispatches: Vec<bool>,
    /// Which of those it answers.
    answers: Vec<bool>,
    /// How much of what it said is lost with it, in bytes.
    lost: usize,
    /// It says everything twice.
    repeats: bool,
}

fn life() -> impl Strategy<Value = Life> {
    let bits = || prop::collection::vec(any::<bool>(), 1..8);
    (0..5_usize, bits(), bits(), 0..120_usize, any::<bool>()).prop_map(
        |(asks, dispatches, answers, lost, repeats)| Life { asks, dispatches, answers, lost, repeats },
    )
}

/// What a hub was told since it was last asked.
fn heard(stream: &mut UnixStream, cutter: &mut Cutter) -> Vec<Framed> {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4096];
    while let Ok(count) = stream.read(&mut bytes) {
        cutter.room().extend_from_slice(&bytes[..count]);
        if count == 0 {
            break;
        }
    }
    std::iter::from_fn(|| cutter.next_frame().unwrap()).collect()
}

fn take_all(front: &Front, stream: &mut UnixStream, out: &mut Vec<u8>) {
    let mut cutter = Cutter::default();
    let mut bytes = Vec::new();
    // Those who die with something unread reset the conversation, after what they said.
    let _ = stream.read_to_end(&mut bytes);
    cutter.room().extend_from_slice(&bytes);
    while let Some(framed) = cutter.next_frame().unwrap() {
        front.take(&framed, out).unwrap();
    }
}

/// Lives of hubs, each of which dies at some byte of what it says; the last one answers everything.
fn check(lives: &[Life]) -> Result<(), TestCaseError> {
    let (front, mut out, mut asked) = (Front::default(), Vec::new(), 0);
    let mut done: BTreeSet<u64> = BTreeSet::new();
    let last = Life { asks: 1, dispatches: vec![true], answers: vec![true], lost: 0, repeats: false };
    for life in lives.iter().chain([&last]) {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        front.attach(ours.try_clone().unwrap());
        for _ in 0..life.asks {
            front.hear(&[line(asked)]);
            asked += 1;
        }
        let mut said = Vec::new();
        for (place, Framed { kind, seq, body }) in
            heard(&mut theirs, &mut Cutter::default()).into_iter().enumerate()
        {
            let may_run = matches!(kind, Kind::Request | Kind::Again);
            prop_assert!(!may_run || !done.contains(&seq), "a call was done twice");
            if may_run && life.dispatches[place % life.dispatches.len()] {
                front.dispatched(seq);
                done.insert(seq);
            }
            if life.answers[place % life.answers.len()] {
                let id = String::from_utf8(body.to_vec()).unwrap();
                let answer = format!("{}\n", id.replace("\"method\"", "\"was\""));
                for _ in 0..=usize::from(life.repeats) {
                    said.extend_from_slice(&head(Kind::Answer, seq, answer.len()));
                    said.extend_from_slice(answer.as_bytes());
                }
            }
        }
        said.truncate(said.len().saturating_sub(life.lost));
        theirs.set_nonblocking(false).unwrap();
        theirs.write_all(&said).unwrap();
        drop(theirs);
        take_all(&front, &mut ours, &mut out);
        front.hub_died(&mut out).unwrap();
    }
    prop_assert_eq!(front.unanswered(), 0);
    let text = String::from_utf8(out).unwrap();
    prop_assert!(text.is_empty() || text.ends_with('\n'));
    let mut answers: BTreeMap<u64, usize> = BTreeMap::new();
    for line in text.lines() {
        let whole: serde_json::Value = serde_json::from_str(line).unwrap();
        *answers.entry(whole["id"].as_u64().unwrap()).or_default() += 1;
    }
    prop_assert!(answers.len() == asked && answers.values().all(|count| *count == 1), "{:?}", answers);
    Ok(())
}

proptest! {
    #[test]
    fn a_hub_may_die_at_any_byte_and_each_request_has_one_whole_answer(
        lives in prop::collection::vec(life(), 0..6),
    ) {
        check(&lives)?;
    }
}

#[test]
fn the_next_hub_hears_the_session_before_the_requests() {
    let front = Front::default();
    let mut out = Vec::new();
    let (ours, mut hub) = UnixStream::pair().unwrap();
    front.attach(ours);
    front.hear(&[Bytes::from_static(br#"{"id":0,"method":"initialize"}"#)]);
    let mut cutter = Cutter::default();
    let opened = heard(&mut hub, &mut cutter);
    let answer = Framed {
        kind: Kind::Answer,
        seq: opened[0].seq,
        body: Bytes::from_static(b"{\"id\":0,\"result\":{}}\n"),
    };
    front.take(&answer, &mut out).unwrap();
    front.hear(&[Bytes::from_static(br#"{"method":"notifications/initialized"}"#)]);
    front.hear(&[line(1)]);
    heard(&mut hub, &mut cutter);
    front.hub_died(&mut out).unwrap();
    front.hear(&[line(2)]);
    front.hear(&[Bytes::from_static(br#"{"method":"notifications/roots/list_changed"}"#)]);
    let (ours, mut hub) = UnixStream::pair().unwrap();
    front.attach(ours);
    let kinds: Vec<Kind> = heard(&mut hub, &mut Cutter::default()).iter().map(|framed| framed.kind).collect();
    assert_eq!(kinds, [Kind::Restore, Kind::Restore, Kind::Again, Kind::Request]);
}

#[test]
fn what_the_client_was_asked_is_taken_back_with_the_hub_that_asked() {
    let front = Front::default();
    let mut out = Vec::new();
    let ask = Bytes::from_static(b"{\"id\":7,\"method\":\"roots/list\"}\n");
    front.take(&Framed { kind: Kind::Line, seq: 0, body: ask }, &mut out).unwrap();
    out.clear();
    front.hub_died(&mut out).unwrap();
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains(r#""method":"notifications/cancelled","params":{"requestId":7,"#)
    );
    assert_eq!(front.last_ask(), 7);
}

#[test]
fn without_a_hub_a_client_is_answered_all_the_same() {
    let (front, mut out) = (Front::default(), Vec::new());
    front.hear(&[line(1)]);
    front.hear(&[Bytes::from_static(br#"{"id":2,"method":"ping"}"#)]);
    front.no_hub(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("\"kind\":\"unavailable\"") && text.contains(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#),
        "{text}"
    );
    assert_eq!(front.unanswered(), 0);
}

#[test]
fn a_client_that_asks_for_too_much_at_once_is_not_read_until_something_is_answered() {
    let (front, mut out) = (std::sync::Arc::new(Front::default()), Vec::new());
    let long = format!(r#"{{"id":1,"method":"x","params":"{}"}}"#, "x".repeat(UNANSWERED_BYTES_MAX));
    front.hear(&[Bytes::from(long)]);
    let second = std::thread::spawn({
        let front = std::sync::Arc::clone(&front);
        move || front.hear(&[line(2)])
    });
    while !second.is_finished() {
        assert!(front.unanswered() <= 1 || out.is_empty());
        front.no_hub(&mut out).unwrap();
        std::thread::yield_now();
    }
    second.join().unwrap();
}

#[test]
fn who_asks_a_hub_whether_it_is_there_does_not_wait_for_it_to_read() {
    let front = std::sync::Arc::new(Front::default());
    let (ours, _hub) = UnixStream::pair().unwrap();
    let mut full = ours.try_clone().unwrap();
    front.attach(ours);
    full.set_nonblocking(true).unwrap();
    while full.write(&[0]).is_ok() {}
    full.set_nonblocking(false).unwrap();
    let (say, said) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn({
        let front = std::sync::Arc::clone(&front);
        move || {
            front.say(Kind::Ping, 0);
            say.send(()).unwrap();
        }
    });
    said.recv_timeout(Duration::from_secs(5)).unwrap();
    let (ours, mut hub) = UnixStream::pair().unwrap();
    front.attach(ours);
    front.say(Kind::Ping, 0);
    let kinds: Vec<Kind> = heard(&mut hub, &mut Cutter::default()).iter().map(|framed| framed.kind).collect();
    assert_eq!(kinds, [Kind::Ping], "one that reads is asked");
}

#[test]
fn a_ping_that_was_with_a_hub_when_it_ended_is_answered_without_one() {
    let (front, mut out) = (Front::default(), Vec::new());
    let (ours, _hub) = UnixStream::pair().unwrap();
    front.attach(ours);
    front.hear(&[line(1), Bytes::from_static(br#"{"id":2,"method":"ping"}"#)]);
    front.hub_left(&mut out).unwrap();
    front.answer_pings(&mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap().trim_end(), r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
    assert_eq!(front.unanswered(), 1);
}
