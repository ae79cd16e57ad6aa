//! Every screen of `bridge install`, as it looks at 80 columns.

use super::*;

const DESKTOP: &str = r#"{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "github": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-github", "--token", "s3cret"],
      "env": {
        "GITHUB_TOKEN": "s3cret"
      }
    },
    "web": {
      "url": "https://example.com/sse?key=s3cret"
    }
  }
}
"#;

const SETTINGS: &str = r#"// s3cret
{
  "theme": "One Dark", // s3cret
  "context_servers": {
    "github": { "command": "docker", "args": ["run", "-e", "TOKEN=s3cret"] },
  },
}
"#;

fn home() -> Home {
    let home = Home::new().with(CLIENTS[0], DESKTOP).with(ZED, SETTINGS).with(CLIENTS[4], "{");
    fs::create_dir_all(home.path(CURSOR.folder)).unwrap();
    home.write(CONFIG, "[servers.time] # s3cret\ncommand = \"uvx\"\nargs = [\"mcp-server-time\"]\n");
    set_mode(&home.path(CONFIG), 0o600);
    home
}

/// A screen, if it holds no secret and is no wider than 80 columns but for its paths.
#[track_caller]
fn screen(home: &Home, args: &[&str]) -> String {
    let (_, stdout, stderr) = home.run(args);
    let screen = format!("{stdout}{stderr}");
    assert!(!screen.contains("s3cret") && !screen.contains('\u{1b}'), "{screen}");
    let wide = screen.lines().find(|line| line.chars().count() > 80 && !line.contains("$ROOM"));
    assert_eq!(wide, None, "{screen}");
    screen
}

#[test]
fn the_plan() {
    insta::assert_snapshot!(screen(&home(), &["install", "--dry-run"]), @r#"
    Claude Desktop: $ROOM/home/.config/Claude/claude_desktop_config.json
      adds the entry bridge
    Claude Code: not installed here
    Cursor: $ROOM/home/.cursor/mcp.json
      adds the entry bridge
    VS Code: not installed here
    Windsurf: $ROOM/home/.codeium/windsurf/mcp_config.json
      stays as it is: it is not valid JSON, repair it first: line 1, column 1:
        Unterminated object
    Zed: $ROOM/home/.config/zed/settings.json
      adds the entry bridge

    --- $ROOM/home/.config/Claude/claude_desktop_config.json
    +++ $ROOM/home/.config/Claude/claude_desktop_config.json
    @@ -10,6 +10,10 @@
         },
         "web": {
           "url": "***"
    +    },
    +    "bridge": {
    +      "command": "$ROOM/bin/bridge",
    +      "args": ["serve"]
         }
       }
     }

    --- $ROOM/home/.cursor/mcp.json
    +++ $ROOM/home/.cursor/mcp.json
    @@ -0,0 +1,8 @@
    +{
    +  "mcpServers": {
    +    "bridge": {
    +      "command": "$ROOM/bin/bridge",
    +      "args": ["serve"]
    +    }
    +  }
    +}

    --- $ROOM/home/.config/zed/settings.json
    +++ $ROOM/home/.config/zed/settings.json
    @@ -3,5 +3,9 @@
       "theme": "***", // ***
       "context_servers": {
         "github": { "command": "docker", "args": ["run", "-e", "TOKEN=***"] },
    +    "bridge": {
    +      "command": "$ROOM/bin/bridge",
    +      "args": ["serve"],
    +    },
       },
     }

    warning: this program lies in a build folder:
      $ROOM/bin/bridge
      Put it where it stays first (cargo install --path .).
    error: not everything can be done, see above: Windsurf
    "#);
}

