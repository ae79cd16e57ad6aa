//! What a client sees, as far as the record and the configuration say: no bridge has to run.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::catalog::{Catalog, Offer, Shape};
use crate::cli::server;
use crate::config::launch::LaunchKey;
use crate::config::tools::OnChange;
use crate::config::{self, Loaded};
use crate::downstream::listing::Items;
use crate::list::Each;
use crate::names::ServerName;
use crate::paths::Paths;
use crate::router::offers::standing::Standing;
use crate::store::read::Reader;
use crate::store::rows::CatalogRow;
use crate::tools::Rules;
use crate::tools::pin::{self, Difference};

/// One server of the configuration.
#[derive(Debug)]
pub struct Server {
    /// Its name.
    pub name: ServerName,
    /// What the configuration says of its tools.
    pub rules: Arc<Rules>,
    /// Its tools as it listed them last; `None` if it never did.
    pub tools: Option<Vec<Arc<str>>>,
    /// How they stand to what they were.
    pub standing: Standing,
    /// What comes of those that differ.
    pub on_change: OnChange,
}

impl Server {
    /// The definition of a tool, as it was listed last.
    pub fn tool(&self, name: &str) -> Option<Arc<str>> {
        let tools = pin::by_name(self.tools.as_deref().unwrap_or_default());
        tools.into_iter().find(|(tool, _)| **tool == *name).map(|(_, definition)| Arc::clone(definition))
    }

    /// How a tool differs from what it was.
    pub fn difference(&self, tool: &str) -> Option<&Difference> {
        self.standing.differences.iter().find(|difference| *difference.tool == *tool)
    }
}

/// All servers that may be started.
#[derive(Debug)]
pub struct Seen {
    /// The configuration.
    pub loaded: Loaded,
    /// The servers, in its order.
    pub servers: Vec<Server>,
}

impl Seen {
    /// Reads the configuration and the record.
    ///
    /// # Errors
    /// When the configuration cannot be understood, or the record is there and cannot be read.
    pub fn read(paths: &Paths) -> anyhow::Result<Self> {
        let loaded = config::load(paths.config_file.as_deref());
        server::check_whole(&loaded)?;
        let servers = servers(&loaded, &paths.data_dir)?;
        Ok(Self { loaded, servers })
    }

    /// What a client is shown, beside these tools of the bridge's own.
    pub fn catalog(&self, own: Vec<Arc<str>>) -> Catalog {
        let own = Each { tools: own, ..Each::default() };
        let own = Offer { server: None, items: own, shape: Shape::default() };
        let theirs = self.servers.iter().map(|server| Offer {
            server: Some(server.name.clone()),
            items: Each { tools: server.tools.clone().unwrap_or_default(), ..Each::default() },
            shape: Shape { rules: Arc::clone(&server.rules), held: server.standing.held(server.on_change) },
        });
        Catalog::merge(&std::iter::once(own).chain(theirs).collect::<Vec<_>>())
    }
}

fn servers(loaded: &Loaded, data_dir: &Path) -> anyhow::Result<Vec<Server>> {
    let reader = Reader::open(data_dir)?;
    let enabled = loaded.config.enabled();
    let read = || -> rusqlite::Result<_> {
        let Some(reader) = &reader else { return Ok(Default::default()) };
        let keys: Vec<String> =
            enabled.iter().map(|entry| LaunchKey::of(entry).as_str().to_owned()).collect();
        let names: Vec<&str> = enabled.iter().map(|entry| entry.name.as_str()).collect();
        Ok((reader.catalog(&keys)?, reader.pins(&names)?))
    };
    let (rows, mut pins): (Vec<CatalogRow>, _) = read().context("the record cannot be read")?;
    let servers = enabled.iter().map(|entry| {
        let row = rows.iter().find(|row| row.key == LaunchKey::of(entry).as_str());
        let tools = row.and_then(listed);
        let mut standing = Standing::default();
        standing.read(Some(pins.remove(entry.name.as_str()).unwrap_or_default()));
        // What was never pinned is pinned by the bridge that sees it.
        drop(standing.judge(&entry.name, tools.as_deref().unwrap_or_default()));
        Server {
            name: entry.name.clone(),
            rules: Arc::clone(&entry.tools),
            tools,
            standing,
            on_change: loaded.config.on_tool_change(entry),
        }
    });
    Ok(servers.collect())
}

/// The tools of a row; a try that brought nothing is none.
fn listed(row: &CatalogRow) -> Option<Vec<Arc<str>>> {
    let tools = Items::parse(&row.tools).ok()?.items;
    (row.greeting.is_some() || !tools.is_empty()).then_some(tools)
}
