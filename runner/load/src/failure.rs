//! Maps the errors of libraries to a failure and its cause in words.

use std::borrow::Cow;
use std::error::Error;
use std::io;

use shakedown_observe::Failure;

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) kind: Failure,
    /// The cause in words. Empty if the kind is enough.
    pub(super) cause: Cow<'static, str>,
}

impl Failed {
    pub(super) fn new(kind: Failure, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, cause: cause.into() }
    }

    pub(super) fn by(kind: Failure, error: &dyn Error) -> Self {
        Self::new(kind, words(error))
    }
}

impl From<Failure> for Failed {
    fn from(kind: Failure) -> Self {
        Self::new(kind, "")
    }
}

/// An error with its causes on one line. Repeated causes are left out.
pub(super) fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// Truncates a text to `most` characters. An ellipsis marks the cut, so that the report also redacts a secret that was cut.
pub(super) fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// The progress of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing, or an incomplete head.
    Head,
    /// A part of its body.
    Body,
    /// A part of its events.
    Stream,
}

impl Stage {
    /// The failure if the connection ends at this stage.
    pub(super) const fn cut(self) -> Failure {
        match self {
            Self::Head => Failure::Closed,
            Self::Body => Failure::Truncated,
            Self::Stream => Failure::BrokenStream,
        }
    }

    /// The failure if the connection ends at this stage, with its cause.
    pub(super) fn ended(self) -> Failed {
        let cause = match self {
            Self::Head => "the server closed the connection before it answered",
            Self::Body => "the server closed the connection before the body was whole",
            Self::Stream => "the server closed the connection before the stream's end mark",
        };
        Failed::new(self.cut(), cause)
    }
}

/// The failure for an error of HTTP/2.
pub(super) fn of_hyper(error: &hyper::Error, stage: Stage) -> Failed {
    Failed::by(kind_of_hyper(error, stage), error)
}

fn kind_of_hyper(error: &hyper::Error, stage: Stage) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            return kind_of_http2(h2, stage);
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return kind_of_io(io, stage);
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

fn kind_of_http2(error: &h2::Error, stage: Stage) -> Failure {
    if let Some(io) = error.get_io() {
        return kind_of_io(io, stage);
    }
    // The side that detected the error first named it. An error that this client detected is a protocol error of the
    // server.
    match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Failure::StreamRefused,
        _ if error.is_remote() && error.is_go_away() => Failure::GoAway,
        Some(_) if error.is_remote() && error.is_reset() && stage == Stage::Head => Failure::StreamReset,
        Some(_) if error.is_remote() && error.is_reset() => stage.cut(),
        _ => Failure::Protocol,
    }
}

/// The failure for an I/O error.
pub(super) fn of_io(error: &io::Error, stage: Stage) -> Failed {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        stage.ended()
    } else {
        Failed::by(kind_of_io(error, stage), error)
    }
}

fn kind_of_io(error: &io::Error, stage: Stage) -> Failure {
    if let Some(tls) = tls(error) {
        return kind_of_tls(tls);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => stage.cut(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Failure::Protocol,
        // An answer that had begun is cut, however the connection ends.
        _ if stage != Stage::Head => stage.cut(),
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Reset,
    }
}

/// The failure for an error of the TLS handshake.
pub(super) fn of_agreement(error: &io::Error) -> Failed {
    let kind = tls(error).map_or(Failure::Tls, kind_of_tls);
    let mut cause = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the connection during the TLS handshake".to_owned(),
        _ => words(error),
    };
    // The library's message does not say what to do.
    let advice = match tls(error) {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "; no trusted root signed it: name its CA with `tls: {ca: FILE}`"
        }
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
            "; the server does not speak TLS on this port: use `http://`"
        }
        _ => "",
    };
    cause.push_str(advice);
    Failed::new(kind, cause)
}

fn tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn kind_of_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::AlertReceived(_) => Failure::TlsAlert,
        _ => Failure::Tls,
    }
}
