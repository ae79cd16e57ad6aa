//! What is wanted is told, once, and as long as somebody wants it.

use std::time::{Duration, Instant};

use super::wants::{RESOURCES_MAX, URI_BYTES_MAX};
use super::*;

#[tokio::test]
async fn what_is_wanted_twice_is_told_once() {
    let client = ClientId::next();
    let interest = Interest::default();
    let uri: Arc<str> = "x://1".into();
    let first = interest.want(|wants| wants.resource(client, &uri));
    assert_eq!(interest.want(|wants| wants.resource(client, &uri)), first);
    let step = interest.step(None);
    assert_eq!((step.told.resources.len(), step.wanted.resources.len()), (0, 1));
    interest.told(step);
    interest.settled(first).await;
    assert_eq!(interest.want(|wants| wants.no_resource(client, &uri)), first);
    assert!(interest.want(|wants| wants.no_resource(client, &uri)) > first);
    assert!(interest.step(None).wanted.resources.is_empty());
}

#[test]
fn what_the_client_told_itself_is_not_told_again() {
    let client = ClientId::next();
    let interest = Interest::default();
    interest.subscribed(client, "x://1");
    let step = interest.step(None);
    assert_eq!(step.told, step.wanted);
    interest.nothing_told();
    assert_ne!(interest.step(None).told, interest.step(None).wanted);
    interest.unsubscribed(client, "x://1");
    assert!(interest.step(None).wanted.resources.is_empty());
}

#[tokio::test]
async fn an_heir_wants_what_was_wanted_and_hears_what_is_said_to_the_one_before() {
    let client = ClientId::next();
    let (before, heir) = (Interest::default(), Arc::new(Interest::default()));
    let (one, two): (Arc<str>, Arc<str>) = ("x://1".into(), "x://2".into());
    before.want(|wants| {
        wants.resource(client, &one);
        wants.level(client, 4);
    });
    before.hand_over(&heir);
    assert!(heir.is_waiting() && !before.is_waiting());
    assert_eq!(before.step(None).wanted, Wanted::default(), "the old server is told so");
    assert_eq!(heir.step(None).wanted.level, Some("error"));
    let version = before.want(|wants| wants.resource(client, &two));
    before.unsubscribed(client, "x://1");
    before.subscribed(client, "x://3");
    let wanted: Vec<Arc<str>> = heir.step(None).wanted.resources.into_iter().collect();
    assert_eq!(wanted, [two, "x://3".into()]);
    assert!(before.look(|wants| wants.has_resource(client, "x://2")));
    heir.told(heir.step(None));
    before.settled(version).await;
    // These were told the old server alone.
    before.subscribed(client, "x://4");
    before.unsubscribed(client, "x://3");
    let Step { told, wanted, .. } = heir.step(None);
    let is_told = |uri| (told.resources.contains(uri), wanted.resources.contains(uri));
    assert_eq!((is_told("x://4"), is_told("x://3")), ((false, true), (true, false)));
}

#[test]
fn a_change_costs_the_same_however_much_is_wanted() {
    let client = ClientId::next();
    let interest = Interest::default();
    let uris: Vec<Arc<str>> = (0..20_000).map(|n| format!("x://{n}").into()).collect();
    interest.want(|wants| uris.iter().for_each(|uri| wants.resource(client, uri)));
    let before = Instant::now();
    for uri in &uris {
        interest.want(|wants| wants.resource(client, uri));
        interest.want(|wants| wants.no_resource(client, uri));
    }
    // With a copy of all for each change it is minutes.
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    assert_eq!(interest.step(None).version, 1, "nothing is new");
}

#[test]
fn only_so_many_subscriptions_of_a_client_are_kept() {
    let client = ClientId::next();
    let interest = Interest::default();
    interest.subscribed(client, &"x".repeat(URI_BYTES_MAX + 1));
    let kept = || interest.step(None).wanted.resources.len();
    assert_eq!(kept(), 0);
    for n in 0..=RESOURCES_MAX {
        interest.subscribed(client, &n.to_string());
    }
    assert_eq!(kept(), RESOURCES_MAX);
    interest.unsubscribed(client, "0");
    interest.subscribed(client, "new");
    assert_eq!(kept(), RESOURCES_MAX);
    assert!(interest.step(None).told.resources.contains("new"));
}

#[test]
fn what_two_clients_want_is_told_until_both_have_gone() {
    let (interest, [one, two]) = (Interest::default(), [(); 2].map(|()| ClientId::next()));
    let uri: Arc<str> = "x://1".into();
    for client in [one, one, two] {
        interest.want(|wants| wants.resource(client, &uri));
    }
    interest.want(|wants| wants.level(one, 4));
    interest.want(|wants| wants.level(two, 1));
    assert_eq!(interest.step(None).wanted.level, Some("info"));
    assert_eq!(interest.step(Some(one)).wanted.level, Some("error"), "it is one client's alone");
    interest.left(two);
    let wanted = interest.step(None).wanted;
    assert_eq!((wanted.level, wanted.resources.len()), (Some("error"), 1));
    interest.left(one);
    assert_eq!(interest.step(None).wanted, Wanted::default());
}

#[test]
fn a_client_takes_back_only_what_is_its_own() {
    let (interest, [one, two]) = (Interest::default(), [(); 2].map(|()| ClientId::next()));
    interest.subscribed(one, "x://1");
    interest.want(|wants| wants.no_resource(two, "x://1"));
    assert!(interest.step(None).wanted.resources.contains("x://1"));
    // The server heard the other way round of one that came and one that went.
    interest.subscribed(two, "x://1");
    interest.unsubscribed(one, "x://1");
    let step = interest.step(None);
    assert!(!step.told.resources.contains("x://1") && step.wanted.resources.contains("x://1"), "{step:?}");
}
