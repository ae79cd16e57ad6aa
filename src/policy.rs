//! When a server may be started again: backoff, restart budget and breaker in one place.
//!
//! Pure: time is passed in as the duration since any fixed point of a monotonic clock, and jitter as
//! a random unit value. The rules are those of the promises about servers that die: the delay grows
//! with each failure, too many failures in a short while park the server, and only readiness that
//! lasts, or a person, makes the past forgotten.
//!
//! Invariants, each held by a property below:
//! - a delay never exceeds [`Limits::backoff_max`], a parking never [`Limits::recovery_max`];
//! - no window of [`Limits::failure_window`] holds more than [`Limits::failure_threshold`] failures of
//!   an owner who waits as told (as long as a parking outlasts the window);
//! - after a parking the first failure parks again, and never for less than before.

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
    /// Parked, and no readiness since.
    parked: bool,
    /// No start before this.
    until: Duration,
    ready_since: Option<Duration>,
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
            ready_since: None,
        }
    }

    /// The server became ready: handshake done, first list received.
    pub fn ready(&mut self, now: Duration) {
        self.parked = false;
        self.ready_since = Some(now);
    }

    /// A start failed, or a ready server ended on its own. `jitter` is a random value of 0.0..1.0.
    pub fn failed(&mut self, now: Duration, nature: Nature, jitter: f64) -> Verdict {
        let ready = self.ready_since.take().map(|since| now.saturating_sub(since));
        if ready.is_some_and(|ready| ready >= self.limits.sustained) {
            self.reset();
        }
        self.streak = self.streak.saturating_add(1);
        self.failures.push_back(now);
        let window = self.limits.failure_window;
        self.failures.retain(|at| now.saturating_sub(*at) < window);
        let over = self.failures.len() >= self.limits.failure_threshold.max(1) as usize;
        if over || self.parked || nature == Nature::Lasting { self.park(now) } else { self.rest(now, jitter) }
    }

    /// Forgets the past: a person asked for it, or the configuration changed.
    pub fn reset(&mut self) {
        *self = Self::new(self.limits.clone());
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
