//! Tools that are others than when they were first seen.

use super::*;
use crate::catalog::Why;
use crate::router::offers::changes::ToolChange;
use crate::store::read::Reader;
use crate::store::rows::PinRow;
use crate::tools::pin;

const OLD: &str = r#"[{"name":"a","description":"A."},{"name":"b","description":"B."}]"#;
const NEW: &str = r#"[{"name":"a","description":"Evil."},{"name":"b","description":"B."},{"name":"c"}]"#;

impl Room {
    /// A bridge starts that does this with changed tools of `s`.
    fn offers_that(&self, on_tool_change: OnChange) -> Offers {
        let known = Known { on_tool_change, ..known("s", &self.dir.path().join("program")) };
        let offers = Offers::new(vec![known], Vec::new(), self.journal.clone());
        offers.load();
        offers
    }

    /// It hears that `s` has these tools.
    async fn heard(&self, offers: &Offers, tools: &str) {
        offers.heard(&s(), "s", listing(EVERYTHING, Each { tools: Some(tools), ..Each::default() }));
        self.journal.flush().await;
    }

    /// The user approves these tools of `s`.
    async fn approve(&self, tools: &str) {
        let tools = Items::parse(tools).unwrap().items;
        let row = |(tool, definition): (Arc<str>, &Arc<str>)| {
            let pin = pin::pin(definition);
            PinRow { server: "s".into(), tool, pin, at_ms: 7 }
        };
        self.journal.tools_approved(pin::by_name(&tools).into_iter().map(row).collect());
        self.journal.flush().await;
    }

    /// The version of the record's form is another one.
    fn version(&self, version: i64) {
        let file = rusqlite::Connection::open(self.dir.path().join("bridge.db")).unwrap();
        file.pragma_update(None, "user_version", version).unwrap();
    }
}

/// The tools that are shown, then those that are held back.
fn shown(offers: &Offers) -> (Vec<&'static str>, Vec<&'static str>) {
    let catalog = offers.view().catalog;
    let all = ["a", "b", "c"].into_iter();
    let is_shown = |tool: &&str| catalog.find(List::Tools, &format!("s__{tool}")).is_some();
    let is_held =
        |tool: &&str| catalog.off(&format!("s__{tool}")).is_some_and(|off| off.why == Why::Quarantined);
    (all.clone().filter(is_shown).collect(), all.filter(is_held).collect())
}

/// What is told of tools: `changed a`.
fn told(offers: &Offers) -> Vec<String> {
    let words = |ToolChange { difference, held, .. }: &ToolChange| {
        format!("{}{} {}", if *held { "held " } else { "" }, difference.kind.word(), difference.tool)
    };
    offers.changes().iter().map(words).collect()
}

#[tokio::test]
async fn changed_and_new_tools_are_told_and_shown_or_held_as_the_configuration_says() {
    let all = || (vec!["a", "b", "c"], vec![]);
    for (on_change, shown_then, told_then) in [
        (OnChange::Log, all(), vec![]),
        (OnChange::Notify, all(), vec!["changed a", "new c"]),
        (OnChange::Quarantine, (vec!["b"], vec!["a", "c"]), vec!["held changed a", "held new c"]),
    ] {
        let room = Room::new();
        let offers = room.offers_that(on_change);
        room.heard(&offers, OLD).await;
        assert_eq!((shown(&offers).0, told(&offers)), (vec!["a", "b"], vec![]));
        room.heard(&offers, NEW).await;
        // A start of the bridge forgets nothing.
        for offers in [&offers, &room.offers_that(on_change)] {
            assert_eq!(shown(offers), shown_then, "{on_change:?}");
            assert_eq!(told(offers), told_then, "{on_change:?}");
        }
        room.heard(&offers, OLD).await;
        assert_eq!((shown(&offers).0, told(&offers)), (vec!["a", "b"], vec![]), "it is as it was");
    }
}

