//! Where a client keeps its servers, on each platform.

use std::path::PathBuf;

use crate::clients::Client;

/// Whose habits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// macOS.
    Mac,
    /// Windows.
    Windows,
    /// Everything else.
    Other,
}

impl System {
    /// That of this machine.
    #[must_use]
    pub const fn here() -> Self {
        if cfg!(target_os = "macos") {
            Self::Mac
        } else if cfg!(windows) {
            Self::Windows
        } else {
            Self::Other
        }
    }
}

/// The folders of a user from which a client's file is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The platform.
    pub system: System,
    /// The home folder.
    pub home: PathBuf,
    /// Where programs keep their configuration: `$XDG_CONFIG_HOME` or `~/.config`, `~/Library/Application
    /// Support`, `%APPDATA%`.
    pub configs: PathBuf,
    /// `CLAUDE_CONFIG_DIR`: where Claude Code keeps everything, if not in the home folder.
    pub claude: Option<PathBuf>,
}

/// Where a client keeps its servers, and what shows that it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file with the map of servers; it may be missing.
    pub file: PathBuf,
    /// The folder that the client makes when it is installed or started first.
    pub folder: PathBuf,
}

impl Ground {
    /// This user's; `None` for an account without a home folder.
    #[must_use]
    pub fn here() -> Option<Self> {
        let dirs = directories::BaseDirs::new()?;
        let system = System::here();
        let claude = std::env::var_os("CLAUDE_CONFIG_DIR").filter(|folder| !folder.is_empty());
        Some(Self {
            system,
            home: dirs.home_dir().to_owned(),
            configs: dirs.config_dir().to_owned(),
            claude: claude.map(PathBuf::from),
        })
    }

    /// Where a client keeps its servers.
    #[must_use]
    pub fn place(&self, client: Client) -> Place {
        let (folder, file) = match client {
            Client::ClaudeDesktop => (self.configs.join("Claude"), "claude_desktop_config.json"),
            Client::ClaudeCode => return self.claude_code(),
            Client::Cursor => (self.home.join(".cursor"), "mcp.json"),
            Client::Vscode => {
                let folder = self.configs.join("Code");
                return Place { file: folder.join("User").join("mcp.json"), folder };
            }
            Client::Windsurf => (self.home.join(".codeium").join("windsurf"), "mcp_config.json"),
            Client::Zed => (self.zed(), "settings.json"),
        };
        Place { file: folder.join(file), folder }
    }

    /// Its file stands beside its folder, unless both were moved.
    fn claude_code(&self) -> Place {
        match &self.claude {
            Some(folder) => Place { file: folder.join(".claude.json"), folder: folder.clone() },
            None => Place { file: self.home.join(".claude.json"), folder: self.home.join(".claude") },
        }
    }

    /// It keeps to `~/.config` on macOS too.
    fn zed(&self) -> PathBuf {
        match self.system {
            System::Mac => self.home.join(".config").join("zed"),
            System::Windows => self.configs.join("Zed"),
            System::Other => self.configs.join("zed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of all clients, in their order.
    fn files(system: System, home: &str, configs: &str) -> String {
        let ground = Ground { system, home: home.into(), configs: configs.into(), claude: None };
        Client::ALL.map(|client| ground.place(client).file.display().to_string()).join("\n")
    }

    #[test]
    fn each_platform_has_its_places() {
        insta::assert_snapshot!(files(System::Other, "/home/u", "/home/u/.config"), @r"
        /home/u/.config/Claude/claude_desktop_config.json
        /home/u/.claude.json
        /home/u/.cursor/mcp.json
        /home/u/.config/Code/User/mcp.json
        /home/u/.codeium/windsurf/mcp_config.json
        /home/u/.config/zed/settings.json
        ");
        insta::assert_snapshot!(files(System::Mac, "/Users/u", "/Users/u/Library/Application Support"), @r"
        /Users/u/Library/Application Support/Claude/claude_desktop_config.json
        /Users/u/.claude.json
        /Users/u/.cursor/mcp.json
        /Users/u/Library/Application Support/Code/User/mcp.json
        /Users/u/.codeium/windsurf/mcp_config.json
        /Users/u/.config/zed/settings.json
        ");
        // The separators are those of the machine that runs the test.
        insta::assert_snapshot!(files(System::Windows, "C:/Users/u", "C:/Users/u/AppData/Roaming"), @r"
        C:/Users/u/AppData/Roaming/Claude/claude_desktop_config.json
        C:/Users/u/.claude.json
        C:/Users/u/.cursor/mcp.json
        C:/Users/u/AppData/Roaming/Code/User/mcp.json
        C:/Users/u/.codeium/windsurf/mcp_config.json
        C:/Users/u/AppData/Roaming/Zed/settings.json
        ");
    }

    #[test]
    fn claude_code_may_live_elsewhere() {
        let ground = Ground {
            system: System::Other,
            home: "/home/u".into(),
            configs: "/home/u/.config".into(),
            claude: Some("/srv/claude".into()),
        };
        let place = ground.place(Client::ClaudeCode);
        assert_eq!(place.file, PathBuf::from("/srv/claude/.claude.json"));
        assert_eq!(place.folder, PathBuf::from("/srv/claude"));
    }
}
