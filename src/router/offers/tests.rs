use std::fs::File;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::*;

mod pins;

use crate::config::server::Server;
use crate::config::sharing::{Said, Scope};
use crate::downstream::listing::Items;
use crate::environment::Environment;
use crate::era::Era;
use crate::store::{Journal, Options};

/// A server `s` and its record.
struct Room {
    dir: tempfile::TempDir,
    journal: Journal,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Options::default());
        let room = Self { dir, journal };
        room.changed(1);
        room
    }

    /// The server's program is changed.
    fn changed(&self, at_s: u64) {
        let program = File::create(self.dir.path().join("program")).unwrap();
        program.set_modified(UNIX_EPOCH + Duration::from_secs(at_s)).unwrap();
    }

    /// A bridge starts.
    fn offers(&self) -> Offers {
        let order = ["s", "t"].map(|name| known(name, &self.dir.path().join("program")));
        let offers = Offers::new(order.into(), Vec::new(), self.journal.clone());
        offers.load();
        offers
    }
}

fn known(name: &str, program: &Path) -> Known {
    let server = Server {
        name: ServerName::parse(name).unwrap(),
        command: program.to_str().unwrap().to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: None,
        enabled: true,
        warm: false,
        start_timeout: Duration::from_secs(1),
        call_timeout: Duration::from_secs(1),
        trust_annotations: false,
        scope: Scope::Shared,
        capacity: Said::default(),
        tools: Arc::default(),
        on_tool_change: None,
    };
    Known {
        server: server.name.clone(),
        key: name.to_owned(),
        program: Program::of(&server, &Environment::own()),
        rules: Arc::default(),
        on_tool_change: OnChange::default(),
    }
}

fn s() -> ServerName {
    ServerName::parse("s").unwrap()
}

fn greeting(capabilities: &str) -> Greeting {
    Greeting {
        era: Era::Modern,
        legacy_only: false,
        protocol_version: "2026-07-28".into(),
        capabilities: capabilities.into(),
        instructions: Some("be kind".into()),
        server_info: None,
    }
}

fn listing(capabilities: &str, lists: Each<Option<&str>>) -> Listing {
    let items = |list: List| lists.get(list).map(|text| Items::parse(text).unwrap());
    Listing { greeting: Some(greeting(capabilities)), lists: Each::of(items) }
}

const EVERYTHING: &str = r#"{"tools":{},"prompts":{},"resources":{}}"#;

