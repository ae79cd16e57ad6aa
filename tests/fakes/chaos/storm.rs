//! The chaos run: quiet windows and windows full of trouble in turns, under the same load.
//!
//! A machine that is busy for a while is busy in both kinds of window; what is compared is the median of the windows' p99. Windows in
//! which others kept the machine busy do not count, as long as there are enough without.

mod verdict;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::gauge::{self, progress};
use crate::processes::{self, Blow, Kind, Process};
use crate::report::Report;
use crate::room::{Programs, Room};
use crate::storm::verdict::{Fate, Verdict, Window};
use crate::trouble::{FLAPS, FLOODS, Trouble};

/// Clients, each with its own bridge, on one data folder.
const CLIENTS: usize = 3;

/// Servers behind each of them.
const SERVERS: usize = 10;

/// From this one on servers are troubled; those before it are measured.
pub const FIRST_TROUBLED: usize = 5;

/// Every client makes a call so often.
const BEAT: Duration = Duration::from_millis(20);

/// How long each window is.
const WINDOW: Duration = Duration::from_secs(6);

/// A window's aftermath is over when no call waits for longer than this,
const PATIENCE: Duration = Duration::from_secs(1);

/// and after this time in any case.
const AFTERMATH_MAX: Duration = Duration::from_secs(8);

/// The end takes about so long, with the aftermath before it.
const ENDING: Duration = Duration::from_secs(12);

/// The last calls are answered within this: a start, or a deadline.
const LAST_ANSWERS: Duration = Duration::from_secs(12);

/// Lines of a flood.
const FLOOD: usize = 10_000;

/// Nobody is left so long after the bridge.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// Deadlines are short, so that who stands still is found out while the run lasts.
const SETTINGS: &str = "recovery_timeout_s = 2\nfirst_list_wait_s = 20";
const KEYS: &str = "start_timeout_s = 3\ncall_timeout_s = 2";

/// A run under way.
struct Storm<'a> {
    room: &'a Room,
    clients: Vec<Arc<Client>>,
    load: Vec<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
    windows: Vec<Window>,
    /// Memory in MB and descriptors of each bridge at the end of each quiet window.
    sizes: Vec<Vec<(f64, usize)>>,
}

/// Makes the run and adds what came of it to the report.
///
/// # Errors
/// When the run itself fails: a program is missing, a bridge does not start, or does not end.
pub fn run(programs: &Programs, seconds: u64, seed: u64, report: &mut Report) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let scripts: Vec<String> = (0..SERVERS).map(script).collect();
    let room = Room::new(programs, SETTINGS, KEYS, &scripts)?;
    gauge::say(&format!("seed {seed}, {}", room.path.display()))?;
    for server in FIRST_TROUBLED..SERVERS {
        FLAPS.into_iter().try_for_each(|flap| fs::write(room.mark(server, flap), ""))?;
    }
    let mut storm = Storm::open(&room, seed)?;
    let clients = storm.clients.clone();
    let mut trouble = Trouble::new(&room, &clients, SERVERS, FIRST_TROUBLED, seed);
    while storm.windows.is_empty() || Instant::now() + WINDOW * 2 + ENDING < until {
        storm.quiet()?;
        storm.rough(&mut trouble)?;
    }
    let fates = storm.end(report)?;
    let verdict = Verdict { room: &room, trouble: &trouble, windows: &storm.windows };
    verdict.tell(fates, report)?;
    storm.tell_sizes(&trouble, report);
    Ok(())
}

