//! The program that a client is told to start: this one, by a path that lasts.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where this program lies, absolute. Links stay as they were called: a package manager points them at each new
/// version.
///
/// # Errors
/// When its file is gone, or no client's file could hold its name.
pub fn own() -> anyhow::Result<String> {
    let running = env::current_exe().context("the path of this program is not known")?;
    let running = replaced(&running).unwrap_or(running);
    anyhow::ensure!(
        running.exists(),
        "this program's file is gone ({}): start the bridge from where it lies now",
        running.display()
    );
    let called = env::args_os().next().and_then(|name| called(&name));
    let program = called.filter(|called| is_same(called, &running)).unwrap_or(running);
    let program = program.into_os_string().into_string();
    program.map_err(|path| anyhow::anyhow!("{} is no Unicode text: put the bridge elsewhere", path.display()))
}

/// The new program in the place of a running one that was replaced: Linux then says so behind its name.
fn replaced(running: &Path) -> Option<PathBuf> {
    let name = running.to_str()?.strip_suffix(" (deleted)")?;
    (!running.exists()).then(|| PathBuf::from(name))
}

/// The path by which somebody started this program.
fn called(name: &OsStr) -> Option<PathBuf> {
    let name = Path::new(name);
    if name.components().count() > 1 {
        return std::path::absolute(name).ok().filter(|path| is_plain(path));
    }
    let folders = env::var_os("PATH")?;
    let found = env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.filter(|path| path.is_absolute() && is_plain(path))
}

/// Whether a path stands for itself: nothing goes up in it, and it is not a process's own.
fn is_plain(path: &Path) -> bool {
    !path.starts_with("/proc") && !path.components().any(|part| part == std::path::Component::ParentDir)
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Why a client should not be told to start a program here, in words; `None` where it will stay.
pub fn warning(program: &str) -> Option<String> {
    let place = passing(program)?;
    Some(format!(
        "warning: this program lies in {place}:\n  {program}\n  Put it where it stays first (cargo install --path .)."
    ))
}

/// The kind of a place in which a program will not stay.
pub fn passing(program: &str) -> Option<&'static str> {
    let path = Path::new(program).canonicalize().unwrap_or_else(|_| program.into());
    let parts: Vec<&OsStr> = path.iter().collect();
    let at = parts.iter().position(|part| *part == "target");
    let built = at.and_then(|at| parts.get(at + 1..)).unwrap_or_default();
    if built.iter().any(|part| *part == "debug" || *part == "release") {
        Some("a build folder")
    } else {
        is_temporary(&path).then_some("a folder for temporary files")
    }
}

fn is_temporary(path: &Path) -> bool {
    let known = ["/tmp", "/var/tmp", "/private/tmp", "/private/var/folders"].map(PathBuf::from);
    let here = env::temp_dir();
    let here = here.canonicalize().unwrap_or(here);
    known.iter().chain([&here]).any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_will_not_stay_is_warned_of() {
        let warned = |program: &str| warning(program).is_some();
        assert!(warned("/home/u/bridge/target/debug/bridge"));
        assert!(warned("/home/u/bridge/target/x86_64-unknown-linux-gnu/release/bridge"));
        assert!(warned("/tmp/x/bridge"));
        assert!(!warned("/home/u/.cargo/bin/bridge"));
        assert!(!warned("/home/target/bin/bridge"));
    }

    #[test]
    fn a_path_that_goes_up_or_is_a_processs_own_is_not_taken() {
        assert_eq!(called(OsStr::new("/proc/self/exe")), None);
        assert_eq!(called(OsStr::new("/usr/bin/../bin/sh")), None);
        assert_eq!(called(OsStr::new("/usr/bin/sh")), Some("/usr/bin/sh".into()));
        assert_eq!(replaced(Path::new("/gone/bridge (deleted)")), Some("/gone/bridge".into()));
    }
}
