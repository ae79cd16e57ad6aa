//! The connections that were made on demand, and those who wait for one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::downstream::pool::key::{Farewell, Key, Tenant};
use crate::downstream::pool::lease::Lease;
use crate::downstream::pool::member::Member;
use crate::downstream::pool::{Pool, Scarce, Work, member};
use crate::downstream::{Ending, Link, NotReady};
use crate::outcome::Cause;

/// All connections but the base one.
#[derive(Default)]
pub(super) struct Table {
    members: HashMap<Key, Arc<Member>>,
    /// Those that were told to end, and still have a process.
    leaving: usize,
    /// In the order in which they came.
    queue: VecDeque<Waiting>,
    next: u64,
    is_closed: bool,
}

/// One who waits for a connection.
struct Waiting {
    number: u64,
    key: Key,
    tenant: Tenant,
    give: oneshot::Sender<Lease>,
}

/// A place in the queue, given up when it is dropped.
struct Place<'a> {
    pool: &'a Pool,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let number = self.number;
        self.pool.lock().queue.retain(|waiting| waiting.number != number);
    }
}

/// What came of looking for a connection.
enum Taken {
    Lease(Lease),
    Wait(u64, oneshot::Receiver<Lease>),
}

impl Table {
    /// The connection with this key, unless it ends.
    fn living(&mut self, key: &Key) -> Option<Arc<Member>> {
        let member = Arc::clone(self.members.get(key)?);
        if !member.is_over() {
            return Some(member);
        }
        // Its keeper is about to say so.
        self.members.remove(key);
        self.leaving += 1;
        None
    }

    fn take_out(&mut self, member: &Arc<Member>) -> bool {
        let is_there = self.members.get(&member.key).is_some_and(|known| Arc::ptr_eq(known, member));
        if is_there {
            self.members.remove(&member.key);
        }
        is_there
    }

    fn dismiss(&mut self, member: &Arc<Member>, farewell: Farewell) {
        if self.take_out(member) {
            self.leaving += 1;
            member.end(farewell);
        }
    }

    /// Ends connections that nobody has in their hands, the least recently used first, for those who wait.
    fn make_room(&mut self) {
        let wanted = self.queue.iter().map(|waiting| &waiting.key).collect::<HashSet<_>>().len();
        while self.leaving < wanted {
            let free = self.members.values().filter(|member| member.uses() == 0);
            // A task goes on without a request, and so does who listens.
            let is_needed = |member: &Member| member.has_task() || member.link.interest.is_waiting();
            let Some(oldest) = free.min_by_key(|member| (is_needed(member), member.used_at())).cloned()
            else {
                return;
            };
            self.dismiss(&oldest, Farewell::MadeRoom);
        }
    }
}

impl Pool {
    /// Takes the connection with this key, or waits until it can be made.
    pub(super) async fn take(self: &Arc<Self>, key: Key, tenant: &Tenant) -> Result<Lease, NotReady> {
        match self.look(key, tenant) {
            Taken::Lease(lease) => Ok(lease),
            Taken::Wait(number, mut given) => {
                let _place = Place { pool: self, number };
                self.serve();
                match given.try_recv() {
                    Ok(lease) => Ok(lease),
                    Err(TryRecvError::Closed) => Err(stopped()),
                    Err(TryRecvError::Empty) => {
                        self.wait_for(Scarce::Connection, given).await?.map_err(|_| stopped())
                    }
                }
            }
        }
    }

    fn look(self: &Arc<Self>, key: Key, tenant: &Tenant) -> Taken {
        let mut table = self.lock();
        if let Some(member) = table.living(&key) {
            return Taken::Lease(Lease::new(self, &member));
        }
        let (give, given) = oneshot::channel();
        table.next += 1;
        let number = table.next;
        if !table.is_closed {
            table.queue.push_back(Waiting { number, key, tenant: tenant.clone(), give });
        }
        Taken::Wait(number, given)
    }

    /// Gives connections to those who wait, as far as there are any, in the order in which they came.
    fn serve(self: &Arc<Self>) {
        // Dropped after the lock: who has gone meanwhile gives its connection back.
        let mut given = Vec::new();
        let mut table = self.lock();
        while let Some((key, tenant)) =
            table.queue.front().map(|first| (first.key.clone(), first.tenant.clone()))
        {
            let has_room = table.members.len() + table.leaving < self.terms.capacity.max_connections;
            let member = match table.living(&key) {
                Some(member) => member,
                None if has_room => self.make(&mut table, key.clone(), &tenant),
                None => break,
            };
            let (same, others) = table.queue.drain(..).partition(|waiting| waiting.key == key);
            let same: VecDeque<Waiting> = same;
            table.queue = others;
            given.extend(same.into_iter().map(|waiting| (waiting.give, Lease::new(self, &member))));
        }
        table.make_room();
        drop(table);
        for (give, lease) in given {
            // A lease that nobody takes is given back here.
            drop(give.send(lease));
        }
    }

