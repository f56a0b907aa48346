//! The two halves of a connection, hyper's and the driver of its requests, in one task, with one timer.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep_until};

use super::lane::Lane;
use super::slot::Slot;

/// How often the two halves are polled in one go before other connections have their turn.
const MAX_TURNS: usize = 16;

/// Polls hyper's connection and the driver of its requests together in one task, until both are waiting for the
/// network. In tasks of their own each request would cost several wake-ups.
pub(super) struct Joint<D, T: AsyncRead + AsyncWrite + Unpin> {
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
    pub(super) fn new(
        lane: Rc<Lane>,
        slot: Rc<Slot>,
        connection: http1::Connection<TokioIo<T>, Full<Bytes>>,
        driver: D,
    ) -> Self {
        let signal = Arc::new(Signal::default());
        Self {
            driver: Box::pin(driver),
            connection: Some(connection),
            deadline: Box::pin(sleep_until(Instant::now().into())),
            armed: false,
            waker: Waker::from(Arc::clone(&signal)),
            signal,
            lane,
            slot,
        }
    }

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
            self.lane.gave_up(&self.slot);
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
