//! Keepers of one server: they share its budget, and end what nobody uses.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;

use super::*;
use crate::config::sharing::{Said, Scope};
use crate::credentials::Template;
use crate::downstream::connection::Outgoing;
use crate::downstream::greeting::Greeting;
use crate::downstream::listing::Listing;
use crate::downstream::relay::Nobody;
use crate::downstream::wake::Clocks;
use crate::downstream::{Link, NotReady, link};
use crate::environment::Environment;
use crate::names::ServerName;
use crate::policy::{Breaker, Limits};

/// Counts the starts.
#[derive(Default)]
struct Starts(AtomicUsize);

impl Watcher for Starts {
    fn happened(&self, _: &ServerName, _: &Tenant, event: Happened) {
        if matches!(event, Happened::Started { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn greeted_before(&self, _: &ServerName) -> Option<Greeting> {
        None
    }

    fn listed(&self, _: &ServerName, _: Listing) {}
}

/// So long without a call, and a server is stopped.
const IDLE: Duration = Duration::from_millis(60);

/// Ends as soon as it is started.
const FALLS: &str = "exit 3";

/// Shakes hands, offers nothing, and ends with its input; nobody uses it for long.
const IDLES: &str = r#"read l; echo '{"id":1099511627776,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}'; read l; cat > /dev/null"#;

/// Shakes hands, offers nothing, and hears nothing any more.
const DEAF: &str = r#"read l; echo '{"id":1099511627776,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}'; read l; exec sleep 60"#;

/// The same, and answers each line as if it were a `ping`.
const ANSWERS: &str = r#"read l; echo '{"id":1099511627776,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}'; read l; n=1099511627777; while read l; do echo "{\"id\":$n,\"result\":{}}"; n=$((n+1)); done"#;

/// Some connections to one server.
struct Pool {
    links: Vec<Link>,
    budget: Arc<Budget>,
    seen: Arc<Starts>,
    /// The wall clock.
    wall_ms: Arc<AtomicI64>,
    _stop: watch::Sender<Option<Farewell>>,
}

impl Pool {
    fn new(script: &str, size: usize, recovery_timeout: Duration) -> Self {
        let server = Server {
            name: ServerName::parse("s").unwrap(),
            command: "sh".to_owned(),
            args: ["-c", script].map(|arg| Template::parse(arg).unwrap()).into(),
            env: Vec::new(),
            cwd: None,
            enabled: true,
            warm: false,
            start_timeout: Duration::from_secs(20),
            call_timeout: Duration::from_secs(20),
            trust_annotations: false,
            scope: Scope::Shared,
            capacity: Said::default(),
            tools: Arc::default(),
            on_tool_change: None,
        };
        let budget = Budget::new(Limits { failure_threshold: 1, recovery_timeout, ..Limits::default() });
        let (seen, gate) = (Arc::new(Starts::default()), Gate::new(size));
        let (stop, stopped) = watch::channel(None);
        let tuning = Tuning {
            log_bytes_max: 1000,
            line_bytes_max: 1000,
            hang_after: 3,
            idle_stop: (script == IDLES).then_some(IDLE),
        };
        let wall_ms = Arc::new(AtomicI64::new(0));
        let shown_ms = Arc::clone(&wall_ms);
        let clocks = move || Clocks { wall_ms: shown_ms.load(Ordering::Relaxed), monotonic_ms: 0 };
        let wake = Wake::of(clocks);
        let keep = |_| {
            let (link, status, orders) = link(server.name.clone(), server.call_timeout, server.start_timeout);
            let around = Surroundings {
                lines: Handle::current(),
                relay: Arc::new(Nobody),
                faces: Arc::default(),
                environment: Environment::own(),
                folder: None,
                watcher: seen.clone(),
                log_file: "/dev/null".into(),
                gate: Arc::clone(&gate),
                budget: Arc::clone(&budget),
                tuning: watch::channel(tuning.clone()).1,
                wake: Arc::clone(&wake),
            };
            let interest = Arc::clone(&link.interest);
            let tenant = Tenant::default();
            let ownership = Ownership::of(None);
            let post =
                Post { tenant, ownership, base: None, interest, status, orders, stop: stopped.clone() };
            tokio::spawn(Keeper::new(server.clone(), around, post).run());
            link
        };
        let links = (0..size).map(keep).collect();
        Self { links, budget: Arc::clone(&budget), seen: Arc::clone(&seen), wall_ms, _stop: stop }
    }

    async fn refused(&self, number: usize) -> NotReady {
        self.links[number].ready().await.unwrap_err()
    }

    async fn becomes(&self, number: usize, state: &str) -> Status {
        let mut status = self.links[number].status.clone();
        status.wait_for(|status| status.state.word() == state).await.unwrap().clone()
    }

    fn starts(&self) -> usize {
        self.seen.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_connection_that_never_failed_is_refused_with_what_another_knows() {
    let pool = Pool::new(FALLS, 2, Duration::from_secs(60));
    pool.refused(0).await;
    let refused = pool.refused(1).await;
    assert_eq!((refused.ending.exit_code, pool.starts()), (Some(3), 1));
    assert!(refused.retry_after.unwrap() > Duration::from_secs(50));
    assert_eq!(pool.links[1].status().state.word(), "parked");
}

#[tokio::test]
async fn after_a_parking_one_connection_tries_and_all_hear_how_that_went() {
    const PARKED: Duration = Duration::from_millis(300);
    let pool = Pool::new(FALLS, 8, PARKED);
    pool.refused(0).await;
    let mut changes = pool.budget.changes();
    while pool.budget.standing().breaker == Breaker::Open {
        // Nothing changes; the time passes.
        assert!(tokio::time::timeout(PARKED, changes.changed()).await.is_err());
    }
    let refused = join_all((0..8).map(|number| pool.refused(number))).await;
    assert_eq!(pool.starts(), 2, "one of them decided");
    for refused in refused {
        assert_eq!(refused.ending.exit_code, Some(3));
        assert!(refused.retry_after.is_some_and(|after| after <= PARKED * 2), "{refused:?}");
    }
}

#[tokio::test]
async fn a_server_that_nobody_uses_is_stopped_and_started_again_when_somebody_does() {
    let pool = Pool::new(IDLES, 1, Duration::from_secs(60));
    for life in 1..=2 {
        pool.links[0].ready().await.unwrap();
        let status = pool.becomes(0, "stopped").await;
        assert_eq!((&*status.because, pool.starts()), ("nobody used it for 0 min", life));
    }
}

/// An hour of sleep.
const SLEPT_MS: i64 = 3_600_000;

#[tokio::test]
async fn an_idle_server_is_looked_at_after_a_sleep_before_it_is_used() {
    let pool = Pool::new(ANSWERS, 1, Duration::from_secs(60));
    let link = &pool.links[0];
    let before = link.ready().await.unwrap();
    assert!(link.awake().is_some());
    pool.wall_ms.fetch_add(SLEPT_MS, Ordering::Relaxed);
    assert!(link.awake().is_none(), "it is looked at first");
    let after = link.ready().await.unwrap();
    assert_eq!((after.number(), pool.starts()), (before.number(), 1), "it answered");
    assert!(link.awake().is_some());
    pool.wall_ms.fetch_add(-SLEPT_MS, Ordering::Relaxed);
    assert!(link.awake().is_none(), "a clock that was set back is the same");
    link.ready().await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_after_a_sleep_is_replaced_before_it_is_used() {
    let pool = Pool::new(DEAF, 1, Duration::from_secs(60));
    let link = &pool.links[0];
    let before = link.ready().await.unwrap();
    pool.wall_ms.fetch_add(SLEPT_MS, Ordering::Relaxed);
    let after = link.ready().await.unwrap();
    assert!(before.has_ended() && before.number() != after.number());
    assert_eq!((pool.starts(), link.status().failed_starts), (2, 0));
    // That is no failure of it.
    assert_eq!(pool.budget.standing().breaker, Breaker::Closed);
    assert!(link.status().last_ending.is_none());
}

#[tokio::test]
async fn a_server_that_is_used_is_left_alone_after_a_sleep() {
    let pool = Pool::new(DEAF, 1, Duration::from_secs(60));
    let link = &pool.links[0];
    let connection = link.ready().await.unwrap();
    let line = Bytes::from_static(br#"{"id":1,"method":"x"}"#);
    let hears = Arc::new(Nobody);
    let used = connection.ask(Outgoing {
        line: &line,
        id: 6..7,
        cuts: Vec::new(),
        token: None,
        shown_token: None,
        hears,
    });
    pool.wall_ms.fetch_add(SLEPT_MS, Ordering::Relaxed);
    assert!(link.awake().is_some(), "who waits for it sees how it fares");
    drop(used);
    assert_eq!(pool.starts(), 1);
}
