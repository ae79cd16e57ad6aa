//! The work for a request, in a task of its own: whatever becomes of it, it is answered.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::guard::{self, CalledOff, Guarded};
use crate::session::Client;
use crate::session::pending::Extras;
use crate::session::reply::{Rpc, code};

impl Client {
    /// Does the work for a request that has no row, which answers it; a request that was taken back needs
    /// no answer.
    pub(super) fn aside(self: &Arc<Self>, id: &str, work: impl Future<Output = ()> + Send + 'static) {
        let (client, place) = (Arc::clone(self), self.pending.enter(id, Extras::default()));
        self.spawn(id, async move {
            let done = guard::run(|| work, place.asking().called_off()).await;
            let Err(Some(rpc)) = broken_off(done) else { return };
            client.outlet.answer(rpc.frame(place.id()), None);
        });
    }

    /// Spawns the work for a request. A panic that no guard caught is still an answer.
    pub(super) fn spawn(self: &Arc<Self>, id: &str, work: impl Future<Output = ()> + Send + 'static) {
        let (client, id) = (Arc::clone(self), id.to_owned());
        // It ends with its own deadline, or is called off through the table of pending requests.
        tokio::spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!(request = id, "request panicked outside its guard");
                let rpc = Rpc::new(code::INTERNAL, "panic", "the bridge failed on this request");
                client.outlet.answer(rpc.frame(&id), None);
            }
        });
    }
}

/// What work came to; else what its request is told instead, which is nothing when it was taken back.
pub fn broken_off<T>(guarded: Guarded<T>) -> Result<T, Option<Rpc>> {
    match guarded {
        Guarded::Done(done) => Ok(done),
        Guarded::CalledOff(CalledOff::ByClient) => Err(None),
        Guarded::CalledOff(CalledOff::ByCrash | CalledOff::ByCrashes | CalledOff::ByStop) => {
            Err(Some(Rpc::new(code::INTERNAL, "unavailable", "the bridge is stopping")))
        }
        Guarded::Panicked(text) => {
            tracing::error!(text, "request panicked");
            Err(Some(Rpc::new(code::INTERNAL, "panic", "the bridge failed on this request")))
        }
    }
}
