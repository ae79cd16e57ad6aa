//! Where an entry stands in a configuration's text, in whatever form TOML allows: it is cut out, switched, or another
//! is put beside it, and every other byte stays.
//!
//! What comes out is read again by whoever asked: a form that is not understood here shows then.

use std::ops::Range;

use toml_edit::{Document, InlineTable, Item, Table, Value};

/// A place in bytes.
type Span = Range<usize>;

/// A text that is TOML, with the place of everything in it.
pub(super) struct Cutter<'a> {
    text: &'a str,
    document: Document<&'a str>,
}

impl<'a> Cutter<'a> {
    /// `None` if it is no TOML. It must not begin with a byte order mark.
    pub fn new(text: &'a str) -> Option<Self> {
        Some(Self { text, document: Document::parse(text).ok()? })
    }

    /// The names of all entries, those with mistakes too, in the file's order.
    pub fn names(&self) -> Vec<String> {
        let servers = self.servers().and_then(Item::as_table_like);
        servers.into_iter().flat_map(|servers| servers.iter()).map(|(name, _)| name.to_owned()).collect()
    }

    /// The text without an entry; the comment right above it goes with it, unless that begins the file.
    pub fn without(&self, name: &str) -> Option<String> {
        let servers = self.servers()?;
        if let Some(map) = servers.as_inline_table() {
            return self.without_member(map, name);
        }
        let mut spans = Vec::new();
        gather(servers.as_table()?, name, &mut spans);
        spans.sort_by_key(|span| span.start);
        let lines = spans.into_iter().rev().map(|span| self.with_surroundings(self.lines(span)));
        let mut text = self.text.to_owned();
        // From the last on, so that the places before it stay; two that meet over a blank line share it.
        let mut end = text.len();
        for Range { start, end: last } in lines {
            text.replace_range(start..last.min(end), "");
            end = start;
        }
        Some(text)
    }

    /// The text with an entry switched on or off; the same if it is so already.
    pub fn switched(&self, name: &str, on: bool) -> Option<String> {
        let entry = self.servers()?.as_table_like()?.get(name)?;
        let table = entry.as_table_like()?;
        if let Some(is) = table.get("enabled") {
            if is.as_bool() == Some(on) {
                return Some(self.text.to_owned());
            }
            return Some(self.with(is.span()?, if on { "true" } else { "false" }));
        }
        if on {
            return Some(self.text.to_owned());
        }
        match entry {
            Item::Value(Value::InlineTable(map)) if !map.is_dotted() => {
                self.with_member(map, "enabled = false")
            }
            Item::Table(table) => self.with_line(table, "enabled = false"),
            _ => None,
        }
    }

    /// The text with one more entry in a map of servers that is written in braces; `None` if it is no such map.
    pub fn with_entry(&self, member: &str) -> Option<String> {
        self.with_member(self.servers()?.as_inline_table()?, member)
    }

    fn servers(&self) -> Option<&Item> {
        self.document.as_table().get("servers")
    }

    /// A member more before the closing brace.
    fn with_member(&self, map: &InlineTable, member: &str) -> Option<String> {
        let close = map.span()?.end.checked_sub(1)?;
        let before = self.text.get(..close)?.trim_end();
        let text = match before.chars().last()? {
            '{' | ',' => format!(" {member} "),
            _ => format!(", {member} "),
        };
        Some(self.with(before.len()..close, &text))
    }

    /// A map in braces without one of its members, and the comma that goes with it.
    fn without_member(&self, map: &InlineTable, name: &str) -> Option<String> {
        let value =
            map.get(name).filter(|value| !value.as_inline_table().is_some_and(InlineTable::is_dotted))?;
        let Range { start, end } = map.key(name)?.span()?.start..value.span()?.end;
        let (before, after) = (self.text.get(..start)?, self.text.get(end..)?);
        let behind = after.trim_start();
        if let Some(rest) = behind.strip_prefix(',') {
            let rest = rest.trim_start_matches(' ');
            return Some(self.with(start..self.text.len() - rest.len(), ""));
        }
        let before = before.trim_end();
        let from = before.strip_suffix(',').map_or(before.len(), |before| before.trim_end().len());
        Some(self.with(from..end, ""))
    }

