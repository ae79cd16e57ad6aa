//! A client that comes through a front, frame by frame.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bridge::frames::{Cutter, Framed, Kind, head};
use bridge::serve::attached::Input;
use bridge::session::attached::Fronted;
use bridge::session::outlet::Outlet;
use bridge::shutdown::Closing;
use bridge::store::ids::SessionId;
use bridge::{pipes, store};
use serde_json::json;
use tokio::sync::watch;

use crate::support::housed::{Housed, serve};
use crate::support::{DEADLINE, Room};

/// What a front is to a house.
struct Front {
    to: PipeWriter,
    from: Receiver<Framed>,
    _dispatched: PipeReader,
}

impl Front {
    fn of(house: &Housed) -> Self {
        let ((theirs_in, to), (from, theirs_out)) = (pipe().unwrap(), pipe().unwrap());
        let (dispatched, into) = pipe().unwrap();
        let session = SessionId::of_front(store::stamp::now_ms());
        let front = Fronted { session, pid: std::process::id(), last_ask: 0 };
        let attached = house.house.attach_front(Outlet::framed(into), front, None);
        house.lines.spawn(async move {
            let (source, sink) = (pipes::from_server(theirs_in), pipes::to_server(theirs_out));
            serve(
                attached,
                Input::Frames(source.unwrap(), watch::channel(true).1),
                sink.unwrap(),
                Closing::default(),
            )
            .await
        });
        let (sender, receiver) = channel();
        thread::spawn(move || read(from, &sender));
        Self { to, from: receiver, _dispatched: dispatched }
    }

    fn say(&mut self, kind: Kind, seq: u64, body: &str) {
        self.to.write_all(&head(kind, seq, body.len())).unwrap();
        self.to.write_all(body.as_bytes()).unwrap();
    }

    /// The next frame of this kind.
    fn hear(&mut self, kind: Kind) -> Framed {
        loop {
            let framed = self.from.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no {kind:?}"));
            if framed.kind == kind {
                return framed;
            }
        }
    }
}

/// Hands on what a hub says, to its end.
fn read(mut from: PipeReader, to: &Sender<Framed>) {
    let mut cutter = Cutter::default();
    loop {
        while let Some(framed) = cutter.next_frame().unwrap() {
            // The test may be over.
            let _ = to.send(framed);
        }
        let mut bytes = vec![0; cutter.missing()];
        if from.read_exact(&mut bytes).is_err() {
            return;
        }
        cutter.room().extend_from_slice(&bytes);
    }
}

#[test]
fn a_sign_of_life_is_given_however_much_is_under_way() {
    let room = Room::new().server("s", &["on tools/call: hang"]);
    let house = room.house();
    let mut front = Front::of(&house);
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "a", "version": "1" } });
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    front.say(Kind::Request, 1, &initialize.to_string());
    front.hear(Kind::Answer);
    let text = "x".repeat(15 << 20);
    for id in 2..7 {
        let params = json!({ "name": "s__echo", "arguments": { "text": text } });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        front.say(Kind::Request, id, &call.to_string());
    }
    front.say(Kind::Ping, 9, "");
    assert_eq!(front.hear(Kind::Pong).seq, 9);
}
