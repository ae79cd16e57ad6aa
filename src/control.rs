//! A running bridge is asked what it does, and told what to do, through a private door ([`crate::local`]).
//!
//! One line of JSON each way and the conversation is over: `{"v":1,"verb":"status"}` is answered by `{"v":1,"result":…}`,
//! or by `{"v":1,"error":"words for a person"}`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;

use crate::local::{Door, Hall, Listener, Stream};

/// The version of the conversation; both sides say it.
const VERSION: u64 = 1;

/// The longest question, in bytes.
const QUESTION_BYTES_MAX: u64 = 64 * 1024;

/// The longest answer, in bytes: the status of some thousand servers.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// So many conversations at once; whoever comes then waits before the door.
const CONVERSATIONS_MAX: usize = 8;

/// A question has to be there, and an answer to be taken, within this.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// After the system had no room for one more conversation.
const PAUSE: Duration = Duration::from_secs(1);

/// What a running bridge can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// What it does.
    Status,
    /// To read its configuration again.
    Reload,
    /// To replace a server by the same, anew.
    Restart {
        /// The server's name.
        server: String,
    },
    /// To end a server, and to start it no more until a person says so.
    StopServer {
        /// The server's name.
        server: String,
    },
    /// To start a server that was stopped or does not run.
    StartServer {
        /// The server's name.
        server: String,
    },
    /// To read again which tools the user approved.
    Approved,
    /// To a hub: to end, after it had so long to finish what is under way.
    Stop {
        /// How long; milliseconds on the line.
        wait: Duration,
    },
    /// To a hub: to finish what is under way within this, because another one is to take its place. When it has
    /// answered, it ends at the word [`Request::Go`] in the same conversation, and goes on without it.
    Succeed {
        /// How long; milliseconds on the line.
        wait: Duration,
        /// Only if it is older than this version.
        version: Option<String>,
    },
    /// To a hub that makes way: the other one is there.
    Go,
}

/// The answer while it is made; an error is words for a person.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>>;

/// Who answers in a running bridge.
pub trait Desk: Send + Sync {
    /// Answers one request, within some seconds.
    fn answer(&self, request: Request) -> Answering<'_>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody is there any more.
    #[error("it has ended")]
    Gone,
    /// It was there and did not answer in time.
    #[error("did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It was cut off, or the system refused.
    #[error("cannot be asked: {0}")]
    Io(#[from] io::Error),
    /// It speaks otherwise than we do.
    #[error("answered in a form that is not known here: another version of the bridge?")]
    Form,
    /// It did not do it, and says why.
    #[error("{0}")]
    Refused(String),
}

/// The door of this process, in a hall where others of its kind may stand.
#[must_use]
pub fn own_door(hall: &Hall) -> Door {
    // A process that is gone may have had the same id.
    hall.door(&format!("{}-{:08x}", std::process::id(), fastrand::u32(..)))
}

/// The process behind a door of [`own_door`].
#[must_use]
pub fn pid_behind(door: &Door) -> Option<u32> {
    door.name.split_once('-')?.0.parse().ok()
}

/// Answers everybody who comes through the door, for ever. Dropping it cuts all of them off.
pub async fn attend(listener: Listener, desk: Arc<dyn Desk>) {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            came = listener.accept(), if conversations.len() < CONVERSATIONS_MAX => match came {
                Ok(stream) => {
                    let desk = Arc::clone(&desk);
                    conversations.spawn(async move {
                        if let Err(error) = converse(stream, &*desk).await {
                            tracing::debug!(%error, "control conversation broken off");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket cannot be used for a moment");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(ended) = conversations.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "control conversation ended unexpectedly");
            },
        }
    }
}

async fn converse(stream: Stream, desk: &dyn Desk) -> io::Result<()> {
    let mut talk = Talk::with(stream);
    let answer = match talk.hear(PATIENCE).await? {
        Ok(request) => desk.answer(request).await,
        Err(words) => Err(words),
    };
    talk.answer(answer).await?;
    in_time(PATIENCE, talk.0.shutdown()).await
}

/// One conversation, from either side.
#[derive(Debug)]
pub struct Talk(BufReader<Stream>);

impl Talk {
    /// A conversation with whoever is at the other end.
    #[must_use]
    pub fn with(stream: Stream) -> Self {
        Self(BufReader::new(stream))
    }

    /// Hears a question, or in what form questions come.
    ///
    /// # Errors
    /// When none comes in time, or the other side has gone.
    pub async fn hear(&mut self, patience: Duration) -> io::Result<Result<Request, String>> {
        in_time(patience, line(&mut self.0, QUESTION_BYTES_MAX)).await.map(|question| read(&question))
    }

    /// Answers it; an error is words for a person.
    ///
    /// # Errors
    /// When the other side does not take the answer.
    pub async fn answer(&mut self, answer: Result<Value, String>) -> io::Result<()> {
        let answer = match answer {
            Ok(result) => json!({ "v": VERSION, "result": result }),
            Err(error) => json!({ "v": VERSION, "error": error }),
        };
        in_time(PATIENCE, self.0.write_all(format!("{answer}\n").as_bytes())).await
    }

    /// Says something that has no answer.
    ///
    /// # Errors
    /// When the other side does not take it.
    pub async fn say(&mut self, request: &Request) -> io::Result<()> {
        in_time(PATIENCE, self.0.write_all(format!("{}\n", write(request)).as_bytes())).await
    }

    /// Asks something; the caller holds the deadline.
    ///
    /// # Errors
    /// When there is no answer, or it is a no.
    pub async fn ask(&mut self, request: &Request) -> Result<Value, NoAnswer> {
        self.say(request).await?;
        let answer = line(&mut self.0, ANSWER_BYTES_MAX).await?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|_| NoAnswer::Form)?;
        match (answer.get_mut("result").map(Value::take), answer.get("error").and_then(Value::as_str)) {
            (Some(result), _) => Ok(result),
            (None, Some(error)) => Err(NoAnswer::Refused(error.to_owned())),
            (None, None) => Err(NoAnswer::Form),
        }
    }
}

/// Asks the bridge behind a door.
///
/// # Errors
/// When there is no answer within `patience`, or it is a no.
pub async fn ask(door: &Door, request: &Request, patience: Duration) -> Result<Value, NoAnswer> {
    let asking = async {
        let stream = door.enter().await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => NoAnswer::Gone,
            _ => NoAnswer::Io(error),
        })?;
        Talk::with(stream).ask(request).await
    };
    tokio::time::timeout(patience, asking).await.map_err(|_| NoAnswer::Late(patience))?
}

