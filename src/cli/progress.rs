//! How far long work has come, on stderr: bars and spinners on a terminal, a line for each step elsewhere.
//!
//! What moves on a terminal goes with its [`Progress`]: the screen is then free for what came of it. Lines stay.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::words;

/// A spinner turns so often.
const TICK: Duration = Duration::from_millis(100);

/// Where nothing moves, work that is counted has so many lines between its first and its last.
const STEPS: u64 = 4;

/// Where progress is shown. Dropped, it leaves a terminal as it was.
pub struct Progress(Screen);

enum Screen {
    /// All bars are held to the end: one that is let go stays on the screen.
    Terminal(MultiProgress, Mutex<Vec<ProgressBar>>),
    Lines(Arc<Mutex<dyn Write + Send>>),
}

/// One piece of work. Dropped before it is done, it vanishes from a terminal and says nothing elsewhere.
pub struct Task(Shown);

enum Shown {
    Bar(ProgressBar),
    Lines(Lines),
}

/// A piece of work where nothing moves.
struct Lines {
    out: Arc<Mutex<dyn Write + Send>>,
    name: String,
    /// Done of how many; nothing where nobody counts.
    count: Option<Mutex<Count>>,
}

struct Count {
    done: u64,
    all: u64,
}

impl Progress {
    /// Shows it on stderr.
    #[must_use]
    pub fn on_stderr() -> Self {
        let moves = io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self(match moves {
            true => Screen::terminal(ProgressDrawTarget::stderr()),
            false => Screen::Lines(Arc::new(Mutex::new(io::stderr()))),
        })
    }

    /// Begins work of which nobody knows how long it takes, and says what happens first.
    #[must_use]
    pub fn begin(&self, name: &str, words: &str) -> Task {
        let task = self.task(name, None);
        task.say(words);
        task
    }

    /// Begins work on so many things, which are counted by [`Task::advance`].
    #[must_use]
    pub fn count(&self, name: &str, all: u64) -> Task {
        let task = self.task(name, Some(all));
        task.advance(0);
        task
    }

    fn task(&self, name: &str, all: Option<u64>) -> Task {
        Task(match &self.0 {
            Screen::Terminal(bars, held) => {
                let bar = bars.add(all.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
                bar.set_style(style(all.is_some()));
                bar.set_prefix(name.to_owned());
                bar.enable_steady_tick(TICK);
                held.lock().unwrap_or_else(PoisonError::into_inner).push(bar.clone());
                Shown::Bar(bar)
            }
            Screen::Lines(out) => {
                let count = all.map(|all| Mutex::new(Count { done: 0, all }));
                Shown::Lines(Lines { out: Arc::clone(out), name: name.to_owned(), count })
            }
        })
    }
}

impl Screen {
    fn terminal(target: ProgressDrawTarget) -> Self {
        Self::Terminal(MultiProgress::with_draw_target(target), Mutex::default())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Screen::Terminal(bars, _) = &self.0 {
            // A terminal that is gone shows nothing either.
            let _ = bars.clear();
        }
    }
}

impl Task {
    /// What happens now, in a few words.
    pub fn say(&self, words: &str) {
        match &self.0 {
            Shown::Bar(bar) => bar.set_message(words.to_owned()),
            Shown::Lines(lines) => lines.write(words),
        }
    }

    /// So many more are done. Cheap enough to be told of each.
    pub fn advance(&self, more: u64) {
        match &self.0 {
            Shown::Bar(bar) => bar.inc(more),
            Shown::Lines(lines) => lines.advance(more),
        }
    }

