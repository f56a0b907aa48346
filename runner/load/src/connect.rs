//! Makes a connection: name resolution, TCP, TLS. `http1` or `http2` then serves HTTP on it. There is no pool, no redirect
//! and no retry.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::connection::Connection;
use super::failure::{Failed, words};
use super::handle::Handle;
use super::lane::Lane;
use super::socket::Socket;
use super::target::{AnswerFormat, Sharing};
use super::tunnel::{NoTunnel, OPENING};
use super::{http1, http2, names};
use shakedown_observe::Failure;

/// A connection attempt that takes longer than this is waiting for the network.
pub(super) const YOUNG: Duration = Duration::from_millis(5);

/// Starts a task that makes a connection and serves the lane's requests on it.
pub(super) fn open(lane: Rc<Lane>, connection: Rc<Connection>) {
    tokio::task::spawn_local(run(lane, connection));
}

async fn run(lane: Rc<Lane>, connection: Rc<Connection>) {
    let (made, was_young) = {
        let mut attempt = Box::pin(connect(&lane, &connection));
        match timeout(YOUNG, &mut attempt).await {
            Ok(made) => (Some(made), true),
            Err(_) => {
                lane.connecting_is_slow();
                let deadline =
                    connection.job().map_or_else(|| Instant::now() + lane.target.timeout, |job| lane.deadline(&job));
                (timeout_at(deadline, attempt).await.ok(), false)
            }
        }
    };
    let stream = match made {
        Some(Ok(stream)) => stream,
        Some(Err(NoConnection::OutOfFiles)) => return lane.out_of_files(&connection, was_young),
        Some(Err(NoConnection::Failed(failed))) => return lane.connect_failed(&connection, was_young, Some(failed)),
        None => return lane.connect_failed(&connection, was_young, None),
    };
    lane.connected(&connection, was_young);
    let sharing = lane.target.sharing;
    let handle = Handle::new(lane, connection);
    match stream {
        Stream::Plain(stream) => serve(&handle, stream, sharing).await,
        Stream::Tls(stream) => serve(&handle, stream, sharing).await,
        #[cfg(test)]
        Stream::Memory(stream) => serve(&handle, stream, sharing).await,
    }
    handle.closed();
}

/// Serves the lane's requests on a connection.
async fn serve<T>(handle: &Handle, stream: T, sharing: Sharing)
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    match sharing {
        Sharing::InTurn => http1::serve(handle, stream).await,
        Sharing::Streams(most) => http2::serve(handle, stream, most).await,
    }
}

/// The transport of a connection.
enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
    /// A test server without sockets.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

enum NoConnection {
    /// The service or the network is the cause.
    Failed(Failed),
    /// The process has no file descriptor left, or the machine no port for that address.
    OutOfFiles,
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Failed(Failed::by(Failure::Refused, &error)),
            _ if is_out_of_files(&error) => Self::OutOfFiles,
            _ => Self::Failed(Failed::by(Failure::Connect, &error)),
        }
    }
}

#[cfg(unix)]
fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // The system reports exhausted ports as an address that is not available.
    [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(not(unix))]
fn is_out_of_files(_: &io::Error) -> bool {
    false
}

async fn connect(lane: &Lane, connection: &Rc<Connection>) -> Result<Stream, NoConnection> {
    let begun = Instant::now();
    let turn = lane.turn();
    #[cfg(test)]
    if let Some(wire) = &lane.target.wire {
        lane.made(begun, Duration::ZERO, None);
        return Ok(Stream::Memory(wire.connect()));
    }
    if let Some(tunnel) = &lane.target.tunnel {
        lane.making.set(OPENING);
        let opened = tunnel.open().await;
        connection.waited_for_tunnel(begun.elapsed().as_nanos() as u64);
        let stream = opened.map_err(|no| {
            NoConnection::Failed(match no {
                NoTunnel::Refused(words) => Failed::new(Failure::Refused, words),
                NoTunnel::Failed(words) => Failed::new(Failure::NotSentForward, words),
            })
        })?;
        stream.set_nonblocking(true)?;
        return secure(lane, connection, TcpStream::from_std(stream)?, begun).await;
    }
    let given = lane.target.addresses.now();
    let stream = match given.len() {
        // The addresses of a name lead to the same service. Each client starts with a different one.
        0 if !lane.target.is_followed => {
            lane.making.set("its name is not resolved");
            let found = resolve(lane).await?;
            lane.spread.set(names::preferred(&found));
            lane.making.set("TCP is not connected");
            names::connect(&names::from(&found, turn)).await?
        }
        0 => return Err(NoConnection::Failed(Failed::new(Failure::Refused, "the service has no ready endpoint"))),
        count => {
            // These are the pods of a service. As with its virtual address, a pod that refuses is a failure that clients
            // see.
            lane.spread.set(count);
            lane.making.set("TCP is not connected");
            TcpStream::connect(lane.choose(connection, &given, turn)).await?
        }
    };
    if let Ok(address) = stream.peer_addr() {
        lane.reached(connection, address);
    }
    secure(lane, connection, stream, begun).await
}

/// Prepares a connection that was begun at this moment, with TLS if the service uses it.
async fn secure(
    lane: &Lane,
    connection: &Rc<Connection>,
    stream: TcpStream,
    begun: Instant,
) -> Result<Stream, NoConnection> {
    stream.set_nodelay(true)?;
    // The times of tokens are measured.
    let is_prompt = lane.target.format == AnswerFormat::Stream;
    let stream = Socket::new(stream, is_prompt, lane.naps.then_some(connection));
    if lane.target.tls.is_some() {
        lane.making.set("the TLS handshake has no answer: does the server speak TLS on this port?");
    }
    let connected = begun.elapsed();
    match &lane.target.tls {
        None => {
            lane.made(begun, connected, None);
            Ok(Stream::Plain(stream))
        }
        Some(tls) => {
            let stream = tls.agree(stream).await.map_err(NoConnection::Failed)?;
            lane.made(begun, connected, Some(begun.elapsed() - connected));
            Ok(Stream::Tls(stream))
        }
    }
}

async fn resolve(lane: &Lane) -> Result<Arc<[SocketAddr]>, NoConnection> {
    let target = &lane.target;
    if let Ok(ip) = target.host.parse() {
        return Ok([SocketAddr::new(ip, target.port)].into());
    }
    if let Some(known) = lane.names.borrow().known() {
        return Ok(known);
    }
    let lookup = lane.names.borrow_mut().look_up(&target.resolver, &target.host, target.port);
    let found = lookup.await;
    lane.names.borrow_mut().learn(&found);
    found.map_err(|error| match is_out_of_files(&error) {
        true => NoConnection::OutOfFiles,
        false => NoConnection::Failed(Failed::new(Failure::Dns, format!("`{}`: {}", target.host, words(&*error)))),
    })
}
