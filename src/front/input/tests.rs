use std::io::{PipeReader, PipeWriter, Write};

use super::*;
use crate::front::lock;

const MAX: usize = 64 << 20;

fn begun(front: &Arc<Front>, input: Input) -> Reading {
    Reading::begin(Arc::clone(front), input, |_| ()).unwrap()
}

fn client() -> (PipeWriter, PipeReader, Input) {
    let (read, write) = std::io::pipe().unwrap();
    let input = Input::new(OwnedFd::from(read.try_clone().unwrap()).into(), MAX, Rest::default());
    (write, read, input)
}

fn wait_until_read(pipe: &PipeReader) {
    while rustix::io::ioctl_fionread(pipe).unwrap() > 0 {
        thread::yield_now();
    }
}

fn wait_for(front: &Front, unanswered: usize) {
    while front.unanswered() != unanswered {
        thread::yield_now();
    }
}

#[test]
fn a_reader_that_was_called_off_has_heard_all_but_half_a_line() {
    let front = Arc::new(Front::default());
    let (mut client, pipe, input) = client();
    let reading = begun(&front, input);
    client.write_all(b"{\"id\":1,\"method\":\"x\"}\n{\"id\":2,").unwrap();
    wait_until_read(&pipe);
    let input = reading.stop(&front).unwrap().unwrap();
    client.write_all(b"\"method\":\"y\"}\n").unwrap();
    let (stdin, rest) = input.into_parts();
    assert_eq!((&rest.half[..], front.unanswered()), (&b"{\"id\":2,"[..], 1));
    begun(&front, Input::new(stdin, MAX, rest));
    wait_for(&front, 2);
}

#[test]
fn one_that_waits_for_room_is_called_off_and_has_heard_what_it_read() {
    let front = Arc::new(Front::default());
    let (mut client, pipe, input) = client();
    front.hear(&[format!(r#"{{"id":1,"method":"x","params":"{}"}}"#, "x".repeat(MAX)).into()]);
    let reading = begun(&front, input);
    client.write_all(b"{\"id\":2,\"method\":\"x\"}\n").unwrap();
    wait_until_read(&pipe);
    assert!(reading.stop(&front).unwrap().is_some());
    assert_eq!(front.unanswered(), 2);
}

#[test]
fn one_that_cannot_be_called_off_reads_on() {
    let front = Arc::new(Front::default());
    let (mut client, pipe, input) = client();
    let reading = begun(&front, input);
    // Nothing is heard while somebody has the way.
    let busy = lock(&front.way);
    client.write_all(b"{\"id\":1,\"method\":\"x\"}\n").unwrap();
    wait_until_read(&pipe);
    assert!(reading.stop(&front).unwrap().is_none());
    drop(busy);
    client.write_all(b"{\"id\":2,\"method\":\"x\"}\n").unwrap();
    wait_for(&front, 2);
    assert!(reading.stop(&front).unwrap().is_some());
}

#[test]
fn one_whose_client_has_gone_is_not_called_off() {
    let front = Arc::new(Front::default());
    let (client, _, input) = client();
    let (said, ended) = sync_channel(1);
    let reading =
        Reading::begin(Arc::clone(&front), input, move |reason| said.send(reason).unwrap()).unwrap();
    drop(client);
    assert_eq!(ended.recv().unwrap(), StopReason::EndOfInput);
    assert!(reading.stop(&front).unwrap().is_none());
}
