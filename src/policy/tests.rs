//! The promises of the policy.

use super::*;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

const MIDDLE: f64 = 0.5;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rest_ms(verdict: Verdict) -> Option<u128> {
    match verdict {
        Verdict::Rest { for_ } => Some(for_.as_millis()),
        Verdict::Park { .. } => None,
    }
}

#[test]
fn the_delay_grows_by_the_factor_up_to_its_cap() {
    let mut policy = Policy::new(Limits::default());
    let delays: Vec<_> =
        (0_u64..12).map(|n| rest_ms(policy.failed(s(n * 100), Nature::Passing, MIDDLE)).unwrap()).collect();
    assert_eq!(delays, [250, 400, 640, 1024, 1638, 2621, 4194, 6710, 10737, 17179, 27487, 30000]);
}

#[test]
fn jitter_is_a_fifth_to_both_sides() {
    let first = |jitter| rest_ms(Policy::new(Limits::default()).failed(s(0), Nature::Passing, jitter));
    assert_eq!(first(0.0), Some(200));
    assert_eq!(first(1.0), Some(300));
    assert_eq!(first(f64::NAN), Some(250));
}

#[test]
fn the_fifth_failure_within_the_window_parks() {
    let mut policy = Policy::new(Limits::default());
    for n in 0..4 {
        assert!(rest_ms(policy.failed(s(n * 7), Nature::Passing, MIDDLE)).is_some());
    }
    assert_eq!(policy.breaker(s(28)), Breaker::Closed);
    assert_eq!(policy.failed(s(28), Nature::Passing, MIDDLE), Verdict::Park { for_: s(60) });
    assert_eq!(policy.breaker(s(87)), Breaker::Open);
    assert_eq!(policy.wait(s(87)), s(1));
    assert_eq!(policy.breaker(s(88)), Breaker::HalfOpen);
}

#[test]
fn a_probe_that_fails_parks_twice_as_long_up_to_five_minutes() {
    let mut policy = Policy::new(Limits::default());
    let mut now = s(0);
    for expected in [60, 120, 240, 300, 300] {
        assert_eq!(policy.failed(now, Nature::Lasting, MIDDLE), Verdict::Park { for_: s(expected) });
        now += policy.wait(now);
    }
    policy.ready(now);
    assert_eq!(policy.breaker(now), Breaker::Closed);
}

#[test]
fn only_readiness_that_lasts_makes_the_past_forgotten() {
    let mut policy = Policy::new(Limits::default());
    policy.failed(s(0), Nature::Lasting, MIDDLE);
    policy.ready(s(60));
    assert_eq!(rest_ms(policy.failed(s(119), Nature::Passing, MIDDLE)), Some(400));
    policy.ready(s(120));
    assert_eq!(rest_ms(policy.failed(s(180), Nature::Passing, MIDDLE)), Some(250));
    assert_eq!(policy.failed(s(181), Nature::Lasting, MIDDLE), Verdict::Park { for_: s(60) });
}

#[test]
fn a_person_resets_everything() {
    let mut policy = Policy::new(Limits::default());
    policy.failed(s(0), Nature::Lasting, MIDDLE);
    policy.reset();
    assert_eq!((policy.breaker(s(0)), policy.wait(s(0))), (Breaker::Closed, s(0)));
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
            if dice < 4 {
                policy.ready(now);
                prop_assert_eq!(policy.breaker(now), Breaker::Closed);
            }
            now += Duration::from_millis(if dice == 3 { lived_ms * 10 } else { lived_ms });
            failures.push(now);
            let recent = failures.iter().filter(|at| now - **at < limits.failure_window).count();
            prop_assert!(recent <= 5, "{recent} failures in one window");
            let nature = if dice == 9 { Nature::Lasting } else { Nature::Passing };
            match policy.failed(now, nature, jitter) {
                Verdict::Rest { for_ } => {
                    prop_assert!(!probing || dice < 4, "a failed probe must park");
                    prop_assert!(for_ >= limits.backoff_first.mul_f64(0.79) && for_ <= limits.backoff_max);
                }
                Verdict::Park { for_ } => {
                    prop_assert!(for_ >= limits.recovery_timeout && for_ <= limits.recovery_max);
                    prop_assert!(!probing || dice < 4 || for_ >= parked_before);
                    parked_before = for_;
                }
            }
        }
    }
}
