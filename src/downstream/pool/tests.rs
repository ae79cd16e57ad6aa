//! The promises of a pool, with keepers that have no process.

use tokio::time::Instant;

use super::report::Whose;
use super::tenants::Patience;
use super::*;
use crate::downstream::LinkState;
use crate::downstream::connection::Connection;
use crate::downstream::pool::lease::Slot;
use crate::downstream::relay::Nobody;
use crate::policy::Limits;

const MINUTE: Duration = Duration::from_secs(60);

/// Keepers whose server is ready as soon as somebody wants it, and what became of each.
#[derive(Default)]
struct Crew(Arc<Mutex<Vec<String>>>);

impl Staff for Crew {
    fn keep(&self, mut post: Post) -> Work {
        let told = Arc::clone(&self.0);
        let tell = move |what: String| told.lock().unwrap().push(what);
        let Tenant { thread, user, .. } = &post.tenant;
        let name = match post.base {
            None => "base".to_owned(),
            Some(_) => format!("{}/{}", thread.as_deref().unwrap_or("-"), user.as_deref().unwrap_or("-")),
        };
        Box::pin(async move {
            loop {
                tokio::select! {
                    order = post.orders.recv() => match order {
                        Some(Order::Want(_) | Order::Wake) if is_there(&post) => {}
                        Some(Order::Want(_) | Order::Wake) => {
                            let state = LinkState::Ready(Connection::new("s".into(), Arc::default(), Arc::new(Nobody), None));
                            post.status.send_modify(|status| (status.state, status.pid) = (state, Some(7)));
                            tell(format!("{name} ready"));
                        }
                        Some(Order::Leave(_)) => {
                            tell(format!("{name} left"));
                            post.status.send_modify(|status| (status.state, status.pid) = (LinkState::Stopped, None));
                        }
                        _ => return,
                    },
                    _ = post.stop.changed() => {
                        let farewell = post.stop.borrow().unwrap();
                        return tell(format!("{name}: {farewell}"));
                    }
                }
            }
        })
    }
}

fn is_there(post: &Post) -> bool {
    matches!(&post.status.borrow().state, LinkState::Ready(connection) if !connection.has_ended())
}

struct Ground {
    pool: Arc<Pool>,
    told: Arc<Mutex<Vec<String>>>,
}

fn ground(scope: Scope, capacity: Capacity) -> Ground {
    let patience = Patience { thread: Some(MINUTE * 60), user: Some(MINUTE * 15) };
    let terms = Terms {
        name: ServerName::parse("s").unwrap(),
        call_timeout: MINUTE,
        start_timeout: MINUTE,
        warm: false,
        trust_annotations: false,
        budget: Budget::new(Limits::default()),
        scope,
        capacity,
    };
    let crew = Crew::default();
    let told = Arc::clone(&crew.0);
    let pulse = Pulse::new(Duration::from_millis(5));
    tokio::spawn({
        let pulse = Arc::clone(&pulse);
        async move { pulse.run().await }
    });
    let commons = Commons { tenants: Tenants::new(patience), pulse, work: Handle::current() };
    Ground { pool: Pool::new(terms, Arc::new(crew), commons), told }
}

fn of(thread: &str, user: &str) -> Tenant {
    let named = |name: &str| (!name.is_empty()).then(|| name.into());
    Tenant { session: Some(1), thread: named(thread), user: named(user), ..Tenant::default() }
}

fn call(tenant: &Tenant) -> Wish<'_> {
    Wish { tenant, is_call: true, takes_slot: true, at: None }
}

impl Ground {
    async fn begin(&self, thread: &str, user: &str) -> Result<(Lease, Slot), NotReady> {
        let tenant = of(thread, user);
        let lease = self.pool.lease(&call(&tenant)).await?;
        let slot = lease.slot(&call(&tenant)).await?;
        Ok((lease, slot))
    }

