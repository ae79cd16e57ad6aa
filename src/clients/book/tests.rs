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
