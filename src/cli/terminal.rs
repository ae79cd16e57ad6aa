//! The whole terminal, for verbs that draw on it: taken at the beginning, given back in whatever way they end.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// How long one drawing stands before it is looked whether there is something new.
pub const FRAME: Duration = Duration::from_millis(100);

/// A terminal that is drawn on as a whole. Its drop, a panic and a signal give it back as it was.
pub struct Whole {
    /// What is drawn on.
    pub screen: DefaultTerminal,
    over: Arc<AtomicBool>,
    /// Whether keys come from stdin, and not from wherever else the system finds a terminal.
    is_stdin: bool,
}

impl Whole {
    /// Takes the terminal of stdout.
    ///
    /// # Errors
    /// When there is none, or it does not do what it is told.
    pub fn take() -> anyhow::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        #[cfg(unix)]
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP, signal_hook::consts::SIGINT]
        {
            signal_hook::flag::register(signal, Arc::clone(&over))?;
        }
        let taken = ratatui::try_init().inspect_err(|_| drop(ratatui::try_restore()));
        let is_stdin = io::stdin().is_terminal();
        Ok(Self { screen: taken.context("the terminal cannot be drawn on")?, over, is_stdin })
    }

    /// The next key or other event, if one comes until then.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn event(&self, until: Instant) -> io::Result<Option<Event>> {
        // One that is gone would be read for ever: it is never asked without a look whether it is there.
        self.wait(Instant::now())?;
        match found(Duration::ZERO)? {
            Some(event) => Ok(Some(event)),
            None => {
                self.wait(until)?;
                found(if self.is_stdin {
                    Duration::ZERO
                } else {
                    until.saturating_duration_since(Instant::now())
                })
            }
        }
    }

    /// Waits until there are keys, a signal came, or it is that late.
    #[cfg(unix)]
    fn wait(&self, until: Instant) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        if !self.is_stdin {
            return Ok(());
        }
        let stdin = io::stdin();
        let mut keys = [PollFd::new(&stdin, PollFlags::IN)];
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now()));
        match poll(&mut keys, left.ok().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        match keys.iter().any(|keys| keys.revents().intersects(PollFlags::HUP | PollFlags::ERR)) {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(()),
        }
    }

    /// A console is waited for as it is asked; untested.
    #[cfg(not(unix))]
    fn wait(&self, until: Instant) -> io::Result<()> {
        event::poll(until.saturating_duration_since(Instant::now())).map(drop)
    }

    /// Whether a signal asked for the end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// The next event, if one comes within this.
fn found(within: Duration) -> io::Result<Option<Event>> {
    match event::poll(within) {
        Ok(true) => event::read().map(Some),
        Ok(false) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = self.screen.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// Whether a key ends everything: Ctrl-C is a key where a terminal is drawn on.
#[must_use]
pub fn ends(key: KeyEvent) -> bool {
    key.kind != KeyEventKind::Release
        && key.code == KeyCode::Char('c')
        && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// The lines of a text that so many rows have room for; the last row is a word about the screen itself.
#[must_use]
pub fn fitting(text: &str, rows: u16, word: &str) -> String {
    let room = usize::from(rows).saturating_sub(1);
    let lines: Vec<&str> = text.lines().collect();
    let mut shown: Vec<&str> = lines.iter().copied().take(room).collect();
    shown.resize(room, "");
    let more = lines.len().saturating_sub(room);
    let last = if more > 0 { format!("{more} more lines; {word}") } else { word.to_owned() };
    shown.push(&last);
    shown.join("\n")
}

/// What a thread of its own finds again and again; the thread ends when this is dropped.
pub struct Feed<T>(Receiver<T>);

impl<T: Send + 'static> Feed<T> {
    /// Looks at once, and then this long after the end of each look.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn every(pause: Duration, mut look: impl FnMut() -> T + Send + 'static) -> io::Result<Self> {
        let (found, seen) = sync_channel(1);
        let work = move || {
            while found.send(look()).is_ok() {
                std::thread::sleep(pause);
            }
        };
        // It may wait for a bridge that hangs, which the end of a verb does not.
        std::thread::Builder::new().name("look".to_owned()).spawn(work)?;
        Ok(Self(seen))
    }

    /// What was found last, if that was not seen yet.
    pub fn newest(&mut self) -> Option<T> {
        let mut newest = None;
        loop {
            match self.0.try_recv() {
                Ok(found) => newest = Some(found),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return newest,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted() {
        assert_eq!(fitting("a\nb\nc", 5, "q ends"), "a\nb\nc\n\nq ends");
        assert_eq!(fitting("a\nb\nc", 3, "q ends"), "a\nb\n1 more lines; q ends");
        assert_eq!(fitting("a\nb", 0, "q ends"), "2 more lines; q ends");
    }
}