    /// One more key of a table, in a line behind the last that it has, written like that one.
    fn with_line(&self, table: &Table, member: &str) -> Option<String> {
        let last = table.iter().filter(|(_, item)| item.is_value()).last();
        let (at, before) = match last {
            Some((key, item)) => {
                let key = table.key(key)?.span()?;
                (
                    self.lines(key.start..item.span()?.end),
                    self.text.get(self.line_start(key.start)..key.start)?,
                )
            }
            None if table.is_implicit() || table.is_dotted() => return None,
            None => (self.lines(table.span()?), ""),
        };
        let end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let line = match self.text.get(..at.end)?.ends_with('\n') {
            true => format!("{before}{member}{end}"),
            false => format!("{end}{before}{member}"),
        };
        Some(self.with(at.end..at.end, &line))
    }

    fn with(&self, span: Span, new: &str) -> String {
        let mut text = self.text.to_owned();
        text.replace_range(span, new);
        text
    }

    /// The whole lines of a place, with their ends.
    fn lines(&self, Range { start, end }: Span) -> Span {
        let rest = self.text.get(end..).unwrap_or_default();
        let end = rest.find('\n').map_or(self.text.len(), |at| end + at + 1);
        self.line_start(start)..end
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1)
    }

    /// Lines with the comment right above them, and with the blank lines that would be left over.
    fn with_surroundings(&self, Range { mut start, mut end }: Span) -> Span {
        let above = |start: usize, is_meant: fn(&str) -> bool| {
            let line = self.line_start(start.checked_sub(1)?);
            self.text.get(line..start).filter(|text| is_meant(text.trim())).map(|_| line)
        };
        let mut comment = start;
        while let Some(line) = above(comment, is_remark) {
            comment = line;
        }
        // What begins a file says something of all of it.
        if comment > 0 {
            start = comment;
        }
        let rest = self.text.get(end..).unwrap_or_default();
        let mut blank = rest.split_inclusive('\n').take_while(|line| line.trim().is_empty()).map(str::len);
        if start == 0 {
            end += blank.sum::<usize>();
        } else if rest.is_empty() || blank.next().is_some() {
            while let Some(line) = above(start, str::is_empty) {
                start = line;
            }
        }
        start..end
    }
}

/// Whether a line is a comment in words: a table or a key that somebody has commented out is kept.
fn is_remark(line: &str) -> bool {
    let Some(text) = line.strip_prefix('#') else { return false };
    let text = text.trim();
    text.is_empty() || text.parse::<toml_edit::DocumentMut>().is_err()
}

/// The places that an entry of this name takes in a table of servers.
fn gather(servers: &Table, name: &str, spans: &mut Vec<Span>) {
    let Some((key, item)) = servers.get_key_value(name) else { return };
    match item {
        Item::Table(table) => sections(table, spans),
        Item::ArrayOfTables(tables) => tables.iter().for_each(|table| sections(table, spans)),
        item => spans.extend(key.span().zip(item.span()).map(|(key, value)| key.start..value.end)),
    }
}

/// The places of a table: from its header to its last key, or of each key where it has no header; and those of the
/// tables below it.
fn sections(table: &Table, spans: &mut Vec<Span>) {
    let has_header = !table.is_implicit() && !table.is_dotted();
    let mut keys = Vec::new();
    leaves(table, &mut keys, spans);
    match table.span().filter(|_| has_header) {
        Some(header) => {
            let end = keys.iter().map(|span| span.end).max().unwrap_or(header.end);
            spans.push(header.start..end.max(header.end));
        }
        None => spans.extend(keys),
    }
}

/// The keys that stand in a table's own lines, those with dots too; tables with headers below it go their own way.
fn leaves(table: &Table, keys: &mut Vec<Span>, spans: &mut Vec<Span>) {
    for (name, item) in table.iter() {
        match item {
            Item::Table(below) if below.is_dotted() => leaves(below, keys, spans),
            Item::Table(below) => sections(below, spans),
            Item::ArrayOfTables(below) => below.iter().for_each(|table| sections(table, spans)),
            item => {
                let key = table.key(name).and_then(toml_edit::Key::span);
                keys.extend(key.zip(item.span()).map(|(key, value)| key.start..value.end));
            }
        }
    }
}
