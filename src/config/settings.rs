//! The bridge's own settings.

use std::time::Duration;

use crate::config::mistake::Report;
use crate::config::sharing::{Capacity, Said};
use crate::config::tools::OnChange;
use crate::config::tree::{Fields, Node, text};

/// The bridge's own settings: `[settings]`. A setting with a mistake keeps its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `first_list_wait_s`, 0 to 300, default 20: how long a `tools/list` waits for servers whose
    /// tools are not stored yet.
    pub first_list_wait: Duration,
    /// `retention_days`, 1 to 36,500, default 90: how long rows of single calls are kept.
    pub retention: Duration,
    /// `durability`, default `process`: what an answered call's row survives.
    pub durability: Durability,
    /// `stderr_log_max_kib`, 16 KiB to 1 GiB, default 1 MiB: the largest log file of a server's
    /// stderr, in bytes.
    pub stderr_log_max_bytes: u64,
    /// `in_line_max_mib`, 1 to 1024 MiB, default 16: the longest line from a client, in bytes.
    pub in_line_max_bytes: usize,
    /// `out_line_max_mib`, 1 to 1024 MiB, default 64: the longest line from a server, in bytes.
    pub out_line_max_bytes: usize,
    /// `question_expiry_s`, 1 to 86,400, default 600: how long a modern client may take to come back to a
    /// question of an older server, which waits meanwhile.
    pub question_expiry: Duration,
    /// `handoff_after_s`, 0 to 86,400, default 50: after this a call is handed off whose client would not wait
    /// for its answer; `None` (0) is never.
    pub handoff_after: Option<Duration>,
    /// `failure_threshold`, 1 to 1000, default 5: so many failures of a server within 30 s park it.
    pub failure_threshold: u32,
    /// `max_cold_starts`, 1 to 100, default 3: so many servers start side by side; one that takes longer than
    /// 10 s does not count any more.
    pub max_cold_starts: usize,
    /// `hang_after`, 1 to 1000, default 3: a server that misses so many deadlines in a row is replaced.
    pub hang_after: u32,
    /// `idle_stop_m`, 0 to 10,080, default 60: a server without a call for so long is stopped; `None` (0) is
    /// never.
    pub idle_stop: Option<Duration>,
    /// `recovery_timeout_s`, 1 to 300, default 60: how long a server is parked the first time.
    pub recovery_timeout: Duration,
    /// How many calls and connections a server may have at once, unless its entry says otherwise.
    pub capacity: Capacity,
    /// `thread_idle_m`, 0 to 10,080, default 60: a thread's connections end when it has made no call for so
    /// long; `None` (0) is never.
    pub thread_idle: Option<Duration>,
    /// `user_idle_m`, 0 to 10,080, default 15: a user's connections, and those of all the user's threads, end
    /// when the user has made no call for so long; `None` (0) is never.
    pub user_idle: Option<Duration>,
    /// `hub_idle_m`, 1 to 10,080, default 10: the hub ends when no client has been attached for so long.
    pub hub_idle: Duration,
    /// `on_tool_change`, default `notify`: what comes of a tool that is another one than when it was first seen,
    /// unless its server's entry says otherwise.
    pub on_tool_change: OnChange,
}

/// What the row of an answered call survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// `process`: the death of every process of ours.
    Process,
    /// `power`: a power cut too; each group of calls waits for the disk.
    Power,
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KIB: u64 = 1 << 10;
pub(super) const MIB: usize = 1 << 20;

impl Default for Settings {
    fn default() -> Self {
        Self {
            first_list_wait: Duration::from_secs(20),
            retention: DAY * 90,
            durability: Durability::Process,
            stderr_log_max_bytes: 1024 * KIB,
            in_line_max_bytes: 16 * MIB,
            out_line_max_bytes: 64 * MIB,
            question_expiry: Duration::from_secs(600),
            handoff_after: Some(Duration::from_secs(50)),
            failure_threshold: 5,
            max_cold_starts: 3,
            hang_after: 3,
            idle_stop: Some(MINUTE * 60),
            recovery_timeout: MINUTE,
            capacity: Capacity::default(),
            thread_idle: Some(MINUTE * 60),
            user_idle: Some(MINUTE * 15),
            hub_idle: MINUTE * 10,
            on_tool_change: OnChange::default(),
        }
    }
}

impl Settings {
    const KEYS: [&str; 17] = [
        "first_list_wait_s",
        "retention_days",
        "durability",
        "stderr_log_max_kib",
        "in_line_max_mib",
        "out_line_max_mib",
        "question_expiry_s",
        "handoff_after_s",
        "failure_threshold",
        "max_cold_starts",
        "hang_after",
        "idle_stop_m",
        "recovery_timeout_s",
        "thread_idle_m",
        "user_idle_m",
        "hub_idle_m",
        "on_tool_change",
    ];

