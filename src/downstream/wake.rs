//! Whether the machine slept, or its clock was set: the wall clock and the monotonic one moved apart.
//!
//! The monotonic clock stands still in sleep, and deadlines with it; a server that was left alone meanwhile may
//! have lost what it was connected to. It is looked at before the next request goes to it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

/// The clocks have moved apart when they did so by more than this since the last request, in milliseconds.
const APART_MS: i64 = 30_000;

/// Less than this is not worth remembering, in milliseconds.
const SLIGHT_MS: i64 = 1000;

/// Both clocks at one moment, in milliseconds since whatever moment.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// The wall clock.
    pub wall_ms: i64,
    /// The monotonic clock.
    pub monotonic_ms: i64,
}

/// Counts how often the clocks moved apart. A look is two clocks and a load of two numbers.
pub struct Wake {
    clocks: Box<dyn Fn() -> Clocks + Send + Sync>,
    /// How far the wall clock was ahead at the last request.
    ahead_ms: AtomicI64,
    jumps: AtomicU64,
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").field("jumps", &self.jumps).finish_non_exhaustive()
    }
}

impl Wake {
    /// Looks at the machine's clocks.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let born = Instant::now();
        Self::of(move || Clocks { wall_ms: wall_ms(), monotonic_ms: ms(born.elapsed().as_millis()) })
    }

    /// Looks at these clocks.
    #[must_use]
    pub fn of(clocks: impl Fn() -> Clocks + Send + Sync + 'static) -> Arc<Self> {
        let now = clocks();
        let ahead_ms = AtomicI64::new(now.wall_ms.saturating_sub(now.monotonic_ms));
        Arc::new(Self { clocks: Box::new(clocks), ahead_ms, jumps: AtomicU64::new(0) })
    }

    /// A request is about to go out: how often the clocks have moved apart by now.
    pub fn jumps(&self) -> u64 {
        let Clocks { wall_ms, monotonic_ms } = (self.clocks)();
        let now = wall_ms.saturating_sub(monotonic_ms);
        let before = self.ahead_ms.load(Ordering::Relaxed);
        let moved_ms = now.saturating_sub(before);
        // Of many requests one counts the jump.
        if moved_ms.saturating_abs() > SLIGHT_MS
            && self.ahead_ms.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && moved_ms.saturating_abs() > APART_MS
        {
            tracing::info!(moved_ms, "the machine slept or its clock was set; idle servers are looked at");
            return self.jumps.fetch_add(1, Ordering::Relaxed) + 1;
        }
        self.jumps.load(Ordering::Relaxed)
    }
}

fn wall_ms() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => ms(since.as_millis()),
        Err(before) => -ms(before.duration().as_millis()),
    }
}

fn ms(ms: u128) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves the wall clock by so many seconds between two requests each.
    #[track_caller]
    fn check(moves_s: &[i64], jumps: u64) {
        let wall_ms = Arc::new(AtomicI64::new(0));
        let seen = Arc::clone(&wall_ms);
        let wake = Wake::of(move || Clocks { wall_ms: seen.load(Ordering::Relaxed), monotonic_ms: 77 });
        for s in moves_s {
            wall_ms.fetch_add(s * 1000, Ordering::Relaxed);
            wake.jumps();
        }
        assert_eq!(wake.jumps(), jumps, "{moves_s:?}");
    }

    #[test]
    fn only_a_jump_between_two_requests_counts() {
        check(&[30], 0);
        check(&[31], 1);
        check(&[-31], 1);
        check(&[3600, -3600], 2);
        check(&[20; 100], 0);
        assert_eq!(Wake::new().jumps(), 0);
    }

    #[test]
    fn time_that_passes_for_both_clocks_is_none() {
        let ms = AtomicI64::new(0);
        let wake = Wake::of(move || {
            let now = ms.fetch_add(3_600_000, Ordering::Relaxed);
            Clocks { wall_ms: now, monotonic_ms: now }
        });
        assert_eq!((wake.jumps(), wake.jumps()), (0, 0));
    }
}
