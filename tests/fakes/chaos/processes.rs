//! The processes of a room, as /proc shows them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::room::Room;

/// A process that stands in a client's folder.
#[derive(Clone, Copy)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Who started it, as long as that one lives.
    pub parent: u32,
    /// Whose folder it stands in.
    pub client: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a process is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This server.
    Server(usize),
    /// A process that a server started.
    Grandchild,
}

/// Every process that bridges of these clients left or hold, but not the bridges themselves.
pub fn standing_in(room: &Room, clients: usize, servers: usize) -> Vec<Process> {
    let folders: Vec<_> = (0..clients).map(|client| room.folder(client)).collect();
    let scripts: Vec<_> = (0..servers).map(|server| room.script(server).display().to_string()).collect();
    let process = |pid: u32| {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let client = folders.iter().position(|folder| *folder == cwd)?;
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<&str> =
            words.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
        let kind = match words.get(1) {
            Some(&"serve") => return None,
            Some(&"--script") => {
                Kind::Server(scripts.iter().position(|script| words.contains(&script.as_str()))?)
            }
            _ => Kind::Grandchild,
        };
        Some(Process { pid, parent: parent(pid)?, client, kind })
    };
    pids().filter_map(process).collect()
}

/// The processes that stand by to clear away after these bridges.
pub fn guards(bridges: &[u32]) -> Vec<u32> {
    let is_guard = |pid: &u32| {
        parent(*pid).is_some_and(|parent| bridges.contains(&parent))
            && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.ends_with(b"\0__guard\0"))
    };
    pids().filter(is_guard).collect()
}

/// Whether a process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

fn parent(pid: u32) -> Option<u32> {
    fields(pid).get(1)?.parse().ok()
}

/// What /proc says of a process behind its name: its state, its parent, …
fn fields(pid: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().unwrap_or_default().split(' ').map(str::to_owned).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// How many descriptors a process holds.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).map_or(0, Iterator::count)
}

/// The time that a process, and those of its children that have ended, have used of all processors; the kernel counts in
/// hundredths of a second.
pub fn cpu(pid: u32) -> Duration {
    ticks(fields(pid).iter().skip(11).take(4))
}

/// The time that everybody has used of all processors of the machine, and what its host took for others.
pub fn cpu_of_all() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let words: Vec<String> =
        stat.lines().next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    // Behind the word `cpu`: user, nice, system, idle, waiting for disks, interrupts, soft ones, stolen.
    ticks(words.iter().skip(1).take(3).chain(words.iter().skip(6).take(3)))
}

fn ticks<'a>(words: impl Iterator<Item = &'a String>) -> Duration {
    Duration::from_millis(words.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// What is done to a process.
#[derive(Clone, Copy)]
pub enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Go,
}

/// Sends a signal; one that is gone needs none.
#[cfg(unix)]
pub fn strike(pid: u32, blow: Blow) {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = match blow {
        Blow::Kill => Signal::KILL,
        Blow::Stop => Signal::STOP,
        Blow::Go => Signal::CONT,
    };
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(pid, signal);
    }
}

/// Where there are no signals nobody is struck.
#[cfg(not(unix))]
pub fn strike(_pid: u32, _blow: Blow) {}
