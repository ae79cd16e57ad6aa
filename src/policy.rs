//! When a server may be started again: backoff, restart budget and breaker in one place.
//!
//! Pure: time is passed in as the duration since any fixed point of a monotonic clock, and jitter as
//! a random unit value. The rules are those of the promises about servers that die: the delay grows
//! with each failure, too many failures in a short while park the server, and only readiness that
//! lasts, or a person, makes the past forgotten.
//!
//! All connections to one server share one policy. Each start has a number, and whoever made it tells how
//! it went on: [`Policy::ready`], then [`Policy::failed`] or [`Policy::ended`].
//!
//! Invariants, each held by a property or by the simulation below:
//! - a delay never exceeds [`Limits::backoff_max`], a parking never [`Limits::recovery_max`];
//! - no window of [`Limits::failure_window`] holds more than [`Limits::failure_threshold`] starts that
//!   failed (as long as a parking outlasts the window): a start whose outcome is open counts as a failure;
//! - after a parking one start goes first, and the others wait for its outcome;
//! - when it fails it parks again, and never for less than before.

pub mod retry;

use std::collections::VecDeque;
use std::time::Duration;

/// The limits of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The delay after the first failure: 250 ms.
    pub backoff_first: Duration,
    /// What the delay is multiplied with after each further failure: 1.6.
    pub backoff_factor: f64,
    /// The longest delay: 30 s.
    pub backoff_max: Duration,
    /// So many failures within the window park the server; at least 1: 5.
    pub failure_threshold: u32,
    /// The window in which failures are counted: 30 s.
    pub failure_window: Duration,
    /// How long the first parking lasts; each further one lasts twice as long: 60 s.
    pub recovery_timeout: Duration,
    /// The longest parking, unless `recovery_timeout` itself is longer: 5 min.
    pub recovery_max: Duration,
    /// Readiness that lasted so long makes the past forgotten: 60 s.
    pub sustained: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            backoff_first: Duration::from_millis(250),
            backoff_factor: 1.6,
            backoff_max: Duration::from_secs(30),
            failure_threshold: 5,
            failure_window: Duration::from_secs(30),
            recovery_timeout: Duration::from_secs(60),
            recovery_max: Duration::from_secs(300),
            sustained: Duration::from_secs(60),
        }
    }
}

/// Of what kind a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// The next start may go well: a crash, a hang, a start that took too long.
    Passing,
    /// The next start will fail in the same way: no such command, not executable.
    Lasting,
}

/// What follows from a failure. The next start is allowed when the duration has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start again after a delay; requests wait for it.
    Rest {
        /// The delay from the failure on.
        for_: Duration,
    },
    /// Refuse requests at once; then one probe.
    Park {
        /// How long, from the failure on.
        for_: Duration,
    },
    /// It is parked already, by the failure of another start; nothing changes.
    StayParked,
}

/// The breaker's state, under its usual name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Starts and requests go through.
    Closed,
    /// Parked: requests are refused.
    Open,
    /// The parking is over and the outcome of one start decides.
    HalfOpen,
}

impl Breaker {
    /// Its word in status and log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// One start of a server, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start(u64);

/// What is said to somebody who wants to start the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Start it now.
    Now(Start),
    /// Not before this time has passed.
    After(Duration),
    /// Not before another start has come to its outcome: it is the one that decides after a parking, or
    /// there would be more failures than the budget has if all of them failed.
    Undecided,
}

/// The memory of one server's failures.
#[derive(Debug, Clone)]
pub struct Policy {
    limits: Limits,
    /// When the last failures were, oldest first; never more than the threshold.
    failures: VecDeque<Duration>,
    /// Failures since the past was forgotten: the exponent of the delay.
    streak: i32,
    /// Parkings since the past was forgotten: the exponent of their length.
    parkings: u32,
    /// Parked, and no start has succeeded since.
    parked: bool,
    /// No start before this.
    until: Duration,
    /// The number of the next start.
    next: u64,
    /// Starts that are under way.
    open: Vec<Start>,
    /// The one of them that decides after a parking.
    probe: Option<Start>,
}

