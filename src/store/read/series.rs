//! Calls by tool, by server, by client and over time: exact sums over a span.
//!
//! Whole hours come from `call_totals`, which is kept for ever. An hour that is only partly asked for, and all
//! that is told by client, come from the rows of single calls, as far as retention has left them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Row, ToSql};

use crate::outcome::Outcome;
use crate::store::ids::CallId;
use crate::store::read::answers::{Failure, NameTotals, TimeTotals, ToolTotals, Trend};
use crate::store::read::{Reader, count, sql};
use crate::store::stamp::{self, HOUR_MS};
use crate::store::totals::{COLUMNS, Ended, Histogram, Totals};

/// How far a call's id may lie from its start: when the clock is set back, ids run ahead of it.
const ID_DRIFT_MS: i64 = 60_000;

/// Later than any time that the record can hold, Unix milliseconds.
const END_MS: i64 = 253_402_207_200_000;

/// Which calls are meant; by default all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// Those that started then or later, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// Those that started before then, Unix milliseconds.
    pub to_ms: Option<i64>,
    /// Those of this server; an empty name stands for the bridge's own tools.
    pub server: Option<String>,
    /// Those of this tool, as its server calls it.
    pub tool: Option<String>,
}

/// A span of time in Unix milliseconds, without its end.
pub(super) type Span = (i64, i64);

impl Which {
    pub(super) fn span(&self) -> Span {
        (self.from_ms.unwrap_or(0).max(0), self.to_ms.unwrap_or(END_MS).min(END_MS))
    }

    /// The whole hours of the span, and what of it lies in hours that belong to it only partly.
    fn split(&self) -> (Span, Vec<Span>) {
        let (from, to) = self.span();
        let first = -(-from).div_euclid(HOUR_MS) * HOUR_MS;
        let last = to.div_euclid(HOUR_MS) * HOUR_MS;
        let parts = if first > last { vec![(from, to)] } else { vec![(from, first), (last, to)] };
        ((first, last), parts.into_iter().filter(|(from, to)| from < to).collect())
    }
}

