//! The subscriptions that a modern client has open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::grants::Grant;
use crate::session::listen::Listen;

/// The open `subscriptions/listen` of one client, each with what servers were asked to tell for it.
#[derive(Debug, Default)]
pub struct Listens(Mutex<Vec<(Arc<Listen>, Vec<Grant>)>>);

/// There are too many.
#[derive(Debug)]
pub struct TooMany;

impl Listens {
    /// Adds one and acknowledges it, before anything else is said under its id.
    ///
    /// # Errors
    /// When `max` are open already.
    pub fn add(
        &self,
        listen: Listen,
        grants: Vec<Grant>,
        max: usize,
        acknowledge: impl FnOnce(),
    ) -> Result<(), TooMany> {
        let mut open = self.lock();
        if open.len() >= max {
            return Err(TooMany);
        }
        acknowledge();
        open.push((Arc::new(listen), grants));
        Ok(())
    }

    /// Takes out the one with this id, in JSON; its servers need not tell any more.
    pub fn remove(&self, id: &str) -> Option<(Arc<Listen>, Vec<Grant>)> {
        let mut open = self.lock();
        let place = open.iter().position(|(listen, _)| *listen.id == *id)?;
        Some(open.remove(place))
    }

    /// Those that are open.
    pub fn all(&self) -> Vec<Arc<Listen>> {
        self.lock().iter().map(|(listen, _)| Arc::clone(listen)).collect()
    }

    /// Takes out all of them.
    pub fn take_all(&self) -> Vec<Arc<Listen>> {
        let all = std::mem::take(&mut *self.lock());
        all.into_iter().map(|(listen, _)| listen).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Arc<Listen>, Vec<Grant>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
