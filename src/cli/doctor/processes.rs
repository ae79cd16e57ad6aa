//! The processes of this machine, as far as the doctor asks for them. Linux is tested; on macOS `ps` is asked, which
//! is untested; on Windows nothing is asked.

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The process that started it, or that took it over when this one died.
    pub parent: u32,
    /// How old it is, milliseconds.
    pub age_ms: i64,
    /// Its program and arguments.
    pub words: Vec<String>,
    /// Whether the file of its program was removed or replaced since.
    pub is_replaced: bool,
}

impl Process {
    /// Its program's name without its folder.
    pub fn name(&self) -> &str {
        let first = self.words.first().map(String::as_str).unwrap_or_default();
        first.rsplit(std::path::is_separator).next().unwrap_or_default()
    }

    /// The first of its arguments.
    pub fn verb(&self) -> &str {
        self.words.get(1).map(String::as_str).unwrap_or_default()
    }
}

/// All that run; one that waits to be reaped is gone.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn all() -> Vec<Process> {
    let own = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| linux::stat(&stat));
    let Some(own) = own else { return Vec::new() };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| linux::read(pid, own.begun)).collect()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::Process;

    /// Ticks of `/proc/PID/stat` in a second: the same for every program, whatever the kernel's own are.
    const TICKS_PER_S: i64 = 100;

    /// What a line of `/proc/PID/stat` says.
    pub struct Stat {
        pub parent: u32,
        /// Ticks after the machine's start.
        pub begun: i64,
    }

    /// Reads it; none of a process that is gone. A name may hold blanks and brackets.
    pub fn stat(line: &str) -> Option<Stat> {
        let mut fields = line.rsplit_once(") ")?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let begun = fields.nth(17)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Stat { parent, begun })
    }

    /// Looks at one process. This one has just begun, so that the others' ages are told by its beginning.
    pub fn read(pid: u32, own_begun: i64) -> Option<Process> {
        let file = |name: &str| format!("/proc/{pid}/{name}");
        let stat = stat(&std::fs::read_to_string(file("stat")).ok()?)?;
        let words = std::fs::read(file("cmdline")).unwrap_or_default();
        let words = words.strip_suffix(b"\0").unwrap_or(&words).split(|byte| *byte == 0);
        let program = std::fs::read_link(file("exe"));
        Some(Process {
            pid,
            parent: stat.parent,
            age_ms: (own_begun - stat.begun) * 1_000 / TICKS_PER_S,
            words: words.map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
            is_replaced: program.is_ok_and(|program| program.to_string_lossy().ends_with(" (deleted)")),
        })
    }
}

/// All that run, as `ps` has them. Untested.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
pub fn all() -> Vec<Process> {
    let listed = std::process::Command::new("/bin/ps").args(["-axo", "pid=,ppid=,etime=,args="]).output();
    let listed =
        listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    listed.lines().filter_map(ps::line).collect()
}

/// Nobody is asked there.
#[cfg(not(unix))]
pub fn all() -> Vec<Process> {
    Vec::new()
}

#[cfg(any(test, all(unix, not(any(target_os = "linux", target_os = "android")))))]
mod ps {
    use super::Process;

    /// A line of `ps -o pid=,ppid=,etime=,args=`. Words with blanks in them come apart.
    pub fn line(line: &str) -> Option<Process> {
        let mut words = line.split_ascii_whitespace();
        Some(Process {
            pid: words.next()?.parse().ok()?,
            parent: words.next()?.parse().ok()?,
            age_ms: age_s(words.next()?)?.checked_mul(1_000)?,
            words: words.map(str::to_owned).collect(),
            is_replaced: false,
        })
    }

    /// `[[days-]hours:]minutes:seconds`.
    fn age_s(text: &str) -> Option<i64> {
        let (days, time) = text.split_once('-').unwrap_or(("0", text));
        let numbers: Option<Vec<i64>> = time.split(':').map(|number| number.parse().ok()).collect();
        let time = numbers?.into_iter().fold(0, |sum, number| sum * 60 + number);
        Some(days.parse::<i64>().ok()? * 86_400 + time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_this_process_and_its_child() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let all = all();
        let found = all.iter().find(|process| process.pid == child.id()).cloned();
        child.kill().unwrap();
        child.wait().unwrap();
        let found = found.unwrap();
        assert_eq!((found.parent, found.name(), found.verb()), (std::process::id(), "sleep", "60"));
        assert!(!found.is_replaced);
        assert!(all.iter().any(|process| process.pid == std::process::id()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_with_brackets_is_read_and_a_zombie_is_none() {
        let rest = "7 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 20 0 1 4711 0 0";
        let line = |state: &str| linux::stat(&format!("42 (a) b (c) {state} {rest}"));
        let read = line("S").unwrap();
        assert_eq!((read.parent, read.begun), (7, 4711));
        assert!(line("Z").is_none());
    }

    #[test]
    fn a_line_of_ps_is_read() {
        let read = ps::line("  812     1 2-03:04:05 /opt/x/node server.js --stdio").unwrap();
        assert_eq!((read.pid, read.parent, read.age_ms), (812, 1, 183_845_000));
        assert_eq!((read.name(), read.verb()), ("node", "server.js"));
        assert_eq!(ps::line("1 0 07:30 launchd").unwrap().age_ms, 450_000);
        assert!(ps::line("PID PPID ELAPSED ARGS").is_none());
    }
}
