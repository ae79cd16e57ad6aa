//! Makes a record with millions of calls in an empty folder, and says how long `bridge stats` takes on
//! it: `make-big-db FOLDER [CALLS]`. Run it through `scripts/make-big-db`.

#![expect(clippy::print_stdout, reason = "it prints what it did; no protocol runs here")]

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use bridge::cli::stats;
use bridge::store::migrate;
use clap::Parser;
use rusqlite::Connection;

/// 90 days of calls, evenly spread; ten tools of five servers; one in fifty fails. Ids and times follow
/// schema.sql. The counter makes every id its own.
const CALLS: &str = "
INSERT INTO tool_calls
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1),
     at (i, ms) AS (SELECT i, ?2 + i * (90 * 86400000 / ?1) FROM n)
SELECT ((ms - 1577836800000) << 22) | (i & 1023), '000001f000000000', i, 'server-' || (i % 5),
       'tool_' || (i % 10), strftime('%Y-%m-%dT%H:%M:%fZ', ms / 1000.0, 'unixepoch'),
       200 + (i * 7919) % 40000, CASE WHEN i % 50 = 0 THEN 'tool_error' ELSE 'ok' END, NULL, 120, 800
FROM at";

const TOTALS: &str = "
INSERT INTO call_totals
SELECT substr(started_at, 1, 13) || ':00:00.000Z', server, tool, count(*), sum(outcome != 'ok'), 0,
       sum(duration_us), max(started_at), sum(request_bytes), sum(response_bytes), 0,
       sum(duration_us <= 200), sum(duration_us BETWEEN 201 AND 500), sum(duration_us BETWEEN 501 AND 1000),
       sum(duration_us BETWEEN 1001 AND 2000), sum(duration_us BETWEEN 2001 AND 5000),
       sum(duration_us BETWEEN 5001 AND 10000), sum(duration_us BETWEEN 10001 AND 20000),
       sum(duration_us BETWEEN 20001 AND 50000), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
FROM tool_calls GROUP BY 1, 2, 3";

const SESSIONS: &str = "
INSERT INTO mcp_sessions
SELECT '000001f000000000', 'stdio', 'big', '1', '2025-06-18', 1, '0', min(started_at), max(started_at), count(*),
       max(started_at), 'end_of_input' FROM tool_calls";

#[derive(Parser)]
struct Args {
    /// An empty folder
    folder: PathBuf,
    /// How many calls
    #[arg(default_value_t = 5_000_000)]
    calls: i64,
}

/// Only to read the options of `bridge stats` as the command line does.
#[derive(Parser)]
struct Stats {
    #[command(flatten)]
    args: stats::Args,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let begun = Instant::now();
    let conn = migrate::open(&args.folder, false)?;
    fill(&conn, args.calls).context("the rows cannot be written")?;
    drop(conn);
    println!("{} calls in {:.1} s", args.calls, begun.elapsed().as_secs_f64());
    for options in [
        &["stats"][..],
        &["stats", "--since", "24h"],
        &["stats", "--since", "45d", "--json"],
        &["stats", "--by", "hour", "--json"],
        &["stats", "--by", "day"],
        &["stats", "--by", "server"],
        &["stats", "--histogram"],
        &["stats", "--errors"],
        &["stats", "--by", "client", "--since", "7d"],
        &["stats", "--by", "client"],
    ] {
        measure(options, &args.folder)?;
    }
    Ok(())
}

fn fill(conn: &Connection, calls: i64) -> rusqlite::Result<()> {
    let first_ms = bridge::store::stamp::now_ms() - 90 * 86_400_000;
    conn.pragma_update(None, "synchronous", "OFF")?;
    conn.execute(CALLS, [calls, first_ms])?;
    conn.execute(TOTALS, [])?;
    conn.execute(SESSIONS, [])?;
    Ok(())
}

fn measure(options: &[&str], folder: &Path) -> anyhow::Result<()> {
    let parsed = Stats::parse_from(options);
    let begun = Instant::now();
    stats::run(&parsed.args, folder, &mut io::sink())?;
    println!("bridge {:<28} {:6.1} ms", options.join(" "), begun.elapsed().as_secs_f64() * 1_000.0);
    Ok(())
}
