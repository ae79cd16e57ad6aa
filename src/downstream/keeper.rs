//! One task a connection: it alone starts, attends and ends the process behind it.
//!
//! The state is where the code stands: [`Keeper::run`] goes from rest to start to attendance and back.

mod greeting;
mod hearing;
pub mod held;
mod leaving;
mod lists;
mod resting;
mod starting;
mod wishes;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::server::Server;
use crate::downstream::budget::{Budget, Permit};
use crate::downstream::client::{ClientId, Faces, Ownership};
use crate::downstream::connection::Connection;
use crate::downstream::connection::owned::Owned;
use crate::downstream::gate::{Gate, Pass};
use crate::downstream::greeting::Face;
use crate::downstream::interest::Interest;
use crate::downstream::keeper::greeting::{Greet, NotMade};
use crate::downstream::keeper::leaving::{Left, discard};
use crate::downstream::keeper::lists::{Asked, Relists};
use crate::downstream::keeper::wishes::Wishes;
use crate::downstream::pool::Post;
use crate::downstream::pool::beside::Beside;
use crate::downstream::pool::key::{Farewell, Tenant};
use crate::downstream::process::Process;
use crate::downstream::relay::Relay;
use crate::downstream::stderr::Tail;
use crate::downstream::tuning::Tuning;
use crate::downstream::wake::Wake;
use crate::downstream::watcher::{Happened, Phases, Watcher};
use crate::downstream::{LinkState, Order, Status};
use crate::environment::{Environment, Folder};
use crate::outcome::Cause;

/// A start that takes longer holds up no other: it waits for something that more processes do not slow down.
const SLOW_START: Duration = Duration::from_secs(10);

/// After a server closed its output, its process has this long to end by itself.
const EXIT_GRACE: Duration = Duration::from_millis(300);

/// What a keeper needs to know, beside its server.
#[derive(Clone)]
pub struct Surroundings {
    /// The runtime on which lines are read and written.
    pub lines: Handle,
    /// Who hears what the server says unasked.
    pub relay: Arc<dyn Relay>,
    /// Whom it can be told it speaks with.
    pub faces: Arc<Faces>,
    /// The environment that it is started in.
    pub environment: Environment,
    /// Where it runs, if its configuration does not say it and it is not one client's alone.
    pub folder: Folder,
    /// Who hears of its life.
    pub watcher: Arc<dyn Watcher>,
    /// Where its stderr goes.
    pub log_file: PathBuf,
    /// Where starts wait their turn.
    pub gate: Arc<Gate>,
    /// When it may be started again, shared by all connections to the server.
    pub budget: Arc<Budget>,
    /// The settings for its next life.
    pub tuning: watch::Receiver<Tuning>,
    /// What tells that the machine slept.
    pub wake: Arc<Wake>,
}

/// Waits until nobody has used a server for so long that it is stopped, and ends its connection: a call that
/// comes now finds none, and has it started again.
async fn unused(idle: Option<Duration>, connection: &Connection, interest: &Interest) {
    let Some(idle) = idle else { return std::future::pending().await };
    loop {
        connection.unused_for(idle).await;
        let ending = Farewell::Unused.ending();
        // Who has subscribed to something uses it without a word.
        if !interest.is_waiting() && connection.end_if_unused(Arc::new(ending)) {
            return;
        }
        tokio::time::sleep(idle).await;
    }
}

/// The owner of one connection's process.
pub struct Keeper {
    server: Server,
    around: Surroundings,
    interest: Arc<Interest>,
    status: watch::Sender<Status>,
    orders: mpsc::Receiver<Order>,
    stop: watch::Receiver<Option<Farewell>>,
    /// Whose connection it is.
    tenant: Tenant,
    /// To which client each of its lives belongs, if to one alone.
    ownership: Arc<Ownership>,
    /// The client whose request wants the next life.
    wanted_by: Option<ClientId>,
    /// Whether it starts again after a while in which nobody used it.
    is_lasting: bool,
}

/// A server that is started or attended.
struct Running {
    process: Process,
    connection: Owned,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
    drain: JoinHandle<()>,
    tail: Tail,
    relists: Arc<Relists>,
    wishes: Wishes,
    tuning: Tuning,
    started: Instant,
    /// How long it took until the process was there.
    spawned: Duration,
}

/// How a life began.
struct Begun {
    /// Why, in words.
    why: String,
    /// How long it waited for its turn.
    gate: Duration,
}