    /// A call that is waited for aside.
    fn aside(&self, thread: &str) -> tokio::task::JoinHandle<Result<(Lease, Slot), NotReady>> {
        let (ground, thread) =
            (Self { pool: Arc::clone(&self.pool), told: Arc::default() }, thread.to_owned());
        tokio::spawn(async move { ground.begin(&thread, "").await })
    }

    /// What keepers have told since.
    async fn told(&self) -> Vec<String> {
        // Everything that can happen at this moment does.
        tokio::time::sleep(Duration::from_millis(1)).await;
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

fn small(max_connections: usize, max_concurrent: usize) -> Capacity {
    Capacity { max_connections, max_concurrent, ..Capacity::default() }
}

#[tokio::test(start_paused = true)]
async fn first_calls_at_once_on_one_key_make_one_connection() {
    let ground = ground(Scope::Thread, Capacity::default());
    let calls: Vec<_> = (0..10).map(|_| ground.aside("t")).collect();
    let mut numbers = Vec::new();
    for call in calls {
        let (_lease, slot) = call.await.unwrap().unwrap();
        numbers.push(slot.connection.number());
    }
    numbers.dedup();
    assert_eq!(numbers.len(), 1);
    assert_eq!(ground.told().await, ["t/- ready"]);
    let (_other, slot) = ground.begin("t", "u").await.unwrap();
    assert_ne!(slot.connection.number(), numbers[0], "two users' threads of one name share nothing");
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_waits_in_turn_and_takes_the_place_of_the_first_that_is_free() {
    let ground = ground(Scope::Thread, small(1, 10));
    let first = ground.begin("t1", "").await.unwrap();
    let second = ground.aside("t2");
    ground.told().await;
    let third = ground.aside("t3");
    assert!(ground.told().await.is_empty() && ground.pool.figures().waiting == 2);
    drop(first);
    let held = second.await.unwrap().unwrap();
    assert_eq!(ground.told().await, ["t1/-: another connection needed its place", "t2/- ready"]);
    assert!(!third.is_finished());
    drop(held);
    third.await.unwrap().unwrap();
    assert_eq!(ground.pool.figures().total, 1);
}

#[tokio::test(start_paused = true)]
async fn who_goes_holds_nobody_back() {
    let ground = ground(Scope::Thread, small(1, 10));
    let held = ground.begin("t1", "").await.unwrap();
    let gone = ground.aside("t2");
    ground.told().await;
    let waits = ground.aside("t3");
    ground.told().await;
    gone.abort();
    drop(held);
    waits.await.unwrap().unwrap();
    assert_eq!(ground.pool.figures().waiting, 0);
    let told = ground.told().await;
    assert!(!told.iter().any(|what| what.contains("t2")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_was_used_least_recently_makes_room() {
    let ground = ground(Scope::Thread, small(2, 10));
    for thread in ["t1", "t2", "t1"] {
        drop(ground.begin(thread, "").await.unwrap());
        ground.told().await;
    }
    drop(ground.begin("t3", "").await.unwrap());
    assert_eq!(ground.told().await, ["t2/-: another connection needed its place", "t3/- ready"]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_or_behind_too_many_is_sent_away_with_a_time_to_come_back() {
    let capacity = Capacity { max_queue: 1, queue_timeout: Duration::from_secs(3), ..small(1, 1) };
    let ground = ground(Scope::Thread, capacity);
    let _held = ground.begin("t1", "").await.unwrap();
    let start = Instant::now();
    let waits = ground.aside("t2");
    ground.told().await;
    let full = ground.begin("t1", "").await.err().unwrap();
    assert_eq!((full.ending.cause, full.retry_after), (Cause::QueueFull, Some(Duration::from_secs(3))));
    assert!(full.ending.what.contains("1 other calls wait already"), "{}", full.ending.what);
    let late = waits.await.unwrap().err().unwrap();
    assert_eq!((late.ending.cause, start.elapsed().as_secs()), (Cause::QueueFull, 3));
    let slot = ground.begin("t1", "").await.err().unwrap();
    assert!(slot.ending.what.contains("1 calls that may run at once"), "{}", slot.ending.what);
    assert_eq!(ground.pool.figures().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_what_needs_no_waiting_is_served() {
    let ground = ground(Scope::Call, Capacity { max_queue: 0, ..Capacity::default() });
    ground.begin("", "").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_so_many_calls_run_at_once_and_the_others_in_their_order() {
    let ground = ground(Scope::Shared, small(1, 2));
    let (first, second) = (ground.begin("", "").await.unwrap(), ground.begin("", "").await.unwrap());
    let third = ground.aside("");
    ground.told().await;
    let fourth = ground.aside("");
    ground.told().await;
    drop(second);
    let third = third.await.unwrap().unwrap();
    assert!(!fourth.is_finished());
    let aside = of("", "");
    let wish = Wish { takes_slot: false, ..call(&aside) };
    let lease = ground.pool.lease(&wish).await.unwrap();
    lease.slot(&wish).await.unwrap();
    drop((first, third));
    fourth.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_on_a_connection_that_ends_goes_on_to_the_next_one() {
    let ground = ground(Scope::Shared, small(1, 1));
    let (lease, slot) = ground.begin("", "").await.unwrap();
    let number = slot.connection.number();
    let waits = ground.aside("");
    ground.told().await;
    // Its place is not given back: its client was asked something, and has not come back yet.
    slot.connection.end(Arc::new(Ending::unknown()));
    let (_lease, next) = waits.await.unwrap().unwrap();
    assert_ne!(next.connection.number(), number);
    drop((lease, slot));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_threads_connection_and_a_users_but_no_running_call() {
    let threads = ground(Scope::Thread, Capacity::default());
    drop(threads.begin("t1", "").await.unwrap());
    drop(threads.begin("t2", "ann").await.unwrap());
    let runs = threads.begin("t3", "bob").await.unwrap();
    threads.told().await;
    tokio::time::sleep(MINUTE * 15).await;
    assert_eq!(threads.told().await, ["t2/ann: its thread or user made no call for long"]);
    tokio::time::sleep(MINUTE * 45).await;
    assert_eq!(threads.told().await, ["t1/-: its thread or user made no call for long"]);
    drop(runs);
    tokio::time::sleep(MINUTE * 14).await;
    assert!(threads.told().await.is_empty());
    tokio::time::sleep(MINUTE).await;
    assert_eq!(threads.told().await, ["t3/bob: its thread or user made no call for long"]);
    assert_eq!(threads.pool.members().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_to_another_server_keeps_a_threads_connections() {
    let (one, other) =
        (ground(Scope::Thread, Capacity::default()), ground(Scope::Shared, Capacity::default()));
    let other = Pool::new(other.pool.terms.clone(), Arc::new(Crew::default()), one.pool.commons.clone());
    drop(one.begin("t", "").await.unwrap());
    for _ in 0..3 {
        tokio::time::sleep(MINUTE * 40).await;
        drop(other.lease(&call(&of("t", ""))).await.unwrap());
    }
    assert_eq!(one.told().await, ["t/- ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_for_one_call_ends_with_it_unless_it_gave_a_task() {
    let ground = ground(Scope::Call, Capacity::default());
    let (lease, slot) = ground.begin("t", "").await.unwrap();
    drop(lease.hold(slot));
    assert_eq!(ground.told().await, ["t/- ready", "t/-: its call is over"]);
    let (lease, slot) = ground.begin("t", "").await.unwrap();
    let number = slot.connection.number();
    let hold = lease.hold(slot);
    hold.gave_task();
    drop(hold);
    assert_eq!(ground.told().await, ["t/- ready"]);
    let tenant = of("", "");
    let wish = Wish { tenant: &tenant, is_call: false, takes_slot: true, at: Some(number) };
    let lease = ground.pool.lease(&wish).await.unwrap();
    assert_eq!(lease.slot(&wish).await.unwrap().connection.number(), number, "it is asked about its task");
    drop(lease);
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(ground.told().await, ["t/-: its thread or user made no call for long"]);
    let lease = ground.pool.lease(&wish).await.unwrap();
    lease.slot(&wish).await.unwrap();
    assert_eq!(ground.told().await, ["base ready"]);
}

#[tokio::test(start_paused = true)]
async fn connections_are_ended_by_thread_user_or_all_together() {
    let ground = ground(Scope::Thread, Capacity::default());
    let all = [("t1", ""), ("t1", "ann"), ("t2", "ann"), ("t3", "bob"), ("", "")];
    for (thread, user) in all {
        drop(ground.begin(thread, user).await.unwrap());
    }
    ground.told().await;
    let whose = |thread: &str, user: &str| {
        let Tenant { thread, user, .. } = of(thread, user);
        Whose { thread: thread.map(|t| t.to_string()), user: user.map(|u| u.to_string()), session: None }
    };
    assert_eq!(ground.pool.disconnect(&whose("t1", "ann")), 1);
    assert_eq!(ground.pool.disconnect(&whose("", "ann")), 1);
    assert_eq!(ground.told().await, ["t1/ann: it was disconnected", "t2/ann: it was disconnected"]);
    let session = Whose { session: of("", "").session_text(), ..Whose::default() };
    assert_eq!(ground.pool.disconnect(&session), 3, "two threads' and the base one");
    let told = ground.told().await;
    assert!(told.contains(&"base left".to_owned()) && told.len() == 3, "{told:?}");
    assert_eq!(ground.pool.disconnect(&Whose::default()), 0);
    ground.begin("", "").await.unwrap();
    assert_eq!(ground.told().await, ["base ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_stops_ends_all_and_makes_no_more() {
    let ground = ground(Scope::Thread, small(1, 1));
    let _held = ground.begin("t1", "").await.unwrap();
    let waits = ground.aside("t2");
    ground.told().await;
    ground.pool.stop().await;
    assert_eq!(waits.await.unwrap().err().unwrap().ending.cause, Cause::BridgeStopped);
    let mut told = ground.told().await;
    told.sort();
    assert_eq!(told, ["base: the bridge stopped", "t1/-: the bridge stopped"]);
    assert!(ground.begin("t3", "").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_comes_in_the_moment_in_which_a_pool_retires_is_sent_to_the_next_one() {
    let ground = ground(Scope::Shared, Capacity::default());
    drop(ground.begin("", "").await.unwrap());
    let tenant = of("", "");
    let gone = ground.pool.retire(Farewell::Changed);
    let lease = ground.pool.lease(&call(&tenant)).await.unwrap();
    assert!(lease.slot(&call(&tenant)).await.is_err(), "nobody waits for its call any more");
    assert!(lease.is_over());
    drop(lease);
    gone.await;
}

#[tokio::test(start_paused = true)]
async fn figures_count_users_threads_and_who_found_a_connection() {
    let ground = ground(Scope::Thread, Capacity::default());
    let held = ground.begin("t1", "ann").await.unwrap();
    drop(ground.begin("t1", "ann").await.unwrap());
    drop(ground.begin("t2", "ann").await.unwrap());
    let figures = ground.pool.figures();
    assert_eq!((figures.total, figures.active, figures.requests, figures.reused), (2, 1, 3, 1));
    assert_eq!((figures.by_user.get("ann"), figures.by_thread.len()), (Some(&2), 2));
    let rows = ground.pool.rows();
    let shown: Vec<_> = rows.iter().map(|row| (row.kind, row.active, row.requests)).collect();
    assert_eq!(shown, [("thread", 1, 2), ("thread", 0, 1)]);
    drop(held);
}
