use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn line(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn request(id: u64, method: &str) -> Bytes {
    line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{}}}}"#))
}

fn told(seq: u64, is_call: bool) -> Told {
    Told { seq, id: seq.to_string().into(), is_call }
}

fn again(seq: u64, method: &str) -> Fate {
    Fate::Again { seq, line: request(seq, method) }
}

/// A ledger in which this request was given to a hub.
fn sent(method: &str, dispatched: bool) -> Ledger {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.hear(&request(1, method), 1), Heard::Request(1));
    ledger.sent(1);
    if dispatched {
        ledger.dispatched(1);
    }
    ledger
}

#[test]
fn what_no_server_saw_is_sent_again_and_what_one_saw_is_not() {
    assert_eq!(sent("tools/call", false).hub_died(), [again(1, "tools/call")]);
    assert_eq!(sent("tools/call", true).hub_died(), [Fate::Unknown(told(1, true))]);
    assert_eq!(sent("x/y", true).hub_died(), [Fate::Unknown(told(1, false))]);
    assert_eq!(sent("resources/read", true).hub_died(), [again(1, "resources/read")]);
}

#[test]
fn a_request_that_saw_two_hubs_die_sees_no_third() {
    let mut ledger = sent("tools/call", false);
    ledger.hub_died();
    // A hub that never had it did not die of it.
    assert_eq!(ledger.hub_died(), [again(1, "tools/call")]);
    ledger.sent(1);
    assert_eq!(ledger.hub_died(), [Fate::Refused(told(1, true))]);
    assert!(ledger.is_empty() && !ledger.answered(1));
    let mut ledger = sent("resources/read", true);
    ledger.hub_died();
    ledger.sent(1);
    ledger.dispatched(1);
    assert_eq!(ledger.hub_died(), [Fate::Unknown(told(1, false))]);
}

#[test]
fn a_subscription_outlives_any_number_of_hubs() {
    let mut ledger = sent("subscriptions/listen", false);
    for _ in 0..10 {
        assert_eq!(ledger.hub_died(), [again(1, "subscriptions/listen")]);
        ledger.sent(1);
    }
}

#[test]
fn what_the_client_took_back_is_forgotten_with_its_hub() {
    let mut ledger = sent("tools/call", false);
    let cancel = line(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    assert_eq!(ledger.hear(&cancel, 2), Heard::Line);
    assert_eq!(ledger.hub_died(), []);
    assert_eq!((ledger.len(), ledger.bytes()), (0, 0));
}

#[test]
fn only_requests_are_kept() {
    let mut ledger = Ledger::default();
    for text in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
        "[]",
        "x",
    ] {
        assert_eq!(ledger.hear(&line(text), 1), Heard::Line, "{text}");
    }
    assert_eq!(ledger.len(), 0);
}

/// What happens between a client, a front and its hubs.
#[derive(Debug, Clone)]
enum Step {
    Ask(usize),
    Send,
    Dispatch(usize),
    Answer(usize),
    AnswerTwice(usize),
    Cancel(usize),
    Die,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..METHODS.len()).prop_map(Step::Ask),
        Just(Step::Send),
        any::<usize>().prop_map(Step::Dispatch),
        any::<usize>().prop_map(Step::Answer),
        any::<usize>().prop_map(Step::AnswerTwice),
        any::<usize>().prop_map(Step::Cancel),
        Just(Step::Die),
    ]
}

const METHODS: [&str; 4] = ["tools/call", "tools/list", "resources/read", "x/y"];

/// A request as an onlooker sees it.
#[derive(Debug, Default)]
struct Seen {
    method: &'static str,
    answers: u32,
    cancelled: bool,
    with_hub: bool,
    /// This hub has sent it to a server; whether it does so again is its own affair.
    is_dispatched: bool,
    /// In how many lives of the hub a server may have done it.
    dispatches: u32,
    deaths: u32,
}