#[tokio::test]
async fn what_is_approved_is_shown_at_once_and_the_rest_stays_held() {
    let room = Room::new();
    let offers = room.offers_that(OnChange::Quarantine);
    room.heard(&offers, OLD).await;
    room.heard(&offers, NEW).await;
    room.approve(r#"[{"description":"Evil.","name":"a"}]"#).await;
    offers.approved();
    for offers in [&offers, &room.offers_that(OnChange::Quarantine)] {
        assert_eq!(shown(offers), (vec!["a", "b"], vec!["c"]));
        assert_eq!(told(offers), ["held new c"]);
    }
}

#[tokio::test]
async fn whoever_saw_a_tool_first_says_what_it_was_also_for_another_bridge() {
    let room = Room::new();
    let [first, second] = [room.offers_that(OnChange::Quarantine), room.offers_that(OnChange::Quarantine)];
    room.heard(&first, OLD).await;
    room.heard(&second, NEW).await;
    assert_eq!(shown(&second), (vec!["b"], vec!["a", "c"]));
    room.approve(NEW).await;
    // One that nobody told hears of it with the next list that is another one.
    room.heard(&first, NEW).await;
    assert_eq!(shown(&first), (vec!["a", "b", "c"], vec![]));
}

#[tokio::test]
async fn tools_that_were_stored_before_there_were_pins_are_pinned_as_they_were() {
    let room = Room::new();
    let row = CatalogRow { key: "s".into(), server: "s".into(), tools: OLD.into(), ..CatalogRow::default() };
    room.journal.catalog_saved(row);
    room.journal.flush().await;
    let offers = room.offers_that(OnChange::Quarantine);
    assert_eq!(shown(&offers), (vec!["a", "b"], vec![]));
    room.heard(&offers, NEW).await;
    assert_eq!(shown(&offers), (vec!["b"], vec!["a", "c"]));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_hides_tools_in_quarantine_only() {
    let room = Room::new();
    room.heard(&room.offers_that(OnChange::Notify), OLD).await;
    // A file of a later program is not read.
    room.version(99);
    for (on_change, expected) in
        [(OnChange::Quarantine, (vec![], vec!["a", "b"])), (OnChange::Notify, (vec!["a", "b"], vec![]))]
    {
        let offers = room.offers_that(on_change);
        room.heard(&offers, OLD).await;
        assert_eq!((shown(&offers), told(&offers)), (expected, vec![]));
        room.version(3);
        room.heard(&offers, OLD).await;
        assert_eq!(shown(&offers), (vec!["a", "b"], vec![]), "it can be read again");
        room.version(99);
    }
}

#[tokio::test]
async fn whoever_looked_before_tools_were_compared_hears_of_it_only_if_they_differ() {
    let room = Room::new();
    let offers = room.offers_that(OnChange::Notify);
    room.heard(&offers, OLD).await;
    let mut views = offers.subscribe();
    let pins = || offers.pins(vec![s()]);
    offers.compare(pins());
    assert!(!views.has_changed().unwrap());
    room.heard(&offers, NEW).await;
    views.mark_unchanged();
    offers.compare(pins());
    assert!(views.has_changed().unwrap());
}

#[tokio::test]
async fn a_tool_that_no_parser_takes_whole_is_pinned_like_any_other() {
    let room = Room::new();
    let offers = room.offers_that(OnChange::Quarantine);
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let tools = |number: &str| {
        let (a, b) = (
            format!(r#"{{"name":"a","inputSchema":{number}}}"#),
            format!(r#"{{"name":"b","inputSchema":{}}}"#, deep(200)),
        );
        format!("[{a},{b}]")
    };
    room.heard(&offers, &tools("1e999")).await;
    for offers in [&offers, &room.offers_that(OnChange::Quarantine)] {
        assert_eq!((shown(offers), told(offers)), ((vec!["a", "b"], vec![]), vec![]));
    }
    room.heard(&offers, &tools("2e999")).await;
    assert_eq!(shown(&offers), (vec!["b"], vec!["a"]));
    room.approve(&tools("2e999")).await;
    offers.approved();
    assert_eq!(shown(&offers), (vec!["a", "b"], vec![]));
}

#[tokio::test]
async fn a_change_is_a_row_that_names_its_tools() {
    let room = Room::new();
    let offers = room.offers_that(OnChange::Log);
    room.heard(&offers, OLD).await;
    room.heard(&offers, &NEW.replace(r#",{"name":"b","description":"B."}"#, "")).await;
    let reader = Reader::open(room.dir.path()).unwrap().unwrap();
    let events = reader.events(Some("s"), 0, 9).unwrap();
    let words: Vec<_> = events.iter().map(|it| (it.event.as_str(), it.reason.as_deref().unwrap())).collect();
    assert_eq!(words, [("tools_changed", "changed: a; new: c; gone: b")]);
}

#[tokio::test]
async fn an_entry_that_is_launched_otherwise_keeps_its_pins_and_other_rules_hold_at_once() {
    let room = Room::new();
    let offers = room.offers_that(OnChange::Quarantine);
    room.heard(&offers, OLD).await;
    let program = room.dir.path().join("program");
    let other = Known { key: "other".into(), on_tool_change: OnChange::Quarantine, ..known("s", &program) };
    offers.rearrange(vec![other.clone()], || {});
    offers.heard(&s(), "other", listing(EVERYTHING, Each { tools: Some(NEW), ..Each::default() }));
    assert_eq!(shown(&offers), (vec!["b"], vec!["a", "c"]));
    offers.rearrange(vec![Known { on_tool_change: OnChange::Notify, ..other }], || {});
    assert_eq!(shown(&offers), (vec!["a", "b", "c"], vec![]));
}
