//! No server outlives the bridge, in whatever way that ends: a small process stands by, `bridge __guard`.
//!
//! It is told the id of every group that is started and of every one that is gone. When the bridge ends, the
//! kernel closes the pipe between the two, also after `kill -9`, and the guard ends what is still there.
//! It is started together with the first server, by `serve` alone. One that died is replaced at the next start
//! of a server; until then nobody stands by.

mod post;
#[cfg(unix)]
pub mod watch;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::process::Command;

use crate::downstream::guardian::post::{Leaving, Mark, Post};

/// The groups that live now, and who stands by.
static WARD: Mutex<Ward> =
    Mutex::new(Ward { groups: BTreeSet::new(), armed: false, post: None, warned: false });

struct Ward {
    groups: BTreeSet<u32>,
    /// Whether a guard is wanted at all.
    armed: bool,
    post: Option<Post>,
    /// Whether it was said that there is none.
    warned: bool,
}

/// From here on, no server is started without a guard.
pub fn arm() {
    ward().armed = true;
}

/// Sees to it that a guard stands by and hears of what this command starts before it runs.
pub fn introduce(command: &mut Command) {
    let mut ward = ward();
    if ward.armed {
        ward.man();
    }
    if let Some(post) = &ward.post {
        post.introduce(command);
    }
}

/// A group was started.
pub fn started(group: u32) {
    let mut ward = ward();
    ward.groups.insert(group);
    // Said a second time: the guard may be another one than the command was introduced to.
    ward.tell(Mark::Started, group);
}

/// A command was introduced that could not be started.
pub fn not_started() {
    ward().tell(Mark::Look, 0);
}

/// A group is gone.
pub fn gone(group: u32) {
    let mut ward = ward();
    ward.groups.remove(&group);
    ward.tell(Mark::Gone, group);
}

/// The groups that live now.
#[must_use]
pub fn groups() -> BTreeSet<u32> {
    ward().groups.clone()
}

/// Lets the guard go, which ends at once unless there are groups that live.
#[must_use]
pub fn dismiss() -> Leaving {
    Leaving::of(ward().post.take())
}

fn ward() -> MutexGuard<'static, Ward> {
    WARD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ward {
    fn tell(&self, mark: Mark, group: u32) {
        if let Some(post) = &self.post {
            post.tell(mark, group);
        }
    }

    /// Starts a guard if there is none that lives.
    fn man(&mut self) {
        if let Some((pid, status)) = self.post.as_mut().and_then(Post::ended) {
            tracing::warn!(pid, %status, "guard against orphans ended, starting another");
            self.post = None;
        }
        if self.post.is_some() {
            return;
        }
        match Post::start() {
            Ok(post) => {
                tracing::debug!(pid = post.pid(), "guard against orphans started");
                self.groups.iter().for_each(|group| post.tell(Mark::Started, *group));
                self.post = Some(post);
                self.warned = false;
            }
            // Servers are worth more than their guard; the next start tries again.
            Err(error) if !self.warned => {
                tracing::warn!(%error, "no guard against orphans: servers may outlive a bridge that is killed");
                self.warned = true;
            }
            Err(_) => {}
        }
    }
}
