//! Tools that are not what they were when they were first seen, of all servers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::catalog::{Off, Why};
use crate::config::tools::OnChange;
use crate::list::List;
use crate::names::ServerName;
use crate::router::offers::standing::Standing;
use crate::router::offers::{Offers, State};
use crate::store::rows::{PinRow, ServerEvent};
use crate::store::stamp;
use crate::tools::Rules;
use crate::tools::pin::{self, Difference, Kind, Pins};

/// A tool that is not what its pin says, and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolChange {
    /// Its server.
    pub server: ServerName,
    /// The tool, and how it differs.
    pub difference: Difference,
    /// Whether it is held back.
    pub held: bool,
}

impl State {
    /// Takes what is pinned of servers, and compares their tools with it; what was not pinned yet is given back
    /// for the record.
    pub(super) fn judge(&mut self, pins: Vec<(ServerName, Option<Pins>)>) -> Vec<PinRow> {
        let mut rows = Vec::new();
        for (server, pins) in pins {
            let standing = self.standing.entry(server.clone()).or_default();
            standing.read(pins);
            let tools = self.kept.get(&server).and_then(|kept| kept.items(List::Tools));
            let before = standing.differences.clone();
            rows.extend(standing.judge(&server, tools.unwrap_or_default()));
            if !standing.differences.is_empty() && standing.differences != before {
                say(&server, standing);
            }
        }
        rows
    }
}

impl Offers {
    /// Reads again what is pinned: the user has approved something. Blocks for a few milliseconds.
    pub fn approved(&self) {
        let order = Arc::clone(&self.lock().order);
        let pins = self.pins(order.iter().map(|known| known.server.clone()).collect());
        let mut state = self.lock();
        self.journal.tools_pinned(state.judge(pins));
        self.publish(&state);
    }

    /// Compares what is on offer already with what is pinned. Whoever looked before hears of what differs.
    pub(super) fn compare(&self, pins: Vec<(ServerName, Option<Pins>)>) {
        let mut state = self.lock();
        self.journal.tools_pinned(state.judge(pins));
        if state.standing.values().any(|standing| !standing.differences.is_empty()) {
            self.publish(&state);
        }
    }

    /// A row for tools that are not what they were.
    pub(super) fn record_changes(&self, server: &ServerName, state: &State) {
        let Some(standing) = state.standing.get(server).filter(|it| !it.differences.is_empty()) else {
            return;
        };
        let words = [Kind::Changed, Kind::New, Kind::Gone].map(|kind| (kind.word(), standing.names(kind)));
        let words = words.iter().filter(|(_, names)| !names.is_empty());
        let words: Vec<String> = words.map(|(word, names)| format!("{word}: {names}")).collect();
        self.journal.server_event(ServerEvent {
            at_ms: stamp::now_ms(),
            server: server.shared(),
            event: "tools_changed",
            reason: Some(words.join("; ")),
            ..ServerEvent::default()
        });
    }

    /// What is pinned of servers; `None` of those of which it cannot be read.
    pub(super) fn pins(&self, servers: Vec<ServerName>) -> Vec<(ServerName, Option<Pins>)> {
        let mut pins = self.journal.load_pins(&servers.iter().map(ServerName::as_str).collect::<Vec<_>>());
        let of = |server: ServerName| {
            let pins = pins.as_mut().map(|pins| pins.remove(server.as_str()).unwrap_or_default());
            (server, pins)
        };
        servers.into_iter().map(of).collect()
    }

    /// The tools that are not what they were when they were first seen, where that is to be told, in the
    /// configuration's order.
    #[must_use]
    pub fn changes(&self) -> Vec<ToolChange> {
        let state = self.lock();
        let told = state.order.iter().filter(|known| known.on_tool_change != OnChange::Log);
        let changes = told.filter_map(|known| Some((known, state.standing.get(&known.server)?)));
        let changes = changes.flat_map(|(known, standing)| {
            let held = standing.held(known.on_tool_change);
            standing.differences.iter().map(move |difference| ToolChange {
                server: known.server.clone(),
                difference: difference.clone(),
                held: held.holds(&difference.tool),
            })
        });
        changes.collect()
    }

    /// What the configuration says of tools that are not there, in words.
    #[must_use]
    pub fn idle_rules(&self) -> Vec<String> {
        let state = self.lock();
        let ruled = state.order.iter().filter(|known| *known.rules != Rules::default());
        let idle = ruled.filter_map(|known| {
            let tools =
                state.kept.get(&known.server)?.items(List::Tools).filter(|tools| !tools.is_empty())?;
            let tools = pin::by_name(tools);
            let names: Vec<&str> = tools.iter().map(|(name, _)| &**name).collect();
            Some(
                known
                    .rules
                    .idle(&names)
                    .into_iter()
                    .map(|what| format!("servers.{}.tools.{what}", known.server)),
            )
        });
        idle.flatten().collect()
    }

    /// A tool by its server's name for it, if it is held back now: its server may have said that it is another one
    /// after its way was found. Costs next to nothing while nothing is held back.
    #[must_use]
    pub fn held_back(&self, server: &ServerName, tool: &str) -> Option<Off> {
        if !self.holds_back.load(Ordering::Acquire) {
            return None;
        }
        let catalog = Arc::clone(&self.view.borrow().catalog);
        let mut held = catalog.all_off().map(|(_, off)| off).filter(|off| off.why == Why::Quarantined);
        held.find(|off| off.server == *server && off.tool == tool).cloned()
    }

    /// The tool of a server that is called so; asked before the server has said what it has.
    #[must_use]
    pub fn tool_named(&self, server: &ServerName, name: &str) -> Arc<str> {
        let order = Arc::clone(&self.lock().order);
        let known = order.iter().find(|known| known.server == *server);
        known.map_or(name, |known| known.rules.tool_named(name)).into()
    }
}

fn say(server: &ServerName, standing: &Standing) {
    let [changed, new, gone] = [Kind::Changed, Kind::New, Kind::Gone].map(|kind| standing.names(kind));
    tracing::warn!(%server, changed, new, gone, "tools are others than when they were first seen");
}
