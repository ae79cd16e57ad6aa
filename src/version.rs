//! Which bridge this program is.

/// The version behind words that stand nowhere else: whoever changes these bytes in a copy of the program has a
/// program of another version, which is how upgrades are tested.
const MARKED: &str = concat!("this bridge has the version ", env!("CARGO_PKG_VERSION"));

/// The words before it.
const MARK: &str = "this bridge has the version ";

/// The version of this program: three numbers with points between them (semver.org).
#[must_use]
pub fn own() -> &'static str {
    // Read where it stands: the compiler must not know it already.
    std::hint::black_box(MARKED).get(MARK.len()..).unwrap_or_default()
}

/// Whether a version is newer than another; what is no version of ours is never newer.
#[must_use]
pub fn is_newer(version: &str, than: &str) -> bool {
    parts(version).is_some_and(|version| parts(than).is_none_or(|than| version > than))
}

/// Whether a text is a version as ours are.
#[must_use]
pub fn is_one(version: &str) -> bool {
    parts(version).is_some()
}

/// The three numbers. No version of ours has more, so that this is all of semver that is needed.
fn parts(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        assert!(is_newer("0.10.0", "0.9.9") && is_newer("1.0.0", "0.99.0") && is_newer("0.1.0", ""));
        assert!(!is_newer("0.1.0", "0.1.0") && !is_newer("0.1.0", "0.1.1") && !is_newer("0.2", "0.1.0"));
    }

    #[test]
    fn the_version_is_that_of_the_package() {
        assert_eq!(own(), env!("CARGO_PKG_VERSION"));
    }
}
