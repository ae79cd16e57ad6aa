//! The signals that end a front.
//!
//! One thread hears them, and beside it only the main one may be interrupted by them: all others are started
//! with them blocked. So the main thread, once that one has ended, knows that each signal was heard or waits
//! in the system for whoever unblocks it, in this program or in the one that goes on in its place.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals as Heard};

const ENDING: [c_int; 3] = [SIGINT, SIGTERM, SIGHUP];

/// The thread that hears them.
pub struct Signals {
    thread: Option<JoinHandle<(Heard, Hear)>>,
    handle: Handle,
}

/// What is done with each of them.
pub type Hear = Box<dyn FnMut(c_int) + Send>;

impl Signals {
    /// Hears signals from here on, also those that have waited for it.
    ///
    /// # Errors
    /// When the system has no room for handlers or for a thread.
    pub fn hear(mut hear: Hear) -> io::Result<Self> {
        let mut signals = Heard::new(ENDING)?;
        let handle = signals.handle();
        change(libc::SIG_UNBLOCK, &ending());
        let thread = thread::Builder::new().name("bridge-signals".into()).spawn(move || {
            signals.forever().for_each(&mut hear);
            (signals, hear)
        })?;
        Ok(Self { thread: Some(thread), handle })
    }

    /// Hears no more of them: they wait for the next who does.
    pub fn stop(&mut self) {
        change(libc::SIG_BLOCK, &ending());
        self.handle.close();
        if let Some(Ok((mut signals, hear))) = self.thread.take().map(JoinHandle::join) {
            signals.pending().for_each(hear);
        }
    }
}

/// Starts threads that no signal interrupts.
pub fn quiet<T>(start: impl FnOnce() -> T) -> T {
    let before = change(libc::SIG_BLOCK, &ending());
    let started = start();
    change(libc::SIG_SETMASK, &before);
    started
}

#[expect(unsafe_code, reason = "neither std nor a crate of ours knows sets of signals")]
fn ending() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call makes the set whole, and the others add signals that exist.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in ENDING {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// Changes which signals may interrupt this thread, and says which might not before.
#[expect(unsafe_code, reason = "neither std nor a crate of ours sets what a thread is interrupted by")]
fn change(how: c_int, set: &libc::sigset_t) -> libc::sigset_t {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets live as long as the call, which is about this thread alone; it fails only for a `how`
    // that is unknown, and the set before is empty until then.
    unsafe {
        libc::sigemptyset(before.as_mut_ptr());
        libc::pthread_sigmask(how, ptr::from_ref(set), before.as_mut_ptr());
        before.assume_init()
    }
}
