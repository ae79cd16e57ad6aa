//! `bridge export`: the rows of the record, for programs and spreadsheets.
//!
//! Each row as it stands, the oldest first, all of one moment: bridges write on meanwhile. As JSON Lines, an object
//! for each row with the columns of the record as its members (`startedAt`, `durationUs`; a call's `id` is text, it
//! has more digits than many readers keep), or as CSV, where empty is null and text that a spreadsheet would take
//! for a formula gets a `'` before it. How many rows there were is said on stderr.

mod out;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cli::export::out::{Interrupt, Patient};
use crate::cli::progress::{Progress, Task};
use crate::cli::sheet::Sheet;
use crate::cli::{stats, words};
use crate::files::Draft;
use crate::store::read::Reader;
use crate::store::read::export::{Cell, Table};
use crate::store::read::series::Which;

/// Fewer rows are there before anybody asks how far they have come.
const PROGRESS_ROWS: u64 = 20_000;

/// So many rows are told to the progress at once.
const STEP_ROWS: u64 = 1_000;

/// Write out the rows of the record: calls, sessions or servers' events
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  bridge export > calls.jsonl                     every call that is kept
  bridge export --since 7d --format csv --out week.csv
  bridge export --server github | jq .durationUs
  bridge export --what events --since 2026-11-21")]
pub struct Args {
    /// Which rows: calls, sessions, or events (starts and ends of servers)
    #[arg(long, value_name = "ROWS", value_enum, hide_possible_values = true, default_value = "calls")]
    what: Table,
    /// Only rows since then: 90m, 24h, 7d, 2026-11-21, or 2026-11-21T00:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only rows before then
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only rows of this server; the bridge's own tools are those of "(bridge)"
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// jsonl (an object a line) or csv
    #[arg(long, value_name = "FORM", value_enum, hide_possible_values = true, default_value = "jsonl")]
    format: Format,
    /// The file to write, which appears when it is whole; else stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

/// Writes the rows of the record in a data folder.
///
/// # Errors
/// When a moment cannot be understood, the record cannot be read, or the rows cannot be written.
pub fn run(args: &Args, data_dir: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    ensure!(
        args.what != Table::Sessions || args.server.is_none(),
        "a session belongs to no server: leave out --server, or ask for --what calls"
    );
    let which = stats::meant(&args.since, &args.until, &args.server)?;
    let reader = Reader::open(data_dir)?.with_context(|| words::nothing_recorded(data_dir))?;
    reader.at_one_moment().context("the record cannot be read")?;
    let Some(path) = &args.out else {
        let is_quiet = io::stdout().is_terminal();
        return match write(
            args,
            &reader,
            &which,
            &mut BufWriter::new(Patient(out)),
            is_quiet,
            &Interrupt::default(),
        ) {
            Err(error) if is_gone(&error) => Ok(()),
            written => written,
        };
    };
    let interrupt = Interrupt::watch()?;
    let mut draft = Draft::begin(path).map_err(|bad| anyhow::anyhow!("{} {bad}", path.display()))?;
    let written = write(args, &reader, &which, &mut BufWriter::new(draft.file()), false, &interrupt);
    let put = written.and_then(|()| Ok(draft.put()?));
    put.with_context(|| format!("{} is not written; what stood there stands there still", path.display()))
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn write<W: Write>(
    args: &Args,
    reader: &Reader,
    which: &Which,
    out: &mut W,
    is_quiet: bool,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    const CANNOT: &str = "the record cannot be read";
    let all = reader.count_rows(args.what, which).context(CANNOT)?;
    let progress = Progress::on_stderr();
    let task = (!is_quiet && all >= PROGRESS_ROWS).then(|| progress.count("export", all));
    let names = reader.columns(args.what).context(CANNOT)?;
    let mut rows = Rows::begin(args.format, &names, &mut *out)?;
    let (mut done, mut fault) = (0, None);
    reader
        .each_row(args.what, which, |cells| {
            let written = if interrupt.came() { Err(interrupt.error()) } else { rows.write(cells) };
            done += 1;
            if done % STEP_ROWS == 0 {
                task.iter().for_each(|task| task.advance(STEP_ROWS));
            }
            fault = written.err();
            if fault.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .context(CANNOT)?;
    if let Some(fault) = fault {
        return Err(fault.into());
    }
    rows.flush()?;
    drop(rows);
    out.flush()?;
    told(task, progress, &format!("{} {}", words::count(done), args.what.rows(done)));
    Ok(())
}

/// Says on stderr how many there were; also where a bar stood that goes with its progress.
fn told(task: Option<Task>, progress: Progress, count: &str) {
    drop((task, progress));
    // Nobody has to read it.
    let _ = writeln!(io::stderr(), "export: {count}");
}

/// Writes rows in one of the forms.
enum Rows<'a, W: Write> {
    Lines { out: W, names: &'a [String] },
    Sheet(Box<Sheet<W>>),
}

impl<'a, W: Write> Rows<'a, W> {
    fn begin(format: Format, names: &'a [String], out: W) -> io::Result<Self> {
        Ok(match format {
            Format::Jsonl => Self::Lines { out, names },
            Format::Csv => {
                let head: Vec<&str> = names.iter().map(String::as_str).collect();
                Self::Sheet(Box::new(Sheet::begin(out, &head)?))
            }
        })
    }

    fn write(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        let value = |cell: &Cell<'_>| match *cell {
            Cell::Null => Value::Null,
            Cell::Number(number) => number.into(),
            Cell::Text(text) => text.into(),
        };
        match self {
            Self::Sheet(sheet) => sheet.row(&cells.iter().map(value).collect::<Vec<_>>()),
            Self::Lines { out, names } => {
                for (place, (name, cell)) in names.iter().zip(cells).enumerate() {
                    let before = if place == 0 { "{" } else { "," };
                    write!(out, "{before}\"{name}\":{}", value(cell))?;
                }
                out.write_all(b"}\n")
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Lines { out, .. } => out.flush(),
            Self::Sheet(sheet) => sheet.flush(),
        }
    }
}
