use super::*;

/// Says what it was made for; `None` is nothing, for ever.
struct Says(Option<Result<Value, String>>);

impl Desk for Says {
    fn answer(&self, _request: Request) -> Answering<'_> {
        Box::pin(async move {
            match self.0.clone() {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

/// A door with somebody behind it.
fn attended(says: Option<Result<Value, String>>) -> (tempfile::TempDir, Door, JoinSet<()>) {
    let room = tempfile::tempdir().unwrap();
    let hall = Hall::of(room.path());
    hall.make().unwrap();
    let door = own_door(&hall);
    let mut attending = JoinSet::new();
    attending.spawn(attend(door.open().unwrap(), Arc::new(Says(says))));
    (room, door, attending)
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_question_is_answered_and_a_no_says_why() {
    let (_room, door, _attending) = attended(Some(Ok(json!({ "all": "well" }))));
    assert_eq!(ask(&door, &Request::Status, LONG).await.unwrap(), json!({ "all": "well" }));
    assert_eq!(pid_behind(&door), Some(std::process::id()));
    let (_room, door, _attending) = attended(Some(Err("not today".into())));
    assert_eq!(ask(&door, &Request::Status, LONG).await.unwrap_err().to_string(), "not today");
}

#[tokio::test]
async fn who_does_not_answer_is_late_and_who_has_ended_is_gone() {
    let (_room, door, mut attending) = attended(None);
    let late = ask(&door, &Request::Status, Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(late, NoAnswer::Late(_)), "{late:?}");
    attending.shutdown().await;
    let gone = ask(&door, &Request::Status, LONG).await.unwrap_err();
    assert!(matches!(gone, NoAnswer::Gone), "{gone:?}");
}

/// What is answered to bytes that no bridge would send; empty when it is nothing.
async fn raw(door: &Door, bytes: &[u8]) -> String {
    let mut stream = door.enter().await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    // Whoever writes on and on is cut off with what it wrote unread.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_stranger_to_the_form_is_told_it() {
    let (_room, door, _attending) = attended(Some(Ok(json!(1))));
    insta::assert_snapshot!(raw(&door, b"hello\n").await, @r#"{"error":"a question is one line like {\"v\":1,\"verb\":\"status\"}","v":1}"#);
    insta::assert_snapshot!(raw(&door, b"{\"v\":2,\"verb\":\"status\"}\n").await, @r#"{"error":"version 2 is not known here, this bridge speaks 1","v":1}"#);
    insta::assert_snapshot!(raw(&door, b"{\"v\":1,\"verb\":\"dance\"}\n").await, @r#"{"error":"the verb \"dance\" is not known here","v":1}"#);
    let endless = vec![b'x'; usize::try_from(QUESTION_BYTES_MAX).unwrap()];
    assert_eq!(raw(&door, &endless).await, "", "it is cut off");
}

#[tokio::test]
async fn those_who_say_nothing_keep_others_waiting_for_a_short_time_only() {
    let (_room, door, _attending) = attended(Some(Ok(json!(1))));
    let mut silent = Vec::new();
    for _ in 0..CONVERSATIONS_MAX {
        silent.push(door.enter().await.unwrap());
    }
    let before = std::time::Instant::now();
    assert!(ask(&door, &Request::Status, LONG).await.is_ok());
    assert!(before.elapsed() >= PATIENCE / 2, "they had all the places");
    for mut stream in silent {
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0, "they were cut off");
    }
}
