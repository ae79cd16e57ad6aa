//! The pages of memory that this process has, and does not need. Linux knows how; elsewhere nothing happens.

#[cfg(target_os = "linux")]
use std::io::{BufRead, BufReader};
#[cfg(target_os = "linux")]
use std::ops::Range;

/// Blocks of this size and larger go back to the system as soon as they are freed, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: i32 = 256 * 1024;

/// Lets go of what the start has touched of the program's file and of its libraries, which is most of what a small
/// process has. What is needed again comes from the system's cache, 64 KiB at a time in less than a microsecond.
pub fn forget_start() {
    #[cfg(target_os = "linux")]
    if let Ok(smaps) = std::fs::File::open("/proc/self/smaps") {
        clean(BufReader::new(smaps)).into_iter().for_each(forget);
    }
}

/// From now on a large block goes back to the system when it is freed, however many of its kind were freed before:
/// the allocator would rather keep them for the next one.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "the allocator is told by the C library alone")
)]
pub fn keep_nothing_large() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes two numbers, and sets one of the allocator's own variables under the allocator's lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
    }
}

/// The mappings of files that nobody can write and nobody has written: whatever is in them is in the file.
#[cfg(target_os = "linux")]
fn clean(smaps: impl BufRead) -> Vec<Range<usize>> {
    let (mut found, mut mapping) = (Vec::new(), None);
    for line in smaps.lines().map_while(Result::ok) {
        match line.strip_prefix("Anonymous:") {
            Some(written) if written.trim() == "0 kB" => found.extend(mapping.take()),
            Some(_) => mapping = None,
            None => mapping = of_file(&line).or(mapping),
        }
    }
    found
}

/// The range of a mapping, from its first line, if it is one of a file and cannot be written.
#[cfg(target_os = "linux")]
fn of_file(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let is_writable = words.next()?.contains('w');
    let is_file = words.nth(3)?.starts_with('/');
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?).filter(|_| is_file && !is_writable)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a mapping that the loader made can only be named by its address")]
fn forget(range: Range<usize>) {
    use rustix::mm::{Advice, madvise};
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: the range is a mapping of the program or a library of its own, which stays for as long as the process
    // lives. It cannot be written and was not: each of its pages reads the same before and after, from the file.
    // Where the kernel refuses, nothing has changed.
    let _ = unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) };
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_same_in_its_file_is_forgotten() {
        let smaps = "\
1000-2000 r--p 00000000 fe:00 12 /usr/bin/bridge
Rss:                   4 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
2000-4000 r-xp 00001000 fe:00 12 /usr/bin/a bridge
Anonymous:             0 kB
4000-5000 r--p 00003000 fe:00 12 /usr/bin/bridge
Anonymous:             4 kB
5000-6000 rw-p 00004000 fe:00 12 /usr/bin/bridge
Anonymous:             0 kB
6000-7000 r--p 00000000 00:00 0
Anonymous:             0 kB
7000-8000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
";
        assert_eq!(clean(smaps.as_bytes()), [0x1000..0x2000, 0x2000..0x4000]);
    }

    #[test]
    fn the_program_goes_on_without_what_it_forgot() {
        forget_start();
        keep_nothing_large();
        assert_eq!(vec![1_u8; 1 << 20].iter().map(|one| usize::from(*one)).sum::<usize>(), 1 << 20);
    }
}
