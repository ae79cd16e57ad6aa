//! What was found, for people and for programs.

use serde_json::{Value, json};

use crate::cli::doctor::finding::{Chapter, Finding, Level};
use crate::cli::words;

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// How wide a line may be.
    pub columns: u16,
    /// Whether there are other characters than ASCII's.
    pub is_unicode: bool,
    /// Whether there are colours.
    pub has_colours: bool,
    /// The home folder, which is shown as `~`.
    pub home: Option<&'a str>,
}

impl Look<'_> {
    const fn mark(self, level: Level) -> &'static str {
        match (level, self.is_unicode) {
            (Level::Well, true) => "✓",
            (Level::Note, true) => "·",
            (Level::Error, true) => "✗",
            (Level::Well, false) => "+",
            (Level::Note, false) => "-",
            (Level::Warning, _) => "!",
            (Level::Error, false) => "x",
        }
    }

    fn coloured(self, level: Level, text: &str) -> String {
        let colour = match level {
            Level::Well => 32,
            Level::Note => 36,
            Level::Warning => 33,
            Level::Error => 31,
        };
        if self.has_colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A text behind a mark, the lines that follow below the first; `left` columns stand before all of them.
    fn hung(self, left: u16, mark: &str, text: &str) -> String {
        let text = self.home.filter(|home| home.len() > 1).map_or_else(
            || text.to_owned(),
            |home| text.replace(&format!("{home}{}", std::path::MAIN_SEPARATOR), "~/"),
        );
        let margin = " ".repeat(usize::from(left));
        // The lines that follow stand two columns to the right already.
        let text = words::wrapped(&text, self.columns.saturating_sub(left + 2));
        format!("{margin}{mark} {}", text.replace('\n', &format!("\n{margin}")))
    }

    fn finding(self, finding: &Finding) -> String {
        let subject = match finding.subject.as_str() {
            "" => String::new(),
            subject => format!("{subject}: "),
        };
        let mark = self.mark(finding.level);
        let mut lines = vec![self.hung(2, mark, &format!("{subject}{}", finding.message))];
        if let Some(first) = lines.first_mut() {
            *first = first.replacen(mark, &self.coloured(finding.level, mark), 1);
        }
        let bar = if self.is_unicode { "│" } else { "|" };
        let room = usize::from(self.columns).saturating_sub(7);
        lines.extend(
            finding.output.iter().map(|line| format!("    {bar} {}", words::cut(&words::plain(line), room))),
        );
        let arrow = if self.is_unicode { "→" } else { ">" };
        lines.extend(finding.advice.iter().map(|advice| self.hung(4, arrow, advice)));
        lines.join("\n")
    }
}

/// All that was found: the chapter with the worst first, in each chapter the worst first, at the end the count.
pub fn text(findings: &[Finding], look: Look<'_>) -> String {
    let mut chapters: Vec<(Level, Chapter, Vec<&Finding>)> = Chapter::ALL
        .into_iter()
        .filter_map(|chapter| {
            let mut all: Vec<&Finding> = findings.iter().filter(|found| found.chapter() == chapter).collect();
            all.sort_by_key(|found| std::cmp::Reverse(found.level));
            Some((all.first()?.level, chapter, all))
        })
        .collect();
    // A note moves nothing: what works keeps its order.
    chapters.sort_by_key(|(level, ..)| std::cmp::Reverse((*level).max(Level::Note)));
    let shown = chapters.iter().map(|(_, chapter, all)| {
        let lines: Vec<String> = all.iter().map(|found| look.finding(found)).collect();
        format!("{}\n{}", chapter.title(), lines.join("\n"))
    });
    let last = look.coloured(worst(findings), &summary(findings));
    shown.chain([last]).collect::<Vec<_>>().join("\n\n")
}

/// The count, in words.
fn summary(findings: &[Finding]) -> String {
    let count = |level: Level, one: &str| match count(findings, level) {
        0 => None,
        1 => Some(format!("1 {one}")),
        many => Some(format!("{many} {one}s")),
    };
    let errors = [count(Level::Error, "error"), count(Level::Warning, "warning")];
    let errors: Vec<String> = errors.into_iter().flatten().collect();
    let notes = count(Level::Note, "note");
    if errors.is_empty() {
        return notes.map_or_else(|| "All is well.".into(), |notes| format!("All is well, with {notes}."));
    }
    let all: Vec<String> = errors.into_iter().chain(notes).collect();
    let first = if worst(findings) == Level::Error { ": begin with the first error above" } else { "" };
    format!("{}{first}.", all.join(", "))
}

/// All that was found, for programs.
pub fn json(findings: &[Finding]) -> Value {
    let of = |level: Level| count(findings, level);
    json!({
        "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        "summary": {
            "worst": worst(findings).word(),
            "errors": of(Level::Error),
            "warnings": of(Level::Warning),
            "notes": of(Level::Note),
            "ok": of(Level::Well),
        },
    })
}

/// The worst that was found.
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|found| found.level).max().unwrap_or(Level::Well)
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|found| found.level == level).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look<'_> = Look { columns: 80, is_unicode: true, has_colours: false, home: Some("/home/u") };

    fn findings() -> Vec<Finding> {
        vec![
            Finding::well("config.file", "/home/u/.config/bridge/config.toml", "3 servers"),
            Finding::note("server.pin", "time", "uvx takes the newest version at each start", "write it out"),
            Finding::well("server.start", "files", "ready in 340ms"),
            Finding::error(
                "server.start",
                "github",
                "ended with exit code 1 before it was ready, and nobody knows any more of it than that",
                "set the variable GITHUB_TOKEN in its entry, where it is asked for as soon as the server starts",
            )
            .quoting(vec!["usage: github TOKEN".into(), "x".repeat(100)]),
        ]
    }

    #[test]
    fn the_worst_comes_first_and_every_line_fits() {
        insta::assert_snapshot!(text(&findings(), PLAIN), @r"
        Servers
          ✗ github: ended with exit code 1 before it was ready, and nobody knows any
            more of it than that
            │ usage: github TOKEN
            │ xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
            → set the variable GITHUB_TOKEN in its entry, where it is asked for as soon
              as the server starts
          · time: uvx takes the newest version at each start
            → write it out
          ✓ files: ready in 340ms

        Configuration
          ✓ ~/.config/bridge/config.toml: 3 servers

        1 error, 1 note: begin with the first error above.
        ");
    }

    #[test]
    fn without_unicode_it_is_ascii_and_colours_only_where_they_are_wanted() {
        let ascii = text(&findings(), Look { is_unicode: false, ..PLAIN });
        assert!(ascii.replace('…', "").is_ascii(), "{ascii}");
        let coloured = text(&findings(), Look { has_colours: true, ..PLAIN });
        assert!(coloured.contains("\u{1b}[31m✗\u{1b}[0m github"), "{coloured}");
    }

    #[test]
    fn the_last_line_counts() {
        let all = findings();
        let says = |range: std::ops::Range<usize>| summary(&all[range]);
        assert_eq!([says(0..1), says(0..2)], ["All is well.", "All is well, with 1 note."]);
        assert_eq!(says(0..4), "1 error, 1 note: begin with the first error above.");
        assert_eq!(json(&all)["summary"]["worst"], "error");
    }
}