impl Keeper {
    /// A keeper that has not started anything yet.
    #[must_use]
    pub fn new(server: Server, around: Surroundings, post: Post) -> Self {
        let Post { tenant, ownership, base, interest, status, orders, stop } = post;
        let is_lasting = base.is_none();
        let around = match base {
            None => around,
            Some(base) => {
                let watcher = Arc::clone(&around.watcher);
                Surroundings { watcher: Arc::new(Beside { watcher, base }), ..around }
            }
        };
        let wanted_by = None;
        Self { server, around, interest, status, orders, stop, tenant, ownership, wanted_by, is_lasting }
    }

    /// Keeps the server until it is told to stop; no process of it is left then.
    pub async fn run(mut self) {
        let mut stop = self.stop.clone();
        loop {
            let (permit, wanted) = tokio::select! {
                allowed = self.rest() => allowed,
                _ = told(&mut stop) => return,
            };
            let why = self.why(wanted);
            self.change(LinkState::Starting, None, why.clone(), |status| status.starts += 1);
            let queued = Instant::now();
            let pass = tokio::select! {
                pass = self.turn(wanted) => pass,
                farewell = told(&mut stop) => {
                    return self.change(LinkState::Stopped, None, farewell.reason(), |_| {});
                }
            };
            self.live(pass, permit, Begun { why, gate: queued.elapsed() }, &mut stop).await;
            let is_left = !self.is_lasting && matches!(self.status.borrow().state, LinkState::Stopped);
            if is_left || is_told(&stop) {
                return;
            }
        }
    }

    /// One life of the server, from its start to its end.
    async fn live(
        &mut self,
        pass: Pass,
        mut permit: Permit,
        begun: Begun,
        stop: &mut watch::Receiver<Option<Farewell>>,
    ) {
        let mut pass = Some(pass);
        let started = Instant::now();
        let face = self.face();
        let mut running = match self.start() {
            Ok(running) => running,
            Err(error) => return self.not_started(&error, permit, started),
        };
        let pid = running.process.pid;
        let again = self.status.borrow().starts > 1;
        self.status.send_modify(|status| status.pid = Some(pid));
        self.tell(Happened::Started { pid, again, why: begun.why.clone() });
        let mut greet = Greet::first(&face, self.around.watcher.greeted_before(&self.server.name).as_ref());
        let left = loop {
            let making = async {
                let making = self.make_ready(&mut running, &face, greet);
                tokio::pin!(making);
                tokio::select! {
                    biased;
                    ready = &mut making => return ready,
                    () = tokio::time::sleep(SLOW_START) => pass = None,
                }
                making.await
            };
            let ready = tokio::select! {
                ready = making => ready,
                farewell = told(stop) => break Left::Released(farewell),
            };
            match ready {
                Ok(handshake) => {
                    permit.ready();
                    self.is_ready(&running, &begun, handshake);
                    drop(pass.take());
                    break tokio::select! {
                        left = self.attend(&mut running) => left,
                        farewell = told(stop) => Left::Released(farewell),
                    };
                }
                Err(NotMade::Failed(cause, what, status)) => break Left::Ended(cause, what, status),
                // It never hears anything again: what it thinks of the question may stand in the way of
                // `initialize`.
                Err(NotMade::NotModern { legacy_only }) => {
                    let (server, pid) = (&self.server.name, running.process.pid);
                    let (session, thread) = self.tenant.logged();
                    tracing::info!(%server, session, thread, pid, legacy_only, "server did not take the modern revision");
                    greet = Greet::Initialize { legacy_only };
                    discard(running).await;
                    // Its end may have taken a while.
                    if is_told(stop) {
                        return self.stopped(pid, said(stop), started.elapsed());
                    }
                    running = match self.start() {
                        Ok(running) => running,
                        Err(error) => return self.not_started(&error, permit, started),
                    };
                    let pid = running.process.pid;
                    self.status.send_modify(|status| status.pid = Some(pid));
                }
            }
        };
        drop(pass);
        self.leave(running, left, permit).await;
    }

    /// Whom the server is shown in the life that begins now: whose connection it is, else whose request wants it,
    /// or who has subscribed to something of it.
    fn face(&mut self) -> Face {
        let wanted_by = self.wanted_by.take().or_else(|| self.interest.waiting());
        let (owner, mut shown) = (self.ownership.now(), Face::default());
        // Whoever makes the connection a client's looks at the status: not between these two.
        self.status.send_modify(|status| {
            (status.client, shown) = self.around.faces.of(owner.get().or(wanted_by));
        });
        shown
    }

    fn is_ready(&mut self, running: &Running, begun: &Begun, handshake: Duration) {
        let (pid, first_list) = (running.process.pid, running.started.elapsed());
        let phases = Phases { gate: begun.gate, spawned: running.spawned, handshake, first_list };
        self.tell(Happened::Ready { pid, phases });
        let why = format!("{}, ready after {} ms", begun.why, first_list.as_millis());
        self.change(LinkState::Ready(Arc::clone(&running.connection)), Some(pid), why, |_| {});
    }

