//! `bench`: what the bridge costs, in one run, next to the server itself and to a byte pump.
//!
//! The sides are measured in turns, round after round, so that a machine that is busy for a while is busy for all of them. A figure is
//! the median over the rounds. A target that is missed is printed, never an exit code.

mod figures;
#[path = "../gauge.rs"]
mod gauge;
mod measure;
mod peer;
mod pump;
mod room;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;

use figures::{Figures, Row};
use gauge::{beside_this_program, give_up_after, progress, say};
use peer::{Peer, Side};
use room::Room;

/// Measures a server directly, behind a byte pump, behind `bridge serve --in-process` and behind a front and its hub.
#[derive(Parser)]
struct Args {
    /// The bridge to measure; it is left out when the file is missing [default: beside this program]
    #[arg(long)]
    bridge: Option<PathBuf>,
    /// The fake server [default: beside this program]
    #[arg(long)]
    fake: Option<PathBuf>,
    /// Also write all figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// A short run: fewer rounds, fewer calls
    #[arg(long)]
    quick: bool,
    /// A further line for the server's table in the bridge's config, such as `max_concurrent = 64`
    #[arg(long)]
    server_line: Vec<String>,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 900)]
    deadline_s: u64,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// The byte pump itself: runs COMMAND and copies its stdin and stdout
    Pump {
        /// The command after `--`
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

/// How much is measured.
struct Plan {
    rounds: usize,
    single: usize,
    many: u64,
    big: usize,
    starts: usize,
}

const FULL: Plan = Plan { rounds: 9, single: 4_000, many: 40_000, big: 5, starts: 21 };
const QUICK: Plan = Plan { rounds: 3, single: 1_000, many: 10_000, big: 2, starts: 15 };

/// Big results before memory is read again.
const BIG_BEFORE_MEMORY: usize = 10;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _gone = writeln!(io::stderr(), "\nbench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args = Args::parse();
    if let Some(Verb::Pump { command }) = &args.verb {
        return pump::run(command);
    }
    give_up_after(args.deadline_s);
    let fake = args.fake.clone().map_or_else(|| beside_this_program("fake-server"), Ok)?;
    let bridge = args.bridge.clone().map_or_else(|| beside_this_program("bridge"), Ok)?;
    let there = bridge.is_file();
    if !there {
        say(&format!("bridge not measured: no file {}", bridge.display()))?;
    }
    let room = Room::new(&fake, there.then_some(bridge.as_path()), &args.server_line)?;
    let plan = if args.quick { QUICK } else { FULL };
    let mut bench = Bench { room, plan, figures: Figures::default(), record: Record::default() };
    bench.run()?;
    say(&bench.figures.table())?;
    if there {
        say(&bench.record.sentence())?;
    }
    if let Some(path) = &args.json {
        fs::write(path, format!("{:#}\n", bench.json()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// One run.
struct Bench {
    room: Room,
    plan: Plan,
    figures: Figures,
    record: Record,
}

/// Calls made through the bridge and rows found, over the whole run.
#[derive(Default)]
struct Record {
    answered: u64,
    rows: u64,
    /// Looks at which the two were not the same.
    differences: Vec<String>,
}

impl Bench {
    fn run(&mut self) -> Result<()> {
        // The first start lists the server's tools, so that they are stored.
        for side in &self.room.sides {
            measure::start(side).with_context(|| self.room.failed("the first start", side))?;
        }
        self.starts()?;
        self.calls()?;
        self.memory()
    }

    fn starts(&mut self) -> Result<()> {
        for turn in 0..self.plan.starts {
            progress(&format!("starts {}/{}", turn + 1, self.plan.starts));
            for side in &self.room.sides {
                let (initialize, list) =
                    measure::start(side).with_context(|| self.room.failed("a start", side))?;
                self.figures.add(Row::Initialize, side.name, initialize);
                self.figures.add(Row::List, side.name, list);
            }
        }
        Ok(())
    }

    fn calls(&mut self) -> Result<()> {
        let mut peers = self.room.sides.iter().map(opened).collect::<Result<Vec<_>>>()?;
        for turn in 0..self.plan.rounds {
            progress(&format!("rounds {}/{}", turn + 1, self.plan.rounds));
            for at in 0..peers.len() {
                // Nobody is always the first.
                let at = (at + turn) % peers.len();
                let (Some(side), Some(peer)) = (self.room.sides.get(at), peers.get_mut(at)) else { continue };
                let before = peer.answered;
                round(&self.plan, side, peer, &mut self.figures)
                    .with_context(|| self.room.failed("a round", side))?;
                if side.name == "bridge" {
                    self.record.look(peer.answered - before, turn, &self.room)?;
                }
            }
        }
        for (side, peer) in self.room.sides.iter().zip(&peers) {
            if let Some(memory) = measure::memory(peer) {
                self.figures.add(Row::AfterAll, side.name, memory);
            }
        }
        peers.into_iter().try_for_each(Peer::close)
    }

    fn memory(&mut self) -> Result<()> {
        progress("memory");
        for side in &self.room.sides {
            let mut peer = opened(side)?;
            if let Some(idle) = measure::memory(&peer) {
                self.figures.add(Row::Idle, side.name, idle);
            }
            let before = peer.answered;
            measure::big(&mut peer, BIG_BEFORE_MEMORY)
                .with_context(|| self.room.failed("a big result", side))?;
            if let Some(after) = measure::memory(&peer) {
                self.figures.add(Row::AfterBig, side.name, after);
            }
            if side.name == "bridge" {
                self.record.look(peer.answered - before, self.plan.rounds, &self.room)?;
            }
            peer.close()?;
        }
        progress("");
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        let record = &self.record;
        json!({
            "machine": {
                "os": std::env::consts::OS, "arch": std::env::consts::ARCH,
                "cpus": thread::available_parallelism().map_or(0, usize::from),
            },
            "rounds": self.plan.rounds, "calls_per_round": {"single": self.plan.single, "many": self.plan.many, "big": self.plan.big},
            "figures": self.figures.json(),
            "record": {"answered": record.answered, "rows": record.rows, "differences": record.differences},
        })
    }
}

impl Record {
    /// Counts the rows after a turn of the bridge. Every answer's row was committed before the answer was written.
    fn look(&mut self, answered: u64, turn: usize, room: &Room) -> Result<()> {
        self.answered += answered;
        self.rows = room.recorded()?;
        if self.rows != self.answered {
            self.differences.push(format!(
                "round {}: {} answered, {} rows",
                turn + 1,
                self.answered,
                self.rows
            ));
        }
        Ok(())
    }

    fn sentence(&self) -> String {
        let verdict = if self.differences.is_empty() {
            "the same after every round: pass".to_owned()
        } else {
            format!("MISS\n  {}", self.differences.join("\n  "))
        };
        format!("record: {} calls answered, {} rows with outcome 'ok', {verdict}\n", self.answered, self.rows)
    }
}

impl Room {
    fn failed(&self, what: &str, side: &Side) -> String {
        match self.last_words(side) {
            words if words.is_empty() => format!("{what} of `{}` failed", side.name),
            words => format!("{what} of `{}` failed; its last words were\n{words}\n", side.name),
        }
    }
}

/// A peer that is ready for calls.
fn opened(side: &Side) -> Result<Peer> {
    let mut peer = side.start()?;
    peer.initialize()?;
    peer.list()?;
    Ok(peer)
}

fn round(plan: &Plan, side: &Side, peer: &mut Peer, figures: &mut Figures) -> Result<()> {
    // A few calls bring caches and clock back to this side.
    peer.echo_many(200, 1)?;
    let (p50, p99) = measure::latency(peer, plan.single)?;
    figures.add(Row::P50, side.name, p50);
    figures.add(Row::P99, side.name, p99);
    figures.add(Row::Calls, side.name, measure::throughput(peer, plan.many)?);
    figures.add(Row::Big, side.name, measure::big(peer, plan.big)?);
    Ok(())
}
