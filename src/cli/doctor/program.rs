//! The programs that servers are started with: whether each is found, and can be executed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::cli::doctor::finding::{Finding, Level};
use crate::cli::tried;
use crate::clients::place::System;
use crate::config::program::Program;
use crate::config::server::Server;
use crate::environment::Environment;

/// So much of a file tells which program reads it.
const FIRST_LINE_BYTES: u64 = 256;

/// Where programs are looked for.
pub struct Around<'a> {
    /// What servers inherit.
    pub environment: &'a Environment,
    /// The `PATH` of programs that a desktop starts.
    pub desktop: Vec<PathBuf>,
    /// The platform.
    pub system: System,
    /// Where programs often lie that are on nobody's `PATH`.
    pub elsewhere: Vec<PathBuf>,
}

impl<'a> Around<'a> {
    /// This user's.
    pub fn here(environment: &'a Environment, system: System) -> Self {
        let desktop = match system {
            System::Mac => "/usr/bin:/bin:/usr/sbin:/sbin",
            System::Other => "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin",
            // There the whole session has one.
            System::Windows => "",
        };
        let home = environment.home().unwrap_or_default();
        let usual = [".local/bin", ".cargo/bin", ".bun/bin", ".deno/bin", ".volta/bin", "bin"];
        let usual = usual.into_iter().filter(|_| home.is_absolute()).map(|folder| home.join(folder));
        let shared = ["/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from);
        Self {
            environment,
            desktop: desktop.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect(),
            system,
            elsewhere: usual.chain(node_folders(&home)).chain(shared).collect(),
        }
    }
}

/// Where nvm keeps Node.js, the newest first as far as names tell.
fn node_folders(home: &Path) -> Vec<PathBuf> {
    let versions = std::fs::read_dir(home.join(".nvm/versions/node")).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders
}

/// What became of the search for one program.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// It is there and can be executed.
    At(PathBuf),
    /// It is there, and a desktop's `PATH` would not have it; or not what reads it: the folders that it then needs.
    NotForDesktops(PathBuf, Vec<PathBuf>),
    /// It is on no `PATH`; it may lie here.
    Nowhere(Option<PathBuf>),
    /// On Windows it is a script, and has to be named with its end.
    Script(PathBuf),
    /// It is a folder.
    Folder(PathBuf),
    /// Nobody may execute it.
    NotExecutable(PathBuf),
    /// What its first line names is not there.
    NoReader(PathBuf, String),
    /// Its first line ends as those of Windows do, so that nothing has the name that it names.
    WindowsLines(PathBuf),
}

/// Looks for the programs of servers.
pub fn look(servers: &[&Server], around: &Around<'_>) -> Vec<Finding> {
    let mut found: Vec<(&str, Outcome, Vec<&str>)> = Vec::new();
    for server in servers {
        let outcome = search(server, around);
        let (command, name) = (server.command.as_str(), server.name.as_str());
        match found.iter_mut().find(|(other, same, _)| *other == command && *same == outcome) {
            Some((_, _, names)) => names.push(name),
            None => found.push((command, outcome, vec![name])),
        }
    }
    let mut findings: Vec<Finding> = path(servers, around).into_iter().collect();
    findings.extend(found.into_iter().map(|(command, outcome, names)| {
        let finding = told(command, &outcome, around);
        let servers = names.join(", ");
        Finding { message: format!("{} (for {servers})", finding.message), ..finding }.with("servers", names)
    }));
    findings
}

/// The `PATH` that servers get, where any of them needs it.
fn path(servers: &[&Server], around: &Around<'_>) -> Option<Finding> {
    let needs = |server: &&&Server| !server.command.contains(std::path::is_separator);
    let needy = servers.iter().find(needs)?;
    let folders = Program::of(needy, around.environment).folders();
    Some(if folders.is_empty() {
        Finding::error(
            "program.path",
            "PATH",
            "is not set, so no command is found by its name alone",
            "set it, or write absolute paths into the configuration",
        )
    } else {
        let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let message =
            format!("has {} folders here; servers get that of whoever starts the bridge", names.len());
        Finding::well("program.path", "PATH", message).with("folders", names)
    })
}

