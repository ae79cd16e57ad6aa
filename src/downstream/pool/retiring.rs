//! The end of a pool whose server is replaced or no more wanted: what runs in it goes on to its end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use tokio::sync::watch;

use crate::downstream::pool::Pool;
use crate::downstream::pool::key::Farewell;
use crate::downstream::pool::member::Member;

impl Pool {
    /// Why nothing new goes here, if that is so.
    #[must_use]
    pub fn farewell(&self) -> Option<Farewell> {
        self.retired.get().copied()
    }

    /// Takes the place of another pool, with all that clients want to hear of that: the base connection is that of the
    /// same session, and other sessions that listen have one of their own again.
    pub fn succeed(self: &Arc<Self>, before: &Self) {
        self.inherit_own(before);
        before.base().interest.hand_over(&self.base().interest);
        self.listen_again(&before.members());
    }

    /// Connections that listen to something have others in their places.
    pub(super) fn listen_again(self: &Arc<Self>, members: &[Arc<Member>]) {
        for member in members.iter().filter(|member| member.link.interest.is_waiting()) {
            let Some(heir) = self.again(member) else { return };
            member.link.interest.hand_over(&heir.interest);
            heir.wake();
        }
    }

    /// Takes nothing new from here on. The future waits until every request under way has its answer, but not
    /// for longer than a call may take, and then until all processes are gone.
    pub fn retire(self: &Arc<Self>, farewell: Farewell) -> impl Future<Output = ()> + Send + use<> {
        // The first word counts.
        let _ = self.retired.set(farewell);
        // Before it looks who has a connection in their hands (`Lease::slot`).
        fence(Ordering::SeqCst);
        let pool = Arc::clone(self);
        async move {
            if !matches!(farewell, Farewell::Restarted | Farewell::Held) {
                if !pool.is_unused() {
                    // Its calls go on beside the next one.
                    pool.has_cleared();
                }
                // One that stands before a hanging server would hold it up for ever.
                let _ = tokio::time::timeout(pool.terms.call_timeout, pool.free()).await;
            }
            pool.end(farewell).await;
            pool.has_cleared();
        }
    }

    /// Hears when its successor may start: when every process of this one is gone, or when calls go on in it.
    #[must_use]
    pub fn cleared(&self) -> watch::Receiver<bool> {
        self.cleared.subscribe()
    }

    fn has_cleared(&self) {
        self.cleared.send_replace(true);
    }

    fn is_unused(&self) -> bool {
        self.members().iter().all(|member| member.uses() == 0)
    }

    /// Waits until no request has a connection in its hands.
    async fn free(&self) {
        loop {
            let given_back = self.given_back.notified();
            if self.is_unused() {
                return;
            }
            given_back.await;
        }
    }
}
