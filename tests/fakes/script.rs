//! The script of the fake server: what each line says, and nothing about how it is done.
//!
//! One directive a line; blank lines and lines that start with `#` are skipped.
//!
//! ```text
//! tool NAME [JSON]          offer NAME; the members of the JSON object join its definition as written
//! prompt NAME [JSON]        the same for a prompt,
//! resource URI [JSON]       a resource,
//! template URITEMPLATE [JSON]  and a resource template: what begins like it can be read
//! tools N                   offer N generated tools, tool_000 …
//! prompts N | resources N | templates N  prompt_000 …, fake://resource/000 …, fake://template/000/{id} …
//! no-tools                  have no tools at all
//! tasks                     make tasks of calls (see below)
//! era legacy|modern|dual    how it is opened: by `initialize` (the default), not at all, or as its first request wants it
//! versions REVISION…        the revisions it speaks (all of the older era, 2026-07-28 of the modern one)
//! strict                    exit with 1 when the first request is not `initialize`
//! capabilities JSON         say this in the handshake instead of what follows from the offers
//! instructions TEXT         say this there too
//! server-info JSON          be this instead of {"name":"fake","version":"1"}
//! ttl MS [SCOPE]            how long modern lists and reads hold, and for whom (60000 private)
//! ignore-term               ignore SIGTERM, SIGINT and SIGHUP
//! ignore-eof                keep living after the end of input
//! obey-cancel               do not answer a call that was cancelled (otherwise the answer comes late)
//! count FILE                append this process's id to FILE at start, one line
//! record FILE               append every received line to FILE, byte for byte
//! on EVENT: ACTION; ACTION  what to do when EVENT comes, in this order
//! ```
//!
//! Without a `tool` or `tools` line there is one tool, `echo`. What is named in `on tools/call NAME:`,
//! `on prompts/get NAME:` or `on resources/read URI:` is offered too. Kinds that are not offered are unknown methods.
//!
//! `EVENT` is `start`, `eof`, any method (`initialize`, `tools/list`, `notifications/initialized`, …), or a method and the
//! one name, URI or task id that it is about (`tools/call NAME`), which goes before the method for all.
//!
//! An action that answers the request:
//!
//! ```text
//! echo                      the arguments' own bytes: {"content":[…],"structuredContent":ARGUMENTS}
//! reply RAWRESULT           this result, as written (a modern one too: nothing is added)
//! raw LINE                  this whole line, as written
//! error [CODE MESSAGE]      a JSON-RPC error (-32603 `internal error`)
//! iserror TEXT              a result with isError: true
//! big BYTES                 a result whose text has BYTES bytes
//! empty                     a list without anything
//! page N                    the list in pages of N
//! request METHOD [PARAMS]   ask the client, wait, answer with {"content":[],"structuredContent":{"answer":…}}
//! input REQUESTS [STATE]    want input first (see below)
//! hang                      never answer
//! ```
//!
//! An action beside the answer; a request that no action answered gets its ordinary answer at the end of the line:
//!
//! ```text
//! sleep MS                  other requests go on meanwhile (but nothing is read during `on start`)
//! progress N                N notifications/progress with the request's own token: 1 … N
//! late-progress N           answer first if that is still open, then the same
//! log LEVEL TEXT            notifications/message; a modern server says it only to a request that asked for that level
//! list-changed              one tool more (extra_1 …), then notifications/tools/list_changed
//! prompts-changed           the same with a prompt,
//! resources-changed         and with a resource (fake://extra/1 …)
//! updated URI               notifications/resources/updated, to a client that subscribed to URI
//! ask METHOD [PARAMS]       ask the client; do not wait, and drop what it answers
//! cancel-request            take back the last request to the client
//! end-listen [cancelled]    end all subscriptions by their results (by notifications/cancelled)
//! task                      from here on this call is a task, if a modern client can have one
//! task-status STATUS        the request's task, or else the last one, has this status; the client is told
//! notify LINE               this whole line, as written; answers nothing
//! garbage [TEXT]            TEXT on stdout, which is no JSON-RPC (a blank line without TEXT)
//! stderr TEXT               a line on stderr
//! exit CODE | signal N      the end of the process, by its own hand
//! close-stdout              nothing can be written from here on
//! fork-deaf [hold] [FILE]   start a grandchild that ignores SIGTERM (and holds stdout open); its id goes to FILE
//! once FILE ACTION          ACTION only the first time ever: FILE marks that it happened
//! times N ACTION            ACTION N times
//! ```
//!
//! In `reply`, `raw`, `notify`, `request` and `ask` the words `$ID`, `$ARGS` and `$TOKEN` stand for the request's own bytes,
//! `$TASK` for the id of its task, as JSON, and `$PID` for this process's id. A `;` inside a JSON string does not separate; elsewhere `\;` is a plain `;`.
//!
//! **Shapes.** `request` and `input` answer a `prompts/get` with one message, and a `resources/read` with one content, whose
//! text is what stands in `structuredContent` otherwise. The ordinary `prompts/get` has the arguments' bytes as its text, a
//! `resources/read` says whose content it is, `completion/complete` has the bytes of `ref`, `argument` and `context` as values.
//!
//! **Input.** A request without `inputResponses` and `requestState` is answered with `resultType: "input_required"` and these
//! REQUESTS (`{}` for none), and the line ends there; -32021 if a modern client cannot do what is asked. STATE is text, or a
//! JSON string whose bytes stay. The same request with either goes on, and is answered with
//! `"structuredContent":{"inputResponses":…,"requestState":…}` as received. Several of them with a STATE each are rounds.
//!
//! **Tasks.** A legacy call with `params.task`, and a modern one whose chain says `task`, is answered with the task (task-1 …)
//! at once; what would have been its answer is the task's. `input` lets a task wait for `tasks/update`.

