//! The promises of the policy.

mod simulation;

use super::*;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

const MIDDLE: f64 = 0.5;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rest_ms(verdict: Verdict) -> Option<u128> {
    match verdict {
        Verdict::Rest { for_ } => Some(for_.as_millis()),
        Verdict::Park { .. } | Verdict::StayParked => None,
    }
}

#[track_caller]
fn begin(policy: &mut Policy, now: Duration) -> Start {
    match policy.start(now) {
        Admission::Now(start) => start,
        refused => panic!("{refused:?}"),
    }
}

/// A start that fails at once.
#[track_caller]
fn fail(policy: &mut Policy, now: Duration, nature: Nature) -> Verdict {
    let start = begin(policy, now);
    policy.failed(start, now, nature, None, MIDDLE)
}

/// A start at the one time that is ready at once, and ends at the other.
#[track_caller]
fn live(policy: &mut Policy, from: Duration, to: Duration) -> Verdict {
    let start = begin(policy, from);
    policy.ready(start);
    policy.failed(start, to, Nature::Passing, Some(to - from), MIDDLE)
}

#[test]
fn the_delay_grows_by_the_factor_up_to_its_cap() {
    let mut policy = Policy::new(Limits::default());
    let delays: Vec<_> =
        (0_u64..12).map(|n| rest_ms(fail(&mut policy, s(n * 100), Nature::Passing)).unwrap()).collect();
    assert_eq!(delays, [250, 400, 640, 1024, 1638, 2621, 4194, 6710, 10737, 17179, 27487, 30000]);
}

#[test]
fn jitter_is_a_fifth_to_both_sides() {
    let first = |jitter| {
        let mut policy = Policy::new(Limits::default());
        let start = begin(&mut policy, s(0));
        rest_ms(policy.failed(start, s(0), Nature::Passing, None, jitter))
    };
    assert_eq!(first(0.0), Some(200));
    assert_eq!(first(1.0), Some(300));
    assert_eq!(first(f64::NAN), Some(250));
}

#[test]
fn the_fifth_failure_within_the_window_parks() {
    let mut policy = Policy::new(Limits::default());
    for n in 0..4 {
        assert!(rest_ms(fail(&mut policy, s(n * 7), Nature::Passing)).is_some());
    }
    assert_eq!(policy.breaker(s(28)), Breaker::Closed);
    assert_eq!(fail(&mut policy, s(28), Nature::Passing), Verdict::Park { for_: s(60) });
    assert_eq!(policy.breaker(s(87)), Breaker::Open);
    assert_eq!(policy.start(s(87)), Admission::After(s(1)));
    assert_eq!(policy.breaker(s(88)), Breaker::HalfOpen);
}

#[test]
fn a_probe_that_fails_parks_twice_as_long_up_to_five_minutes() {
    let mut policy = Policy::new(Limits::default());
    let mut now = s(0);
    for expected in [60, 120, 240, 300, 300] {
        assert_eq!(fail(&mut policy, now, Nature::Lasting), Verdict::Park { for_: s(expected) });
        now += policy.wait(now);
    }
    let probe = begin(&mut policy, now);
    policy.ready(probe);
    assert_eq!(policy.breaker(now), Breaker::Closed);
}

#[test]
fn after_a_parking_one_start_goes_first_and_the_others_wait_for_its_outcome() {
    let mut policy = Policy::new(Limits::default());
    fail(&mut policy, s(0), Nature::Lasting);
    let probe = begin(&mut policy, s(60));
    assert_eq!(policy.start(s(60)), Admission::Undecided);
    assert_eq!(policy.failed(probe, s(61), Nature::Passing, None, MIDDLE), Verdict::Park { for_: s(120) });
    assert_eq!(policy.start(s(62)), Admission::After(s(119)));
    // One that was told to stop says nothing; the next one decides.
    let given_up = begin(&mut policy, s(181));
    policy.ended(given_up, None);
    let probe = begin(&mut policy, s(182));
    policy.ready(probe);
    begin(&mut policy, s(182));
    begin(&mut policy, s(182));
}

#[test]
fn starts_whose_outcome_is_open_count_against_the_budget() {
    let mut policy = Policy::new(Limits::default());
    fail(&mut policy, s(0), Nature::Passing);
    fail(&mut policy, s(1), Nature::Passing);
    let starts = [(); 3].map(|()| begin(&mut policy, s(2)));
    assert_eq!(policy.start(s(2)), Admission::Undecided);
    let verdicts = starts.map(|start| policy.failed(start, s(3), Nature::Passing, None, MIDDLE));
    assert_eq!(verdicts[2], Verdict::Park { for_: s(60) });
    // One that succeeded is none of them.
    let mut policy = Policy::new(Limits { failure_threshold: 1, ..Limits::default() });
    let ready = begin(&mut policy, s(0));
    assert_eq!(policy.start(s(0)), Admission::Undecided);
    policy.ready(ready);
    begin(&mut policy, s(0));
}