/// One line of at most so many bytes, with its end.
async fn line(stream: &mut BufReader<Stream>, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    stream.take(bytes_max).read_until(b'\n', &mut line).await?;
    match line.last() {
        Some(b'\n') => Ok(line),
        Some(_) if line.len() as u64 == bytes_max => Err(io::ErrorKind::InvalidData.into()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn in_time<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn write(request: &Request) -> Value {
    match request {
        Request::Status => json!({ "v": VERSION, "verb": "status" }),
        Request::Reload => json!({ "v": VERSION, "verb": "reload" }),
        Request::Restart { server } => json!({ "v": VERSION, "verb": "restart", "server": server }),
        Request::StopServer { server } => json!({ "v": VERSION, "verb": "stop-server", "server": server }),
        Request::StartServer { server } => json!({ "v": VERSION, "verb": "start-server", "server": server }),
        Request::Stop { wait } => json!({ "v": VERSION, "verb": "stop", "waitMs": ms(*wait) }),
        Request::Succeed { wait, version } => {
            json!({ "v": VERSION, "verb": "succeed", "waitMs": ms(*wait), "version": version })
        }
        Request::Approved => json!({ "v": VERSION, "verb": "approved" }),
        Request::Go => json!({ "v": VERSION, "verb": "go" }),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn read(line: &[u8]) -> Result<Request, String> {
    #[derive(Deserialize)]
    struct Question {
        v: u64,
        verb: String,
        server: Option<String>,
        #[serde(rename = "waitMs", default)]
        wait_ms: u64,
        version: Option<String>,
    }
    let question: Question = serde_json::from_slice(line)
        .map_err(|_| format!(r#"a question is one line like {{"v":{VERSION},"verb":"status"}}"#))?;
    let wait = Duration::from_millis(question.wait_ms);
    match (question.v, question.verb.as_str(), question.server) {
        (VERSION, "status", _) => Ok(Request::Status),
        (VERSION, "reload", _) => Ok(Request::Reload),
        (VERSION, "restart", Some(server)) => Ok(Request::Restart { server }),
        (VERSION, "stop-server", Some(server)) => Ok(Request::StopServer { server }),
        (VERSION, "start-server", Some(server)) => Ok(Request::StartServer { server }),
        (VERSION, verb @ ("restart" | "stop-server" | "start-server"), None) => {
            Err(format!("{verb} needs the name of a server"))
        }
        (VERSION, "stop", _) => Ok(Request::Stop { wait }),
        (VERSION, "succeed", _) => Ok(Request::Succeed { wait, version: question.version }),
        (VERSION, "approved", _) => Ok(Request::Approved),
        (VERSION, "go", _) => Ok(Request::Go),
        (VERSION, verb, _) => Err(format!("the verb {verb:?} is not known here")),
        (version, ..) => Err(format!("version {version} is not known here, this bridge speaks {VERSION}")),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
