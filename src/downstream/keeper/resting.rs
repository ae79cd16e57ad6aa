//! Between two lives: when the next one may begin.

use std::sync::Arc;

use crate::downstream::budget::{MayStart, Permit, Standing};
use crate::downstream::gate::Pass;
use crate::downstream::keeper::Keeper;
use crate::downstream::{Ending, LinkState, Order};
use crate::policy::Breaker;

/// Who wants a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A request waits for the server.
    Request,
    /// It is to be there, and nobody waits for it yet.
    List,
    /// Somebody wants to hear of it.
    Subscribed,
}

impl Keeper {
    /// Waits until a start is allowed and wanted.
    pub(super) async fn rest(&mut self) -> (Permit, Wanted) {
        let budget = Arc::clone(&self.around.budget);
        let mut changes = budget.changes();
        let mut wanted = None;
        loop {
            let standing = budget.standing();
            if standing.breaker == Breaker::Open {
                // A request is refused at once and waits for nothing.
                wanted = None;
            }
            self.follow(&standing);
            // Who has subscribed to something of it waits without a word, and may do so no more by now.
            let subscribed = || self.interest.is_waiting().then_some(Wanted::Subscribed);
            let wait = match wanted.or_else(subscribed) {
                None => None,
                Some(wanted) => match budget.start() {
                    MayStart::Now(permit) => return (permit, wanted),
                    MayStart::After(wait) => Some(wait),
                    MayStart::Undecided => None,
                },
            };
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Want(client)) => {
                        wanted = Some(Wanted::Request);
                        self.wanted_by = self.wanted_by.or(client);
                    }
                    Some(Order::Wake) => wanted = wanted.or(Some(Wanted::List)),
                    // Nobody starts a server for that; who waits hears that it is dropped.
                    Some(Order::Relist { .. } | Order::Leave(_)) => {}
                    None => std::future::pending().await,
                },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                // The sender lives as long as the budget, which is held here.
                _ = changes.changed() => {}
            }
        }
    }

    /// Why it is started, in words.
    pub(super) fn why(&self, wanted: Wanted) -> String {
        let wanted = match wanted {
            Wanted::Request => "for a request",
            Wanted::List if self.server.warm => "to be warm",
            Wanted::List => "for its lists",
            Wanted::Subscribed => "for a subscription",
        };
        match &self.status.borrow().state {
            LinkState::Resting { because, .. } | LinkState::Parked { because, .. } => {
                format!("started again {wanted}, after it {because}")
            }
            LinkState::Stopped | LinkState::Held(_) | LinkState::Starting | LinkState::Ready(_) => {
                format!("started {wanted}")
            }
        }
    }

    /// Another connection to the server may have parked it, or brought it back.
    fn follow(&self, standing: &Standing) {
        let parked_until = match self.status.borrow().state {
            LinkState::Parked { until, .. } => Some(until),
            _ => None,
        };
        match standing.breaker {
            Breaker::Open if parked_until != Some(standing.until) => {
                let because = standing.last.clone().unwrap_or_else(|| Arc::new(Ending::unknown()));
                let why = format!("another connection to it failed: it {because}");
                self.change(LinkState::Parked { until: standing.until, because }, None, why, |_| {});
            }
            Breaker::Closed if parked_until.is_some() => {
                let why = "it may be started again, and nobody has needed it since";
                self.change(LinkState::Stopped, None, why, |_| {});
            }
            _ => {}
        }
    }

    /// Waits for the turn to start: only so many do at once.
    pub(super) async fn turn(&mut self, wanted: Wanted) -> Pass {
        let mut turn = self.around.gate.queue(wanted == Wanted::Request);
        loop {
            tokio::select! {
                pass = turn.pass() => return pass,
                Some(order) = self.orders.recv() => if matches!(order, Order::Want(_)) {
                    turn.is_wanted();
                },
            }
        }
    }
}
