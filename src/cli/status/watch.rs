//! `bridge status --watch`: the same report, again and again.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{Event, KeyCode};
use ratatui::widgets::Paragraph;

use crate::cli::status::look::Look;
use crate::cli::status::report;
use crate::cli::terminal::{self, Feed, Whole};
use crate::cli::words;

/// Reports until somebody has enough of it.
///
/// # Errors
/// When the folder of the bridges' sockets is not this user's own, or the terminal cannot be drawn on.
pub fn run(data_dir: &Path, every: Duration, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    match !json && io::stdout().is_terminal() {
        true => on_terminal(data_dir, every),
        false => in_turn(data_dir, every, json, out),
    }
}

/// One after another, until nobody reads it.
fn in_turn(data_dir: &Path, every: Duration, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    loop {
        let look = Look::take(data_dir)?;
        let text = match json {
            true => format!("{}\n", look.json()),
            false => format!("{}\n\n", report(&look, data_dir, words::screen_columns())),
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        std::thread::sleep(every);
    }
}

fn on_terminal(data_dir: &Path, every: Duration) -> anyhow::Result<()> {
    let folder = data_dir.to_owned();
    // Of its own thread, so that a bridge that hangs does not keep a key waiting.
    let mut looks = Feed::every(every, move || Look::take(&folder))?;
    let mut whole = Whole::take()?;
    let mut last = None;
    loop {
        if let Some(look) = looks.newest() {
            last = Some(look?);
        }
        whole.screen.draw(|frame| {
            let text = match &last {
                Some(look) => report(look, data_dir, frame.area().width),
                None => "The bridges are asked …".to_owned(),
            };
            let every = words::seconds(every.as_secs());
            let text = terminal::fitting(&text, frame.area().height, &format!("every {every}; q ends"));
            frame.render_widget(Paragraph::new(text), frame.area());
        })?;
        match whole.event(Instant::now() + terminal::FRAME)? {
            Some(Event::Key(key)) if terminal::ends(key) || key.code == KeyCode::Char('q') => return Ok(()),
            _ if whole.is_over() => return Ok(()),
            _ => {}
        }
    }
}
