//! What every measuring program here needs: figures of processes and of samples, and words for whoever watches.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// Resident memory of a process in MB (10^6 bytes).
pub fn memory(pid: u32) -> Option<f64> {
    let kib = from_proc(pid).or_else(|| from_ps(pid))?;
    Some(kib * 1024.0 / 1e6)
}

fn from_proc(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// For systems without /proc.
fn from_ps(pid: u32) -> Option<f64> {
    let output = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// The value below which a share of `values` lies; sorts them.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into a short list, between 0 and its length"
)]
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Where the bridge, the fake server and this program were built together.
///
/// # Errors
/// When the own path is unknown.
pub fn beside_this_program(name: &str) -> Result<PathBuf> {
    let itself = std::env::current_exe()?;
    Ok(itself.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// A process that never answers must not hold the run for ever.
pub fn give_up_after(seconds: u64) {
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(seconds));
        let _gone = writeln!(io::stderr(), "\ngave up after {seconds} s");
        std::process::abort();
    });
}

/// What is going on, on a line that is written over.
pub fn progress(what: &str) {
    let _gone = write!(io::stderr(), "\r\x1b[K{what}");
}

/// What was found out.
///
/// # Errors
/// When nobody reads it.
pub fn say(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}
