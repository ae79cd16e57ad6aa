//! The clients that are attached, as servers and their connections know them.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use crate::downstream::greeting::Face;
use crate::environment::Folder;

/// The number of the next client.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// One attached client; no other of this process has its number, not even a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(NonZeroU64);

impl ClientId {
    /// A client that attaches now.
    #[must_use]
    pub fn next() -> Self {
        // It would take centuries to come round to 0.
        Self(NonZeroU64::new(NUMBERS.fetch_add(1, Ordering::Relaxed)).unwrap_or(NonZeroU64::MAX))
    }
}

/// The client that a connection belongs to, if it is one's alone.
#[derive(Debug, Default)]
pub struct Owner(AtomicU64);

impl Owner {
    /// This client, or nobody in particular.
    #[must_use]
    pub fn of(client: Option<ClientId>) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(client.map_or(0, |client| client.0.get()))))
    }

    /// The client; `None` when the connection serves whoever comes.
    #[must_use]
    pub fn get(&self) -> Option<ClientId> {
        NonZeroU64::new(self.0.load(Ordering::Acquire)).map(ClientId)
    }

    /// A connection that was nobody's becomes a client's.
    pub fn becomes(&self, client: ClientId) {
        self.0.store(client.0.get(), Ordering::Release);
    }
}

/// To whom the lives of one connection belong, one after the other.
#[derive(Debug)]
pub struct Ownership(Mutex<Arc<Owner>>);

impl Ownership {
    /// All lives are this client's, or nobody's in particular so far.
    #[must_use]
    pub fn of(client: Option<ClientId>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Owner::of(client))))
    }

    /// To whom a life that begins now belongs.
    #[must_use]
    pub fn now(&self) -> Arc<Owner> {
        Arc::clone(&self.lock())
    }

    /// The client has gone: the next life is nobody's. The one that goes on is not given to another.
    pub fn is_left(&self) {
        *self.lock() = Arc::default();
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Owner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the attached clients show to servers, in the order in which they came.
#[derive(Debug, Default)]
pub struct Faces(RwLock<Vec<Attached>>);

#[derive(Debug)]
struct Attached {
    client: ClientId,
    face: watch::Receiver<Face>,
    folder: Folder,
}

impl Faces {
    /// A client attaches that was started in this folder.
    pub fn add(&self, client: ClientId, face: watch::Receiver<Face>, folder: Folder) {
        let attached = Attached { client, face, folder };
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(attached);
    }

    /// A client has gone.
    pub fn remove(&self, client: ClientId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|other| other.client != client);
    }

    /// What a server is shown that is started for this client, and whose face that is: else that of the client
    /// which attached last, of those that have said who they are.
    #[must_use]
    pub fn of(&self, client: Option<ClientId>) -> (Option<ClientId>, Face) {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let asked = all.iter().find(|other| Some(other.client) == client);
        // Nobody marks what a client shows as seen: it has changed once the client has said who it is.
        let last = || all.iter().rev().find(|other| other.face.has_changed().unwrap_or(true));
        match asked.or_else(last) {
            Some(attached) => (Some(attached.client), attached.face.borrow().clone()),
            None => (None, Face::default()),
        }
    }

    /// The folder in which a client was started.
    #[must_use]
    pub fn folder(&self, client: ClientId) -> Folder {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|other| other.client == client)?.folder.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Face {
        Face { info: Some(name.into()), ..Face::default() }
    }

    #[test]
    fn a_server_sees_the_client_it_is_started_for_else_the_last_that_said_who_it_is() {
        let (faces, [one, two, three]) = (Faces::default(), [(); 3].map(|()| ClientId::next()));
        assert_eq!(faces.of(Some(one)), (None, Face::default()));
        let shown = [one, two, three].map(|client| {
            let (sender, receiver) = watch::channel(Face::default());
            faces.add(client, receiver, None);
            sender
        });
        assert_eq!(faces.of(None), (None, Face::default()));
        shown[0].send_replace(named("one"));
        shown[1].send_replace(named("two"));
        assert_eq!(faces.of(Some(one)), (Some(one), named("one")));
        assert_eq!(faces.of(None), (Some(two), named("two")));
        faces.remove(two);
        assert_eq!(faces.of(Some(two)), (Some(one), named("one")));
    }

    #[test]
    fn a_life_that_goes_on_stays_its_clients() {
        let (client, ownership) = (ClientId::next(), Ownership::of(None));
        let life = ownership.now();
        assert_eq!(life.get(), None);
        life.becomes(client);
        assert_eq!(ownership.now().get(), Some(client));
        ownership.is_left();
        assert_eq!((life.get(), ownership.now().get()), (Some(client), None));
    }
}