    /// It is done, with this result; on a terminal that stays as long as the others.
    pub fn done(self, words: &str) {
        match &self.0 {
            Shown::Bar(bar) => {
                bar.set_style(ended());
                bar.finish_with_message(words.to_owned());
            }
            Shown::Lines(lines) => lines.write(words),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.0
            && !bar.is_finished()
        {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    fn write(&self, words: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody has to read it.
        let _ = writeln!(out, "{}: {words}", self.name).and_then(|()| out.flush());
    }

    fn advance(&self, more: u64) {
        let Some(count) = &self.count else { return };
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let step = |done: u64| (u128::from(done) * u128::from(STEPS + 1)).checked_div(count.all.into());
        let (before, now) = (step(count.done), step(count.done.saturating_add(more)));
        count.done = count.done.saturating_add(more);
        // What ends it is said by whoever ends it.
        if more == 0 || (now > before && count.done < count.all) {
            self.write(&format!("{} of {}", words::count(count.done), words::count(count.all)));
        }
    }
}

fn style(is_counted: bool) -> ProgressStyle {
    let template = match is_counted {
        true => "{spinner} {prefix}: {wide_bar} {human_pos} of {human_len} {elapsed} {msg}",
        false => "{spinner} {prefix}: {wide_msg} {elapsed}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn ended() -> ProgressStyle {
    ProgressStyle::with_template("  {prefix}: {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use indicatif::InMemoryTerm;

    use super::*;

    /// What is to be read of some work where nothing moves.
    fn lines(work: impl FnOnce(&Progress)) -> String {
        let out = Arc::new(Mutex::new(Vec::new()));
        let progress = Progress(Screen::Lines(Arc::clone(&out) as _));
        work(&progress);
        String::from_utf8(out.lock().unwrap().clone()).unwrap()
    }

    /// What stands on a terminal during some work as soon as it is drawn, and after it.
    fn screens(work: impl FnOnce(&Progress) -> Vec<Task>, is_drawn: impl Fn(&str) -> bool) -> [String; 2] {
        let term = InMemoryTerm::new(10, 80);
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let progress = Progress(Screen::terminal(target));
        let tasks = work(&progress);
        // It is drawn at every tick.
        let (begun, mut during) = (Instant::now(), term.contents());
        while !is_drawn(&during) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{during}");
            std::thread::yield_now();
            during = term.contents();
        }
        drop((tasks, progress));
        [during, term.contents()]
    }

    #[test]
    fn where_nothing_moves_each_step_is_a_line() {
        let said = lines(|progress| {
            let (time, git) = (progress.begin("time", "starting"), progress.begin("git", "starting"));
            time.done("ready in 1.2 s");
            drop(git);
        });
        assert_eq!(said, "time: starting\ngit: starting\ntime: ready in 1.2 s\n");
    }

    #[test]
    fn a_million_things_are_a_few_lines() {
        let said = lines(|progress| {
            let rows = progress.count("export", 1_000_000);
            (0..1_000_000).for_each(|_| rows.advance(1));
            rows.done("1,000,000 rows in 3 s");
        });
        insta::assert_snapshot!(said, @r"
        export: 0 of 1,000,000
        export: 200,000 of 1,000,000
        export: 400,000 of 1,000,000
        export: 600,000 of 1,000,000
        export: 800,000 of 1,000,000
        export: 1,000,000 rows in 3 s
        ");
        let nothing = lines(|progress| progress.count("export", 0).done("nothing"));
        assert_eq!(nothing, "export: 0 of 0\nexport: nothing\n");
    }

    #[test]
    fn a_terminal_shows_those_that_go_on_side_by_side_and_is_left_as_it_was() {
        let work = |progress: &Progress| {
            let (time, git) = (progress.begin("time", "starting"), progress.begin("git", "starting"));
            let rows = progress.count("export", 4000);
            rows.advance(1000);
            time.done("ready in 1.2 s");
            vec![git, rows]
        };
        let [during, after] = screens(work, |screen| screen.contains("1,000 of 4,000"));
        let lines: Vec<&str> = during.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, "  time: ready in 1.2 s"), "{during}");
        assert!(lines[1].contains(" git: starting ") && lines[1].ends_with(" 0s"), "{during}");
        assert!(lines[2].contains(" export: █") && lines[2].contains("░ 1,000 of 4,000 "), "{during}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{during}");
        assert_eq!(after, "");
    }
}
