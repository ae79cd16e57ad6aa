//! Numbers and times as people read them, and a table that fits the terminal.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::Context as _;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::figures::moment;
use crate::store::stamp::HOUR_MS;

/// The width of a screen that is none: a pipe, a file.
const COLUMNS: u16 = 80;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The moment that an option names: `24h` and `7d` before `now_ms`, a day in the user's zone, or an RFC 3339 time.
/// Gives Unix milliseconds.
pub fn moment(option: &str, text: &str, now_ms: i64) -> anyhow::Result<i64> {
    moment::parse(text, now_ms, &TimeZone::system()).map_err(|bad| anyhow::anyhow!("{option} {bad}"))
}

/// How long ago: `now`, `5m ago`, `3h ago`, `12d ago`.
pub fn ago(at_ms: i64, now_ms: i64) -> String {
    match now_ms - at_ms {
        ..1_000 => "now".into(),
        ms @ 1_000..60_000 => format!("{}s ago", ms / 1_000),
        ms @ 60_000..HOUR_MS => format!("{}m ago", ms / 60_000),
        ms @ HOUR_MS..172_800_000 => format!("{}h ago", ms / HOUR_MS),
        ms => format!("{}d ago", ms / DAY_MS),
    }
}

/// A short span: `85µs`, `1.2ms`, `340ms`, `2.1s`, `58s`.
pub fn micros(us: u64) -> String {
    match us {
        ..1_000 => format!("{us}µs"),
        1_000..10_000 => format!("{}.{}ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{}ms", us / 1_000),
        1_000_000..10_000_000 => format!("{}.{}s", us / 1_000_000, us % 1_000_000 / 100_000),
        _ => format!("{}s", us / 1_000_000),
    }
}

/// A life: `12s`, `4m 10s`, `2h 05m`, `3d 4h`.
pub fn seconds(s: u64) -> String {
    match s {
        ..60 => format!("{s}s"),
        60..3_600 => format!("{}m {:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {:02}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A count with its thousands apart: `5,000,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The time now, Unix milliseconds.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// How wide a table may be.
pub fn screen_columns() -> u16 {
    Table::new().width().unwrap_or(COLUMNS)
}

/// Lays out rows without lines or colour; the columns that `numbers` names stand to the right. Cells are made
/// [`plain`].
pub fn table(header: &[&str], numbers: &[usize], rows: Vec<Vec<String>>, columns: u16) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).force_no_tty();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    let rows = rows.into_iter().map(|row| row.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    table.set_header(header.to_vec()).add_rows(rows);
    for &place in numbers {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table.trim_fmt()
}

/// Makes a line [`plain`], and breaks it between words so that it fits; what goes on stands two columns to the right.
pub fn wrapped(line: &str, columns: u16) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in plain(line).split(' ') {
        let more = word.chars().count();
        if width > 0 && width + 1 + more > usize::from(columns) {
            text.push_str("\n  ");
            width = 2;
        } else if !text.is_empty() {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += more;
    }
    text
}

/// What somebody else wrote (a client, a model, a server) as a terminal may show it in a line: what would not be
/// seen, or would do something, is spelt out.
pub fn plain(text: &str) -> String {
    let spelt = |c: char| if is_plain(c) { c.to_string() } else { c.escape_debug().to_string() };
    text.chars().map(spelt).collect()
}

fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // They choose among forms of a letter, and can hide a message; the last is that of emoji.
        '\u{34f}' | '\u{fe00}'..='\u{fe0e}' | '\u{e0100}'..='\u{e01ef}' => false,
        // An accent may stand behind its letter.
        c => ['a', c].iter().collect::<String>().escape_debug().count() == 2,
    }
}

/// The beginning of a text, with a mark where more was.
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What a person reads where there is no record yet.
pub fn nothing_recorded(data_dir: &Path) -> String {
    format!(
        "Nothing is recorded yet in {}.\nIt begins with the first client of `bridge serve`.",
        data_dir.display()
    )
}

/// Writes to stdout. A reader that has gone (`| head`) is no fault.
pub fn say(out: &mut dyn Write, text: &str) -> anyhow::Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Asks a person, who says no unless it is a yes, or was given by `--yes`.
pub fn agreed(is_given: bool, question: &str, out: &mut dyn Write) -> anyhow::Result<bool> {
    if is_given {
        say(out, "")?;
        return Ok(true);
    }
    let stdin = io::stdin();
    anyhow::ensure!(stdin.is_terminal(), "nothing was changed: nobody can be asked here, say --yes");
    // Where data goes may be a file or a pager.
    let mut screen = io::stderr();
    write!(screen, "\n{question} [y/N] ").and_then(|()| screen.flush()).context("nobody can be asked")?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("the answer cannot be read")?;
    let is_yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    say(out, if is_yes { "" } else { "Nothing was changed." })?;
    Ok(is_yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_232_400_000;

    #[test]
    fn a_long_line_is_broken_between_words() {
        assert_eq!(wrapped("one two three four", 9), "one two\n  three\n  four");
        assert_eq!(wrapped("a-word-that-is-too-long for it", 8), "a-word-that-is-too-long\n  for it");
        assert_eq!(wrapped("fits", 80), "fits");
        assert_eq!([cut("größer", 3), cut("größer", 6)], ["grö…", "größer"]);
    }

    #[test]
    fn what_others_wrote_is_shown_and_does_nothing() {
        assert_eq!(
            plain("it's \"größe\" \\ gro\u{308}ße 日本 ⚠\u{fe0f}"),
            "it's \"größe\" \\ gro\u{308}ße 日本 ⚠\u{fe0f}"
        );
        assert_eq!(
            plain("\u{1b}[2J\u{9b}m\r\n\u{202e}\u{e0041}"),
            "\\u{1b}[2J\\u{9b}m\\r\\n\\u{202e}\\u{e0041}"
        );
        assert_eq!(plain(&plain("\u{1b}\u{e0101}")), "\\u{1b}\\u{e0101}");
        let cell = vec!["a\nb\u{1b}[31m".to_owned(), "c".to_owned()];
        assert_eq!(table(&["A", "B"], &[], vec![cell], 80), "A               B\na\\nb\\u{1b}[31m  c");
        assert_eq!(wrapped("a\u{7}b\nc d", 8), "a\\u{7}b\\nc\n  d");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [85, 1_250, 340_000, 2_190_000, 58_000_000].map(micros).join(" "),
            "85µs 1.2ms 340ms 2.1s 58s"
        );
        assert_eq!([9, 250, 7_500, 274_000].map(seconds).join(" | "), "9s | 4m 10s | 2h 05m | 3d 4h");
        assert_eq!([0, 999, 1_000, 5_000_000].map(count).join(" "), "0 999 1,000 5,000,000");
        assert_eq!(
            [0, 5_000, 300_000, 3 * HOUR_MS, 12 * DAY_MS].map(|ms| ago(NOW_MS - ms, NOW_MS)).join(", "),
            "now, 5s ago, 5m ago, 3h ago, 12d ago"
        );
    }
}
