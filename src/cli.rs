//! Verbs and global flags; each verb has a file of its own.

pub mod add;
pub mod approve;
mod chart;
pub mod completions;
pub mod dashboard;
pub mod demo;
pub mod doctor;
mod ended;
pub mod export;
pub mod hub;
pub mod import;
pub mod install;
pub mod list;
pub mod logs;
pub mod man;
mod mover;
mod own;
pub mod progress;
pub mod reload;
pub mod remove;
pub mod restart;
mod running;
pub mod sample;
pub mod serve;
pub mod server;
pub mod sessions;
mod sheet;
#[cfg(unix)]
pub mod start;
pub mod stats;
pub mod status;
#[cfg(unix)]
pub mod stop;
pub mod switch;
mod terminal;
pub mod tools;
pub mod top;
pub mod tried;
#[cfg(unix)]
pub mod upgrade;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::paths::{Overrides, Paths};
use crate::version;

/// One MCP server in front of all the others: it never goes away, and it keeps the record.
#[derive(Debug, Parser)]
#[command(name = "bridge", version = version::own(), max_term_width = 80)]
#[command(after_help = "Examples:
  bridge demo                          see it survive a crash, in a few seconds
  bridge install --move-servers        put it in front of your clients' servers
  bridge serve --config ~/mcp.json     what an AI client starts
  bridge status                        what it does now
  bridge doctor                        what is wrong, and what to do about it
  bridge stats --since 24h             what happened since yesterday")]
