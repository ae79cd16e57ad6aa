//! A client that is attached through its front: what the front says, frame by frame.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;

use crate::frames::{Cutter, Ends, Framed, Kind};
use crate::guard::CalledOff;
use crate::pipes::Source;
use crate::session::Client;
use crate::session::ticket::Comes;
use crate::store::ids::SessionId;

/// Whom a hub serves.
#[derive(Debug, Clone, Copy)]
pub struct Fronted {
    /// The first of its sessions in the record; the front holds the lock.
    pub session: SessionId,
    /// Its process.
    pub pid: u32,
    /// The newest id under which its client was asked something.
    pub last_ask: u32,
}

impl Client {
    /// Reads what the front says until it ends; the reason that it gave, if it gave one. While `hears` is false, the
    /// client is not heard: nothing that its front has said is begun.
    ///
    /// # Errors
    /// Any fault of the socket, and a stream that is not one of frames.
    pub async fn read_frames(
        self: &Arc<Self>,
        mut source: Source,
        mut hears: watch::Receiver<bool>,
    ) -> io::Result<Option<Bytes>> {
        let mut cutter = Cutter::default();
        loop {
            while let Some(framed) = cutter.next_frame().map_err(io::Error::other)? {
                if framed.kind == Kind::Bye {
                    return Ok(Some(framed.body));
                }
                self.hear_framed(framed, &mut hears).await;
            }
            if source.read(cutter.room()).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// How many of its requests are under way, and since when the oldest is.
    #[must_use]
    pub fn under_way(&self) -> (usize, Option<Instant>) {
        let (waiting, handed_off) = (self.pending.under_way(), self.handed_off.under_way());
        (waiting.0 + handed_off.0, [waiting.1, handed_off.1].into_iter().flatten().min())
    }

    /// Its requests and its sessions are its front's again, who takes them elsewhere: from here on nothing of them is
    /// done, told or recorded, save the answers that are on their way through the record.
    pub fn let_go(&self) {
        self.outlet.let_go();
        self.settling.close();
        self.sessions.leave();
    }

    async fn hear_framed(
        self: &Arc<Self>,
        Framed { kind, seq, body }: Framed,
        hears: &mut watch::Receiver<bool>,
    ) {
        let comes = match kind {
            Kind::Request => Some(Comes::New),
            Kind::Again => Some(Comes::Again),
            Kind::Restore => Some(Comes::Answered),
            Kind::Lost => Some(Comes::Lost),
            Kind::Unknown => Some(Comes::Ended(CalledOff::ByCrash)),
            Kind::Spent => Some(Comes::Ended(CalledOff::ByCrashes)),
            Kind::Withdrawn => Some(Comes::Ended(CalledOff::ByClient)),
            Kind::Line => None,
            Kind::Ping => return self.outlet.pong(seq),
            Kind::TooLong => return self.hear_too_long(seq, &body).await,
            Kind::Hello | Kind::Welcome | Kind::Answer | Kind::Pong | Kind::Bye | Kind::Leaving => return,
        };
        let permit = self.make_room(body.len()).await;
        // The last moment: from here to the table of pending requests nothing waits.
        let _ = hears.wait_for(|hears| *hears).await;
        let permit = match comes {
            Some(comes) => permit.map(|ticket| ticket.numbered(seq, comes, &self.outlet)),
            None => permit,
        };
        self.hear_guarded(&body, permit);
    }

    async fn hear_too_long(&self, seq: u64, body: &[u8]) {
        let Some(Ends { bytes, head, tail }) = Ends::parse(body) else { return };
        let permit = self.make_room(body.len()).await;
        let permit = permit.map(|ticket| ticket.numbered(seq, Comes::New, &self.outlet));
        self.refuse_too_long(head, tail, usize::try_from(bytes).unwrap_or(usize::MAX), permit);
    }
}
