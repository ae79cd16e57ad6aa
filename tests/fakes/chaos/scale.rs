//! The scale run: a hundred servers with fifty tools each behind one bridge.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::Client;
use crate::gauge::{self, progress, quantile};
use crate::processes;
use crate::report::Report;
use crate::room::{Programs, Room};

const SERVERS: usize = 100;
const TOOLS: usize = 50;

/// Calls at the same time.
const CALLS: usize = 256;

/// How long each of them takes in its server; with nothing in its way, that is how long all of them take.
const NAP: Duration = Duration::from_millis(50);

/// Samples of everything that is short.
const ROUNDS: usize = 15;

/// So often it is tried whether a machine has become quiet.
const TRIES_MAX: usize = 8;

/// Bars.
const LIST_MAX_MS: f64 = 50.0;
const MEMORY_MAX_MB: f64 = 60.0;
const SLOWER_MAX: f64 = 1.3;

/// The default of `start_timeout_s`, in ms.
const START_MAX_MS: f64 = 60_000.0;

/// Nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the run and adds what came of it to the report.
///
/// # Errors
/// When the run itself fails, or an answer is not right.
pub fn run(programs: &Programs, report: &mut Report) -> Result<()> {
    let scripts: Vec<String> = (0..SERVERS).map(script).collect();
    let room = Room::new(programs, "", "", &scripts)?;
    report.figure("servers, tools", format!("{SERVERS}, {}", SERVERS * TOOLS));
    first(&room, report)?;
    lists(&room, report)?;
    let client = opened(&room)?;
    starts(&client, report)?;
    together(&client, report)?;
    report.at_most(
        "memory of the bridge after all, MB",
        gauge::memory(client.pid).unwrap_or(f64::NAN),
        MEMORY_MAX_MB,
    );
    report.figure("descriptors of the bridge", processes::descriptors(client.pid));
    client.close()
}

/// The first start ever asks every server for its tools.
fn first(room: &Room, report: &mut Report) -> Result<()> {
    progress("the first list");
    let client = Client::start(&room.start(0))?;
    client.initialize()?;
    let listed = client.list()?;
    report.figure("first list ever, ms", listed.took.as_millis());
    ensure!(listed.tools >= SERVERS * TOOLS, "{} tools listed", listed.tools);
    client.close()
}

/// Later ones show what is stored.
fn lists(room: &Room, report: &mut Report) -> Result<()> {
    let (mut asked, mut started, mut pages) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        progress(&format!("stored lists {round}/{ROUNDS}"));
        let client = Client::start(&room.start(0))?;
        client.initialize()?;
        let listed = client.list()?;
        ensure!(listed.tools >= SERVERS * TOOLS, "{} tools listed", listed.tools);
        asked.push(ms(listed.took));
        started.push(ms(listed.at.duration_since(client.started)));
        pages = listed.pages;
        client.close()?;
    }
    report.figure("pages of the list", pages);
    report.in_time("stored list, all pages, median ms", quantile(&mut asked, 0.5), LIST_MAX_MS);
    report.figure(
        "stored list, from the bridge's start, median ms",
        format!("{:.1}", quantile(&mut started, 0.5)),
    );
    Ok(())
}

/// A cold server's first call, and then that of all others at once.
fn starts(client: &Arc<Client>, report: &mut Report) -> Result<()> {
    report.figure(
        "memory before any server, MB",
        format!("{:.1}", gauge::memory(client.pid).unwrap_or(f64::NAN)),
    );
    progress("first calls");
    report.in_time("first call of a cold server, ms", ms(calls(client, 0..1)?), START_MAX_MS);
    report.in_time("first calls of 99 at once, ms", ms(calls(client, 1..SERVERS)?), START_MAX_MS);
    report.figure(
        "memory with all servers, MB",
        format!("{:.1}", gauge::memory(client.pid).unwrap_or(f64::NAN)),
    );
    Ok(())
}

/// Whatever else the machine does only ever adds to the time: while it is busy, there are further rounds, and the best count.
fn together(client: &Arc<Client>, report: &mut Report) -> Result<()> {
    let (mut best, mut rounds, before) = (f64::INFINITY, 0, processes::cpu(client.pid));
    while rounds < TRIES_MAX * ROUNDS && best > SLOWER_MAX {
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            progress(&format!("{CALLS} calls at once, round {rounds}"));
            took.push(ms(calls(client, 0..CALLS)?) / ms(NAP));
            rounds += 1;
        }
        best = best.min(quantile(&mut took, 0.5));
    }
    report.in_time(&format!("{CALLS} calls of 50 ms at once, median / 50 ms"), best, SLOWER_MAX);
    report.figure("  rounds", rounds);
    let cpu = processes::cpu(client.pid) - before;
    report.figure(
        "  processor time of the bridge for each call, µs",
        cpu.as_micros() / u128::try_from(CALLS * rounds)?,
    );
    Ok(())
}

/// Makes calls spread over the servers; from the first written to the last answered.
fn calls(client: &Arc<Client>, numbers: std::ops::Range<usize>) -> Result<Duration> {
    let (began, count) = (Instant::now(), numbers.len());
    client.calls(numbers.map(|number| (number % SERVERS, "nap", format!(r#"{{"number":{number}}}"#))))?;
    client.book.settle(PATIENCE);
    let (right, took) = client.book.right_since(began);
    ensure!(right == count, "{right} of {count} calls were answered with what is right");
    Ok(took)
}

fn opened(room: &Room) -> Result<Arc<Client>> {
    let client = Client::start(&room.start(0))?;
    client.initialize()?;
    client.list()?;
    Ok(client)
}

fn script(server: usize) -> String {
    let nap = NAP.as_millis();
    let reply =
        format!(r#"reply {{"content":[],"structuredContent":{{"server":"s{server}","asked":$ARGS}}}}"#);
    format!("tools {}\non tools/call nap: sleep {nap}; {reply}", TOOLS - 1)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
