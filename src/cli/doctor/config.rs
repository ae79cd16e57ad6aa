//! The configuration: where it was found, what is wrong in it, and what its servers need from around it.

use std::path::Path;

use crate::cli::doctor::finding::Finding;
use crate::clients::masked;
use crate::config::Loaded;
use crate::config::mistake::Mistake;
use crate::config::server::Server;
use crate::environment::Environment;
use crate::files;

/// How a configuration comes into being.
const BEGIN: &str = "bridge install --move-servers takes over the servers of your clients";

/// What was read, and what is around it.
pub struct Seen<'a> {
    /// What was read.
    pub loaded: &'a Loaded,
    /// Where it would stand if nobody says otherwise.
    pub usual: Option<&'a Path>,
    /// Whether others may read the file.
    pub is_open: bool,
    /// The variables of this shell.
    pub environment: &'a Environment,
}

impl<'a> Seen<'a> {
    /// Looks at what was read.
    pub fn of(loaded: &'a Loaded, usual: Option<&'a Path>, environment: &'a Environment) -> Self {
        let is_open = loaded.source.as_deref().is_some_and(files::is_open);
        Self { loaded, usual, is_open, environment }
    }
}

/// Everything that is to be said of the configuration, of these servers above all.
pub fn look(seen: &Seen<'_>, servers: &[&Server]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = file(seen).into_iter().collect();
    findings.extend(seen.loaded.mistakes.iter().map(mistake));
    findings.extend(seen.loaded.notes.iter().map(note));
    findings.extend(open_secrets(seen));
    findings.extend(servers.iter().flat_map(|server| unset(server, seen.environment)));
    findings.extend(of_this_shell(servers, seen.environment));
    findings.extend(servers.iter().filter_map(|server| folder(server)));
    findings
}

