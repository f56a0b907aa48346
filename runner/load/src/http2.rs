//! Requests and their answers on one connection of HTTP/2, several at a time: each stream is a slot of the lane, as a
//! connection of HTTP/1.1 is.

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
use shakedown_observe::Failure;

/// How much of one answer, and of all answers of a connection, the server may send ahead of us.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// The most that the headers of an answer may take.
const MAX_HEADERS: u32 = 64 << 10;

/// How long the body of an answer that failed is waited for, where a report shows it.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(1);

/// hyper's helpers run on the lane's own thread.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// What the streams of a connection have in common.
#[derive(Debug)]
struct Connection {
    /// It takes no more requests; those under way go on.
    gone: CancellationToken,
    is_used: Cell<bool>,
    /// How many streams the server takes at once, as far as it has said.
    most: Cell<usize>,
    /// When an answer last began on it.
    heard: Cell<Option<Instant>>,
    /// Why it ended, where that has a name.
    end: RefCell<Option<Failed>>,
}

/// Serves the lane's requests on a connection until it ends. `first` is its first stream; there are as many as `streams`, unless
/// the server allows fewer or the lane needs no more.
pub(super) async fn serve<T>(first: &Handle, stream: T, streams: usize)
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut builder = http2::Builder::new(Local);
    builder
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        // Until the server has said how many it takes, one: more could be refused, by no fault of the service.
        .initial_max_send_streams(1);
    let Ok((sender, mut driver)) = builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await else { return };
    let connection = Rc::new(Connection {
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

/// Sends the requests of one stream after the other in the same slot.
async fn drive(handle: &Handle, connection: &Connection, mut sender: SendRequest<Full<Bytes>>, place: usize) {
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
                // Nothing at all was heard since: the connection may be dead without anybody having said so, as one over
                // HTTP/1.1 would be given up.
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

/// Sends one request and reads its answer. Breaks when the connection takes no more.
async fn exchange(handle: &Handle, connection: &Connection, sender: &mut SendRequest<Full<Bytes>>) -> ControlFlow<()> {
    let Some(job) = handle.job() else { return ControlFlow::Continue(()) };
    handle.sending();
    let (place, request, data) = handle.target().requests.of(job.number);
    let Ok(request) = request.to_send(&data) else {
        handle.failed(Failed::new(Failure::Protocol, "the request cannot be written as HTTP"));
        return ControlFlow::Continue(());
    };
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut error) => {
            // hyper hands the request back only if none of it was written.
            if error.take_message().is_some() && connection.is_used.get() {
                connection.gone.cancel();
                handle.resend();
                return ControlFlow::Break(());
            }
            // A stream whose connection ended is told only that it did.
            let failed = match failure::of_hyper(error.error(), Stage::Head) {
                failed if failed.kind == Failure::Closed => connection.end.borrow().clone().unwrap_or(failed),
                failed => failed,
            };
            let failure = failed.kind;
            handle.failed(failed);
            // What is wrong with one stream leaves the others alone.
            if matches!(failure, Failure::StreamRefused | Failure::StreamReset) && !sender.is_closed() {
                return ControlFlow::Continue(());
            }
            connection.gone.cancel();
            return ControlFlow::Break(());
        }
    };
    connection.is_used.set(true);
    connection.heard.set(Some(Instant::now()));
    // What is left of a body is not read: to drop it resets its stream alone.
    read(handle, place, response).await;
    if sender.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Reads an answer until its outcome is known, and counts it.
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
            None => break,
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
    // It is counted; what comes of its body may say why it failed.
    let until = Instant::now() + MAX_DRAIN_TIME;
    while !sample.is_full() && !body.is_end_stream() {
        let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await else { break };
        frame.data_ref().into_iter().for_each(|piece| sample.add_body(piece));
    }
    handle.sampled(kind, sample);
}
