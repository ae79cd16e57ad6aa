//! What the clients saw, and whether it is as promised.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{FIRST_TROUBLED, WINDOW};
use crate::book::{Ended, Said, Tally};
use crate::gauge::quantile;
use crate::record::Record;
use crate::report::Report;
use crate::room::Room;
use crate::trouble::Trouble;

/// The untouched servers may be slower by this factor in trouble.
const SLOWER_MAX: f64 = 1.5;

/// A window is disturbed when others kept more of a processor busy than this.
const OTHERS_MAX: f64 = 0.15;

/// So many undisturbed windows of each kind are enough.
const ENOUGH: usize = 3;

/// A time in which calls are measured.
pub struct Window {
    /// Its beginning.
    pub from: Instant,
    /// Whether nothing was done to anybody.
    pub is_quiet: bool,
    /// Processors that others than the run kept busy, on average.
    pub others: f64,
}

/// One client's end.
pub struct Fate {
    /// The process of its bridge.
    pub bridge: u32,
    /// What it asked and was answered.
    pub tally: Tally,
    /// When its input was closed, if it was under load.
    pub closed: Option<Instant>,
    /// Whether its bridge was killed.
    pub was_killed: bool,
}

/// All that a verdict needs to know.
pub struct Verdict<'a> {
    /// Where it happened.
    pub room: &'a Room,
    /// What was done.
    pub trouble: &'a Trouble<'a>,
    /// When it was measured.
    pub windows: &'a [Window],
}

impl Verdict<'_> {
    /// Adds figures and bars.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn tell(&self, fates: Vec<Fate>, report: &mut Report) -> Result<()> {
        report.figure("done", self.trouble.sentence());
        self.tell_answers(&fates, report);
        self.tell_latency(&fates, report);
        self.tell_record(&fates, report)
    }

    fn tell_answers(&self, fates: &[Fate], report: &mut Report) {
        let count = |of: fn(&Tally) -> usize| fates.iter().map(|fate| of(&fate.tally)).sum::<usize>();
        let ended = || {
            fates
                .iter()
                .enumerate()
                .flat_map(|(client, fate)| fate.tally.ended.iter().map(move |e| (client, fate, e)))
        };
        let right = ended().filter(|(_, _, ended)| matches!(ended.said, Said::Right)).count();
        report.figure("requests", count(|tally| tally.ended.len() + tally.unanswered));
        report.figure("answers", count(|tally| tally.ended.len()));
        report.figure("  right", right);
        let mut failures = BTreeMap::<String, usize>::new();
        for (_, _, ended) in ended() {
            if let Said::Failed { kind, cause } = &ended.said {
                *failures.entry(format!("  {kind} ({cause})")).or_default() += 1;
            }
        }
        failures.iter().for_each(|(what, times)| report.figure(what, times));
        let cut =
            fates.iter().filter(|fate| fate.was_killed).map(|fate| fate.tally.unanswered).sum::<usize>();
        report.figure("inside the bridge that was killed", cut);
        report.none("lost", count(|tally| tally.unanswered) - cut, &[]);
        let twice = usize::try_from(fates.iter().map(|fate| fate.tally.duplicates).sum::<u64>());
        report.none("duplicates", twice.unwrap_or(usize::MAX), &[]);
        let strays = fates.iter().flat_map(|fate| fate.tally.strays.iter().cloned());
        let wrong = ended().filter_map(|(client, fate, ended)| self.fault(client, fate, ended));
        let wrong: Vec<String> = strays.chain(wrong).collect();
        report.none("wrong", wrong.len(), &wrong);
    }

    /// What is wrong with an answer.
    fn fault(&self, client: usize, fate: &Fate, ended: &Ended) -> Option<String> {
        let what = match &ended.said {
            Said::Right => return None,
            Said::Wrong(line) => line.clone(),
            Said::Failed { cause, .. } => {
                let was_stopped = fate.closed.is_some_and(|closed| closed <= ended.at + ended.took);
                if (was_stopped && cause == "bridge_stopped") || self.trouble.explains(client, ended) {
                    return None;
                }
                let Said::Failed { kind, .. } = &ended.said else { return None };
                format!("{kind} ({cause}) without a reason")
            }
        };
        let (window, after) = self.place(ended.at);
        Some(format!(
            "client {client}, request {}, server s{}, window {window} after {after:?}, took {:?}: {what}",
            ended.id, ended.server, ended.took
        ))
    }

    /// In, or after, which window, and how long after its beginning.
    fn place(&self, at: Instant) -> (usize, Duration) {
        let begun = self.windows.iter().take_while(|window| window.from <= at);
        (begun.clone().count(), begun.last().map_or(Duration::ZERO, |window| at.duration_since(window.from)))
    }

    fn tell_latency(&self, fates: &[Fate], report: &mut Report) {
        let ms = |window: &Window, share| {
            let ended = fates.iter().flat_map(|fate| &fate.tally.ended);
            let is_in =
                |e: &&Ended| e.server < FIRST_TROUBLED && (window.from..window.from + WINDOW).contains(&e.at);
            let mut took: Vec<f64> =
                ended.filter(is_in).map(|ended| ended.took.as_secs_f64() * 1e3).collect();
            quantile(&mut took, share)
        };
        let calm = |is_quiet| {
            self.windows
                .iter()
                .filter(move |window| window.is_quiet == is_quiet && window.others <= OTHERS_MAX)
        };
        let all_count = calm(true).count().min(calm(false).count()) < ENOUGH;
        let others = self.windows.iter().map(|window| format!("{:.2}", window.others));
        report.figure("processors that others kept busy", others.collect::<Vec<_>>().join(" "));
        let which = if all_count { "all" } else { "those without others" };
        report.figure("windows that count", which);
        let over = |is_quiet, share| {
            let windows = self.windows.iter().filter(|window| window.is_quiet == is_quiet);
            let windows = windows.filter(|window| all_count || window.others <= OTHERS_MAX);
            windows.map(|window| ms(window, share)).collect::<Vec<f64>>()
        };
        let mut p99 = (f64::NAN, f64::NAN);
        for (word, share) in [("p50", 0.5), ("p99", 0.99)] {
            let (quiet, rough) = (over(true, share), over(false, share));
            let list = |of: &[f64]| of.iter().map(|ms| format!("{ms:.1}")).collect::<Vec<_>>().join(" ");
            report.figure(&format!("untouched servers, {word} ms, quiet windows"), list(&quiet));
            report.figure(&format!("untouched servers, {word} ms, in trouble"), list(&rough));
            let median = |mut of: Vec<f64>| quantile(&mut of, 0.5);
            p99 = (median(quiet), median(rough));
        }
        report.figure("untouched servers, median p99 ms, quiet", format!("{:.2}", p99.0));
        report.figure("untouched servers, median p99 ms, in trouble", format!("{:.2}", p99.1));
        report.in_time("untouched servers, trouble / quiet", p99.1 / p99.0, SLOWER_MAX);
    }

    fn tell_record(&self, fates: &[Fate], report: &mut Report) -> Result<()> {
        let record = Record::open(self.room)?;
        for event in ["start", "ready", "exit", "restart", "parked"] {
            report.figure(&format!("events: {event}"), record.events(event)?);
        }
        let mut differences = Vec::new();
        for fate in fates {
            differences.extend(record.differences(fate.bridge, &fate.tally.ended, fate.was_killed)?);
        }
        report.none("answers without their row, rows without answer", differences.len(), &differences);
        Ok(())
    }
}
