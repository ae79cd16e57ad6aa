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
const PATIENCE: Duration = Duration::from_secs(2);

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
    let mut stream = BufReader::new(stream);
    let question = in_time(PATIENCE, line(&mut stream, QUESTION_BYTES_MAX)).await?;
    let answer = match read(&question) {
        Ok(request) => desk.answer(request).await,
        Err(words) => Err(words),
    };
    let mut answer = match answer {
        Ok(result) => json!({ "v": VERSION, "result": result }),
        Err(error) => json!({ "v": VERSION, "error": error }),
    }
    .to_string();
    answer.push('\n');
    let said = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    in_time(PATIENCE, said).await
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
        let mut stream = BufReader::new(stream);
        stream.write_all(format!("{}\n", write(request)).as_bytes()).await?;
        stream.flush().await?;
        Ok::<_, NoAnswer>(line(&mut stream, ANSWER_BYTES_MAX).await?)
    };
    let answer = tokio::time::timeout(patience, asking).await.map_err(|_| NoAnswer::Late(patience))??;
    let mut answer: Value = serde_json::from_slice(&answer).map_err(|_| NoAnswer::Form)?;
    match (answer.get_mut("result").map(Value::take), answer.get("error").and_then(Value::as_str)) {
        (Some(result), _) => Ok(result),
        (None, Some(error)) => Err(NoAnswer::Refused(error.to_owned())),
        (None, None) => Err(NoAnswer::Form),
    }
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
    }
}

fn read(line: &[u8]) -> Result<Request, String> {
    #[derive(Deserialize)]
    struct Question {
        v: u64,
        verb: String,
        #[serde(default)]
        server: Option<String>,
    }
    let question: Question = serde_json::from_slice(line)
        .map_err(|_| format!(r#"a question is one line like {{"v":{VERSION},"verb":"status"}}"#))?;
    match (question.v, question.verb.as_str(), question.server) {
        (VERSION, "status", _) => Ok(Request::Status),
        (VERSION, "reload", _) => Ok(Request::Reload),
        (VERSION, "restart", Some(server)) => Ok(Request::Restart { server }),
        (VERSION, "restart", None) => Err("restart needs the name of a server".into()),
        (VERSION, verb, _) => Err(format!("the verb {verb:?} is not known here")),
        (version, ..) => Err(format!("version {version} is not known here, this bridge speaks {VERSION}")),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
