//! Whoever comes through a hub's door: a front, or somebody who asks the hub itself.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Weak;
use std::time::Duration;

use anyhow::Context;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::time::Instant;

use crate::environment::{Environment, Folder};
use crate::frames::{self, Hello, Kind, Variables, Welcome, Why};
use crate::front::resume::state;
use crate::local::Stream;
use crate::paths::Paths;
use crate::pipes::{self, Stdio};
use crate::serve::attached::{Attached, Input};
use crate::serve::house::House;
use crate::serve::house::servers::Site;
use crate::serve::household::Household;
use crate::serve::hub::admission::{self, Admitted};
use crate::serve::hub::end::Present;
use crate::serve::hub::{Came, Hub, counter};
use crate::serve::load;
use crate::session::Client;
use crate::session::attached::Fronted;
use crate::session::outlet::Outlet;
use crate::store::ids::SessionId;
use crate::store::stamp;
use crate::version;

/// Whoever comes through the door says who it is within this.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// A client that has to be served otherwise may finish what is under way within this.
const AT_REST_WITHIN: Duration = Duration::from_secs(10);

impl Hub {
    /// Serves whoever came, until it has gone or the hub ends.
    pub(super) async fn attend(self, stream: Stream) -> Came {
        let admitted = async {
            match is_question(&stream).await? {
                true => Ok(None),
                false => admission::admit(&stream).await.map(Some),
            }
        };
        let admitted = tokio::select! {
            admitted = tokio::time::timeout(HELLO_WITHIN, admitted) => admitted,
            _ = self.end.left() => return Came::Other,
        };
        match admitted {
            Ok(Ok(Some(admitted))) => {
                if let Err(error) = self.attach(stream, admitted).await {
                    tracing::warn!(error = format!("{error:#}"), "front cannot be served");
                }
                return Came::Front;
            }
            Ok(Ok(None)) => {
                if let Err(error) = counter::attend(&self, stream).await {
                    tracing::debug!(%error, "control conversation broken off");
                }
            }
            // Somebody only looked whether there is a hub.
            Ok(Err(error)) => tracing::debug!(%error, "no front"),
            Err(_) => tracing::debug!("nobody says hello"),
        }
        Came::Other
    }

    /// Serves one front to its end.
    async fn attach(self, stream: Stream, admitted: Admitted) -> anyhow::Result<()> {
        let Admitted { hello, dispatched } = admitted;
        let Hello { versions, session, pid, last_ask, again, bridge, .. } = hello;
        let session = SessionId::parse(&session).context("the front names no session")?;
        let front = Fronted { session: session.front(), pid, last_ask };
        let Hello { config, environment: Variables(environment), folder, .. } = hello;
        let environment: Environment = environment.into_iter().collect();
        let guest = (Outlet::framed(dispatched), front, folder.map(Into::into));
        let (client, foreign) = self.attach_to(config, environment, guest).await?;
        let welcome = Welcome {
            version: frames::version_for(versions),
            pid: std::process::id(),
            line_bytes_max: client.line_bytes_max(),
            bridge: version::own().into(),
            program: self.program.clone(),
            resumes: vec![state::VERSION],
        };
        admission::welcome(&stream, &welcome).await?;
        let (oldest, newest) = versions;
        anyhow::ensure!(
            (oldest..=newest).contains(&welcome.version),
            "front {pid} of version {bridge} speaks the versions {oldest} to {newest} of the frames, this hub {}",
            welcome.version
        );
        let Stdio { source, sink } = pipes::socket(&std::os::fd::OwnedFd::from(stream.into_std()?))?;
        if again {
            client.hub_lost(session.front());
        }
        tracing::info!(front = pid, session = %session, version = bridge, "front attached");
        let present = Present { pid, version: bridge, since_ms: stamp::now_ms(), client: client.client() };
        let input = Input::Frames(source, self.end.hears());
        let under_way = client.client();
        let left = async {
            tokio::select! {
                why = self.end.left() => why,
                // It comes back at once, to servers of its own.
                () = async { foreign.await; at_rest(&under_way).await } => Why::Upgrade,
            }
        };
        self.end.attended(present, client.serve_front(input, sink, left)).await;
        tracing::info!(front = pid, "front detached");
        Ok(())
    }

    /// One more client of the house with this configuration, which is built for the first one.
    async fn attach_to(
        &self,
        config: Option<PathBuf>,
        environment: Environment,
        (outlet, front, folder): (Outlet, Fronted, Folder),
    ) -> anyhow::Result<(Attached, impl Future<Output = ()> + Send + use<>)> {
        let attach = |house: &House, (outlet, front, folder)| {
            (house.attach_front(outlet, front, folder), house.becomes_foreign(environment.clone()))
        };
        let guest = (outlet, front, folder);
        let is_its = |household: &&Household| household.house.is_for(config.as_deref(), &environment);
        if let Some(household) = self.households().iter().find(is_its) {
            return Ok(attach(&household.house, guest));
        }
        let paths = Paths { config_file: config.clone(), ..self.paths.clone() };
        let loaded = tokio::task::spawn_blocking({
            let paths = paths.clone();
            move || load(&paths)
        });
        let loaded = loaded.await?;
        anyhow::ensure!(!self.end.has_left(), "the hub is ending");
        let handles = (&self.handles.0, &self.handles.1);
        let mut households = self.households();
        // Another one may have been as quick.
        if let Some(household) = households.iter().find(is_its) {
            return Ok(attach(&household.house, guest));
        }
        // Where the first of many clients was started is no place for the others' servers.
        let site = Site { folder: environment.home().map(Into::into), environment: environment.clone() };
        let house = House::build(&paths, loaded, site, std::time::Instant::now(), handles);
        let household = Household::begin(house, &paths.data_dir, handles);
        let client = attach(&household.house, guest);
        households.push(household);
        Ok(client)
    }
}

/// Waits until a client has nothing under way, but not for ever.
async fn at_rest(client: &Weak<Client>) {
    let until = Instant::now() + AT_REST_WITHIN;
    while Instant::now() < until && client.upgrade().is_some_and(|client| client.under_way().0 > 0) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether this is a line of JSON, and not a frame: any byte may come first in a frame, but the fifth is its kind,
/// which no text has.
async fn is_question(stream: &Stream) -> std::io::Result<bool> {
    let mut head = [0; 5];
    let peek = || match rustix::net::recv(stream, &mut head[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0 {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        5 => Ok(()),
        _ => Err(ErrorKind::WouldBlock.into()),
    };
    stream.async_io(Interest::READABLE, peek).await?;
    Ok(head.starts_with(b"{") && !head.ends_with(&[Kind::Hello.byte()]))
}
