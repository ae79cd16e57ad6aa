//! The subscriptions that a modern client has open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::grants::Grant;
use crate::session::listen::Listen;
use crate::session::ticket::Ticket;

/// The open `subscriptions/listen` of one client, each with what servers were asked to tell for it.
#[derive(Debug, Default)]
pub struct Listens(Mutex<Vec<Open>>);

/// One that is open; its ticket says, when it goes, that it is over.
type Open = (Arc<Listen>, Vec<Grant>, Option<Ticket>);

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
        (grants, ticket): (Vec<Grant>, Option<Ticket>),
        max: usize,
        acknowledge: impl FnOnce(),
    ) -> Result<(), TooMany> {
        let mut open = self.lock();
        if open.len() >= max {
            return Err(TooMany);
        }
        acknowledge();
        open.push((Arc::new(listen), grants, ticket));
        Ok(())
    }

    /// Takes out the one with this id, in JSON; its servers need not tell any more.
    pub fn remove(&self, id: &str) -> Option<Open> {
        let mut open = self.lock();
        let place = open.iter().position(|(listen, ..)| *listen.id == *id)?;
        Some(open.remove(place))
    }

    /// Those that are open.
    pub fn all(&self) -> Vec<Arc<Listen>> {
        self.lock().iter().map(|(listen, ..)| Arc::clone(listen)).collect()
    }

    /// Those that hear of a resource of a server: those that name it; else those that name what it is a part
    /// of; else, since only the server knows what its parts are, those that want any resource of it.
    pub fn of_resource(&self, uri: &str, server: &str) -> Vec<Arc<Listen>> {
        let open = self.lock();
        let of = |hears: &dyn Fn(&Listen, &[Grant]) -> bool| -> Vec<Arc<Listen>> {
            let hearing = open.iter().filter(|(listen, grants, _)| hears(listen, grants));
            hearing.map(|(listen, ..)| Arc::clone(listen)).collect()
        };
        let mut found = of(&|listen, _| listen.names_resource(uri));
        if found.is_empty() {
            found = of(&|listen, _| listen.names_whole_of(uri));
        }
        if found.is_empty() {
            found = of(&|_, grants| grants.iter().any(|grant| grant.has_resources_of(server)));
        }
        found
    }

    /// Those that hear of a task.
    pub fn of_task(&self, id: &str) -> Vec<Arc<Listen>> {
        self.all().into_iter().filter(|listen| listen.names_task(id)).collect()
    }

    /// Takes out all of them.
    pub fn take_all(&self) -> Vec<(Arc<Listen>, Option<Ticket>)> {
        let all = std::mem::take(&mut *self.lock());
        all.into_iter().map(|(listen, _, ticket)| (listen, ticket)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