/// The file itself; where nothing of it can be used, its mistake says so.
fn file(seen: &Seen<'_>) -> Option<Finding> {
    let Some(file) = &seen.loaded.source else {
        let usual = seen.usual.map(|usual| usual.display().to_string()).unwrap_or_default();
        let message = "there is no configuration, so there are no servers";
        return Some(Finding::warning("config.file", usual, message, BEGIN));
    };
    if seen.loaded.broken.file {
        return None;
    }
    let name = file.display().to_string();
    let all = &seen.loaded.config.servers;
    let on = all.iter().filter(|server| server.enabled).count();
    let finding = if on > 0 {
        let off = match all.len() - on {
            0 => String::new(),
            off => format!(", {off} switched off"),
        };
        Finding::well("config.file", name, format!("{}{off}", counted(on, "server")))
    } else if !seen.loaded.broken.servers.is_empty() {
        Finding::error("config.file", name, "no server in it can be used", "correct the mistakes below")
    } else if all.is_empty() {
        Finding::warning("config.file", name, "has no servers", BEGIN)
    } else {
        let advice = "write enabled = true into the entries that you want";
        Finding::warning("config.file", name, "all of its servers are switched off", advice)
    };
    let finding = finding.with("file", file.display().to_string());
    Some(finding.with("servers", all.len()).with("enabled", on))
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn placed(finding: Finding, mistake: &Mistake) -> Finding {
    let finding =
        finding.with("file", mistake.file.display().to_string()).with("path", mistake.path.as_str());
    match mistake.place {
        Some(place) => finding.with("line", place.line).with("column", place.column),
        None => finding,
    }
}

fn subject(mistake: &Mistake) -> String {
    let file = mistake.file.display();
    mistake.place.map_or_else(|| file.to_string(), |place| format!("{file}:{}", place.line))
}

fn words(mistake: &Mistake) -> String {
    match mistake.path.as_str() {
        "" => mistake.what.clone(),
        path => format!("{path}: {}", mistake.what),
    }
}

fn mistake(mistake: &Mistake) -> Finding {
    let mut parts = mistake.path.split('.');
    let advice = match (parts.next(), parts.next()) {
        (Some("servers" | "mcpServers"), Some(name)) => format!("correct it; until then {name} is left out"),
        (Some("settings" | "clients"), _) => "correct it; until then the defaults hold".to_owned(),
        _ => "correct it; until then nothing of the file holds that cannot be read".to_owned(),
    };
    placed(Finding::error("config.mistake", subject(mistake), words(mistake), advice), mistake)
}

fn note(note: &Mistake) -> Finding {
    let finding = Finding::note("config.note", subject(note), words(note), "");
    placed(Finding { advice: None, ..finding }, note)
}

/// Secrets that are written out where others may read them. Names them, and never shows one.
fn open_secrets(seen: &Seen<'_>) -> Option<Finding> {
    let file = seen.loaded.source.as_ref().filter(|_| seen.is_open)?;
    let names: Vec<String> = seen.loaded.config.servers.iter().filter_map(written_out).collect();
    let all = names.join("; ");
    (!names.is_empty()).then(|| {
        let file = file.display().to_string();
        let advice = format!("chmod 600 {file}, or write ${{env:NAME}} in the place of the value");
        Finding::warning(
            "config.open",
            file,
            format!("others may read it, and it holds secrets: {all}"),
            advice,
        )
    })
}

fn written_out(server: &Server) -> Option<String> {
    let is_plain = |value: &crate::credentials::Template| value.variables().next().is_none();
    let plain = server.env.iter().filter(|(_, value)| is_plain(value));
    let mut names: Vec<&str> = plain
        .filter(|(name, value)| masked::is_secret(name, value.as_written()))
        .map(|(name, _)| name.as_str())
        .collect();
    let args: Vec<String> =
        server.args.iter().filter(|arg| is_plain(arg)).map(|arg| arg.as_written().to_owned()).collect();
    names.extend(masked::hold_secret(&args).then_some("an argument"));
    (!names.is_empty()).then(|| format!("{} ({})", names.join(", "), server.name))
}

/// Variables that a server's entry refers to and that are not set.
fn unset(server: &Server, environment: &Environment) -> Vec<Finding> {
    let mut names: Vec<&str> = server.variables().filter(|name| environment.get(name).is_none()).collect();
    names.sort_unstable();
    names.dedup();
    let told = names.into_iter().map(|name| {
        let message = format!("its entry refers to ${{env:{name}}}, which is not set here");
        let advice = format!("set {name} where your client is started, or write the value into the entry");
        Finding::error("config.variable", server.name.as_str(), message, advice).with("variable", name)
    });
    told.collect()
}

/// Variables that this shell has, and that a desktop may not have.
fn of_this_shell(servers: &[&Server], environment: &Environment) -> Option<Finding> {
    let is_usual = |name: &str| environment.inherited().any(|(usual, _)| usual == name);
    let all = servers.iter().flat_map(|server| server.variables());
    let mut names: Vec<&str> =
        all.filter(|name| environment.get(name).is_some() && !is_usual(name)).collect();
    names.sort_unstable();
    names.dedup();
    let all = names.join(", ");
    let (is, it) = if names.len() == 1 { ("is", "it") } else { ("are", "them") };
    (!names.is_empty()).then(|| {
        let message = format!("{is} set in this shell; a client that the desktop starts may not have {it}");
        let advice = format!(
            "where servers miss {it}, set {it} for the whole login, or write the value into the entry"
        );
        Finding::note("config.shell", all, message, advice).with("variables", names)
    })
}

fn folder(server: &Server) -> Option<Finding> {
    let cwd = server.cwd.as_ref().filter(|cwd| !cwd.is_dir())?.display().to_string();
    let message = format!("its folder (cwd) is not there: {cwd}");
    let advice = "make it, or correct cwd in its entry";
    Some(Finding::error("config.cwd", server.name.as_str(), message, advice).with("file", cwd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// What is found of a file with this text, in words.
    fn found(text: &str, is_open: bool, variables: &[(&str, &str)]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let loaded = config::load(Some(&path));
        let environment: Environment = variables.iter().copied().collect();
        let seen = Seen { loaded: &loaded, usual: None, is_open, environment: &environment };
        let servers: Vec<&Server> = loaded.config.servers.iter().filter(|server| server.enabled).collect();
        shown(&look(&seen, &servers)).replace(&format!("{}/", dir.path().display()), "")
    }

    fn shown(findings: &[Finding]) -> String {
        let lines = findings.iter().map(|found| {
            let advice = found.advice.iter().map(|advice| format!(" -> {advice}")).collect::<String>();
            format!("{} {}: {}{advice}", found.level.word(), found.subject, found.message)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_sound_file_is_quiet_also_with_secrets_that_nobody_else_reads() {
        let text = "[servers.a]\ncommand = 'x'\nenv = { TOKEN = 'abc' }\n[servers.b]\ncommand = 'x'\nenabled = false";
        assert_eq!(found(text, false, &[]), "ok config.toml: 1 server, 1 switched off");
    }

    #[test]
    fn mistakes_and_notes_come_with_their_lines() {
        insta::assert_snapshot!(
            found("[settings]\nhang_after = 'x'\n[servers.a]\ncomand = 'x'\n[servers.bridge]\ncommand = 'bridge'\nargs = ['serve']\n", false, &[]),
            @r#"
        error config.toml: no server in it can be used -> correct the mistakes below
        error config.toml:2: settings.hang_after: must be an integer, found a text -> correct it; until then the defaults hold
        error config.toml:3: servers.a: needs a "command" to start the server with -> correct it; until then a is left out
        error config.toml:4: servers.a.comand: unknown key, did you mean "command"? -> correct it; until then a is left out
        note config.toml:5: servers.bridge: left out: it is the bridge itself
        "#
        );
        insta::assert_snapshot!(found("[servers", false, &[]), @"error config.toml:1: not valid TOML: unclosed table, expected `]` -> correct it; until then nothing of the file holds that cannot be read");
    }

    #[test]
    fn no_file_no_servers_and_none_that_is_on_are_told_apart() {
        let environment = Environment::default();
        let loaded = Loaded::default();
        let usual = Some(Path::new("/home/u/.config/bridge/config.toml"));
        let seen = Seen { loaded: &loaded, usual, is_open: false, environment: &environment };
        let none = shown(&look(&seen, &[]));
        let empty = found("", false, &[]);
        let off = found("[servers.a]\ncommand = 'x'\nenabled = false", false, &[]);
        insta::assert_snapshot!([none, empty, off].join("\n"), @r"
        warning /home/u/.config/bridge/config.toml: there is no configuration, so there are no servers -> bridge install --move-servers takes over the servers of your clients
        warning config.toml: has no servers -> bridge install --move-servers takes over the servers of your clients
        warning config.toml: all of its servers are switched off -> write enabled = true into the entries that you want
        ");
    }

    #[test]
    fn a_secret_that_others_may_read_is_named_and_never_shown() {
        let text = "[servers.a]\ncommand = 'x'\nargs = ['--api-key', 's3cr3t']\n\
                    env = { GITHUB_TOKEN = 's3cr3t', OTHER = '${env:OTHER}', MODE = 'fast' }";
        let found = found(text, true, &[("OTHER", "s3cr3t")]);
        assert!(!found.contains("s3cr3t"), "{found}");
        insta::assert_snapshot!(found, @r"
        ok config.toml: 1 server
        warning config.toml: others may read it, and it holds secrets: GITHUB_TOKEN, an argument (a) -> chmod 600 config.toml, or write ${env:NAME} in the place of the value
        note OTHER: is set in this shell; a client that the desktop starts may not have it -> where servers miss it, set it for the whole login, or write the value into the entry
        ");
    }

    #[test]
    fn what_an_entry_needs_and_is_not_there_is_named() {
        let text = "[servers.a]\ncommand = 'x'\ncwd = '/no/such/folder'\nargs = ['${env:GONE}', '${env:HOME}']\n\
                    env = { A = '${env:GONE}' }";
        insta::assert_snapshot!(found(text, false, &[("HOME", "/home/u")]), @r"
        ok config.toml: 1 server
        error a: its entry refers to ${env:GONE}, which is not set here -> set GONE where your client is started, or write the value into the entry
        error a: its folder (cwd) is not there: /no/such/folder -> make it, or correct cwd in its entry
        ");
    }
}
