//! Which tools of a server clients are shown, and how: patterns of names, other names, other words.

pub mod pin;

use std::collections::BTreeMap;
use std::fmt;

use globset::{Glob, GlobBuilder, GlobSet};

/// Patterns of tools' names: `read_*`, `{get,list}_?`, `[a-c]*`. They tell capitals from small letters.
#[derive(Clone, Default)]
pub struct Patterns {
    globs: Vec<Glob>,
    set: GlobSet,
}

impl Patterns {
    /// Reads one pattern.
    ///
    /// # Errors
    /// What is wrong with it, without its text.
    pub fn parse(text: &str) -> Result<Glob, String> {
        // A tool's name is no path, and the same on every system.
        let built = GlobBuilder::new(text).backslash_escape(true).build();
        built.map_err(|error| error.kind().to_string())
    }

    /// Puts patterns together.
    ///
    /// # Errors
    /// When they are too large together.
    pub fn new(globs: Vec<Glob>) -> Result<Self, String> {
        let mut set = GlobSet::builder();
        globs.iter().for_each(|glob| _ = set.add(glob.clone()));
        let set = set.build().map_err(|error| error.kind().to_string())?;
        Ok(Self { globs, set })
    }

    /// Whether a name fits one of them.
    #[must_use]
    pub fn fit(&self, name: &str) -> bool {
        self.set.is_match(name)
    }

    /// Those that none of the names fits.
    fn idle<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let is_idle = |glob: &&Glob| {
            let glob = glob.compile_matcher();
            !names.iter().any(|name| glob.is_match(name))
        };
        self.globs.iter().filter(is_idle).map(Glob::glob)
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.globs == other.globs
    }
}

impl Eq for Patterns {}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.globs.iter().map(Glob::glob)).finish()
    }
}

/// What a configuration says of one server's tools; nothing by default. Everything goes by the server's own names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// `allow`: only these are shown; `None` is all.
    pub allow: Option<Patterns>,
    /// `deny`: these are not shown, whatever `allow` says.
    pub deny: Patterns,
    /// `rename`: another name in the place of the own one.
    pub rename: BTreeMap<String, String>,
    /// `describe`: another description.
    pub describe: BTreeMap<String, String>,
}

impl Rules {
    /// The keys that they are written with.
    pub const KEYS: [&str; 4] = ["allow", "deny", "rename", "describe"];

    /// Whether a tool is shown.
    #[must_use]
    pub fn show(&self, tool: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.fit(tool)) && !self.deny.fit(tool)
    }

    /// What a tool is called.
    #[must_use]
    pub fn name_of<'a>(&'a self, tool: &'a str) -> &'a str {
        self.rename.get(tool).map_or(tool, String::as_str)
    }

    /// The tool that is called so.
    #[must_use]
    pub fn tool_named<'a>(&'a self, name: &'a str) -> &'a str {
        self.rename.iter().find(|(_, to)| *to == name).map_or(name, |(tool, _)| tool)
    }

    /// What fits none of a server's tools, in words: a pattern or a name that was written wrongly, or a tool that
    /// is gone.
    #[must_use]
    pub fn idle(&self, tools: &[&str]) -> Vec<String> {
        let allow = self.allow.iter().flat_map(|allow| allow.idle(tools)).map(|glob| ("allow", glob));
        let deny = self.deny.idle(tools).map(|glob| ("deny", glob));
        let patterns = allow.chain(deny).map(|(key, glob)| format!("{key}: no tool of it fits {glob:?}"));
        let named = [("rename", &self.rename), ("describe", &self.describe)];
        let named = named.into_iter().flat_map(|(key, all)| all.keys().map(move |tool| (key, tool)));
        let unknown = named.filter(|(_, tool)| !tools.contains(&tool.as_str()));
        patterns.chain(unknown.map(|(key, tool)| format!("{key}: it has no tool {tool:?}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(globs: &[&str]) -> Patterns {
        Patterns::new(globs.iter().map(|glob| Patterns::parse(glob).unwrap()).collect()).unwrap()
    }

    #[test]
    fn deny_goes_before_allow_and_no_allow_is_all() {
        let deny = patterns(&["*_all", "drop_?"]);
        let all = Rules { deny: deny.clone(), ..Rules::default() };
        assert_eq!(
            ["read", "read_all", "drop_a", "drop_ab"].map(|tool| all.show(tool)),
            [true, false, false, true]
        );
        let some = Rules { allow: Some(patterns(&["{read,list}_*", "a/b"])), deny, ..Rules::default() };
        let tools = ["read_a", "list_all", "write_a", "a/b", "READ_a", "read_a/b.c"];
        assert_eq!(tools.map(|tool| some.show(tool)), [true, false, false, true, false, true]);
    }

    #[test]
    fn a_bad_pattern_says_why_without_its_text() {
        for bad in ["secret[", "secret{a", "secret]{", "[z-a]secret"] {
            let why = Patterns::parse(bad).unwrap_err();
            assert!(!why.is_empty() && !why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn what_fits_nothing_is_named() {
        let rename = BTreeMap::from([("a".into(), "x".into()), ("gone".into(), "y".into())]);
        let describe = BTreeMap::from([("b".into(), "B".into()), ("typo".into(), "T".into())]);
        let rules = Rules { allow: Some(patterns(&["a", "c*"])), deny: patterns(&["z?"]), rename, describe };
        assert_eq!(
            rules.idle(&["a", "b"]),
            [
                "allow: no tool of it fits \"c*\"",
                "deny: no tool of it fits \"z?\"",
                "rename: it has no tool \"gone\"",
                "describe: it has no tool \"typo\"",
            ]
        );
        assert_eq!((rules.name_of("a"), rules.tool_named("x"), rules.tool_named("b")), ("x", "a", "b"));
    }
}
