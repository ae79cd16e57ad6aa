//! How the server of a connection was greeted, and what it said of itself.

use crate::downstream::connection::Connection;
use crate::downstream::greeting::{Face, Greeting};
use crate::era::Era;

/// A server that was greeted.
pub(super) struct Greeted {
    greeting: Greeting,
    /// The era of the client that it was shown.
    asked: Era,
    /// What the bridge's own requests carry in their `_meta`; only a modern server needs it.
    own_meta: Option<Box<str>>,
}

impl Connection {
    /// The server was greeted as this client.
    pub fn greeted(&self, greeting: Greeting, face: &Face) {
        let own_meta = match greeting.era {
            Era::Legacy => None,
            Era::Modern => Some(face.modern_members().into()),
        };
        // It is greeted once.
        let _ = self.greeting.set(Greeted { greeting, asked: face.era, own_meta });
    }

    /// Whether the server was greeted by the rules of the other era, and may know those of this one too.
    #[must_use]
    pub fn is_greeted_otherwise(&self, era: Era) -> bool {
        let Some(Greeted { greeting, asked, .. }) = self.greeting.get() else { return false };
        // Who was asked for this one and answered by the other knows no better.
        greeting.era != era && *asked != era && !greeting.legacy_only
    }

    /// What the server said of itself; `None` before it was greeted.
    #[must_use]
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.get().map(|greeted| &greeted.greeting)
    }

    /// By which rules the server is spoken to.
    #[must_use]
    pub fn era(&self) -> Era {
        self.greeting().map_or(Era::Legacy, |greeting| greeting.era)
    }

    /// The members of `_meta` that a modern server wants to see; empty for an older one.
    #[must_use]
    pub fn own_meta(&self) -> &str {
        self.greeting.get().and_then(|greeted| greeted.own_meta.as_deref()).unwrap_or_default()
    }
}
