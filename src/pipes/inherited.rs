//! Descriptors that somebody leaked into this process. Our own are closed by every `exec`; these are not.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Where the system lists the descriptors of this process.
const LISTING: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

/// Marks every descriptor above 2 as one that no child gets: a server inherits 0, 1 and 2 and nothing
/// of the client's (faults.md, "Child").
///
/// # Errors
/// When the system does not list them, or refuses one.
pub fn keep_from_children() -> io::Result<()> {
    for entry in std::fs::read_dir(LISTING)? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(number) = number.filter(|number| *number > 2) {
            mark(number)?;
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a descriptor that nobody told us of can only be named by its number")]
fn mark(number: RawFd) -> io::Result<()> {
    // SAFETY: the number was listed as open a moment ago, and nothing closes descriptors this early:
    // the listing's own is open until the loop ends. The borrow does not outlive this function.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(fcntl_setfd(descriptor, FdFlags::CLOEXEC)?)
}
