//! The requests of a client that have no answer yet, by the id that the client wrote.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::guard::CalledOff;

/// The table of one client. Two requests may carry one id: both are answered.
#[derive(Debug, Default)]
pub struct Pending {
    table: Mutex<Table>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    waiting: HashMap<Box<str>, Vec<(u64, oneshot::Sender<CalledOff>)>>,
}

/// One request's place in the table, held until it is answered.
#[derive(Debug)]
pub struct Place {
    pending: Arc<Pending>,
    id: Box<str>,
    number: u64,
}

impl Pending {
    /// Enters a request; `id` is its JSON text.
    pub fn enter(self: &Arc<Self>, id: &str) -> (Place, oneshot::Receiver<CalledOff>) {
        let (sender, call_off) = oneshot::channel();
        let mut table = self.lock();
        table.next += 1;
        let number = table.next;
        let same = table.waiting.entry(id.into()).or_default();
        same.push((number, sender));
        if same.len() > 1 {
            tracing::warn!(request = id, "two outstanding requests with one id, both are answered");
        }
        drop(table);
        (Place { pending: Arc::clone(self), id: id.into(), number }, call_off)
    }

    /// Calls off every request with this id; false when there is none.
    pub fn call_off(&self, id: &str) -> bool {
        let senders = self.lock().waiting.get_mut(id).map(std::mem::take).unwrap_or_default();
        let any = !senders.is_empty();
        for (_, sender) in senders {
            // It may have been answered in this very moment.
            let _ = sender.send(CalledOff::ByClient);
        }
        any
    }

    /// Calls off everything, because the bridge stops.
    pub fn call_off_all(&self) {
        let mut table = self.lock();
        for (_, sender) in table.waiting.values_mut().flat_map(std::mem::take) {
            let _ = sender.send(CalledOff::ByStop);
        }
    }

    /// How many requests wait.
    #[must_use]
    pub fn ids(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Waits until nothing waits.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.lock().waiting.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The id as the client wrote it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.pending.lock();
        if let Some(same) = table.waiting.get_mut(&self.id) {
            same.retain(|(number, _)| *number != self.number);
            if same.is_empty() {
                table.waiting.remove(&self.id);
            }
        }
        let empty = table.waiting.is_empty();
        drop(table);
        if empty {
            self.pending.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_requests_with_one_id_are_two() {
        let pending = Arc::new(Pending::default());
        let (first, mut call_off_first) = pending.enter("1");
        let (second, call_off_second) = pending.enter("1");
        drop(first);
        assert!(call_off_first.try_recv().is_err());
        assert!(pending.call_off("1"));
        assert_eq!(call_off_second.await, Ok(CalledOff::ByClient));
        assert!(!pending.call_off("1") && !pending.call_off("\"1\""));
        drop(second);
        assert_eq!(pending.ids(), 0);
        pending.emptied().await;
    }

    #[tokio::test]
    async fn a_call_called_off_for_two_reasons_hears_the_first() {
        let pending = Arc::new(Pending::default());
        let (_place, call_off) = pending.enter("\"a\"");
        pending.call_off_all();
        pending.call_off("\"a\"");
        assert_eq!(call_off.await, Ok(CalledOff::ByStop));
    }
}
