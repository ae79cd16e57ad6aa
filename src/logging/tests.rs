//! The promises of the log.

use super::*;
use std::io;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written under a filter, without the times.
fn written(filter: &str, act: impl FnOnce()) -> String {
    let page = Page::default();
    let writer = page.clone();
    let subscriber = subscriber(parsed(filter).0, move || writer.clone());
    tracing::subscriber::with_default(subscriber, act);
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned() + "\n").collect()
}

#[test]
fn an_event_is_one_line_with_its_facts() {
    let text = written("info", || {
        tracing::info!(server = "time", attempt = 2, why = %"a b", "server ready");
        tracing::debug!("not this one");
    });
    insta::assert_snapshot!(text, @r#" INFO bridge::logging::tests: server ready server="time" attempt=2 why=a b"#);
}

#[test]
fn a_value_cannot_forge_a_line() {
    let evil = "x\n2026-01-01T00:00:00.000Z ERROR forged\r\u{1b}[31m\u{2028}\u{9b}";
    let text = written("info", || {
        let _span = tracing::info_span!("call", session = %evil).entered();
        tracing::info!(plain = evil, shown = %evil, error = %io::Error::other(evil), "{evil}");
    });
    assert_eq!(text.lines().count(), 1);
    assert!(!text.contains(['\u{1b}', '\r', '\u{2028}', '\u{9b}']), "{text:?}");
}

#[test]
fn a_long_value_is_cut() {
    let text = written("info", || tracing::info!(big = "x".repeat(1 << 20), after = 1, "answer"));
    assert!(text.len() < VALUE_CHARS_MAX + 100 && text.ends_with("… after=1\n"), "{}", text.len());
}

#[test]
fn other_crates_are_held_down_under_any_filter() {
    for filter in ["trace", "rmcp=trace,tokio=trace,bridge=trace"] {
        let text = written(filter, || {
            tracing::warn!(target: "rmcp::service", payload = "secret", "message");
            tracing::info!(target: "tokio", payload = "secret", "message");
            tracing::trace!(target: "bridge_of_another", payload = "secret", "message");
            tracing::error!(target: "rmcp", "stream broken");
            tracing::trace!(target: "bridge::wire", "line read");
        });
        insta::allow_duplicates! {
            insta::assert_snapshot!(text, @"
            ERROR rmcp: stream broken
            TRACE bridge::wire: line read
            ");
        }
    }
}

#[test]
fn the_first_filter_that_says_something_counts() {
    let chosen = |given, bridge: &str, rust: &str| {
        chosen(given, |name| Some(if name == "RUST_LOG" { rust } else { bridge }.to_owned())).0
    };
    assert_eq!(chosen(Some("debug"), "warn", "error"), "debug");
    assert_eq!(chosen(None, "warn", "error"), "warn");
    assert_eq!(chosen(Some(""), " ", "error"), "error");
    assert_eq!(chosen(None, "", ""), "info");
}

#[test]
fn a_bad_filter_falls_back_to_info() {
    let (filter, bad) = parsed("bridge=loud");
    assert_eq!(filter.to_string(), "info");
    assert!(bad.is_some());
}

#[test]
fn a_time_is_utc_with_milliseconds() {
    let mut text = String::new();
    Utc.format_time(&mut Writer::new(&mut text)).unwrap();
    assert!(text.ends_with('Z') && text.len() == "2026-01-01T00:00:00.000Z".len(), "{text}");
}

/// A reader that reads nothing until its sender is gone.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl io::Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_never_reads_stops_nobody() {
    let (reader, stuck) = std::sync::mpsc::channel();
    let (writer, guard) = unhurried(Stuck(stuck));
    let begun = std::time::Instant::now();
    tracing::subscriber::with_default(subscriber(parsed("info").0, writer), || {
        (0..WAITING_LINES_MAX + 10).for_each(|n| tracing::info!(n, "line"));
    });
    assert!((9..=10).contains(&guard.dropped_lines()), "{}", guard.dropped_lines());
    drop(guard);
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(reader);
}
