//! The script of the fake server: what each line says, and nothing about how it is done.
//!
//! One directive a line; blank lines and lines that start with `#` are skipped.
//!
//! ```text
//! tool NAME [JSON]          offer NAME; the members of the JSON object join its definition as written
//! tools N                   offer N generated tools, tool_000 …
//! ignore-term               ignore SIGTERM, SIGINT and SIGHUP
//! ignore-eof                keep living after the end of input
//! obey-cancel               do not answer a call that was cancelled (otherwise the answer comes late)
//! count FILE                append this process's id to FILE at start, one line
//! record FILE               append every received line to FILE, byte for byte
//! on EVENT: ACTION; ACTION  what to do when EVENT comes, in this order
//! ```
//!
//! Without a `tool` or `tools` line there is one tool, `echo`. A tool named in `on tools/call NAME:` is offered too.
//!
//! `EVENT` is `start`, `eof`, any method (`initialize`, `tools/list`, `notifications/initialized`, …), or
//! `tools/call NAME` for one tool, which goes before `tools/call` for all.
//!
//! An action that answers the request:
//!
//! ```text
//! echo                      the arguments' own bytes: {"content":[…],"structuredContent":ARGUMENTS}
//! reply RAWRESULT           this result, as written
//! raw LINE                  this whole line, as written
//! error [CODE MESSAGE]      a JSON-RPC error (-32603 `internal error`)
//! iserror TEXT              a result with isError: true
//! big BYTES                 a result whose text has BYTES bytes
//! empty                     a list without tools
//! page N                    the list in pages of N tools
//! request METHOD [PARAMS]   ask the client, wait, answer with {"content":[],"structuredContent":{"answer":…}}
//! hang                      never answer
//! ```
//!
//! An action beside the answer; a request that no action answered gets its ordinary answer at the end of the line:
//!
//! ```text
//! sleep MS                  other requests go on meanwhile (but nothing is read during `on start`)
//! progress N                N notifications/progress with the request's own token: 1 … N
//! late-progress N           answer first if that is still open, then the same
//! log LEVEL TEXT            notifications/message
//! list-changed              one tool more (extra_1 …), then notifications/tools/list_changed
//! notify LINE               this whole line, as written; answers nothing
//! garbage [TEXT]            TEXT on stdout, which is no JSON-RPC (a blank line without TEXT)
//! stderr TEXT               a line on stderr
//! exit CODE | signal N      the end of the process, by its own hand
//! close-stdout              nothing can be written from here on
//! fork-deaf [hold] [FILE]   start a grandchild that ignores SIGTERM (and holds stdout open); its id goes to FILE
//! once FILE ACTION          ACTION only the first time ever: FILE marks that it happened
//! ```
//!
//! In `reply`, `raw` and `notify` the words `$ID`, `$ARGS` and `$TOKEN` stand for the request's own bytes.
//! A `;` inside a JSON string does not separate; elsewhere `\;` is a plain `;`.

use std::fmt;
use std::path::PathBuf;

use serde_json::value::RawValue;

/// When something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Before the first line is read.
    Start,
    /// After the last line was read.
    Eof,
    /// A request or a notification with this method came.
    Method(String),
    /// A `tools/call` for this tool came.
    Call(String),
}

/// What happens. See the module's table for the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Echo,
    Reply(String),
    Raw(String),
    Error { code: i64, message: String },
    IsError(String),
    Big(usize),
    Empty,
    Page(usize),
    Request { method: String, params: Option<String> },
    Hang,
    Sleep(u64),
    Progress(u64),
    LateProgress(u64),
    Log { level: String, text: String },
    ListChanged,
    Notify(String),
    Garbage(String),
    Stderr(String),
    Exit(i32),
    Signal(i32),
    CloseStdout,
    ForkDeaf { hold_stdout: bool, pid_file: Option<PathBuf> },
    Once { marker: PathBuf, action: Box<Action> },
}

impl Action {
    /// True when the action waits, so that it must not stand on the thread that reads.
    pub fn waits(&self) -> bool {
        match self {
            Self::Sleep(_) | Self::Request { .. } => true,
            Self::Once { action, .. } => action.waits(),
            _ => false,
        }
    }
}

/// A tool on offer: its name and its definition as it goes into the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The name as the server itself calls it.
    pub name: String,
    /// The whole definition, one JSON object.
    pub definition: String,
}

/// A whole script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// What `tools/list` shows, in this order.
    pub tools: Vec<Tool>,
    /// The chains of actions; for one event the last one counts.
    pub rules: Vec<(Event, Vec<Action>)>,
    /// Lives on after SIGTERM, SIGINT and SIGHUP.
    pub ignore_term: bool,
    /// Lives on after the end of input.
    pub ignore_eof: bool,
    /// Answers nothing to a cancelled call.
    pub obey_cancel: bool,
    /// Gets a line with the process's id at start.
    pub count: Option<PathBuf>,
    /// Gets every received line.
    pub record: Option<PathBuf>,
}

/// A line that says nothing the fake server knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    line: String,
    why: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: in `{}`", self.why, self.line)
    }
}

