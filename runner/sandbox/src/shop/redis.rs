//! A cache that speaks the protocol of Redis (RESP2), and the client that services use.
//!
//! In scope: connections. Out of scope: the protocol's text (`resp`) and the keys (`keys`).

mod keys;
mod resp;

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::keys::Keys;
use self::resp::Reply;
use super::RedisConfig;
use crate::log::Log;
use crate::net::{Net, Stream};

/// Runs a cache until `stop` is cancelled.
///
/// # Errors
/// If its port cannot be listened on.
pub(crate) async fn redis(net: Net, config: RedisConfig, log: Log, stop: CancellationToken) -> io::Result<()> {
    let listener = net.listen(config.port).await?;
    log.info(format_args!("the cache is up on port {}", config.port));
    let keys = Arc::new(Keys::new(config.max_memory));
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(_) = clients.join_next() => {}
            (mut stream, _) = listener.next() => if clients.len() < config.max_clients {
                clients.spawn(serve(stream, Arc::clone(&keys)));
            } else {
                _ = stream.write_all(b"-ERR max number of clients reached\r\n").await;
            },
        }
    }
}

/// Serves a client until it leaves, quits or breaks the protocol.
async fn serve(mut stream: Stream, keys: Arc<Keys>) {
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    loop {
        let mut ends = false;
        loop {
            match resp::command(&mut input) {
                Ok(None) => break,
                Ok(Some(words)) if words.is_empty() => {}
                Ok(Some(words)) => {
                    ends = words[0].eq_ignore_ascii_case(b"quit");
                    keys.run(&words).write(&mut output);
                }
                Err(message) => {
                    Reply::error(format!("ERR Protocol error: {message}")).write(&mut output);
                    ends = true;
                }
            }
            if ends {
                break;
            }
        }
        if stream.write_all_buf(&mut output).await.is_err() || ends {
            return;
        }
        if !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
            return;
        }
    }
}

/// One connection to a cache.
pub(super) struct Client {
    stream: Stream,
    input: BytesMut,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// The network's error.
    pub async fn connect(net: &Net, (host, port): (&str, u16)) -> io::Result<Self> {
        Ok(Self { stream: net.connect(host, port).await?, input: BytesMut::new() })
    }

    /// Runs a command. `None` for a key that is not there.
    ///
    /// # Errors
    /// An error of the connection or of the command.
    pub async fn ask(&mut self, words: &[&str]) -> io::Result<Option<Bytes>> {
        let mut command = BytesMut::new();
        Reply::words(words).write(&mut command);
        self.stream.write_all_buf(&mut command).await?;
        loop {
            match resp::reply(&mut self.input).map_err(io::Error::other)? {
                Some(Reply::Error(message)) => return Err(io::Error::other(message)),
                Some(Reply::Simple(text)) => return Ok(Some(text.into())),
                Some(Reply::Number(number)) => return Ok(Some(number.to_string().into())),
                Some(Reply::Bulk(value)) => return Ok(value),
                Some(Reply::Array(_)) => return Err(io::Error::other("an answer of several parts")),
                None => {}
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
