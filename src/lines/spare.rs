//! One large buffer that goes from line to line: fresh memory for each line of megabytes costs as much
//! as its copy through a pipe. It is given back as soon as large lines stop coming.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

/// A spare buffer is kept this long after the last large line.
pub const KEPT_FOR: Duration = Duration::from_secs(1);

/// A larger buffer is not kept, in bytes.
const SPARE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The place of the spare buffer; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Spare(Arc<Mutex<Place>>);

#[derive(Debug, Default)]
struct Place {
    buffer: Option<Vec<u8>>,
    /// Whether a buffer that comes back is kept.
    wanted: bool,
}

/// A line's bytes, whose buffer goes back to its place in the end.
struct Lent {
    buffer: Vec<u8>,
    home: Spare,
}

impl Spare {
    /// The spare buffer, empty, if there is one.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.with(|place| place.buffer.take())
    }

    /// Makes shared bytes of a buffer that comes back here when the last of them is dropped.
    pub fn lend(&self, buffer: Vec<u8>) -> Bytes {
        self.with(|place| place.wanted = true);
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }

    /// Whether a large line was lent since the last [`Spare::give_back`].
    pub fn is_wanted(&self) -> bool {
        self.with(|place| place.wanted)
    }

    /// Gives the memory back to the system; what is still lent follows when it comes.
    pub fn give_back(&self) {
        self.with(|place| *place = Place::default());
    }

    fn with<T>(&self, act: impl FnOnce(&mut Place) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.home.with(|place| place.buffer = place.wanted.then_some(buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_line_is_dropped() {
        let spare = Spare::default();
        let line = spare.lend(vec![1; 100]);
        let part = line.slice(10..20);
        drop(line);
        assert!(spare.take().is_none(), "a part still lives");
        drop(part);
        assert_eq!(spare.take().map(|buffer| (buffer.len(), buffer.capacity())), Some((0, 100)));
    }

    #[test]
    fn a_buffer_that_nobody_wants_any_more_is_not_kept() {
        let spare = Spare::default();
        let line = spare.lend(vec![1; 100]);
        spare.give_back();
        drop(line);
        assert!(spare.take().is_none() && !spare.is_wanted());
    }
}
