//! What the screen stands at, and what a key does to it.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind};

use crate::cli::chart::Letters;
use crate::cli::terminal;
use crate::cli::top::sight::{Seen, Sight};

/// The screen.
#[derive(Debug)]
pub struct Top {
    /// Whose bridges they are.
    pub data_dir: PathBuf,
    /// What sparklines are drawn with.
    pub letters: Letters,
    /// Whose time is shown.
    pub zone: TimeZone,
    /// What was seen last; `None` before the first look.
    pub sight: Option<Sight>,
    /// The server that was chosen, and its bridge: it stays chosen while others come and go.
    chosen: Option<(Option<u32>, String)>,
    /// What the chosen server wrote last.
    pub wrote: Vec<String>,
    /// What became of the last deed.
    pub said: Option<Result<String, String>>,
    /// The server of which it is asked whether it shall be switched off.
    pub asked: Option<String>,
    /// Whether the keys are explained.
    pub help: bool,
}

/// What a person wants to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// To start a server anew.
    Restart(String),
    /// To stop it.
    Stop(String),
    /// To start it again.
    Start(String),
    /// To switch it off in the configuration.
    Disable(String),
}

/// What follows from a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing but another picture.
    Nothing,
    /// Another server is chosen.
    Chosen,
    /// Something is done.
    Do(Deed),
    /// The end.
    Quit,
}

impl Top {
    /// Before the first look.
    pub fn new(data_dir: PathBuf) -> Self {
        let (letters, zone) = (Letters::of_locale(), TimeZone::system());
        let (sight, chosen, wrote, said, asked, help) = (None, None, Vec::new(), None, None, false);
        Self { data_dir, letters, zone, sight, chosen, wrote, said, asked, help }
    }

    /// Every server.
    pub fn servers(&self) -> &[Seen] {
        self.sight.as_ref().map(|sight| sight.servers.as_slice()).unwrap_or_default()
    }

    /// The place of the chosen server.
    pub fn place(&self) -> Option<usize> {
        let (bridge, name) = self.chosen.as_ref()?;
        self.servers().iter().position(|seen| seen.bridge == *bridge && seen.name == *name)
    }

    /// The chosen server.
    pub fn chosen(&self) -> Option<&Seen> {
        self.servers().get(self.place()?)
    }

    /// The name of the chosen server.
    pub fn chosen_name(&self) -> Option<&str> {
        self.chosen().map(|seen| seen.name.as_str())
    }

    /// Something else is seen. A server that is there no more leaves its place to the one that has it now.
    pub fn see(&mut self, sight: Sight) {
        let place = self.place().unwrap_or_default();
        self.sight = Some(sight);
        if self.place().is_none() {
            self.choose(place);
        }
    }

    fn choose(&mut self, place: usize) {
        let place = place.min(self.servers().len().saturating_sub(1));
        self.chosen = self.servers().get(place).map(|seen| (seen.bridge, seen.name.clone()));
    }

    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) -> Next {
        if key.kind == KeyEventKind::Release {
            return Next::Nothing;
        }
        if terminal::ends(key) {
            return Next::Quit;
        }
        if std::mem::take(&mut self.help) {
            return if key.code == KeyCode::Char('q') { Next::Quit } else { Next::Nothing };
        }
        if let Some(name) = self.asked.take() {
            return match key.code {
                KeyCode::Char('y' | 'Y') => self.begins(Deed::Disable(name)),
                _ => Next::Nothing,
            };
        }
        // What came of the last deed was read.
        self.said = None;
        let place = self.place().unwrap_or_default();
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Down | KeyCode::Char('j') => return self.chosen_at(place.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => return self.chosen_at(place.saturating_sub(1)),
            KeyCode::Home => return self.chosen_at(0),
            KeyCode::End => return self.chosen_at(usize::MAX),
            KeyCode::Char('r') => return self.deed(|seen| Deed::Restart(seen.name.clone())),
            KeyCode::Char('d') => self.asked = self.chosen_name().map(str::to_owned),
            KeyCode::Char('s') => {
                return self.deed(|seen| match seen.state.as_str() {
                    "ready" | "starting" => Deed::Stop(seen.name.clone()),
                    _ if seen.held => Deed::Start(seen.name.clone()),
                    "stopped" => Deed::Start(seen.name.clone()),
                    _ => Deed::Stop(seen.name.clone()),
                });
            }
            _ => {}
        }
        Next::Nothing
    }

    fn chosen_at(&mut self, place: usize) -> Next {
        self.choose(place);
        Next::Chosen
    }

    fn deed(&mut self, deed: impl Fn(&Seen) -> Deed) -> Next {
        self.chosen().map(deed).map_or(Next::Nothing, |deed| self.begins(deed))
    }

    fn begins(&mut self, deed: Deed) -> Next {
        self.said = Some(Ok(match &deed {
            Deed::Restart(name) => format!("{name} is started anew …"),
            Deed::Stop(name) => format!("{name} is being stopped …"),
            Deed::Start(name) => format!("{name} is being started …"),
            Deed::Disable(name) => format!("{name} is being switched off …"),
        }));
        Next::Do(deed)
    }
}