impl Script {
    /// Reads a script, one directive a line.
    ///
    /// # Errors
    /// The first line that is not understood.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let mut script = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            script.directive(line).map_err(|why| Mistake { line: line.to_owned(), why })?;
        }
        script.offer_what_is_named();
        Ok(script)
    }

    /// The chain for `event`, if the script has one.
    pub fn rule(&self, event: &Event) -> Option<&[Action]> {
        self.find(|on| on == event)
    }

    /// The chain for a request or a notification; `tool` is the name of the tool in a `tools/call`.
    pub fn rule_for(&self, method: &str, tool: Option<&str>) -> Option<&[Action]> {
        let one = tool.and_then(|tool| self.find(|on| matches!(on, Event::Call(name) if name == tool)));
        one.or_else(|| self.find(|on| matches!(on, Event::Method(name) if name == method)))
    }

    fn find(&self, matches: impl Fn(&Event) -> bool) -> Option<&[Action]> {
        self.rules.iter().rfind(|(on, _)| matches(on)).map(|(_, actions)| actions.as_slice())
    }

    fn directive(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = word(line);
        match word {
            "tool" => self.tools.push(tool(rest)?),
            "tools" => self.tools.extend((0..number::<usize>(rest)?).map(generated)),
            "ignore-term" => self.ignore_term = true,
            "ignore-eof" => self.ignore_eof = true,
            "obey-cancel" => self.obey_cancel = true,
            "count" => self.count = Some(some(rest)?.into()),
            "record" => self.record = Some(some(rest)?.into()),
            "on" => self.rules.push(rule(rest)?),
            other => return Err(format!("no directive `{other}`")),
        }
        Ok(())
    }

    fn offer_what_is_named(&mut self) {
        if self.tools.is_empty() {
            self.tools.push(plain("echo"));
        }
        for (event, _) in &self.rules {
            if let Event::Call(name) = event
                && !self.tools.iter().any(|tool| tool.name == *name)
            {
                self.tools.push(plain(name));
            }
        }
    }
}

/// A tool without anything particular.
pub fn plain(name: &str) -> Tool {
    let definition = format!(
        r#"{{"name":"{name}","description":"{name} of the fake server","inputSchema":{{"type":"object"}}}}"#
    );
    Tool { name: name.to_owned(), definition }
}

/// One of many, about as long as a real one.
fn generated(index: usize) -> Tool {
    let name = format!("tool_{index:03}");
    let definition = format!(
        r#"{{"name":"{name}","description":"Generated tool number {index}: takes a path and a limit, and returns the lines that match.","inputSchema":{{"type":"object","properties":{{"path":{{"type":"string","description":"Where to look"}},"limit":{{"type":"integer","minimum":1,"default":{index}}}}},"required":["path"]}},"annotations":{{"readOnlyHint":true}}}}"#
    );
    Tool { name, definition }
}

