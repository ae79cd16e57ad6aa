use super::*;

#[test]
fn only_what_is_harmless_is_shown() {
    let given = r#"{
  // token: s3cret
  "oauth": {"access": "s3cret", "n": 1, "empty": ""},
  "list": ["s3cret"],
  "mcpServers": {
    /* s3cret
       s3cret */
    "github": {
      "type": "stdio",
      "command": "npx",
      "args": ["-y", "@scope/server-x@1.2.3", "--token", "s3cret", "--api-key=s3cret", "/home/u/files", // s3cret
        ["s3cret"], 5],
      "env": {"TOKEN": "s3cret", "N": 17, "DEEP": {"x": ["s3cret"]}}, // s3cret
      "headers": {"Authorization": "s3cret"},
      "url": "https://s3cret/",
      "cwd": "/home/u"
    }
  },
  "mcp": {"mcpServers": {"x": {"command": "s3cret"}}}
}
"#;
    let shown = text(Client::Cursor, given);
    assert_eq!(shown.lines().count(), given.lines().count());
    insta::assert_snapshot!(shown, @r#"
    {
      // ***
      "oauth": {"access": "***", "n": 1, "empty": ""},
      "list": ["***"],
      "mcpServers": {
        /* *** */
    /* *** */
        "github": {
          "type": "stdio",
          "command": "npx",
          "args": ["-y", "@scope/server-x@1.2.3", "--token", "***", "--api-key=***", "/home/u/files", // ***
            ["***"], ***],
          "env": {"TOKEN": "***", "N": ***, "DEEP": {"x": ["***"]}}, // ***
          "headers": {"Authorization": "***"},
          "url": "***",
          "cwd": "/home/u"
        }
      },
      "mcp": {"mcpServers": {"x": {"command": "***"}}}
    }
    "#);
    assert_eq!(text(Client::Cursor, "{s3cret"), "***");
}

#[test]
fn an_argument_is_shown_unless_it_looks_like_a_secret() {
    for shown in [
        "-y",
        "@modelcontextprotocol/server-filesystem@2026.1.14",
        "/home/u/.cargo/bin/bridge",
        "--port=8080",
        "mcp-server-time",
        "--local-timezone",
        "--disable-all-of-http2-and-more",
        "mcp-server-sequential-thinking",
        "Europe/Berlin",
        "https://example.com/sse",
        "${env:TOKEN}",
    ] {
        assert_eq!(argument(shown), shown);
    }
    for (given, shown) in [
        ("ghp_0123456789abcdefghij", "***"),
        ("sk-live-12345678", "***"),
        ("f47ac10b58cc4372a5670e02b2c3d479", "***"),
        ("Authorization: Bearer abc", "***"),
        ("X-Api-Key:abc", "***"),
        ("Bearer abc", "***"),
        ("API_KEY=abc", "API_KEY=***"),
        ("--password=abc", "--password=***"),
        ("postgres://u:s3cret@h/db", "postgres://***@h/db"),
        ("https://h/sse?key=abc", "https://h/sse?***"),
        ("https://u@h:1/s/AbCdEfGhIjKlMnOpQrStUv/mcp", "https://***@h:1/s/***/mcp"),
        ("AbCdEfGhIjKlMnOpQrStUv", "***"),
    ] {
        assert_eq!(argument(given), shown);
    }
    let args = ["--token", "abc", "--token", "-y", "-e", "A=b"].map(str::to_owned);
    assert_eq!(arguments(&args), ["--token", "***", "--token", "-y", "-e", "A=***"]);
}
