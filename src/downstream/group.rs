//! What may be done to all processes of a server at once. On Unix its group has the id of its first process.

pub use system::{kill, kill_one, lives, terminate, wrap};

#[cfg(unix)]
mod system {
    use process_wrap::tokio::{CommandWrap, ProcessGroup};
    use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

    /// Lets what is started be the first of a group of its own.
    pub fn wrap(command: &mut CommandWrap) {
        command.wrap(ProcessGroup::leader());
    }

    /// Asks the group to end.
    pub fn terminate(id: u32) {
        send(id, Signal::TERM);
    }

    /// Ends the group.
    pub fn kill(id: u32) {
        send(id, Signal::KILL);
    }

    /// Whether anything is left of the group, be it a process that only waits to be reaped.
    pub fn lives(id: u32) -> bool {
        pid(id).is_some_and(|pid| test_kill_process_group(pid).is_ok())
    }

    /// Ends one process and not its group.
    pub fn kill_one(id: u32) {
        if let Some(pid) = pid(id) {
            // A process that is gone already is what we want.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    fn send(id: u32, signal: Signal) {
        if let Some(pid) = pid(id) {
            // A group that is gone already is what we want.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// None for 0 and 1: as a group, the system would take them for our own and for all there are.
    fn pid(id: u32) -> Option<Pid> {
        i32::try_from(id).ok().filter(|id| *id > 1).and_then(Pid::from_raw)
    }
}

/// A job object holds the group. Untested: no machine of ours runs Windows.
#[cfg(windows)]
mod system {
    use process_wrap::tokio::{CommandWrap, JobObject};

    /// Lets what is started live in a job of its own.
    pub fn wrap(command: &mut CommandWrap) {
        command.wrap(JobObject);
    }

    /// There is no polite signal: the closed input was the request.
    pub fn terminate(_id: u32) {}

    /// The job ends with its handle, when the process is dropped.
    pub fn kill(_id: u32) {}

    /// Cannot be told.
    pub fn lives(_id: u32) -> bool {
        false
    }

    /// Ends one process.
    pub fn kill_one(id: u32) {
        // A process that is gone already is what we want.
        let _ = std::process::Command::new("taskkill").args(["/F", "/PID", &id.to_string()]).output();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_group_of_a_server_is_never_reached() {
        // `kill(-1, 0)` and `kill(0, 0)` find somebody.
        assert!(!lives(0) && !lives(1) && !lives(u32::MAX));
    }
}
