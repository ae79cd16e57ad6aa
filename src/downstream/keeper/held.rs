//! The keeper of a server that a person stopped: it starts nothing.

use std::sync::Arc;
use std::time::SystemTime;

use crate::downstream::LinkState;
use crate::downstream::pool::Post;
use crate::downstream::pool::key::Farewell;

/// Tells whoever asks that the server was stopped at a time, until it is kept no more.
pub async fn hold(post: Post, since: SystemTime) {
    let Post { status, mut stop, .. } = post;
    status.send_modify(|status| {
        status.state = LinkState::Held(Arc::new(Farewell::Held.ending()));
        status.since = since;
        status.because = Farewell::Held.reason().into();
    });
    // A sender that is gone means the same.
    let _ = stop.wait_for(Option::is_some).await;
}
