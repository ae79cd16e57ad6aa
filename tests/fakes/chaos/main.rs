//! `chaos`: the bridge under trouble, and the bridge before many servers. Its exit code is 0 when all bars are met, 3 when only times
//! are too long, which a busy machine can make them, else 1; and 2 when it could not run.
//!
//! Without a verb: ten servers behind the bridges of three clients that call all the time, while half of the servers are killed,
//! stopped, flooded and made to fail at their start. `scale`: a hundred servers with fifty tools each.

mod book;
mod client;
#[path = "../gauge.rs"]
mod gauge;
mod processes;
mod record;
mod report;
mod room;
mod scale;
mod storm;
mod trouble;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use report::{Outcome, Report};
use room::Programs;

/// Troubles the servers behind `bridge serve`, and counts what its clients see of it.
#[derive(Parser)]
struct Args {
    /// How long, in seconds, everything included
    #[arg(default_value_t = 110)]
    seconds: u64,
    /// Makes the same random choices as the run that printed this number, if never at the same moments
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    programs: Programs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Puts the bridge before a hundred servers with fifty tools each, and measures lists, calls and memory
    Scale,
}

fn main() -> ExitCode {
    match run() {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::FAILURE,
        Ok(Outcome::Slow) => ExitCode::from(3),
        Err(error) => {
            let _gone = writeln!(io::stderr(), "\nchaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// What the bars say.
fn run() -> Result<Outcome> {
    let args = Args::parse();
    let mut report = Report::default();
    gauge::give_up_after(args.seconds + 180);
    match args.verb {
        None => {
            let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
            storm::run(&args.programs, args.seconds, seed, &mut report)?;
        }
        Some(Verb::Scale) => scale::run(&args.programs, &mut report)?,
    }
    gauge::progress("");
    gauge::say(&report.table())?;
    Ok(report.outcome())
}
