//! The owner's hold on a connection.

use std::ops::Deref;
use std::sync::Arc;

use crate::downstream::Ending;
use crate::downstream::connection::Connection;

/// A connection in the hands of its owner. It ends with the hold at the latest, so that nobody waits
/// for ever for an owner that panicked.
#[derive(Debug)]
pub struct Owned(pub Arc<Connection>);

impl Deref for Owned {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // An owner in good order has ended it by now, and said how.
        self.0.end(Arc::new(Ending::unknown()));
    }
}
