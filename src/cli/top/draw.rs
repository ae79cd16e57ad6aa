//! The picture of a screen's state, on as many rows and columns as there are.

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

/// Errors and stderr need so many rows beside the servers.
const ROOMY: u16 = 12;

const KEYS: &str = "↑↓ choose  r restart  s stop/start  ? help  q quit";

const HELP: &str = "\
↑ ↓ j k   choose a server
r         restart it: new processes, and its failures are forgotten
s         stop it until somebody starts it, or start it again
?         this page; any key closes it
q Esc     the end

CALLS/S   calls that ended in the last second
P50       how long they took, in the middle; LATENCY a bar a second
RUN       requests under way     QUEUE  how many wait for their turn";

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, top: &Top) {
    let area = frame.area();
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(Paragraph::new(title(top)), head);
    frame.render_widget(footer(top), foot);
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

fn title(top: &Top) -> String {
    let Some(sight) = &top.sight else { return "bridge top".to_owned() };
    // The sum of nothing is -0.
    let rate = sight.servers.iter().map(|seen| seen.rate).sum::<f64>().abs();
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!(
        "bridge top  {}, {}, {}, {rate:.1} calls/s",
        counted(sight.bridges, "bridge"),
        counted(sight.clients, "client"),
        counted(sight.servers.len(), "server"),
    )
}

fn footer(top: &Top) -> Paragraph<'_> {
    let troubles = top.sight.as_ref().map(|sight| sight.troubles.join("; ")).filter(|text| !text.is_empty());
    match (troubles, &top.said) {
        (Some(trouble), _) => Paragraph::new(trouble).style(Color::Red),
        (None, Some(Err(error))) => Paragraph::new(error.as_str()).style(Color::Red),
        (None, Some(Ok(said))) => Paragraph::new(said.as_str()),
        (None, None) => Paragraph::new(KEYS).style(Modifier::DIM),
    }
}

fn all(frame: &mut Frame<'_>, area: Rect, top: &Top, sight: &Sight) {
    let rows = u16::try_from(sight.servers.len()).unwrap_or(u16::MAX).saturating_add(1);
    if area.height < ROOMY {
        return servers(frame, area, top, sight);
    }
    let [table, why, errors, wrote] = Layout::vertical([
        Constraint::Length(rows.min(area.height / 2)),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ])
    .areas(area);
    servers(frame, table, top, sight);
    if let Some(seen) = top.chosen().filter(|seen| !seen.because.is_empty()) {
        let text = format!("{} is {}: {}", seen.name, seen.state, seen.because);
        frame.render_widget(Paragraph::new(text).style(Modifier::DIM), why);
    }
    let line = |entry: &Entry| {
        let at = Timestamp::from_millisecond(entry.at_ms).unwrap_or_default().to_zoned(top.zone.clone());
        Line::from(format!("{}  {}  {}", at.strftime("%H:%M:%S"), entry.source, entry.text))
    };
    let lines: Vec<Line<'_>> = sight.errors.iter().take(usize::from(errors.height)).map(line).collect();
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
    let numbers = |text: &'static str| Cell::from(Text::from(text).alignment(Alignment::Right));
    let header = Row::new([
        Cell::from("SERVER"),
        Cell::from("STATE"),
        numbers("CALLS/S"),
        numbers("P50"),
        Cell::from("LATENCY"),
        numbers("RUN"),
        numbers("QUEUE"),
        numbers("RESTARTS"),
    ]);
    let widths = [
        Constraint::Min(8),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(SPARK),
        Constraint::Length(4),
        Constraint::Length(7),
        Constraint::Length(8),
    ];
    let table = Table::new(sight.servers.iter().map(|seen| row(seen, many, top.letters)), widths)
        .header(header.style(Modifier::BOLD))
        .highlight_symbol("> ")
        .row_highlight_style(Modifier::REVERSED);
    let mut state = TableState::new().with_selected(top.place());
    frame.render_stateful_widget(table, area, &mut state);
}

fn row(seen: &Seen, many: bool, letters: Letters) -> Row<'_> {
    let number = |text: String| Cell::from(Text::from(text).alignment(Alignment::Right));
    let name = match seen.bridge.filter(|_| many) {
        Some(pid) => format!("{} @{pid}", seen.name),
        None => seen.name.clone(),
    };
    let last = seen.took_us.iter().rev().find(|us| **us > 0);
    Row::new([
        Cell::from(name),
        Cell::from(Span::styled(seen.state.clone(), colour(&seen.state))),
        number(format!("{:.1}", seen.rate)),
        number(last.map_or_else(|| "-".to_owned(), |us| words::micros(*us))),
        Cell::from(spark(letters, &seen.took_us, usize::from(SPARK))),
        number(seen.in_flight.to_string()),
        number(format!("{}/{}", seen.waiting.0, seen.waiting.1)),
        number(seen.restarts.to_string()),
    ])
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
