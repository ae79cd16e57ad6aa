//! The house keeps its form: floors, absences, lengths (house.md).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A module imports only from lower floors. A folder belongs to the file above it.
const FLOORS: [(&str, u8); 41] = [
    // Words: no task, no clock, no outside.
    ("policy", 0),
    ("outcome", 0),
    ("version", 0),
    ("names", 0),
    ("era", 0),
    ("list", 0),
    ("tools", 0),
    // Doors to one outside thing each.
    ("wire", 1),
    ("frames", 1),
    ("tap", 1),
    ("pipes", 1),
    ("queue", 1),
    ("pulse", 1),
    ("shutdown", 1),
    ("watch", 1),
    ("logging", 1),
    ("pages", 1),
    ("paths", 1),
    ("credentials", 1),
    ("environment", 1),
    ("files", 1),
    // What is known and kept; lines are cut out of pipes.
    ("lines", 2),
    ("local", 2),
    ("config", 2),
    ("store", 2),
    ("catalog", 2),
    // The bridge's entry in other programs' files.
    ("clients", 3),
    // What is told of the record.
    ("figures", 3),
    // What a call meets. downstream knows no database, the store knows no MCP.
    ("guard", 3),
    ("control", 3),
    ("front", 3),
    ("downstream", 3),
    ("recovery", 3),
    ("roster", 3),
    ("router", 4),
    // A client and our own tools know nothing of each other.
    ("session", 5),
    ("builtin", 5),
    ("serve", 6),
    ("cli", 7),
    ("main", 8),
    ("lib", 8),
];

/// Where the SDK may be named; a folder stands for everything in it.
const KNOW_RMCP: [&str; 5] = ["tap.rs", "builtin.rs", "builtin/", "cli/demo", "cli/sample.rs"];

/// Longer files are two thoughts.
const LINES_MAX: usize = 400;

