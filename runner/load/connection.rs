//! One connection: made, used for one request after the other, and closed. hyper speaks HTTP on it; there is no pool,
//! no redirect and no retry beneath.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::answer::Answer;
use super::lane::{Lane, Slot};
use crate::observe::Failure;

/// A connection that takes longer than this to be made is waiting for the network.
pub(super) const YOUNG: Duration = Duration::from_millis(20);

/// The most that hyper reads ahead, and the most that the headers of an answer may take.
const MAX_BUFFER: usize = 64 << 10;

/// What may follow an answer that is decided already before the connection is given up instead of reused.
const MAX_DRAIN: usize = 256 << 10;
const MAX_DRAIN_TIME: Duration = Duration::from_secs(1);

/// How long the addresses of a name are used before it is resolved again.
const RESOLVE_AGAIN: Duration = Duration::from_secs(1);

/// How often the two halves of a connection are polled in one go before other connections have their turn.
const MAX_TURNS: usize = 16;

/// Makes a connection and serves the lane's requests on it until it ends.
pub(super) async fn run(lane: Rc<Lane>, slot: Rc<Slot>) {
    let mut attempt = Box::pin(connect(&lane));
    let (made, was_young) = match timeout(YOUNG, &mut attempt).await {
        Ok(made) => (Some(made), true),
        Err(_) => {
            lane.connecting_is_slow();
            let deadline = slot.job().map_or_else(|| Instant::now() + lane.target.timeout, |job| lane.deadline(&job));
            (timeout_at(deadline.into(), attempt).await.ok(), false)
        }
    };
    let stream = match made {
        Some(Ok(stream)) => stream,
        Some(Err(NoConnection::OutOfFiles)) => return lane.out_of_files(&slot, was_young),
        Some(Err(NoConnection::Failed(failure))) => return lane.connect_failed(&slot, was_young, Some(failure)),
        None => return lane.connect_failed(&slot, was_young, None),
    };
    lane.connected(was_young);
    match stream {
        Stream::Plain(stream) => serve(&lane, &slot, stream).await,
        Stream::Tls(stream) => serve(&lane, &slot, stream).await,
    }
    lane.closed(&slot);
}

/// Serves the lane's requests on a connection until it ends.
async fn serve<T: AsyncRead + AsyncWrite + Unpin>(lane: &Rc<Lane>, slot: &Rc<Slot>, stream: T) {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_BUFFER);
    let Ok((sender, connection)) = builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await else { return };
    if slot.job().is_none() {
        lane.free(slot);
    }
    let signal = Arc::new(Signal::default());
    Joint {
        driver: Box::pin(drive(Rc::clone(lane), Rc::clone(slot), sender)),
        connection: Some(connection),
        deadline: Box::pin(sleep_until(Instant::now().into())),
        armed: false,
        waker: Waker::from(Arc::clone(&signal)),
        signal,
        lane: Rc::clone(lane),
        slot: Rc::clone(slot),
    }
    .await;
}

/// What requests go over.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

enum NoConnection {
    /// By the service or the network.
    Failed(Failure),
    /// This process may open no more files.
    OutOfFiles,
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Failed(Failure::Refused),
            _ if is_out_of_files(&error) => Self::OutOfFiles,
            _ => Self::Failed(Failure::Connect),
        }
    }
}

#[cfg(unix)]
fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(not(unix))]
fn is_out_of_files(_: &io::Error) -> bool {
    false
}

async fn connect(lane: &Lane) -> Result<Stream, NoConnection> {
    let turn = lane.turn();
    let given = &lane.target.addresses;
    let stream = if given.is_empty() {
        // A name's addresses are ways to the same service: as every client does, try the next when one fails.
        let resolved = resolve(lane).await?;
        let mut last = NoConnection::Failed(Failure::Dns);
        let mut made = None;
        for address in &resolved {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    made = Some(stream);
                    break;
                }
                Err(error) => last = error.into(),
            }
        }
        made.ok_or(last)?
    } else {
        // These are a service's pods: like its virtual address, one that refuses is a failure that clients see.
        TcpStream::connect(given[turn % given.len()]).await?
    };
    stream.set_nodelay(true)?;
    match &lane.target.tls {
        None => Ok(Stream::Plain(stream)),
        Some(tls) => tls.agree(stream).await.map(Stream::Tls).map_err(NoConnection::Failed),
    }
}

async fn resolve(lane: &Lane) -> Result<Vec<SocketAddr>, NoConnection> {
    let target = &lane.target;
    if let Ok(ip) = target.host.parse() {
        return Ok(vec![SocketAddr::new(ip, target.port)]);
    }
    if let Some((at, addresses)) = &*lane.resolved.borrow()
        && at.elapsed() < RESOLVE_AGAIN
    {
        return Ok(addresses.clone());
    }
    let addresses: Vec<_> = match tokio::net::lookup_host((target.host.as_str(), target.port)).await {
        Ok(found) => found.collect(),
        Err(error) if is_out_of_files(&error) => return Err(NoConnection::OutOfFiles),
        Err(_) => return Err(NoConnection::Failed(Failure::Dns)),
    };
    if addresses.is_empty() {
        return Err(NoConnection::Failed(Failure::Dns));
    }
    *lane.resolved.borrow_mut() = Some((Instant::now(), addresses.clone()));
    Ok(addresses)
}

