//! What was found out, as a table: figures, and bars that are met or not.

use std::fmt::{Display, Write};

/// All rows, in the order in which they were added.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    /// Faults one by one, each a line.
    faults: Vec<String>,
}

struct Row {
    what: String,
    value: String,
    bar: Option<Bar>,
}

struct Bar {
    words: String,
    is_met: bool,
    /// Whether a machine that is busy with something else can be why it is missed.
    is_of_time: bool,
}

/// What the bars say, all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All are met.
    Good,
    /// Only such are missed as measure time.
    Slow,
    /// A promise was broken.
    Bad,
}

/// Of many faults of one kind only so many are quoted.
const QUOTED: usize = 10;

impl Report {
    /// A figure without a bar.
    pub fn figure(&mut self, what: &str, value: impl Display) {
        self.rows.push(Row { what: what.to_owned(), value: value.to_string(), bar: None });
    }

    /// A count that has to be 0, and what was counted.
    pub fn none(&mut self, what: &str, count: usize, faults: &[String]) {
        let bar = Some(Bar { words: "0".to_owned(), is_met: count == 0, is_of_time: false });
        self.rows.push(Row { what: what.to_owned(), value: count.to_string(), bar });
        self.faults.extend(faults.iter().take(QUOTED).map(|fault| format!("{what}: {fault}")));
    }

    /// A figure that may not pass a limit; one that was not measured does.
    pub fn at_most(&mut self, what: &str, value: f64, limit: f64) {
        self.limited(what, value, limit, false);
    }

    /// The same for a time, or for what times are compared in.
    pub fn in_time(&mut self, what: &str, value: f64, limit: f64) {
        self.limited(what, value, limit, true);
    }

    fn limited(&mut self, what: &str, value: f64, limit: f64, is_of_time: bool) {
        let bar = Some(Bar { words: format!("<= {limit}"), is_met: value <= limit, is_of_time });
        self.rows.push(Row { what: what.to_owned(), value: format!("{value:.2}"), bar });
    }

    /// What all bars say.
    pub fn outcome(&self) -> Outcome {
        let missed = || self.rows.iter().filter_map(|row| row.bar.as_ref()).filter(|bar| !bar.is_met);
        match (missed().next(), missed().all(|bar| bar.is_of_time)) {
            (None, _) => Outcome::Good,
            (Some(_), true) => Outcome::Slow,
            (Some(_), false) => Outcome::Bad,
        }
    }

    /// One row a line, then the faults.
    pub fn table(&self) -> String {
        let mut text = String::from("\n");
        for Row { what, value, bar } in &self.rows {
            let bar = bar.as_ref().map_or(String::new(), |bar| {
                format!("{:<8} {}", bar.words, if bar.is_met { "pass" } else { "MISS" })
            });
            let line = format!("{what:<46}{value:>16}  {bar}");
            // Writing to a String cannot fail.
            let _done = writeln!(text, "{}", line.trim_end());
        }
        self.faults.iter().for_each(|fault| text += &format!("  {fault}\n"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_may_be_measured_once_more() {
        let mut report = Report::default();
        report.figure("x", 1);
        report.none("lost", 0, &[]);
        assert_eq!(report.outcome(), Outcome::Good);
        report.in_time("p99", 2.0, 1.5);
        assert_eq!(report.outcome(), Outcome::Slow);
        report.in_time("never measured", f64::NAN, 1.5);
        report.none("lost", 1, &["one".to_owned()]);
        assert_eq!(report.outcome(), Outcome::Bad);
    }
}