impl<'a> Storm<'a> {
    /// Starts the bridges one after the other, has every server started, and begins to call.
    fn open(room: &'a Room, seed: u64) -> Result<Self> {
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            progress(&format!("client {number} opens"));
            let client = Client::start(&room.start(number))?;
            client.initialize()?;
            client.list()?;
            (0..SERVERS).try_for_each(|server| client.call(server, "work", r#"{"first":1}"#))?;
            client.book.settle(Duration::from_secs(10));
            clients.push(client);
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let load = (1..).zip(&clients).map(|(number, client)| {
            let (client, is_over) = (Arc::clone(client), Arc::clone(&is_over));
            thread::spawn(move || load(&client, fastrand::Rng::with_seed(seed + number), &is_over))
        });
        let load = load.collect();
        Ok(Self { room, clients, load, is_over, windows: Vec::new(), sizes: Vec::new() })
    }

    fn quiet(&mut self) -> Result<()> {
        progress(&format!("window {}: quiet", self.windows.len() + 1));
        self.window(true, |until| {
            thread::sleep(until.saturating_duration_since(Instant::now()));
            Ok(())
        })?;
        let size = |client: &Arc<Client>| {
            (gauge::memory(client.pid).unwrap_or(f64::NAN), processes::descriptors(client.pid))
        };
        self.sizes.push(self.clients.iter().map(size).collect());
        Ok(())
    }

    fn rough(&mut self, trouble: &mut Trouble<'_>) -> Result<()> {
        progress(&format!("window {}: trouble", self.windows.len() + 1));
        self.window(false, |until| trouble.storm(until))?;
        trouble.calm();
        let over = Instant::now() + AFTERMATH_MAX;
        while Instant::now() < over && self.clients.iter().any(|client| client.book.waiting_for(PATIENCE) > 0)
        {
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn window(&mut self, is_quiet: bool, pass: impl FnOnce(Instant) -> Result<()>) -> Result<()> {
        let (from, before) = (Instant::now(), self.others());
        pass(from + WINDOW)?;
        let others = (self.others() - before) / from.elapsed().as_secs_f64();
        self.windows.push(Window { from, is_quiet, others });
        Ok(())
    }

    /// Processor time in seconds that was used by others than the run.
    fn others(&self) -> f64 {
        let servers =
            processes::standing_in(self.room, CLIENTS, SERVERS).into_iter().map(|server| server.pid);
        let bridges = self.clients.iter().map(|client| client.pid);
        let own: Duration = servers.chain(bridges).chain([std::process::id()]).map(processes::cpu).sum();
        processes::cpu_of_all().as_secs_f64() - own.as_secs_f64()
    }

    /// Ends the bridges: one by SIGKILL and one by the end of its input, both under load, and one that way after its last answer.
    fn end(&mut self, report: &mut Report) -> Result<Vec<Fate>> {
        progress("the end");
        // Whoever ended may have taken his family with him.
        for client in &self.clients {
            (0..FIRST_TROUBLED).try_for_each(|server| client.call(server, "fork", "{}"))?;
        }
        thread::sleep(Duration::from_millis(500));
        self.tell_processes(report);
        let [patient, hasty, victim] = self.clients.as_slice() else { bail!("there are three clients") };
        let mut gone = vec![self.leave(2, victim, Client::kill)?];
        let closed = Instant::now();
        gone.push(self.leave(1, hasty, Client::close)?);
        self.is_over.store(true, Ordering::Relaxed);
        for load in self.load.drain(..) {
            load.join().ok().context("the load ended by a panic")?;
        }
        patient.book.settle(LAST_ANSWERS);
        gone.push(self.leave(0, patient, Client::close)?);
        let after: Vec<String> = gone.iter().map(|(after, _)| after.as_millis().to_string()).collect();
        report.figure("nobody left after kill, close, close: ms", after.join(" "));
        let orphans: Vec<String> =
            gone.iter().flat_map(|(_, left)| left.iter().map(u32::to_string)).collect();
        report.none("orphans", orphans.len(), &orphans);
        let fate = |client: &Arc<Client>, closed, was_killed| Fate {
            bridge: client.pid,
            tally: client.book.close(),
            closed,
            was_killed,
        };
        // The next start closes in the record what the killed one left open.
        let next = Client::start(&self.room.start(CLIENTS))?;
        next.initialize()?;
        next.list()?;
        next.close()?;
        Ok(vec![fate(patient, None, false), fate(hasty, Some(closed), false), fate(victim, None, true)])
    }

    /// Ends a bridge, and says how long its processes were there after it, and which still are.
    fn leave(
        &self,
        number: usize,
        client: &Client,
        end: fn(&Client) -> Result<()>,
    ) -> Result<(Duration, Vec<u32>)> {
        let guards = processes::guards(&[client.pid]);
        end(client)?;
        let ended = Instant::now();
        loop {
            let all = processes::standing_in(self.room, CLIENTS, SERVERS).into_iter();
            let own = all.filter(|process| process.client == number).map(|process| process.pid);
            let guards = guards.iter().copied().filter(|pid| processes::is_alive(*pid));
            let left: Vec<u32> = own.chain(guards).collect();
            if left.is_empty() || ended.elapsed() > GONE_WITHIN {
                left.iter().for_each(|pid| processes::strike(*pid, Blow::Kill));
                return Ok((ended.elapsed(), left));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A server has one process, and whoever it started does not outlive it.
    fn tell_processes(&self, report: &mut Report) {
        let over = Instant::now() + GONE_WITHIN;
        let (servers, grandchildren, left) = loop {
            let all = processes::standing_in(self.room, CLIENTS, SERVERS);
            let (servers, others): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|process| process.kind != Kind::Grandchild);
            let has_parent = |process: &Process| servers.iter().any(|server| server.pid == process.parent);
            let is_second = |(place, process): (usize, &Process)| {
                let mut before = servers.iter().take(place);
                before
                    .any(|other| (other.client, other.kind) == (process.client, process.kind))
                    .then_some(process.pid)
            };
            let mut left: Vec<u32> = servers.iter().enumerate().filter_map(is_second).collect();
            left.extend(others.iter().filter(|process| !has_parent(process)).map(|process| process.pid));
            if left.is_empty() || Instant::now() > over {
                break (servers.len(), others.len(), left);
            }
            thread::sleep(Duration::from_millis(20));
        };
        report.figure("processes at the end: servers, grandchildren", format!("{servers} {grandchildren}"));
        report.none("left by servers that ended", left.len(), &[]);
    }

    fn tell_sizes(&self, trouble: &Trouble<'_>, report: &mut Report) {
        for client in 0..CLIENTS {
            let sizes = self.sizes.first().zip(self.sizes.last());
            let sizes = sizes.and_then(|(first, last)| first.get(client).zip(last.get(client)));
            let Some(((mb, fds), (mb_last, fds_last))) = sizes else { return };
            report.figure(
                &format!("bridge {client}: memory, first and last, MB"),
                format!("{mb:.1} {mb_last:.1}"),
            );
            report.figure(
                &format!("bridge {client}: descriptors, first and last"),
                format!("{fds} {fds_last}"),
            );
        }
        let logs = (0..CLIENTS).map(|client| crate::room::size(&self.room.log(client)));
        let (bytes, lines) = logs.fold((0, 0), |all, log| (all.0 + log.0, all.1 + log.1));
        report.figure("log lines of the bridges, all together", lines);
        report.figure("log lines for each deed", lines / trouble.deeds().max(1));
        report.figure("log, KiB", bytes / 1024);
    }
}

/// Calls random servers in an even beat, whether they answer or not.
fn load(client: &Client, mut rng: fastrand::Rng, is_over: &AtomicBool) {
    let mut due = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        due += BEAT;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let filling = if rng.u8(0..8) == 0 { "filling ".repeat(256) } else { String::new() };
        let arguments = format!(r#"{{"nonce":"{:016x}","filling":"{filling}"}}"#, rng.u64(..));
        if client.call(rng.usize(0..SERVERS), "work", &arguments).is_err() {
            // The bridge is being ended.
            return;
        }
    }
}

/// How long a call takes in its server. Untouched ones are quick, so that what is measured is the bridge; a troubled one mostly has
/// a call inside when something is done to it.
fn work_ms(server: usize) -> usize {
    if server < FIRST_TROUBLED { 1 + server } else { 40 * server }
}

/// What a server does. Two of the untouched ones and every other of the troubled ones do not hear that they are to end.
fn script(server: usize) -> String {
    let reply =
        format!(r#"reply {{"content":[],"structuredContent":{{"server":"s{server}","asked":$ARGS}}}}"#);
    let mut lines = vec![
        format!("on tools/call work: sleep {}; {reply}", work_ms(server)),
        format!("on tools/call fork: fork-deaf hold; {reply}"),
    ];
    if server % 3 == 1 {
        lines.extend(["ignore-term".to_owned(), "ignore-eof".to_owned()]);
    }
    if server >= FIRST_TROUBLED {
        let [exit, signal, silent, mute, noise] =
            FLAPS.map(|flap| format!("once $ROOM/marks/s{server}-{flap}"));
        let fork = if server.is_multiple_of(2) { "fork-deaf hold; " } else { "" };
        lines.push(format!(
            "on start: {fork}{noise} times {FLOOD} garbage noise; {exit} exit 3; {signal} signal 11; {mute} close-stdout"
        ));
        lines.push(format!("on initialize: {silent} hang"));
        let [garbage, stderr, notes] = FLOODS.map(|flood| format!("on tools/call {flood}: times {FLOOD}"));
        let words = "many words that nobody wants to read ".repeat(3);
        lines.push(format!("{garbage} garbage {words}; {reply}"));
        lines.push(format!("{stderr} stderr {words}; {reply}"));
        lines.push(format!("{notes} log error {words}; progress {FLOOD}; {reply}"));
    }
    lines.join("\n")
}
