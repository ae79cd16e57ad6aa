//! `bridge add`: a server more in the configuration, which is started once to see whether it can be.

use std::io::Write;
use std::path::{Path, is_separator};

use anyhow::Context as _;

use crate::cli::own::{self, Own};
use crate::cli::{server, tried, words};
use crate::clients::masked;
use crate::config;
use crate::config::edit::entry::{Address, Entry, section, section_of_address};
use crate::config::sharing::Scope;
use crate::names::ServerName;
use crate::paths::Paths;

/// Add a server to the configuration, and start it once to see what it has
#[derive(Debug, Clone, clap::Args)]
#[command(override_usage = "bridge add [OPTIONS] NAME -- COMMAND [ARGS]...
       bridge add [OPTIONS] NAME --url URL [--header NAME:VALUE]...")]
#[command(after_help = "The entry goes behind the rest of config.toml, which is made if it is missing;
every other byte of it stays. Then the server is started once, outside of any
bridge, and shows its tools, or why it failed; its entry is kept either way. A
bridge that runs hears of it by itself.

A secret is better not in the file: --env TOKEN stores a reference to the
variable TOKEN of whoever starts the bridge (the AI client), ${env:TOKEN}, and
--env TOKEN=value the value itself.

Exits with 1 when the server did not start, or nothing could be added.

Examples:
  bridge add time -- uvx mcp-server-time
  bridge add gh --env GITHUB_TOKEN -- github-mcp-server stdio
  bridge add notes --cwd ~/notes --scope session -- my-server --stdio
  bridge add web --url https://example.org/mcp --header 'X-Key: ${env:KEY}'")]
pub struct Args {
    /// What it is called: its tools are shown as NAME__tool
    #[arg(value_name = "NAME")]
    name: String,
    /// What starts it, and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, required_unless_present = "url")]
    command: Vec<String>,
    /// A variable for it: KEY=VALUE, or KEY for a reference to that variable
    #[arg(long, value_name = "KEY[=VALUE]", conflicts_with = "url")]
    env: Vec<String>,
    /// The folder to start it in
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    cwd: Option<String>,
    /// Whose calls share one of its processes: shared, session, thread, user or call
    #[arg(long, value_name = "SCOPE", value_parser = scope, conflicts_with = "url")]
    scope: Option<Scope>,
    /// Where a server over HTTP is reached: kept, and used when the bridge can do that
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    url: Option<String>,
    /// What each request to it carries
    #[arg(long, value_name = "NAME:VALUE", requires = "url", conflicts_with = "command")]
    header: Vec<String>,
    /// Adds it switched off, and does not start it
    #[arg(long)]
    disabled: bool,
    /// Does not start it
    #[arg(long)]
    no_start: bool,
}

/// Adds it, and starts it once.
///
/// # Errors
/// When it cannot be added; when it was added and did not become ready.
pub fn run(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    let name =
        ServerName::parse(&args.name).with_context(|| format!("{:?} cannot be its name", args.name))?;
    let mut own = Own::open(paths)?;
    let file = own.file.clone();
    anyhow::ensure!(
        name.slug() != "bridge",
        "the bridge's own tools begin with bridge: give the server another name"
    );
    if own.draft.is_taken(&name) {
        anyhow::bail!("{}", taken(&name, &own));
    }
    let failed = |why: String| anyhow::anyhow!("{name} cannot be added to {}: it {why}", file.display());
    let shown = match &args.url {
        Some(url) => {
            let address =
                Address { url: url.clone(), headers: headers(&args.header)?, enabled: !args.disabled };
            own.draft.insert_address(&name, &address).map_err(failed)?;
            section_of_address(name.as_str(), &masked::address(&address))
        }
        None => {
            let entry = entry(args)?;
            own.draft.insert(&name, &entry).map_err(failed)?;
            section(name.as_str(), &masked::entry(&entry))
        }
    };
    // One of this name may have been stopped, and then taken out by hand.
    server::lift(paths, name.as_str())?;
    own.write()?;
    words::say(out, &format!("added to {}:\n", file.display()))?;
    shown.lines().try_for_each(|line| words::say(out, &format!("  {line}")))?;
    let holds = args.env.iter().any(|variable| variable.contains('=')) || !args.header.is_empty();
    let warning = own::warning(&file).filter(|_| holds);
    for line in warning.as_deref().into_iter().chain(own::heard(&paths.data_dir)) {
        words::say(out, &format!("\n{line}"))?;
    }
    match (&args.url, args.disabled, args.no_start) {
        (Some(_), ..) => words::say(out, "\nIt is stored; it is used when servers over HTTP can be reached."),
        (None, true, _) => {
            words::say(out, &format!("\nIt is switched off: bridge enable {name} switches it on."))
        }
        (None, false, true) => Ok(()),
        (None, false, false) => start(&name, &file, out),
    }
}

