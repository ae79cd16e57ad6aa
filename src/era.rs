//! The two ways of MCP: with a session that `initialize` opens, and without one.

/// By which rules two sides speak. The specification calls the revisions up to 2025-11-25 legacy and
/// those from 2026-07-28 on modern ("Versioning and Compatibility").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// `initialize` opens a session; either side may send requests.
    Legacy,
    /// Each request says in its `_meta` who sends it; only the client sends requests.
    Modern,
}

/// The modern revision that is spoken here.
pub const MODERN_VERSION: &str = "2026-07-28";

/// The revisions with `initialize`, newest first.
pub const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The only revision with batches.
pub const BATCH_VERSION: &str = "2025-03-26";

impl Era {
    /// The era's word in record, status and log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }

    /// The era that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Legacy, Self::Modern].into_iter().find(|era| era.word() == word)
    }
}
