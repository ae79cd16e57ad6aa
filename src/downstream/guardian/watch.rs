//! What `bridge __guard` does: it waits for the end of the bridge, and then ends what that left.
//!
//! Nothing of the bridge runs here, no runtime, no log, no record: there is one such process for each bridge,
//! and nearly all of its time it sleeps in one read.
//!
//! **Ids are reused.** A group's id is free only when its last process is reaped, and the bridge says `-` right
//! after; here a group that was seen gone is never touched again. A stranger could be met only if all ids went
//! round within one look (`LOOK`), or between that reaping and a `kill -9` of the bridge in the same moment.

use std::collections::BTreeSet;
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::downstream::group;
use crate::downstream::guardian::post::Mark;

/// The word on the command line; it stands in no help.
pub const VERB: &str = "__guard";

/// After SIGTERM, the groups have this long before SIGKILL (house.md, "Start, stop, die, come back").
const TERM_GRACE: Duration = Duration::from_millis(500);

/// How often is looked who is still there.
const LOOK: Duration = Duration::from_millis(10);

/// Whether this process was started to be a guard. Asked first of all, before anything is built.
#[must_use]
pub fn is_wanted() -> bool {
    std::env::args_os().nth(1).is_some_and(|verb| verb == VERB)
}

/// Stands by until the end of input, and returns when no group is left that was told.
#[must_use]
pub fn stand() -> ExitCode {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        // A handler that only sets a flag nobody reads.
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    // Otherwise a list of processes shows `exe`, after the name by which we were started.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/comm", "bridge-guard");
    match told(io::stdin().lock()) {
        Ok(groups) => {
            end(groups);
            ExitCode::SUCCESS
        }
        // Who cannot hear does not know that the bridge has ended. It finds out, and starts another.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Hears lines until there are no more; gives the groups that live by what they say.
fn told(mut lines: impl BufRead) -> io::Result<BTreeSet<u32>> {
    let mut groups = BTreeSet::new();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        match parse(&line) {
            Some((Mark::Started, group)) => _ = groups.insert(group),
            Some((Mark::Gone, group)) => _ = groups.remove(&group),
            Some((Mark::Look, _)) => groups.retain(|group| group::lives(*group)),
            None => {}
        }
        line.clear();
    }
    Ok(groups)
}

/// A line without its end may be a part of another number.
fn parse(line: &[u8]) -> Option<(Mark, u32)> {
    let line = str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let marks = [Mark::Started, Mark::Gone, Mark::Look];
    marks.into_iter().find_map(|mark| Some((mark, line.strip_prefix(mark.sign())?.parse().ok()?)))
}

/// Ends the groups, all at once: SIGTERM, then SIGKILL for those that do not hear it.
fn end(mut groups: BTreeSet<u32>) {
    groups.iter().for_each(|group| group::terminate(*group));
    let deadline = Instant::now() + TERM_GRACE;
    loop {
        groups.retain(|group| group::lives(*group));
        if groups.is_empty() || Instant::now() >= deadline {
            break;
        }
        thread::sleep(LOOK);
    }
    groups.iter().for_each(|group| group::kill(*group));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").process_group(0).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let groups = told(&b"+7\n+8\n+7\n-7\n-9\n"[..]).unwrap();
        assert_eq!(groups, BTreeSet::from([8]));
    }

    #[test]
    fn a_line_that_is_cut_or_strange_says_nothing() {
        let groups = told(&b"+\n8\n+x\n+-3\n\xff\n\n+70000000000\n+5\n+12"[..]).unwrap();
        assert_eq!(groups, BTreeSet::from([5]));
    }

    #[test]
    fn after_a_start_that_failed_only_those_stay_that_live() {
        let mut child = sleeper();
        let id = child.id();
        // Above the greatest id there can be.
        let groups = told(format!("+{id}\n+4194305\n?0\n").as_bytes()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(groups, BTreeSet::from([id]));
    }

    #[test]
    fn groups_are_asked_to_end_before_they_are_killed() {
        let mut child = sleeper();
        end(BTreeSet::from([child.id()]));
        assert_eq!(child.wait().unwrap().signal(), Some(SIGTERM));
    }

    #[test]
    fn no_group_is_no_wait() {
        let before = Instant::now();
        end(BTreeSet::new());
        assert!(before.elapsed() < TERM_GRACE);
    }
}
