//! The end of the demo's hub, which would wait for other clients.

use std::path::Path;

/// Ends the hub of a data folder, if one runs, and waits until it is gone.
///
/// # Errors
/// When it does not end.
#[cfg(unix)]
pub fn end(folder: &Path) -> anyhow::Result<()> {
    use std::time::{Duration, Instant};

    use anyhow::ensure;

    use crate::downstream::process;
    use crate::local::{HUB, Hall};

    const END_WITHIN: Duration = Duration::from_secs(10);
    const LOOK: Duration = Duration::from_millis(5);

    let door = Hall::of(folder).door(HUB);
    // Once: a second signal would end it at once.
    door.keeper().into_iter().for_each(process::terminate);
    let deadline = Instant::now() + END_WITHIN;
    while door.keeper().is_some() {
        ensure!(Instant::now() < deadline, "the hub does not end");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Nothing to do: there is no hub.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn end(_folder: &Path) -> anyhow::Result<()> {
    Ok(())
}
