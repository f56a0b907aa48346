//! One connection, gated or not: the same type for programs on a real host and in the sandbox.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::line::Line;
use super::links::Gate;
use super::shaper::ShaperChain;

/// The size of one read from the kernel.
const CHUNK: usize = 16 << 10;

/// A TCP connection. Bytes are read when they would have arrived: late while its link delays or loses packets, and after the
/// next retransmission once a blocked link opens. Writes continue until the buffers are full.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    gate: Option<Gate>,
    /// The bytes in flight to this end; only while the path has a delay or losses.
    incoming: Option<Box<Incoming>>,
}

#[derive(Debug)]
struct Incoming {
    line: Line,
    /// The path that the line uses.
    way: ShaperChain,
    alarm: Pin<Box<Sleep>>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, gate: Option<Gate>) -> io::Result<Self> {
        // Tokens are small and must arrive one by one: never wait to fill a packet.
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, gate, incoming: None })
    }

    /// This end's address.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The other end's address.
    ///
    /// # Errors
    /// The kernel's error, such as a reset connection.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }

    /// Reads the bytes that have arrived by now over a path with a delay. If a task does not read for a while, the delay of
    /// bytes sent in the meantime begins late.
    fn poll_shaped(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let Some(gate) = &mut self.gate else { return Pin::new(&mut self.tcp).poll_read(cx, buf) };
            gate.look();
            let (way, back) = gate.ways();
            let now = Instant::now();
            let incoming = self.incoming.get_or_insert_with(|| {
                let (line, way, alarm) = (Line::new(), way.clone(), Box::pin(sleep_until(now)));
                Box::new(Incoming { line, way, alarm })
            });
            if incoming.way != *way {
                incoming.line.reroute(now, way, back);
                incoming.way = way.clone();
            }
            let mut space = [0; CHUNK];
            while incoming.line.has_room() {
                let mut chunk = ReadBuf::new(&mut space);
                match Pin::new(&mut self.tcp).poll_read(cx, &mut chunk) {
                    Poll::Ready(Ok(())) if chunk.filled().is_empty() => incoming.line.end(Ok(())),
                    Poll::Ready(Ok(())) => incoming.line.write(Bytes::copy_from_slice(chunk.filled())),
                    Poll::Ready(Err(error)) => incoming.line.end(Err(error.kind())),
                    Poll::Pending => break,
                }
            }
            incoming.line.advance(now, way, back);
            if let Some(read) = incoming.line.read(buf) {
                return Poll::Ready(read);
            }
            if way.is_plain() && incoming.line.is_empty() {
                self.incoming = None;
                return Pin::new(&mut self.tcp).poll_read(cx, buf);
            }
            if !gate.watch(cx) {
                continue;
            }
            let Some(next) = incoming.line.next() else { return Poll::Pending };
            incoming.alarm.as_mut().reset(next);
            ready!(incoming.alarm.as_mut().poll(cx));
        }
    }

    /// The outcome of a write. If the other end is gone, this end learns that from a packet, which may not have arrived yet.
    /// Until then, a write of `unaware` succeeds: its bytes wait for a retransmission that will be answered by a reset.
    fn poll_written<T>(
        &mut self,
        cx: &mut Context<'_>,
        unaware: T,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match write(Pin::new(&mut self.tcp), cx) {
            Poll::Ready(Err(_)) if !self.is_aware() => Poll::Ready(Ok(unaware)),
            other => other,
        }
    }

    /// Whether everything that the other end sent has arrived.
    fn is_aware(&mut self) -> bool {
        let is_open = self.gate.as_mut().is_none_or(|gate| {
            gate.look();
            gate.is_open()
        });
        is_open && self.incoming.as_ref().is_none_or(|incoming| incoming.line.has_arrived())
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let shaped = self.incoming.is_some()
            || self.gate.as_mut().is_some_and(|gate| {
                gate.look();
                !gate.ways().0.is_plain()
            });
        if shaped { self.poll_shaped(cx, buf) } else { Pin::new(&mut self.tcp).poll_read(cx, buf) }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_written(cx, buf.len(), |tcp, cx| tcp.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_written(cx, length, |tcp, cx| tcp.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx, (), |tcp, cx| tcp.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(cx, (), |tcp, cx| tcp.poll_shutdown(cx))
    }
}