impl Policy {
    /// A policy without a past.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            failures: VecDeque::new(),
            streak: 0,
            parkings: 0,
            parked: false,
            until: Duration::ZERO,
            next: 0,
            open: Vec::new(),
            probe: None,
        }
    }

    /// Somebody wants to start the server.
    pub fn start(&mut self, now: Duration) -> Admission {
        let wait = self.wait(now);
        if !wait.is_zero() {
            return Admission::After(wait);
        }
        self.forget_old(now);
        let is_full = self.failures.len() + self.open.len() >= self.threshold();
        match self.parked {
            true if self.probe.is_some() => return Admission::Undecided,
            // Where nothing is under way there is nothing to wait for: the limits have become stricter since.
            false if is_full && !self.open.is_empty() => return Admission::Undecided,
            _ => {}
        }
        let start = Start(self.next);
        self.next += 1;
        self.open.push(start);
        self.probe = self.parked.then_some(start);
        Admission::Now(start)
    }

    /// A start succeeded: handshake done, first list received.
    pub fn ready(&mut self, start: Start) {
        if self.close(start) {
            self.parked = false;
        }
    }

    /// A start failed, or a ready server ended on its own. `ready_for` is how long it was ready, if it was
    /// at all; `jitter` is a random value of 0.0..1.0.
    pub fn failed(
        &mut self,
        start: Start,
        now: Duration,
        nature: Nature,
        ready_for: Option<Duration>,
        jitter: f64,
    ) -> Verdict {
        let was_probe = self.close(start);
        if self.parked && !was_probe {
            // It was started before the parking, which knows what it says.
            return Verdict::StayParked;
        }
        self.forget_if_sustained(ready_for);
        self.streak = self.streak.saturating_add(1);
        self.forget_old(now);
        self.failures.push_back(now);
        let over = self.failures.len() >= self.threshold();
        if over || was_probe || nature == Nature::Lasting { self.park(now) } else { self.rest(now, jitter) }
    }

    /// A server was ended on purpose, in its start or when it had been ready for a time.
    pub fn ended(&mut self, start: Start, ready_for: Option<Duration>) {
        self.close(start);
        if !self.parked {
            self.forget_if_sustained(ready_for);
        }
    }

    /// Forgets the past, as a server does that is started anew by a person or a changed configuration. Starts
    /// that are under way count on.
    pub fn reset(&mut self) {
        let (next, open) = (self.next, std::mem::take(&mut self.open));
        *self = Self { next, open, ..Self::new(self.limits.clone()) };
    }

    /// No start is allowed before this.
    #[must_use]
    pub fn until(&self) -> Duration {
        self.until
    }

    /// Other limits from the next failure on.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How long until the next start is allowed; zero when it is allowed now.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }

    /// The breaker's state at this time.
    #[must_use]
    pub fn breaker(&self, now: Duration) -> Breaker {
        match (self.parked, self.wait(now).is_zero()) {
            (false, _) => Breaker::Closed,
            (true, false) => Breaker::Open,
            (true, true) => Breaker::HalfOpen,
        }
    }

    /// A start has come to its outcome; whether it was the one that decides.
    fn close(&mut self, start: Start) -> bool {
        self.open.retain(|open| *open != start);
        self.probe.take_if(|probe| *probe == start).is_some()
    }

    fn threshold(&self) -> usize {
        self.limits.failure_threshold.max(1) as usize
    }

    fn forget_old(&mut self, now: Duration) {
        let window = self.limits.failure_window;
        self.failures.retain(|at| now.saturating_sub(*at) < window);
    }

    fn forget_if_sustained(&mut self, ready_for: Option<Duration>) {
        if ready_for.is_some_and(|ready| ready >= self.limits.sustained) {
            self.reset();
        }
    }

    fn rest(&mut self, now: Duration, jitter: f64) -> Verdict {
        let limits = &self.limits;
        let factor = limits.backoff_factor.powi(self.streak - 1) * spread(jitter);
        let for_ = Duration::try_from_secs_f64(limits.backoff_first.as_secs_f64() * factor)
            .map_or(limits.backoff_max, |delay| delay.min(limits.backoff_max));
        self.until = now.saturating_add(for_);
        Verdict::Rest { for_ }
    }

    fn park(&mut self, now: Duration) -> Verdict {
        let limits = &self.limits;
        let for_ = limits
            .recovery_timeout
            .saturating_mul(2_u32.saturating_pow(self.parkings))
            .min(limits.recovery_max.max(limits.recovery_timeout));
        self.parkings = self.parkings.saturating_add(1);
        self.parked = true;
        self.failures.clear();
        self.until = now.saturating_add(for_);
        Verdict::Park { for_ }
    }
}

/// The factor of ± 20 % that a random unit value stands for.
fn spread(jitter: f64) -> f64 {
    let unit = if jitter.is_nan() { 0.5 } else { jitter.clamp(0.0, 1.0) };
    0.8 + 0.4 * unit
}

#[cfg(test)]
mod tests;