mod action;
mod offer;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

pub use action::Action;
pub use offer::{Kind, Offer, quoted};
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
    /// One came that is about this tool, prompt, resource or task.
    Named { method: String, name: String },
}

/// How a server is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Era {
    /// By `initialize`.
    #[default]
    Legacy,
    /// Not at all: each request says all about its client.
    Modern,
    /// By its first request, once and for all.
    Dual,
}

/// The first revision of the modern era.
pub const MODERN: &str = "2026-07-28";

/// A whole script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// What the lists show, in this order.
    pub offers: Vec<Offer>,
    /// The chains of actions; for one event the last one counts.
    pub rules: Vec<(Event, Vec<Action>)>,
    /// How it is opened.
    pub era: Era,
    /// The revisions it speaks; none named means its eras' usual ones.
    pub versions: Vec<String>,
    /// Has no tools.
    pub no_tools: bool,
    /// Makes tasks of calls.
    pub tasks: bool,
    /// Ends when its first request is not `initialize`.
    pub strict: bool,
    /// What it says of itself, as JSON.
    pub capabilities: Option<String>,
    /// What it says of itself, as text.
    pub instructions: Option<String>,
    /// Who it is, as JSON.
    pub server_info: Option<String>,
    /// How long modern lists hold: milliseconds, and the scope.
    pub ttl: Option<(u64, String)>,
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

    /// The chain for a request or a notification; `name` is what it is about.
    pub fn rule_for(&self, method: &str, name: Option<&str>) -> Option<&[Action]> {
        let is_it = |on: &Event| matches!(on, Event::Named { method: m, name: n } if m == method && Some(n.as_str()) == name);
        self.find(is_it).or_else(|| self.find(|on| matches!(on, Event::Method(m) if m == method)))
    }

    /// True when the server has this list, even if it is empty yet.
    pub fn has(&self, kind: Kind) -> bool {
        let grows = |action: &Action| matches!(action.innermost(), Action::Changed(other) if *other == kind);
        match kind {
            Kind::Tool => !self.no_tools,
            _ => {
                self.offers.iter().any(|offer| offer.kind == kind)
                    || self.rules.iter().any(|(_, actions)| actions.iter().any(grows))
            }
        }
    }

    /// True when it has anything that can be read.
    pub fn has_resources(&self) -> bool {
        self.has(Kind::Resource) || self.has(Kind::Template)
    }

    /// The revisions of the modern era that it speaks.
    pub fn modern_versions(&self) -> Vec<&str> {
        let named: Vec<&str> = self.versions.iter().map(String::as_str).filter(|v| *v >= MODERN).collect();
        if named.is_empty() { vec![MODERN] } else { named }
    }

    /// The revisions of the older era that it speaks; none for all.
    pub fn legacy_versions(&self) -> impl Iterator<Item = &str> {
        self.versions.iter().map(String::as_str).filter(|v| *v < MODERN)
    }

    fn find(&self, matches: impl Fn(&Event) -> bool) -> Option<&[Action]> {
        self.rules.iter().rfind(|(on, _)| matches(on)).map(|(_, actions)| actions.as_slice())
    }

    fn directive(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = word(line);
        match word {
            "no-tools" => self.no_tools = true,
            "tasks" => self.tasks = true,
            "era" => self.era = era(rest)?,
            "versions" => self.versions = some(rest)?.split_whitespace().map(str::to_owned).collect(),
            "strict" => self.strict = true,
            "capabilities" => self.capabilities = Some(object(rest)?),
            "instructions" => self.instructions = Some(some(rest)?.to_owned()),
            "server-info" => self.server_info = Some(object(rest)?),
            "ttl" => self.ttl = Some(ttl(rest)?),
            "ignore-term" => self.ignore_term = true,
            "ignore-eof" => self.ignore_eof = true,
            "obey-cancel" => self.obey_cancel = true,
            "count" => self.count = Some(some(rest)?.into()),
            "record" => self.record = Some(some(rest)?.into()),
            "on" => self.rules.push(rule(rest)?),
            offer => self.offer(offer, rest)?,
        }
        Ok(())
    }

    fn offer(&mut self, what: &str, rest: &str) -> Result<(), String> {
        if let Some(kind) = Kind::of_word(what) {
            let (name, members) = word(some(rest)?);
            self.offers.push(kind.parse(name, members)?);
            return Ok(());
        }
        let many = what.strip_suffix('s').and_then(Kind::of_word);
        let kind = many.ok_or_else(|| format!("no directive `{what}`"))?;
        self.offers.extend((0..number::<usize>(rest)?).map(|index| kind.generated(index)));
        Ok(())
    }

    fn offer_what_is_named(&mut self) {
        if !self.no_tools && !self.offers.iter().any(|offer| offer.kind == Kind::Tool) {
            self.offers.push(Kind::Tool.plain("echo"));
        }
        for (event, _) in &self.rules {
            if let Event::Named { method, name } = event
                && let Some(kind) = Kind::used_by(method)
                && !self.offers.iter().any(|offer| offer.kind == kind && offer.name == *name)
            {
                self.offers.push(kind.plain(name));
            }
        }
    }
}

