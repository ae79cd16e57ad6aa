//! The end of a life: what is told, what is cleared away, and when the next one may begin.

use std::borrow::Cow;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::downstream::budget::{self, Permit};
use crate::downstream::connection::owned::Owned;
use crate::downstream::keeper::{Keeper, Running};
use crate::downstream::pool::key::Farewell;
use crate::downstream::process::{self, NotStarted};
use crate::downstream::stderr::Tail;
use crate::downstream::watcher::Happened;
use crate::downstream::{Ending, LinkState};
use crate::outcome::Cause;
use crate::policy::{Nature, Verdict};

/// After a process ended, what it wrote last has this long to arrive.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Why an attendance ended.
pub(super) enum Left {
    /// The server ended, or has to.
    Ended(Cause, String, Option<ExitStatus>),
    /// It could go on, and is not to.
    Released(Farewell),
    /// It did not answer when it was looked at after the machine slept.
    Asleep,
}

impl Keeper {
    /// Ends what is left of a life, and tells everybody who waits.
    pub(super) async fn leave(&mut self, running: Running, left: Left, permit: Permit) {
        let Running { process, connection, mut reader, writer, drain, tail, started, .. } = running;
        let pid = process.pid;
        let mut life = Some((permit, started));
        // Nobody may start a call any more on a server that could go on, and its input is closed by the writer's end.
        match &left {
            Left::Released(farewell) => connection.end(Arc::new(farewell.ending())),
            Left::Asleep => connection.end(Arc::new(asleep())),
            // Its end takes a while, in which it would get calls that nobody answers.
            Left::Ended(Cause::Hung, what, _) => {
                self.fallen(pid, life.take(), ending(Cause::Hung, what, None), &tail, &connection);
            }
            // A process that ended may have answered last; its output is read to the end.
            Left::Ended(..) if !reader.is_finished() => {
                let _ = tokio::time::timeout(LAST_WORDS, &mut reader).await;
            }
            Left::Ended(..) => {}
        }
        writer.abort();
        let last = process.stop().await;
        reader.abort();
        let _ = tokio::time::timeout(LAST_WORDS, drain).await;
        match left {
            Left::Released(farewell) => self.stopped(pid, farewell, started.elapsed()),
            // What it would fail of is over: another takes its place at once.
            Left::Asleep => {
                let because = Arc::new(asleep());
                let why = format!("it {because}");
                self.tell(Happened::Stopped { pid, why: why.clone().into(), after: started.elapsed() });
                self.change(LinkState::Resting { until: Instant::now(), because }, None, why, |_| {});
            }
            Left::Ended(cause, what, status) => {
                let ending = ending(cause, &what, status.or(last.filter(by_itself)));
                self.fallen(pid, life, ending, &tail, &connection);
            }
        }
    }

    /// A life that began at a time ended by itself: says so once, with its last words.
    fn fallen(
        &mut self,
        pid: u32,
        life: Option<(Permit, Instant)>,
        ending: Ending,
        tail: &Tail,
        connection: &Owned,
    ) {
        let Some((permit, started)) = life else { return };
        let ending = ending.with_stderr(tail.lines()).with_garbage(tail.first_garbage());
        let ending = self.failed(ending, Some(pid), started, permit);
        // Whoever hears of it finds a server that rests, and a time to come back.
        connection.end(ending);
    }

    /// A process was ended on purpose, and no other takes its place.
    pub(super) fn stopped(&self, pid: u32, farewell: Farewell, after: Duration) {
        let why: Cow<'static, str> = match (farewell, self.around.tuning.borrow().idle_stop) {
            (Farewell::Unused, Some(idle)) => format!("{farewell} for {} min", idle.as_secs() / 60).into(),
            _ => farewell.reason().into(),
        };
        self.tell(Happened::Stopped { pid, why: why.clone(), after });
        self.change(LinkState::Stopped, None, why, |_| {});
    }

    /// There is no process.
    pub(super) fn not_started(&mut self, error: &NotStarted, permit: Permit, started: Instant) {
        let _told = self.failed(Ending::of(error.cause, error.to_string()), None, started, permit);
    }

    /// A start failed or a ready server ended: says so, and decides when it may be started again.
    fn failed(&mut self, ending: Ending, pid: Option<u32>, started: Instant, permit: Permit) -> Arc<Ending> {
        let was_ready = matches!(self.status.borrow().state, LinkState::Ready(_));
        // Those who asked for this start are about to hear of its end; who still wants the server asks again.
        while self.orders.try_recv().is_ok() {}
        let (verdict, ending) = permit.failed(ending);
        self.tell(Happened::Ended { pid, ending: Arc::clone(&ending), after: started.elapsed() });
        let until = ending.again.unwrap_or(started);
        let because = Arc::clone(&ending);
        let (state, why) = match verdict {
            Verdict::Rest { for_: pause } => {
                self.tell(Happened::Rests { pause, ending: Arc::clone(&ending) });
                (LinkState::Resting { until, because }, format!("it {ending}"))
            }
            Verdict::Park { for_: pause } => {
                self.tell(Happened::Parked { pause, ending: Arc::clone(&ending) });
                let why = match budget::nature(&ending) {
                    Nature::Passing => "and has failed too often",
                    Nature::Lasting => "and would fail in the same way again",
                };
                (LinkState::Parked { until, because }, format!("it {ending}, {why}"))
            }
            Verdict::StayParked => {
                (LinkState::Parked { until, because }, format!("it {ending}, and was parked already"))
            }
        };
        self.change(state, None, why, |status| {
            status.failed_starts += u64::from(!was_ready);
            status.last_ending = Some(Arc::clone(&ending));
        });
        ending
    }
}

/// Ends a process that was only asked something.
pub(super) async fn discard(running: Running) {
    let Running { process, connection, reader, writer, drain, .. } = running;
    connection.end(Arc::new(Ending::of(Cause::BridgeStopped, "was only asked which revision it speaks")));
    writer.abort();
    process.stop().await;
    reader.abort();
    let _ = tokio::time::timeout(LAST_WORDS, drain).await;
}

/// Whether a process that was told to end did so for a reason of its own.
fn by_itself(status: &ExitStatus) -> bool {
    !process::is_obedient(*status)
}

/// How a server ended that is replaced after a sleep.
fn asleep() -> Ending {
    Ending::of(Cause::Hung, "did not answer any more after the machine slept or its clock was set")
}

/// How a server ended, in words.
fn ending(cause: Cause, what: &str, status: Option<ExitStatus>) -> Ending {
    let exit_code = status.and_then(|status| status.code());
    let signal = status.and_then(process::signal_of);
    let how = match (exit_code, signal) {
        (Some(code), _) => Some(format!("exit code {code}")),
        (_, Some(signal)) => Some(match process::signal_name(signal) {
            Some(name) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        }),
        _ => None,
    };
    let what = match (what, how) {
        ("", None) => "ended".to_owned(),
        ("", Some(how)) => format!("ended with {how}"),
        (what, None) => what.to_owned(),
        (what, Some(how)) => format!("{what} ({how})"),
    };
    Ending { exit_code, signal, ..Ending::of(cause, what) }
}
