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

/// After the client has gone, the front is gone within this whatever the hub does.
const END_WITHIN: Duration = Duration::from_millis(450);

/// Why a front ends, once it does.
pub type Ending = Arc<OnceLock<StopReason>>;

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
                if ending.set(reason).is_ok() {
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
        if ending.set(reason).is_err() {
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
fn leave(front: &Front, reason: StopReason) {
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
