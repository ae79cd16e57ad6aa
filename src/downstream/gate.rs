//! So many servers start side by side, and the others wait their turn: a hundred at once would fail together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The way in for starts.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    max: usize,
    inside: usize,
    next: u64,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    /// Somebody waits for the server.
    wanted: bool,
    pass: oneshot::Sender<Pass>,
}

/// The right to start, until it is dropped.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

/// A place before the gate, given up when it is dropped.
#[derive(Debug)]
pub struct Turn {
    gate: Arc<Gate>,
    number: u64,
    pass: oneshot::Receiver<Pass>,
}

impl Gate {
    /// A gate that lets so many in at once.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        let state = State { max: max.max(1), inside: 0, next: 0, waiting: VecDeque::new() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Lets so many in at once from here on; who is inside stays.
    pub fn resize(self: &Arc<Self>, max: usize) {
        self.lock().max = max.max(1);
        self.let_in();
    }

    /// Queues up. A server that somebody waits for goes before those that nobody misses yet.
    pub fn queue(self: &Arc<Self>, wanted: bool) -> Turn {
        let (sender, pass) = oneshot::channel();
        let number = {
            let mut state = self.lock();
            state.next += 1;
            let number = state.next;
            state.waiting.push_back(Waiting { number, wanted, pass: sender });
            number
        };
        self.let_in();
        Turn { gate: Arc::clone(self), number, pass }
    }

    fn let_in(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.inside >= state.max {
                    return;
                }
                let wanted = state.waiting.iter().position(|waiting| waiting.wanted).unwrap_or(0);
                let Some(next) = state.waiting.remove(wanted) else { return };
                state.inside += 1;
                next
            };
            // Whoever gave up in this very moment drops the pass, which lets the next one in.
            let _ = next.pass.send(Pass(Arc::clone(self)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Somebody waits for the server now.
    pub fn is_wanted(&self) {
        let mut state = self.gate.lock();
        if let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.number == self.number) {
            waiting.wanted = true;
        }
    }

    /// Waits for the turn.
    pub async fn pass(&mut self) -> Pass {
        match (&mut self.pass).await {
            Ok(pass) => pass,
            // It is sent or waits, as long as this lives.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let number = self.number;
        self.gate.lock().waiting.retain(|waiting| waiting.number != number);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.let_in();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn came(turn: &mut Turn) -> Option<Pass> {
        turn.pass().now_or_never()
    }

    #[tokio::test]
    async fn the_first_who_is_wanted_goes_first_and_the_others_in_their_order() {
        let gate = Gate::new(1);
        let mut turns: Vec<Turn> = (0..4).map(|_| gate.queue(false)).collect();
        let first = came(&mut turns[0]).unwrap();
        assert!(turns[1..].iter_mut().all(|turn| came(turn).is_none()));
        turns[3].is_wanted();
        drop(first);
        let second = came(&mut turns[3]).unwrap();
        assert!(came(&mut turns[1]).is_none());
        drop(second);
        let third = came(&mut turns[1]).unwrap();
        drop(third);
        assert!(came(&mut turns[2]).is_some());
    }

    #[tokio::test]
    async fn a_wider_gate_lets_more_in_and_a_narrower_one_nobody_out() {
        let gate = Gate::new(1);
        let mut turns: Vec<Turn> = (0..4).map(|_| gate.queue(true)).collect();
        let mut passes: Vec<Pass> = turns.iter_mut().filter_map(came).collect();
        assert_eq!(passes.len(), 1);
        gate.resize(3);
        passes.extend(turns[1..].iter_mut().filter_map(came));
        assert_eq!(passes.len(), 3);
        gate.resize(1);
        passes.truncate(1);
        assert!(came(&mut turns[3]).is_none());
        drop(passes);
        assert!(came(&mut turns[3]).is_some());
    }

    #[tokio::test]
    async fn who_gives_up_holds_nobody_back() {
        let gate = Gate::new(2);
        let mut turns: Vec<Turn> = (0..5).map(|_| gate.queue(true)).collect();
        let passes: Vec<Pass> = turns[..2].iter_mut().map(|turn| came(turn).unwrap()).collect();
        let mut last = turns.pop().unwrap();
        // One in the queue, and two that had come in.
        turns.truncate(3);
        drop(turns);
        drop(passes);
        let other = came(&mut last);
        assert!(other.is_some());
        let mut late = gate.queue(false);
        assert!(came(&mut late).is_some() && gate.lock().inside == 1);
    }
}
