//! A house that runs in the test's own process, with as many clients as a test attaches.

use std::io::pipe;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bridge::environment::Environment;
use bridge::paths::{Overrides, Paths};
use bridge::pipes::Sink;
use bridge::serve::attached::{Attached, Input};
use bridge::serve::house::House;
use bridge::serve::house::servers::Site;
use bridge::shutdown::{Closing, StopReason};
use bridge::{config, pipes};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task;

use super::{Bridge, DEADLINE, Room};

/// A house, and the two runtimes that it works on.
pub struct Housed {
    pub house: House,
    pub lines: Handle,
    aside: task::JoinHandle<()>,
    work: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A client of a house, as the house knows it.
pub struct Guest {
    closing: Closing,
    gone: Receiver<StopReason>,
    task: task::AbortHandle,
}

impl Guest {
    /// Has the house let it go, and waits until it has.
    #[track_caller]
    pub fn detach(self) -> StopReason {
        self.closing.raise(StopReason::Terminate);
        self.gone()
    }

    /// Drops it in the middle of whatever it does.
    #[track_caller]
    pub fn abort(self) {
        self.task.abort();
        assert!(self.gone.recv_timeout(DEADLINE).is_err(), "it did not come to its end");
    }

    /// Waits until the house has let it go.
    #[track_caller]
    pub fn gone(self) -> StopReason {
        self.gone.recv_timeout(DEADLINE).expect("the client is let go")
    }
}

impl Room {
    /// Builds a house in the room.
    #[track_caller]
    pub fn house(&self) -> Housed {
        let overrides = Overrides { config_file: Some(self.config_file()), data_dir: Some(self.data()) };
        let paths = Paths::find(overrides).unwrap();
        paths.create().unwrap();
        let work = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (sender, receiver) = channel();
        let thread = thread::spawn(move || {
            let lines = Builder::new_current_thread().enable_all().build().unwrap();
            sender.send(lines.handle().clone()).unwrap();
            let _ = lines.block_on(stopped);
            lines.shutdown_background();
        });
        let lines = receiver.recv().unwrap();
        let loaded = config::load(paths.config_file.as_deref());
        assert!(loaded.mistakes.is_empty(), "{:?}", loaded.mistakes);
        let site = Site { environment: Environment::own(), folder: None };
        let mut house = House::build(&paths, loaded, site, Instant::now(), (&lines, work.handle()));
        lines.spawn(house.keep_time());
        let aside = work.spawn(house.aside(&paths.data_dir));
        Housed { house, lines, aside, work: Some(work), stop: Some(stop), thread: Some(thread) }
    }

    /// One more client of a house in the room; nothing of it is read until [`Bridge::read`].
    #[track_caller]
    pub fn deaf_guest(&self, housed: &Housed) -> (Bridge, Guest) {
        let (theirs_in, ours_in) = pipe().unwrap();
        let (ours_out, theirs_out) = pipe().unwrap();
        let (attached, closing) = (housed.house.attach(), Closing::default());
        let (sender, gone) = channel();
        let task = housed.lines.spawn({
            let closing = closing.clone();
            async move {
                let (source, sink) = (pipes::from_server(theirs_in), pipes::to_server(theirs_out));
                let reason = serve(attached, Input::Lines(source.unwrap()), sink.unwrap(), closing).await;
                let _ = sender.send(reason);
            }
        });
        (
            Bridge::of_house(ours_in, ours_out, Arc::clone(&self.dir)),
            Guest { closing, gone, task: task.abort_handle() },
        )
    }

    /// One more client of a house in the room.
    #[track_caller]
    pub fn guest(&self, housed: &Housed) -> (Bridge, Guest) {
        let (mut bridge, guest) = self.deaf_guest(housed);
        bridge.read();
        (bridge, guest)
    }
}

/// Serves a client until either stream ends or somebody asks to stop, and lets it go.
pub async fn serve(attached: Attached, input: Input, sink: Sink, closing: Closing) -> StopReason {
    let mut served = attached.begin(input, sink, closing);
    let reason = served.over().await;
    served.hush(reason).await;
    served.end(reason).await;
    reason
}

impl Drop for Housed {
    fn drop(&mut self) {
        self.aside.abort();
        if let Some(work) = self.work.take() {
            // No server is made from here on.
            let _ = work.block_on(&mut self.aside);
            let gone = self.house.stop_servers();
            // A test that fails has said why.
            let _ = work.block_on(async { tokio::time::timeout(DEADLINE, gone).await });
            work.shutdown_background();
        }
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
