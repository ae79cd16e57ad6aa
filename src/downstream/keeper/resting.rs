//! Between two lives: when the next one may begin.

use std::sync::Arc;

use crate::downstream::budget::{MayStart, Permit, Standing};
use crate::downstream::gate::Pass;
use crate::downstream::keeper::Keeper;
use crate::downstream::{Ending, LinkState, Order};
use crate::policy::Breaker;

impl Keeper {
    /// Waits until a start is allowed and wanted; whether somebody waits for it.
    pub(super) async fn rest(&mut self) -> (Permit, bool) {
        let budget = Arc::clone(&self.around.budget);
        let mut changes = budget.changes();
        let (mut woken, mut waited_for) = (false, false);
        loop {
            let standing = budget.standing();
            if standing.breaker == Breaker::Open {
                // A request is refused at once and waits for nothing.
                (woken, waited_for) = (false, false);
            }
            self.follow(&standing);
            // Who has subscribed to something of it waits without a word, and may do so no more by now.
            let wait = match woken || self.interest.is_waiting() {
                false => None,
                true => match budget.start() {
                    MayStart::Now(permit) => return (permit, waited_for),
                    MayStart::After(wait) => Some(wait),
                    MayStart::Undecided => None,
                },
            };
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order @ (Order::Want | Order::Wake)) => {
                        woken = true;
                        waited_for |= matches!(order, Order::Want);
                    }
                    // Nobody starts a server for that; who waits hears that it is dropped.
                    Some(Order::Relist { .. } | Order::Leave) => {}
                    None => std::future::pending().await,
                },
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                // The sender lives as long as the budget, which is held here.
                _ = changes.changed() => {}
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
                self.change(LinkState::Parked { until: standing.until, because }, None, |_| {});
            }
            Breaker::Closed if parked_until.is_some() => self.change(LinkState::Stopped, None, |_| {}),
            _ => {}
        }
    }

    /// Waits for the turn to start: only so many do at once.
    pub(super) async fn turn(&mut self, waited_for: bool) -> Pass {
        let mut turn = self.around.gate.queue(waited_for);
        loop {
            tokio::select! {
                pass = turn.pass() => return pass,
                Some(order) = self.orders.recv() => if matches!(order, Order::Want) {
                    turn.is_wanted();
                },
            }
        }
    }
}
