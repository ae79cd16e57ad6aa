//! A client that is attached through its front: what the front says, frame by frame.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

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
    /// Reads what the front says until it ends; the reason that it gave, if it gave one.
    ///
    /// # Errors
    /// Any fault of the socket, and a stream that is not one of frames.
    pub async fn read_frames(self: &Arc<Self>, mut source: Source) -> io::Result<Option<Bytes>> {
        let (mut cutter, mut bytes) = (Cutter::default(), Vec::new());
        loop {
            while let Some(framed) = cutter.next_frame().map_err(io::Error::other)? {
                if framed.kind == Kind::Bye {
                    return Ok(Some(framed.body));
                }
                self.hear_framed(framed).await;
            }
            bytes.clear();
            if source.read(&mut bytes).await? == 0 {
                return Ok(None);
            }
            cutter.room().extend_from_slice(&bytes);
        }
    }

    async fn hear_framed(self: &Arc<Self>, Framed { kind, seq, body }: Framed) {
        let comes = match kind {
            Kind::Request => Comes::New,
            Kind::Again => Comes::Again,
            Kind::Restore => Comes::Answered,
            Kind::Lost => Comes::Lost,
            Kind::Unknown => Comes::Ended(CalledOff::ByCrash),
            Kind::Spent => Comes::Ended(CalledOff::ByCrashes),
            Kind::Withdrawn => Comes::Ended(CalledOff::ByClient),
            Kind::Line => {
                let permit = self.make_room(body.len()).await;
                return self.hear_guarded(&body, permit);
            }
            Kind::Ping => return self.outlet.pong(seq),
            Kind::TooLong => return self.hear_too_long(seq, &body).await,
            Kind::Hello | Kind::Welcome | Kind::Answer | Kind::Pong | Kind::Bye => return,
        };
        let permit = self.make_room(body.len()).await;
        let permit = permit.map(|ticket| ticket.numbered(seq, comes, &self.outlet));
        self.hear_guarded(&body, permit);
    }

    async fn hear_too_long(&self, seq: u64, body: &[u8]) {
        let Some(Ends { bytes, head, tail }) = Ends::parse(body) else { return };
        let permit = self.make_room(body.len()).await;
        let permit = permit.map(|ticket| ticket.numbered(seq, Comes::New, &self.outlet));
        self.refuse_too_long(head, tail, usize::try_from(bytes).unwrap_or(usize::MAX), permit);
    }
}
