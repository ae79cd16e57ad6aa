//! Rows as CSV (RFC 4180), for spreadsheets and for programs.
//!
//! A spreadsheet takes text that begins with `=`, `+`, `-`, `@`, a tab or a line end for a formula, and names of
//! tools come from servers: such text gets a `'` before it, which a spreadsheet does not show.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::Value;

use crate::figures::record::Fields;

/// Writes rows below the words of their fields.
pub struct Sheet<W: Write>(csv::Writer<W>);

impl<W: Write> Sheet<W> {
    /// Begins with the words of the fields.
    pub fn begin(out: W, head: &[&str]) -> io::Result<Self> {
        let mut sheet = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
        sheet.write_record(head).map_err(fault)?;
        Ok(Self(sheet))
    }

    /// Writes one row.
    pub fn row<'a>(&mut self, values: impl IntoIterator<Item = &'a Value>) -> io::Result<()> {
        self.0.write_record(values.into_iter().map(|value| cell(value).into_owned())).map_err(fault)
    }

    /// Hands on what is not written yet.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Prints rows. A reader that has gone (`| head`) is no fault.
pub fn print(out: &mut dyn Write, head: Vec<&'static str>, rows: Vec<Fields>) -> anyhow::Result<()> {
    let write = |out| {
        let mut sheet = Sheet::begin(out, &head)?;
        rows.iter().try_for_each(|row| sheet.row(row.iter().map(|(_, value)| value)))?;
        sheet.flush()
    };
    match write(out) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// What the system said: a reader that has gone is to be known as one.
fn fault(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) => {
            format!("'{text}").into()
        }
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_has_to_be_and_never_a_formula() {
        let mut out = Vec::new();
        let row = vec![
            ("tool", json!("a,\"b\"\nc")),
            ("server", json!("=cmd|' /C calc'!A0")),
            ("p50Ms", json!(-1.5)),
        ];
        let nothing = vec![("tool", json!("")), ("server", Value::Null), ("p50Ms", json!(7))];
        print(&mut out, vec!["tool", "server", "p50Ms"], vec![row, nothing]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "tool,server,p50Ms\r\n\"a,\"\"b\"\"\nc\",'=cmd|' /C calc'!A0,-1.5\r\n,,7\r\n");
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_in_the_middle_of_many_rows_is_no_fault() {
        let value = json!("x".repeat(1_000));
        let mut sheet = Sheet::begin(Gone, &["tool"]).unwrap();
        let error = (0..100).find_map(|_| sheet.row([&value]).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        print(&mut Gone, vec!["tool"], vec![vec![("tool", value)]; 100]).unwrap();
    }
}
