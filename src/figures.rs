//! The figures of the record: the same for `bridge stats`, for `bridge_stats` and for what a program reads.

pub mod moment;
pub mod record;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::figures::record::{Fields, object};
use crate::store::read::Reader;
use crate::store::read::answers::{Failure, NameTotals, TimeTotals, ToolTotals};
use crate::store::read::series::Which;
use crate::store::stamp;
use crate::store::totals::Totals;

/// By what the calls are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// A row for each hour in which a call started
    Hour,
    /// A row for each day, as days begin where you are
    Day,
    /// A row for each client, by the name that it gives itself
    Client,
    /// A row for each server
    Server,
    /// A row for each tool
    Tool,
}

impl By {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Client, Self::Server, Self::Tool];

    /// The word for it, in options and as the head of a column.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Client => "client",
            Self::Server => "server",
            Self::Tool => "tool",
        }
    }

    /// The name of the list of its rows.
    #[must_use]
    pub const fn list(self) -> &'static str {
        match self {
            Self::Hour => "hours",
            Self::Day => "days",
            Self::Client => "clients",
            Self::Server => "servers",
            Self::Tool => "tools",
        }
    }

    /// What a word means.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.word() == word)
    }
}

/// The calls that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What that is.
    pub key: Key,
    /// The calls, added up.
    pub totals: Totals,
}

/// What calls have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// They started in the hour that began then, Unix milliseconds.
    Hour(i64),
    /// They started on the day that began then.
    Day(i64),
    /// Their client; none for those without a name.
    Client(Option<String>),
    /// Their server; none for the bridge itself.
    Server(Option<String>),
    /// Their tool.
    Tool {
        /// Its server; none for the bridge itself.
        server: Option<String>,
        /// Its name at that server.
        tool: String,
    },
}

/// Reads the rows: times with the oldest first, all others with the busiest.
///
/// # Errors
/// When the record cannot be read.
pub fn lines(reader: &Reader, which: &Which, by: By, zone: &TimeZone) -> rusqlite::Result<Vec<Line>> {
    let time = |key: fn(i64) -> Key| move |TimeTotals { at_ms, totals }| Line { key: key(at_ms), totals };
    let name =
        |key: fn(Option<String>) -> Key| move |NameTotals { name, totals }| Line { key: key(name), totals };
    Ok(match by {
        By::Hour => reader.hours(which)?.into_iter().map(time(Key::Hour)).collect(),
        By::Day => reader.days(which, zone)?.into_iter().map(time(Key::Day)).collect(),
        By::Client => reader.clients(which)?.into_iter().map(name(Key::Client)).collect(),
        By::Server => reader.servers(which)?.into_iter().map(name(Key::Server)).collect(),
        By::Tool => tools(reader, which)?.into_iter().map(Line::from).collect(),
    })
}

/// Reads the tools, the busiest first.
///
/// # Errors
/// When the record cannot be read.
pub fn tools(reader: &Reader, which: &Which) -> rusqlite::Result<Vec<ToolTotals>> {
    let mut tools = reader.tools(which)?;
    tools.sort_by_key(|tool| std::cmp::Reverse(tool.totals.calls));
    Ok(tools)
}

impl From<ToolTotals> for Line {
    fn from(ToolTotals { server, tool, totals }: ToolTotals) -> Self {
        Self { key: Key::Tool { server, tool }, totals }
    }
}

/// All calls that are meant, added up.
///
/// # Errors
/// When the record cannot be read.
pub fn all(reader: &Reader, which: &Which) -> rusqlite::Result<Totals> {
    let mut all = Totals::default();
    reader.servers(which)?.iter().for_each(|server| all.merge(&server.totals));
    Ok(all)
}

/// What is said to a program above every list: which calls are meant.
#[must_use]
pub fn head(which: &Which) -> Fields {
    vec![
        ("since", which.from_ms.map(stamp::text).into()),
        ("until", which.to_ms.map(stamp::text).into()),
        ("server", which.server.as_ref().filter(|server| !server.is_empty()).cloned().into()),
        ("tool", which.tool.clone().into()),
    ]
}

/// Puts the rows under the name of their list, below the head.
#[must_use]
pub fn told(mut head: Fields, list: &'static str, rows: Vec<Fields>) -> Value {
    head.push((list, rows.into_iter().map(object).collect()));
    object(head)
}

impl Line {
    /// Its fields, in the order in which they stand in a row.
    #[must_use]
    pub fn fields(&self, zone: &TimeZone) -> Fields {
        let mut fields = match &self.key {
            Key::Hour(at_ms) => vec![("hour", json!(stamp::text(*at_ms)))],
            Key::Day(at_ms) => {
                vec![
                    ("day", json!(moment::local(*at_ms, zone, "%Y-%m-%d"))),
                    ("from", json!(stamp::text(*at_ms))),
                ]
            }
            Key::Client(name) => vec![("client", json!(name))],
            Key::Server(name) => vec![("server", json!(name))],
            Key::Tool { server, tool } => vec![("server", json!(server)), ("tool", json!(tool))],
        };
        fields.extend(record::sums(&self.totals));
        fields
    }
}

/// The fields of a call that counts as an error.
#[must_use]
pub fn failure(failure: &Failure) -> Fields {
    vec![
        ("startedAt", json!(stamp::text(failure.at_ms))),
        ("client", json!(failure.client)),
        ("server", json!(failure.server)),
        ("tool", json!(failure.tool)),
        ("outcome", json!(failure.outcome)),
        ("errorKind", json!(failure.error_kind)),
        ("durationMs", json!(failure.duration_us.map(record::in_ms))),
    ]
}

/// Since when clients and single errors are known, Unix milliseconds, if older calls are asked for and counted
/// whose rows are gone.
///
/// # Errors
/// When the record cannot be read.
pub fn rows_since_ms(reader: &Reader, which: &Which) -> rusqlite::Result<Option<i64>> {
    let (first_hour_ms, oldest_ms) = reader.oldest()?;
    let from_ms = which.from_ms.max(first_hour_ms);
    let is_gone = |oldest_ms: &i64| from_ms.is_some_and(|from_ms| from_ms + stamp::HOUR_MS <= *oldest_ms);
    Ok(oldest_ms.filter(is_gone))
}

/// A row of nothing, for the words of its fields.
#[must_use]
pub fn empty(by: By) -> Line {
    let key = match by {
        By::Hour => Key::Hour(0),
        By::Day => Key::Day(0),
        By::Client => Key::Client(None),
        By::Server => Key::Server(None),
        By::Tool => Key::Tool { server: None, tool: String::new() },
    };
    Line { key, totals: Totals::default() }
}