#[test]
fn the_plan_of_a_move() {
    insta::assert_snapshot!(screen(&home(), &["install", "--dry-run", "--move-servers"]), @r#"
    Claude Desktop: $ROOM/home/.config/Claude/claude_desktop_config.json
      moves github
      leaves web: it is reached over HTTP, which the bridge cannot do yet
      adds the entry bridge
    Claude Code: not installed here
    Cursor: $ROOM/home/.cursor/mcp.json
      adds the entry bridge
    VS Code: not installed here
    Windsurf: $ROOM/home/.codeium/windsurf/mcp_config.json
      stays as it is: it is not valid JSON, repair it first: line 1, column 1:
        Unterminated object
    Zed: $ROOM/home/.config/zed/settings.json
      moves github as github-2 (the bridge has another github)
      adds the entry bridge

    --- $ROOM/home/.config/bridge/config.toml
    +++ $ROOM/home/.config/bridge/config.toml
    @@ -3,0 +4,9 @@
    +
    +[servers.github]
    +command = "npx"
    +args = ["-y", "@modelcontextprotocol/server-github", "--token", "***"]
    +env = { GITHUB_TOKEN = "***" }
    +
    +[servers.github-2]
    +command = "docker"
    +args = ["run", "-e", "TOKEN=***"]

    --- $ROOM/home/.config/Claude/claude_desktop_config.json
    +++ $ROOM/home/.config/Claude/claude_desktop_config.json
    @@ -1,15 +1,12 @@
     {
       "globalShortcut": "***",
       "mcpServers": {
    -    "github": {
    -      "command": "npx",
    -      "args": ["-y", "@modelcontextprotocol/server-github", "--token", "***"],
    -      "env": {
    -        "GITHUB_TOKEN": "***"
    -      }
    -    },
         "web": {
           "url": "***"
    +    },
    +    "bridge": {
    +      "command": "$ROOM/bin/bridge",
    +      "args": ["serve"]
         }
       }
     }

    --- $ROOM/home/.cursor/mcp.json
    +++ $ROOM/home/.cursor/mcp.json
    @@ -0,0 +1,8 @@
    +{
    +  "mcpServers": {
    +    "bridge": {
    +      "command": "$ROOM/bin/bridge",
    +      "args": ["serve"]
    +    }
    +  }
    +}

    --- $ROOM/home/.config/zed/settings.json
    +++ $ROOM/home/.config/zed/settings.json
    @@ -2,6 +2,9 @@
     {
       "theme": "***", // ***
       "context_servers": {
    -    "github": { "command": "docker", "args": ["run", "-e", "TOKEN=***"] },
    +    "bridge": {
    +      "command": "$ROOM/bin/bridge",
    +      "args": ["serve"],
    +    },
       },
     }

    warning: this program lies in a build folder:
      $ROOM/bin/bridge
      Put it where it stays first (cargo install --path .).
    error: not everything can be done, see above: Windsurf
    "#);
}

#[test]
fn what_was_done_and_what_is_taken_back() {
    let home = home();
    home.write(CLIENTS[4].file, "{}");
    let done = screen(&home, &["install", "--yes", "--move-servers"]);
    let (_, done) = done.split_once("(cargo install --path .).\n").unwrap();
    insta::assert_snapshot!(done, @r#"
    wrote $ROOM/home/.config/bridge/config.toml
      as it was: $ROOM/home/.config/bridge/config.toml.before-bridge
    wrote $ROOM/home/.config/Claude/claude_desktop_config.json
      as it was: $ROOM/home/.config/Claude/claude_desktop_config.json.before-bridge
    wrote $ROOM/home/.cursor/mcp.json
    wrote $ROOM/home/.codeium/windsurf/mcp_config.json
      as it was: $ROOM/home/.codeium/windsurf/mcp_config.json.before-bridge
    wrote $ROOM/home/.config/zed/settings.json
      as it was: $ROOM/home/.config/zed/settings.json.before-bridge

    Restart Claude Desktop, Cursor, Windsurf and Zed, and ask the model what
      bridge_status says.
    bridge install --undo takes everything back.
    "#);
    insta::assert_snapshot!(screen(&home, &["install", "--yes", "--move-servers"]), @r#"
    Claude Desktop: nothing to do
      leaves web: it is reached over HTTP, which the bridge cannot do yet
    Claude Code: not installed here
    Cursor: nothing to do
    VS Code: not installed here
    Windsurf: nothing to do
    Zed: nothing to do
    "#);
    insta::assert_snapshot!(screen(&home, &["install", "--undo", "--yes"]), @r#"
    Zed: $ROOM/home/.config/zed/settings.json
      comes back as it was
    Windsurf: $ROOM/home/.codeium/windsurf/mcp_config.json
      comes back as it was
    Cursor: $ROOM/home/.cursor/mcp.json
      goes: it was not there before
    Claude Desktop: $ROOM/home/.config/Claude/claude_desktop_config.json
      comes back as it was
    The bridge's configuration: $ROOM/home/.config/bridge/config.toml
      comes back as it was

    undone: $ROOM/home/.config/zed/settings.json
    undone: $ROOM/home/.codeium/windsurf/mcp_config.json
    undone: $ROOM/home/.cursor/mcp.json
    undone: $ROOM/home/.config/Claude/claude_desktop_config.json
    undone: $ROOM/home/.config/bridge/config.toml

    Restart the clients.
    "#);
    insta::assert_snapshot!(screen(&home, &["install", "--undo", "--yes"]), @"Nothing to undo: no change is recorded in $ROOM/home/.local/share/bridge.");
}
