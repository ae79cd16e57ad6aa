//! The layer around every handler and every call: panic, cancel and the bridge's end become a value.
//!
//! Nothing escapes it, so that each request gets its one answer and its one row.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

/// Why work is called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalledOff {
    /// The client took its request back.
    ByClient,
    /// The bridge stops.
    ByStop,
    /// The process that did it died, and nobody knows how far it came.
    ByCrash,
    /// Two processes died that had it, before it reached a server.
    ByCrashes,
}

/// How guarded work ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Guarded<T> {
    /// It came to its own end.
    Done(T),
    /// It panicked; the text is for the log alone.
    Panicked(String),
    /// It was called off and dropped where it stood.
    CalledOff(CalledOff),
}

/// Does the work that `make` makes, until it ends or `called_off` does; a panic while it is made is caught
/// too.
pub async fn run<T, F>(make: impl FnOnce() -> F, called_off: impl Future<Output = CalledOff>) -> Guarded<T>
where
    F: Future<Output = T>,
{
    // Whatever the work shares with others has one owner or is behind a lock that survives a panic.
    let work = AssertUnwindSafe(async move { make().await }).catch_unwind();
    tokio::select! {
        biased;
        done = work => match done {
            Ok(value) => Guarded::Done(value),
            Err(panic) => Guarded::Panicked(text_of(panic.as_ref())),
        },
        why = called_off => Guarded::CalledOff(why),
    }
}

/// Keeps a task of the bridge's own going: one that panics is logged and started again, so that it is
/// never a silent hang.
pub async fn keep<F: Future<Output = ()>>(task: &'static str, mut make: impl FnMut() -> F) {
    while let Err(panic) = AssertUnwindSafe(make()).catch_unwind().await {
        tracing::error!(task, text = text_of(panic.as_ref()), "task ended unexpectedly, starting it again");
    }
}

/// Does a task of the bridge's own that cannot be started again: a panic is logged at once, and ends it.
pub async fn log_panic(task: &'static str, of: &str, work: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
        tracing::error!(task, of, text = text_of(panic.as_ref()), "task ended unexpectedly");
    }
}

/// Does work that cannot wait; a panic becomes its text.
///
/// # Errors
/// The panic's text.
pub fn run_now<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text_of(panic.as_ref()))
}

/// A panic's text, when it has one.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::future::{pending, ready};

    #[tokio::test]
    async fn a_panic_becomes_a_value_wherever_it_happens() {
        let made: Guarded<()> = run(|| -> std::future::Ready<()> { panic!("while made") }, pending()).await;
        assert_eq!(made, Guarded::Panicked("while made".into()));
        let late: Guarded<()> = run(
            || async {
                tokio::task::yield_now().await;
                panic!("after {}", "an await")
            },
            pending(),
        )
        .await;
        assert_eq!(late, Guarded::Panicked("after an await".into()));
    }

    #[tokio::test]
    async fn called_off_work_ends_where_it_stands() {
        let ended = run(pending::<()>, ready(CalledOff::ByClient)).await;
        assert_eq!(ended, Guarded::CalledOff(CalledOff::ByClient));
        assert_eq!(run(|| ready(7), ready(CalledOff::ByClient)).await, Guarded::Done(7));
    }

    #[tokio::test]
    async fn a_task_that_panics_is_started_again() {
        let mut lives = 0;
        keep("test", || {
            lives += 1;
            let life = lives;
            async move { assert!(life == 3, "life {life}") }
        })
        .await;
        assert_eq!(lives, 3);
    }
}
