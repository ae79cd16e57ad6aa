//! One server's budget of starts, shared by every connection to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time;

use crate::downstream::Ending;
use crate::outcome::Cause;
use crate::policy::{Admission, Breaker, Limits, Nature, Policy, Start, Verdict};

/// What all keepers of a server know of its failures. They change it, and hear of each change.
#[derive(Debug)]
pub struct Budget {
    held: Mutex<Held>,
    /// The beginning of the policy's time.
    born: time::Instant,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Held {
    policy: Policy,
    /// How it failed last.
    last: Option<Arc<Ending>>,
}

/// Whether a server may be started.
#[derive(Debug)]
pub enum MayStart {
    /// At once.
    Now(Permit),
    /// Not before this time has passed, unless the budget changes.
    After(Duration),
    /// Not before the budget changes: the outcome of another start decides.
    Undecided,
}

/// One start that was allowed, until the server has ended. One that is dropped says nothing about the server
/// but that it was ready for as long as it was.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    start: Start,
    ready: Option<time::Instant>,
    open: bool,
}

/// How a server stands at a moment.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The breaker.
    pub breaker: Breaker,
    /// No start before this.
    pub until: Instant,
    /// How the server failed last, if it did since its past was forgotten.
    pub last: Option<Arc<Ending>>,
}

impl Budget {
    /// A budget of which nothing is spent.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let held = Mutex::new(Held { policy: Policy::new(limits), last: None });
        Arc::new(Self { held, born: time::Instant::now(), changed: watch::Sender::new(()) })
    }

    /// Asks for a start.
    pub fn start(self: &Arc<Self>) -> MayStart {
        match self.lock().policy.start(self.born.elapsed()) {
            Admission::Now(start) => {
                MayStart::Now(Permit { budget: Arc::clone(self), start, ready: None, open: true })
            }
            Admission::After(wait) => MayStart::After(wait),
            Admission::Undecided => MayStart::Undecided,
        }
    }

    /// How the server stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let held = self.lock();
        let breaker = held.policy.breaker(self.born.elapsed());
        let until = (self.born + held.policy.until()).into_std();
        Standing { breaker, until, last: held.last.clone() }
    }

    /// Other limits from here on.
    pub fn limit(&self, limits: Limits) {
        self.change(|held, _| held.policy.limit(limits));
    }

    /// Hears of each change from here on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn change<R>(&self, change: impl FnOnce(&mut Held, Duration) -> R) -> R {
        let changed = change(&mut self.lock(), self.born.elapsed());
        self.changed.send_replace(());
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The server is ready.
    pub fn ready(&mut self) {
        self.ready = Some(time::Instant::now());
        self.budget.change(|held, _| held.policy.ready(self.start));
    }

    /// The start failed, or the ready server ended on its own. What follows stands in the ending too.
    #[must_use]
    pub fn failed(mut self, ending: Ending) -> (Verdict, Arc<Ending>) {
        self.open = false;
        let ready_for = self.ready_for();
        let born = self.budget.born;
        self.budget.change(|held, now| {
            let jitter = fastrand::f64();
            let verdict = held.policy.failed(self.start, now, nature(&ending), ready_for, jitter);
            let again = Some((born + held.policy.until()).into_std());
            let ending = Arc::new(Ending { again, ..ending });
            held.last = Some(Arc::clone(&ending));
            (verdict, ending)
        })
    }

    fn ready_for(&self) -> Option<Duration> {
        self.ready.map(|ready| ready.elapsed())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.open {
            let ready_for = self.ready_for();
            self.budget.change(|held, _| held.policy.ended(self.start, ready_for));
        }
    }
}

/// Whether the next start can be expected to fail in the same way.
#[must_use]
pub fn nature(ending: &Ending) -> Nature {
    match ending.cause {
        Cause::NotFound | Cause::NotExecutable | Cause::Held => Nature::Lasting,
        _ => Nature::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { failure_threshold: 1, ..Limits::default() }
    }

    #[track_caller]
    fn permit(budget: &Arc<Budget>) -> Permit {
        match budget.start() {
            MayStart::Now(permit) => permit,
            refused => panic!("{refused:?}"),
        }
    }

    fn fail(permit: Permit) -> Verdict {
        permit.failed(Ending::of(Cause::Crashed, "fell")).0
    }

    #[tokio::test(start_paused = true)]
    async fn the_failure_of_one_is_known_to_all_and_one_start_decides() {
        let budget = Budget::new(limits());
        let mut changes = budget.changes();
        assert_eq!(fail(permit(&budget)), Verdict::Park { for_: Duration::from_secs(60) });
        assert!(changes.has_changed().unwrap());
        let standing = budget.standing();
        assert_eq!((standing.breaker, standing.last.unwrap().what.as_str()), (Breaker::Open, "fell"));
        assert!(matches!(budget.start(), MayStart::After(_)));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut probe = permit(&budget);
        assert!(matches!(budget.start(), MayStart::Undecided));
        changes.mark_unchanged();
        probe.ready();
        assert!(changes.has_changed().unwrap());
        assert_eq!(budget.standing().breaker, Breaker::Closed);
        drop(permit(&budget));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_is_given_up_lets_the_next_one_decide() {
        let budget = Budget::new(limits());
        let _ = fail(permit(&budget));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let probe = permit(&budget);
        let mut changes = budget.changes();
        drop(probe);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        drop(permit(&budget));
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_that_lasted_is_told_by_whoever_was_ready() {
        let budget = Budget::new(Limits { failure_threshold: 5, ..Limits::default() });
        let mut lasting = permit(&budget);
        lasting.ready();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let _ = fail(permit(&budget));
        let Verdict::Rest { for_ } = fail(lasting) else { panic!("it rests") };
        assert!(for_ <= Duration::from_millis(300), "{for_:?}: the first failure again");
    }
}
