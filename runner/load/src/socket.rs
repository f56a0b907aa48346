//! A TCP connection that knows when the kernel received the bytes that were read last, and acknowledges them at once if asked.
//!
//! The engine does not wake up for each answer: on many machines a wake-up costs more than a request. It reads answers when it
//! wakes up to send, up to a [nap](super::shard) later. So that this changes no latency, the moment of arrival comes from the
//! kernel, which stamps each segment when it receives it (`SO_TIMESTAMPNS`, socket(7)).
//!
//! A server with Nagle's algorithm (RFC 9293, section 3.7.4) delays a small segment until the previous one is acknowledged.
//! A client delays acknowledgements (RFC 1122, section 4.2.3.2; 40 ms on Linux) on a connection on which it has sent
//! requests. Together they delay the first tokens of a stream and deliver them in one lump, on reused connections but not
//! on new ones. The times of tokens would then depend on the load's pace. Linux can be asked to acknowledge now
//! (`TCP_QUICKACK`), once after each read.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::Connection;

/// A TCP connection of a lane.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// It acknowledges what it reads at once.
    is_prompt: bool,
    #[cfg(target_os = "linux")]
    stamped: Option<stamps::Stamped>,
}

impl Socket {
    /// Wraps a connection. It acknowledges at once if `is_prompt`. With `stamped`, each read notes there when its last byte
    /// arrived.
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "only Linux stamps what it receives"))]
    pub(super) fn new(stream: TcpStream, is_prompt: bool, stamped: Option<&Rc<Connection>>) -> Self {
        #[cfg(target_os = "linux")]
        let stamped = stamped.and_then(|connection| stamps::Stamped::new(&stream, connection));
        Self {
            stream,
            is_prompt,
            #[cfg(target_os = "linux")]
            stamped,
        }
    }

    /// Sends a pending acknowledgement. On a system without this option, it is delayed as usual.
    fn acknowledge(&self) {
        // A connection that has just ended has nothing to acknowledge.
        #[cfg(target_os = "linux")]
        let _ = rustix::net::sockopt::set_tcp_quickack(&self.stream, true);
    }

    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        #[cfg(target_os = "linux")]
        if let Self { stream, stamped: Some(stamped), .. } = self {
            return stamped.poll_read(stream, context, buffer);
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }

    #[cfg(test)]
    const fn get_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_receive(context, buffer))?;
        if self.is_prompt && !buffer.filled().is_empty() {
            self.acknowledge();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
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

#[cfg(target_os = "linux")]
mod stamps {
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd;
    use std::rc::Rc;
    use std::task::{Context, Poll, ready};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns};
    use nix::sys::time::TimeSpec;
    use tokio::io::{Interest, ReadBuf};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    use crate::connection::Connection;

    /// The kernel stamps with the system's clock, which can be set. A stamp is ignored if that clock moved by more than this
    /// against the monotonic one since the previous read.
    const MOST_DRIFT_NS: i128 = 100_000;

    /// The thread may be interrupted between two clocks. They are read again if that took longer than this.
    const AT_ONCE: Duration = Duration::from_micros(10);
    const ATTEMPTS: usize = 10;

    /// Reads both clocks at the same moment, as nearly as possible.
    fn both_clocks() -> (Instant, SystemTime) {
        let mut before = Instant::now();
        for _ in 0..ATTEMPTS {
            let system = SystemTime::now();
            let after = Instant::now();
            if after - before <= AT_ONCE {
                return (before, system);
            }
            before = after;
        }
        (before, SystemTime::now())
    }

    /// Notes the arrival of what is read from one socket.
    #[derive(Debug)]
    pub(super) struct Stamped {
        connection: Rc<Connection>,
        control: Vec<u8>,
        /// The system's clock less the monotonic one, at the previous read.
        offset_ns: i128,
        since: Instant,
    }

    impl Stamped {
        /// None if the kernel does not stamp.
        pub(super) fn new(stream: &TcpStream, connection: &Rc<Connection>) -> Option<Self> {
            setsockopt(stream, ReceiveTimestampns, &true).ok()?;
            let mut stamped = Self {
                connection: Rc::clone(connection),
                control: nix::cmsg_space!(TimeSpec),
                offset_ns: 0,
                since: Instant::now(),
            };
            stamped.compare();
            Some(stamped)
        }

        /// Compares the clocks. Returns both, in nanoseconds, unless the system's clock was set.
        fn compare(&mut self) -> Option<(Instant, i128)> {
            let (now, system) = both_clocks();
            let system_ns = system.duration_since(UNIX_EPOCH).ok()?.as_nanos().cast_signed();
            let offset_ns = system_ns - now.duration_since(self.since).as_nanos().cast_signed();
            let before_ns = std::mem::replace(&mut self.offset_ns, offset_ns);
            ((offset_ns - before_ns).abs() < MOST_DRIFT_NS).then_some((now, system_ns))
        }

        pub(super) fn poll_read(
            &mut self,
            stream: &TcpStream,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.connection.arrived.set(None);
            loop {
                ready!(stream.poll_read_ready(context))?;
                let Self { control, .. } = self;
                let read = stream.try_io(Interest::READABLE, || {
                    let mut into = [IoSliceMut::new(buffer.initialize_unfilled())];
                    let fd = stream.as_raw_fd();
                    let message = recvmsg::<()>(fd, &mut into, Some(control), MsgFlags::MSG_DONTWAIT)?;
                    let stamp = message.cmsgs()?.find_map(|message| match message {
                        ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
                        _ => None,
                    });
                    Ok((message.bytes, stamp))
                });
                match read {
                    Ok((count, stamp)) => {
                        if count < buffer.remaining() {
                            // The socket is empty: the next read waits for the runtime instead of asking the kernel, as
                            // tokio's own reads do.
                            _ = stream.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                        }
                        buffer.advance(count);
                        if let (Some((now, system_ns)), Some(stamp)) = (self.compare(), stamp) {
                            let age_ns = system_ns - stamp.as_nanos().cast_signed();
                            let age = Duration::from_nanos(u64::try_from(age_ns).unwrap_or(0));
                            self.connection.arrived.set(now.checked_sub(age));
                        }
                        return Poll::Ready(Ok(()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::net::sockopt::tcp_quickack;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Duration, Instant};

    use super::*;

    /// Two ends of a connection; the first one notes arrivals in the returned connection.
    async fn pair() -> (Socket, TcpStream, Rc<Connection>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let connection = Rc::new(Connection::new(None, 0));
        (Socket::new(client, false, Some(&connection)), server, connection)
    }

    /// Sends a byte and waits until it is in the client's socket. Returns moments before and after its arrival.
    async fn send(client: &Socket, server: &mut TcpStream) -> (Instant, Instant) {
        let before = Instant::now();
        server.write_all(b"!").await.unwrap();
        while client.get_ref().peek(&mut [0]).await.unwrap() < 1 {}
        (before, Instant::now())
    }

    /// The kernel begins to stamp some time after the first socket asked it to.
    async fn until_stamped(client: &mut Socket, server: &mut TcpStream, connection: &Connection) {
        while connection.arrived.get().is_none() {
            send(client, server).await;
            client.read_exact(&mut [0]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_late_read_has_the_moment_of_arrival() {
        let (mut client, mut server, connection) = pair().await;
        until_stamped(&mut client, &mut server, &connection).await;
        // How far two clocks that are compared may be apart.
        let apart = Duration::from_micros(200);
        // A stamp is ignored if the thread was interrupted between two clocks.
        loop {
            let (before, after) = send(&client, &mut server).await;
            // The read is far later than the error of the clocks.
            while after.elapsed() < 10 * apart {
                std::hint::spin_loop();
            }
            client.read_exact(&mut [0]).await.unwrap();
            let Some(arrived) = connection.arrived.get() else { continue };
            assert!(before <= arrived + apart && arrived <= after + apart, "{arrived:?}: {before:?} to {after:?}");
            return;
        }
    }

    #[tokio::test]
    async fn the_end_of_a_connection_has_no_old_moment() {
        let (mut client, mut server, connection) = pair().await;
        until_stamped(&mut client, &mut server, &connection).await;
        drop(server);
        assert_eq!(client.read(&mut [0; 6]).await.unwrap(), 0);
        assert_eq!(connection.arrived.get(), None, "the end of a connection carries no stamp");
    }

    #[tokio::test]
    async fn reads_everything_in_pieces() {
        let (mut client, mut server, _) = pair().await;
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let (sending, mut got) = (sent.clone(), Vec::new());
        let written = tokio::spawn(async move { server.write_all(&sending).await });
        let mut small = [0; 777];
        loop {
            match client.read(&mut small).await.unwrap() {
                0 => break,
                count => got.extend_from_slice(&small[..count]),
            }
        }
        written.await.unwrap().unwrap();
        assert!(got == sent);
    }

    /// Alternates requests and answers, after which Linux delays acknowledgements. Returns whether the connection still
    /// acknowledges at once.
    async fn is_prompt_after_requests(is_wanted: bool) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut client = Socket::new(client, is_wanted, None);
        let mut byte = [0];
        for _ in 0..20 {
            client.write_all(b"?").await.unwrap();
            server.read_exact(&mut byte).await.unwrap();
            server.write_all(b"!").await.unwrap();
            client.read_exact(&mut byte).await.unwrap();
        }
        tcp_quickack(client.get_ref()).unwrap()
    }

    #[tokio::test]
    async fn a_reused_connection_acknowledges_at_once_if_asked() {
        assert!(!is_prompt_after_requests(false).await, "the system acknowledges late by itself");
        assert!(is_prompt_after_requests(true).await);
    }
}
