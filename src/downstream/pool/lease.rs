//! A request's hold on a connection, and the place that it takes there.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use tokio::sync::OwnedSemaphorePermit;

use crate::downstream::connection::Connection;
use crate::downstream::pool::key::{Key, Wish};
use crate::downstream::pool::member::Member;
use crate::downstream::pool::tenants::Busy;
use crate::downstream::pool::{Pool, Scarce};
use crate::downstream::{Link, NotReady};

/// A connection in the hands of a request: no idle rule ends it until it is dropped.
pub struct Lease {
    pool: Arc<Pool>,
    pub(super) member: Arc<Member>,
    /// The thread's and the user's, which are not silent meanwhile.
    pub(super) busy: Option<Busy>,
}

/// A ready connection, and the place on it.
pub struct Slot {
    /// The connection.
    pub connection: Arc<Connection>,
    place: Option<OwnedSemaphorePermit>,
}

/// All that a request under way holds, until it is answered.
pub struct Hold {
    // Given back first: who waits for it is on the same connection.
    _place: Option<OwnedSemaphorePermit>,
    lease: Lease,
}

impl Lease {
    pub(super) fn new(pool: &Arc<Pool>, member: &Arc<Member>) -> Self {
        member.taken();
        Self { pool: Arc::clone(pool), member: Arc::clone(member), busy: None }
    }

    /// The handle of the connection.
    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        &self.member.link
    }

    /// Whether the connection is over and another can take its place.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.pool.farewell().is_some() || self.member.key != Key::Base && self.member.is_over()
    }

    /// Waits until the server is ready, and then for a place among the calls on it, if the request takes one.
    /// Who waits for a place on a connection that ends goes on to the next one.
    ///
    /// # Errors
    /// When the server cannot be had, or has too many calls.
    pub async fn slot(&self, wish: &Wish<'_>) -> Result<Slot, NotReady> {
        // Who has a lease before its pool retires is waited for, and nobody else: one of the two sees the other.
        fence(Ordering::SeqCst);
        if let Some(farewell) = self.pool.farewell() {
            return Err(NotReady::of(Arc::new(farewell.ending())));
        }
        let link = &self.member.link;
        let mut at_once = link.awake();
        if at_once.is_some() {
            self.pool.reused.fetch_add(1, Ordering::Relaxed);
        }
        loop {
            let connection = match at_once.take() {
                Some(connection) => connection,
                None => link.ready_for(wish.tenant.client).await?,
            };
            if !wish.takes_slot {
                return Ok(Slot { connection, place: None });
            }
            let place = self.place(&connection).await?;
            if place.is_some() && !connection.has_ended() {
                return Ok(Slot { connection, place });
            }
            at_once = link.awake();
        }
    }

    /// A place on a connection; `None` when that ends first.
    async fn place(&self, connection: &Connection) -> Result<Option<OwnedSemaphorePermit>, NotReady> {
        let slots = connection.slots(self.pool.terms.capacity.max_concurrent);
        match Arc::clone(slots).try_acquire_owned() {
            Ok(place) => Ok(Some(place)),
            // One that ended before it had any places does not close them.
            Err(_) if connection.has_ended() => Ok(None),
            // Whoever came before is served before: while somebody waits, none is free.
            Err(_) => {
                self.pool.wait_for(Scarce::Slot, Arc::clone(slots).acquire_owned()).await.map(Result::ok)
            }
        }
    }

    /// What the request holds with its place.
    #[must_use]
    pub fn hold(self, slot: Slot) -> Hold {
        Hold { _place: slot.place, lease: self }
    }
}

impl Hold {
    /// The answer gives a task: the connection outlives its call.
    pub fn gave_task(&self) {
        self.lease.member.gave_task();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.busy = None;
        if self.member.given_back() {
            self.pool.given_back.notify_one();
            if self.member.key != Key::Base {
                self.pool.is_free(&self.member);
            }
        }
    }
}
