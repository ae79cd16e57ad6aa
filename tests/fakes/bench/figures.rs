//! What was measured, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::gauge::quantile;

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// One call at a time, median, µs.
    P50,
    /// One call at a time, 99th of 100, µs.
    P99,
    /// Calls a second at 64 in flight.
    Calls,
    /// 10 MiB results, MB/s.
    Big,
    /// Spawn to the answer of `initialize`, ms.
    Initialize,
    /// Spawn to the answer of `tools/list`, ms.
    List,
    /// Resident before the first call, MB.
    Idle,
    /// Resident after ten big results, MB.
    AfterBig,
    /// Resident after all rounds, MB.
    AfterAll,
}

/// What the bridge has to reach.
enum Target {
    AtMost(f64),
    AtLeast(f64),
    AtMostPump(f64),
    AtLeastPump(f64),
    None,
}

/// All samples: one a round, by row and side.
#[derive(Default)]
pub struct Figures {
    samples: BTreeMap<(Row, &'static str), Vec<f64>>,
}

const ROWS: [(Row, &str, &str, Target); 9] = [
    (Row::P50, "p50_us", "one call, p50, µs", Target::AtMostPump(2.5)),
    (Row::P99, "p99_us", "one call, p99, µs", Target::AtMostPump(3.0)),
    (Row::Calls, "calls_per_s", "calls/s, 64 in flight", Target::AtLeast(50_000.0)),
    (Row::Big, "big_mb_per_s", "10 MiB result, MB/s", Target::AtLeastPump(0.4)),
    (Row::Initialize, "initialize_ms", "spawn to initialize, ms", Target::AtMost(10.0)),
    (Row::List, "list_ms", "spawn to tools/list, ms", Target::AtMost(20.0)),
    (Row::Idle, "idle_mb", "memory idle, MB", Target::AtMost(15.0)),
    (Row::AfterBig, "after_big_mb", "memory after 10 big, MB", Target::AtMost(15.0)),
    (Row::AfterAll, "after_all_mb", "memory after all, MB", Target::None),
];

impl Figures {
    /// Adds the sample of a round.
    pub fn add(&mut self, row: Row, side: &'static str, value: f64) {
        self.samples.entry((row, side)).or_default().push(value);
    }

    /// The median over the rounds.
    fn median(&self, row: Row, side: &'static str) -> Option<f64> {
        let mut values = self.samples.get(&(row, side))?.clone();
        Some(quantile(&mut values, 0.5))
    }

    fn ratio(&self, row: Row, other: &'static str) -> Option<f64> {
        Some(self.median(row, "bridge")? / self.median(row, other)?)
    }

    /// What a front adds to a call in the middle, over what a byte pump adds.
    fn hop(&self, row: Row) -> Option<f64> {
        let added = |with, without| Some(self.median(row, with)? - self.median(row, without)?);
        (row == Row::P50).then(|| Some(added("hub", "bridge")? / added("pump", "direct")?)).flatten()
    }

    /// Whether the bridge reaches the target; None when it was not measured or there is none.
    fn met(&self, row: Row, target: &Target) -> Option<bool> {
        let value = self.median(row, "bridge")?;
        let pump = self.ratio(row, "pump");
        match target {
            Target::AtMost(limit) => Some(value <= *limit),
            Target::AtLeast(limit) => Some(value >= *limit),
            Target::AtMostPump(limit) => Some(pump? <= *limit),
            Target::AtLeastPump(limit) => Some(pump? >= *limit),
            Target::None => None,
        }
    }

    /// The table, one row a line.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<26}{:>11}{:>11}{:>11}{:>11}{:>13}{:>15}{:>12}  {:<12}\n",
            "", "direct", "pump", "bridge", "hub", "bridge/pump", "bridge/direct", "hop/pump", "target"
        );
        for (row, _, title, target) in &ROWS {
            let figure = |side| self.median(*row, side).map_or("-".to_owned(), number);
            let ratio = |other| self.ratio(*row, other).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            let verdict = match self.met(*row, target) {
                Some(true) => "pass",
                Some(false) => "MISS",
                None => "",
            };
            let (direct, pump, bridge, hub) =
                (figure("direct"), figure("pump"), figure("bridge"), figure("hub"));
            let hop = self.hop(*row).map_or(String::new(), |hop| format!("{hop:.2}"));
            let (to_pump, to_direct, wanted) = (ratio("pump"), ratio("direct"), words(target));
            let line = format!(
                "{title:<26}{direct:>11}{pump:>11}{bridge:>11}{hub:>11}{to_pump:>13}{to_direct:>15}{hop:>12}  {wanted:<12} {verdict}"
            );
            // Writing to a String cannot fail.
            let _done = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// Everything, with the samples of each round.
    pub fn json(&self) -> Value {
        let rows = ROWS.iter().map(|(row, key, _, target)| {
            let of =
                |side| json!({"median": self.median(*row, side), "rounds": self.samples.get(&(*row, side))});
            let value = json!({
                "direct": of("direct"), "pump": of("pump"), "bridge": of("bridge"), "hub": of("hub"),
                "hop_per_pump": self.hop(*row),
                "bridge_per_pump": self.ratio(*row, "pump"), "bridge_per_direct": self.ratio(*row, "direct"),
                "target": words(target), "met": self.met(*row, target),
            });
            ((*key).to_owned(), value)
        });
        Value::Object(rows.collect())
    }
}

fn words(target: &Target) -> String {
    match target {
        Target::AtMost(limit) => format!("<= {limit}"),
        Target::AtLeast(limit) => format!(">= {limit}"),
        Target::AtMostPump(limit) => format!("<= {limit} pump"),
        Target::AtLeastPump(limit) => format!(">= {limit} pump"),
        Target::None => String::new(),
    }
}

fn number(value: f64) -> String {
    if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}