    /// The keys whose values differ: those that hold for every server's next life, and those that need a new
    /// start of the bridge.
    #[must_use]
    pub fn differing(old: &Self, new: &Self) -> (Vec<&'static str>, Vec<&'static str>) {
        // Counted, so that a new setting is not forgotten here.
        const LIVES: usize = 11;
        // It holds at once: `Change::shown` names the servers whose tools it touches.
        const AT_ONCE: usize = 1;
        let (was, is) = (&old.capacity, &new.capacity);
        let lives: [_; LIVES] = [
            ("stderr_log_max_kib", old.stderr_log_max_bytes != new.stderr_log_max_bytes),
            ("out_line_max_mib", old.out_line_max_bytes != new.out_line_max_bytes),
            ("failure_threshold", old.failure_threshold != new.failure_threshold),
            ("max_cold_starts", old.max_cold_starts != new.max_cold_starts),
            ("hang_after", old.hang_after != new.hang_after),
            ("idle_stop_m", old.idle_stop != new.idle_stop),
            ("recovery_timeout_s", old.recovery_timeout != new.recovery_timeout),
            // A server that they make another one is started anew.
            ("max_connections", was.max_connections != is.max_connections),
            ("max_concurrent", was.max_concurrent != is.max_concurrent),
            ("max_queue", was.max_queue != is.max_queue),
            ("queue_timeout_s", was.queue_timeout != is.queue_timeout),
        ];
        let later: [_; Self::KEYS.len() + Said::KEYS.len() - LIVES - AT_ONCE] = [
            ("first_list_wait_s", old.first_list_wait != new.first_list_wait),
            ("retention_days", old.retention != new.retention),
            ("durability", old.durability != new.durability),
            ("in_line_max_mib", old.in_line_max_bytes != new.in_line_max_bytes),
            ("question_expiry_s", old.question_expiry != new.question_expiry),
            ("handoff_after_s", old.handoff_after != new.handoff_after),
            ("thread_idle_m", old.thread_idle != new.thread_idle),
            ("user_idle_m", old.user_idle != new.user_idle),
            ("hub_idle_m", old.hub_idle != new.hub_idle),
        ];
        let differing = |all: &[(&'static str, bool)]| {
            all.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
        };
        (differing(&lives), differing(&later))
    }

    pub(super) fn read(node: Node, report: &mut Report<'_>) -> Self {
        let usual = Self::default();
        let Some(mut fields) = Fields::of(node, report) else {
            return usual;
        };
        let settings = Self {
            first_list_wait: fields
                .seconds("first_list_wait_s", (0, 300), report)
                .unwrap_or(usual.first_list_wait),
            retention: fields
                .number("retention_days", (1, 36_500), report)
                .map_or(usual.retention, |days| DAY * days),
            durability: durability(&mut fields, report).unwrap_or(usual.durability),
            stderr_log_max_bytes: fields
                .number("stderr_log_max_kib", (16, 1 << 20), report)
                .map_or(usual.stderr_log_max_bytes, |kib| u64::from(kib) * KIB),
            in_line_max_bytes: mib(&mut fields, "in_line_max_mib", report).unwrap_or(usual.in_line_max_bytes),
            out_line_max_bytes: mib(&mut fields, "out_line_max_mib", report)
                .unwrap_or(usual.out_line_max_bytes),
            question_expiry: fields
                .seconds("question_expiry_s", (1, 86_400), report)
                .unwrap_or(usual.question_expiry),
            handoff_after: fields
                .seconds("handoff_after_s", (0, 86_400), report)
                .or(usual.handoff_after)
                .filter(|after| !after.is_zero()),
            failure_threshold: fields
                .number("failure_threshold", (1, 1000), report)
                .unwrap_or(usual.failure_threshold),
            max_cold_starts: fields
                .number("max_cold_starts", (1, 100), report)
                .map_or(usual.max_cold_starts, |max| max as usize),
            hang_after: fields.number("hang_after", (1, 1000), report).unwrap_or(usual.hang_after),
            idle_stop: idle(&mut fields, "idle_stop_m", usual.idle_stop, report),
            recovery_timeout: fields
                .seconds("recovery_timeout_s", (1, 300), report)
                .unwrap_or(usual.recovery_timeout),
            capacity: Said::read(&mut fields, report).over(&usual.capacity),
            thread_idle: idle(&mut fields, "thread_idle_m", usual.thread_idle, report),
            user_idle: idle(&mut fields, "user_idle_m", usual.user_idle, report),
            hub_idle: fields
                .number("hub_idle_m", (1, 10_080), report)
                .map_or(usual.hub_idle, |minutes| MINUTE * minutes),
            on_tool_change: OnChange::read(&mut fields, report).unwrap_or(usual.on_tool_change),
        };
        fields.refuse_others(&[&Self::KEYS[..], &Said::KEYS].concat(), report);
        settings
    }
}

fn durability(fields: &mut Fields, report: &mut Report<'_>) -> Option<Durability> {
    let node = fields.take("durability")?;
    let (at, path) = (node.at, node.path.clone());
    match text(node, report)?.as_str() {
        "process" => Some(Durability::Process),
        "power" => Some(Durability::Power),
        _ => {
            report.mistake(at, &path, "must be \"process\" or \"power\"");
            None
        }
    }
}

/// A number of minutes, of which none is never.
fn idle(
    fields: &mut Fields,
    key: &str,
    usual: Option<Duration>,
    report: &mut Report<'_>,
) -> Option<Duration> {
    let read = fields.number(key, (0, 10_080), report).map(|minutes| MINUTE * minutes);
    read.or(usual).filter(|idle| !idle.is_zero())
}

fn mib(fields: &mut Fields, key: &str, report: &mut Report<'_>) -> Option<usize> {
    fields.number(key, (1, 1024), report).map(|mib| mib as usize * MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_stands_in_the_example_and_in_the_readme() {
        for key in [&Settings::KEYS[..], &Said::KEYS].concat() {
            let line = format!("\n{key} = ");
            assert!(crate::config::EXAMPLE.contains(&line), "{key} is not in the example");
            assert!(include_str!("../../README.md").contains(&line), "{key} is not in the README");
        }
    }
}
