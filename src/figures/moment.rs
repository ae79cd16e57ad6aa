//! Moments as people write and read them: in their own zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::store::stamp;

/// Text that names no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMoment {
    /// It is none of the forms.
    #[error(
        "`{0}` is neither a duration (90m, 24h, 7d), nor a day (2026-11-21), nor a time (2026-11-21T00:00:00Z)"
    )]
    Form(String),
    /// It lies before all time.
    #[error("`{0}` is too long ago")]
    TooLongAgo(String),
}

/// A moment: `24h` and `7d` before `now_ms`, the beginning of a day in this zone, or an RFC 3339 time. Gives Unix
/// milliseconds.
///
/// # Errors
/// When the text is none of these.
pub fn parse(text: &str, now_ms: i64, zone: &TimeZone) -> Result<i64, BadMoment> {
    if let Some(at_ms) = stamp::parse(text) {
        return Ok(at_ms);
    }
    if let Ok(day) = Date::strptime("%Y-%m-%d", text)
        && let Ok(midnight) = day.to_zoned(zone.clone())
    {
        return Ok(midnight.timestamp().as_millisecond());
    }
    let duration = text
        .parse::<Span>()
        .ok()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .filter(|duration| !duration.is_negative())
        .ok_or_else(|| BadMoment::Form(text.to_owned()))?;
    i64::try_from(duration.as_millis())
        .ok()
        .and_then(|ms| now_ms.checked_sub(ms))
        .ok_or_else(|| BadMoment::TooLongAgo(text.to_owned()))
}

/// Writes a moment as a clock in this zone shows it; `form` as strftime has it.
#[must_use]
pub fn local(at_ms: i64, zone: &TimeZone, form: &str) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(zone.clone()).strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_232_400_000;
    const DAY_MS: i64 = 86_400_000;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    #[test]
    fn a_moment_is_a_duration_a_day_or_a_time() {
        let parsed = |text| parse(text, NOW_MS, &berlin()).unwrap();
        assert_eq!(parsed("24h"), NOW_MS - DAY_MS);
        assert_eq!(parsed("7d"), NOW_MS - 7 * DAY_MS);
        assert_eq!(parsed("90m"), NOW_MS - 90 * 60_000);
        assert_eq!(parsed("2026-11-21T03:40:00Z"), NOW_MS);
        assert_eq!(stamp::text(parsed("2026-11-21")), "2026-11-20T23:00:00.000Z");
        assert_eq!(stamp::text(parsed("2026-10-26")), "2026-10-25T23:00:00.000Z");
    }

    #[test]
    fn a_bad_moment_says_what_would_be_good() {
        for bad in ["yesterday", "24", "", "-3h", "1mo", "3h ago", "99999999999d", "2026-13-01"] {
            let error = parse(bad, NOW_MS, &berlin()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }

    #[test]
    fn a_moment_is_shown_in_the_zone() {
        assert_eq!(local(NOW_MS, &berlin(), "%Y-%m-%d %H:%M %Z"), "2026-11-21 04:40 CET");
    }
}