pub struct Cli {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// Where things are.
#[derive(Debug, Clone, Args)]
pub struct Places {
    /// The configuration: TOML, or the JSON file of a client with its `mcpServers`.
    #[arg(long, value_name = "FILE", env = "BRIDGE_CONFIG", global = true, value_parser = place())]
    config: Option<PathBuf>,
    /// The folder with the record (`bridge.db`), locks and logs.
    #[arg(long, value_name = "DIR", env = "BRIDGE_DATA_DIR", global = true, value_parser = place())]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serves one client on stdin and stdout; this is what a client's configuration names.
    Serve(serve::Args),
    /// Serves all clients of this user; bridge serve starts it and starts it again.
    Hub(hub::Args),
    /// Puts the bridge into the files of the AI clients that are installed here.
    Install(install::Args),
    /// Adds a server, and starts it once to see what it has.
    Add(add::Args),
    /// Takes over the servers of a client's file, or of another configuration.
    Import(import::Args),
    /// Lists the servers of the configuration.
    List(list::Args),
    /// Takes a server out of the configuration.
    Remove(remove::Args),
    /// Switches servers on.
    Enable(switch::Enable),
    /// Switches servers off, and keeps their entries.
    Disable(switch::Disable),
    /// Finds out why servers do not work, and what to do about it.
    Doctor(doctor::Args),
    /// Shows the bridges that run now: their clients, and what each of their servers does.
    Status(status::Args),
    /// Draws the servers at work on the whole terminal, with keys to restart or stop them.
    Top(top::Args),
    /// Shows what the bridge and its servers wrote and went through, and follows it.
    Logs(logs::Args),
    /// Has every bridge that runs read its configuration again.
    Reload(reload::Args),
    /// Ends a server's processes and starts it anew.
    Restart(restart::Args),
    /// Ends the hub in peace until the next request of a client, or one server until it is started.
    #[cfg(unix)]
    Stop(stop::Args),
    /// Starts the hub, also after bridge stop --hold, or one server.
    #[cfg(unix)]
    Start(start::Args),
    /// Has another program take the hub's place, under the eyes of clients that notice nothing.
    #[cfg(unix)]
    Upgrade(upgrade::Args),
    /// Shows what a client sees: every tool, its size, and which are off, held back or changed.
    Tools(tools::Args),
    /// Takes changed tools as they are, and shows those again that were held back.
    Approve(approve::Args),
    /// Shows how often each tool was called, how often it failed and how long it took.
    Stats(stats::Args),
    /// Shows calls, times, errors and servers on a page in the browser.
    Dashboard(dashboard::Args),
    /// Writes out the rows of the record, for programs and spreadsheets.
    Export(export::Args),
    /// Shows who was attached, since when, and how it ended.
    Sessions(sessions::Args),
    /// Shows in a few seconds what the bridge does when a server, a tool or the bridge itself dies.
    Demo(demo::Args),
    /// Prints the completions for a shell.
    Completions(completions::Args),
    /// The manual pages, for packages.
    #[command(name = "__man", hide = true)]
    Man(man::Args),
    /// The sample server of `bridge demo`.
    #[command(name = "__sample", hide = true)]
    Sample,
}

/// A place, or nothing: an empty variable counts as none, it must not keep the bridge from serving.
fn place() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

impl Places {
    fn overrides(self) -> Overrides {
        Overrides { config_file: self.config, data_dir: self.data_dir }
    }
}

impl Cli {
    /// Does what the user asked for, and says with which code to exit.
    ///
    /// # Errors
    /// Whatever kept it from being done, for a person to read.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let overrides = self.places.overrides();
        let Some(verb) = self.verb else {
            Self::command().print_help()?;
            return Ok(ExitCode::SUCCESS);
        };
        let done = match verb {
            Verb::Doctor(args) => return Ok(doctor::run(&args, overrides, &mut std::io::stdout().lock())),
            Verb::Serve(args) => serve::run(&args, overrides),
            Verb::Hub(args) => hub::run(&args, overrides),
            Verb::Install(args) => install::run(&args, overrides, &mut std::io::stdout().lock()),
            Verb::Add(args) => add::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock()),
            Verb::Import(args) => import::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock()),
            Verb::List(args) => list::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock()),
            Verb::Remove(args) => remove::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock()),
            Verb::Enable(args) => {
                switch::enable(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock())
            }
            Verb::Disable(args) => {
                switch::disable(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock())
            }
            Verb::Status(args) => {
                status::run(&args, &Paths::find(overrides)?.data_dir, &mut std::io::stdout().lock())
            }
            Verb::Top(args) => top::run(&args, &Paths::find(overrides)?),
            Verb::Logs(args) => logs::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock()),
            Verb::Reload(args) => {
                reload::run(&args, &Paths::find(overrides)?.data_dir, &mut std::io::stdout().lock())
            }
            Verb::Restart(args) => {
                restart::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock())
            }
            #[cfg(unix)]
            Verb::Stop(args) => stop::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock()),
            #[cfg(unix)]
            Verb::Start(args) => start::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock()),
            #[cfg(unix)]
            Verb::Upgrade(args) => {
                upgrade::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock())
            }
            Verb::Tools(args) => tools::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock()),
            Verb::Approve(args) => {
                approve::run(&args, &Paths::find(overrides)?, &mut std::io::stdout().lock())
            }
            Verb::Stats(args) => {
                stats::run(&args, &Paths::find(overrides)?.data_dir, &mut std::io::stdout().lock())
            }
            Verb::Dashboard(args) => {
                dashboard::run(&args, &Paths::find(overrides)?.data_dir, &mut std::io::stdout().lock())
            }
            Verb::Export(args) => {
                export::run(&args, &Paths::find(overrides)?.data_dir, &mut std::io::stdout().lock())
            }
            Verb::Sessions(args) => {
                sessions::run(&args, &Paths::find(overrides)?.data_dir, &mut std::io::stdout().lock())
            }
            Verb::Demo(args) => demo::run(&args, &mut std::io::stdout().lock()),
            Verb::Completions(args) => completions::run(&args, &mut std::io::stdout().lock()),
            Verb::Man(args) => man::run(&args),
            Verb::Sample => sample::run(),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// Prints what went wrong, in one place and one form, and says with which code to exit. A reader that
/// went away is no fault.
#[expect(clippy::print_stderr, reason = "this is where a person reads why a command failed")]
#[must_use]
pub fn report(error: &anyhow::Error) -> std::process::ExitCode {
    let broken_pipe = error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    });
    if broken_pipe {
        return std::process::ExitCode::SUCCESS;
    }
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("caused by: {cause}");
    }
    std::process::ExitCode::FAILURE
}
