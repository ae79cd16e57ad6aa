//! What an older client has subscribed to by `resources/subscribe`: of a server that serves others too, it hears of
//! nothing else.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::session::listen::is_part;

/// So many are kept, as many as of one server.
const KEPT_MAX: usize = 10_000;

/// The resources that one client wants to hear of, each with its server.
#[derive(Debug, Default)]
pub struct Subscribed(Mutex<BTreeSet<(Box<str>, Box<str>)>>);

impl Subscribed {
    /// The client subscribes.
    pub fn add(&self, server: &str, uri: &str) {
        let mut all = self.lock();
        if all.len() < KEPT_MAX {
            all.insert((server.into(), uri.into()));
        }
    }

    /// The client takes it back.
    pub fn remove(&self, server: &str, uri: &str) {
        self.lock().remove(&(server.into(), uri.into()));
    }

    /// Whether it wants to hear of a resource, or of one that this is a part of.
    pub fn hears(&self, server: &str, uri: &str) -> bool {
        let all = self.lock();
        all.contains(&(server.into(), uri.into()))
            || all.iter().any(|(of, whole)| **of == *server && is_part(uri, whole))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Box<str>, Box<str>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_hears_of_what_it_subscribed_to_and_its_parts() {
        let subscribed = Subscribed::default();
        subscribed.add("s", "f:///a");
        assert!(subscribed.hears("s", "f:///a") && subscribed.hears("s", "f:///a/b"));
        assert!(!subscribed.hears("s", "f:///ab") && !subscribed.hears("t", "f:///a"));
        subscribed.remove("s", "f:///a");
        assert!(!subscribed.hears("s", "f:///a"));
    }
}
