//! Requests that a frontend sends to the worker directly: one line each, which is answered by a line with its id once it is
//! taken.

use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::inference::protocol::{Request, decode, lines};
use crate::net::{Listener, Stream};

/// The most connections. Further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// Accepts requests and hands them over until the future is dropped.
pub(super) async fn accept(listener: Listener, taken: mpsc::Sender<Request>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            (stream, _) = listener.next(), if connections.len() < MAX_CONNECTIONS => {
                connections.spawn(read(stream, taken.clone()));
            }
        }
    }
}

async fn read(stream: Stream, taken: mpsc::Sender<Request>) {
    let mut lines = lines(stream);
    while let Some(Ok(line)) = lines.next().await {
        let Some(request) = decode::<Request>(line.as_bytes()) else { return };
        let id = request.id.clone();
        if taken.send(request).await.is_err() || lines.send(id).await.is_err() {
            return;
        }
    }
}
