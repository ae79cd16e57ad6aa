//! Clients of both eras in front of one server that they share: where it speaks by the rules of both, each era has
//! a connection that was greeted by its own. A request that has to be bent loses what the other era does not know.

use std::sync::atomic::Ordering;

use crate::downstream::pool::Pool;
use crate::downstream::pool::key::{Farewell, Key};
use crate::era::Era;

impl Pool {
    /// The connection for a request of this era that belongs to nobody in particular: the base one, unless that
    /// was greeted by the rules of the other era, and the server may know those of this one too.
    pub(super) fn shared(&self, era: Option<Era>) -> Key {
        let base = self.base.link.at_once();
        let is_otherwise = |era: &Era| base.is_some_and(|base| base.is_greeted_otherwise(*era));
        let Some(era) = era.filter(is_otherwise) else { return Key::Base };
        let key = Key::Era(era);
        let Some(member) = self.known(&key) else {
            return if self.has_one_era.load(Ordering::Relaxed) { Key::Base } else { key };
        };
        let answered = member.link.at_once().and_then(|connection| Some(connection.greeting()?.era));
        if answered.is_none_or(|answered| answered == era) {
            return key;
        }
        // It was asked, and speaks by the same rules again.
        self.has_one_era.store(true, Ordering::Relaxed);
        self.dismiss_free(&member, Farewell::Unused);
        Key::Base
    }
}
