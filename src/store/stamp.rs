//! Times as the record writes them: `2026-11-21T03:40:00.123Z`.

use std::fmt::Write as _;

use jiff::Timestamp;

/// Milliseconds in an hour, the step of `call_totals`.
pub const HOUR_MS: i64 = 3_600_000;

/// The last second that `jiff` knows, at the end of the year 9999; text beyond it would not sort.
const MAX_MS: i64 = 253_402_207_200_000;
/// Where the milliseconds begin.
const SECONDS_CHARS: usize = "2026-11-21T03:40:00.".len();

/// The time now, in Unix milliseconds.
#[must_use]
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Writes Unix milliseconds as UTC text.
#[must_use]
pub fn text(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms.clamp(0, MAX_MS)).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// Reads the text of a row.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// Writes times that are mostly of the same second, and formats each second once.
#[derive(Debug, Default)]
pub struct Stamps {
    second: Option<i64>,
    text: String,
}

impl Stamps {
    /// The same as [`text`], from the cache where it can be.
    pub fn text(&mut self, ms: i64) -> &str {
        let ms = ms.clamp(0, MAX_MS);
        if self.second != Some(ms / 1000) {
            self.second = Some(ms / 1000);
            self.text = text(ms);
        }
        self.text.truncate(SECONDS_CHARS);
        // Writing to a string does not fail.
        let _ = write!(self.text, "{:03}Z", ms % 1000);
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_utc_text_with_milliseconds_and_reads_back() {
        assert_eq!(text(1_795_232_400_123), "2026-11-21T03:40:00.123Z");
        assert_eq!(text(1_795_232_400_000), "2026-11-21T03:40:00.000Z");
        assert_eq!(parse("2026-11-21T03:40:00.123Z"), Some(1_795_232_400_123));
    }

    #[test]
    fn the_cache_writes_what_the_formatter_writes() {
        let mut stamps = Stamps::default();
        for ms in [0, 1, 999, 1_000, 1_795_232_400_123, 1_795_232_400_007, 1_795_232_399_999, -5, i64::MAX] {
            assert_eq!(stamps.text(ms), text(ms), "{ms}");
        }
    }
}
