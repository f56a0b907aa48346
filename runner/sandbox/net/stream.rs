//! One connection, gated or not: the same type for programs on a real host and in the sandbox.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::links::{Gate, Side};

/// A TCP connection. While its link is blocked, reads wait, and writes go on until the kernel's buffers are full.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    gate: Option<Gate>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, gate: Option<Gate>) -> io::Result<Self> {
        // Tokens are small and each one counts: never wait to fill a packet.
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, gate })
    }

    /// This end's address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The other end's address.
    ///
    /// # Errors
    /// What the kernel says, for example that the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>, side: Side) -> Poll<()> {
        match &mut self.gate {
            Some(gate) => gate.poll_open(cx, side),
            None => Poll::Ready(()),
        }
    }

    /// What a write came to. That the other end is gone is news, too, and does not pass a blocked link.
    fn poll_written<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let gate = self.poll_gate(cx, Side::Write);
        match write(Pin::new(&mut self.tcp), cx) {
            Poll::Ready(Err(_)) if gate.is_pending() => Poll::Pending,
            other => other,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_gate(cx, Side::Read));
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |tcp, cx| tcp.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |tcp, cx| tcp.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx, |tcp, cx| tcp.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx, |tcp, cx| tcp.poll_shutdown(cx))
    }
}
