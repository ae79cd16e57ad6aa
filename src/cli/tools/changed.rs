//! `bridge tools --changed`: what tools were when they were first seen, and what they are.

use serde_json::{Value, json};

use crate::cli::tools::seen::{Seen, Server};
use crate::cli::words;
use crate::tools::pin::{self, Difference, Kind};

/// What stands before a line of a description, and after it.
const INDENT: usize = 4;

/// Every tool that is not what it was, with the way to take it as it is.
pub fn screen(seen: &Seen, server: Option<&str>, columns: u16) -> String {
    let servers = || seen.servers.iter().filter(|it| server.is_none_or(|name| it.name.as_str() == name));
    let changes = servers().flat_map(|server| {
        server.standing.differences.iter().map(move |difference| {
            let held = server.standing.held(server.on_change).holds(&difference.tool);
            lines(server, difference, if held { "; held back" } else { "" }, columns)
        })
    });
    let mut parts: Vec<String> = changes.collect();
    if parts.is_empty() {
        let never = servers().filter(|it| it.tools.is_none()).map(|it| it.name.as_str());
        let never = never.collect::<Vec<_>>().join(", ");
        let all = "Every tool is what it was when it was first seen.";
        return if never.is_empty() { all.into() } else { format!("{all}\nNever listed yet: {never}") };
    }
    let names = servers().filter(|it| !it.standing.differences.is_empty()).map(|it| it.name.as_str());
    let approve = names.map(|name| format!("bridge approve {name}")).collect::<Vec<_>>().join("\n");
    parts.push(format!("To take them as they are (or one: bridge approve SERVER/TOOL):\n{approve}"));
    parts.join("\n\n")
}

/// One tool: what differs, what comes of it, and the first line of its description that differs.
pub fn lines(server: &Server, difference: &Difference, fate: &str, columns: u16) -> String {
    let Difference { tool, kind } = difference;
    let (before, now) = definitions(server, difference);
    let members = members(before.as_deref(), now.as_deref());
    let what =
        if members.is_empty() { kind.word().to_owned() } else { format!("{}: {members}", kind.word()) };
    let head = words::wrapped(&format!("{}/{}  {what}{fate}", server.name, tool), columns);
    let [before, now] = [before, now].map(|it| it.as_deref().map(description).unwrap_or_default());
    let width = usize::from(columns).saturating_sub(INDENT + 1);
    let (old, new) = match kind {
        Kind::Changed => differing(&before, &now),
        Kind::New => (None, now.lines().next()),
        Kind::Gone => (before.lines().next(), None),
    };
    let shown =
        [("-", old), ("+", new)].into_iter().filter_map(|(mark, line)| Some((mark, words::plain(line?))));
    let shown: Vec<(&str, String)> = shown.collect();
    let same = match shown.as_slice() {
        [(_, old), (_, new)] => old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count(),
        _ => 0,
    };
    // What differs may come far behind.
    let skip = if same > width / 2 { same - width / 4 } else { 0 };
    let mark_of_more = if skip > 0 { "…" } else { "" };
    let shown = shown.into_iter().map(|(mark, line)| {
        let line: String = mark_of_more.chars().chain(line.chars().skip(skip)).collect();
        format!("\n  {mark} {}", words::cut(&line, width))
    });
    head + &shown.collect::<String>()
}

/// The changes for a script.
pub fn json(seen: &Seen, server: Option<&str>) -> Value {
    let servers = seen.servers.iter().filter(|it| server.is_none_or(|name| it.name.as_str() == name));
    let changes = servers.flat_map(|server| {
        server.standing.differences.iter().map(move |difference| {
            let (before, now) = definitions(server, difference);
            let value = |text: Option<&str>| text.and_then(|text| serde_json::from_str::<Value>(text).ok());
            let members = before.as_deref().zip(now.as_deref());
            json!({
                "server": server.name.as_str(),
                "tool": &*difference.tool,
                "change": difference.kind.word(),
                "members": members.map(|(before, now)| pin::changed_members(before, now)).unwrap_or_default(),
                "held": server.standing.held(server.on_change).holds(&difference.tool),
                "before": value(before.as_deref()),
                "now": value(now.as_deref()),
            })
        })
    });
    changes.collect()
}

/// What the tool was, and what it is.
fn definitions(server: &Server, Difference { tool, kind }: &Difference) -> (Option<String>, Option<String>) {
    let before = server.standing.pin(tool).map(|pin| pin.definition.to_string());
    let now = server.tool(tool).map(|tool| tool.to_string());
    (before.filter(|_| *kind != Kind::New), now.filter(|_| *kind != Kind::Gone))
}

fn members(before: Option<&str>, now: Option<&str>) -> String {
    let members = before.zip(now).map(|(before, now)| pin::changed_members(before, now));
    members.unwrap_or_default().join(", ")
}

fn description(definition: &str) -> String {
    let definition: Value = serde_json::from_str(definition).unwrap_or_default();
    definition.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The first lines that differ.
fn differing<'a>(before: &'a str, now: &'a str) -> (Option<&'a str>, Option<&'a str>) {
    let (mut before, mut now) = (before.lines(), now.lines());
    loop {
        match (before.next(), now.next()) {
            (None, None) => return (None, None),
            (old, new) if old != new => return (old, new),
            _ => {}
        }
    }
}
