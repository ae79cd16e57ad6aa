//! The log: one line an event on stderr, and never in anybody's way.
//!
//! A line is handed to a thread of its own and dropped when too many wait, because a client that
//! does not read our stderr must not be able to stop us. Times are UTC with milliseconds. There is no
//! colour: stderr is a client's log file. A value can neither forge a line (control characters are
//! escaped) nor fill one (it is cut). What other crates log is held down whatever the filter says,
//! since they log payloads: rmcp at `error`, for it shows whole messages at `warn`; the rest at `warn`.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, fmt as lines};

/// So many lines may wait for a reader of stderr; the next are dropped and counted.
const WAITING_LINES_MAX: usize = 4096;

/// The longest value of a field or message, in characters before escaping.
const VALUE_CHARS_MAX: usize = 2048;

/// How long the end waits for waiting lines to be written: half of what a client leaves us, and less
/// than the appender's own 100 ms, after which it would print.
const FLUSH: Duration = Duration::from_millis(50);

/// The filter where none is given.
const FILTER: &str = "info";

/// Keeps the log written. Its drop writes what waits, for at most 50 ms.
#[must_use]
pub struct Guard {
    worker: Option<WorkerGuard>,
    dropped: ErrorCounter,
}

impl Guard {
    /// How many lines were dropped because nobody read stderr.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

impl Drop for Guard {
    /// The appender's own guard may wait for a second, and then prints to stdout: it is dropped on a
    /// thread that the end of the process does not wait for.
    fn drop(&mut self) {
        let (done, ended) = std::sync::mpsc::sync_channel(1);
        let worker = self.worker.take();
        let flush = move || {
            drop(worker);
            // Nobody hears it when the wait is over already.
            let _ = done.send(());
        };
        if std::thread::Builder::new().name("log-end".to_owned()).spawn(flush).is_ok() {
            let _ = ended.recv_timeout(FLUSH);
        }
    }
}

/// Starts the log of this process. The filter is `filter`, else `BRIDGE_LOG`, else `RUST_LOG`, else
/// `info`; one that cannot be understood is named in the log, and `info` counts.
///
/// From here on a panic is an event too, without its message, which may hold a payload: the standard
/// hook would write to stderr itself, and wait for its reader.
pub fn start(filter: Option<&str>) -> Guard {
    let (writer, guard) = unhurried(std::io::stderr());
    let (text, from) = chosen(filter, |name| std::env::var(name).ok());
    let (filter, bad) = parsed(&text);
    // Only a second start in one process can fail, and the first log serves it too.
    let _ = tracing::subscriber::set_global_default(subscriber(filter, writer));
    if let Some(error) = bad {
        tracing::warn!(from, %error, "log filter not understood, info counts");
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let at = panic.location().map(tracing::field::display);
        tracing::error!(at, thread = thread.name(), "panic");
    }));
    guard
}

/// A writer that never waits for `out`, and what keeps it going.
fn unhurried(out: impl Write + Send + 'static) -> (NonBlocking, Guard) {
    let (writer, worker) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES_MAX)
        .lossy(true)
        .thread_name("log")
        .finish(out);
    let guard = Guard { worker: Some(worker), dropped: writer.error_counter() };
    (writer, guard)
}

/// The filter's text and where it came from. An empty text counts as none.
fn chosen(given: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> (String, &'static str) {
    let variables = ["BRIDGE_LOG", "RUST_LOG"].into_iter().map(|name| (variable(name), name));
    std::iter::once((given.map(str::to_owned), "argument"))
        .chain(variables)
        .find_map(|(text, from)| Some((text.filter(|text| !text.trim().is_empty())?, from)))
        .unwrap_or_else(|| (FILTER.to_owned(), "default"))
}

/// The filter of a text, or the default one and what was wrong.
fn parsed(text: &str) -> (EnvFilter, Option<impl fmt::Display>) {
    let builder = EnvFilter::builder().with_regex(false);
    match builder.parse(text) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(FILTER), Some(error)),
    }
}

fn subscriber<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let fields = format::debug_fn(|line, field, value| {
        if field.name() != "message" {
            write!(line, "{field}=")?;
        }
        write!(Tame { line, left: VALUE_CHARS_MAX }, "{value:?}")
    });
    let layer = lines::layer()
        .with_ansi(false)
        .with_timer(Utc)
        .fmt_fields(fields.delimited(" "))
        .with_writer(writer)
        .with_filter(filter.and(filter_fn(is_allowed)));
    tracing_subscriber::registry().with(layer)
}

/// Whether a line of this origin may be written at all.
fn is_allowed(line: &Metadata<'_>) -> bool {
    let max = match line.target().split("::").next() {
        Some("bridge") => LevelFilter::TRACE,
        Some("rmcp") => LevelFilter::ERROR,
        _ => LevelFilter::WARN,
    };
    *line.level() <= max
}

/// Writes a value on one line: control characters and line separators escaped, the rest cut.
struct Tame<'a, 'w> {
    line: &'a mut Writer<'w>,
    left: usize,
}

impl fmt::Write for Tame<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match self.left {
                0 => return Ok(()),
                1 => self.line.write_char('…')?,
                _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    write!(self.line, "{}", c.escape_default())?;
                }
                _ => self.line.write_char(c)?,
            }
            self.left -= 1;
        }
        Ok(())
    }
}

/// UTC in RFC 3339 with milliseconds, as in the record.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        write!(line, "{:.3}", jiff::Timestamp::now())
    }
}

#[cfg(test)]
mod tests;
