//! The AI clients that start the bridge: where each keeps its servers, and how an entry looks there.
//!
//! Pure: texts go in and come out ([`book`]), what stands in them becomes entries of our own configuration
//! ([`taken`]) or something to show ([`masked`]). The files themselves are `cli/install`'s.

use std::path::{Path, PathBuf};

pub mod book;
pub mod masked;
pub mod place;
pub mod taken;

/// The name of the bridge's entry. Clients count it in when they cut the names of tools.
pub const ENTRY: &str = "bridge";

/// A program that starts MCP servers, as `bridge install` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Client {
    /// Claude Desktop.
    ClaudeDesktop,
    /// Claude Code, in every project of this user.
    ClaudeCode,
    /// Cursor, in every project of this user.
    Cursor,
    /// Visual Studio Code, in the default profile of this user.
    Vscode,
    /// Windsurf.
    Windsurf,
    /// Zed.
    Zed,
}

/// Which references a client replaces in an entry before it starts the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variables {
    /// Those that the bridge replaces too, or none: `${env:NAME}`.
    Ours,
    /// As a shell does: `${NAME}`, `${NAME:-default}`.
    Shell,
    /// `${env:NAME}`, `${input:id}`, `${workspaceFolder}` and others.
    Editor,
}

/// What a client counts of the name under which it shows a tool. It hides those that are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameLimit {
    /// So many characters at most, with the name of the server's entry.
    pub chars_max: usize,
    /// So many of them are neither the entry's nor the tool's.
    beside: usize,
}

impl NameLimit {
    /// How many characters a tool of this name has there.
    #[must_use]
    pub fn chars(self, entry: &str, tool: &str) -> usize {
        entry.chars().count() + self.beside + tool.chars().count()
    }
}

impl Client {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::ClaudeDesktop, Self::ClaudeCode, Self::Cursor, Self::Vscode, Self::Windsurf, Self::Zed];

    /// Its word on the command line and in the record of what was installed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "claude-desktop",
            Self::ClaudeCode => "claude-code",
            Self::Cursor => "cursor",
            Self::Vscode => "vscode",
            Self::Windsurf => "windsurf",
            Self::Zed => "zed",
        }
    }

    /// Its name as people know it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::Vscode => "VS Code",
            Self::Windsurf => "Windsurf",
            Self::Zed => "Zed",
        }
    }

    /// The key of the map of servers in its file.
    #[must_use]
    pub const fn servers_key(self) -> &'static str {
        match self {
            Self::Vscode => "servers",
            Self::Zed => "context_servers",
            _ => "mcpServers",
        }
    }

    /// Whether an entry says by `type` how its server is spoken to.
    const fn writes_type(self) -> bool {
        matches!(self, Self::ClaudeCode | Self::Vscode)
    }

    /// Whether it reads plain JSON only: a comment in its file, and it sees no servers at all.
    const fn is_strict(self) -> bool {
        matches!(self, Self::ClaudeDesktop | Self::ClaudeCode)
    }

    /// How many tools it takes at most, of all its servers together; `None` if no limit is known.
    #[must_use]
    pub const fn tools_max(self) -> Option<usize> {
        match self {
            Self::Vscode => Some(128),
            Self::Windsurf => Some(100),
            _ => None,
        }
    }

    /// How long a tool's name may be.
    #[must_use]
    pub const fn names(self) -> NameLimit {
        match self {
            Self::Cursor => NameLimit { chars_max: 60, beside: 1 },
            _ => NameLimit { chars_max: 64, beside: "mcp____".len() },
        }
    }

    /// What it replaces in an entry.
    #[must_use]
    pub const fn variables(self) -> Variables {
        match self {
            Self::ClaudeCode => Variables::Shell,
            Self::Cursor | Self::Vscode => Variables::Editor,
            Self::ClaudeDesktop | Self::Windsurf | Self::Zed => Variables::Ours,
        }
    }
}

/// How a client is told to start the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program, absolute: a desktop program's `PATH` is not the shell's.
    pub program: String,
    /// The configuration, where it is not the platform's own.
    pub config: Option<String>,
    /// The data folder, where it is not the platform's own.
    pub data_dir: Option<String>,
}

impl Launch {
    /// The arguments of the entry.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let mut args = vec!["serve".to_owned()];
        for (flag, place) in [("--config", &self.config), ("--data-dir", &self.data_dir)] {
            args.extend(place.iter().flat_map(|place| [flag.to_owned(), place.clone()]));
        }
        args
    }

    /// Whether an entry starts a bridge: this program, or another one of its name.
    fn is_bridge(&self, command: &str, args: &[String]) -> bool {
        let names_bridge = Path::new(command).file_stem().is_some_and(|stem| stem == "bridge");
        (names_bridge || command == self.program) && args.iter().any(|arg| arg == "serve")
    }
}

/// What an entry that starts a bridge says of its configuration: the value behind `--config`.
#[must_use]
pub fn config_in(args: &[String]) -> Option<PathBuf> {
    let at = args.iter().position(|arg| arg == "--config");
    let behind = at.and_then(|at| args.get(at + 1)).map(String::as_str);
    behind.or_else(|| args.iter().find_map(|arg| arg.strip_prefix("--config="))).map(PathBuf::from)
}
