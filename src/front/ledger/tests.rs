use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn line(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn request(id: u64, method: &str) -> Bytes {
    line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{}}}}"#))
}

/// A ledger in which this request was given to a hub.
fn sent(method: &str, dispatched: bool) -> Ledger {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.hear(&request(1, method), 1), Heard::Request);
    assert_eq!(ledger.due().len(), 1);
    if dispatched {
        ledger.dispatched(1);
    }
    ledger
}

/// As what the next hub gets the one request.
fn next(ledger: &mut Ledger) -> Vec<frames::Kind> {
    assert_eq!(ledger.hub_died(), []);
    ledger.due().into_iter().map(|due| due.kind).collect()
}

#[test]
fn what_no_server_saw_is_sent_again_and_what_one_saw_is_not() {
    assert_eq!(next(&mut sent("tools/call", false)), [frames::Kind::Again]);
    assert_eq!(next(&mut sent("tools/call", true)), [frames::Kind::Lost]);
    assert_eq!(next(&mut sent("x/y", true)), [frames::Kind::Lost]);
    assert_eq!(next(&mut sent("resources/read", true)), [frames::Kind::Again]);
}

#[test]
fn a_request_that_saw_two_hubs_die_is_not_done_by_a_third() {
    let mut ledger = sent("tools/call", false);
    ledger.hub_died();
    // A hub that never had it did not die of it.
    ledger.hub_died();
    assert_eq!(ledger.due()[0].kind, frames::Kind::Again);
    assert_eq!(next(&mut ledger), [frames::Kind::Spent]);
    assert_eq!(next(&mut ledger), [frames::Kind::Spent], "it is only told");
    let mut ledger = sent("resources/read", false);
    next(&mut ledger);
    ledger.dispatched(1);
    assert_eq!(next(&mut ledger), [frames::Kind::Unknown]);
    let mut ledger = sent("tools/call", true);
    assert_eq!(next(&mut ledger), [frames::Kind::Lost]);
    ledger.hub_died();
    assert_eq!(next(&mut ledger), [frames::Kind::Unknown], "whether or not it was done again");
    assert_eq!(next(&mut ledger), [frames::Kind::Unknown]);
}

#[test]
fn a_request_that_kills_every_hub_that_hears_of_it_is_answered_by_the_front() {
    let mut ledger = sent("tools/call", true);
    let mut ended = Vec::new();
    for _ in 0..TELLINGS_MAX {
        assert_eq!(ended, []);
        ended = ledger.hub_died();
        ledger.due();
    }
    assert_eq!((ended.len(), ledger.len(), ledger.bytes()), (1, 0, 0));
}

#[test]
fn a_subscription_outlives_any_number_of_hubs() {
    let mut ledger = sent("subscriptions/listen", false);
    for _ in 0..3 * TELLINGS_MAX {
        assert_eq!(next(&mut ledger), [frames::Kind::Again]);
    }
}

