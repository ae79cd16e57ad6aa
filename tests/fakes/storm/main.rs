//! `storm`: one client with 64 requests on their way all the time, and hubs that are killed after 2 to 50 ms, also while they come
//! back. Its exit code is 0 when every promise was kept, 3 when only times are too long, which a busy machine can make them, else
//! 1; and 2 when it could not run.

mod book;
mod client;
#[path = "../gauge.rs"]
#[expect(dead_code, reason = "the bench needs more of it")]
mod gauge;
mod hubs;
mod record;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;

use book::Book;
use client::{Client, Wires};
use gauge::{beside_this_program, give_up_after, say};
use hubs::Hubs;

/// Kills the hub behind `bridge serve` again and again, and counts what its client sees of it.
#[derive(Parser)]
struct Args {
    /// How many hubs are killed, half of them with pipes and half with socket pairs
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

/// Every hundredth hub, or so, lives so long that everything comes to rest.
const LONG_LIFE: Duration = Duration::from_millis(500);

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
    for wires in [Wires::Pipes, Wires::Sockets] {
        let room = tempfile::tempdir()?;
        faults.extend(weather(room.path(), (&bridge, &fake), wires, args.kills.div_ceil(2), &mut waits)?);
        if !faults.is_empty() {
            say(&format!("the room stays: {}", room.keep().display()))?;
        }
    }
    waits.sort();
    let at = |percent: usize| waits.get(waits.len() * percent / 100).copied().unwrap_or_default();
    say(&format!(
        "from a kill to the next answer: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        at(50).as_secs_f64() * 1e3,
        at(99).as_secs_f64() * 1e3,
        waits.last().copied().unwrap_or_default().as_secs_f64() * 1e3
    ))?;
    for fault in &faults {
        say(&format!("BROKEN: {fault}"))?;
    }
    Ok(match (faults.is_empty(), at(50) <= P50_MAX && at(99) <= P99_MAX) {
        (false, _) => ExitCode::FAILURE,
        (true, false) => ExitCode::from(3),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// One client and its hubs; what promise was broken.
fn weather(
    room: &Path,
    (bridge, fake): (&Path, &Path),
    wires: Wires,
    kills: usize,
    waits: &mut Vec<Duration>,
) -> Result<Vec<String>> {
    std::fs::write(room.join("config.toml"), config(room, fake))?;
    let book = Arc::new(Book::default());
    let hubs = Hubs::of(room);
    let client = Client::start(bridge, room, wires, &book)?;
    client.initialize()?;
    let asking = client.keep_asking(64);
    let began = Instant::now();
    let mut hub = hubs.next(None)?;
    for _ in 0..kills {
        let life = if fastrand::u32(0..100) == 0 {
            LONG_LIFE
        } else {
            Duration::from_millis(fastrand::u64(LIFE_MS))
        };
        std::thread::sleep(life);
        let killed = Instant::now();
        hubs.kill(hub);
        hub = hubs.next(Some(hub))?;
        book.await_answer_after(killed, Instant::now());
    }
    asking.stop();
    let missing = book.await_all(LAST_ANSWERS);
    waits.extend(book.waits());
    let ended = client.end().context("the front does not end")?;
    hubs.end();
    let mut faults = book.faults(missing);
    faults.extend((!ended.success()).then(|| format!("the front ended with {ended}")));
    faults.extend(record::faults(room, &book)?);
    say(&format!(
        "{wires:?}: {kills} kills in {:.0} s, {}",
        began.elapsed().as_secs_f64(),
        book.summary(missing)
    ))?;
    Ok(faults)
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
