//! Requests on their way from one program to the next.

use serde::{Deserialize, Serialize};

use crate::frames::{self, Framed};
use crate::front::ledger::{Due, Ended, Ledger, Open, Told, cost};

/// What a ledger is beside its requests.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    has_batches: bool,
}

/// What is known of a request beside its number, its line, and as what the next hub gets it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    id: Box<str>,
    method: Box<str>,
    is_withdrawn: bool,
    /// The front has answered it, and it is to be recorded.
    is_told: bool,
    deaths: u8,
}

impl Ledger {
    /// Everything but [`Ledger::requests`]. Meant for when there is no hub.
    #[must_use]
    pub fn keep(&self) -> Kept {
        let Self { open: _, bytes: _, told: _, has_batches } = self;
        Kept { has_batches: *has_batches }
    }

    /// Each request: what is known of it, then its line.
    ///
    /// # Errors
    /// Never: all of it is text.
    pub fn requests(&self) -> serde_json::Result<Vec<[Due; 2]>> {
        let open = self.open.iter().map(|(seq, open)| open.keep(*seq));
        let told = self.told.iter().map(|(seq, Told { line, kind, deaths })| {
            let known = Known { is_told: true, deaths: *deaths, ..Known::default() };
            pair(&known, Due { seq: *seq, kind: *kind, line: line.clone() })
        });
        open.chain(told).collect()
    }

    /// A ledger without requests that was kept.
    #[must_use]
    pub fn of_kept(kept: &Kept) -> Self {
        Self { has_batches: kept.has_batches, ..Self::default() }
    }

    /// Enters a request that was kept.
    ///
    /// # Errors
    /// When what is known of it is not what it says to be.
    pub fn enter_kept(&mut self, [known, line]: [Framed; 2]) -> serde_json::Result<()> {
        let Framed { kind, seq, body } = known;
        let Known { id, method, is_withdrawn, is_told, deaths } = serde_json::from_slice(&body)?;
        if is_told {
            self.told.insert(seq, Told { line: line.body, kind, deaths });
            return Ok(());
        }
        self.bytes += cost(&line.body);
        let request = Ended { line: line.body, id, method };
        let open = Open { request, kind, is_sent: false, is_dispatched: false, is_withdrawn, deaths };
        self.open.insert(seq, open);
        Ok(())
    }
}

impl Open {
    fn keep(&self, seq: u64) -> serde_json::Result<[Due; 2]> {
        let Self { request, kind, is_sent: _, is_dispatched: _, is_withdrawn, deaths } = self;
        let Ended { line, id, method } = request.clone();
        let known = Known { id, method, is_withdrawn: *is_withdrawn, is_told: false, deaths: *deaths };
        pair(&known, Due { seq, kind: *kind, line })
    }
}

fn pair(known: &Known, Due { seq, kind, line }: Due) -> serde_json::Result<[Due; 2]> {
    let known = Due { seq, kind, line: serde_json::to_vec(known)?.into() };
    Ok([known, Due { seq, kind: frames::Kind::Line, line }])
}
