//! What the system says of a folder's disk. Linux is tested; the others are written with care.

use std::path::Path;

/// How many bytes are free for this user where a folder stands.
#[cfg(unix)]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Not asked there.
#[cfg(not(unix))]
pub fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

/// What a folder's file system is called, if it is one of another machine: locks and shared memory do not hold there.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn network(folder: &Path) -> Option<&'static str> {
    /// By `statfs(2)`; `9p` is a Windows disk under WSL, too.
    const KNOWN: [(u64, &str); 7] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "SMB"),
        (0xfe53_4d42, "SMB"),
        (0x5346_414f, "AFS"),
        (0x00c3_6400, "Ceph"),
        (0x0102_1997, "9p"),
    ];
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    // Some of these numbers are negative where the system's type is signed and short.
    let kind = (kind as u64) & 0xffff_ffff;
    KNOWN.into_iter().find(|(known, _)| *known == kind).map(|(_, name)| name)
}

/// There the system says itself what is local. Untested.
#[cfg(target_os = "macos")]
pub fn network(folder: &Path) -> Option<&'static str> {
    let flags = u64::from(rustix::fs::statfs(folder).ok()?.f_flags);
    let local = u64::try_from(libc::MNT_LOCAL).unwrap_or_default();
    (flags & local == 0).then_some("a network volume")
}

/// Cannot be told elsewhere.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
pub fn network(_folder: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_disk_and_what_is_not_there_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).is_some_and(|free| free > 0));
        assert_eq!(free_bytes(&dir.path().join("none")), None);
        assert_eq!(network(&dir.path().join("none")), None);
    }
}
