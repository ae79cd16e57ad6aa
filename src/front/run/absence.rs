//! What a front does while it has no hub.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::frames::{Hello, Why};
use crate::front::hubs::{Hub, Hubs, NoHub};
use crate::front::output::ToClient;
use crate::front::run::{Life, STARTED};
use crate::pages;

/// Without a hub for so long, the front answers itself.
const NO_HUB_AFTER: Duration = Duration::from_secs(3);

/// The first hub is waited for so long; then the session is served without one.
const FIRST_HUB_WITHIN: Duration = Duration::from_secs(5);

/// The end of one that hangs is waited for so much longer.
const HANGS_FOR: Duration = Duration::from_secs(8);

/// How often it is looked whether a hub that was stopped is back, while nothing needs it.
const DOZE: Duration = Duration::from_millis(250);

/// The first hub; `None` when none is to be started before its user says so.
///
/// # Errors
/// When none can be started.
pub(super) fn first_hub(hubs: &mut Hubs, hello: &Hello) -> Result<Option<Hub>, NoHub> {
    let deadline = Instant::now() + FIRST_HUB_WITHIN;
    loop {
        match hubs.look(hello) {
            Ok(hub) => return Ok(Some(hub)),
            Err(NoHub::Held) => return Ok(None),
            // One that hangs is ended, and there is another then.
            Err(error)
                if Instant::now()
                    >= deadline + if hubs.is_held_up() { HANGS_FOR } else { Duration::ZERO } =>
            {
                return Err(error);
            }
            Err(_) => hubs.rest(),
        }
    }
}

/// A wait for a hub.
struct Wait {
    since: Instant,
    is_long: bool,
}

impl Wait {
    fn begin() -> Self {
        Self { since: Instant::now(), is_long: false }
    }

    /// Goes on: once it is a long one, what only the start needed is let go of.
    fn goes_on(&mut self) {
        if !self.is_long && self.since.elapsed() >= STARTED {
            self.is_long = true;
            pages::forget_start();
        }
    }
}

impl Life {
    /// The hub after one that died, or that ended for a reason; `None` when the client has gone.
    ///
    /// # Errors
    /// When the client does not read any more.
    pub(super) fn next_hub(&mut self, left: Option<Why>, out: &mut ToClient) -> io::Result<Option<Hub>> {
        self.hello.last_ask = self.front.last_ask();
        if left == Some(Why::Stop)
            && let Some(hub) = self.doze(out)?
        {
            return Ok(Some(hub));
        }
        let mut wait = Wait::begin();
        while self.ending.get().is_none() {
            wait.goes_on();
            match self.hubs.look(&self.hello) {
                Ok(hub) => {
                    let elapsed_ms = wait.since.elapsed().as_millis();
                    tracing::info!(hub = hub.welcome.pid, elapsed_ms, "hub found");
                    return Ok(Some(hub));
                }
                Err(NoHub::Held) => {
                    self.front.held(out)?;
                    out.flush()?;
                    self.front.rest(DOZE);
                    continue;
                }
                Err(error) => tracing::debug!(%error, "no hub yet"),
            }
            if wait.since.elapsed() > NO_HUB_AFTER {
                self.front.no_hub(out)?;
                out.flush()?;
            }
            self.hubs.rest();
        }
        Ok(None)
    }

    /// Starts nothing until the client needs something; a hub that somebody else started is as welcome.
    fn doze(&mut self, out: &mut ToClient) -> io::Result<Option<Hub>> {
        tracing::info!("hub was stopped, the next request starts it");
        let mut wait = Wait::begin();
        while self.ending.get().is_none() {
            wait.goes_on();
            self.front.answer_pings(out)?;
            out.flush()?;
            if self.front.is_hub_wanted(DOZE) {
                break;
            }
            if let Ok(hub) = self.hubs.find(&self.hello) {
                return Ok(Some(hub));
            }
        }
        Ok(None)
    }
}