#[test]
fn a_module_imports_only_from_lower_floors() {
    let floors = BTreeMap::from(FLOORS);
    let mut faults = Vec::new();
    // A test may look from above.
    for (file, source) in sources().into_iter().filter(|(file, _)| !is_test(file)) {
        let own = module(&file);
        let Some(floor) = floors.get(own) else {
            faults.push(format!("{file} stands on no floor: add `{own}` to the table in tests/it/house.rs"));
            continue;
        };
        for used in imports(&source.code) {
            match floors.get(used.as_str()) {
                _ if used == own => {}
                Some(lower) if lower < floor => {}
                Some(other) => faults.push(format!(
                    "{file} (floor {floor}) uses crate::{used} (floor {other}); a module imports only from lower floors"
                )),
                None => faults.push(format!("{file} uses crate::{used}, which stands on no floor")),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_floor_has_its_module() {
    let seen: Vec<String> = sources().iter().map(|(file, _)| module(file).to_owned()).collect();
    // What is named and gone is a stale table.
    let named = FLOORS.iter().map(|(name, _)| *name);
    let stale: Vec<&str> = named.filter(|name| !seen.iter().any(|other| other == name)).collect();
    assert!(stale.is_empty(), "the table of floors names modules that do not exist: {stale:?}");
}

#[test]
fn only_the_store_speaks_sql() {
    const STARTS: [&str; 9] = [
        "SELECT ",
        "INSERT ",
        "UPDATE ",
        "DELETE FROM",
        "CREATE TABLE",
        "PRAGMA ",
        "BEGIN IMMEDIATE",
        "ALTER TABLE",
        "WITH ",
    ];
    for (file, source) in sources().iter().filter(|(file, _)| !file.starts_with("store")) {
        for literal in &source.literals {
            let is_sql = STARTS.iter().any(|start| literal.trim_start().starts_with(start));
            assert!(!is_sql, "{file} holds SQL, which belongs into src/store: {literal:?}");
        }
    }
}

#[test]
fn only_few_files_know_the_sdk() {
    for (file, source) in sources() {
        let knows = source.code.contains("rmcp::") || source.code.contains("use rmcp");
        let may = KNOW_RMCP.iter().any(|place| file.starts_with(place));
        assert!(may || !knows, "{file} names rmcp; only {KNOW_RMCP:?} may");
    }
}

#[test]
fn only_serve_has_a_guard_against_orphans() {
    let arm = |(file, source): &(String, Source)| source.code.contains("guardian::arm").then(|| file.clone());
    assert_eq!(sources().iter().filter_map(arm).collect::<Vec<_>>(), ["serve.rs"]);
}

#[test]
fn no_queue_is_unbounded() {
    for (file, source) in sources().iter().filter(|(file, _)| !is_test(file)) {
        for word in ["unbounded_channel", "UnboundedSender", "mpsc::channel()"] {
            assert!(!source.code.contains(word), "{file} has a queue without a limit: {word}");
        }
    }
}

#[test]
fn no_file_is_longer_than_one_thought() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(_, source)| source.lines > LINES_MAX)
        .map(|(file, source)| format!("{file} has {} lines", source.lines))
        .collect();
    assert!(long.is_empty(), "more than {LINES_MAX} lines in a file: {long:?}");
}

#[test]
fn the_map_fits_a_screen() {
    let map = std::fs::read_to_string(root().join("CLAUDE.md")).unwrap();
    let (lines, wide) = (map.lines().count(), map.lines().filter(|line| line.chars().count() > 140).count());
    assert!(lines <= 60 && wide == 0, "CLAUDE.md has {lines} lines, {wide} of them over 140 columns");
}

#[test]
fn a_release_unwinds_so_that_the_guard_can_catch() {
    let manifest = manifest();
    assert_eq!(manifest["profile"]["release"]["panic"].as_str(), Some("unwind"));
}

#[test]
fn the_sdk_is_pinned_without_default_features() {
    let manifest = manifest();
    let rmcp = &manifest["dependencies"]["rmcp"];
    assert_eq!(rmcp["version"].as_str(), Some("=3.9.0"));
    assert_eq!(rmcp["default-features"].as_bool(), Some(false));
}

fn manifest() -> toml_edit::DocumentMut {
    std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap()
}

/// One source file, apart: its code without comments and literals, and its string literals.
#[derive(Default)]
struct Source {
    code: String,
    literals: Vec<String>,
    lines: usize,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `src`, by its path in there.
fn sources() -> Vec<(String, Source)> {
    let src = root().join("src");
    let mut files = Vec::new();
    gather(&src, &mut files);
    files.sort();
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        (file.strip_prefix(&src).unwrap().to_str().unwrap().to_owned(), take_apart(&text))
    };
    files.into_iter().map(read).collect()
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

/// `session` of `session.rs`, `session/call.rs` and whatever is below.
fn module(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// `logging/tests.rs`, `store/tests/crash.rs`.
fn is_test(file: &str) -> bool {
    file.contains("/tests")
}

/// The first word after each `crate::`, those in braces too.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let list = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(list, _)| list);
        for item in list.unwrap_or(rest).split(',').take(if list.is_some() { usize::MAX } else { 1 }) {
            let word: String =
                item.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            found.extend((!word.is_empty()).then_some(word));
        }
    }
    found
}

/// Splits a source text into code and string literals; comments go.
fn take_apart(text: &str) -> Source {
    let mut source = Source { lines: text.lines().count(), ..Source::default() };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hashes = rest.strip_prefix('r').map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
        let raw = rest.strip_prefix('r').is_some_and(|raw| raw[hashes..].starts_with('"'))
            && !source.code.trim_end_matches('b').ends_with(|c: char| c.is_alphanumeric() || c == '_');
        rest = if rest.starts_with("//") {
            rest.find('\n').map_or("", |end| &rest[end..])
        } else if raw {
            let end = format!("\"{}", "#".repeat(hashes));
            let (literal, after) = rest[hashes + 2..].split_once(&end).unwrap();
            source.literals.push(literal.to_owned());
            after
        } else if first == '"' {
            let end = end_of_string(&rest[1..]);
            source.literals.push(rest[1..=end].to_owned());
            &rest[end + 2..]
        } else if let Some(quoted) = ["'\"'", "'\\\"'"].into_iter().find(|quoted| rest.starts_with(quoted)) {
            &rest[quoted.len()..]
        } else {
            source.code.push(first);
            &rest[first.len_utf8()..]
        };
    }
    source
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return at,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    panic!("a string without an end")
}

#[test]
fn the_reader_of_sources_knows_code_from_text() {
    let source = take_apart(
        "use crate::{wire::Frame, names}; // crate::cli\nlet x = \"a\\\"b crate::serve\"; '\"' r#\"SELECT \"#",
    );
    assert_eq!(imports(&source.code), ["wire", "names"]);
    assert_eq!(source.literals, ["a\\\"b crate::serve", "SELECT "]);
}
