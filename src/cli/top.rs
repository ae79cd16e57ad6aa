//! `bridge top`: the servers that run now, drawn on the whole terminal.

mod draw;
mod sight;
mod state;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::Event;

use crate::cli::top::sight::Watcher;
use crate::cli::top::state::{Deed, Next, Top};
use crate::cli::{restart, server, switch, terminal, words};
use crate::paths::Paths;

/// How often it is looked what the bridges do.
const LOOK: Duration = Duration::from_secs(1);

/// Watch the servers at work, and restart, stop, start or disable them
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "It shows for each server its state, calls per second, how long they took, how
many run and wait, and below the last errors and what the chosen server wrote.
Keys: arrows or j and k choose a server, r restarts it, s stops or starts it,
d switches it off in the configuration, ? explains, q ends. Without a bridge it
waits for one.

Without a terminal there is bridge status --watch.

Example:
  bridge top")]
pub struct Args {}

/// Draws until somebody has enough of it.
///
/// # Errors
/// When there is no terminal.
pub fn run(_args: &Args, paths: &Paths) -> anyhow::Result<()> {
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    anyhow::ensure!(is_terminal, "bridge top needs a terminal; elsewhere there is bridge status --watch");
    let mut watcher = Watcher::new(paths);
    let mut sights = terminal::Feed::every(LOOK, move || watcher.look())?;
    let mut whole = terminal::Whole::take()?;
    let mut top = Top::new(paths.data_dir.clone());
    let mut done: Option<Receiver<Result<String, String>>> = None;
    while !whole.is_over() {
        if let Some(sight) = sights.newest() {
            top.see(sight);
            top.wrote = sight::last_written(paths, top.chosen_name());
        }
        if let Some(said) = done.as_ref().and_then(|done| done.try_recv().ok()) {
            (done, top.said) = (None, Some(said));
        }
        whole.screen.draw(|frame| draw::draw(frame, &top))?;
        let Some(Event::Key(key)) = whole.event(Instant::now() + terminal::FRAME)? else { continue };
        match top.key(key) {
            Next::Quit => return Ok(()),
            Next::Do(_) if done.is_some() => top.said = Some(Err("the last one is not done yet".to_owned())),
            Next::Do(deed) => done = Some(begin(deed, paths)?),
            Next::Chosen => top.wrote = sight::last_written(paths, top.chosen_name()),
            Next::Nothing => {}
        }
    }
    Ok(())
}

/// Does it on a thread of its own: a server may take its time. It is not waited for at the end.
fn begin(deed: Deed, paths: &Paths) -> io::Result<Receiver<Result<String, String>>> {
    let (told, done) = sync_channel(1);
    let paths = paths.clone();
    let work = move || {
        let mut out = Vec::new();
        let result = match &deed {
            Deed::Restart(name) => restart::restart(&paths, name, &mut out),
            Deed::Stop(name) => server::stop(&paths, name, &mut out),
            Deed::Start(name) => server::start(&paths, name, &mut out),
            Deed::Disable(name) => disable(&paths, name, &mut out),
        };
        let said = String::from_utf8_lossy(&out).trim().replace('\n', "; ");
        // Nobody hears it when the screen is gone.
        let _ = told.send(result.map(|()| said).map_err(|error| format!("{error:#}").replace('\n', "; ")));
    };
    std::thread::Builder::new().name("deed".to_owned()).spawn(work)?;
    Ok(done)
}

fn disable(paths: &Paths, name: &str, out: &mut impl io::Write) -> anyhow::Result<()> {
    let switched = switch::switch(&[name.to_owned()], paths, false)?;
    let how = if switched.iter().any(|switched| switched.changed) { "is switched" } else { "was already" };
    words::say(out, &format!("{name} {how} off; bridge enable {name} switches it on again"))?;
    Ok(())
}
