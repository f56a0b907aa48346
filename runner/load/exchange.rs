//! Requests and their answers on one connection of HTTP/1.1, one after the other; and reading an answer, whatever it came
//! on.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::SendRequest;
use tokio::time::{timeout, timeout_at};

use super::answer::{Answer, Asked};
use super::failure::{self, Stage};
use super::lane::Lane;
use super::slot::{Job, Slot};
use super::target::Kind;
use crate::observe::Failure;

/// What may follow an answer that is decided already before the connection is given up instead of reused.
const MAX_DRAIN: usize = 256 << 10;
const MAX_DRAIN_TIME: Duration = Duration::from_secs(1);

/// Sends the connection's requests, one after the other.
pub(super) async fn drive(lane: Rc<Lane>, slot: Rc<Slot>, mut sender: SendRequest<Full<Bytes>>) {
    let mut is_reused = false;
    loop {
        slot.wait().await;
        let Some((place, request)) = next(&lane, &slot) else { return };
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                // hyper hands the request back if and only if none of it was written.
                if error.take_message().is_some() && is_reused {
                    lane.resend(&slot);
                } else {
                    lane.answered(&slot, Some(failure::of_http(error.error(), Stage::Head)));
                }
                return;
            }
        };
        is_reused = true;
        let Ok(body) = read(&lane, &slot, place, response).await else { return };
        if lane.target.fresh || drained(body).await.is_break() || sender.ready().await.is_err() {
            return;
        }
        lane.free(&slot);
    }
}

/// The request that the slot has to send, and its place among the load's.
pub(super) fn next(lane: &Rc<Lane>, slot: &Slot) -> Option<(usize, http::Request<Full<Bytes>>)> {
    let Job { number, .. } = slot.job()?;
    lane.sending(slot);
    let requests = &lane.target.requests;
    let place = requests.choose(number);
    match requests.at(place).to_send(&requests.draw(number)) {
        Ok(request) => Some((place, request)),
        Err(_) => {
            lane.answered(slot, Some(Failure::Protocol));
            None
        }
    }
}

/// Reads an answer until its outcome is known, and counts it. Gives what is left of its body.
///
/// # Errors
/// When the answer broke off, or is given up.
pub(super) async fn read(
    lane: &Rc<Lane>,
    slot: &Slot,
    place: usize,
    response: hyper::Response<Incoming>,
) -> Result<Incoming, ()> {
    lane.answering(slot);
    let asked = Asked::of(&lane.target, place);
    let (head, mut body) = response.into_parts();
    let mut answer = Answer::new(&asked, head.status, &head.headers);
    let mut stalled_at: Option<Instant> = None;
    while !answer.is_decided() && !body.is_end_stream() {
        let frame = match stalled_at {
            None => body.frame().await,
            Some(at) => match timeout_at(at.into(), body.frame()).await {
                Ok(frame) => frame,
                Err(_) => {
                    lane.answered(slot, Some(Failure::Stalled));
                    return Err(());
                }
            },
        };
        match frame {
            None => break,
            Some(Ok(frame)) => {
                if let Some(piece) = frame.data_ref() {
                    let before = answer.pieces();
                    answer.piece(&asked, piece);
                    lane.tokens(slot, answer.pieces(), answer.tokens());
                    // Only tokens count: a server that says that it is still there has not said anything.
                    if let Some(after) = lane.target.stall_after.filter(|_| answer.pieces() > before) {
                        stalled_at = Some(Instant::now() + after);
                    }
                }
            }
            Some(Err(error)) => {
                let stage = if lane.target.kind == Kind::Stream { Stage::Stream } else { Stage::Body };
                lane.answered(slot, Some(failure::of_http(&error, stage)));
                return Err(());
            }
        }
    }
    let (pieces, tokens) = (answer.pieces(), answer.tokens());
    let outcome = answer.outcome(&asked);
    lane.tokens(slot, pieces, tokens.or(outcome.tokens));
    lane.answered(slot, outcome.failure);
    Ok(body)
}

/// Reads the rest of an answer that is decided, so that the connection can be used again.
async fn drained(body: Incoming) -> ControlFlow<()> {
    if body.is_end_stream() {
        return ControlFlow::Continue(());
    }
    match timeout(MAX_DRAIN_TIME, drain(body)).await {
        Ok(flow) => flow,
        Err(_) => ControlFlow::Break(()),
    }
}

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
