//! How one server's tools stand to what they were when they were first seen.

use std::sync::Arc;

use crate::config::tools::OnChange;
use crate::names::ServerName;
use crate::store::rows::PinRow;
use crate::store::stamp;
use crate::tools::pin::{self, Difference, Held, Kind, Pin, Pins};

/// The pins of one server, and how its tools differ from them.
#[derive(Debug, Default)]
pub struct Standing {
    /// `None` while the record cannot be read.
    pins: Option<Pins>,
    /// How its tools differ, in its own order, those that are gone last.
    pub differences: Vec<Difference>,
}

impl Standing {
    /// Takes what the record says. What is pinned here and not there is on its way there.
    pub fn read(&mut self, stored: Option<Pins>) {
        let is_news = self.pins.is_none() || stored.as_ref().is_some_and(|pins| !pins.is_empty());
        if let (true, Some(pins)) = (is_news, stored) {
            self.pins = Some(pins);
        }
    }

    /// What is pinned; nothing while the record cannot be read.
    #[must_use]
    pub fn pin(&self, tool: &str) -> Option<&Pin> {
        self.pins.as_ref()?.get(tool)
    }

    /// Whether nobody knows what the server's tools were.
    #[must_use]
    pub const fn is_unread(&self) -> bool {
        self.pins.is_none()
    }

    /// Compares the tools of a server with their pins; those of one that has none are pinned, and given back for
    /// the record.
    pub fn judge(&mut self, server: &ServerName, tools: &[Arc<str>]) -> Vec<PinRow> {
        let Some(pins) = &mut self.pins else { return Vec::new() };
        if tools.is_empty() {
            // A server that does not say what it has takes nothing back.
            self.differences.clear();
            return Vec::new();
        }
        let tools_by_name = pin::by_name(tools);
        if !pins.is_empty() {
            for (name, definition) in &tools_by_name {
                // Two copies of the same would be kept.
                if let Some(pin) = pins.get_mut(name).filter(|pin| pin.definition == **definition) {
                    pin.definition = Arc::clone(definition);
                }
            }
            self.differences = pin::differences(pins, &tools_by_name);
            return Vec::new();
        }
        self.differences.clear();
        pins.extend(tools_by_name.into_iter().map(|(name, tool)| (name, pin::pin(tool))));
        let at_ms = stamp::now_ms();
        let row = |(tool, pin): (&Arc<str>, &Pin)| PinRow {
            server: server.shared(),
            tool: Arc::clone(tool),
            pin: pin.clone(),
            at_ms,
        };
        pins.iter().map(row).collect()
    }

    /// What is held back of the server.
    #[must_use]
    pub fn held(&self, on_change: OnChange) -> Held {
        match (on_change, &self.pins) {
            (OnChange::Log | OnChange::Notify, _) => Held::default(),
            (OnChange::Quarantine, None) => Held::All,
            (OnChange::Quarantine, Some(_)) => {
                let there = self.differences.iter().filter(|it| it.kind.is_there());
                Held::These(there.map(|it| Arc::clone(&it.tool)).collect())
            }
        }
    }

    /// The tools of a kind, for a log line.
    #[must_use]
    pub fn names(&self, kind: Kind) -> String {
        let names = self.differences.iter().filter(|it| it.kind == kind).map(|it| &*it.tool);
        names.collect::<Vec<_>>().join(", ")
    }
}
