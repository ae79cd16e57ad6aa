//! What a request of the client carries until it is answered: the room that it takes, and what its front
//! calls it.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::guard::CalledOff;
use crate::session::outlet::Outlet;
use crate::store::ids::CallId;

/// The room and the number of one request. A numbered one that is dropped tells the front that there is no
/// answer.
#[derive(Debug, Default)]
pub struct Ticket {
    room: Option<OwnedSemaphorePermit>,
    numbered: Option<Numbered>,
}

/// What a front says of a request.
#[derive(Debug)]
struct Numbered {
    seq: u64,
    comes: Comes,
    outlet: Arc<Outlet>,
}

/// How a request comes to a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comes {
    /// For the first time.
    New,
    /// It died with an earlier hub.
    Again,
    /// It died with an earlier hub, and a server may have done it.
    Lost,
    /// An earlier hub answered it; nobody waits for another answer.
    Answered,
    /// It died with an earlier hub, and this is what is to be told of it.
    Ended(CalledOff),
}

impl Ticket {
    /// The ticket of a request that takes this room.
    #[must_use]
    pub fn new(room: Option<OwnedSemaphorePermit>) -> Self {
        Self { room, numbered: None }
    }

    /// The same, with its front's number; the front hears at `outlet`.
    #[must_use]
    pub fn numbered(mut self, seq: u64, comes: Comes, outlet: &Arc<Outlet>) -> Self {
        self.numbered = Some(Numbered { seq, comes, outlet: Arc::clone(outlet) });
        self
    }

    /// Its id in the record, where its front gave it one.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        CallId::given(self.numbered.as_ref()?.seq)
    }

    /// How it comes.
    #[must_use]
    pub fn comes(&self) -> Comes {
        self.numbered.as_ref().map_or(Comes::New, |numbered| numbered.comes)
    }

    /// Whether an earlier hub had it.
    #[must_use]
    pub fn is_again(&self) -> bool {
        self.comes() != Comes::New
    }

    /// The number without the room: for a request that stays open.
    #[must_use]
    pub fn without_room(mut self) -> Self {
        self.room = None;
        self
    }

    /// So much of the room, for one of the messages of a batch.
    pub fn share(&mut self, parts: usize) -> Self {
        let share = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) / parts.max(1);
        Self::new(self.room.as_mut().and_then(|room| room.split(share)))
    }

    /// It is answered: the front's number and the room; `None` when nobody wants to hear the answer.
    pub(super) fn answered(mut self) -> Option<(u64, Option<OwnedSemaphorePermit>)> {
        let room = self.room.take();
        match self.numbered.take() {
            Some(Numbered { comes: Comes::Answered, .. }) => None,
            Some(Numbered { seq, .. }) => Some((seq, room)),
            None => Some((0, room)),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(Numbered { seq, comes, outlet }) = self.numbered.take()
            && comes != Comes::Answered
        {
            outlet.unanswered(seq);
        }
    }
}