#[test]
fn a_call_that_the_client_took_back_is_recorded_so_and_all_else_is_forgotten() {
    let cancel = line(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    for (method, kinds) in [("tools/call", vec![frames::Kind::Withdrawn]), ("tools/list", vec![])] {
        let mut ledger = sent(method, false);
        assert_eq!(ledger.hear(&cancel, 2), Heard::Line);
        assert_eq!(next(&mut ledger), kinds);
        assert_eq!(ledger.bytes() == 0, kinds.is_empty());
    }
}

#[test]
fn only_what_can_be_answered_is_kept() {
    let mut ledger = Ledger::default();
    for text in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
        r#"[{"method":"ping"}]"#,
        "x",
    ] {
        assert_eq!(ledger.hear(&line(text), 1), Heard::Line, "{text}");
    }
    assert_eq!(ledger.len(), 0);
    assert_eq!(ledger.hear(&line(r#"{"id":"a","method":"x""#), 1), Heard::Request);
    assert_eq!(&*ledger.answered(1).unwrap().id, "\"a\"");
}

#[test]
fn a_batch_is_one_where_the_session_has_batches_and_else_it_is_refused_under_its_first_id() {
    let mut ledger = Ledger::default();
    let opening = |version: &str| {
        line(&format!(r#"{{"id":0,"method":"initialize","params":{{"protocolVersion":{version}}}}}"#))
    };
    for (version, has_batches) in
        [(r#""2025-03-26""#, true), ("7", true), (r#""2025-06-18""#, false), (r#""x""#, false)]
    {
        ledger.hear(&opening(version), 1);
        assert_eq!(ledger.has_batches(), has_batches, "{version}");
    }
    let batch = line(r#"[{"method":"a"},{"id":"b","method":"c"}]"#);
    assert_eq!(ledger.hear(&batch, 2), Heard::Request);
    assert_eq!(&*ledger.answered(2).unwrap().id, "\"b\"");
}

#[test]
fn without_a_hub_the_front_answers_what_no_hub_ever_had() {
    let mut ledger = sent("tools/call", true);
    ledger.hub_died();
    ledger.hear(&request(2, "tools/call"), 2);
    ledger.hear(&request(3, "resources/read"), 3);
    let new = [frames::Kind::Request];
    let ended = ledger.give_up(&new, |request| *request.method == *"tools/call");
    assert_eq!(ended.iter().map(|ended| &*ended.id).collect::<Vec<_>>(), ["2"]);
    let kinds = |ledger: &mut Ledger| ledger.due().into_iter().map(|due| due.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&mut ledger), [frames::Kind::Lost, frames::Kind::Spent, frames::Kind::Request]);
    assert_eq!(ledger.len(), 2, "nobody waits for what is only to be recorded");
    ledger.hub_died();
    assert_eq!(ledger.give_up(&[frames::Kind::Unknown], |_| true).len(), 1);
    assert_eq!(kinds(&mut ledger), [frames::Kind::Unknown, frames::Kind::Spent, frames::Kind::Again]);
    assert_eq!(ledger.answered(2), None, "it had its answer");
    ledger.hub_died();
    assert_eq!(kinds(&mut ledger).len(), 2, "and its row");
}

#[test]
fn a_client_that_asks_and_asks_without_a_hub_is_answered_and_not_all_of_it_is_kept() {
    let mut ledger = Ledger::default();
    let long = format!(r#"{{"id":1,"method":"tools/call","params":"{}"}}"#, "x".repeat(TOLD_BYTES_MAX / 3));
    for seq in 1..=10 {
        ledger.hear(&line(&long), seq);
        assert_eq!(ledger.give_up(&[frames::Kind::Request], |_| true).len(), 1);
    }
    assert_eq!(ledger.due().len(), 2);
    assert!(ledger.bytes() < TOLD_BYTES_MAX);
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
    /// It was so when a hub died.
    was_cancelled: bool,
    /// This hub may do it.
    may_run: bool,
    with_hub: bool,
    /// This hub has sent it to a server; whether it does so again is its own affair.
    is_dispatched: bool,
    /// In how many lives of the hub a server may have done it.
    dispatches: u32,
    deaths: u32,
}

proptest! {
    #[test]
    fn each_request_is_answered_once_and_nothing_is_done_three_times(
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
                    for seen in seen.values_mut().filter(|seen| !seen.with_hub) {
                        seen.was_cancelled |= seen.cancelled;
                    }
                    seen.retain(|_, seen| {
                        let is_kept = seen.method == "tools/call" || seen.with_hub || seen.answers > 0;
                        !seen.cancelled || is_kept
                    });
                    let due = ledger.due();
                    prop_assert!(due.is_sorted_by_key(|due| due.seq));
                    for Due { seq, kind, line } in due {
                        let request = seen.get_mut(&seq).unwrap();
                        prop_assert_eq!(line, self::request(seq, request.method));
                        prop_assert!(!request.with_hub && request.answers == 0);
                        request.with_hub = true;
                        request.may_run = match kind {
                            frames::Kind::Request => request.deaths == 0,
                            frames::Kind::Again => {
                                let is_safe = request.dispatches == 0 || only_reads(request.method);
                                prop_assert!(is_safe && request.deaths < 2 && !request.was_cancelled);
                                true
                            }
                            // Whether it may be done again depends on its server.
                            frames::Kind::Lost => {
                                prop_assert!(request.dispatches == 1 && request.deaths == 1);
                                prop_assert!(!request.was_cancelled);
                                true
                            }
                            frames::Kind::Unknown => {
                                prop_assert!(request.dispatches > 0 && request.deaths >= 2);
                                false
                            }
                            frames::Kind::Spent => {
                                prop_assert!(request.deaths >= 2);
                                false
                            }
                            frames::Kind::Withdrawn => {
                                prop_assert!(request.was_cancelled);
                                false
                            }
                            other => {
                                prop_assert!(false, "{:?} is no request", other);
                                false
                            }
                        };
                    }
                }
                Step::Dispatch(choice) => {
                    let may = |seen: &Seen| seen.with_hub && seen.may_run && !seen.is_dispatched && seen.answers == 0;
                    if let Some(seq) = pick(choice, &may) {
                        ledger.dispatched(seq);
                        let seen = seen.get_mut(&seq).unwrap();
                        (seen.is_dispatched, seen.dispatches) = (true, seen.dispatches + 1);
                    }
                }
                Step::Answer(choice) => {
                    if let Some(seq) = pick(choice, &|seen| seen.with_hub && seen.answers == 0) {
                        prop_assert!(ledger.answered(seq).is_some());
                        seen.get_mut(&seq).unwrap().answers += 1;
                    }
                }
                Step::AnswerTwice(choice) => {
                    if let Some(seq) = pick(choice, &|seen| seen.answers > 0) {
                        prop_assert!(ledger.answered(seq).is_none(), "a late duplicate is dropped");
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
                    for request in seen.values_mut().filter(|seen| seen.with_hub && seen.answers == 0) {
                        request.deaths += 1;
                    }
                    for ended in ledger.hub_died() {
                        let seq: u64 = ended.id.parse().unwrap();
                        let request = seen.get_mut(&seq).unwrap();
                        prop_assert!(request.deaths >= u32::from(TELLINGS_MAX));
                        request.answers += 1;
                    }
                    for seen in seen.values_mut() {
                        (seen.with_hub, seen.is_dispatched) = (false, false);
                        seen.was_cancelled |= seen.cancelled;
                    }
                    // Nobody waits for what was taken back, and only calls have rows.
                    seen.retain(|_, seen| {
                        let is_kept = seen.method == "tools/call" && seen.deaths < u32::from(TELLINGS_MAX);
                        !seen.cancelled || seen.answers > 0 || is_kept
                    });
                }
            }
            prop_assert!(seen.values().all(|seen| seen.answers <= 1));
            prop_assert!(seen.values().all(|seen| seen.dispatches <= 2));
            let waiting = seen.values().filter(|seen| seen.answers == 0).count();
            prop_assert_eq!(ledger.len(), waiting);
        }
        // Nothing was lost: whoever waits would be answered now.
        for (seq, seen) in seen {
            prop_assert_eq!(ledger.answered(seq).is_some(), seen.answers == 0);
        }
        prop_assert_eq!(ledger.bytes(), 0);
    }
}

#[test]
fn a_hub_that_ends_in_peace_is_no_death() {
    let mut ledger = sent("tools/call", false);
    for _ in 0..5 {
        ledger.hub_left();
        assert!(ledger.wants_hub());
        assert_eq!(ledger.due().into_iter().map(|due| due.kind).collect::<Vec<_>>(), [frames::Kind::Again]);
        assert!(!ledger.wants_hub(), "a hub has it");
    }
    ledger.dispatched(1);
    ledger.hub_left();
    assert_eq!(ledger.due().into_iter().map(|due| due.kind).collect::<Vec<_>>(), [frames::Kind::Lost]);
}

#[test]
fn a_subscription_alone_needs_no_hub() {
    let mut ledger = sent("subscriptions/listen", false);
    ledger.hub_left();
    assert!(!ledger.wants_hub());
    ledger.hear(&request(2, "subscriptions/listen"), 2);
    assert!(ledger.wants_hub(), "this one is new");
}
