use rustix::pipe::PipeFlags;

use super::*;
use crate::frames::{Welcome, head};

/// So much a pipe has at least, in bytes.
const SMALLEST: usize = 4096;

#[test]
fn the_pipe_of_dispatched_requests_is_emptied_whenever_a_hub_says_something() {
    let (stream, mut theirs) = UnixStream::pair().unwrap();
    let (dispatched, numbers) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    let mut numbers = File::from(numbers);
    let welcome = Welcome {
        version: 1,
        pid: 0,
        line_bytes_max: 1,
        bridge: String::new(),
        program: None,
        resumes: Vec::new(),
    };
    let mut hub = Hub { stream, dispatched: File::from(dispatched), welcome };
    let client = tempfile::tempfile().unwrap();
    let serving = thread::spawn(move || converse(&Front::default(), &mut hub, &mut to_client(client)));
    for _ in 0..3 {
        numbers.write_all(&[1; SMALLEST]).unwrap();
        theirs.write_all(&head(Kind::Pong, 0, 0)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while rustix::io::ioctl_fionread(&numbers).unwrap() > 0 {
            assert!(Instant::now() < deadline, "nobody reads which requests were dispatched");
            thread::yield_now();
        }
    }
    drop(theirs);
    assert!(serving.join().unwrap().is_ok());
}
