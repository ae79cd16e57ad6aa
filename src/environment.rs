//! The variables and the folder in which a client started us: what its servers see of them.
//!
//! A hub serves clients that were started in many environments. Its servers live in that of the client which they
//! were started for, never in its own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a server inherits, beside every `LC_*` (faults.md, "Child"); on Windows also what programs cannot start
/// without.
const INHERITED: &[&str] = &[
    "HOME",
    "PATH",
    "LANG",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    #[cfg(windows)]
    "SYSTEMROOT",
    #[cfg(windows)]
    "WINDIR",
    #[cfg(windows)]
    "COMSPEC",
    #[cfg(windows)]
    "PATHEXT",
    #[cfg(windows)]
    "APPDATA",
    #[cfg(windows)]
    "LOCALAPPDATA",
    #[cfg(windows)]
    "PROGRAMFILES",
    #[cfg(windows)]
    "PROGRAMDATA",
    #[cfg(windows)]
    "USERPROFILE",
    #[cfg(windows)]
    "USERNAME",
    #[cfg(windows)]
    "TEMP",
    #[cfg(windows)]
    "TMP",
];

/// The variables of one client. Its `Debug` shows none of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(Arc<BTreeMap<OsString, OsString>>);

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn own() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of a variable, if it is set and text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.os(name)?.to_str().map(str::to_owned)
    }

    /// The value of a variable, whatever its bytes are.
    #[must_use]
    pub fn os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// What a server inherits of it.
    pub fn inherited(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let is_inherited = |name: &OsStr| name.to_str().is_some_and(is_inherited);
        let all = self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        all.filter(move |(name, _)| is_inherited(name))
    }

    /// The user's own folder.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        self.os(name).map(PathBuf::from).filter(|home| home.is_absolute())
    }

    /// All of it that is text.
    #[must_use]
    pub fn texts(&self) -> BTreeMap<String, String> {
        let text = |text: &OsString| text.to_str().map(str::to_owned);
        self.0.iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(Arc::new(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment of {} variables", self.0.len())
    }
}

/// Where a client started us, as far as somebody said it.
pub type Folder = Option<Arc<Path>>;

fn is_inherited(name: &str) -> bool {
    INHERITED.contains(&name.to_ascii_uppercase().as_str())
        && (cfg!(windows) || !name.contains(char::is_lowercase))
        || name.starts_with("LC_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_inherits_little_and_nobody_sees_the_rest() {
        let all =
            [("HOME", "/home/x"), ("LC_ALL", "C"), ("TOKEN", "s3cr3t"), ("path", "/x"), ("PATH", "/bin")];
        let environment: Environment = all.into_iter().collect();
        let inherited: Vec<_> = environment.inherited().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(inherited, ["HOME", "LC_ALL", "PATH"]);
        assert_eq!(environment.get("TOKEN").as_deref(), Some("s3cr3t"));
        assert_eq!(environment.home(), Some("/home/x".into()));
        assert_eq!(environment, environment.texts().into_iter().collect());
        assert_eq!(format!("{environment:?}"), "Environment of 5 variables");
    }
}