    /// Stays with a ready server until it ends.
    async fn attend(&mut self, running: &mut Running) -> Left {
        let Running { process, connection, reader, writer, relists, wishes, tuning, .. } = running;
        // Beside the watch over the process: a server may die while it is asked for a list.
        let relisting = relists.run(Asked {
            server: &self.server,
            around: &self.around,
            tenant: &self.tenant,
            connection,
        });
        let wishing = wishes.keep(connection, relists);
        let watched = Arc::clone(connection);
        let idle = unused(tuning.idle_stop, &watched, &self.interest);
        let hung = watched.hung(tuning.hang_after);
        let look = Notify::new();
        let asleep = not_woken(connection, &look, &self.status);
        tokio::pin!(relisting, wishing, idle, hung, asleep);
        loop {
            tokio::select! {
                status = process.wait() => {
                    return Left::Ended(Cause::Crashed, String::new(), status);
                }
                reader = &mut *reader => {
                    let status = tokio::time::timeout(EXIT_GRACE, process.wait()).await.ok().flatten();
                    let what = match (reader.is_err(), status) {
                        (true, _) => "could not be read: a fault of the bridge",
                        (false, None) => "closed its output",
                        (false, Some(_)) => "",
                    };
                    return Left::Ended(Cause::Crashed, what.to_owned(), status);
                }
                // Nothing can be asked of it any more, and whoever waits would wait for the deadline.
                _ = &mut *writer => {
                    let status = tokio::time::timeout(EXIT_GRACE, process.wait()).await.ok().flatten();
                    let what = if status.is_none() { "closed its input" } else { "" };
                    return Left::Ended(Cause::Crashed, what.to_owned(), status);
                }
                () = &mut relisting => {}
                () = &mut wishing => {}
                () = &mut idle => return Left::Released(Farewell::Unused),
                () = &mut asleep => return Left::Asleep,
                () = &mut hung => {
                    let missed = match tuning.hang_after {
                        1 => "a deadline".to_owned(),
                        many => format!("{many} deadlines in a row"),
                    };
                    return Left::Ended(Cause::Hung, format!("missed {missed} and was replaced"), None);
                }
                Some(order) = self.orders.recv() => match order {
                    // Of a request that came in the moment before it was ready, or finds it stale.
                    Order::Want(_) | Order::Wake => look.notify_one(),
                    Order::Leave(farewell) => return Left::Released(farewell),
                    Order::Relist { list, told } => relists.want(list, Some(told)),
                }
            }
        }
    }

    fn change(
        &self,
        state: LinkState,
        pid: Option<u32>,
        because: impl Into<Cow<'static, str>>,
        more: impl FnOnce(&mut Status),
    ) {
        let because = because.into();
        let (server, (session, thread)) = (&self.server.name, self.tenant.logged());
        tracing::debug!(%server, session, thread, state = state.word(), pid, %because, "server state");
        self.status.send_modify(|status| {
            status.state = state;
            status.since = SystemTime::now();
            status.because = because;
            status.pid = pid;
            if !matches!(status.state, LinkState::Starting | LinkState::Ready(_)) {
                status.client = None;
            }
            more(status);
        });
    }

    fn tell(&self, event: Happened) {
        self.around.watcher.happened(&self.server.name, &self.tenant, event);
    }
}

/// Waits until somebody wants a server that does not answer since the machine slept.
async fn not_woken(connection: &Arc<Connection>, look: &Notify, status: &watch::Sender<Status>) {
    loop {
        look.notified().await;
        if connection.is_stale() {
            if !connection.is_alive().await {
                return;
            }
            // Whoever waits for it looks again.
            status.send_modify(|_| {});
        }
    }
}

/// Waits until the keeper is told to end for good, and why.
async fn told(stop: &mut watch::Receiver<Option<Farewell>>) -> Farewell {
    match stop.wait_for(Option::is_some).await {
        Ok(farewell) => farewell.unwrap_or(Farewell::BridgeStops),
        // A sender that is gone means the same.
        Err(_) => Farewell::BridgeStops,
    }
}

/// Whether it was told.
fn is_told(stop: &watch::Receiver<Option<Farewell>>) -> bool {
    stop.borrow().is_some() || stop.has_changed().is_err()
}

/// What it was told.
fn said(stop: &watch::Receiver<Option<Farewell>>) -> Farewell {
    stop.borrow().unwrap_or(Farewell::BridgeStops)
}

#[cfg(test)]
mod tests;
