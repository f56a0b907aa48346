//! How a request failed.

use std::fmt;

macro_rules! failures {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal;)*) => {
        /// How a request failed. Its name is what people see.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Failure {
            $($(#[doc = $doc])+ $name,)*
            /// A status other than those that count as success.
            Status(u16),
        }

        impl Failure {
            /// All of them but the statuses.
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
    /// No end of the answer within the load's timeout.
    Timeout = "timeout";
    /// Still under way when the run was over.
    Unfinished = "unfinished";
    /// The name could not be resolved.
    Dns = "dns";
    /// Nobody listens there.
    Refused = "connection_refused";
    /// The connection could not be made for another reason.
    Connect = "connect";
    /// TLS could not be agreed: the server's certificate is not trusted, or it does not speak TLS.
    Tls = "tls";
    /// The server refused TLS with an alert, such as for a client certificate that it does not trust.
    TlsAlert = "tls_alert";
    /// The connection was reset before the answer ended.
    Reset = "connection_reset";
    /// The server closed the connection, or its half of it, before an answer.
    Closed = "connection_closed";
    /// The server closed the connection in the middle of a body.
    Truncated = "truncated";
    /// HTTP/2: the server was about to close the connection, and did not take the request (GOAWAY).
    GoAway = "goaway";
    /// HTTP/2: the server refused the request's stream (REFUSED_STREAM).
    StreamRefused = "stream_refused";
    /// HTTP/2: the server reset the request's stream for another reason (RST_STREAM).
    StreamReset = "stream_reset";
    /// The answer is not HTTP, or breaks its rules.
    Protocol = "protocol";
    /// A stream that ended without its end mark.
    BrokenStream = "broken_stream";
    /// A stream that brought no token for as long as the load's `stall_after` after one.
    Stalled = "stalled";
    /// A stream or an answer that carries the API's error object.
    ApiError = "api_error";
    /// An answer whose `finish_reason` says that the server gave it up.
    FinishAbort = "finish_abort";
    /// An answer whose `finish_reason` says that the server failed.
    FinishError = "finish_error";
    /// The answer fails the request's `check`.
    Check = "check";
    /// The answer must be read as a whole, or searched by a JSON path, and is too large for that.
    TooLarge = "too_large";
    /// It was due and never sent: as many requests as may be were under way, until its timeout or the run was over.
    NotSentLimit = "not_sent_limit";
    /// It was due and never sent: this machine could open no further connection, for want of file descriptors or ports.
    NotSentConnections = "not_sent_connections";
    /// It was due and never sent: the load engine itself came too late, for want of processor time.
    NotSentLate = "not_sent_late";
}

/// Where the codes of statuses begin.
const STATUSES: u64 = 1000;

impl Failure {
    /// True when it was never sent, which is the load generator's affair.
    pub const fn is_not_sent(self) -> bool {
        matches!(self, Self::NotSentLimit | Self::NotSentConnections | Self::NotSentLate)
    }

    /// True when the time that it took says something about the service: it never came to an end.
    pub const fn is_timed(self) -> bool {
        matches!(self, Self::Timeout | Self::Unfinished) || self.is_not_sent()
    }

    /// A number for it, within this process.
    pub(super) fn code(self) -> u64 {
        match self {
            Self::Status(status) => STATUSES + u64::from(status),
            plain => Self::PLAIN.iter().position(|it| *it == plain).unwrap_or_default() as u64,
        }
    }

    /// The failure of a number.
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
    fn every_failure_has_a_number_and_a_name_of_its_own() {
        let all = || Failure::PLAIN.iter().copied().chain([Failure::Status(100), Failure::Status(599)]);
        for failure in all() {
            assert_eq!(Failure::from_code(failure.code()), Some(failure));
            assert_eq!(all().filter(|other| other.to_string() == failure.to_string()).count(), 1);
            assert_eq!(failure.is_not_sent(), failure.to_string().starts_with("not_sent"));
        }
        assert_eq!(Failure::from_code(999), None);
    }
}
