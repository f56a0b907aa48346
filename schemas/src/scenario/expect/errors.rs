//! `errors`: how many requests failed, by the kind of failure.

use std::fmt;

use super::kind::{
    About, At, Demands, ExpectationFacts, ExpectationInfo, ExpectationKind, Panel, Reference, Sample, Shown,
};
use super::limits::CountLimits;
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::Secret;

pub(super) const ERRORS: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: false,
    counts_gaps: false,
    of_tokens: false,
    reference: Reference::Nothing,
    shown: Shown::Measure(Panel::Requests),
    limit: "0",
    example: "{any: {max: 10}, timeout: {max: 0}}",
};

/// Defines the kinds of failures from the fields that have their limits.
macro_rules! failure_kinds {
    ($($field:ident: $variant:ident,)*) => {
        /// A kind of failures that can have limits of its own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FailureKind {
            $(#[doc = concat!("The failures that `", stringify!($field), "` limits.")] $variant,)*
        }

        impl FailureKind {
            /// Its key in a scenario.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)* }
            }
        }

        impl fmt::Display for FailureKind {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.key())
            }
        }

        /// The keys of all kinds of failure.
        const KINDS: &[&str] = &[$(stringify!($field),)*];

        impl Errors {
            /// The kinds that have limits, in the order of the fields.
            pub fn kinds(&self) -> Vec<(FailureKind, CountLimits)> {
                let all = [$((FailureKind::$variant, self.$field),)*];
                all.into_iter().filter_map(|(kind, limits)| limits.map(|limits| (kind, limits))).collect()
            }
        }
    };
}

failure_kinds! {
    any: Any,
    timeout: Timeout,
    connection: Connection,
    reset: Reset,
    http_4xx: Http4xx,
    http_5xx: Http5xx,
    broken_stream: BrokenStream,
    stalled: Stalled,
    api_error: ApiError,
    check: Check,
    not_sent: NotSent,
    not_sent_limit: NotSentLimit,
    not_sent_connections: NotSentConnections,
    not_sent_forward: NotSentForward,
    not_sent_late: NotSentLate,
}

expectation! {
    /// Limits on the number of failed requests, per kind of failure. All of the limits must hold.
    #[derive(Default)]
    pub struct Errors {
        /// All failed requests, of any kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub any: Option<CountLimits>,
        /// The answer did not end within the load's timeout, or the request was still in flight when the run ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub timeout: Option<CountLimits>,
        /// The connection could not be established: DNS, TCP (port or network) or TLS failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub connection: Option<CountLimits>,
        /// The connection, or the request's stream on it, closed before there was an answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reset: Option<CountLimits>,
        /// A status from 400 to 499 that does not count as success.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub http_4xx: Option<CountLimits>,
        /// A status from 500 to 599 that does not count as success.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub http_5xx: Option<CountLimits>,
        /// A stream without its end mark, a truncated body, or an answer that violates the protocol.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub broken_stream: Option<CountLimits>,
        /// A stream that brought no token for the time of the load's `stall_after`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub stalled: Option<CountLimits>,
        /// An answer with the API's error object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub api_error: Option<CountLimits>,
        /// An answer that fails the request's `check`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub check: Option<CountLimits>,
        /// Due but never sent: the sum of the four kinds below. The cause is the load generator or the way to the
        /// service, not the service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub not_sent: Option<CountLimits>,
        /// Due but never sent: `max_in_flight` requests were in flight until the request timed out or the run ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub not_sent_limit: Option<CountLimits>,
        /// Due but never sent: the machine could not open another connection, because it ran out of file descriptors or
        /// ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub not_sent_connections: Option<CountLimits>,
        /// Due but never sent: the port-forward of the API server could not be opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub not_sent_forward: Option<CountLimits>,
        /// Due but never sent: the load generator did not get enough CPU time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub not_sent_late: Option<CountLimits>,
    }
    load,
}

impl ExpectationKind for Errors {
    const RULES: &'static [Rule] = &[Rule::Some(KINDS)];

    fn to(&self) -> Option<&str> {
        None
    }

    fn sample(&self, kind: &'static ExpectationInfo) -> Option<Sample> {
        // One failure decides.
        Some(Sample { decides: 1, ..Sample::floor(kind) })
    }

    fn demands(&self) -> Demands {
        Demands {
            failures: self.kinds().iter().any(|(_, limits)| limits.min.is_some_and(|min| min > 0)),
            ..Demands::NONE
        }
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        let kinds = self.kinds();
        if kinds.is_empty() {
            findings.push(
                at.path,
                Diagnostic::error(Code::Limits, "`errors` names no kind of failure, so it cannot fail")
                    .help("write `errors: {any: {max: 0}}`"),
            );
        }
        for (kind, it) in kinds {
            let path = at.key(kind.key());
            check::counts(At { path: &path, ..at }, it, findings);
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
