//! Calls added up, with a histogram of their durations.

use crate::outcome::Outcome;

/// The upper limits of the histogram's columns in microseconds, `upto_100us` to `upto_60s`; one more
/// column, `over_60s`, has none.
pub const LIMITS_US: [u64; 18] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// How many columns the histogram has.
pub const COLUMNS: usize = LIMITS_US.len() + 1;

/// Counts of calls by duration. Steps of 1, 2, 5: a percentile read from it is off by a third at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram([u64; COLUMNS]);

impl Histogram {
    /// A histogram from its columns in a row.
    #[must_use]
    pub const fn new(columns: [u64; COLUMNS]) -> Self {
        Self(columns)
    }

    /// The columns in their order.
    #[must_use]
    pub const fn columns(&self) -> &[u64; COLUMNS] {
        &self.0
    }

    /// Counts one call.
    pub fn add(&mut self, duration_us: u64) {
        let column = LIMITS_US.partition_point(|&limit| limit < duration_us);
        if let Some(count) = self.0.get_mut(column) {
            *count += 1;
        }
    }

    /// Counts the calls of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// Takes the calls of another histogram out again.
    pub fn without(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_sub(theirs);
        }
    }

    /// The duration in microseconds that `percent` of the calls did not pass, interpolated within its
    /// column; 60 s for anything longer. `None` without calls.
    #[must_use]
    pub fn percentile_us(&self, percent: u64) -> Option<u64> {
        let total: u64 = self.0.iter().sum();
        let rank = (total * percent).div_ceil(100).max(1);
        let (mut below, mut lower) = (0, 0);
        for (&count, upper) in self.0.iter().zip(LIMITS_US) {
            if below + count >= rank && count > 0 {
                return Some(lower + (upper - lower) * (rank - below) / count);
            }
            below += count;
            lower = upper;
        }
        (total > 0).then_some(lower)
    }
}

/// What `call_totals` keeps of the calls of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that ended.
    pub calls: u64,
    /// Of these, those that reports count as errors ([`Outcome::is_error`]).
    pub errors: u64,
    /// Of these, those that the client took back.
    pub cancelled: u64,
    /// Sum of the durations that are known, microseconds.
    pub duration_us: u64,
    /// Start of the newest call, Unix milliseconds.
    pub last_used_ms: i64,
    /// Sum of the requests' sizes.
    pub request_bytes: u64,
    /// Sum of the answers' sizes.
    pub response_bytes: u64,
    /// The durations that are known.
    pub histogram: Histogram,
}

/// One call as the totals see it.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// When it started, Unix milliseconds.
    pub started_at_ms: i64,
    /// How long it took, microseconds, if anybody knows.
    pub duration_us: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// Size of its request.
    pub request_bytes: u64,
    /// Size of its answer.
    pub response_bytes: u64,
}

impl Totals {
    /// Counts one call.
    pub fn add(&mut self, call: Ended) {
        self.calls += 1;
        self.errors += u64::from(call.outcome.is_error());
        self.cancelled += u64::from(call.outcome == Outcome::Cancelled);
        self.last_used_ms = self.last_used_ms.max(call.started_at_ms);
        self.request_bytes += call.request_bytes;
        self.response_bytes += call.response_bytes;
        if let Some(duration_us) = call.duration_us {
            self.duration_us += duration_us;
            self.histogram.add(duration_us);
        }
    }

    /// Counts the calls of other totals.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.cancelled += other.cancelled;
        self.duration_us += other.duration_us;
        self.last_used_ms = self.last_used_ms.max(other.last_used_ms);
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
        self.histogram.merge(&other.histogram);
    }

    /// Takes the calls of other totals out again; when the newest was used stays.
    pub fn without(&mut self, other: &Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.errors = self.errors.saturating_sub(other.errors);
        self.cancelled = self.cancelled.saturating_sub(other.cancelled);
        self.duration_us = self.duration_us.saturating_sub(other.duration_us);
        self.request_bytes = self.request_bytes.saturating_sub(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_sub(other.response_bytes);
        self.histogram.without(&other.histogram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(durations_us: &[u64], percent: u64, expected: Option<u64>) {
        let mut histogram = Histogram::default();
        durations_us.iter().for_each(|&duration| histogram.add(duration));
        assert_eq!(histogram.percentile_us(percent), expected);
    }

    #[test]
    fn a_percentile_is_interpolated_within_its_column() {
        check(&[], 50, None);
        check(&[0], 50, Some(100));
        check(&[1_500; 100], 50, Some(1_500));
        check(&[1_500; 100], 95, Some(1_950));
        check(&[100, 100, 100, 400_000], 50, Some(66));
        check(&[100, 100, 100, 400_000], 95, Some(500_000));
        check(&[90_000_000], 95, Some(60_000_000));
    }

    #[test]
    fn what_was_counted_can_be_taken_out_again() {
        let call = |duration_us, outcome| Ended {
            started_at_ms: 7,
            duration_us: Some(duration_us),
            outcome,
            request_bytes: 10,
            response_bytes: 20,
        };
        let (mut one, mut both) = (Totals::default(), Totals::default());
        one.add(call(1_500, Outcome::Ok));
        both.add(call(90, Outcome::Timeout));
        both.merge(&one);
        let mut other = Totals::default();
        other.add(call(90, Outcome::Timeout));
        both.without(&other);
        assert_eq!(both, one);
    }

    #[test]
    fn a_limit_belongs_to_its_own_column() {
        let mut histogram = Histogram::default();
        LIMITS_US.iter().for_each(|&limit| histogram.add(limit));
        histogram.add(60_000_001);
        assert_eq!(histogram.columns(), &[1; COLUMNS]);
    }
}
