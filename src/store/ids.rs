//! Ids of sessions and calls. Both sort by time, so that no index on time is needed.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

/// 2020-01-01T00:00:00Z in Unix milliseconds: call ids count from here and last until 2089.
const EPOCH_MS: i64 = 1_577_836_800_000;
/// Low bits of a call id that are not time: 12 of salt, 10 of a counter.
const LOW_BITS: u32 = 22;
const COUNTER_BITS: u32 = 10;
const RANDOM_BITS: u32 = 20;

/// The low bits of a session's id that count the sessions of one front.
const FRONT_SESSIONS: u64 = 0x7f;

/// A session: 44 bits of Unix milliseconds and 20 random bits, written as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    /// A new id for a session that attached at `now_ms` (Unix milliseconds).
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        let time = u64::try_from(now_ms).unwrap_or(0) << RANDOM_BITS;
        Self(time | fastrand::u64(0..1 << RANDOM_BITS))
    }

    /// The id of a front that attached at `now_ms`: its first session's. The next ids are its further sessions'.
    #[must_use]
    pub fn of_front(now_ms: i64) -> Self {
        Self(Self::new(now_ms).0 & !FRONT_SESSIONS)
    }

    /// The front of a session, whose lock stands for all of its sessions.
    #[must_use]
    pub const fn front(self) -> Self {
        Self(self.0 & !FRONT_SESSIONS)
    }

    /// The session of a front with this number; those beyond the last share it.
    #[must_use]
    pub fn nth(self, number: usize) -> Self {
        Self(self.0 | u64::try_from(number).unwrap_or(FRONT_SESSIONS).min(FRONT_SESSIONS))
    }

    /// When it attached, Unix milliseconds; of a front's session, when the front began.
    #[must_use]
    pub fn attached_ms(self) -> i64 {
        i64::try_from(self.0 >> RANDOM_BITS).unwrap_or_default()
    }

    /// The number that its text stands for.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Reads the 16 hex digits of a row or a file name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A call: `tool_calls.id`, its rowid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(i64);

impl CallId {
    /// The smallest id that a call of this millisecond (Unix) can have.
    #[must_use]
    pub fn first_at(ms: i64) -> Self {
        Self((ms - EPOCH_MS).clamp(0, i64::MAX >> LOW_BITS) << LOW_BITS)
    }

    /// Reads the number of a row.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// The id that a front gave to a call; 0 is none.
    #[must_use]
    pub fn given(number: u64) -> Option<Self> {
        i64::try_from(number).ok().filter(|number| *number > 0).map(Self)
    }

    /// The millisecond (Unix) in which the call began.
    #[must_use]
    pub const fn started_at_ms(self) -> i64 {
        (self.0 >> LOW_BITS) + EPOCH_MS
    }

    /// The number as it stands in the row.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Another id of the same millisecond, for the rare case that two sessions drew the same one.
    #[must_use]
    pub fn redrawn(self) -> Self {
        Self((self.0 >> LOW_BITS << LOW_BITS) | fastrand::i64(0..1 << LOW_BITS))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Gives out the call ids of one session, strictly increasing, also when the clock goes back.
#[derive(Debug)]
pub struct CallIds {
    salt: i64,
    /// Milliseconds since the epoch and the counter in one number: a counter that runs over moves
    /// on to the next millisecond by itself.
    last: AtomicI64,
}

impl CallIds {
    /// A generator with its own salt, which keeps it apart from other sessions on the same file.
    #[must_use]
    pub fn new() -> Self {
        Self { salt: fastrand::i64(0..1 << (LOW_BITS - COUNTER_BITS)), last: AtomicI64::new(0) }
    }

    /// Goes on after the newest id of another generator, with the same salt.
    #[must_use]
    pub const fn after(newest: CallId) -> Self {
        let counter = newest.0 & ((1 << COUNTER_BITS) - 1);
        let last = AtomicI64::new((newest.0 >> LOW_BITS << COUNTER_BITS) | counter);
        Self { salt: (newest.0 >> COUNTER_BITS) & ((1 << (LOW_BITS - COUNTER_BITS)) - 1), last }
    }

    /// The newest id; one before all others when none was given out.
    #[must_use]
    pub fn newest(&self) -> CallId {
        self.id(self.last.load(Ordering::Relaxed))
    }

    /// The next id, for a call that started at `now_ms` (Unix milliseconds).
    pub fn next(&self, now_ms: i64) -> CallId {
        let floor = CallId::first_at(now_ms).0 >> (LOW_BITS - COUNTER_BITS);
        let after = |last: i64| floor.max(last + 1);
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
        self.id(after(last.unwrap_or_else(|last| last)))
    }

    fn id(&self, drawn: i64) -> CallId {
        let (ms, counter) = (drawn >> COUNTER_BITS, drawn & ((1 << COUNTER_BITS) - 1));
        CallId((ms << LOW_BITS) | (self.salt << COUNTER_BITS) | counter)
    }
}

impl Default for CallIds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_232_400_123;

    #[test]
    fn a_session_id_sorts_by_time_and_reads_back() {
        let (older, newer) = (SessionId::new(NOW_MS), SessionId::new(NOW_MS + 1));
        assert!(older.to_string() < newer.to_string());
        assert_eq!(SessionId::parse(&older.to_string()), Some(older));
        assert_eq!(SessionId::parse("../../etc/passwd"), None);
    }

    #[test]
    fn the_sessions_of_a_front_have_one_lock() {
        let front = SessionId::of_front(NOW_MS);
        assert_eq!((front.nth(0), front.nth(3).front()), (front, front));
        assert_ne!(front.nth(1), front.nth(2));
        assert_eq!(front.nth(1000).front(), front);
    }

    #[test]
    fn call_ids_increase_within_a_millisecond_and_when_the_clock_goes_back() {
        let ids = CallIds::new();
        let drawn: Vec<_> = (0..5_000).map(|n| ids.next(NOW_MS - n / 1_000)).collect();
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_generator_goes_on_after_another_one() {
        let mut ids = CallIds::new();
        let mut drawn = vec![ids.newest()];
        for _ in 0..5 {
            drawn.extend((0..1_500).map(|_| ids.next(NOW_MS)));
            assert_eq!(drawn.last(), Some(&ids.newest()));
            ids = CallIds::after(ids.newest());
        }
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
        let salt = |id: &CallId| id.number() >> COUNTER_BITS & 0xfff;
        assert!(drawn.iter().all(|id| salt(id) == salt(&drawn[0])));
    }

    #[test]
    fn a_call_id_lies_in_its_millisecond() {
        let id = CallIds::new().next(NOW_MS);
        assert!(CallId::first_at(NOW_MS) <= id && id < CallId::first_at(NOW_MS + 1));
        assert_eq!((id.started_at_ms(), CallId::given(id.number().unsigned_abs())), (NOW_MS, Some(id)));
        assert_eq!((CallId::parse(&id.to_string()), CallId::parse("last")), (Some(id), None));
        assert!(CallId::first_at(NOW_MS) <= id.redrawn() && id.redrawn() < CallId::first_at(NOW_MS + 1));
    }
}
