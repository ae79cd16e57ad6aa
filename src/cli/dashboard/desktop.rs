//! The desktop, which knows the program for a file.

use std::io;
use std::path::Path;

/// Has a file shown by the program that its user has for such files, and does not wait for that.
///
/// # Errors
/// When there is no desktop, or it has no program for that.
pub fn show(file: &Path) -> io::Result<()> {
    if !is_there() {
        return Err(io::Error::other("there is no desktop here"));
    }
    open::that_detached(file)
}

/// Without one some openers take a browser for terminals.
#[cfg(all(unix, not(target_os = "macos")))]
fn is_there() -> bool {
    // The last one is Windows' desktop, to Linux on it.
    ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Elsewhere there is always one. Untested.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn is_there() -> bool {
    true
}
