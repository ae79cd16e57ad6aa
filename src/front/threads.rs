//! Who listens while the main thread talks to the hub: one thread to the client, one to signals.

use std::ffi::c_int;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGTERM};

use crate::front::Front;
use crate::front::input::{Input, Reading};
use crate::front::signals::{Hear, Signals};
use crate::shutdown::StopReason;
use crate::store::lock::SessionLock;

/// After the client has gone, the front is gone within this whatever the hub does.
const END_WITHIN: Duration = Duration::from_millis(450);

/// How a front ends, as all of its threads know it.
pub type Ending = Arc<End>;

/// Why a front ends, once it does, and what shows until then that its session lives.
#[derive(Debug)]
pub struct End {
    reason: OnceLock<StopReason>,
    /// The session's lock.
    pub lock: SessionLock,
}

impl End {
    /// The end of the session that this lock is of, which has not come.
    #[must_use]
    pub fn of(lock: SessionLock) -> Ending {
        Arc::new(Self { reason: OnceLock::new(), lock })
    }

    /// Why the front ends, if it does.
    #[must_use]
    pub fn get(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }

    /// The front ends for this reason; false when it had one. The lock's file has it from now on: whoever ends the
    /// process, and whenever, a hub that hangs or dies has not made a crash of it.
    #[must_use]
    pub fn set(&self, reason: StopReason) -> bool {
        let is_first = self.reason.set(reason).is_ok();
        if is_first {
            self.lock.leave(reason.word());
        }
        is_first
    }
}

/// The threads beside the main one.
pub struct Threads {
    /// Listens to the client.
    pub reading: Reading,
    /// Listens to signals.
    pub signals: Signals,
}

impl Threads {
    /// Listens from here on, and ends the front when there is a reason to.
    ///
    /// # Errors
    /// When the system has no room for them.
    pub fn begin(front: &Arc<Front>, ending: &Ending, input: Input) -> io::Result<Self> {
        let signals = Signals::hear(hear(Arc::clone(front), Arc::clone(ending)))?;
        let (front, ending) = (Arc::clone(front), Arc::clone(ending));
        let ended = {
            let front = Arc::clone(&front);
            move |reason| {
                if ending.set(reason) {
                    leave(&front, reason);
                }
            }
        };
        Ok(Self { reading: Reading::begin(front, input, ended)?, signals })
    }
}

fn hear(front: Arc<Front>, ending: Ending) -> Hear {
    let mut heard = false;
    Box::new(move |signal: c_int| {
        if heard {
            end_now(128 + signal);
        }
        heard = true;
        let reason = match signal {
            SIGTERM => StopReason::Terminate,
            SIGHUP => StopReason::HangUp,
            _ => StopReason::Interrupt,
        };
        if !ending.set(reason) {
            return;
        }
        // A hub that does not read must not keep the second signal from being heard.
        let front = Arc::clone(&front);
        let leave = move || leave(&front, reason);
        if thread::Builder::new().name("bridge-end".into()).spawn(leave).is_err() {
            end_now(128 + signal);
        }
    })
}

/// Tells the hub that the client has gone, and sees to it that the front ends.
pub fn leave(front: &Front, reason: StopReason) {
    let late = || {
        thread::sleep(END_WITHIN);
        end_now(0);
    };
    if thread::Builder::new().name("bridge-late".into()).spawn(late).is_err() {
        end_now(0);
    }
    front.bye(reason.word());
}

#[expect(clippy::exit, reason = "whoever waits for the hub or for the client would wait for ever")]
fn end_now(code: i32) -> ! {
    std::process::exit(code)
}