#[test]
fn stricter_limits_leave_nobody_waiting_for_nothing() {
    let mut policy = Policy::new(Limits::default());
    for n in 0..3 {
        fail(&mut policy, s(n), Nature::Passing);
    }
    policy.limit(Limits { failure_threshold: 2, ..Limits::default() });
    assert_eq!(fail(&mut policy, s(5), Nature::Passing), Verdict::Park { for_: s(60) });
}

#[test]
fn what_was_started_before_a_parking_neither_lengthens_nor_ends_it() {
    let mut policy = Policy::new(Limits { failure_threshold: 2, ..Limits::default() });
    let old = begin(&mut policy, s(0));
    policy.ready(old);
    let (late, broken) = (begin(&mut policy, s(1)), begin(&mut policy, s(1)));
    assert_eq!(policy.failed(broken, s(1), Nature::Lasting, None, MIDDLE), Verdict::Park { for_: s(60) });
    policy.ready(late);
    assert_eq!(policy.breaker(s(2)), Breaker::Open);
    let verdict = policy.failed(old, s(60), Nature::Passing, Some(s(60)), MIDDLE);
    assert_eq!((verdict, policy.breaker(s(60))), (Verdict::StayParked, Breaker::Open));
    assert_eq!(policy.breaker(s(61)), Breaker::HalfOpen);
}

#[test]
fn only_readiness_that_lasts_makes_the_past_forgotten() {
    let mut policy = Policy::new(Limits::default());
    fail(&mut policy, s(0), Nature::Lasting);
    assert_eq!(rest_ms(live(&mut policy, s(60), s(119))), Some(400));
    assert_eq!(rest_ms(live(&mut policy, s(120), s(180))), Some(250));
    assert_eq!(fail(&mut policy, s(181), Nature::Lasting), Verdict::Park { for_: s(60) });
    // Also when it ended on purpose.
    let probe = begin(&mut policy, s(241));
    policy.ready(probe);
    policy.ended(probe, Some(s(60)));
    assert_eq!(fail(&mut policy, s(400), Nature::Lasting), Verdict::Park { for_: s(60) });
}

#[test]
fn a_person_resets_everything() {
    let mut policy = Policy::new(Limits::default());
    fail(&mut policy, s(0), Nature::Lasting);
    let probe = begin(&mut policy, s(60));
    policy.reset();
    assert_eq!((policy.breaker(s(0)), policy.wait(s(0))), (Breaker::Closed, s(0)));
    // It decides about nothing any more.
    assert_eq!(rest_ms(policy.failed(probe, s(61), Nature::Passing, None, MIDDLE)), Some(250));
}

proptest! {
    /// Whatever happens, delays and parkings keep their bounds, a probe that fails parks for no less
    /// than before, and an owner who waits as told never exceeds the budget.
    #[test]
    fn the_budget_holds(steps in proptest::collection::vec((0_u64..20_000, 0.0_f64..1.0, 0_u8..10), 1..300)) {
        let limits = Limits::default();
        let mut policy = Policy::new(limits.clone());
        let mut now = s(0);
        let mut failures = Vec::new();
        let mut parked_before = s(0);
        for (lived_ms, jitter, dice) in steps {
            now += policy.wait(now);
            let probing = policy.breaker(now) == Breaker::HalfOpen;
            let start = begin(&mut policy, now);
            if dice < 4 {
                policy.ready(start);
                prop_assert_eq!(policy.breaker(now), Breaker::Closed);
            }
            let lived = Duration::from_millis(if dice == 3 { lived_ms * 10 } else { lived_ms });
            now += lived;
            failures.push(now);
            let recent = failures.iter().filter(|at| now - **at < limits.failure_window).count();
            prop_assert!(recent <= 5, "{recent} failures in one window");
            let nature = if dice == 9 { Nature::Lasting } else { Nature::Passing };
            match policy.failed(start, now, nature, (dice < 4).then_some(lived), jitter) {
                Verdict::Rest { for_ } => {
                    prop_assert!(!probing || dice < 4, "a failed probe must park");
                    prop_assert!(for_ >= limits.backoff_first.mul_f64(0.79) && for_ <= limits.backoff_max);
                }
                Verdict::Park { for_ } => {
                    prop_assert!(for_ >= limits.recovery_timeout && for_ <= limits.recovery_max);
                    prop_assert!(!probing || dice < 4 || for_ >= parked_before);
                    parked_before = for_;
                }
                Verdict::StayParked => prop_assert!(false, "there is no other start"),
            }
        }
    }
}
