//! How fresh a list is when it is shown: waited for, asked for again, or as it is known.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::catalog::Catalog;
use crate::downstream::Link;
use crate::list::List;
use crate::router::Router;
use crate::router::offers::View;

/// A list of resources waits so long for each server that is asked for them again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Tools and prompts that arrived within this time are not asked for again, so that a list which is never
/// the same twice is not told and listed in a circle.
const YOUNG: Duration = Duration::from_secs(2);

impl Router {
    /// Everything on offer, with this list as fresh as it can be had.
    ///
    /// Tools and prompts are shown as they are known; the first list ever waits for servers that are not
    /// known yet, for a while, and what arrives later is told by `list_changed`. Resources change often
    /// and without a word: servers that are there and promised no word are asked again first.
    pub async fn catalog(&self, list: List) -> Arc<Catalog> {
        let view = self.offers.loaded().await;
        // Whoever brought nothing when it was tried last may bring something now.
        for link in view.hollow.iter().filter_map(|server| self.fleet.link(server)) {
            link.wake();
        }
        match list {
            List::Tools | List::Prompts => {
                let catalog = self.known(view).await;
                // One that is there already does not mind.
                self.fleet.all().iter().filter(|pool| pool.terms.warm).for_each(|pool| pool.base().wake());
                self.stale(list, YOUNG).iter().for_each(|link| link.relist(list));
                catalog
            }
            List::Resources | List::Templates => {
                // Whoever is late is shown as it is known; its answer is told by `list_changed`.
                join_all(
                    self.stale(list, Duration::ZERO).iter().map(|link| async move {
                        tokio::time::timeout(ASK_AGAIN, link.relisted(list)).await
                    }),
                )
                .await;
                self.offers.loaded().await.catalog
            }
        }
    }

    /// The servers that are there and whose list may have changed without a word.
    fn stale(&self, list: List, age: Duration) -> Vec<Arc<Link>> {
        let all = self.fleet.all();
        let there = all.iter().map(|pool| pool.base()).filter(|link| link.at_once().is_some());
        there.filter(|link| self.offers.is_stale(&link.name, list, age)).cloned().collect()
    }

    /// What is known; the first time ever, once servers that are not known yet had time to say it.
    async fn known(&self, view: View) -> Arc<Catalog> {
        if view.unlisted.is_empty() {
            return view.catalog;
        }
        let deadline = *self.list_deadline.get_or_init(|| Instant::now() + self.first_list_wait);
        let links: Vec<_> = view.unlisted.iter().filter_map(|server| self.fleet.link(server)).collect();
        let all_known = join_all(links.iter().map(|link| link.ready()));
        // Whoever failed or is late is missing from this list, and named by `bridge_status`.
        let _ = within(deadline, all_known).await;
        let view = self.offers.loaded().await;
        view.unlisted.iter().for_each(|server| self.offers.tried(server));
        view.catalog
    }
}

async fn within<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(deadline.into(), work).await.ok()
}
