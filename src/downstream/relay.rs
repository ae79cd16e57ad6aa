//! What a server says without being asked, and who hears it.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::wire::Frame;

/// Hears what a server says of one request before it answers it.
pub trait Hears: Send + Sync {
    /// One progress notification, as the server wrote it. Must not block.
    fn progress(&self, frame: Frame);
}

/// Hears a server's notifications that belong to no request.
pub trait Relay: Send + Sync {
    /// One notification. Must not block.
    fn notification(&self, server: &str, method: &str, line: &Bytes, params: Option<&RawValue>);

    /// Whether more can be passed on now.
    fn has_room(&self) -> bool;

    /// Waits until more can be passed on; a client that does not read slows its servers down.
    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
