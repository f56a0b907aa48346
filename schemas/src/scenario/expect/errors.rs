//! `errors`: how many requests failed, by the kind of failure.

use super::kind::{About, At, ExpectationFacts, ExpectationKind};
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
    limit: "0",
    example: "{any: {max: 10}, timeout: {max: 0}}",
};

/// The kinds of failures, by their keys.
const KINDS: &[&str] = &[
    "any",
    "timeout",
    "connection",
    "reset",
    "http_4xx",
    "http_5xx",
    "broken_stream",
    "stalled",
    "api_error",
    "check",
    "not_sent",
    "not_sent_limit",
    "not_sent_connections",
    "not_sent_late",
];

expectation! {
    /// Limits on how many requests failed, for each kind of failure that is named. All of them must hold.
    #[derive(Default)]
    pub struct Errors {
        /// Requests that failed, however they did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub any: Option<CountLimits>,
        /// No end of the answer within the load's timeout, or still under way when the run was over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub timeout: Option<CountLimits>,
        /// No connection: the name, the port, the network or TLS.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub connection: Option<CountLimits>,
        /// The connection, or the request's stream on it, ended before there was an answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reset: Option<CountLimits>,
        /// A status from 400 to 499 that does not count as success.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub http_4xx: Option<CountLimits>,
        /// A status from 500 to 599 that does not count as success.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub http_5xx: Option<CountLimits>,
        /// A stream without its end mark, a body cut short, or an answer that breaks the protocol.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub broken_stream: Option<CountLimits>,
        /// A stream that brought no token for as long as the load's `stall_after`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub stalled: Option<CountLimits>,
        /// An answer that carries the API's error object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub api_error: Option<CountLimits>,
        /// An answer that fails the request's `check`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub check: Option<CountLimits>,
        /// Due, and never sent, for whichever of the three reasons that follow. The load generator's limits, not the service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub not_sent: Option<CountLimits>,
        /// Due, and never sent, because `max_in_flight` requests were under way until its timeout, or the run, was over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub not_sent_limit: Option<CountLimits>,
        /// Due, and never sent, because the machine could open no further connection: it ran out of file descriptors or ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub not_sent_connections: Option<CountLimits>,
        /// Due, and never sent, because the load generator had too little processor time to come to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub not_sent_late: Option<CountLimits>,
    }
    load,
}

impl Errors {
    /// The kinds that have limits, by name, in the order of this type.
    pub fn kinds(&self) -> Vec<(&'static str, CountLimits)> {
        let all = [
            ("any", self.any),
            ("timeout", self.timeout),
            ("connection", self.connection),
            ("reset", self.reset),
            ("http_4xx", self.http_4xx),
            ("http_5xx", self.http_5xx),
            ("broken_stream", self.broken_stream),
            ("stalled", self.stalled),
            ("api_error", self.api_error),
            ("check", self.check),
            ("not_sent", self.not_sent),
            ("not_sent_limit", self.not_sent_limit),
            ("not_sent_connections", self.not_sent_connections),
            ("not_sent_late", self.not_sent_late),
        ];
        all.into_iter().filter_map(|(name, limits)| limits.map(|limits| (name, limits))).collect()
    }
}

impl ExpectationKind for Errors {
    const RULES: &'static [Rule] = &[Rule::Some(KINDS)];

    fn to(&self) -> Option<&str> {
        None
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
            let path = at.key(kind);
            check::counts(At { path: &path, ..at }, it, findings);
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