proptest! {
    #[test]
    fn each_request_is_answered_once_and_nothing_is_done_twice(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut ledger = Ledger::default();
        let mut seen: BTreeMap<u64, Seen> = BTreeMap::new();
        let mut next = 0;
        for step in steps {
            let pick = |choice: usize, may: &dyn Fn(&Seen) -> bool| {
                let able: Vec<u64> = seen.iter().filter(|(_, seen)| may(seen)).map(|(seq, _)| *seq).collect();
                (!able.is_empty()).then(|| able[choice % able.len()])
            };
            match step {
                Step::Ask(method) => {
                    next += 1;
                    let method = METHODS[method];
                    ledger.hear(&request(next, method), next);
                    seen.insert(next, Seen { method, ..Seen::default() });
                }
                Step::Send => {
                    for (seq, request) in seen.iter_mut().filter(|(_, seen)| !seen.with_hub && seen.answers == 0) {
                        ledger.sent(*seq);
                        request.with_hub = true;
                    }
                }
                Step::Dispatch(choice) => {
                    let may = |seen: &Seen| seen.with_hub && !seen.is_dispatched && seen.answers == 0;
                    if let Some(seq) = pick(choice, &may) {
                        ledger.dispatched(seq);
                        let seen = seen.get_mut(&seq).unwrap();
                        (seen.is_dispatched, seen.dispatches) = (true, seen.dispatches + 1);
                    }
                }
                Step::Answer(choice) => {
                    if let Some(seq) = pick(choice, &|seen| seen.with_hub && seen.answers == 0) {
                        prop_assert!(ledger.answered(seq));
                        seen.get_mut(&seq).unwrap().answers += 1;
                    }
                }
                Step::AnswerTwice(choice) => {
                    if let Some(seq) = pick(choice, &|seen| seen.answers > 0) {
                        prop_assert!(!ledger.answered(seq), "a late duplicate is dropped");
                    }
                }
                Step::Cancel(choice) => {
                    if let Some(seq) = pick(choice, &|seen| seen.answers == 0) {
                        let cancel = format!(
                            r#"{{"method":"notifications/cancelled","params":{{"requestId":{seq}}}}}"#
                        );
                        ledger.hear(&line(&cancel), 0);
                        seen.get_mut(&seq).unwrap().cancelled = true;
                    }
                }
                Step::Die => {
                    let fates = ledger.hub_died();
                    let in_order = fates.is_sorted_by_key(|fate| match fate {
                        Fate::Again { seq, .. } => *seq,
                        Fate::Unknown(told) | Fate::Refused(told) => told.seq,
                    });
                    prop_assert!(in_order);
                    for request in seen.values_mut().filter(|seen| seen.with_hub && seen.answers == 0) {
                        request.deaths += 1;
                    }
                    for fate in fates {
                        match fate {
                            Fate::Again { seq, line } => {
                                let request = &seen[&seq];
                                prop_assert_eq!(line, self::request(seq, request.method));
                                prop_assert!(request.dispatches == 0 || only_reads(request.method));
                                prop_assert!(request.deaths < 2 && !request.cancelled);
                            }
                            Fate::Unknown(told) => {
                                let request = seen.get_mut(&told.seq).unwrap();
                                prop_assert!(request.dispatches > 0 && !request.cancelled);
                                request.answers += 1;
                            }
                            Fate::Refused(told) => {
                                let request = seen.get_mut(&told.seq).unwrap();
                                prop_assert!(request.deaths == 2 && !request.cancelled);
                                request.answers += 1;
                            }
                        }
                    }
                    for seen in seen.values_mut() {
                        (seen.with_hub, seen.is_dispatched) = (false, false);
                    }
                    // Nobody waits for what was taken back.
                    seen.retain(|_, seen| !seen.cancelled);
                }
            }
            prop_assert!(seen.values().all(|seen| seen.answers <= 1));
            prop_assert!(seen.values().all(|seen| seen.dispatches <= 1 || only_reads(seen.method)));
            let waiting = seen.values().filter(|seen| seen.answers == 0).count();
            prop_assert_eq!(ledger.len(), waiting);
        }
        // Nothing was lost: whoever waits would be answered now.
        for (seq, seen) in seen {
            prop_assert_eq!(ledger.answered(seq), seen.answers == 0);
        }
        prop_assert_eq!(ledger.bytes(), 0);
    }
}
