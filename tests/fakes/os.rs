//! What the fake server asks of the operating system.

pub use system::{close_stdout, ignore_term, kill_self, stdout};

/// How long a deaf grandchild lives when nobody ends it: a failed test must not leave it behind for ever.
const DEAF_LIFE_S: u64 = 60;

/// A process that does not hear SIGTERM. Never returns.
pub fn be_deaf() -> ! {
    ignore_term();
    std::thread::sleep(std::time::Duration::from_secs(DEAF_LIFE_S));
    end(0)
}

/// Waits without end: for another thread, or for the signal that is on its way.
pub fn park() -> ! {
    loop {
        std::thread::park();
    }
}

/// Ends the process.
#[expect(clippy::exit, reason = "a fake server ends when its script says so, from any thread")]
pub fn end(code: i32) -> ! {
    std::process::exit(code)
}

#[cfg(unix)]
mod system {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    pub fn stdout() -> std::io::Result<File> {
        Ok(std::io::stdout().as_fd().try_clone_to_owned()?.into())
    }

    /// Puts /dev/null in the place of the pipe, so that the reader sees the end.
    pub fn close_stdout() {
        if let Ok(null) = File::options().write(true).open("/dev/null") {
            let _done = rustix::stdio::dup2_stdout(null);
        }
    }

    /// A handler that only sets a flag nobody reads. Unlike SIG_IGN it does not pass to children.
    pub fn ignore_term() {
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            let _done = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
        }
    }

    /// Returns when the signal is not deadly, or unknown.
    pub fn kill_self(number: i32) {
        if let Some(signal) = rustix::process::Signal::from_named_raw(number) {
            let _done = rustix::process::kill_process(rustix::process::getpid(), signal);
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::File;
    use std::os::windows::io::AsHandle;

    pub fn stdout() -> std::io::Result<File> {
        Ok(std::io::stdout().as_handle().try_clone_to_owned()?.into())
    }

    pub fn close_stdout() {}

    pub fn ignore_term() {}

    pub fn kill_self(_number: i32) {
        std::process::abort();
    }
}
