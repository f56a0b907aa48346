//! A connection that acknowledges received data at once.
//!
//! A server with Nagle's algorithm (RFC 9293, section 3.7.4) delays a small segment until the previous one is acknowledged.
//! A client delays acknowledgements (RFC 1122, section 4.2.3.2; 40 ms on Linux) on a connection on which it has sent
//! requests. Together they delay the first tokens of a stream and deliver them in one lump, on reused connections but not
//! on new ones. The times of tokens would then depend on the load's pace. Linux can be asked to acknowledge now
//! (`TCP_QUICKACK`), once after each read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::socket::Socket;

/// A transport that can acknowledge at once.
pub(super) trait Acknowledges {
    /// Sends a pending acknowledgement. On a system without this option, it is delayed as usual.
    fn acknowledge(&self);
}

impl Acknowledges for TcpStream {
    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        // A connection that has just ended has nothing to acknowledge.
        _ = rustix::net::sockopt::set_tcp_quickack(self, true);
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledge(&self) {}
}

impl Acknowledges for Socket {
    fn acknowledge(&self) {
        self.get_ref().acknowledge();
    }
}

impl<T: Acknowledges> Acknowledges for TlsStream<T> {
    fn acknowledge(&self) {
        self.get_ref().0.acknowledge();
    }
}

impl<T: Acknowledges + ?Sized> Acknowledges for Box<T> {
    fn acknowledge(&self) {
        (**self).acknowledge();
    }
}

#[cfg(test)]
impl Acknowledges for tokio::io::DuplexStream {
    fn acknowledge(&self) {}
}

/// A connection that acknowledges at once if `is_wanted`.
#[derive(Debug)]
pub(super) struct Prompt<T> {
    stream: T,
    is_wanted: bool,
}

impl<T> Prompt<T> {
    pub(super) const fn new(stream: T, is_wanted: bool) -> Self {
        Self { stream, is_wanted }
    }
}

impl<T: AsyncRead + Acknowledges + Unpin> AsyncRead for Prompt<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if self.is_wanted && !buffer.filled().is_empty() {
            self.stream.acknowledge();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prompt<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        all: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::net::sockopt::tcp_quickack;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Alternates requests and answers, after which Linux delays acknowledgements. Returns whether the connection still
    /// acknowledges at once.
    async fn is_prompt_after_requests(is_wanted: bool) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut client = Prompt::new(client, is_wanted);
        let mut byte = [0];
        for _ in 0..20 {
            client.write_all(b"?").await.unwrap();
            server.read_exact(&mut byte).await.unwrap();
            server.write_all(b"!").await.unwrap();
            client.read_exact(&mut byte).await.unwrap();
        }
        tcp_quickack(&client.stream).unwrap()
    }

    #[tokio::test]
    async fn a_reused_connection_acknowledges_at_once_if_asked() {
        assert!(!is_prompt_after_requests(false).await, "the system acknowledges late by itself");
        assert!(is_prompt_after_requests(true).await);
    }
}
