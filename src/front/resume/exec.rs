//! The step from one program to the next, and what is open before and after it.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::frames::Welcome;

/// The argument that names the state's descriptor.
const RESUME: &str = "--resume=";

/// The program that a hub runs: where it lies, or, when that was removed or replaced since, where the system has it.
///
/// # Errors
/// When the hub says nothing of it, or it is not there.
#[cfg(target_os = "linux")]
pub fn program(hub: &Welcome) -> io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let file = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino()));
    let running = PathBuf::from(format!("/proc/{}/exe", hub.pid));
    let of_hub = file(&running)?;
    Ok(hub.program.clone().filter(|path| file(path).is_ok_and(|found| found == of_hub)).unwrap_or(running))
}

/// The program that a hub runs, as it says. Untested.
///
/// # Errors
/// When the hub says nothing of it.
#[cfg(not(target_os = "linux"))]
pub fn program(hub: &Welcome) -> io::Result<PathBuf> {
    hub.program.clone().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the hub names no program"))
}

/// A file that nobody else can open.
///
/// # Errors
/// When the system has no room for it.
pub fn private_file() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    return Ok(rustix::fs::memfd_create("bridge-front", rustix::fs::MemfdFlags::CLOEXEC)?.into());
    #[cfg(not(target_os = "linux"))]
    return tempfile::tempfile();
}

/// Goes on as another program with the same arguments and those ends, and tells it where the state is. Comes back
/// only with why that cannot be; everything is as before then.
pub fn replace(program: &Path, state: RawFd, ends: &[BorrowedFd<'_>]) -> io::Error {
    let mark = |flags| ends.iter().try_for_each(|end| fcntl_setfd(end, flags));
    let result = mark(FdFlags::empty())
        .map_err(io::Error::from)
        .and_then(|()| execute(program.to_owned().into(), arguments(std::env::args_os().collect(), state)));
    // They were opened so.
    let _ = mark(FdFlags::CLOEXEC);
    result.err().unwrap_or_else(|| io::ErrorKind::Other.into())
}

/// The same arguments, with another state.
fn arguments(own: Vec<OsString>, state: RawFd) -> Vec<OsString> {
    let is_resume = |argument: &OsString| argument.as_encoded_bytes().starts_with(RESUME.as_bytes());
    let mut arguments: Vec<OsString> = own.into_iter().filter(|argument| !is_resume(argument)).collect();
    // What follows that is no option.
    let at = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    arguments.insert(at, format!("{RESUME}{state}").into());
    arguments
}

/// `exec` as the system has it: std's own unblocks signals first, and whoever they are for has gone already.
#[expect(unsafe_code, reason = "std's `exec` lets signals through before the next program can hear them")]
fn execute(program: OsString, arguments: Vec<OsString>) -> io::Result<()> {
    let program = CString::new(program.into_vec())?;
    let arguments: Vec<CString> =
        arguments.into_iter().map(|argument| CString::new(argument.into_vec())).collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const libc::c_char> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(ptr::null());
    // SAFETY: all texts end in a NUL, the list ends in a null pointer, and both outlive the call.
    unsafe { libc::execv(program.as_ptr(), pointers.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// An end that the program before left open under this number. No child gets it from here on.
///
/// # Errors
/// When there is none.
#[expect(unsafe_code, reason = "what another program left open can only be named by its number")]
pub fn taken(number: RawFd) -> io::Result<File> {
    if number < 3 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: nothing of this program has been opened under a number that was handed over: it was open from the
    // start, which is asked first, and each is taken once. The borrow ends before the descriptor is owned.
    unsafe {
        let left = BorrowedFd::borrow_raw(number);
        fcntl_getfd(left)?;
        fcntl_setfd(left, FdFlags::CLOEXEC)?;
        Ok(OwnedFd::from_raw_fd(number).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: &[&str], expected: &[&str]) {
        assert_eq!(arguments(own.iter().map(OsString::from).collect(), 7), expected);
    }

    #[test]
    fn the_arguments_stay_the_same_but_for_the_state() {
        check(&["bridge", "--config", "x", "serve"], &["bridge", "--config", "x", "serve", "--resume=7"]);
        check(&["bridge", "serve", "--resume=5"], &["bridge", "serve", "--resume=7"]);
        check(&["bridge", "serve", "--"], &["bridge", "serve", "--resume=7", "--"]);
    }

    #[test]
    fn what_cannot_be_run_leaves_everything_as_it_was() {
        let file = private_file().unwrap();
        let ends = [std::os::fd::AsFd::as_fd(&file)];
        let error = replace(Path::new("/nowhere/bridge"), 9, &ends);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(fcntl_getfd(&file).unwrap(), FdFlags::CLOEXEC);
    }

    #[test]
    fn what_was_not_left_open_is_not_taken() {
        assert!(taken(0).is_err() && taken(i32::MAX).is_err());
    }
}
