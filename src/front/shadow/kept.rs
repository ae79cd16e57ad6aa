//! A session on its way from one program to the next.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::front::shadow::Shadow;

/// What a shadow is beside its lines, and which of those there are.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    initialize: bool,
    initialized: bool,
    level: bool,
    subscriptions: Vec<Box<str>>,
    tools: Option<Box<str>>,
    asked: BTreeSet<Box<str>>,
    last_ask: u32,
}

impl Shadow {
    /// Everything but [`Shadow::lines`].
    #[must_use]
    pub fn keep(&self) -> Kept {
        let Self { initialize, initialized, level, subscriptions, tools, asked, last_ask } = self;
        Kept {
            initialize: initialize.is_some(),
            initialized: initialized.is_some(),
            level: level.is_some(),
            subscriptions: subscriptions.keys().cloned().collect(),
            tools: tools.clone(),
            asked: asked.clone(),
            last_ask: *last_ask,
        }
    }

    /// Both together again; `None` when a line is missing.
    #[must_use]
    pub fn of_kept(kept: Kept, lines: Vec<Bytes>) -> Option<Self> {
        let mut lines = lines.into_iter();
        let mut line = |is_there: bool| if is_there { lines.next().map(Some) } else { Some(None) };
        let (initialize, initialized) = (line(kept.initialize)?, line(kept.initialized)?);
        let level = line(kept.level)?;
        let subscribed = |uri| Some((uri, line(true)??));
        let subscriptions =
            kept.subscriptions.into_iter().map(subscribed).collect::<Option<BTreeMap<_, _>>>()?;
        let Kept { tools, asked, last_ask, .. } = kept;
        Some(Self { initialize, initialized, level, subscriptions, tools, asked, last_ask })
    }
}
