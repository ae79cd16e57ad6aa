//! What is done to the troubled servers, when, and which failures that explains.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::book::{Ended, Said};
use crate::client::Client;
use crate::processes::{self, Blow, Kind, Process};
use crate::room::Room;

/// Between two deeds, in ms.
const PAUSE_MS: std::ops::Range<u64> = 200..800;

/// How long a server stands still, in ms, when it is let go again.
const STILL_MS: std::ops::Range<u64> = 200..4_000;

/// What a server does at its start as long as it has no mark, which it makes: see the scripts of the storm.
pub const FLAPS: [&str; 5] = ["exit", "signal", "silent", "mute", "noise"];

/// The tools that flood: stdout with what is no message, stderr, and notifications.
pub const FLOODS: [&str; 3] = ["garbage", "stderr", "notes"];

/// Longer than any run.
const ALL: Duration = Duration::from_secs(1_000_000);

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Kill,
    Stop,
    Flap,
    Flood,
}

/// Something that was done to a server.
struct Deed {
    at: Instant,
    client: usize,
    server: usize,
    what: What,
}

/// The one who does it.
pub struct Trouble<'a> {
    room: &'a Room,
    clients: &'a [Arc<Client>],
    servers: usize,
    /// From this one on servers are troubled.
    first: usize,
    rng: fastrand::Rng,
    deeds: Vec<Deed>,
    /// Stopped processes that are let go at a time.
    still: Vec<(Instant, u32)>,
}

impl<'a> Trouble<'a> {
    /// Nothing was done yet.
    pub fn new(room: &'a Room, clients: &'a [Arc<Client>], servers: usize, first: usize, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { room, clients, servers, first, rng, deeds: Vec::new(), still: Vec::new() }
    }

    /// Does one thing after the other until then.
    ///
    /// # Errors
    /// When a bridge does not read any more, or a mark cannot be removed.
    pub fn storm(&mut self, until: Instant) -> Result<()> {
        while Instant::now() < until {
            self.act()?;
            let pause = Duration::from_millis(self.rng.u64(PAUSE_MS));
            thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
            self.let_go(Instant::now());
        }
        Ok(())
    }

    /// Lets everybody go whose time was to come.
    pub fn calm(&mut self) {
        self.let_go(Instant::now() + Duration::from_secs(3600));
    }

    /// How often each thing was done.
    pub fn sentence(&self) -> String {
        let count = |what| self.deeds.iter().filter(|deed| deed.what == what).count();
        format!(
            "{} kills, {} stops, {} flaps, {} floods",
            count(What::Kill),
            count(What::Stop),
            count(What::Flap),
            count(What::Flood)
        )
    }

    /// How often anything was done.
    pub fn deeds(&self) -> usize {
        self.deeds.len()
    }

    fn let_go(&mut self, now: Instant) {
        self.still.retain(|(until, pid)| {
            let is_due = *until <= now;
            if is_due {
                processes::strike(*pid, Blow::Go);
            }
            !is_due
        });
    }

    fn act(&mut self) -> Result<()> {
        let all = processes::standing_in(self.room, self.clients.len(), self.servers);
        let is_troubled = |process: &&Process| matches!(process.kind, Kind::Server(n) if n >= self.first);
        let troubled: Vec<&Process> = all.iter().filter(is_troubled).collect();
        let Some(Process { pid, client, kind: Kind::Server(server), .. }) =
            self.rng.choice(troubled).copied()
        else {
            // All of them rest or are parked.
            return Ok(());
        };
        // Its effect may be seen before this goes on.
        let at = Instant::now();
        let what = match self.rng.u8(0..8) {
            0..3 => self.kill(pid),
            3 | 4 => self.stop(pid),
            5 => self.flap(pid, server)?,
            _ => self.flood(client, server)?,
        };
        self.deeds.push(Deed { at, client, server, what });
        Ok(())
    }

    fn kill(&self, pid: u32) -> What {
        processes::strike(pid, Blow::Kill);
        What::Kill
    }

    fn stop(&mut self, pid: u32) -> What {
        processes::strike(pid, Blow::Stop);
        // One in four never goes on.
        if self.rng.u8(0..4) > 0 {
            self.still.push((Instant::now() + Duration::from_millis(self.rng.u64(STILL_MS)), pid));
        }
        What::Stop
    }

    /// Whoever of the clients starts this server next has its start fail, and the next again.
    fn flap(&mut self, pid: u32, server: usize) -> Result<What> {
        let times = self.rng.usize(1..4);
        for flap in self.rng.choose_multiple(FLAPS, times) {
            let mark = self.room.mark(server, flap);
            if mark.exists() {
                fs::remove_file(mark)?;
            }
        }
        let at = Instant::now();
        let others = (0..self.clients.len()).map(|client| Deed { at, client, server, what: What::Flap });
        self.deeds.extend(others);
        processes::strike(pid, Blow::Kill);
        Ok(What::Kill)
    }

    fn flood(&mut self, client: usize, server: usize) -> Result<What> {
        let Some((tool, asks)) = self.rng.choice(FLOODS).zip(self.clients.get(client)) else {
            return Ok(What::Flood);
        };
        asks.call(server, tool, &format!(r#"{{"flood":{}}}"#, self.rng.u32(..)))?;
        Ok(What::Flood)
    }

    /// Whether this failure follows from what was done to the server of this client.
    pub fn explains(&self, client: usize, ended: &Ended) -> bool {
        let Said::Failed { kind, cause } = &ended.said else { return false };
        let (asked, answered) = (ended.at, ended.at + ended.took);
        // Done so long before the call at the earliest, and before its end.
        let was = |what: &[What], before: Duration| {
            self.deeds.iter().any(|deed| {
                (deed.client, deed.server) == (client, ended.server)
                    && what.contains(&deed.what)
                    && deed.at <= answered
                    && deed.at + before >= asked
            })
        };
        match (kind.as_str(), cause.as_str()) {
            // Inside when it died, or sent before the bridge could know.
            ("outcome_unknown", "crashed") => was(&[What::Kill], Duration::from_secs(1)),
            // Silent, or so loud that its answers come too late; and replaced after as many missed deadlines as the settings say.
            ("timeout" | "outcome_unknown", "hung") => {
                was(&[What::Stop, What::Flood], Duration::from_secs(10))
            }
            // Starting in vain, resting or parked, which lasts.
            ("unavailable", "crashed" | "exited_before_ready" | "too_slow" | "hung") => {
                was(&[What::Kill, What::Stop, What::Flap, What::Flood], ALL)
            }
            // Noise at its start, and then nothing.
            ("unavailable", "protocol_garbage") => was(&[What::Flap], ALL),
            _ => false,
        }
    }
}