/// Sends the connection's requests, one after the other.
async fn drive(lane: Rc<Lane>, slot: Rc<Slot>, mut sender: SendRequest<Full<Bytes>>) {
    let mut is_reused = false;
    loop {
        slot.wait().await;
        lane.sending(&slot);
        let response = match sender.try_send_request(lane.target.request()).await {
            Ok(response) => response,
            Err(mut error) => {
                // hyper hands the request back if and only if none of it was written.
                if error.take_message().is_some() && is_reused {
                    lane.resend(&slot);
                } else {
                    lane.answered(&slot, Some(failure_of(error.error(), Stage::Head)));
                }
                return;
            }
        };
        is_reused = true;
        if read(&lane, &slot, response).await.is_break() || sender.ready().await.is_err() {
            return;
        }
        lane.free(&slot);
    }
}

/// Reads an answer and counts it. Breaks when the connection cannot be used again.
async fn read(lane: &Rc<Lane>, slot: &Slot, response: hyper::Response<Incoming>) -> ControlFlow<()> {
    let target = &lane.target;
    let (head, mut body) = response.into_parts();
    let mut answer = Answer::new(target, head.status, &head.headers);
    while !answer.is_decided() && !body.is_end_stream() {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => {
                if let Some(piece) = frame.data_ref() {
                    answer.piece(target, piece);
                    if answer.has_token() {
                        lane.first_token(slot);
                    }
                }
            }
            Some(Err(error)) => {
                lane.answered(slot, Some(failure_of(&error, Stage::Body)));
                return ControlFlow::Break(());
            }
        }
    }
    lane.answered(slot, answer.outcome(target));
    if body.is_end_stream() {
        return ControlFlow::Continue(());
    }
    match timeout(MAX_DRAIN_TIME, drain(body)).await {
        Ok(flow) => flow,
        Err(_) => ControlFlow::Break(()),
    }
}

/// Reads the rest of an answer that is decided, so that the connection can be used again.
async fn drain(mut body: Incoming) -> ControlFlow<()> {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => size += frame.data_ref().map_or(0, Bytes::len),
            Err(_) => return ControlFlow::Break(()),
        }
        if size > MAX_DRAIN {
            return ControlFlow::Break(());
        }
    }
    ControlFlow::Continue(())
}

/// How far an answer had come when its connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
}

fn failure_of(error: &hyper::Error, stage: Stage) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return match (io.kind(), stage) {
                (io::ErrorKind::UnexpectedEof, Stage::Body) => Failure::BrokenStream,
                // What hyper's decoder says about chunks that are none.
                (io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput, _) => Failure::Protocol,
                _ => Failure::Reset,
            };
        }
        source = cause.source();
    }
    if error.is_parse() {
        Failure::Protocol
    } else if stage == Stage::Body && (error.is_incomplete_message() || error.is_closed()) {
        Failure::BrokenStream
    } else {
        Failure::Reset
    }
}

/// Polls hyper's connection and the driver of its requests together in one task, until both are waiting for the
/// network. In tasks of their own each request would cost several wake-ups.
struct Joint<D, T: AsyncRead + AsyncWrite + Unpin> {
    driver: Pin<Box<D>>,
    /// None once it ended.
    connection: Option<http1::Connection<TokioIo<T>, Full<Bytes>>>,
    /// Fires at the latest when the request under way has taken too long. Requests on one connection have ever later
    /// deadlines, so it is set anew only when it has fired: once per timeout, not once per request.
    deadline: Pin<Box<Sleep>>,
    armed: bool,
    waker: Waker,
    signal: Arc<Signal>,
    lane: Rc<Lane>,
    slot: Rc<Slot>,
}

/// Wakes the task, but only notes it while the task is running anyway.
#[derive(Debug, Default)]
struct Signal {
    task: AtomicWaker,
    is_running: AtomicBool,
    woken: AtomicBool,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) && !self.is_running.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl<D: Future<Output = ()>, T: AsyncRead + AsyncWrite + Unpin> Joint<D, T> {
    /// True when the request under way has taken too long.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            let Some(job) = self.slot.job() else {
                // An idle connection needs no clock; what is set stays, for the next request's deadline is later.
                return false;
            };
            let deadline = self.lane.deadline(&job);
            if !self.armed {
                self.deadline.as_mut().reset(deadline.into());
                self.armed = true;
            }
            if self.deadline.as_mut().poll(context).is_pending() {
                return false;
            }
            self.armed = false;
            if Instant::now() >= deadline {
                return true;
            }
        }
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.driver.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if let Some(connection) = &mut self.connection {
            if Pin::new(connection).poll(context).is_ready() {
                // The driver learns it from its own half, if it has a request under way.
                self.connection = None;
                context.waker().wake_by_ref();
            }
        } else if self.slot.job().is_none() {
            return Poll::Ready(());
        }
        if self.is_over(context) {
            self.lane.answered(&self.slot, Some(Failure::Timeout));
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<D: Future<Output = ()>, T: AsyncRead + AsyncWrite + Unpin> Future for Joint<D, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.signal.task.register(context.waker());
        let waker = this.waker.clone();
        let mut inner = Context::from_waker(&waker);
        this.signal.is_running.store(true, Ordering::SeqCst);
        for _ in 0..MAX_TURNS {
            this.signal.woken.store(false, Ordering::SeqCst);
            if this.turn(&mut inner).is_ready() {
                return Poll::Ready(());
            }
            if !this.signal.woken.load(Ordering::SeqCst) {
                break;
            }
        }
        this.signal.is_running.store(false, Ordering::SeqCst);
        if this.signal.woken.load(Ordering::SeqCst) {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