fn everything() -> Each<Option<&'static str>> {
    Each {
        tools: Some(r#"[{"name":"t"}]"#),
        prompts: Some(r#"[{"name":"p"}]"#),
        resources: Some(r#"[{"uri":"r:"}]"#),
        templates: Some(r#"[{"uriTemplate":"t:{x}"}]"#),
    }
}

#[track_caller]
fn check(offers: &Offers, expected: [usize; 4]) {
    let catalog = offers.view().catalog;
    assert_eq!(List::ALL.map(|list| catalog.len(list)), expected);
}

#[tokio::test]
async fn what_was_heard_is_there_after_a_start() {
    let room = Room::new();
    let offers = room.offers();
    assert_eq!(offers.view().unlisted.len(), 2);
    offers.heard(&s(), "s", listing(EVERYTHING, everything()));
    room.journal.flush().await;
    for offers in [offers, room.offers()] {
        check(&offers, [1, 1, 1, 1]);
        let view = offers.view();
        assert_eq!(view.offering("prompts"), [s()]);
        assert_eq!(view.offering("logging"), []);
        assert_eq!(&*view.greetings, [(s(), greeting(EVERYTHING))]);
        assert_eq!((view.unlisted.len(), view.hollow.len()), (1, 0));
    }
}

#[tokio::test]
async fn only_tools_stay_when_an_empty_list_comes_and_what_does_not_come_changes_nothing() {
    let room = Room::new();
    let offers = room.offers();
    offers.heard(&s(), "s", listing(EVERYTHING, everything()));
    offers.heard(
        &s(),
        "s",
        listing(EVERYTHING, Each { tools: Some("[]"), prompts: Some("[]"), ..Each::default() }),
    );
    room.journal.flush().await;
    for offers in [offers, room.offers()] {
        check(&offers, [1, 0, 1, 1]);
    }
}

#[tokio::test]
async fn a_list_that_is_heard_before_the_record_is_read_goes_before_it() {
    let room = Room::new();
    room.offers().heard(&s(), "s", listing(EVERYTHING, everything()));
    room.journal.flush().await;
    let order = ["s"].map(|name| known(name, &room.dir.path().join("program")));
    let offers = Offers::new(order.into(), Vec::new(), room.journal.clone());
    let two = r#"[{"name":"p"},{"name":"q"}]"#;
    offers.heard(
        &s(),
        "s",
        listing(EVERYTHING, Each { tools: Some("[]"), prompts: Some(two), ..Each::default() }),
    );
    offers.load();
    check(&offers, [1, 2, 1, 1]);
}

#[tokio::test]
async fn a_server_is_hollow_when_it_brought_nothing_of_what_it_has() {
    for (capabilities, lists, is_hollow) in [
        (EVERYTHING, Each { tools: Some("[]"), prompts: Some(r#"[{"name":"p"}]"#), ..Each::default() }, true),
        ("{}", Each { tools: Some("[]"), ..Each::default() }, true),
        (r#"{"prompts":{}}"#, Each { tools: Some("[]"), ..everything() }, false),
        (EVERYTHING, everything(), false),
    ] {
        let room = Room::new();
        let offers = room.offers();
        offers.heard(&s(), "s", listing(capabilities, lists));
        room.journal.flush().await;
        for offers in [offers, room.offers()] {
            assert_eq!(offers.view().hollow.contains(&s()), is_hollow, "{capabilities}");
        }
    }
}

#[tokio::test]
async fn a_row_that_knows_only_tools_is_hollow_until_the_server_is_greeted() {
    let room = Room::new();
    room.journal.catalog_saved(CatalogRow {
        key: "s".into(),
        server: "s".into(),
        tools: r#"[{"name":"t"}]"#.into(),
        ..CatalogRow::default()
    });
    room.journal.flush().await;
    let offers = room.offers();
    check(&offers, [1, 0, 0, 0]);
    let view = offers.view();
    assert!(view.hollow.contains(&s()) && !view.unlisted.contains(&s()));
    offers.heard(&s(), "s", listing(EVERYTHING, everything()));
    assert!(offers.view().hollow.is_empty());
}

#[tokio::test]
async fn a_server_whose_tools_did_not_arrive_is_waited_for_until_it_was_tried() {
    let room = Room::new();
    let offers = room.offers();
    let prompts = Each { prompts: Some("[]"), ..Each::default() };
    offers.heard(&s(), "s", listing(EVERYTHING, prompts));
    assert!(offers.view().unlisted.contains(&s()));
    offers.tried(&s());
    room.journal.flush().await;
    let view = room.offers().view();
    assert!(!view.unlisted.contains(&s()) && view.hollow.contains(&s()));
}

#[tokio::test]
async fn an_era_counts_until_the_program_is_changed() {
    let room = Room::new();
    let offers = room.offers();
    assert_eq!(offers.greeting_of(&s()).map(|greeting| greeting.era), None);
    offers.heard(&s(), "s", listing(EVERYTHING, everything()));
    room.journal.flush().await;
    let anew = room.offers();
    assert_eq!(
        (
            offers.greeting_of(&s()).map(|greeting| greeting.era),
            anew.greeting_of(&s()).map(|greeting| greeting.era)
        ),
        (Some(Era::Modern), Some(Era::Modern))
    );
    room.changed(2);
    assert_eq!(
        (
            offers.greeting_of(&s()).map(|greeting| greeting.era),
            anew.greeting_of(&s()).map(|greeting| greeting.era),
            room.offers().greeting_of(&s()).map(|greeting| greeting.era)
        ),
        (None, None, None)
    );
    check(&anew, [1, 1, 1, 1]);
    // It is greeted anew.
    offers.heard(&s(), "s", listing(EVERYTHING, everything()));
    room.journal.flush().await;
    assert_eq!(
        (
            offers.greeting_of(&s()).map(|greeting| greeting.era),
            room.offers().greeting_of(&s()).map(|greeting| greeting.era)
        ),
        (Some(Era::Modern), Some(Era::Modern))
    );
}

#[tokio::test]
async fn only_what_is_not_told_is_stale() {
    let room = Room::new();
    let offers = room.offers();
    let capabilities = r#"{"tools":{"listChanged":true},"resources":{}}"#;
    let lists = Each { tools: Some("[]"), resources: Some("[]"), templates: Some("[]"), prompts: None };
    offers.heard(&s(), "s", listing(capabilities, lists));
    let stale = List::ALL.map(|list| offers.is_stale(&s(), list, Duration::ZERO));
    assert_eq!(stale, [false, false, true, true]);
}

#[tokio::test]
async fn what_new_servers_offer_is_shown_when_they_have_taken_their_places() {
    let room = Room::new();
    let offers = room.offers();
    let order = vec![known("u", &room.dir.path().join("program"))];
    offers.rearrange(order, || assert_eq!(offers.view().unlisted.len(), 2, "as before"));
    assert_eq!(offers.view().unlisted, [ServerName::parse("u").unwrap()]);
}
