//! How severe a log message is.

/// Severities of `notifications/message`, least severe first (RFC 5424, as in the specification).
pub const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// The index of a level among all of them.
#[must_use]
pub fn severity(level: &str) -> Option<u8> {
    LEVELS.iter().position(|known| *known == level).and_then(|index| u8::try_from(index).ok())
}

/// The word of a level by its index.
#[must_use]
pub fn word(severity: u8) -> Option<&'static str> {
    LEVELS.get(usize::from(severity)).copied()
}
