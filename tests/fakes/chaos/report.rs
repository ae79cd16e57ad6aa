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
    bar: Option<(String, bool)>,
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
        let bar = Some(("0".to_owned(), count == 0));
        self.rows.push(Row { what: what.to_owned(), value: count.to_string(), bar });
        self.faults.extend(faults.iter().take(QUOTED).map(|fault| format!("{what}: {fault}")));
    }

    /// A figure that may not pass a limit; one that was not measured does.
    pub fn at_most(&mut self, what: &str, value: f64, limit: f64) {
        let bar = Some((format!("<= {limit}"), value <= limit));
        self.rows.push(Row { what: what.to_owned(), value: format!("{value:.2}"), bar });
    }

    /// Whether every bar is met.
    pub fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.bar.as_ref().is_none_or(|(_, is_met)| *is_met))
    }

    /// One row a line, then the faults.
    pub fn table(&self) -> String {
        let mut text = String::from("\n");
        for Row { what, value, bar } in &self.rows {
            let bar = bar.as_ref().map_or(String::new(), |(bar, is_met)| {
                format!("{bar:<8} {}", if *is_met { "pass" } else { "MISS" })
            });
            let line = format!("{what:<46}{value:>16}  {bar}");
            // Writing to a String cannot fail.
            let _done = writeln!(text, "{}", line.trim_end());
        }
        self.faults.iter().for_each(|fault| text += &format!("  {fault}\n"));
        text
    }
}
