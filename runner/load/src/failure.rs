//! The name of what went wrong with a request, from the errors of the libraries beneath.

use std::error::Error;
use std::io;

use shakedown_observe::Failure;

/// How far an answer had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing of it, or not the whole head.
    Head,
    /// A part of its body.
    Body,
    /// A part of its events.
    Stream,
}

impl Stage {
    /// The name of an answer whose connection just ends there.
    pub(super) const fn cut(self) -> Failure {
        match self {
            Self::Head => Failure::Closed,
            Self::Body => Failure::Truncated,
            Self::Stream => Failure::BrokenStream,
        }
    }
}

/// The name of an error of HTTP/2.
pub(super) fn of_hyper(error: &hyper::Error, stage: Stage) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            return of_http2(h2, stage);
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return of_io(io, stage);
        }
        source = cause.source();
    }
    if error.is_parse() {
        Failure::Protocol
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        stage.cut()
    } else {
        Failure::Reset
    }
}

fn of_http2(error: &h2::Error, stage: Stage) -> Failure {
    if let Some(io) = error.get_io() {
        return of_io(io, stage);
    }
    // Whoever was first with the error named it; what we found wrong ourselves is a fault of the protocol.
    match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Failure::StreamRefused,
        _ if error.is_remote() && error.is_go_away() => Failure::GoAway,
        Some(_) if error.is_remote() && error.is_reset() => Failure::StreamReset,
        _ => Failure::Protocol,
    }
}

/// The name of an error when reading or writing.
pub(super) fn of_io(error: &io::Error, stage: Stage) -> Failure {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => stage.cut(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Failure::Protocol,
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Reset,
    }
}

/// The name of an error of a connection that could not be agreed on by TLS.
pub(super) fn of_agreement(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => of_tls(tls),
        None => Failure::Tls,
    }
}

fn of_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::AlertReceived(_) => Failure::TlsAlert,
        _ => Failure::Tls,
    }
}