    fn make(self: &Arc<Self>, table: &mut Table, key: Key, first: &Tenant) -> Arc<Member> {
        let tenant = key.tenant(first);
        let (member, post) =
            member(&self.terms, self.number(), (key.clone(), tenant), Some(Arc::clone(self.base())));
        table.members.insert(key, Arc::clone(&member));
        self.spawn(attend(Arc::downgrade(self), Arc::clone(&member), self.staff.keep(post)));
        member
    }

    /// A connection that takes the place of another one, unless the pool is closed.
    pub(super) fn again(self: &Arc<Self>, member: &Member) -> Option<Arc<Link>> {
        let mut table = self.lock();
        if table.is_closed {
            return None;
        }
        let same = match table.living(&member.key) {
            Some(same) => same,
            None => self.make(&mut table, member.key.clone(), &member.tenant),
        };
        Some(Arc::clone(&same.link))
    }

    /// Nobody has a connection in their hands any more.
    pub(super) fn is_free(self: &Arc<Self>, member: &Arc<Member>) {
        let is_wanted = {
            let mut table = self.lock();
            if member.is_for_one_call() && member.uses() == 0 {
                table.dismiss(member, Farewell::CallOver);
            }
            !table.queue.is_empty()
        };
        if is_wanted {
            self.serve();
        }
    }

    /// Ends a connection that nobody has in their hands; false when somebody takes it in this very moment.
    pub(super) fn dismiss_free(&self, member: &Arc<Member>, farewell: Farewell) -> bool {
        let mut table = self.lock();
        let is_free = member.uses() == 0;
        if is_free {
            table.dismiss(member, farewell);
        }
        is_free
    }

    /// A connection's process is gone.
    fn is_gone(self: &Arc<Self>, member: &Arc<Member>) {
        {
            let mut table = self.lock();
            if !table.take_out(member) {
                table.leaving = table.leaving.saturating_sub(1);
            }
        }
        self.serve();
    }

    /// The connection with this key, if there is one.
    pub(super) fn known(&self, key: &Key) -> Option<Arc<Member>> {
        self.lock().members.get(key).filter(|member| !member.is_over()).cloned()
    }

    /// The connection with this number, unless it ends.
    pub(super) fn at(&self, number: u64) -> Option<Arc<Member>> {
        self.members().into_iter().find(|member| member.is_number(number))
    }

    /// Takes the connection with this number, unless it ends. Nobody ends it meanwhile as one that is free.
    pub(super) fn take_at(self: &Arc<Self>, number: u64) -> Option<Lease> {
        let mut lease = {
            let table = self.lock();
            let mut members = std::iter::once(&self.base).chain(table.members.values());
            Lease::new(self, members.find(|member| member.is_number(number))?)
        };
        lease.busy = self.begin(&lease.member.tenant);
        Some(lease)
    }

    /// Every connection in the order in which they were made, the base one first.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        let table = self.lock();
        let mut members: Vec<_> =
            std::iter::once(&self.base).chain(table.members.values()).cloned().collect();
        drop(table);
        members.sort_by_key(|member| member.number);
        members
    }

    /// Has these connections ended, whatever they do.
    pub(super) fn dismiss_all(&self, members: &[Arc<Member>], farewell: Farewell) {
        let mut table = self.lock();
        members.iter().for_each(|member| table.dismiss(member, farewell));
    }

    /// Has every connection ended, and makes no more.
    pub(super) fn close(&self, farewell: Farewell) {
        let waiting = {
            let mut table = self.lock();
            table.is_closed = true;
            std::mem::take(&mut table.queue)
        };
        drop(waiting);
        for member in self.members() {
            member.end(farewell);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The life of a connection that was made on demand: its keeper's work, and the end of those it was made for.
async fn attend(pool: Weak<Pool>, member: Arc<Member>, work: Work) {
    let silence = {
        let (pool, member) = (Weak::clone(&pool), Arc::clone(&member));
        async move {
            let Some(activities) = pool.upgrade().map(|pool| pool.commons.tenants.of(&member.tenant)) else {
                return;
            };
            loop {
                activities.idle().await;
                if pool.upgrade().is_none_or(|pool| pool.dismiss_free(&member, Farewell::Idle)) {
                    return;
                }
            }
        }
    };
    let silence = async {
        silence.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = work => {}
        () = silence => {}
    }
    if let Some(pool) = pool.upgrade() {
        pool.is_gone(&member);
    }
}

fn stopped() -> NotReady {
    let ending = Ending::of(Cause::BridgeStopped, "is not kept any more: the bridge stops");
    NotReady { ending: Arc::new(ending), retry_after: None }
}
