//! Ends that block, each on a thread of its own, reached through bounded channels.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::CHUNK_BYTES;

/// Chunks that may wait between the thread and us.
const CHUNKS_MAX: usize = 4;

/// Reads on a thread. The thread ends with its input; at the process's end it is left behind, since
/// a blocking read cannot be called off.
#[derive(Debug)]
pub struct Reader {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
}

impl Reader {
    /// Starts the thread.
    pub fn start(mut input: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
        std::thread::Builder::new().name("bridge-read".into()).spawn(move || {
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let chunk = match input.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(0) => return,
                    Ok(count) => Ok(buffer.get(..count).unwrap_or_default().to_vec()),
                    Err(error) => Err(error),
                };
                let last = chunk.is_err();
                if sender.blocking_send(chunk).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Self { chunks })
    }

    /// Waits for the next chunk; 0 is the end of input.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        match self.chunks.recv().await {
            Some(chunk) => {
                let chunk = chunk?;
                into.extend_from_slice(&chunk);
                Ok(chunk.len())
            }
            None => Ok(0),
        }
    }
}

type Order = (Vec<Bytes>, oneshot::Sender<io::Result<()>>);

/// Writes on a thread.
#[derive(Debug)]
pub struct Writer {
    orders: mpsc::Sender<Order>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(mut output: impl Write + Send + 'static) -> io::Result<Self> {
        let (orders, mut receiver) = mpsc::channel::<Order>(1);
        std::thread::Builder::new().name("bridge-write".into()).spawn(move || {
            while let Some((pieces, done)) = receiver.blocking_recv() {
                let result =
                    pieces.iter().try_for_each(|piece| output.write_all(piece)).and_then(|()| output.flush());
                let failed = result.is_err();
                // Nobody waits any more when the bridge stops in the middle of a write.
                let _ = done.send(result);
                if failed {
                    return;
                }
            }
        })?;
        Ok(Self { orders })
    }

    /// Writes all of the pieces.
    pub async fn write_all(&mut self, pieces: &mut VecDeque<Bytes>) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.orders.send((pieces.drain(..).collect(), done)).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}
