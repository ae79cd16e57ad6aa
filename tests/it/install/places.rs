//! What the entry names: the program and its places.

use super::*;

#[test]
fn places_that_are_given_go_into_the_entry_by_flag_or_by_variable() {
    let home = Home::new().with(CURSOR, "{}");
    let [config, data] = ["c.toml", "d"].map(|name| home.path(name).to_str().unwrap().to_owned());
    let args = json!(["serve", "--config", config, "--data-dir", data]);
    let said = home.said(&["install", "--yes", "--config", "c.toml", "--data-dir", "d"]);
    assert_eq!(home.entry(CURSOR)["args"], args);
    let warning =
        "warning: this configuration is not there yet, so the bridge has no servers:\n  $ROOM/home/c.toml\n";
    assert!(said.contains(warning), "{said}");
    home.write("c.toml", "");
    let mut command = home.command(&["install", "--yes"]);
    let output = command.env("BRIDGE_CONFIG", &config).env("BRIDGE_DATA_DIR", &data).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("Cursor: nothing to do"));
    // Nothing is said of them: they stay.
    assert!(home.said(&["install", "--yes"]).contains("Cursor: nothing to do"));
    assert_eq!(home.entry(CURSOR)["args"], args);
    home.said(&["install", "--yes", "--data-dir", "d"]);
    assert_eq!(home.entry(CURSOR)["args"], json!(["serve", "--data-dir", data]));
    home.said(&["install", "--undo", "--yes", "--data-dir", "d"]);
    assert_eq!(home.text(CURSOR.file), "{}");
}

#[test]
fn the_entry_names_the_link_by_which_the_bridge_was_called_or_found() {
    let home = Home::new().with(CURSOR, "{}");
    let (link, program) = (home.room.path("bin/bridge"), Path::new(env!("CARGO_BIN_EXE_bridge")));
    let mut command = Command::new("bridge");
    command
        .args(["install", "--yes"])
        .env_clear()
        .env("HOME", home.path(""))
        .env("PATH", home.room.path("bin"));
    assert!(command.output().unwrap().status.success());
    assert_eq!(home.entry(CURSOR)["command"], json!(link));
    // Called so that the name goes up, it is named by where it lies; what it said before is changed.
    let mut command = Command::new(home.room.path("bin/../bin/bridge"));
    command.args(["install", "--yes"]).env_clear().env("HOME", home.path(""));
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(said.contains("changes the entry bridge"), "{said}");
    assert_eq!(home.entry(CURSOR)["command"], json!(program.canonicalize().unwrap()));
}

#[test]
fn a_program_that_will_not_stay_is_warned_of() {
    let home = Home::new().with(CURSOR, "{}");
    let said = home.said(&["install", "--dry-run"]);
    let warning = "warning: this program lies in a build folder:\n  $ROOM/bin/bridge\n";
    assert!(said.contains(warning), "{said}");
}

#[test]
fn each_client_is_looked_for_where_its_variables_say() {
    let home = Home::new();
    home.write("xdg/zed/settings.json", "{}");
    home.write("elsewhere/.claude.json", "{}");
    let mut command = home.command(&["install", "--yes"]);
    let places = [("XDG_CONFIG_HOME", "xdg"), ("CLAUDE_CONFIG_DIR", "elsewhere")];
    assert!(
        command.envs(places.map(|(name, place)| (name, home.path(place)))).output().unwrap().status.success()
    );
    for file in ["xdg/zed/settings.json", "elsewhere/.claude.json"] {
        assert!(home.text(file).contains("\"bridge\""), "{file}");
    }
}
