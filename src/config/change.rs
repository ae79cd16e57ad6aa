//! What a new reading of a configuration changes in a bridge that runs.

use crate::config::mistake::Mistake;
use crate::config::server::Server;
use crate::config::settings::Settings;
use crate::config::tools::OnChange;
use crate::config::{Config, Loaded};
use crate::names::ServerName;

/// What differs between two configurations. Servers that are switched off count as none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Servers that were not there before.
    pub added: Vec<ServerName>,
    /// Servers whose entry is another one.
    pub changed: Vec<ServerName>,
    /// Servers whose tools are shown in another way, and that go on as they are.
    pub shown: Vec<ServerName>,
    /// Servers that are not there any more.
    pub removed: Vec<ServerName>,
    /// The keys of settings that differ, and hold for every server's next life.
    pub settings: Vec<&'static str>,
    /// The keys of settings that differ, and need a new start of the bridge.
    pub later: Vec<&'static str>,
}

impl Change {
    /// What the second configuration changes in the first.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let (before, now) = (old.enabled(), new.enabled());
        let find =
            |all: &[&Server], name: &ServerName| all.iter().copied().find(|it| it.name == *name).cloned();
        let capacity = |all: &Config, server: &Server| server.capacity.over(&all.settings.capacity);
        let mut change = Self::default();
        for server in &now {
            let name = server.name.clone();
            match find(&before, &name) {
                None => change.added.push(name),
                Some(earlier)
                    if !earlier.runs_like(server) || capacity(old, &earlier) != capacity(new, server) =>
                {
                    change.changed.push(name);
                }
                Some(earlier) if earlier.tools != server.tools => change.shown.push(name),
                Some(earlier) if old.on_tool_change(&earlier) != new.on_tool_change(server) => {
                    change.shown.push(name);
                }
                Some(_) => {}
            }
        }
        let gone = before.iter().filter(|server| find(&now, &server.name).is_none());
        change.removed = gone.map(|server| server.name.clone()).collect();
        (change.settings, change.later) = Settings::differing(&old.settings, &new.settings);
        change.later.extend((old.clients != new.clients).then_some("clients"));
        change
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Config {
    /// The servers that may be started, in the file's order.
    #[must_use]
    pub fn enabled(&self) -> Vec<&Server> {
        self.servers.iter().filter(|server| server.enabled).collect()
    }

    /// What comes of a changed tool of a server.
    #[must_use]
    pub fn on_tool_change(&self, server: &Server) -> OnChange {
        server.on_tool_change.unwrap_or(self.settings.on_tool_change)
    }
}

impl Loaded {
    /// This reading with what the one before it had in the place of whatever is broken. A file that is empty
    /// where there were servers is one that is about to be written.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        let own = self.config.clone();
        self.keep(before);
        self.keeps = self.config != own;
        self
    }