fn search(server: &Server, around: &Around<'_>) -> Outcome {
    let program = Program::of(server, around.environment);
    let is_name = !server.command.contains(std::path::is_separator);
    let Some(file) = program.file().filter(|file| file.exists()) else {
        let lies = || in_folders(&around.elsewhere, &server.command);
        return Outcome::Nowhere(is_name.then(lies).flatten());
    };
    if around.system == System::Windows
        && is_name
        && let Some(script) = script(&file)
    {
        return Outcome::Script(script);
    }
    if file.is_dir() {
        return Outcome::Folder(file);
    }
    if !is_executable(&file) {
        return Outcome::NotExecutable(file);
    }
    let named = match reader(&file) {
        Some(Reader::WindowsLines) => return Outcome::WindowsLines(file),
        Some(Reader::At(path)) if !path.exists() => {
            return Outcome::NoReader(file, path.display().to_string());
        }
        Some(Reader::Named(name)) => match in_folders(&program.folders(), &name) {
            None => return Outcome::NoReader(file, name),
            Some(reader) => Some((name, reader)),
        },
        Some(Reader::At(_)) | None => None,
    };
    for_desktops(server, file, named, around)
}

/// Whether a client that a desktop starts would find it, and what reads it.
fn for_desktops(
    server: &Server,
    file: PathBuf,
    reader: Option<(String, PathBuf)>,
    around: &Around<'_>,
) -> Outcome {
    let has_path = server.env.iter().any(|(name, _)| name == "PATH");
    if has_path || around.desktop.is_empty() {
        return Outcome::At(file);
    }
    let is_hidden = |name: &str| in_folders(&around.desktop, name).is_none();
    let is_name = !server.command.contains(std::path::is_separator);
    match reader.filter(|(name, _)| is_hidden(name)) {
        Some((_, reader)) => {
            let both = [Some(reader.as_path()), Some(file.as_path()).filter(|_| is_name)];
            let folders = both.into_iter().flatten().filter_map(Path::parent).map(Path::to_owned);
            let mut folders: Vec<PathBuf> = folders.collect();
            folders.dedup();
            Outcome::NotForDesktops(file, folders)
        }
        None if is_name && is_hidden(&server.command) => Outcome::NotForDesktops(file, Vec::new()),
        None => Outcome::At(file),
    }
}

fn in_folders(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", if name.contains('.') { "" } else { std::env::consts::EXE_SUFFIX });
    folders.iter().map(|folder| folder.join(&name)).find(|file| file.is_file())
}

/// What Windows has beside or in place of a program of this name.
fn script(file: &Path) -> Option<PathBuf> {
    let is_program = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("exe"));
    let ends = ["cmd", "bat"].map(|end| file.with_extension(end));
    ends.into_iter().find(|script| !is_program && script.is_file())
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(_file: &Path) -> bool {
    true
}

/// Who reads a script.
#[derive(Debug, PartialEq, Eq)]
enum Reader {
    /// A program by its path.
    At(PathBuf),
    /// A program by its name, which `env` looks for.
    Named(String),
    /// Nobody, for the line ends as those of Windows do.
    WindowsLines,
}

/// What the first line of a file names, if it names anything.
fn reader(file: &Path) -> Option<Reader> {
    let mut start = Vec::new();
    File::open(file).ok()?.take(FIRST_LINE_BYTES).read_to_end(&mut start).ok()?;
    named(&start).filter(|_| cfg!(unix))
}

