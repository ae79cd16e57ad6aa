//! What becomes of a request whose server ended before it answered (faults.md, "Retry").

/// How far a request had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Whether it may have reached the server.
    pub written: bool,
    /// Whether it only reads, so that twice is as good as once.
    pub reads: bool,
    /// Whether it was sent again already.
    pub again: bool,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It is sent once more.
    Again,
    /// It is told that it was not sent.
    NotSent,
    /// It is told that nobody knows.
    Unknown,
}

impl Sent {
    /// At most once more, and only what did certainly not reach the server, or only reads.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match (self.written, self.reads) {
            (false, _) | (_, true) if !self.again => Retry::Again,
            (false, _) => Retry::NotSent,
            (true, _) => Retry::Unknown,
        }
    }
}
