//! The picture of a screen's state, on as many rows and columns as there are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table, TableState, Wrap};

use crate::cli::chart::Letters;
use crate::cli::logs::entry::Entry;
use crate::cli::top::sight::{Seen, Sight};
use crate::cli::top::state::Top;
use crate::cli::words;

/// How wide a sparkline is.
const SPARK: u16 = 12;

/// What is said of a server or a deed takes so many rows at most.
const TEXT_ROWS_MAX: u16 = 3;

/// Errors and stderr need so many rows beside the servers.
const ROOMY: u16 = 12;

/// The first that fits.
const KEYS: [&str; 3] = [
    "↑↓ choose  r restart  s stop/start  d disable  ? help  q quit",
    "↑↓  r restart  s stop  d disable  ? help  q quit",
    "? help  q quit",
];

const HELP: &str = "\
↑ ↓ j k   choose a server
r         restart it: new processes, and its failures are forgotten
s         stop it until somebody starts it, or start it again
d         switch it off in the configuration, which keeps its entry
?         this page; any key closes it
q Esc     the end

CALLS/S   calls that ended in the last second, in all bridges (= as above)
P50       how long they took, in the middle; LATENCY a bar a second
RUN       requests under way     QUEUE  how many wait for their turn";

/// A figure of each server.
struct Column {
    title: &'static str,
    width: u16,
    /// It is there on a screen of so many columns.
    from: u16,
    alignment: Alignment,
    /// It is the same for all servers with one name.
    by_name: bool,
    of: fn(&Seen, Letters) -> String,
}

const COLUMNS: [Column; 6] = [
    Column::number("CALLS/S", 7, 28, |seen, _| format!("{:.1}", seen.rate)).by_name(),
    Column::number("P50", 6, 40, |seen, _| {
        let last = seen.took_us.iter().rev().find(|us| **us > 0);
        last.map_or_else(|| "-".to_owned(), |us| words::micros(*us))
    })
    .by_name(),
    Column {
        title: "LATENCY",
        width: SPARK,
        from: 70,
        alignment: Alignment::Left,
        by_name: true,
        of: |seen, letters| spark(letters, &seen.took_us, usize::from(SPARK)),
    },
    Column::number("RUN", 4, 33, |seen, _| seen.in_flight.to_string()),
    Column::number("QUEUE", 7, 48, |seen, _| {
        let most = seen.waiting.1.map(|most| format!("/{most}"));
        format!("{}{}", seen.waiting.0, most.unwrap_or_default())
    }),
    Column::number("RESTARTS", 8, 57, |seen, _| seen.restarts.to_string()),
];

impl Column {
    const fn number(title: &'static str, width: u16, from: u16, of: fn(&Seen, Letters) -> String) -> Self {
        Self { title, width, from, alignment: Alignment::Right, by_name: false, of }
    }

    const fn by_name(self) -> Self {
        Self { by_name: true, ..self }
    }

    fn cell(&self, text: String) -> Cell<'static> {
        Cell::from(Text::from(text).alignment(self.alignment))
    }
}

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, top: &Top) {
    let area = frame.area();
    let (text, style) = footer(top, area.width);
    let (text, rows) = fitted(&text, area);
    let last = Paragraph::new(text).style(style);
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(rows)]).areas(area);
    frame.render_widget(Paragraph::new(title(top, area.width)), head);
    frame.render_widget(last, foot);
    match top.sight.as_ref() {
        None => center(frame, body, "The bridges are asked …"),
        Some(sight) if sight.bridges == 0 && sight.servers.is_empty() => {
            let place = top.data_dir.display();
            center(
                frame,
                body,
                &format!("No bridge runs on {place}.\nAn AI client starts one; it is waited for."),
            );
        }
        Some(sight) if sight.servers.is_empty() && sight.troubles.is_empty() => {
            center(frame, body, "The bridge has no servers: its configuration names none.");
        }
        Some(sight) => all(frame, body, top, sight),
    }
    if top.help {
        help(frame, area);
    }
}

fn title(top: &Top, columns: u16) -> String {
    let Some(sight) = &top.sight else { return "bridge top".to_owned() };
    // What several bridges have under one name has one rate.
    let rates: BTreeMap<&str, f64> =
        sight.servers.iter().map(|seen| (seen.name.as_str(), seen.rate)).collect();
    // The sum of nothing is -0.
    let rate = rates.values().sum::<f64>().abs();
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let text = format!(
        "{}, {}, {}, {rate:.1} calls/s",
        counted(sight.bridges, "bridge"),
        counted(sight.clients, "client"),
        counted(sight.servers.len(), "server"),
    );
    let whole = format!("bridge top  {text}");
    if whole.len() > usize::from(columns) { text } else { whole }
}

/// What fits of a text that may be longer than a row, and how many rows it takes.
fn fitted(text: &str, area: Rect) -> (String, u16) {
    let most = TEXT_ROWS_MAX.min(area.height / 4).max(1);
    let wrapped = words::wrapped(text, area.width);
    let lines: Vec<&str> = wrapped.lines().take(usize::from(most)).collect();
    (lines.join("\n"), u16::try_from(lines.len()).unwrap_or(1))
}