    /// The keys of settings that differ from the first reading in a bridge's life, and need a new start of it.
    #[must_use]
    pub fn later(&self, first: &Self) -> Vec<&'static str> {
        Change::between(&first.config, &self.config).later
    }

    fn keep(&mut self, before: &Self) {
        if self.is_empty && !before.config.servers.is_empty() {
            let mistake = self.source.as_deref().map(|file| Mistake::of_file(file, "is empty".into()));
            self.mistakes.extend(mistake);
            self.broken.file = true;
        }
        if self.broken.file {
            self.config = before.config.clone();
            return;
        }
        if self.broken.settings {
            self.config.settings = before.config.settings.clone();
            self.config.clients = before.config.clients.clone();
        }
        // From the last on, so that the places of those before it stay.
        for (place, name) in self.broken.servers.iter().rev() {
            let earlier = before.config.servers.iter().find(|server| server.name == *name);
            // Its tools would have the names of another one's, which may be why it is broken.
            let is_free = |server: &&Server| {
                self.config.servers.iter().all(|other| other.name.slug() != server.name.slug())
            };
            if let Some(earlier) = earlier.filter(is_free) {
                self.config.servers.insert(*place, earlier.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    const OLD: &str = "[settings]\nhang_after = 9\n[servers.a]\ncommand = 'a'\n[servers.b]\ncommand = 'b'\n\
                       [servers.c]\ncommand = 'c'\n";

    fn read(text: &str) -> Loaded {
        parse(Path::new("config.toml"), None, text.as_bytes())
    }

    /// What stands after a second reading, and what that changes.
    fn after(text: &str) -> (Loaded, Change) {
        let old = read(OLD);
        let new = read(text).after(&old);
        let change = Change::between(&old.config, &new.config);
        (new, change)
    }

    fn names(servers: &[ServerName]) -> Vec<&str> {
        servers.iter().map(ServerName::as_str).collect()
    }

    #[test]
    fn servers_are_compared_by_their_whole_entries() {
        let (_, change) = after(
            "[settings]\nhang_after = 9\n[servers.d]\ncommand = 'd'\n[servers.a]\ncommand = 'a'\n\
             [servers.b]\ncommand = 'b'\nargs = ['x']\n[servers.c]\ncommand = 'c'\nenabled = false\n",
        );
        let Change { added, changed, shown, removed, settings, later } = change;
        assert_eq!((names(&added), names(&changed), names(&removed)), (vec!["d"], vec!["b"], vec!["c"]));
        assert!(shown.is_empty() && settings.is_empty() && later.is_empty());
        assert!(after(&format!("# a comment\n{OLD}")).1.is_empty());
    }

    #[test]
    fn settings_tell_what_holds_at_once_and_what_later() {
        let text = OLD.replace("hang_after = 9", "hang_after = 8\ndurability = 'power'\n[clients.x]");
        let (_, change) = after(&text);
        assert_eq!((change.settings, change.later), (vec!["hang_after"], vec!["durability", "clients"]));
    }

    #[test]
    fn a_file_that_cannot_be_used_changes_nothing() {
        for text in ["[servers", "servers = 7", "\u{0}", ""] {
            let (new, change) = after(text);
            assert!(change.is_empty() && !new.mistakes.is_empty(), "{text:?}: {change:?}");
        }
        let gone = crate::config::load(Some(Path::new("/no/such/file"))).after(&read(OLD));
        assert_eq!((gone.config, gone.mistakes.len()), (read(OLD).config, 1));
    }

    #[test]
    fn a_broken_entry_and_broken_settings_stay_as_they_were_and_the_rest_changes() {
        let (new, change) = after(
            "[settings]\nhang_after = 'x'\n[servers.a]\ncommand = 7\n[servers.c]\ncommand = 'new'\n\
             [servers.b]\nargs = []\n[servers.e]\n",
        );
        assert_eq!(new.mistakes.len(), 4);
        let Change { added, changed, shown, removed, settings, later } = change;
        assert_eq!((names(&added), names(&changed), names(&removed)), (vec![], vec!["c"], vec![]));
        assert!(shown.is_empty() && settings.is_empty() && later.is_empty());
        let order: Vec<_> = new.config.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(order, ["a", "c", "b"], "in the file's order");
    }

    #[test]
    fn an_entry_that_is_broken_by_the_name_of_another_gives_way() {
        let old = read("[servers.'x.y']\ncommand = 'a'\n");
        let new = read(
            "[servers.'x-y']\ncommand = 'b'\n[servers.x_y]\ncommand = 'c'\n[servers.'x.y']\ncommand = 'a'\n",
        );
        let merged = new.after(&old);
        let slugs: Vec<_> = merged.config.servers.iter().map(|server| server.name.slug()).collect();
        let mut once = slugs.clone();
        once.dedup();
        assert_eq!(slugs, once);
    }

    #[test]
    fn an_empty_file_is_right_where_there_were_no_servers() {
        let first = read("");
        assert!(first.mistakes.is_empty());
        assert!(read("").after(&first).mistakes.is_empty());
    }
}