fn era(rest: &str) -> Result<Era, String> {
    Ok(match rest {
        "legacy" => Era::Legacy,
        "modern" => Era::Modern,
        "dual" => Era::Dual,
        other => return Err(format!("no era `{other}`")),
    })
}

fn ttl(rest: &str) -> Result<(u64, String), String> {
    let (ms, scope) = word(rest);
    Ok((number(ms)?, if scope.is_empty() { "private" } else { scope }.to_owned()))
}

/// `EVENT: ACTION; ACTION`. A URI has a colon too, but no space behind it.
fn rule(rest: &str) -> Result<(Event, Vec<Action>), String> {
    let parts = rest.split_once(": ").or_else(|| rest.split_once(':'));
    let (event, actions) = parts.ok_or("no `:` after the event")?;
    let event = match word(event.trim()) {
        ("start", "") => Event::Start,
        ("eof", "") => Event::Eof,
        ("" | "start" | "eof", _) => return Err("no such event".to_owned()),
        (method, "") => Event::Method(method.to_owned()),
        (method, name) => Event::Named { method: method.to_owned(), name: name.to_owned() },
    };
    Ok((event, action::chain(actions)?))
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

/// One JSON object, as written.
fn object(text: &str) -> Result<String, String> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) if text.starts_with('{') => Ok(text.to_owned()),
        _ => Err("this is no JSON object".to_owned()),
    }
}
