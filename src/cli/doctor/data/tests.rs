//! What can be wrong with a data folder, and one in which nothing is.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use super::*;
use crate::cli::doctor::finding::Level;
use crate::paths::{Overrides, Paths};
use crate::store::{checkup, migrate};

/// A data folder as a bridge leaves it.
fn made() -> (tempfile::TempDir, Paths) {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = Some(dir.path().join("data"));
    let paths = Paths::find(Overrides { data_dir, ..Overrides::default() }).unwrap();
    paths.create().unwrap();
    drop(migrate::open(&paths.data_dir, false).unwrap());
    Hall::of(&paths.data_dir).make().unwrap();
    (dir, paths)
}

/// What is not well there, in words.
fn bad(folder: &Path) -> String {
    let found = look(folder, &checkup::look(folder, Duration::from_secs(20)));
    shown(found.iter().filter(|found| found.level > Level::Well && found.check != "data.disk"))
        .replace(&folder.parent().unwrap().display().to_string(), "$ROOM")
}

fn shown<'a>(findings: impl Iterator<Item = &'a Finding>) -> String {
    let lines = findings.map(|found| {
        let advice = found.advice.iter().map(|advice| format!(" -> {advice}")).collect::<String>();
        format!("{} {} {}: {}{advice}", found.level.word(), found.check, found.subject, found.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_sound_folder_and_none_yet_are_quiet() {
    let (_dir, paths) = made();
    assert_eq!(bad(&paths.data_dir), "");
    assert_eq!(bad(&paths.data_dir.join("deep/none")), "");
}

#[test]
fn what_others_may_read_is_said() {
    let (_dir, paths) = made();
    let data = &paths.data_dir;
    mode(&data.join("bridge.db"), 0o644);
    mode(&data.join("run"), 0o750);
    mode(data, 0o755);
    insta::assert_snapshot!(bad(data), @r"
    warning data.mode $ROOM/data: others may look into it -> chmod 700 $ROOM/data (the next start does it, too)
    warning data.sockets $ROOM/data/run: others may look into the folder of the sockets -> chmod 700 $ROOM/data/run
    warning data.mode $ROOM/data/bridge.db: others may read the record -> chmod 600 $ROOM/data/bridge.db (the next start does it, too)
    ");
}

#[test]
fn a_folder_that_cannot_be_used_is_said() {
    let (dir, paths) = made();
    let link = dir.path().join("link");
    symlink(&paths.data_dir, &link).unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    mode(&shared, 0o1777);
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    mode(&closed, 0o500);
    let under = closed.join("none");
    let told = [&link, &file, &shared, &closed, &under].map(|folder| bad(folder)).join("\n");
    mode(&closed, 0o700);
    insta::assert_snapshot!(told, @r"
    error data.folder $ROOM/link: is a symbolic link -> name the folder that it points to (--data-dir)
    error data.folder $ROOM/file: is not a folder -> name another folder with --data-dir or BRIDGE_DATA_DIR
    error data.owner $ROOM/shared: is not this user's own folder -> name another folder with --data-dir or BRIDGE_DATA_DIR
    error data.writable $ROOM/closed: cannot be written, so that nothing is recorded -> chmod u+rwx $ROOM/closed; name another folder with --data-dir or BRIDGE_DATA_DIR where the whole disk is read-only
    error data.folder $ROOM/none: is not there, and cannot be made -> name another folder with --data-dir or BRIDGE_DATA_DIR
    ");
}

#[test]
fn what_stands_in_the_place_of_the_sockets_is_said() {
    let (_dir, paths) = made();
    fs::remove_dir(paths.data_dir.join("run")).unwrap();
    fs::write(paths.data_dir.join("run"), "").unwrap();
    insta::assert_snapshot!(bad(&paths.data_dir), @"error data.sockets $ROOM/data/run: no private folder for sockets can stand here, so that each client is served alone -> remove it: rm -r $ROOM/data/run");
}

#[test]
fn a_record_that_is_garbage_newer_or_a_link_is_said() {
    let (_dir, paths) = made();
    let database = paths.data_dir.join("bridge.db");
    let sound = fs::read(&database).unwrap();
    fs::write(&database, "garbage ".repeat(1000)).unwrap();
    let garbage = bad(&paths.data_dir);
    fs::write(&database, &sound).unwrap();
    rusqlite::Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let newer = bad(&paths.data_dir);
    let elsewhere = paths.data_dir.join("elsewhere.db");
    fs::write(&elsewhere, &sound).unwrap();
    mode(&elsewhere, 0o600);
    fs::remove_file(&database).unwrap();
    symlink(&elsewhere, &database).unwrap();
    insta::assert_snapshot!([garbage, newer, bad(&paths.data_dir)].join("\n"), @r"
    error data.record $ROOM/data/bridge.db: is damaged: file is not a database -> bridge stop, then move it away; the next start makes a new one
    error data.schema $ROOM/data/bridge.db: has schema 99, this program knows 3: a newer bridge has written it -> use the newer program (bridge upgrade PATH)
    error data.record $ROOM/data/bridge.db: is a symbolic link -> put the file itself in its place; bridges refuse a link
    ");
}

#[test]
fn records_that_were_moved_aside_are_counted() {
    let (_dir, paths) = made();
    for name in ["2026-11-20T10", "2026-11-21T10", "2026-11-21T10-wal"] {
        fs::write(paths.data_dir.join(format!("bridge.db.corrupt-{name}")), "").unwrap();
    }
    insta::assert_snapshot!(bad(&paths.data_dir), @"note data.aside $ROOM/data: 2 damaged records were moved aside, the last as bridge.db.corrupt-2026-11-21T10 -> look after the disk; remove what nobody needs");
}

#[test]
fn sizes_and_room_are_judged() {
    let checkup = |bytes, wal_bytes, schema| Checkup {
        path: "/data/bridge.db".into(),
        bytes,
        wal_bytes,
        schema: Some(schema),
        known: 2,
        verdict: Verdict::Unfinished,
    };
    let mut told = of_record(&checkup(5 << 30, 100 << 20, 1));
    told.extend(of_record(&checkup(12_345, 0, 2)));
    told.extend([20 * MIB, 300 * MIB, 3 << 40].map(|free| of_disk(free, Path::new("/data"))));
    told.push(of_network("NFS", Path::new("/data")));
    insta::assert_snapshot!(shown(told.iter()), @r"
    ok data.record /data/bridge.db: 5.0 GiB; what could be read of it in this time is sound
    note data.schema /data/bridge.db: has schema 1, this program has 2 -> nothing: the next bridge that is started from this program brings it up
    warning data.wal /data/bridge.db: 100.0 MiB beside it are not yet a part of it: a reader holds them up -> end what reads the record (sqlite3, a backup), or let it be written back by bridge stop
    note data.size /data/bridge.db: has grown to 5.0 GiB -> lower retention_days in [settings]
    ok data.record /data/bridge.db: 13 KiB; what could be read of it in this time is sound
    error data.disk /data: only 20.0 MiB are free on its disk -> make room: without it nothing is recorded, and servers may fail
    warning data.disk /data: only 300.0 MiB are free on its disk -> make room: without it nothing is recorded, and servers may fail
    ok data.disk /data: 3072.0 GiB are free on its disk
    warning data.network /data: stands on a file system of another machine (NFS), where locks may not hold -> name a folder of this machine with --data-dir or BRIDGE_DATA_DIR
    ");
}
