//! A house with everything that goes on in it, from its first moment until its servers are gone.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

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
}

impl Household {
    /// Begins what goes on beside the clients.
    pub fn begin(mut house: House, data_dir: &Path, (lines, work): (&Handle, &Handle)) -> Self {
        tracing::info!(version = version::own(), servers = house.servers(), "serving");
        let aside = work.spawn(house.aside(data_dir));
        let time = lines.spawn(house.keep_time());
        Self { house, aside, time }
    }

    /// Tells every server to end, all at once; none is started from here on. What this gives waits until they
    /// are gone and the record is closed: to be awaited when the clients have gone.
    pub async fn stop(self) -> impl Future<Output = ()> {
        let Self { house, aside, time } = self;
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
