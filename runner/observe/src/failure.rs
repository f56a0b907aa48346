//! How a request failed.

use std::fmt;

macro_rules! failures {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal;)*) => {
        /// Why a request failed. Reports and results show the name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Failure {
            $($(#[doc = $doc])+ $name,)*
            /// A status that does not count as success.
            Status(u16),
        }

        impl Failure {
            /// All failures without a status.
            const PLAIN: &[Self] = &[$(Self::$name),*];
        }

        impl fmt::Display for Failure {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => out.write_str($word),)*
                    Self::Status(status) => write!(out, "http_{status}"),
                }
            }
        }
    };
}

failures! {
    /// The answer did not end within the load's timeout.
    Timeout = "timeout";
    /// The answer did not end within the load's timeout, and the request had waited for `max_in_flight` for a tenth of it or
    /// more. The service did not have the whole timeout.
    TimeoutAfterWait = "timeout_after_wait";
    /// The request was still under way at the end of the run.
    Unfinished = "unfinished";
    /// The name could not be resolved.
    Dns = "dns";
    /// Connection refused.
    Refused = "connection_refused";
    /// The connection failed for another reason.
    Connect = "connect";
    /// The TLS handshake failed: the server's certificate is not trusted, or the server does not speak TLS.
    Tls = "tls";
    /// The server rejected the TLS handshake with an alert, for instance because it does not trust the client certificate.
    TlsAlert = "tls_alert";
    /// The connection was reset before the answer ended.
    Reset = "connection_reset";
    /// The server closed the connection, or its half of it, before an answer.
    Closed = "connection_closed";
    /// The server closed the connection within a body.
    Truncated = "truncated";
    /// HTTP/2: the server closed the connection without processing the request (GOAWAY).
    GoAway = "goaway";
    /// HTTP/2: the server refused the request's stream (REFUSED_STREAM).
    StreamRefused = "stream_refused";
    /// HTTP/2: the server reset the request's stream for another reason (RST_STREAM).
    StreamReset = "stream_reset";
    /// The answer violates HTTP, or is not HTTP.
    Protocol = "protocol";
    /// A stream ended without its end mark.
    BrokenStream = "broken_stream";
    /// A stream sent no further token for the load's `stall_after`.
    Stalled = "stalled";
    /// The stream or the answer contains the API's error object.
    ApiError = "api_error";
    /// The answer's `finish_reason` says that the server aborted it.
    FinishAbort = "finish_abort";
    /// The answer's `finish_reason` says that the server failed.
    FinishError = "finish_error";
    /// The answer fails the request's `check`.
    Check = "check";
    /// The answer is too large to be read as a whole or searched by a JSON path.
    TooLarge = "too_large";
    /// Not sent: `max_in_flight` requests were under way until its timeout or the end of the run.
    NotSentLimit = "not_sent_limit";
    /// Not sent: this machine could not open another connection, because file descriptors or ports ran out.
    NotSentConnections = "not_sent_connections";
    /// Not sent: the port-forward of the API server could not be opened.
    NotSentForward = "not_sent_forward";
    /// Not sent: the load engine was too late, because it lacked processor time.
    NotSentLate = "not_sent_late";
}

/// The first code of a status.
const STATUSES: u64 = 1000;

impl Failure {
    /// True if the request was never sent. The load generator is the cause, not the service.
    pub const fn is_not_sent(self) -> bool {
        matches!(self, Self::NotSentLimit | Self::NotSentConnections | Self::NotSentForward | Self::NotSentLate)
    }

    /// True if the limit of requests under way is the cause or a part of it, or may be.
    pub const fn is_of_limit(self) -> bool {
        matches!(self, Self::TimeoutAfterWait | Self::NotSentLimit)
    }

    /// True if the request never ended, so that its duration belongs in the latency.
    pub const fn is_timed(self) -> bool {
        matches!(self, Self::Timeout | Self::TimeoutAfterWait | Self::Unfinished) || self.is_not_sent()
    }

    /// True if the client gave the request up before its timeout. It would have taken longer, nobody knows how long.
    pub const fn is_given_up_early(self) -> bool {
        matches!(self, Self::Stalled | Self::TooLarge)
    }

    /// The code of the failure, within this process.
    pub(super) fn code(self) -> u64 {
        match self {
            Self::Status(status) => STATUSES + u64::from(status),
            plain => Self::PLAIN.iter().position(|it| *it == plain).unwrap_or_default() as u64,
        }
    }

    /// The failure with this code.
    pub(super) fn from_code(code: u64) -> Option<Self> {
        match code.checked_sub(STATUSES) {
            Some(status) => u16::try_from(status).ok().map(Self::Status),
            None => Self::PLAIN.get(code as usize).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_own_code_and_name() {
        let all = || Failure::PLAIN.iter().copied().chain([Failure::Status(100), Failure::Status(599)]);
        for failure in all() {
            assert_eq!(Failure::from_code(failure.code()), Some(failure));
            assert_eq!(all().filter(|other| other.to_string() == failure.to_string()).count(), 1);
            assert_eq!(failure.is_not_sent(), failure.to_string().starts_with("not_sent"));
        }
        assert_eq!(Failure::from_code(999), None);
    }
}
