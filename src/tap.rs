//! rmcp's `Transport` over channels: how the SDK stands beside the line multiplexer on one pipe.

use std::future::Future;

use rmcp::service::{RxJsonRpcMessage, ServiceRole, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

/// Messages that may wait for the SDK.
const MESSAGES_MAX: usize = 256;

/// What the SDK holds: messages for it come out of a channel, its own leave through `out` as lines
/// without an end.
pub struct Tap<R: ServiceRole> {
    incoming: mpsc::Receiver<RxJsonRpcMessage<R>>,
    out: Box<dyn Fn(Vec<u8>) -> Result<(), Gone> + Send + Sync>,
}

/// What the multiplexer holds: lines that are for the SDK go in here.
pub struct Feed<R: ServiceRole> {
    incoming: mpsc::Sender<RxJsonRpcMessage<R>>,
}

impl<R: ServiceRole> Clone for Feed<R> {
    fn clone(&self) -> Self {
        Self { incoming: self.incoming.clone() }
    }
}

/// The other side of the tap has ended.
#[derive(Debug, thiserror::Error)]
#[error("the other side of the tap is gone")]
pub struct Gone;

/// Why a line did not reach the SDK.
#[derive(Debug, thiserror::Error)]
pub enum NotFed {
    /// The SDK's model has no place for the message.
    #[error("the message does not fit the SDK's model: {0}")]
    Unfit(serde_json::Error),
    /// The SDK has ended, or does not keep up.
    #[error("the SDK takes no more messages")]
    Stuck,
}

/// Makes the two ends of a tap; `out` takes each line that the SDK sends and must not block.
pub fn tap<R: ServiceRole>(
    out: impl Fn(Vec<u8>) -> Result<(), Gone> + Send + Sync + 'static,
) -> (Feed<R>, Tap<R>) {
    let (sender, incoming) = mpsc::channel(MESSAGES_MAX);
    (Feed { incoming: sender }, Tap { incoming, out: Box::new(out) })
}

impl<R: ServiceRole> Feed<R>
where
    RxJsonRpcMessage<R>: DeserializeOwned,
{
    /// Hands one line to the SDK as soon as it takes it.
    ///
    /// # Errors
    /// When the line does not fit the SDK's model, or the SDK has ended.
    pub async fn line_in_time(&self, line: &[u8]) -> Result<(), NotFed> {
        let message = serde_json::from_slice(line).map_err(NotFed::Unfit)?;
        self.incoming.send(message).await.map_err(|_| NotFed::Stuck)
    }
}

impl<R: ServiceRole> Transport<R> for Tap<R>
where
    TxJsonRpcMessage<R>: Serialize,
{
    type Error = Gone;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<R>,
    ) -> impl Future<Output = Result<(), Gone>> + Send + 'static {
        // A message that cannot be written as JSON is a defect of the SDK: to it the pipe has ended.
        let sent = serde_json::to_vec(&message).map_err(|_| Gone).and_then(|line| (self.out)(line));
        std::future::ready(sent)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<R>> {
        self.incoming.recv().await
    }

    async fn close(&mut self) -> Result<(), Gone> {
        self.incoming.close();
        Ok(())
    }
}