/// `NAME [JSON]`; the JSON's members keep their bytes.
fn tool(rest: &str) -> Result<Tool, String> {
    let (name, members) = word(some(rest)?);
    if members.is_empty() {
        return Ok(plain(name));
    }
    let parsed: std::collections::BTreeMap<String, &RawValue> = serde_json::from_str(members)
        .map_err(|error| format!("the tool's members are no object: {error}"))?;
    let inner = members.trim_start_matches('{').trim_end_matches(char::is_whitespace);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut definition = format!(r#"{{"name":"{name}""#);
    if !parsed.contains_key("inputSchema") {
        definition.push_str(r#","inputSchema":{"type":"object"}"#);
    }
    if !inner.trim().is_empty() {
        definition.push(',');
        definition.push_str(inner);
    }
    definition.push('}');
    Ok(Tool { name: name.to_owned(), definition })
}

/// `EVENT: ACTION; ACTION`.
fn rule(rest: &str) -> Result<(Event, Vec<Action>), String> {
    let (event, actions) = rest.split_once(':').ok_or("no `:` after the event")?;
    let event = match word(event.trim()) {
        ("start", "") => Event::Start,
        ("eof", "") => Event::Eof,
        ("tools/call", name) if !name.is_empty() => Event::Call(name.to_owned()),
        (method, "") if !method.is_empty() => Event::Method(method.to_owned()),
        _ => return Err("no such event".to_owned()),
    };
    let actions = split(actions).iter().map(|part| action(part.trim())).collect::<Result<Vec<_>, _>>()?;
    Ok((event, actions))
}

fn action(text: &str) -> Result<Action, String> {
    let (word, rest) = word(text);
    Ok(match word {
        "echo" => Action::Echo,
        "reply" => Action::Reply(some(rest)?.to_owned()),
        "raw" => Action::Raw(some(rest)?.to_owned()),
        "error" => error(rest)?,
        "iserror" => Action::IsError(rest.to_owned()),
        "big" => Action::Big(number(rest)?),
        "empty" => Action::Empty,
        "page" => Action::Page(number::<usize>(rest)?.max(1)),
        "request" => request(some(rest)?),
        "hang" => Action::Hang,
        "sleep" => Action::Sleep(number(rest)?),
        "progress" => Action::Progress(number(rest)?),
        "late-progress" => Action::LateProgress(number(rest)?),
        "log" => log(some(rest)?),
        "list-changed" => Action::ListChanged,
        "notify" => Action::Notify(some(rest)?.to_owned()),
        "garbage" => Action::Garbage(rest.to_owned()),
        "stderr" => Action::Stderr(rest.to_owned()),
        "exit" => Action::Exit(number(rest)?),
        "signal" => Action::Signal(number(rest)?),
        "close-stdout" => Action::CloseStdout,
        "fork-deaf" => fork_deaf(rest),
        "once" => once(some(rest)?)?,
        other => return Err(format!("no action `{other}`")),
    })
}

fn error(rest: &str) -> Result<Action, String> {
    if rest.is_empty() {
        return Ok(Action::Error { code: -32603, message: "internal error".to_owned() });
    }
    let (code, message) = word(rest);
    Ok(Action::Error { code: number(code)?, message: message.to_owned() })
}

fn request(rest: &str) -> Action {
    let (method, params) = word(rest);
    Action::Request { method: method.to_owned(), params: (!params.is_empty()).then(|| params.to_owned()) }
}

fn log(rest: &str) -> Action {
    let (level, text) = word(rest);
    Action::Log { level: level.to_owned(), text: text.to_owned() }
}

fn fork_deaf(rest: &str) -> Action {
    let (hold_stdout, file) = match word(rest) {
        ("hold", file) => (true, file),
        _ => (false, rest),
    };
    Action::ForkDeaf { hold_stdout, pid_file: (!file.is_empty()).then(|| file.into()) }
}

fn once(rest: &str) -> Result<Action, String> {
    let (marker, then) = word(rest);
    Ok(Action::Once { marker: marker.into(), action: Box::new(action(then)?) })
}

/// The first word, and the rest without the space between.
fn word(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim())
}

fn some(text: &str) -> Result<&str, String> {
    if text.is_empty() { Err("something is missing at the end".to_owned()) } else { Ok(text) }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits here"))
}

/// Splits at `;`, except inside a JSON string; `\;` outside of one is a plain `;`.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![];
    let (mut part, mut quoted, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        match c {
            ';' if escaped && !quoted => {
                part.pop();
                part.push(c);
            }
            ';' if !quoted => parts.push(std::mem::take(&mut part)),
            _ => part.push(c),
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[Action]) {
        let script = Script::parse(&format!("on tools/call: {text}")).unwrap();
        assert_eq!(script.rule(&Event::Method("tools/call".into())), Some(expected));
    }

    #[test]
    fn actions_are_chained_with_semicolons() {
        check("stderr boom; exit 3", &[Action::Stderr("boom".into()), Action::Exit(3)]);
        check("sleep 10;", &[Action::Sleep(10)]);
    }

    #[test]
    fn a_semicolon_in_a_json_string_does_not_separate() {
        check(r#"reply {"a":"x;\";y"}; hang"#, &[Action::Reply(r#"{"a":"x;\";y"}"#.into()), Action::Hang]);
        check(r"stderr a\;b", &[Action::Stderr("a;b".into())]);
    }

    #[test]
    fn once_holds_another_action() {
        let action = Action::Once { marker: "/tmp/m".into(), action: Box::new(Action::Exit(7)) };
        check("once /tmp/m exit 7", &[action]);
    }

    #[test]
    fn a_fork_may_hold_stdout_and_tell_its_id() {
        check("fork-deaf", &[Action::ForkDeaf { hold_stdout: false, pid_file: None }]);
        check("fork-deaf hold /t", &[Action::ForkDeaf { hold_stdout: true, pid_file: Some("/t".into()) }]);
    }

    #[test]
    fn the_default_tool_is_echo_and_named_tools_are_offered() {
        let names = |text| Script::parse(text).unwrap().tools.into_iter().map(|t| t.name).collect::<Vec<_>>();
        assert_eq!(names(""), ["echo"]);
        assert_eq!(names("on tools/call slow: sleep 5"), ["echo", "slow"]);
        assert_eq!(names("tool a\ntools 2"), ["a", "tool_000", "tool_001"]);
    }

    #[test]
    fn a_tools_members_keep_their_bytes() {
        let script = Script::parse(r#"tool t { "x" : 1E2 , "inputSchema":{"type":"object"} }"#).unwrap();
        assert_eq!(
            script.tools[0].definition,
            r#"{"name":"t", "x" : 1E2 , "inputSchema":{"type":"object"} }"#
        );
    }

    #[test]
    fn the_last_rule_for_an_event_counts() {
        let script = Script::parse("on start: exit 1\non start: exit 2").unwrap();
        assert_eq!(script.rule(&Event::Start), Some([Action::Exit(2)].as_slice()));
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let mistake = Script::parse("on start: dance").unwrap_err();
        assert_eq!(mistake.to_string(), "no action `dance`: in `on start: dance`");
    }
}
