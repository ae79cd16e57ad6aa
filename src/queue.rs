//! A queue that counts bytes: what waits to be written to one pipe.
//!
//! Pushing never waits, so that an answer is never held up by its neighbours. Whoever *makes* more to
//! write asks for room first; the queue is then over its limit by one message of each source at most.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Something that takes room in a [`ByteQueue`].
pub trait Weighs {
    /// Its size, in bytes.
    fn bytes(&self) -> usize;
}

/// A first-in, first-out queue with a limit in bytes, for one taker.
#[derive(Debug)]
pub struct ByteQueue<T> {
    waiting: Mutex<Waiting<T>>,
    bytes_max: usize,
    filled: Notify,
    drained: Notify,
}

#[derive(Debug)]
struct Waiting<T> {
    items: VecDeque<T>,
    bytes: usize,
    closed: bool,
}

impl<T: Weighs> ByteQueue<T> {
    /// An empty queue that has room while fewer than `bytes_max` bytes wait.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let waiting = Waiting { items: VecDeque::new(), bytes: 0, closed: false };
        Self { waiting: Mutex::new(waiting), bytes_max, filled: Notify::new(), drained: Notify::new() }
    }

    /// Adds an item at the end; gives it back when the queue is closed.
    ///
    /// # Errors
    /// The item itself, when nobody will take it any more.
    pub fn push(&self, item: T) -> Result<(), T> {
        self.reserve(item.bytes());
        self.push_reserved(item)
    }

    /// Counts bytes of an item that will come, and be pushed by [`ByteQueue::push_reserved`].
    pub fn reserve(&self, bytes: usize) {
        self.lock().bytes += bytes;
    }

    /// Adds an item whose bytes are counted already.
    ///
    /// # Errors
    /// The item itself, when nobody will take it any more.
    pub fn push_reserved(&self, item: T) -> Result<(), T> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(item);
        }
        waiting.items.push_back(item);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until the queue is below its limit, or closed.
    pub async fn room(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.has_room() {
                return;
            }
            drained.await;
        }
    }

    /// Whether the queue is below its limit, or closed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let waiting = self.lock();
        waiting.closed || waiting.bytes < self.bytes_max
    }

    /// Waits for items and moves all of them into `into`; false when the queue is closed and empty.
    /// Their bytes count until [`ByteQueue::written`] gives them back.
    pub async fn take(&self, into: &mut VecDeque<T>) -> bool {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.items.is_empty() {
                    into.append(&mut waiting.items);
                    return true;
                }
                if waiting.closed {
                    return false;
                }
            }
            // One taker: a permit that `push` left behind is kept until here.
            self.filled.notified().await;
        }
    }

    /// Gives back the room of items that were taken.
    pub fn written(&self, bytes: usize) {
        let mut waiting = self.lock();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        let room = waiting.bytes < self.bytes_max;
        drop(waiting);
        if room {
            self.drained.notify_waiters();
        }
    }

    /// Takes nothing more; what waits can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Takes nothing more, and drops what waits: nobody will write it.
    pub fn discard(&self) {
        self.close();
        let items = std::mem::take(&mut self.lock().items);
        drop(items);
    }

    /// How many bytes wait or are being written.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one of several sources of a queue may have waiting in it, so that the others need not wait behind
/// much of it.
#[derive(Debug)]
pub struct Share {
    bytes: AtomicUsize,
    bytes_max: usize,
    drained: Notify,
}

/// A part of a share, given back when it is dropped.
#[derive(Debug)]
pub struct Portion {
    share: Arc<Share>,
    bytes: usize,
}

impl Share {
    /// A share that has room while fewer than `bytes_max` bytes are taken of it.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), bytes_max, drained: Notify::new() })
    }

    /// Takes a part, whether there is room or not.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Portion {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Portion { share: Arc::clone(self), bytes }
    }

    /// Whether there is room.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Acquire) < self.bytes_max
    }

    /// Waits until there is room; for one who waits.
    pub async fn room(&self) {
        while !self.has_room() {
            self.drained.notified().await;
        }
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.share.bytes.fetch_sub(self.bytes, Ordering::Release);
        self.share.drained.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weighs for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[tokio::test]
    async fn room_comes_back_when_bytes_are_written() {
        let queue = ByteQueue::new(4);
        queue.push(vec![0; 6]).unwrap();
        assert!(!queue.has_room());
        let mut taken = VecDeque::new();
        assert!(queue.take(&mut taken).await);
        assert!(!queue.has_room(), "taken is not written");
        tokio::join!(queue.room(), async { queue.written(6) });
        assert_eq!(queue.bytes(), 0);
    }

    #[tokio::test]
    async fn a_share_has_room_again_when_its_parts_are_given_back() {
        let share = Share::new(4);
        let (first, second) = (share.take(3), share.take(3));
        tokio::join!(share.room(), async { drop((first, second)) });
        let _third = share.take(3);
        share.room().await;
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_ends() {
        let queue = ByteQueue::new(4);
        queue.push(vec![1]).unwrap();
        queue.close();
        assert_eq!(queue.push(vec![2]), Err(vec![2]));
        let mut taken = VecDeque::new();
        assert!(queue.take(&mut taken).await);
        assert!(!queue.take(&mut taken).await);
        assert_eq!(taken, [vec![1]]);
        queue.room().await;
    }
}