/// Starts it once, and shows what came of it.
fn start(name: &ServerName, file: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = config::load(Some(file)).config;
    let servers: Vec<_> = config.servers.into_iter().filter(|server| server.name == *name).collect();
    let stays = || format!("{name} stays in {}; bridge remove {name} takes it out", file.display());
    let trials = tried::start(&servers, &config.settings).with_context(stays)?;
    for (server, trial) in servers.iter().zip(&trials) {
        let screen = tried::screen(server, trial, words::screen_columns());
        words::say(out, &format!("\n{}", screen.trim_end()))?;
    }
    anyhow::ensure!(
        trials.iter().all(|trial| trial.result.is_ok()),
        "{name} did not start, see above; {}",
        stays()
    );
    Ok(())
}

fn taken(name: &ServerName, own: &Own) -> String {
    let file = own.file.display();
    let same = own.draft.names().into_iter().find(|other| other == name.as_str());
    match same {
        Some(same) => format!("{file} has a server {same:?} already: bridge remove {same} takes it out"),
        None => {
            let other = own
                .draft
                .names()
                .into_iter()
                .find(|other| ServerName::parse(other).is_ok_and(|other| other.slug() == name.slug()));
            let other = other.unwrap_or_default();
            format!(
                "{file} has a server {other:?}, whose tools would have the same names: give it another name"
            )
        }
    }
}

fn entry(args: &Args) -> anyhow::Result<Entry> {
    let mut words = args.command.iter();
    let command = words.next().context("there is no command to start it with")?;
    // It may stand in another folder than the configuration.
    let command = if command.contains(is_separator) { absolute(command)? } else { command.clone() };
    Ok(Entry {
        command,
        args: words.cloned().collect(),
        env: args.env.iter().map(|variable| pair(variable)).collect(),
        cwd: args.cwd.as_deref().map(absolute).transpose()?,
        scope: args.scope.unwrap_or_default(),
        enabled: !args.disabled,
    })
}

/// A path as it is meant where somebody stands; one in the home folder stays so.
fn absolute(path: &str) -> anyhow::Result<String> {
    if path == "~" || path.starts_with("~/") {
        return Ok(path.to_owned());
    }
    let absolute = std::path::absolute(path).with_context(|| format!("{path:?} is no path"))?;
    absolute
        .into_os_string()
        .into_string()
        .ok()
        .with_context(|| format!("{path:?} is not in a Unicode folder"))
}

/// A variable and its value; alone it refers to itself.
fn pair(variable: &str) -> (String, String) {
    match variable.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (variable.to_owned(), format!("${{env:{variable}}}")),
    }
}

fn headers(headers: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let header = |header: &String| {
        // What was written may be a secret.
        let (name, value) =
            header.split_once(':').context("a --header needs a name and a value: 'NAME: value'")?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    headers.iter().map(header).collect()
}

fn scope(word: &str) -> Result<Scope, String> {
    let words = Scope::ALL.map(Scope::word).join(", ");
    Scope::ALL
        .into_iter()
        .find(|scope| scope.word() == word)
        .ok_or_else(|| format!("it must be one of {words}"))
}
