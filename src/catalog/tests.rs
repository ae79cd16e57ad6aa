use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tools::Patterns;

fn offer(server: &str, list: List, items: &[&str]) -> Offer {
    let mut offer =
        Offer { server: ServerName::parse(server).ok(), items: Each::default(), shape: Shape::default() };
    *offer.items.get_mut(list) = items.iter().map(|&item| item.into()).collect();
    offer
}

fn tools(server: &str, items: &[&str]) -> Offer {
    offer(server, List::Tools, items)
}

fn text(page: &Page) -> &str {
    std::str::from_utf8(&page.items).unwrap()
}

fn keys(catalog: &Catalog, list: List) -> Vec<String> {
    let items: Vec<serde_json::Value> =
        serde_json::from_str(text(&catalog.page(list, None, usize::MAX))).unwrap();
    let key = match list {
        List::Tools | List::Prompts => "name",
        List::Resources => "uri",
        List::Templates => "uriTemplate",
    };
    items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

fn words(servers: &[ServerName]) -> Vec<&str> {
    servers.iter().map(ServerName::as_str).collect()
}

#[test]
fn a_definition_changes_only_in_its_name() {
    for list in [List::Tools, List::Prompts] {
        let catalog = Catalog::merge(&[offer("s", list, &[r#"{"x": 1E2, "name" : "t\u0041", "y":[ ]}"#])]);
        assert_eq!(text(&catalog.page(list, None, usize::MAX)), r#"[{"x": 1E2, "name" : "s__tA", "y":[ ]}]"#);
        let shown = catalog.shelves.get(list).find("s__tA").unwrap();
        assert_eq!((&*shown.name, &*shown.name_json), ("tA", r#""t\u0041""#));
    }
}

#[test]
fn a_resource_changes_in_nothing() {
    let resource = r#"{"x": 1E2, "uri" : "f:\/\/\u0041", "name":"b","y":[ ]}"#;
    let catalog = Catalog::merge(&[offer("s", List::Resources, &[resource])]);
    assert_eq!(text(&catalog.page(List::Resources, None, usize::MAX)), format!("[{resource}]"));
    assert_eq!(words(&catalog.owners_of("f://A")), ["s"]);
}

#[test]
fn the_lists_are_sorted_and_the_same_in_every_order_of_arrival() {
    let catalog = Catalog::merge(&[
        tools("z", &[r#"{"name":"b"}"#, r#"{"name":"a"}"#]),
        tools("a", &[r#"{"name":"c"}"#]),
        offer("z", List::Resources, &[r#"{"uri":"b:"}"#, r#"{"uri":"a:"}"#]),
        tools("", &[r#"{"name":"bridge_status"}"#]),
    ]);
    assert_eq!(keys(&catalog, List::Tools), ["a__c", "bridge_status", "z__a", "z__b"]);
    assert_eq!(keys(&catalog, List::Resources), ["a:", "b:"]);
}

#[test]
fn the_second_of_two_equal_names_gets_a_hash() {
    for list in [List::Tools, List::Prompts] {
        let catalog = Catalog::merge(&[
            offer("s", list, &[r#"{"name":"a.b"}"#, r#"{"name":"a.b"}"#]),
            offer("s", list, &[r#"{"name":"a_b"}"#]),
        ]);
        assert_eq!(catalog.len(list), 2);
        let [clash] = catalog.clashes.as_slice() else { panic!("{:?}", catalog.clashes) };
        assert_eq!((clash.list, clash.wanted.as_str(), clash.name.as_str()), (list, "s__a_b", "a_b"));
        let shown = clash.shown.as_deref().unwrap();
        assert_eq!(&*catalog.shelves.get(list).find(shown).unwrap().name, "a_b");
    }
}

#[test]
fn tools_and_prompts_do_not_take_each_others_names() {
    let named = [r#"{"name":"a"}"#];
    let catalog = Catalog::merge(&[tools("s", &named), offer("s", List::Prompts, &named)]);
    assert!(catalog.find(List::Tools, "s__a").is_some() && catalog.find(List::Prompts, "s__a").is_some());
    assert_eq!(catalog.clashes, []);
}

#[test]
fn of_two_equal_uris_the_first_is_shown_and_both_may_be_asked() {
    for (list, item) in [
        (List::Resources, r#"{"uri":"f:///a","name":"NAME"}"#),
        (List::Templates, r#"{"uriTemplate":"f:///a","name":"NAME"}"#),
    ] {
        let of = |name: &str| item.replace("NAME", name);
        let catalog = Catalog::merge(&[
            offer("z", list, &[&of("z"), &of("z again")]),
            offer("a", list, &[&of("a"), &of("a again")]),
        ]);
        assert_eq!(text(&catalog.page(list, None, usize::MAX)), format!("[{}]", of("z")));
        assert_eq!(words(&catalog.owners_of("f:///a")), ["z", "a"]);
        let clash = catalog.clashes.first().unwrap();
        assert_eq!((clash.server.as_str(), clash.name.as_str(), &clash.shown), ("a", "f:///a", &None));
        assert_eq!((catalog.count(list, ServerName::parse("a").ok().as_ref()), catalog.len(list)), (0, 1));
    }
}

#[test]
fn who_may_know_a_uri_comes_in_the_order_of_likelihood() {
    let catalog = Catalog::merge(&[
        offer("template", List::Templates, &[r#"{"uriTemplate":"ui://{x}"}"#]),
        tools("nested", &[r#"{"name":"t","_meta":{"ui":{"resourceUri":"ui://a"}}}"#]),
        tools(
            "flat",
            &[r#"{"name":"t","_meta":{"ui/resourceUri":"ui://a"}}"#, r#"{"name":"u","_meta":{"ui":7}}"#],
        ),
        offer("lists", List::Resources, &[r#"{"uri":"ui://a"}"#]),
        offer("template", List::Templates, &[r#"{"uriTemplate":"ui://{+x}"}"#]),
    ]);
    assert_eq!(words(&catalog.owners_of("ui://a")), ["lists", "nested", "flat", "template"]);
    assert_eq!(words(&catalog.owners_of("ui://b/c")), ["template"]);
    assert_eq!(catalog.owners_of("file:///"), []);
}

#[test]
fn something_that_is_no_item_hides_no_other() {
    let catalog = Catalog::merge(&[
        tools("s", &["{}", "1", r#"{"name":7}"#, r#"{"name":""}"#, r#"{"name":"ok","_meta":7}"#]),
        offer("s", List::Resources, &[r#"{"name":"no uri"}"#, r#"{"uri":"ok:"}"#]),
    ]);
    assert_eq!((catalog.len(List::Tools), catalog.len(List::Resources)), (1, 1));
}

#[test]
fn a_cursor_stays_right_while_the_catalog_changes() {
    for list in [List::Prompts, List::Resources] {
        let items: Vec<String> =
            (0..2500).map(|n| format!(r#"{{"name":"t{n:04}","uri":"s__t{n:04}"}}"#)).collect();
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let before = Catalog::merge(&[offer("s", list, &items)]);
        let first = before.page(list, None, usize::MAX);
        assert_eq!(first.next.as_deref(), Some("s__t0999"));
        let new = offer("a", list, &[r#"{"name":"new","uri":"a__new"}"#]);
        let after = Catalog::merge(&[offer("s", list, &items), new]);
        assert!(!after.shows_the_same(list, &before) && after.shows_the_same(List::Tools, &before));
        let second = after.page(list, first.next.as_deref(), usize::MAX);
        assert!(text(&second).starts_with(r#"[{"name":"s__t1000""#) || list == List::Resources);
        assert!(text(&second).contains("s__t1000") && !text(&second).contains("s__t0999"));
        let third = after.page(list, second.next.as_deref(), usize::MAX);
        assert_eq!((third.next, text(&after.page(list, Some("zzz"), usize::MAX))), (None, "[]"));
    }
}

/// A server's tools, shown by these rules; what is held back comes last.
fn shaped(server: &str, items: &[&str], rules: Rules, held: &[&str]) -> Offer {
    let held = Held::These(held.iter().map(|tool| Arc::from(*tool)).collect());
    Offer { shape: Shape { rules: Arc::new(rules), held }, ..tools(server, items) }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_tool_that_is_off_is_not_there_and_known_to_be_off() {
    let rules = Rules {
        deny: Patterns::new(vec![Patterns::parse("d*").unwrap()]).unwrap(),
        rename: map(&[("h", "held")]),
        ..Rules::default()
    };
    let names =
        [r#"{"name":"a"}"#, r#"{"name":"d.1"}"#, r#"{"name":"h","_meta":{"ui":{"resourceUri":"ui://h"}}}"#];
    let catalog = Catalog::merge(&[shaped("s", &names, rules, &["h", "d.1"])]);
    assert_eq!(keys(&catalog, List::Tools), ["s__a"]);
    let off: Vec<_> = catalog.all_off().map(|(shown, off)| (shown, off.tool.as_str(), off.why)).collect();
    assert_eq!(off, [("s__d_1", "d.1", Why::SwitchedOff), ("s__held", "h", Why::Quarantined)]);
    assert_eq!(catalog.owners_of("ui://h"), []);
}

#[test]
fn a_given_name_goes_before_an_own_one_and_two_may_change_places() {
    let names = [r#"{"name":"a"}"#, r#"{"name":"b"}"#];
    let rename = |pairs| Rules { rename: map(pairs), ..Rules::default() };
    let catalog = Catalog::merge(&[shaped("s", &names, rename(&[("a", "b")]), &[])]);
    assert_eq!(&*catalog.find(List::Tools, "s__b").unwrap().name, "a");
    let [clash] = catalog.clashes.as_slice() else { panic!("{:?}", catalog.clashes) };
    assert_eq!((clash.name.as_str(), clash.wanted.as_str()), ("b", "s__b"));
    assert_eq!(&*catalog.find(List::Tools, clash.shown.as_ref().unwrap()).unwrap().name, "b");
    let catalog = Catalog::merge(&[shaped("s", &names, rename(&[("a", "b"), ("b", "a")]), &[])]);
    assert_eq!(["s__a", "s__b"].map(|shown| &*catalog.find(List::Tools, shown).unwrap().name), ["b", "a"]);
    assert_eq!(catalog.clashes, []);
}

#[test]
fn whatever_is_held_back_no_tool_takes_the_name_of_another() {
    let names = [r#"{"name":"a"}"#, r#"{"name":"b"}"#];
    let hashed = names::shown_with_hash(&ServerName::parse("s").unwrap(), "b");
    for held in [&[][..], &["a"], &["b"], &["a", "b"]] {
        let rules = Rules { rename: map(&[("a", "b")]), ..Rules::default() };
        let catalog = Catalog::merge(&[shaped("s", &names, rules, held)]);
        for (tool, shown) in [("a", "s__b"), ("b", &hashed)] {
            let listed = catalog.find(List::Tools, shown).map(|it| &*it.name);
            let off = catalog.off(shown).map(|off| off.tool.as_str());
            let expected = if held.contains(&tool) { (None, Some(tool)) } else { (Some(tool), None) };
            assert_eq!((listed, off), expected, "{held:?}");
        }
        assert_eq!(catalog.all_off().count(), held.len());
    }
}

#[test]
fn a_description_is_cut_out_of_its_bytes_and_put_in_where_there_is_none() {
    for (before, after) in [
        (
            r#"{"x": 1E2, "description" : "A \u0041", "name":"t","y":[ ]}"#,
            r#"{"x": 1E2, "description" : "N\"", "name":"s__t","y":[ ]}"#,
        ),
        (r#"{"name" : "t" ,"description":null}"#, r#"{"name" : "s__t" ,"description":"N\""}"#),
        (
            r#"{"y":{"description":"no"}, "name" : "t" }"#,
            r#"{"y":{"description":"no"}, "name" : "s__t","description":"N\"" }"#,
        ),
    ] {
        let rules = Rules { describe: map(&[("t", "N\"")]), ..Rules::default() };
        let catalog = Catalog::merge(&[shaped("s", &[before], rules, &[])]);
        assert_eq!(text(&catalog.page(List::Tools, None, usize::MAX)), format!("[{after}]"));
    }
}

proptest! {
    /// Around the name and the description stands whatever a server writes.
    #[test]
    fn other_names_and_words_leave_every_other_byte_alone(
        around in proptest::collection::vec("[ \\t]{0,3}", 9),
        before in r#"("x":1E2,|"inputSchema":\{ "name":"n" \},)?"#,
        after in r#"(,"_meta":\{"description":"d"\}|,"title":"\\\\u00e9\\\\/")?"#,
        (name, words, new_words) in ("[a-z\u{e9}]{1,9}", ".{0,9}", ".{1,9}"),
        is_first in any::<bool>(),
    ) {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let written = |name: &str, words: &str| {
            let [a, b, c, d, e, f, g, h, i] = std::array::from_fn(|at| around[at].clone());
            let name = format!(r#"{a}"name"{b}:{c}{}{d}"#, quoted(name));
            let words = format!(r#"{e}"description"{f}:{g}{}{h}"#, quoted(words));
            let [one, other] = if is_first { [name, words] } else { [words, name] };
            format!("{{{i}{before}{one},{other}{after}}}")
        };
        let rules = Rules { rename: map(&[(&name, "new")]), describe: map(&[(&name, &new_words)]), ..Rules::default() };
        let catalog = Catalog::merge(&[shaped("s", &[&written(&name, &words)], rules, &[])]);
        let page = catalog.page(List::Tools, None, usize::MAX);
        prop_assert_eq!(text(&page), format!("[{}]", written("s__new", &new_words)));
        prop_assert_eq!(&*catalog.find(List::Tools, "s__new").unwrap().name, name);
    }
}
