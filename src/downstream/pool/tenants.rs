//! When threads and users made their last call, over all servers: what is theirs ends when they are gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::settings::Settings;
use crate::downstream::client::ClientId;
use crate::downstream::pool::key::Tenant;

/// How long threads and users may be silent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// A thread; `None` is for ever.
    pub thread: Option<Duration>,
    /// A user; `None` is for ever.
    pub user: Option<Duration>,
}

impl Patience {
    /// As the settings say.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self { thread: settings.thread_idle, user: settings.user_idle }
    }
}

/// All threads and users that have a connection, or a call under way.
#[derive(Debug, Default)]
pub struct Tenants {
    patience: Patience,
    table: Mutex<HashMap<Who, Weak<Activity>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Thread { thread: Arc<str>, user: Option<Arc<str>>, client: Option<ClientId> },
    User(Arc<str>),
}

/// One thread's or one user's calls.
#[derive(Debug)]
struct Activity {
    who: Who,
    tenants: Arc<Tenants>,
    patience: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: usize,
    /// When the last call began or ended.
    last: Instant,
}

/// The thread and the user of one request or connection, those that it has.
#[derive(Debug, Clone, Default)]
pub(super) struct Activities([Option<Arc<Activity>>; 2]);

/// A call of theirs, as long as it is under way.
#[derive(Debug)]
pub(super) struct Busy(Activities);

impl Tenants {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(patience: Patience) -> Arc<Self> {
        Arc::new(Self { patience, table: Mutex::default() })
    }

    /// The activities of a thread and its user.
    pub(super) fn of(self: &Arc<Self>, tenant: &Tenant) -> Activities {
        let Tenant { client, thread, user, .. } = tenant;
        let thread = thread.as_ref().map(|thread| {
            let who = Who::Thread { thread: Arc::clone(thread), user: user.clone(), client: *client };
            self.activity(who, self.patience.thread)
        });
        let user = user.as_ref().map(|user| self.activity(Who::User(Arc::clone(user)), self.patience.user));
        Activities([thread, user])
    }

    fn activity(self: &Arc<Self>, who: Who, patience: Option<Duration>) -> Arc<Activity> {
        let mut table = self.lock();
        if let Some(known) = table.get(&who).and_then(Weak::upgrade) {
            return known;
        }
        let state = Mutex::new(State { running: 0, last: Instant::now() });
        let new = Arc::new(Activity { who: who.clone(), tenants: Arc::clone(self), patience, state });
        table.insert(who, Arc::downgrade(&new));
        new
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Weak<Activity>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let mut table = self.tenants.lock();
        // Another may have taken its place by now.
        if table.get(&self.who).is_some_and(|known| known.strong_count() == 0) {
            table.remove(&self.who);
        }
    }
}

impl Activities {
    /// A call begins. It counts for both, whatever server it goes to.
    pub fn begin(self) -> Busy {
        self.each(|state| state.running += 1);
        Busy(self)
    }

    fn each(&self, change: impl Fn(&mut State)) {
        for activity in self.0.iter().flatten() {
            let mut state = activity.lock();
            change(&mut state);
            state.last = Instant::now();
        }
    }

    /// Waits until one of the two has been silent for too long.
    pub async fn idle(&self) {
        let [thread, user] = &self.0;
        tokio::select! {
            () = idle(thread.as_deref()) => {}
            () = idle(user.as_deref()) => {}
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.each(|state| state.running = state.running.saturating_sub(1));
    }
}

async fn idle(activity: Option<&Activity>) {
    let Some((activity, patience)) = activity.and_then(|activity| Some((activity, activity.patience?)))
    else {
        return std::future::pending().await;
    };
    while let Some(rest) = activity.rest(patience) {
        tokio::time::sleep(rest).await;
    }
}

impl Activity {
    /// How long it has to be silent still; a call that is under way is no silence.
    fn rest(&self, patience: Duration) -> Option<Duration> {
        let State { running, last } = *self.lock();
        let rest = patience.saturating_sub(last.elapsed());
        match running {
            0 => Some(rest).filter(|rest| !rest.is_zero()),
            // Not before so much later.
            _ => Some(patience),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn tenants() -> Arc<Tenants> {
        Tenants::new(Patience::of(&Settings::default()))
    }

    fn tenant(thread: Option<&str>, user: Option<&str>) -> Tenant {
        let (thread, user) = (thread.map(Into::into), user.map(Into::into));
        Tenant { thread, user, ..Tenant::default() }
    }

    /// Minutes until it is idle.
    async fn silent(activities: &Activities) -> u64 {
        let start = Instant::now();
        activities.idle().await;
        start.elapsed().as_secs() / 60
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_without_a_user_has_an_hour_and_with_one_as_long_as_its_user_calls() {
        let tenants = tenants();
        assert_eq!(silent(&tenants.of(&tenant(Some("t"), None))).await, 60);
        let theirs = tenants.of(&tenant(Some("t"), Some("u")));
        assert_eq!(silent(&theirs).await, 15);
        // A call of another thread of the same user.
        drop(tenants.of(&tenant(Some("other"), Some("u"))).begin());
        assert_eq!(silent(&theirs).await, 15);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_as_the_settings_say() {
        let minutes = |minutes: u32| Some(MINUTE * minutes);
        let settings = Settings { thread_idle: minutes(3), user_idle: minutes(9), ..Settings::default() };
        let tenants = Tenants::new(Patience::of(&settings));
        assert_eq!(silent(&tenants.of(&tenant(Some("t"), Some("u")))).await, 3);
        assert_eq!(silent(&tenants.of(&tenant(None, Some("v")))).await, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_counts_for_thread_and_user_as_long_as_it_runs() {
        let tenants = tenants();
        let (thread, user) =
            (tenants.of(&tenant(Some("t"), Some("u"))), tenants.of(&tenant(None, Some("u"))));
        let busy = thread.clone().begin();
        let (start, waiting) = (Instant::now(), tokio::spawn(async move { silent(&user).await }));
        tokio::time::sleep(MINUTE * 50).await;
        assert!(!waiting.is_finished());
        drop(busy);
        assert_eq!(waiting.await.unwrap(), 65);
        assert_eq!(start.elapsed().as_secs() / 60, 65);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_remembered_without_need() {
        let tenants = tenants();
        let kept = tenants.of(&tenant(None, Some("u")));
        drop(tenants.of(&tenant(Some("t"), Some("u"))).begin());
        assert_eq!(tenants.lock().len(), 1);
        drop(kept);
        assert_eq!(tenants.lock().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_without_an_end_never_ends() {
        let theirs = Tenants::new(Patience::default()).of(&tenant(Some("t"), Some("u")));
        let year = MINUTE * 60 * 24 * 365;
        assert!(tokio::time::timeout(year, theirs.idle()).await.is_err());
    }
}
