//! Signals, end of input and a closed output become one token with a reason.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Why the bridge stops; its word stands in the session's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The client closed our stdin.
    EndOfInput,
    /// Reading stdin failed.
    InputFault,
    /// The client closed our stdout, or writing to it failed.
    OutputClosed,
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    HangUp,
    /// The front that the client was attached through is gone, and did not say why.
    FrontGone,
    /// Nobody was attached to the hub for a while.
    Idle,
}

impl StopReason {
    const ALL: [Self; 8] = [
        Self::EndOfInput,
        Self::InputFault,
        Self::OutputClosed,
        Self::Interrupt,
        Self::Terminate,
        Self::HangUp,
        Self::FrontGone,
        Self::Idle,
    ];

    /// The reason that a word stands for; one that is not known is a front that is gone.
    #[must_use]
    pub fn of_word(word: &[u8]) -> Self {
        Self::ALL.into_iter().find(|reason| reason.word().as_bytes() == word).unwrap_or(Self::FrontGone)
    }

    /// The word for the reason in rows and log lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::EndOfInput => "end_of_input",
            Self::InputFault => "input_fault",
            Self::OutputClosed => "output_closed",
            Self::Interrupt => "sigint",
            Self::Terminate => "sigterm",
            Self::HangUp => "sighup",
            Self::FrontGone => "front_gone",
            Self::Idle => "idle",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The token: raised once, seen by all. The first reason stays.
#[derive(Debug, Clone)]
pub struct Closing(Arc<watch::Sender<Option<StopReason>>>);

impl Default for Closing {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Closing {
    /// Asks everybody to stop; a later reason changes nothing.
    pub fn raise(&self, reason: StopReason) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }

    /// Waits until somebody asks to stop.
    pub async fn raised(&self) -> StopReason {
        let mut receiver = self.0.subscribe();
        loop {
            if let Some(reason) = *receiver.borrow_and_update() {
                return reason;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The reason, once somebody asked to stop.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        *self.0.borrow()
    }
}

/// Hears SIGINT, SIGTERM and SIGHUP on a thread of its own. The first raises the token; `at_once`
/// runs at the second, and the process ends with the signal's usual exit code. That a file may not grow any
/// more (SIGXFSZ) is no reason to end: whoever wrote to it hears of it.
///
/// # Errors
/// When the handlers cannot be installed.
#[cfg(unix)]
pub fn hear_signals(closing: Closing, at_once: impl Fn() + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP, SIGXFSZ])?;
    std::thread::Builder::new().name("bridge-signals".into()).spawn(move || {
        let mut heard = false;
        // What is handled is default again in a server; what is ignored would be ignored there too.
        for signal in signals.forever().filter(|signal| *signal != SIGXFSZ) {
            if heard {
                at_once();
                end_now(128 + signal);
            }
            heard = true;
            closing.raise(match signal {
                SIGTERM => StopReason::Terminate,
                SIGHUP => StopReason::HangUp,
                _ => StopReason::Interrupt,
            });
        }
    })?;
    Ok(())
}

#[cfg(unix)]
#[expect(clippy::exit, reason = "a second signal asks for the end without any further care")]
fn end_now(code: i32) -> ! {
    std::process::exit(code)
}

/// Hears Ctrl-C and the console's close. Untested: no machine of ours runs Windows.
///
/// # Errors
/// When no runtime can be started.
#[cfg(windows)]
pub fn hear_signals(closing: Closing, _at_once: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("bridge-signals".into()).spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            closing.raise(StopReason::Interrupt);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays() {
        let closing = Closing::default();
        closing.raise(StopReason::Terminate);
        closing.raise(StopReason::EndOfInput);
        assert_eq!(closing.raised().await, StopReason::Terminate);
        assert_eq!(closing.reason(), Some(StopReason::Terminate));
    }
}