fn named(start: &[u8]) -> Option<Reader> {
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = str::from_utf8(line).ok()?;
    if line.ends_with('\r') {
        return Some(Reader::WindowsLines);
    }
    let mut words = line.split_ascii_whitespace();
    let first = words.next()?;
    if Path::new(first).file_name() != Some(OsStr::new("env")) {
        return first.starts_with('/').then(|| Reader::At(first.into()));
    }
    let name = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    (!name.contains('/')).then(|| Reader::Named(name.to_owned()))
}

/// What is said of a program.
fn told(command: &str, outcome: &Outcome, around: &Around<'_>) -> Finding {
    let shown = |file: &Path| file.display().to_string();
    let with = |finding: Finding, file: &Path| finding.with("file", shown(file));
    match outcome {
        Outcome::At(file) => {
            let message = if shown(file) == command { "is there".to_owned() } else { shown(file) };
            with(Finding::well("program.found", command, message), file)
        }
        Outcome::NotForDesktops(file, needs) => with(not_for_desktops(command, file, needs, around), file),
        Outcome::Nowhere(at) => nowhere(command, at.as_deref()),
        Outcome::Script(file) => {
            let advice = format!("write command = \"{command}.cmd\"");
            let message =
                format!("is the script {} on Windows, and is started by its whole name only", shown(file));
            with(Finding::error("program.script", command, message, advice), file)
        }
        Outcome::Folder(file) => with(
            Finding::error("program.folder", command, "is a folder", "write the path of the program in it"),
            file,
        ),
        Outcome::NotExecutable(file) => {
            let advice = format!("chmod +x {}, or start it by what reads it: node, python3, …", shown(file));
            let message = format!("{} may not be executed", shown(file));
            with(Finding::error("program.mode", command, message, advice), file)
        }
        Outcome::NoReader(file, reader) => {
            let advice = format!("{}, or correct that line", install(reader));
            let message = format!("the first line of {} names {reader}, which is not found", shown(file));
            with(Finding::error("program.reader", command, message, advice), file)
        }
        Outcome::WindowsLines(file) => {
            let advice = format!("save it with the lines of Unix: sed -i 's/\\r$//' {}", shown(file));
            let message = format!("the lines of {} end as those of Windows do", shown(file));
            with(Finding::error("program.lines", command, message, advice), file)
        }
    }
}

fn nowhere(command: &str, at: Option<&Path>) -> Finding {
    if let Some(at) = at {
        let at = at.display().to_string();
        let advice = format!("write command = \"{at}\"");
        return Finding::error(
            "program.missing",
            command,
            format!("is on no PATH here, and lies at {at}"),
            advice,
        )
        .with("file", at);
    }
    let (message, advice) = if command.contains(std::path::is_separator) {
        ("is not there", "correct the path in its entry".to_owned())
    } else {
        ("is not found", format!("{}, or write its absolute path", install(command)))
    };
    Finding::error("program.missing", command, message, advice)
}

/// How a program gets here.
fn install(command: &str) -> String {
    let stem = Path::new(command).file_stem().and_then(OsStr::to_str).unwrap_or(command);
    match tried::comes_with(stem) {
        Some(source) => format!("install {source}"),
        None => "install it, or add its folder to PATH".to_owned(),
    }
}

fn not_for_desktops(command: &str, file: &Path, needs: &[PathBuf], around: &Around<'_>) -> Finding {
    // Elsewhere a desktop has the PATH of the login, which may be as long as that of a shell.
    let level = if around.system == System::Mac { Level::Warning } else { Level::Note };
    let file = file.display();
    let (message, advice) = if needs.is_empty() {
        let message = format!("{file} is not on the PATH of programs that a desktop starts");
        (message, format!("write command = \"{file}\""))
    } else {
        let needs: Vec<String> = needs.iter().map(|folder| folder.display().to_string()).collect();
        let message = format!("{file} needs programs that are not on the PATH of what a desktop starts");
        (message, format!("write env = {{ PATH = \"{}:/usr/bin:/bin\" }} into its entry", needs.join(":")))
    };
    Finding::bad("program.desktop", level, command, message, advice)
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
