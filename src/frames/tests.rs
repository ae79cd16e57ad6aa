use proptest::prelude::*;

use super::*;

fn stream(frames: &[(Kind, u64, Vec<u8>)]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (kind, seq, body) in frames {
        stream.extend_from_slice(&head(*kind, *seq, body.len()));
        stream.extend_from_slice(body);
    }
    stream
}

fn frame() -> impl Strategy<Value = (Kind, u64, Vec<u8>)> {
    let body = prop::collection::vec(any::<u8>(), 0..300);
    (0..Kind::ALL.len(), any::<u64>(), body).prop_map(|(kind, seq, body)| (Kind::ALL[kind], seq, body))
}

proptest! {
    #[test]
    fn a_stream_gives_its_frames_however_it_is_cut(
        frames in prop::collection::vec(frame(), 0..10),
        steps in prop::collection::vec(1..200_usize, 1..50),
        lost in 0..20_usize,
    ) {
        let mut bytes = stream(&frames);
        // The peer died in the middle of the last one.
        let cut_short = lost > 0 && !frames.is_empty();
        bytes.truncate(bytes.len() - lost.min(frames.last().map_or(0, |last| last.2.len() + HEAD_BYTES)));
        let mut cutter = Cutter::default();
        let (mut from, mut came) = (0, Vec::new());
        for step in steps.iter().cycle() {
            if from == bytes.len() {
                break;
            }
            let to = bytes.len().min(from + step);
            cutter.room().extend_from_slice(&bytes[from..to]);
            from = to;
            while let Some(Framed { kind, seq, body }) = cutter.next_frame().unwrap() {
                came.push((kind, seq, body.to_vec()));
            }
            prop_assert!(cutter.missing() > 0);
        }
        let whole = frames.len() - usize::from(cut_short);
        prop_assert_eq!(came, &frames[..whole]);
    }
}

#[test]
fn a_kind_that_is_not_known_is_left_out() {
    let mut cutter = Cutter::default();
    let mut unknown = head(Kind::Ping, 7, 3);
    unknown[4] = 200;
    cutter.room().extend_from_slice(&unknown);
    cutter.room().extend_from_slice(b"new");
    cutter.room().extend_from_slice(&head(Kind::Pong, 8, 0));
    let came = cutter.next_frame().unwrap().unwrap();
    assert_eq!((came.kind, came.seq), (Kind::Pong, 8));
}

#[test]
fn the_ends_of_a_long_line_cross_as_they_are() {
    let ends = Ends { bytes: 1 << 30, head: b"{\"id\":1,\xff", tail: b"}" };
    assert_eq!(Ends::parse(&ends.body()), Some(ends));
    assert_eq!(Ends::parse(b"12345678 no line end"), None);
}

#[test]
fn both_speak_the_newest_version_that_both_know() {
    assert_eq!(version_for((1, 1)), 1);
    assert_eq!(version_for((1, VERSION + 8)), VERSION);
    // The front finds that it does not know it.
    assert_eq!(version_for((VERSION + 1, VERSION + 8)), VERSION);
}

#[test]
fn a_reason_that_is_not_known_is_a_signal() {
    let why = |body: &str| serde_json::from_str::<Leaving>(body).unwrap().why;
    assert_eq!(why(r#"{"why":"stop","more":1}"#), Why::Stop);
    assert_eq!(why(r#"{"why":"moved"}"#), Why::Signal);
    for each in [Why::Upgrade, Why::Stop, Why::Signal] {
        assert_eq!(
            serde_json::to_string(&Leaving { why: each }).unwrap(),
            format!(r#"{{"why":"{}"}}"#, each.word())
        );
    }
}

#[test]
fn a_large_body_takes_its_buffer_along_and_leaves_what_came_after_it() {
    let mut cutter = Cutter::default();
    let large = vec![7; KEPT_BYTES_MAX + 1];
    let frames = [(Kind::Line, 1, b"a".to_vec()), (Kind::Answer, 2, large), (Kind::Line, 3, b"b".to_vec())];
    cutter.room().extend_from_slice(&stream(&frames));
    for (kind, seq, body) in frames {
        assert_eq!(cutter.next_frame(), Ok(Some(Framed { kind, seq, body: body.into() })));
    }
    assert!(cutter.room().capacity() <= KEPT_BYTES_MAX);
}

#[test]
fn what_is_no_stream_of_frames_is_refused() {
    let mut cutter = Cutter::default();
    cutter.room().extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n");
    assert_eq!(cutter.next_frame(), Err(TooLong { bytes: 0x5054_5448 }));
}
