//! How many tools, and how long names, each client takes.

use crate::catalog::Catalog;
use crate::clients::{Client, ENTRY};
use crate::list::List;
use crate::names::ServerName;

/// What a client takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many tools, of all its servers together.
    Tools(usize),
    /// So many characters in the name of its entry for the bridge and that of a tool.
    NameChars(usize),
}

/// What is known of a client.
const fn of(client: Client) -> Option<Limit> {
    match (client.tools_max(), client) {
        (Some(max), _) => Some(Limit::Tools(max)),
        // The other clients' room for names is larger than any name of ours.
        (None, Client::Cursor) => Some(Limit::NameChars(client.names().chars_max)),
        (None, _) => None,
    }
}

/// A client's limit, and what there is.
#[derive(Debug)]
pub struct Measure {
    /// The client.
    pub client: Client,
    /// What it takes; `None` if no limit is known.
    pub limit: Option<Limit>,
    /// The number of tools, or the longest name.
    pub here: usize,
    /// How many tools are too many, or have too long a name.
    pub over: usize,
}

impl Measure {
    /// Its limit in words.
    pub fn limit(&self) -> String {
        match self.limit {
            None => "no limit is known".to_owned(),
            Some(Limit::Tools(max)) => format!("{max} tools, with those of other servers"),
            Some(Limit::NameChars(max)) => format!("{max} characters in the entry's name and a tool's"),
        }
    }

    /// What to do about what is too much; `largest` is the server with the most tools.
    pub fn advice(&self, largest: Option<&ServerName>) -> String {
        let (client, over) = (self.client.title(), self.over);
        let largest = largest.map_or("NAME", ServerName::as_str);
        match self.limit {
            Some(Limit::NameChars(_)) => {
                format!(
                    "{client} hides {over} tools whose names are too long: give them others with rename in [servers.NAME.tools]"
                )
            }
            Some(Limit::Tools(max)) => format!(
                "{client} takes {max} tools, these are {}: switch off {over} that nobody needs, with allow or deny in \
                 [servers.{largest}.tools]",
                self.here
            ),
            None => String::new(),
        }
    }
}

/// Measures what a client is shown; without a client those of which a limit is known.
pub fn measure(catalog: &Catalog, client: Option<Client>) -> Vec<Measure> {
    let clients: Vec<Client> = match client {
        Some(client) => vec![client],
        None => Client::ALL.into_iter().filter(|client| of(*client).is_some()).collect(),
    };
    let tools = catalog.all(List::Tools);
    let one = |client: Client| {
        let chars = || tools.iter().map(|tool| client.names().chars(ENTRY, &tool.key));
        let limit = of(client);
        let (here, over) = match limit {
            None => (tools.len(), 0),
            Some(Limit::Tools(max)) => (tools.len(), tools.len().saturating_sub(max)),
            Some(Limit::NameChars(max)) => {
                (chars().max().unwrap_or_default(), chars().filter(|chars| *chars > max).count())
            }
        };
        Measure { client, limit, here, over }
    };
    clients.into_iter().map(one).collect()
}