/// What stands in the last rows: a question, else what came of a deed and what is wrong, else the keys.
fn footer(top: &Top, columns: u16) -> (Cow<'_, str>, Style) {
    let troubles = top.sight.as_ref().map(|sight| sight.troubles.join("; ")).filter(|text| !text.is_empty());
    match (&top.asked, troubles, &top.said) {
        (Some(name), _, _) => {
            (format!("Switch {name} off? Its entry stays. [y/N]").into(), Modifier::BOLD.into())
        }
        (None, _, Some(Err(error))) => (error.into(), Color::Red.into()),
        (None, Some(trouble), None) => (trouble.into(), Color::Red.into()),
        (None, Some(trouble), Some(Ok(said))) => (format!("{said}; {trouble}").into(), Color::Red.into()),
        (None, None, Some(Ok(said))) => (said.into(), Style::new()),
        (None, None, None) => {
            let fits = |keys: &&str| keys.chars().count() <= usize::from(columns);
            (KEYS.into_iter().find(fits).unwrap_or_default().into(), Modifier::DIM.into())
        }
    }
}

fn all(frame: &mut Frame<'_>, area: Rect, top: &Top, sight: &Sight) {
    let rows = u16::try_from(sight.servers.len()).unwrap_or(u16::MAX).saturating_add(1);
    if area.height < ROOMY {
        return servers(frame, area, top, sight);
    }
    let because = top.chosen().filter(|seen| !seen.because.is_empty());
    let because = because.map(|seen| format!("{} is {}: {}", seen.name, seen.state, seen.because));
    let (because, because_rows) = fitted(&because.unwrap_or_default(), area);
    let [table, why, errors, wrote] = Layout::vertical([
        Constraint::Length(rows.min(area.height / 2)),
        Constraint::Length(because_rows),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ])
    .areas(area);
    servers(frame, table, top, sight);
    frame.render_widget(Paragraph::new(because).style(Modifier::DIM), why);
    let shown = sight.errors.get(..usize::from(errors.height).min(sight.errors.len())).unwrap_or_default();
    let width = shown.iter().map(|entry| entry.source.chars().count()).max().unwrap_or_default();
    let line = |entry: &Entry| {
        let at = Timestamp::from_millisecond(entry.at_ms).unwrap_or_default().to_zoned(top.zone.clone());
        // Whose session it was is in bridge logs.
        let text = entry.text.split(", session ").next().unwrap_or_default();
        Line::from(format!("{}  {:width$}  {text}", at.strftime("%H:%M:%S"), entry.source))
    };
    let lines: Vec<Line<'_>> = shown.iter().map(line).collect();
    let text = if lines.is_empty() { Text::from("none") } else { lines.into() };
    under(frame, errors, "last errors", text);
    let room = usize::from(wrote.height).saturating_sub(1);
    let last = top.wrote.iter().skip(top.wrote.len().saturating_sub(room));
    let lines: Vec<Line<'_>> = last.map(|line| Line::from(line.as_str())).collect();
    let name = top.chosen_name().unwrap_or("the server");
    let text = if lines.is_empty() { Text::from("nothing") } else { lines.into() };
    under(frame, wrote, &format!("what {name} wrote last"), text);
}

fn servers(frame: &mut Frame<'_>, area: Rect, top: &Top, sight: &Sight) {
    let many = sight.bridges > 1;
    let shown: Vec<&Column> = COLUMNS.iter().filter(|column| column.from <= area.width).collect();
    let titles = shown.iter().map(|column| column.cell(column.title.to_owned()));
    let header = Row::new([Cell::from("SERVER"), Cell::from("STATE")].into_iter().chain(titles));
    let widths = [Constraint::Min(8), Constraint::Length(9)].into_iter();
    let widths = widths.chain(shown.iter().map(|column| Constraint::Length(column.width)));
    let rows = sight.servers.iter().enumerate().map(|(place, seen)| {
        let is_again = sight.servers.iter().take(place).any(|above| above.name == seen.name);
        let name = match seen.bridge.filter(|_| many) {
            Some(pid) => format!("{} @{pid}", seen.name),
            None => seen.name.clone(),
        };
        let state = Span::styled(seen.state.clone(), colour(&seen.state));
        let figures = shown.iter().map(|column| {
            let is_above = is_again && column.by_name;
            column.cell(if is_above { "=".to_owned() } else { (column.of)(seen, top.letters) })
        });
        Row::new([Cell::from(name), Cell::from(state)].into_iter().chain(figures))
    });
    let table = Table::new(rows, widths)
        .header(header.style(Modifier::BOLD))
        .highlight_symbol("> ")
        .row_highlight_style(Modifier::REVERSED);
    let mut state = TableState::new().with_selected(top.place());
    frame.render_stateful_widget(table, area, &mut state);
}

fn colour(state: &str) -> Style {
    match state {
        "ready" => Color::Green.into(),
        "starting" | "resting" => Color::Yellow.into(),
        "parked" | "no answer" => Color::Red.into(),
        _ => Modifier::DIM.into(),
    }
}

/// The last values as bars; a blank where there is none.
fn spark(letters: Letters, values: &[u64], width: usize) -> String {
    let shown = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    format!("{:>width$}", letters.line(shown))
}

fn under(frame: &mut Frame<'_>, area: Rect, title: &str, text: Text<'_>) {
    let block = Block::new().borders(Borders::TOP).title(format!(" {title} "));
    frame.render_widget(Paragraph::new(text).block(block), area);
}

fn center(frame: &mut Frame<'_>, area: Rect, text: &str) {
    let rows = u16::try_from(text.lines().count()).unwrap_or(1);
    let [_, middle, _] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(rows + 1), Constraint::Fill(1)])
            .areas(area);
    let text = Paragraph::new(text.to_owned()).alignment(Alignment::Center).wrap(Wrap { trim: true });
    frame.render_widget(text, middle);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let rows = u16::try_from(HELP.lines().count()).unwrap_or(1) + 2;
    let width = area.width.min(76);
    let height = area.height.min(rows);
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    let place = Rect { x, y, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title(" bridge top ")), place);
}
