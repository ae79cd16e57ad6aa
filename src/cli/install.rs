//! `bridge install`: the clients of this user start the bridge, and it stands in front of their servers.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;

use crate::cli::install::plan::{Plan, Wish};
use crate::cli::install::record::Record;
use crate::cli::words;
use crate::clients::place::Ground;
use crate::clients::{Client, Launch};
use crate::files;
use crate::paths::{NoHome, Overrides, Paths};

mod plan;
pub mod program;
mod record;
mod undo;
mod write;

/// Puts the bridge into the files of the AI clients that are installed here
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "It shows what it would change, without secrets, and asks. Each file is replaced
in one step, with a copy beside it (NAME.before-bridge); everything else in it
stays as it is, comments too. A client reads its file when it starts: restart it.

--config and --data-dir, or their variables, go into the entries.

Exits with 1 when a client's file has to stay as it is, and nothing is lost
then either; when no client is found; and when nobody could be asked.

Examples:
  bridge install --dry-run             show what would be changed
  bridge install --move-servers        have all servers behind the bridge
  bridge install cursor zed --yes      these two, without a question
  bridge install --undo                everything as it was")]
pub struct Args {
    /// Only these: claude-desktop, claude-code, cursor, vscode, windsurf, zed; else all that are installed
    #[arg(value_name = "CLIENT", value_enum, hide_possible_values = true)]
    clients: Vec<Client>,
    /// Shows what would be done, and does nothing
    #[arg(long)]
    dry_run: bool,
    /// Moves the servers that stand there into the bridge's configuration
    #[arg(long, conflicts_with = "undo")]
    move_servers: bool,
    /// Takes back what bridge install did
    #[arg(long)]
    undo: bool,
    /// Does not ask
    #[arg(long, short)]
    yes: bool,
    /// With --undo: also where somebody changed the same since
    #[arg(long, requires = "undo")]
    force: bool,
}

/// Plans, shows, asks, and does it.
///
/// # Errors
/// When nothing can be done, or something could not; what could be done is done.
pub fn run(args: &Args, overrides: Overrides, out: &mut dyn Write) -> anyhow::Result<()> {
    let paths = Paths::find(overrides.clone())?;
    if args.undo {
        return take_back(args, &paths, out);
    }
    let wish = wish(args, &overrides, &paths)?;
    let plan = Plan::make(&wish)?;
    plan.show(out)?;
    if args.clients.is_empty() && plan.parts.iter().all(|part| matches!(part.outlook, plan::Outlook::Absent))
    {
        anyhow::bail!("none of these clients is installed here, so there is nothing to put the bridge into");
    }
    let faults = plan.faults().join(", ");
    let failed = match plan.changes() {
        0 => Vec::new(),
        changes => {
            for warning in warnings(&wish, &plan) {
                words::say(out, &format!("\n{warning}"))?;
            }
            if args.dry_run || !words::agreed(args.yes, &question(changes, "Write"), out)? {
                return stays(&faults, &[]);
            }
            write_it(&wish, &plan, &paths, out)?
        }
    };
    stays(&faults, &failed)
}

fn wish(args: &Args, overrides: &Overrides, paths: &Paths) -> anyhow::Result<Wish> {
    let given = |place: &Option<std::path::PathBuf>| {
        place.as_ref().is_some_and(|place| !place.as_os_str().is_empty())
    };
    let config =
        if given(&overrides.config_file) { paths.config_file.clone() } else { paths.config_default.clone() };
    let config = config.ok_or(NoHome)?;
    let launch = Launch {
        program: program::own()?,
        config: given(&overrides.config_file).then(|| unicode(&config)).transpose()?,
        data_dir: given(&overrides.data_dir).then(|| unicode(&paths.data_dir)).transpose()?,
    };
    let mut clients = if args.clients.is_empty() { Client::ALL.to_vec() } else { args.clients.clone() };
    clients.sort_unstable();
    clients.dedup();
    let ground = Ground::here();
    let ground = ground.context("this account has no home folder, so no client's file can be found")?;
    Ok(Wish {
        clients,
        are_named: !args.clients.is_empty(),
        moves: args.move_servers,
        launch,
        ground,
        config,
    })
}

fn unicode(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("{} is no Unicode text, and no client's file can hold it", path.display()))
}

/// What may surprise somebody who starts the client then.
fn warnings(wish: &Wish, plan: &Plan) -> Vec<String> {
    let missing = wish.launch.config.as_ref().filter(|_| !wish.moves && !wish.config.exists());
    let missing = missing.map(|config| {
        format!("warning: this configuration is not there yet, so the bridge has no servers:\n  {config}")
    });
    let open = plan.own.as_ref().map(|own| &own.found.path).filter(|config| files::is_open(config));
    let open = open.map(|config| {
        let config = config.display();
        format!(
            "warning: others may read this file, which would hold what the servers are given:\n  {config}"
        )
    });
    program::warning(&wish.launch.program).into_iter().chain(missing).chain(open).collect()
}

/// Does what was agreed to, on the files as they are by now. Gives what failed.
fn write_it(wish: &Wish, agreed: &Plan, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<Vec<String>> {
    let _lock = record::lock(paths)?;
    // While somebody read the question a client may have rewritten its file.
    let plan = Plan::make(wish)?;
    anyhow::ensure!(plan.is_same(agreed), "{CHANGED}");
    let moved = plan.own.is_some();
    let (written, failed) = write::write(plan, paths, out)?;
    if !written.is_empty() {
        let restart = format!("Restart {}, and ask the model what bridge_status says.", listed(&written));
        words::say(out, &format!("\n{}", words::wrapped(&restart, words::screen_columns())))?;
        words::say(out, "bridge install --undo takes everything back.")?;
    } else if moved {
        words::say(out, "\nThe servers stand in both places now; bridge install --undo takes them back.")?;
    }
    Ok(failed)
}

const CHANGED: &str = "the files were changed meanwhile so that something else would be done: nothing was written, \
                       run this again";

fn take_back(args: &Args, paths: &Paths, out: &mut dyn Write) -> anyhow::Result<()> {
    let record = Record::read(paths)?;
    let plan = |record: &Record| undo::plan(record, &args.clients, args.force);
    let backs = plan(&record);
    if backs.is_empty() {
        return words::say(out, &undo::nothing(&paths.data_dir, &args.clients));
    }
    undo::show(&backs, out)?;
    let faults = undo::faults(&backs).join(", ");
    let changes = undo::changes(&backs);
    if changes == 0 || args.dry_run || !words::agreed(args.yes, &question(changes, "Undo"), out)? {
        return stays(&faults, &[]);
    }
    let _lock = record::lock(paths)?;
    let record = Record::read(paths)?;
    let now = plan(&record);
    anyhow::ensure!(undo::is_same(&now, &backs), "{CHANGED}");
    let failed = undo::apply(&now, record, paths, out)?;
    words::say(out, "\nRestart the clients.")?;
    stays(&faults, &failed)
}

fn question(count: usize, verb: &str) -> String {
    if count == 1 { format!("{verb} this file?") } else { format!("{verb} these {count} files?") }
}

fn listed(names: &[&str]) -> String {
    match names {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        all => all.concat(),
    }
}

/// The end of it: all is well, or something stays as it is.
fn stays(faults: &str, failed: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    anyhow::ensure!(faults.is_empty(), "not everything can be done, see above: {faults}");
    Ok(())
}
