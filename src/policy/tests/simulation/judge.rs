//! Who watches: books of what happened, and the rules that they are held against.

use std::collections::HashMap;
use std::time::Duration;

use super::super::*;

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    Result,
    Timeout,
    Unavailable,
    Unknown,
}

/// What is known of one request.
#[derive(Debug, Default)]
struct Request {
    reads: bool,
    answers: u32,
    cancelled: bool,
    /// How often it may have reached a server.
    reached: u32,
}

pub struct Judge {
    limits: Limits,
    seed: u64,
    pub step: u32,
    requests: Vec<Request>,
    /// When starts failed, since the past was forgotten.
    failed_starts: Vec<Duration>,
    /// No start before this.
    not_before: Duration,
    /// Since the last parking no start has succeeded that began after it.
    parked: bool,
    probe: Option<Start>,
    last_parking: Duration,
    /// How often what happened, so that a run in which nothing does is noticed.
    counts: HashMap<&'static str, u32>,
}

impl Judge {
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            seed,
            step: 0,
            requests: Vec::new(),
            failed_starts: Vec::new(),
            not_before: Duration::ZERO,
            parked: false,
            probe: None,
            last_parking: Duration::ZERO,
            counts: HashMap::new(),
        }
    }

    #[track_caller]
    pub fn check(&self, holds: bool, rule: &str) {
        assert!(holds, "{rule} (seed {}, step {}, {:?})", self.seed, self.step, self.limits);
    }

    // --- requests ---

    pub fn comes(&mut self, reads: bool) -> usize {
        self.requests.push(Request { reads, ..Request::default() });
        self.requests.len() - 1
    }

    #[track_caller]
    pub fn answers(&mut self, request: usize, told: Told) {
        *self
            .counts
            .entry(match told {
                Told::Result => "result",
                Told::Timeout => "timeout",
                Told::Unavailable => "unavailable",
                Told::Unknown => "unknown",
            })
            .or_default() += 1;
        self.requests[request].answers += 1;
        let Request { reads, answers, cancelled, reached } = self.requests[request];
        self.check(answers == 1, "a request gets one answer");
        self.check(!cancelled, "there is no answer after a cancel");
        self.check(
            told != Told::Unavailable || reached == 0 || reads,
            "what may have run is not called unsent",
        );
    }

    pub fn cancels(&mut self, request: usize) {
        *self.counts.entry("cancel").or_default() += 1;
        self.requests[request].cancelled = true;
    }

    #[track_caller]
    pub fn reaches(&mut self, request: usize) {
        self.requests[request].reached += 1;
        let most = if self.requests[request].reads { 2 } else { 1 };
        self.check(self.requests[request].reached <= most, "only what reads is done twice");
    }

    #[track_caller]
    pub fn all_answered(&self) {
        let open = self.requests.iter().filter(|request| request.answers == 0 && !request.cancelled).count();
        self.check(open == 0, "each request gets an answer");
    }

    // --- starts ---

    #[track_caller]
    pub fn starts(&mut self, start: Start, now: Duration) {
        self.check(now >= self.not_before, "nothing is started before its time");
        if self.parked {
            *self.counts.entry("probe").or_default() += 1;
            self.check(self.probe.is_none(), "half-open lets one through");
            self.probe = Some(start);
        }
    }

    pub fn is_ready(&mut self, start: Start) {
        if self.probe.take_if(|probe| *probe == start).is_some() {
            *self.counts.entry("back").or_default() += 1;
            self.parked = false;
        }
    }

    pub fn ends(&mut self, start: Start, ready_for: Option<Duration>) {
        self.probe.take_if(|probe| *probe == start);
        if !self.parked && ready_for.is_some_and(|ready| ready >= self.limits.sustained) {
            self.forgets();
        }
    }

    #[track_caller]
    pub fn fails(&mut self, start: Start, now: Duration, ready_for: Option<Duration>, verdict: Verdict) {
        let was_probe = self.probe.take_if(|probe| *probe == start).is_some();
        let lasted = !self.parked && ready_for.is_some_and(|ready| ready >= self.limits.sustained);
        if lasted {
            self.forgets();
        }
        if ready_for.is_none() {
            self.failed_starts.push(now);
            let recent =
                self.failed_starts.iter().filter(|at| now - **at < self.limits.failure_window).count();
            self.check(recent <= self.limits.failure_threshold as usize, "the budget of starts is kept");
        }
        match verdict {
            Verdict::Rest { for_ } => {
                self.check(!self.parked, "a parking is ended by success alone");
                let least = self.limits.backoff_first.mul_f64(0.79);
                self.check(for_ >= least && for_ <= self.limits.backoff_max, "a rest keeps its bounds");
                let first = for_ <= self.limits.backoff_first.mul_f64(1.21);
                self.check(!lasted || first, "readiness that lasted makes the past forgotten");
                self.not_before = self.not_before.max(now + for_);
            }
            Verdict::Park { for_ } => {
                *self.counts.entry("parked").or_default() += 1;
                self.check(was_probe || !self.parked, "only the probe parks again");
                let bounds = self.limits.recovery_timeout..=self.limits.recovery_max;
                self.check(bounds.contains(&for_), "a parking keeps its bounds");
                self.check(!was_probe || for_ >= self.last_parking, "a probe that fails parks for no less");
                (self.parked, self.last_parking, self.not_before) = (true, for_, now + for_);
            }
            Verdict::StayParked => self.check(self.parked && !was_probe, "what stays parked was parked"),
        }
    }

    /// A person said so, or readiness lasted.
    pub fn forgets(&mut self) {
        *self.counts.entry("forgotten").or_default() += 1;
        self.failed_starts.clear();
        (self.parked, self.probe, self.not_before) = (false, None, Duration::ZERO);
    }
}

/// Runs in which something never happened prove nothing of it.
#[track_caller]
pub fn check_worth(judges: &[Judge]) {
    let all =
        ["result", "timeout", "unavailable", "unknown", "cancel", "parked", "probe", "back", "forgotten"];
    for what in all {
        let count: u32 = judges.iter().filter_map(|judge| judge.counts.get(what)).sum();
        assert!(count >= 100, "{what} happened {count} times only");
    }
}