impl Reader {
    /// The sums of every tool that was called, sorted by server and tool.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn tools(&self, which: &Which) -> rusqlite::Result<Vec<ToolTotals>> {
        let key = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let sums: BTreeMap<(String, String), Totals> =
            self.sums(sql::BY_TOOL, which, key, |call| (call.server.clone(), call.tool.clone()))?;
        let named = |((server, tool), totals)| ToolTotals { server: named(server), tool, totals };
        Ok(sums.into_iter().map(named).collect())
    }

    /// The sums of every server, the busiest first; one without a name stands for the bridge's own tools.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn servers(&self, which: &Which) -> rusqlite::Result<Vec<NameTotals>> {
        let sums: BTreeMap<String, Totals> =
            self.sums(sql::BY_SERVER, which, |row| row.get(0), |call| call.server.clone())?;
        Ok(busiest_first(sums.into_iter().map(|(name, totals)| (named(name), totals))))
    }

    /// The sums of every hour of UTC in which a call started, the oldest first. It looks at one row for each hour
    /// and tool.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hours(&self, which: &Which) -> rusqlite::Result<Vec<TimeTotals>> {
        let key = |row: &Row<'_>| row.get(0).map(|text: String| stamp::parse(&text).unwrap_or(0));
        let sums: BTreeMap<i64, Totals> = self
            .sums(sql::BY_HOUR, which, key, |call| call.ended.started_at_ms.div_euclid(HOUR_MS) * HOUR_MS)?;
        Ok(sums.into_iter().map(|(at_ms, totals)| TimeTotals { at_ms, totals }).collect())
    }

    /// The sums of every day on which a call started, the oldest first. A day begins at midnight in this zone. An
    /// hour of UTC is never divided: where midnight falls into one (India, Nepal), it belongs to the day in which
    /// it begins.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn days(&self, which: &Which, zone: &TimeZone) -> rusqlite::Result<Vec<TimeTotals>> {
        let mut days: BTreeMap<i64, Totals> = BTreeMap::new();
        for TimeTotals { at_ms, totals } in self.hours(which)? {
            days.entry(midnight_ms(at_ms, zone)).or_default().merge(&totals);
        }
        Ok(days.into_iter().map(|(at_ms, totals)| TimeTotals { at_ms, totals }).collect())
    }

    /// The sums of every client by its name, the busiest first, as far as retention has left the rows of its calls.
    /// It reads all of them: a second for a million.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn clients(&self, which: &Which) -> rusqlite::Result<Vec<NameTotals>> {
        let mut sessions: HashMap<String, Totals> = HashMap::new();
        self.each_call(which.span(), which, |call| match sessions.get_mut(&call.session) {
            Some(totals) => totals.add(call.ended),
            None => sessions.entry(call.session.clone()).or_default().add(call.ended),
        })?;
        let mut names = self.0.prepare(sql::CLIENT_NAME)?;
        let mut clients: BTreeMap<Option<String>, Totals> = BTreeMap::new();
        for (session, totals) in sessions {
            let name = names.query_map([session], |row| row.get(0))?.next().transpose()?.flatten();
            clients.entry(name).or_default().merge(&totals);
        }
        Ok(busiest_first(clients))
    }

    /// How many calls of each tool started in each step of `step_hours` from the hour of `from_ms` (Unix) on;
    /// the last of the `steps` ends the span. Of `which` its server and tool count.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn trends(&self, which: &Which, steps: &Steps) -> rusqlite::Result<Vec<Trend>> {
        let mut trends: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
        let mut add = |key, at_ms, calls: u64| {
            let trend = trends.entry(key).or_insert_with(|| vec![0; steps.count]);
            if let Some(place) = steps.place(at_ms).and_then(|place| trend.get_mut(place)) {
                *place += calls;
            }
        };
        let (hours, parts) = which.split();
        let step_s = steps.hours * HOUR_MS / 1_000;
        let first_s = steps.first_ms() / 1_000;
        let (from, to) = (stamp::text(hours.0), stamp::text(hours.1));
        let rows =
            self.all(sql::TRENDS, &[&from, &to, &which.server, &which.tool, &first_s, &step_s], |row| {
                Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?, count(row, 3)?))
            })?;
        rows.into_iter().for_each(|(key, step, calls)| add(key, (first_s + step * step_s) * 1_000, calls));
        for part in parts {
            self.each_call(part, which, |call| {
                add((call.server.clone(), call.tool.clone()), call.ended.started_at_ms, 1);
            })?;
        }
        let trend = |((server, tool), calls)| Trend { server: named(server), tool, calls };
        Ok(trends.into_iter().map(trend).collect())
    }

    /// The newest calls that count as errors, the newest first, as far as retention has left their rows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn failures(&self, which: &Which, rows_max: u32) -> rusqlite::Result<Vec<Failure>> {
        let (ids, times) = bounds(which.span());
        self.all(
            sql::FAILURES,
            &[&ids.0, &ids.1, &times.0, &times.1, &which.server, &which.tool, &rows_max],
            |row| {
                Ok(Failure {
                    at_ms: row.get(0).map(|text: String| stamp::parse(&text).unwrap_or(0))?,
                    client: row.get(1)?,
                    server: row.get(2)?,
                    tool: row.get(3)?,
                    outcome: row.get(4)?,
                    error_kind: row.get(5)?,
                    duration_us: row.get::<_, Option<i64>>(6)?.map(i64::unsigned_abs),
                })
            },
        )
    }

    /// When the first hour of the record began, and when the oldest call started whose row is still there; Unix
    /// milliseconds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn oldest(&self) -> rusqlite::Result<(Option<i64>, Option<i64>)> {
        let read = |row: &Row<'_>, place| row.get(place).map(|text: Option<String>| stamp::parse(&text?));
        self.0.query_row(sql::OLDEST, [], |row| Ok((read(row, 0)?, read(row, 1)?)))
    }

    /// Sums by a key: the whole hours with a statement that groups by it, the rest from its calls.
    fn sums<K: Ord>(
        &self,
        sql: &str,
        which: &Which,
        key_of_row: impl Fn(&Row<'_>) -> rusqlite::Result<K>,
        key_of_call: impl Fn(&Call) -> K,
    ) -> rusqlite::Result<BTreeMap<K, Totals>> {
        let (hours, parts) = which.split();
        let (from, to) = (stamp::text(hours.0), stamp::text(hours.1));
        let params: [&dyn ToSql; 4] = [&from, &to, &which.server, &which.tool];
        let mut sums = BTreeMap::new();
        for (key, totals) in self.all(sql, &params, |row| Ok((key_of_row(row)?, totals(row)?)))? {
            sums.entry(key).or_insert_with(Totals::default).merge(&totals);
        }
        for part in parts {
            self.each_call(part, which, |call| sums.entry(key_of_call(call)).or_default().add(call.ended))?;
        }
        Ok(sums)
    }

    /// Reads every call of a span that has ended.
    fn each_call(&self, span: Span, which: &Which, mut each: impl FnMut(&Call)) -> rusqlite::Result<()> {
        let (ids, times) = bounds(span);
        let mut statement = self.0.prepare(sql::CALLS)?;
        let params: [&dyn ToSql; 6] = [&ids.0, &ids.1, &times.0, &times.1, &which.server, &which.tool];
        let mut rows = statement.query(&params[..])?;
        let mut call = Call::default();
        while let Some(row) = rows.next()? {
            call.read(row)?;
            each(&call);
        }
        Ok(())
    }
}

