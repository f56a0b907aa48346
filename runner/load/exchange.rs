//! Requests and their answers on one connection, one after the other, and the name of what went wrong.

use std::error::Error as _;
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::SendRequest;
use tokio::time::timeout;

use super::answer::Answer;
use super::lane::Lane;
use super::slot::Slot;
use crate::observe::Failure;

/// What may follow an answer that is decided already before the connection is given up instead of reused.
const MAX_DRAIN: usize = 256 << 10;
const MAX_DRAIN_TIME: Duration = Duration::from_secs(1);

/// Sends the connection's requests, one after the other.
pub(super) async fn drive(lane: Rc<Lane>, slot: Rc<Slot>, mut sender: SendRequest<Full<Bytes>>) {
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
        lane.answering(&slot);
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
                    lane.tokens(slot, answer.pieces(), answer.tokens());
                }
            }
            Some(Err(error)) => {
                lane.answered(slot, Some(failure_of(&error, Stage::Body)));
                return ControlFlow::Break(());
            }
        }
    }
    let (pieces, tokens) = (answer.pieces(), answer.tokens());
    let outcome = answer.outcome(target);
    lane.tokens(slot, pieces, tokens.or(outcome.tokens));
    lane.answered(slot, outcome.failure);
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
