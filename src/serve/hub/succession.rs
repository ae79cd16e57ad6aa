//! How a hub takes the place of another one that serves.
//!
//! What can fail is done first. Then the other one is asked to finish what is under way; when it has, the door is
//! taken over, so that every front comes here from then on, and only then it is told to go. Whatever fails before
//! that leaves the other one serving.

use std::fs::File;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::control::{NoAnswer, Request, Talk};
use crate::local::{Door, Listener};
use crate::paths::Paths;
use crate::serve::hub::election::{LOCK_LOOK, lock_file, took};
use crate::store::read::Reader;
use crate::version;

/// Whoever says that it makes way does so within this after what it was given for its requests.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A hub that was told to go has stopped its servers and closed its record within this.
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// Whose place is taken, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// Nobody's: where a hub serves, there is nothing to do.
    None,
    /// Whoever serves, after it had so long for what is under way.
    Any(Duration),
    /// The same, if its version is older.
    Older(Duration),
}

/// The place of a hub: whoever has both is the hub.
pub struct Taken {
    /// Where fronts come.
    pub listener: Listener,
    /// Says to others that there is a hub.
    pub lock: File,
}

/// Takes the place of the hub that serves; `None` when there is none.
///
/// # Errors
/// When that one goes on, or does not go in time.
pub async fn take(door: &Door, paths: &Paths, succession: Succession) -> anyhow::Result<Option<Taken>> {
    let (wait, version) = match succession {
        Succession::None => return Ok(None),
        Succession::Any(wait) => (wait, None),
        Succession::Older(wait) => (wait, Some(version::own().to_owned())),
    };
    Reader::open(&paths.data_dir).context("the record cannot be used")?;
    let file = lock_file(door)?;
    let Ok(stream) = door.enter().await else { return Ok(None) };
    let mut talk = Talk::with(stream);
    let question = Request::Succeed { wait, version };
    tokio::time::timeout(wait + ANSWER_WITHIN, talk.ask(&question))
        .await
        .unwrap_or(Err(NoAnswer::Late(wait + ANSWER_WITHIN)))
        .context("the hub that serves does not make way")?;
    let listener = door.take_over().context("cannot listen")?;
    talk.say(&Request::Go).await.context("the hub that serves went away")?;
    let deadline = Instant::now() + GONE_WITHIN;
    while file.try_lock().is_err() {
        anyhow::ensure!(
            Instant::now() < deadline,
            "the hub that made way is not gone after {} s",
            GONE_WITHIN.as_secs()
        );
        tokio::time::sleep(LOCK_LOOK).await;
    }
    took(&file);
    Ok(Some(Taken { listener, lock: file }))
}