/// A span cut into steps of whole hours, for a line of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// When the span begins, Unix milliseconds.
    pub from_ms: i64,
    /// The hours of one step.
    pub hours: i64,
    /// How many steps there are.
    pub count: usize,
}

impl Steps {
    /// At most `count_max` steps from the hour of `from_ms` to `to_ms` (Unix).
    #[must_use]
    pub fn over(from_ms: i64, to_ms: i64, count_max: usize) -> Self {
        let first = from_ms.div_euclid(HOUR_MS);
        let hours = (-(-to_ms).div_euclid(HOUR_MS) - first).max(1);
        let step = hours.unsigned_abs().div_ceil(count_max.max(1) as u64);
        let count = usize::try_from(hours.unsigned_abs().div_ceil(step)).unwrap_or(count_max);
        Self { from_ms, hours: step.try_into().unwrap_or(i64::MAX), count }
    }

    const fn first_ms(&self) -> i64 {
        self.from_ms.div_euclid(HOUR_MS) * HOUR_MS
    }

    fn place(&self, at_ms: i64) -> Option<usize> {
        usize::try_from((at_ms - self.first_ms()).div_euclid(self.hours * HOUR_MS)).ok()
    }
}

/// A row of a call that has ended.
#[derive(Debug)]
struct Call {
    /// Empty for the bridge's own tools.
    server: String,
    tool: String,
    session: String,
    ended: Ended,
    /// The text of `ended.started_at_ms`.
    started_at: String,
}

impl Default for Call {
    fn default() -> Self {
        let ended = Ended {
            started_at_ms: 0,
            duration_us: None,
            outcome: Outcome::Ok,
            request_bytes: 0,
            response_bytes: 0,
        };
        Self {
            server: String::new(),
            tool: String::new(),
            session: String::new(),
            ended,
            started_at: String::new(),
        }
    }
}

impl Call {
    /// Takes the next row's words and figures. Nothing is allocated: there may be millions.
    fn read(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let put = |place, text: &mut String| -> rusqlite::Result<()> {
            text.clear();
            text.push_str(row.get_ref(place)?.as_str()?);
            Ok(())
        };
        put(0, &mut self.server)?;
        put(1, &mut self.tool)?;
        put(2, &mut self.started_at)?;
        put(7, &mut self.session)?;
        self.ended = Ended {
            started_at_ms: stamp::parse(&self.started_at).unwrap_or(0),
            duration_us: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
            // A word of a later program: whatever it means, it is not "ok".
            outcome: Outcome::parse(row.get_ref(4)?.as_str()?).unwrap_or(Outcome::OutcomeUnknown),
            request_bytes: count(row, 5)?,
            response_bytes: count(row, 6)?,
        };
        Ok(())
    }
}

/// What finds the calls of a span: the ids make it quick, the times make it exact.
pub(super) fn bounds((from_ms, to_ms): Span) -> ((i64, i64), (String, String)) {
    let ids = (CallId::first_at(from_ms), CallId::first_at(to_ms + ID_DRIFT_MS));
    ((ids.0.number(), ids.1.number()), (stamp::text(from_ms), stamp::text(to_ms)))
}

/// The sums of a row, whose figures stand at the end.
fn totals(row: &Row<'_>) -> rusqlite::Result<Totals> {
    let first = row.as_ref().column_count() - COLUMNS - 7;
    let mut columns = [0; COLUMNS];
    for (place, column) in (first + 7..).zip(&mut columns) {
        *column = count(row, place)?;
    }
    Ok(Totals {
        last_used_ms: stamp::parse(&row.get::<_, String>(first)?).unwrap_or(0),
        calls: count(row, first + 1)?,
        errors: count(row, first + 2)?,
        cancelled: count(row, first + 3)?,
        duration_us: count(row, first + 4)?,
        request_bytes: count(row, first + 5)?,
        response_bytes: count(row, first + 6)?,
        histogram: Histogram::new(columns),
    })
}

/// When the day of this moment began, Unix milliseconds.
fn midnight_ms(at_ms: i64, zone: &TimeZone) -> i64 {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
    at.start_of_day().map_or(at_ms, |midnight| midnight.timestamp().as_millisecond())
}

fn named(name: String) -> Option<String> {
    Some(name).filter(|name| !name.is_empty())
}

fn busiest_first(sums: impl IntoIterator<Item = (Option<String>, Totals)>) -> Vec<NameTotals> {
    let mut all: Vec<_> = sums.into_iter().map(|(name, totals)| NameTotals { name, totals }).collect();
    all.sort_by_key(|of| Reverse(of.totals.calls));
    all
}
