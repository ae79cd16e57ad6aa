use proptest::prelude::*;

use super::*;

fn launch() -> Launch {
    Launch { program: "/opt/bridge".into(), config: None, data_dir: None }
}

fn open(client: Client, text: &str) -> Book {
    Book::open(client, Some(text.as_bytes())).unwrap_or_else(|bad| panic!("{bad}"))
}

/// What becomes of a text when the bridge's entry is put into it.
#[track_caller]
fn put(client: Client, text: &str) -> String {
    let book = open(client, text);
    book.put(&launch()).unwrap();
    String::from_utf8(book.bytes()).unwrap()
}

#[track_caller]
fn check_refused(client: Client, text: &[u8], expected: &str) {
    let refused = Book::open(client, Some(text)).and_then(|book| book.put(&launch())).unwrap_err();
    assert_eq!(refused, expected);
}

#[test]
fn a_file_that_is_new_holds_the_entry_alone() {
    for text in ["", " \n"] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(put(Client::ClaudeDesktop, text), @r#"
            {
              "mcpServers": {
                "bridge": {
                  "command": "/opt/bridge",
                  "args": ["serve"]
                }
              }
            }
            "#);
        }
    }
    insta::assert_snapshot!(put(Client::Vscode, "{}"), @r#"
    {
      "servers": {
        "bridge": {
          "type": "stdio",
          "command": "/opt/bridge",
          "args": ["serve"]
        }
      }
    }
    "#);
    insta::assert_snapshot!(put(Client::Zed, "{\n  \"context_servers\": null\n}\n"), @r#"
    {
      "context_servers": {
        "bridge": {
          "command": "/opt/bridge",
          "args": ["serve"]
        }
      }
    }
    "#);
}

#[test]
fn what_stands_around_the_entry_stays_byte_for_byte() {
    let rest = "{\r\n\t// mine\r\n\t\"theme\": \"x\", /* y */\r\n\t\"context_servers\": {\r\n\t\t\"a\": {\"command\": \"b\"},\r\n\t},\r\n}\r\n\r\n";
    let text = format!("{BOM}{rest}");
    let after = put(Client::Zed, &text);
    let entry = "\t\t\"bridge\": {\r\n\t\t\t\"command\": \"/opt/bridge\",\r\n\t\t\t\"args\": [\"serve\"],\r\n\t\t},\r\n";
    assert_eq!(after.replacen(entry, "", 1), text);
    let book = open(Client::Zed, &after);
    book.remove(ENTRY);
    assert_eq!(String::from_utf8(book.bytes()).unwrap(), text);
}

#[test]
fn an_entry_that_starts_this_program_is_left_alone() {
    let text = put(Client::Cursor, "{}");
    assert_eq!(open(Client::Cursor, &text).put(&launch()), Ok(Put::Ready("bridge".into())));
    assert_eq!(put(Client::Cursor, &text), text);
    let own_name =
        r#"{"mcpServers": {"gate": {"command": "/opt/bridge", "args": ["serve"], "env": {"A": "b"}}}}"#;
    assert_eq!(open(Client::Cursor, own_name).put(&launch()), Ok(Put::Ready("gate".into())));
}

#[test]
fn of_an_entry_that_starts_another_bridge_only_what_differs_is_changed() {
    let old = r#"{"mcpServers": {"bridge": {"args": ["serve", "--config", "/x"], "command": "/old/bridge", "env": {"A": "b"}}}}"#;
    assert_eq!(put(Client::Cursor, old), old.replace("/old/", "/opt/"));
    let placed = Launch { config: Some("/y".into()), data_dir: Some("/d".into()), ..launch() };
    let book = open(Client::Cursor, old);
    assert_eq!(book.put(&placed), Ok(Put::Changed("bridge".into())));
    let args = book.slots()[0].args();
    assert_eq!(args, ["serve", "--config", "/y", "--data-dir", "/d"]);
    assert!(String::from_utf8(book.bytes()).unwrap().contains(r#""env": {"A": "b"}"#));
}

#[test]
fn what_the_client_could_not_read_is_refused_in_words() {
    let strict = "is not valid JSON, repair it first: line 1, column 2: ";
    check_refused(Client::ClaudeDesktop, b"{// x\n}", &format!("{strict}key must be a string"));
    check_refused(
        Client::ClaudeCode,
        b"{\"a\":1,}",
        "is not valid JSON, repair it first: line 1, column 8: key must be a string",
    );
    check_refused(
        Client::Cursor,
        b"{\"a\":1",
        "is not valid JSON, repair it first: line 1, column 1: Unterminated object",
    );
    check_refused(Client::Zed, b"{a: 1}", &format!("{strict}Expected string for object property"));
    check_refused(Client::Zed, b"{\"a\": \"\xff\"}", "is not UTF-8 text from byte 7 on: save it as UTF-8");
    check_refused(Client::Zed, b"[]", "does not hold a JSON object: repair it first");
    check_refused(
        Client::Cursor,
        b"{\"mcpServers\": []}",
        "has \"mcpServers\", which is no JSON object: repair it first",
    );
    check_refused(
        Client::Cursor,
        b"{\"mcpServers\": {}, \"mcpServers\": {}}",
        "has \"mcpServers\" twice: remove one first",
    );
    check_refused(
        Client::Cursor,
        b"{\"mcpServers\": {\"a\": 1, \"\\u0061\": 1}}",
        "has the server \"a\" twice: remove one first",
    );
    check_refused(
        Client::Cursor,
        b"{\"mcpServers\": {\"bridge\": {\"command\": \"ssh\", \"args\": [\"-D\"]}}}",
        "has an entry \"bridge\" that starts something else: rename it there, or have it moved (--move-servers)",
    );
    let deep = format!("{}{}", "[".repeat(9999), "]".repeat(9999));
    assert!(Book::open(Client::Zed, Some(deep.as_bytes())).is_err());
}

#[test]
fn an_entry_is_given_back_into_a_text_that_went_on() {
    let before =
        open(Client::Cursor, r#"{"mcpServers": {"a": {"command": "x", "env": {"N": "1"}, "n": 1.50}}}"#);
    let now = open(
        Client::Cursor,
        "{\n  \"new\": 1,\n  \"mcpServers\": {\n    \"bridge\": {},\n    \"c\": {}\n  }\n}\n",
    );
    now.give_back(&before, &["bridge".into(), "a".into()]);
    insta::assert_snapshot!(String::from_utf8(now.bytes()).unwrap(), @r#"
    {
      "new": 1,
      "mcpServers": {
        "c": {},
        "a": {
          "command": "x",
          "env": {
            "N": "1"
          },
          "n": 1.50
        }
      }
    }
    "#);
    let now = open(Client::Cursor, "{\n  \"new\": 1,\n  \"mcpServers\": {\"bridge\": {}}\n}\n");
    now.give_back(&open(Client::Cursor, "{}"), &["bridge".into()]);
    assert_eq!(now.bytes(), b"{\n  \"new\": 1\n}\n");
}

#[test]
fn an_entry_is_known_by_what_it_says() {
    let one = open(Client::Cursor, r#"{"mcpServers": {"a": {"command": "x"}}}"#);
    let same = open(Client::Cursor, "{\"mcpServers\": {\"a\": {\n\"command\":\"x\"}}}");
    let other = open(Client::Cursor, r#"{"mcpServers": {"a": {"command": "y"}}}"#);
    assert_eq!(one.print("a"), same.print("a"));
    assert_ne!(one.print("a"), other.print("a"));
    assert_eq!(one.print("b"), None);
}

/// What may stand between two tokens.
fn gap() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        3 => Just(" ".to_owned()),
        2 => Just("\n  ".to_owned()),
        1 => Just("\r\n\t".to_owned()),
        1 => Just("// , }] \"c\n".to_owned()),
        1 => Just("/* \n { */".to_owned()),
    ]
}

/// A value with gaps in it, as somebody may have written it.
fn written() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1.50e3".to_owned()),
        Just("\"\\u00fc // \\\" , }\"".to_owned()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let comma = prop_oneof![Just(","), Just("")];
        let items = proptest::collection::vec((gap(), inner.clone(), gap()), 0..4);
        let list = (items, comma.clone(), gap()).prop_map(|(items, last, end)| {
            let last = if items.is_empty() { "" } else { last };
            let items: Vec<String> =
                items.into_iter().map(|(a, value, b)| format!("{a}{value}{b}")).collect();
            format!("[{}{last}{end}]", items.join(","))
        });
        prop_oneof![list, members(inner)]
    })
}

/// An object of such values, named `k0`, `k1` and so on.
fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let comma = prop_oneof![Just(","), Just("")];
    let members = proptest::collection::vec((gap(), gap(), value, gap()), 0..4);
    (members, comma, gap()).prop_map(|(members, last, end)| {
        let last = if members.is_empty() { "" } else { last };
        let members = members.into_iter().enumerate();
        let members: Vec<String> =
            members.map(|(at, (a, b, value, c))| format!("{a}\"k{at}\"{b}:{value}{c}")).collect();
        format!("{{{}{last}{end}}}", members.join(","))
    })
}

/// A whole file: an object, whose first member may be the map of servers.
fn file() -> impl Strategy<Value = String> {
    let map =
        (gap(), members(written()), gap()).prop_map(|(a, map, b)| format!("{a}\"context_servers\":{map}{b}"));
    (gap(), proptest::option::of(map), members(written()), gap()).prop_map(|(before, map, object, after)| {
        let rest = object.strip_prefix('{').unwrap_or_default();
        let comma = if rest.contains("\"k0\"") { "," } else { "" };
        let map = map.map(|map| format!("{map}{comma}")).unwrap_or_default();
        format!("{before}{{{map}{rest}{after}")
    })
}

/// Everything but white space and commas.
fn marks(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != ',').collect()
}

/// Whether one text is the other with something put in at one place.
fn holds(long: &str, short: &str) -> bool {
    let same = |(a, b): &(char, char)| a == b;
    let head = long.chars().zip(short.chars()).take_while(same).count();
    let tail = long.chars().rev().zip(short.chars().rev()).take_while(same).count();
    head + tail >= short.chars().count()
}

proptest! {
    #[test]
    fn whatever_a_file_is_like_one_entry_comes_and_nothing_else_changes(text in file()) {
        let book = open(Client::Zed, &text);
        let servers = book.slots().len();
        prop_assert_eq!(book.put(&launch()), Ok(Put::Added("bridge".into())));
        let after = String::from_utf8(book.bytes()).unwrap();
        prop_assert!(holds(&marks(&after), &marks(&text)), "{} {}", text, after);
        let again = open(Client::Zed, &after);
        prop_assert_eq!(again.slots().len(), servers + 1);
        prop_assert_eq!(again.put(&launch()), Ok(Put::Ready("bridge".into())));
        let shown = crate::clients::masked::text(Client::Zed, &after);
        prop_assert_eq!(shown.lines().count(), after.lines().count());
        let names: Vec<String> = again.slots().into_iter().map(|slot| slot.name).collect();
        for (gone, name) in names.iter().enumerate() {
            again.remove(name);
            let left = String::from_utf8(again.bytes()).unwrap();
            prop_assert_eq!(open(Client::Zed, &left).slots().len(), servers - gone, "{} {}", after, left);
        }
    }
}
