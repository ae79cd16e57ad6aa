//! A front that finds a hub of a newer program goes on as that program: the same process, with the same ends,
//! the same lock and the same session. Its client sees nothing of it.
//!
//! What the session is goes through a private file (`state`), and the open ends keep their numbers. There is no
//! way back, so it is asked first whether the newer program knows such a state: its hub says so.

pub mod exec;
pub mod state;

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};

use crate::frames::Welcome;
use crate::front::hubs::Hub;
use crate::front::input::Input;
use crate::front::output::ToClient;
use crate::front::resume::state::Numbers;
use crate::front::run::Life;
use crate::front::threads::Threads;
use crate::lines::Rest;
use crate::version;

/// Goes on as the program of a hub that was found and knows nothing of the session yet, if that is newer. Comes
/// back where it is not, and where that cannot be: everything is as before then.
///
/// # Errors
/// When the client does not read any more, or the system has no room for threads.
pub fn as_newer(life: &mut Life, hub: &Hub, out: &mut ToClient) -> io::Result<()> {
    if !is_wanted(&hub.welcome) {
        return Ok(());
    }
    out.flush()?;
    let Some(input) = life.threads.reading.stop(&life.front)? else {
        if life.ending.get().is_none() {
            tracing::warn!(newer = hub.welcome.bridge, "client cannot be handed over, this bridge goes on");
        }
        return Ok(());
    };
    life.threads.signals.stop();
    let (stdin, rest) = input.into_parts();
    if life.ending.get().is_none() {
        let Err(error) = replace(life, hub, out, (&stdin, &rest));
        tracing::warn!(%error, newer = hub.welcome.bridge, "newer bridge cannot be run, this one goes on");
    }
    let input = Input::new(stdin, hub.welcome.line_bytes_max, rest);
    life.threads = Threads::begin(&life.front, &life.ending, input)?;
    Ok(())
}

fn is_wanted(welcome: &Welcome) -> bool {
    version::is_newer(&welcome.bridge, version::own()) && welcome.resumes.contains(&state::VERSION)
}

/// Nothing of this program goes on, or an error says why it does.
fn replace(life: &Life, hub: &Hub, out: &ToClient, input: (&File, &Rest)) -> io::Result<Infallible> {
    let ((stdin, rest), stdout, lock) = (input, out.get_ref().as_fd(), life.ending.lock.as_fd());
    let ends = Numbers {
        stdin: stdin.as_raw_fd(),
        stdout: stdout.as_raw_fd(),
        lock: lock.as_raw_fd(),
        hub: hub.stream.as_raw_fd(),
        dispatched: hub.dispatched.as_raw_fd(),
    };
    let program = exec::program(&hub.welcome)?;
    let mut file = exec::private_file()?;
    state::write(&mut file, &life.front, life.session(), ends, &hub.welcome, rest)?;
    let kept = [stdin.as_fd(), stdout, lock, hub.stream.as_fd(), hub.dispatched.as_fd(), file.as_fd()];
    Err(exec::replace(&program, file.as_raw_fd(), &kept))
}

#[cfg(test)]
mod tests;
