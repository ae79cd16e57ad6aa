//! `storm`: clients with 64 requests on their way all the time, and hubs that are killed after 2 to 50 ms, also while they come
//! back. Its exit code is 0 when every promise was kept, 3 when only times are too long, which a busy machine can make them, else
//! 1; and 2 when it could not run.

mod book;
mod client;
#[path = "../gauge.rs"]
#[expect(dead_code, reason = "the bench needs more of it")]
mod gauge;
mod hubs;
mod record;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;

use client::{Asking, Client, Wires};
use gauge::{beside_this_program, give_up_after, say};
use hubs::Hubs;

/// Kills the hub behind `bridge serve` again and again, and counts what its client sees of it.
#[derive(Parser)]
struct Args {
    /// How many hubs are killed: a third of them with pipes, a third with socket pairs, and a third with three
    /// clients
    #[arg(default_value_t = 300)]
    kills: usize,
    /// Makes the same random choices as the run that printed this number, if never at the same moments
    #[arg(long)]
    seed: Option<u64>,
    /// The bridge [default: beside this program]
    #[arg(long)]
    bridge: Option<PathBuf>,
    /// The fake server [default: beside this program]
    #[arg(long)]
    fake: Option<PathBuf>,
}

/// The sizes of the answers, in bytes, each with how many of 1000 calls want it.
const SIZES: [(usize, u32); 6] = [(1, 400), (64, 400), (4096, 150), (65_536, 42), (1 << 20, 6), (8 << 20, 2)];

/// A hub lives for so long, in milliseconds.
const LIFE_MS: std::ops::RangeInclusive<u64> = 2..=50;

/// One hub in a hundred, or so, lives so long that everything comes to rest.
const LONG_LIFE: Duration = Duration::from_millis(500);

/// The storms: who stands in each.
const CLIENTS: [&[Wires]; 3] =
    [&[Wires::Pipes], &[Wires::Sockets], &[Wires::Pipes, Wires::Sockets, Wires::Pipes]];

/// So many calls all clients of a storm together have on their way.
const AT_ONCE: usize = 64;

/// From a kill to the next answer: the middle, and all but one of a hundred.
const P50_MAX: Duration = Duration::from_millis(30);
const P99_MAX: Duration = Duration::from_millis(250);

/// The last answers are there within this.
const LAST_ANSWERS: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            let _gone = writeln!(io::stderr(), "\nstorm: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    let args = Args::parse();
    give_up_after(300 + args.kills as u64 / 2);
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    fastrand::seed(seed);
    say(&format!("storm: {} kills, seed {seed}", args.kills))?;
    let bridge = args.bridge.map_or_else(|| beside_this_program("bridge"), Ok)?;
    let fake = args.fake.map_or_else(|| beside_this_program("fake-server"), Ok)?;
    let (mut faults, mut waits) = (Vec::new(), Vec::new());
    for clients in CLIENTS {
        let room = tempfile::tempdir()?;
        let kills = args.kills.div_ceil(CLIENTS.len());
        let (broken, mut waited) = weather(room.path(), (&bridge, &fake), clients, kills)?;
        say(&format!("  {}", figures(&mut waited)))?;
        waits.append(&mut waited);
        faults.extend(broken);
        if !faults.is_empty() {
            say(&format!("the room stays: {}", room.keep().display()))?;
        }
    }
    say(&figures(&mut waits))?;
    for fault in &faults {
        say(&format!("BROKEN: {fault}"))?;
    }
    let is_quick = at(&waits, 50) <= P50_MAX && at(&waits, 99) <= P99_MAX;
    Ok(match (faults.is_empty(), is_quick) {
        (false, _) => ExitCode::FAILURE,
        (true, false) => ExitCode::from(3),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// The time from each kill to the next answer in words; sorts it.
fn figures(waits: &mut [Duration]) -> String {
    waits.sort();
    let ms = |wait: Duration| wait.as_secs_f64() * 1e3;
    format!(
        "from a kill to the next answer: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        ms(at(waits, 50)),
        ms(at(waits, 99)),
        ms(waits.last().copied().unwrap_or_default())
    )
}

/// What so many percent of them do not exceed.
fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

/// One hub after the other, and who stands before them; what promise was broken, and how long each client waited
/// after each kill.
fn weather(
    room: &Path,
    (bridge, fake): (&Path, &Path),
    wires: &[Wires],
    kills: usize,
) -> Result<(Vec<String>, Vec<Duration>)> {
    std::fs::write(room.join("config.toml"), config(room, fake))?;
    let hubs = Hubs::of(room);
    let start = |(number, wires): (usize, &Wires)| Client::start(bridge, room, number, *wires);
    let clients: Vec<Client> = wires.iter().enumerate().map(start).collect::<Result<_>>()?;
    clients.iter().try_for_each(Client::initialize)?;
    let asking: Vec<Asking> =
        clients.iter().map(|client| client.keep_asking(AT_ONCE / clients.len())).collect();
    let began = Instant::now();
    let mut hub = hubs.next(None)?;
    for _ in 0..kills {
        std::thread::sleep(life());
        let killed = Instant::now();
        hubs.kill(hub);
        hub = hubs.next(Some(hub))?;
        clients.iter().for_each(|client| client.book.await_answer_after(killed, Instant::now()));
    }
    asking.into_iter().for_each(Asking::stop);
    let took = began.elapsed().as_secs_f64();
    let (mut faults, mut waits, mut calls) = (Vec::new(), Vec::new(), BTreeMap::new());
    for client in clients {
        let (book, wires) = (Arc::clone(&client.book), client.wires);
        let missing = book.await_all(LAST_ANSWERS);
        faults.extend(book.faults(missing));
        waits.extend(book.waits());
        say(&format!("{wires:?}: {kills} kills in {took:.0} s, {}", book.summary(missing)))?;
        calls.append(&mut book.calls());
        let ended = client.end().context("the front does not end")?;
        faults.extend((!ended.success()).then(|| format!("the front ended with {ended}")));
    }
    hubs.end();
    faults.extend(record::faults(room, &calls)?);
    Ok((faults, waits))
}

/// How long a hub lives. One in twenty is killed as soon as it has taken its place, while it comes back.
fn life() -> Duration {
    match fastrand::u32(0..100) {
        0 => LONG_LIFE,
        1..=5 => Duration::ZERO,
        _ => Duration::from_millis(fastrand::u64(LIFE_MS)),
    }
}

fn config(room: &Path, fake: &Path) -> String {
    let mut script = vec![format!("record {}", room.join("received").display())];
    for (size, _) in SIZES {
        script.extend([format!("tool t{size}"), format!("on tools/call t{size}: big {size}")]);
    }
    let args: Vec<String> = script.into_iter().flat_map(|line| ["-e".to_owned(), line]).collect();
    format!(
        "[servers.s]\ncommand = {}\nargs = {}\nmax_concurrent = 64\n",
        json!(fake.display().to_string()),
        json!(args)
    )
}
