//! The key of what a server was started with.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::config::server::Server;

/// Names a launch specification by its content: the key of a stored tool list.
///
/// Two servers have the same key when command, arguments as written, names of variables and folder
/// are the same, whatever their names and the values of their variables are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaunchKey(String);

/// Half of a SHA-256 is enough to tell launches apart.
const KEY_BYTES: usize = 16;

impl LaunchKey {
    /// The key of a server's launch.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        let mut names: Vec<&str> = server.env.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut hash = Sha256::new();
        list(&mut hash, ["launch 1", server.command.as_str()].map(str::as_bytes));
        list(&mut hash, server.args.iter().map(|arg| arg.as_written().as_bytes()));
        list(&mut hash, names.into_iter().map(str::as_bytes));
        list(&mut hash, server.cwd.iter().map(|cwd| cwd.as_os_str().as_encoded_bytes()));
        let hex = hash.finalize().iter().take(KEY_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self(hex)
    }

    /// The key as 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaunchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds a list: how many items, then each with its length before it, so that no two lists meet.
fn list<'a>(hash: &mut Sha256, items: impl IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>) {
    let items = items.into_iter();
    hash.update((items.len() as u64).to_le_bytes());
    for item in items {
        hash.update((item.len() as u64).to_le_bytes());
        hash.update(item);
    }
}
