//! Requests and answers on one HTTP/2 connection, several at a time. To the lane each stream is a connection, as one of
//! HTTP/1.1 is.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::exchange::Exchange;
use super::failure::{self, Failed, Stage};
use super::handle::Handle;
use super::session::as_slice;
use shakedown_observe::Failure;

/// How much of one answer, and of all answers of a connection, the server may send ahead.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// The maximum size of an answer's headers, in bytes.
const MAX_HEADERS: u32 = 64 << 10;

/// How long the body of a failed answer is read for the report.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(1);

/// Runs hyper's tasks on the lane's own thread.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The state that the streams of a connection share.
#[derive(Debug)]
struct Http2Connection {
    /// The connection takes no more requests. Those under way continue.
    gone: CancellationToken,
    is_used: Cell<bool>,
    /// The number of concurrent streams that the server allows, as far as known.
    most: Cell<usize>,
    /// When an answer last began on it.
    heard: Cell<Option<Instant>>,
    /// Why the connection ended, if known.
    end: RefCell<Option<Failed>>,
}

/// Serves the lane's requests on a connection until it ends. `first` is its first stream. There are up to `streams`
/// streams, or fewer if the server allows fewer or the lane needs no more.
pub(super) async fn serve<T>(first: &Handle, stream: T, streams: usize)
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut builder = http2::Builder::new(Local);
    builder
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        // One stream until the server has announced its limit. It could refuse more, which would not be a failure of the
        // service.
        .initial_max_send_streams(1);
    let Ok((sender, mut driver)) = builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await else { return };
    let connection = Rc::new(Http2Connection {
        gone: CancellationToken::new(),
        is_used: Cell::new(false),
        most: Cell::new(1),
        heard: Cell::new(None),
        end: RefCell::new(None),
    });
    tokio::task::spawn_local({
        let connection = Rc::clone(&connection);
        async move {
            let ended = std::future::poll_fn(|context| {
                let polled = Pin::new(&mut driver).poll(context);
                connection.most.set(driver.current_max_send_streams());
                polled
            });
            if let Err(error) = ended.await {
                *connection.end.borrow_mut() = Some(failure::of_hyper(&error, Stage::Head));
            }
            connection.gone.cancel();
        }
    });
    for place in 1..streams {
        let Some(handle) = first.add_stream() else { break };
        let (connection, sender) = (Rc::clone(&connection), sender.clone());
        tokio::task::spawn_local(async move {
            drive(&handle, &connection, sender, place).await;
            handle.closed();
        });
    }
    drive(first, &connection, sender, 0).await;
}

/// Sends the requests of one stream, one after the other.
async fn drive(handle: &Handle, connection: &Http2Connection, mut sender: SendRequest<Full<Bytes>>, place: usize) {
    if handle.job().is_none() && !handle.free() {
        return;
    }
    loop {
        tokio::select! {
            biased;
            () = handle.wait() => {}
            () = connection.gone.cancelled() => return,
        }
        let Some(job) = handle.job() else {
            if handle.free() {
                continue;
            }
            return;
        };
        let sent = Instant::now();
        let exchanged = timeout_at(handle.deadline(&job), exchange(handle, connection, &mut sender)).await;
        match exchanged {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return,
            Err(_) => {
                handle.gave_up();
                // Nothing was received since the request was sent: the connection may be dead without notice. It is given
                // up, as an HTTP/1.1 connection would be.
                if connection.heard.get().is_none_or(|heard| heard < sent) {
                    connection.gone.cancel();
                }
            }
        }
        let is_too_many = place >= connection.most.get();
        if handle.target().fresh || is_too_many || connection.gone.is_cancelled() || !handle.free() {
            return;
        }
    }
}

/// Sends one request and reads its answer. Breaks when the connection takes no more requests.
async fn exchange(
    handle: &Handle,
    connection: &Http2Connection,
    sender: &mut SendRequest<Full<Bytes>>,
) -> ControlFlow<()> {
    let Some(job) = handle.job() else { return ControlFlow::Continue(()) };
    handle.sending();
    let values = handle.values(&job);
    let (place, request, data) = handle.target().requests.now(&job, as_slice(values.as_ref()));
    let request = match request.to_send(&data) {
        Ok(request) => request,
        Err(why) => {
            handle.cannot_write(values.is_some(), why);
            return ControlFlow::Continue(());
        }
    };
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut error) => {
            // hyper returns the request only if no part of it was written.
            if error.take_message().is_some() && connection.is_used.get() {
                connection.gone.cancel();
                handle.resend();
                return ControlFlow::Break(());
            }
            // A stream learns only that its connection ended, not why.
            let failed = match failure::of_hyper(error.error(), Stage::Head) {
                failed if failed.kind == Failure::Closed => connection.end.borrow().clone().unwrap_or(failed),
                failed => failed,
            };
            let failure = failed.kind;
            handle.failed(failed);
            // An error of one stream does not affect the others.
            if matches!(failure, Failure::StreamRefused | Failure::StreamReset) && !sender.is_closed() {
                return ControlFlow::Continue(());
            }
            connection.gone.cancel();
            return ControlFlow::Break(());
        }
    };
    connection.is_used.set(true);
    connection.heard.set(Some(Instant::now()));
    // The rest of a body is not read. Dropping it resets this stream only.
    read(handle, place, response).await;
    if sender.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Reads an answer until its outcome is final, and counts it.
async fn read(handle: &Handle, place: usize, response: hyper::Response<Incoming>) {
    let (head, mut body) = response.into_parts();
    let mut answer = Exchange::begin(handle, place, head.status.as_u16(), &head.headers);
    while !answer.is_decided() && !body.is_end_stream() {
        let frame = match answer.stalls_at() {
            None => body.frame().await,
            Some(at) => match timeout_at(at, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => {
                    return handle.failed(Failed::new(Failure::Stalled, "no further token came within `stall_after`"));
                }
            },
        };
        match frame {
            None if body.is_end_stream() => break,
            // hyper ends a body without an error if the server reset its stream with NO_ERROR, also in the middle.
            None => {
                let cause = "the server reset the stream with NO_ERROR before its end";
                return handle.failed(Failed::new(answer.stage().cut(), cause));
            }
            Some(Ok(frame)) => {
                if let Some(piece) = frame.data_ref() {
                    answer.piece(piece);
                }
            }
            Some(Err(error)) => {
                return handle.failed(failure::of_hyper(&error, answer.stage()));
            }
        }
    }
    let Some((kind, mut sample)) = answer.end() else { return };
    // It is counted. The rest of its body may explain the failure.
    let until = Instant::now() + MAX_DRAIN_TIME;
    while !sample.is_full() && !body.is_end_stream() {
        let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await else { break };
        frame.data_ref().into_iter().for_each(|piece| sample.add_body(piece));
    }
    handle.sampled(kind, sample);
}
