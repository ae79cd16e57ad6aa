//! One timer for all that is quick: tells who is still there after a fixed, short while.
//!
//! Most calls end long before anything has to be done about their age. A timer of its own for each
//! costs a wake-up of the runtime at each call (about 3 µs); here they share one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Waits of one fixed length, in the order in which they began.
#[derive(Debug)]
pub struct Pulse {
    after: Duration,
    waiting: Mutex<VecDeque<(Instant, oneshot::Sender<()>)>>,
    begun: Notify,
}

impl Pulse {
    /// Waits of this length.
    #[must_use]
    pub fn new(after: Duration) -> Arc<Self> {
        Arc::new(Self { after, waiting: Mutex::default(), begun: Notify::new() })
    }

    /// The length of its waits.
    #[must_use]
    pub fn after(&self) -> Duration {
        self.after
    }

    /// Waits for the fixed length, up to 2 ms longer. Without [`Pulse::run`] it waits for ever.
    pub async fn passed(&self) {
        let (sender, passed) = oneshot::channel();
        let first = {
            let mut waiting = self.lock();
            waiting.push_back((Instant::now() + self.after, sender));
            waiting.len() == 1
        };
        if first {
            self.begun.notify_one();
        }
        if passed.await.is_err() {
            std::future::pending().await
        }
    }

    /// Keeps the time, for as long as it is polled.
    pub async fn run(&self) {
        loop {
            let next = self.lock().front().map(|(due, _)| *due);
            match next {
                None => self.begun.notified().await,
                Some(due) => tokio::time::sleep_until(due).await,
            }
            self.tell(Instant::now());
        }
    }

    /// Tells all that are due, and forgets those that have gone.
    fn tell(&self, now: Instant) {
        let mut waiting = self.lock();
        while waiting.front().is_some_and(|(due, sender)| *due <= now || sender.is_closed()) {
            if let Some((_, sender)) = waiting.pop_front() {
                // It may have gone in this very moment.
                let _ = sender.send(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, oneshot::Sender<()>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_is_still_there_is_told_and_nobody_early() {
        let pulse = Pulse::new(Duration::from_millis(5));
        let before = Instant::now();
        tokio::select! {
            () = pulse.run() => unreachable!(),
            () = async { tokio::join!(pulse.passed(), pulse.passed()); } => {}
        }
        assert!(before.elapsed() >= Duration::from_millis(4));
        assert!(pulse.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_have_gone_are_forgotten() {
        let pulse = Pulse::new(Duration::from_millis(5));
        let gone = async {
            for _ in 0..100 {
                let _ = tokio::time::timeout(Duration::ZERO, pulse.passed()).await;
            }
            pulse.passed().await;
        };
        tokio::select! {
            () = pulse.run() => unreachable!(),
            () = gone => {}
        }
        assert_eq!(pulse.lock().len(), 0);
    }
}
