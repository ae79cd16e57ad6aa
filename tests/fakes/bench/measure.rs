//! The measurements: each takes a peer or a side and returns figures of one round.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::gauge::{self, quantile};
use crate::peer::{Peer, Side};
use crate::room::{BIG, TOOLS};

/// Calls on their way at the same time.
const WINDOW: u64 = 64;

/// How long memory gets to be given back before it is read.
const SETTLE: Duration = Duration::from_secs(2);

/// p50 and p99 of one call at a time, in µs.
///
/// # Errors
/// When a call is not answered with a result.
pub fn latency(peer: &mut Peer, calls: usize) -> Result<(f64, f64)> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        peer.echo()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok((quantile(&mut times, 0.50), quantile(&mut times, 0.99)))
}

/// Calls a second with 64 in flight.
///
/// # Errors
/// When a call is not answered with a result.
#[expect(clippy::cast_precision_loss, reason = "counts of calls are far below 2^52")]
pub fn throughput(peer: &mut Peer, calls: u64) -> Result<f64> {
    let start = Instant::now();
    peer.echo_many(calls, WINDOW)?;
    Ok(calls as f64 / start.elapsed().as_secs_f64())
}

/// MB/s (10^6 bytes) of 10 MiB results, one at a time: the median.
///
/// # Errors
/// When a call is not answered with a result of that length.
#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^52")]
pub fn big(peer: &mut Peer, calls: usize) -> Result<f64> {
    let mut rates = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        let length = peer.big()?;
        rates.push(length as f64 / 1e6 / start.elapsed().as_secs_f64());
        ensure!(length > BIG, "the big result was cut to {length} bytes");
    }
    Ok(quantile(&mut rates, 0.5))
}

/// Time from spawn to the answer of `initialize` and to that of `tools/list`, in ms.
///
/// # Errors
/// When an answer does not come, or the list is not whole.
pub fn start(side: &Side) -> Result<(f64, f64)> {
    let start = Instant::now();
    let mut peer = side.start()?;
    peer.initialize()?;
    let initialized = start.elapsed();
    let tools = peer.list()?;
    let listed = start.elapsed();
    ensure!(tools >= TOOLS, "{} tools listed, {TOOLS} offered", tools);
    peer.close()?;
    Ok((initialized.as_secs_f64() * 1e3, listed.as_secs_f64() * 1e3))
}

/// Resident memory in MB (10^6 bytes), after a moment of rest.
pub fn memory(peer: &Peer) -> Option<f64> {
    thread::sleep(SETTLE);
    gauge::memory(peer.pid())
}
