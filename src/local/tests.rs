use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn hall() -> (tempfile::TempDir, Hall) {
    let room = tempfile::tempdir().unwrap();
    let hall = Hall::of(room.path());
    hall.make().unwrap();
    (room, hall)
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_door_is_private_leads_through_and_goes_with_its_listener() {
    let (_room, hall) = hall();
    let door = hall.door("12-ab");
    let listener = door.open().unwrap();
    assert_eq!((mode(&hall.0), mode(&door.path)), (0o700, 0o600));
    assert_eq!(hall.doors().unwrap(), std::slice::from_ref(&door));
    let (theirs, ours) = tokio::join!(door.enter(), listener.accept());
    theirs.unwrap().write_all(b"x").await.unwrap();
    let mut heard = String::new();
    ours.unwrap().read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "x");
    drop(listener);
    assert!(hall.doors().unwrap().is_empty());
    assert_eq!(door.enter().await.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_door_that_stands_is_not_taken_over() {
    let (_room, hall) = hall();
    let _listener = hall.door("1").open().unwrap();
    assert_eq!(hall.door("1").open().unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert!(hall.door("1").enter().await.is_ok());
}

#[tokio::test]
async fn a_door_that_is_taken_over_stays_when_the_first_one_goes() {
    let (_room, hall) = hall();
    let door = hall.door("1");
    let first = door.open().unwrap();
    let second = door.take_over().unwrap();
    drop(first);
    let (entered, came) = tokio::join!(door.enter(), second.accept());
    assert!(entered.is_ok() && came.is_ok());
    drop(second);
    assert!(!door.stands());
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_by_whoever_finds_it() {
    let (_room, hall) = hall();
    let door = hall.door("1");
    // Its file stays when it is dropped.
    drop(std::os::unix::net::UnixListener::bind(&door.path).unwrap());
    assert_eq!(hall.doors().unwrap().len(), 1);
    assert_eq!(door.enter().await.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(hall.doors().unwrap().is_empty());
}

#[tokio::test]
async fn a_link_to_a_door_and_a_plain_file_are_none() {
    let (room, hall) = hall();
    let elsewhere = Hall::of(&room.path().join("other"));
    elsewhere.make().unwrap();
    let _listener = elsewhere.door("1").open().unwrap();
    std::os::unix::fs::symlink(&elsewhere.door("1").path, &hall.door("link").path).unwrap();
    std::fs::write(&hall.door("file").path, "").unwrap();
    for name in ["link", "file"] {
        let refused = hall.door(name).enter().await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{name}");
        assert!(hall.door(name).path.symlink_metadata().is_ok(), "it is not ours to remove");
    }
    let link = Hall(room.path().join("linked"));
    std::os::unix::fs::symlink(&hall.0, &link.0).unwrap();
    assert!(matches!(link.doors(), Err(BadDataDir::Symlink(_))));
}

#[tokio::test]
async fn a_data_folder_with_a_long_path_has_its_hall_elsewhere() {
    let room = tempfile::tempdir().unwrap();
    let (long, other) = (room.path().join("x".repeat(90)), room.path().join("y".repeat(90)));
    let hall = Hall::of(&long);
    assert_eq!(hall, Hall::of(&long));
    assert_ne!(hall, Hall::of(&other));
    hall.make().unwrap();
    assert_eq!(mode(&hall.0), 0o700);
    let door = hall.door(&"z".repeat(99));
    assert!(door.path.as_os_str().len() <= PATH_BYTES_MAX, "{door:?}");
    let listener = door.open().unwrap();
    assert!(door.enter().await.is_ok());
    drop(listener);
    std::fs::remove_dir(&hall.0).unwrap();
    let just_fits = PATH_BYTES_MAX - "/run/".len() - NAME_BYTES_MAX - END.len();
    for (more, fits) in [(0, true), (1, false)] {
        let data_dir = PathBuf::from(format!("/{}", "d".repeat(just_fits - 1 + more)));
        assert_eq!(Hall::of(&data_dir).0 == data_dir.join("run"), fits);
    }
}

#[test]
fn a_name_is_a_plain_file_name() {
    let hall = Hall(PathBuf::from("/h"));
    assert_eq!(hall.door("../a b/ü").path, Path::new("/h/---a-b--.sock"));
}

#[test]
fn a_hall_that_does_not_exist_has_no_doors_and_is_not_made() {
    let room = tempfile::tempdir().unwrap();
    let hall = Hall::of(room.path());
    assert!(hall.doors().unwrap().is_empty() && !hall.0.exists());
}

#[test]
fn only_this_user_comes_in() {
    let own = rustix::process::geteuid().as_raw();
    assert!(unix::admit(own).is_ok());
    assert_eq!(unix::admit(own + 1).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}
