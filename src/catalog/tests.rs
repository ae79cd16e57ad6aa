use super::*;

fn offer(server: &str, list: List, items: &[&str]) -> Offer {
    let mut offer = Offer { server: ServerName::parse(server).ok(), items: Each::default() };
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
