//! A house with everything that goes on in it, from its first moment until its servers are gone.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::serve::attached::FLUSH;
use crate::serve::house::House;
use crate::version;

/// Every server is gone long before this, or has been killed in vain.
const SERVERS_GONE: Duration = Duration::from_secs(2);

/// A house that is lived in.
pub struct Household {
    /// The house.
    pub house: House,
    aside: JoinHandle<()>,
    time: JoinHandle<()>,
    /// Since when it has had no client, as far as somebody looked.
    empty_since: Option<Instant>,
}

impl Household {
    /// Begins what goes on beside the clients.
    pub fn begin(mut house: House, data_dir: &Path, (lines, work): (&Handle, &Handle)) -> Self {
        tracing::info!(version = version::own(), servers = house.servers(), "serving");
        let aside = work.spawn(house.aside(data_dir));
        let time = lines.spawn(house.keep_time());
        Self { house, aside, time, empty_since: None }
    }

    /// How long it has had no client, as often as this is asked.
    pub fn empty_for(&mut self) -> Duration {
        if self.house.has_clients() {
            self.empty_since = None;
            return Duration::ZERO;
        }
        self.empty_since.get_or_insert_with(Instant::now).elapsed()
    }

    /// Tells every server to end, all at once; none is started from here on. What this gives waits until they
    /// are gone and the record is closed: to be awaited when the clients have gone.
    pub async fn stop(self) -> impl Future<Output = ()> {
        let Self { house, aside, time, .. } = self;
        time.abort();
        aside.abort();
        // No server is made from here on.
        let _ = aside.await;
        let servers_gone = house.stop_servers();
        async move {
            if tokio::time::timeout(SERVERS_GONE, servers_gone).await.is_err() {
                tracing::error!("servers did not end in time");
            }
            let _ = tokio::time::timeout(FLUSH, house.journal.close()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::environment::Environment;
    use crate::paths::{Overrides, Paths};
    use crate::serve::house::servers::Site;

    #[tokio::test(start_paused = true)]
    async fn a_house_is_empty_from_the_last_clients_end_on() {
        let room = tempfile::tempdir().unwrap();
        let overrides = Overrides { data_dir: Some(room.path().to_owned()), ..Overrides::default() };
        let paths = Paths::find(overrides).unwrap();
        paths.create().unwrap();
        let here = Handle::current();
        let site = Site { environment: Environment::default(), folder: None };
        let now = std::time::Instant::now();
        let house = House::build(&paths, config::load(None), site, now, (&here, &here));
        let mut household = Household::begin(house, &paths.data_dir, (&here, &here));
        let minute = Duration::from_secs(60);
        assert_eq!(household.empty_for(), Duration::ZERO);
        tokio::time::advance(minute).await;
        assert!(household.empty_for() >= minute);
        let client = household.house.attach();
        assert_eq!(household.empty_for(), Duration::ZERO);
        drop(client);
        assert_eq!(household.empty_for(), Duration::ZERO);
        tokio::time::advance(minute).await;
        assert!(household.empty_for() >= minute);
        household.stop().await.await;
    }
}
