//! `stuck`: requests that never come to any end.

use super::kind::{About, At, ExpectationFacts, ExpectationKind};
use super::limits::CountLimits;
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::short;

pub(super) const STUCK: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: false,
    limit: "0",
    example: "{max: 0, times: 2}",
};

expectation! {
    /// Limits on how many requests were stuck: sent, and without any end (an answer, an error, a reset) after `times` their
    /// timeout, or still under way when the run was over.
    pub struct Stuck {
        /// At least so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [1]))]
        pub min: Option<u64>,
        /// At most so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [0]))]
        pub max: Option<u64>,
        /// How many times its timeout a request may take to come to any end. With more than 1, requests that timed out (and
        /// count as such) are listened to for so much longer; in a closed loop their workers wait as long. Default 1.
        #[serde(default = "Stuck::default_times")]
        #[schemars(range(min = 1.0, max = 10.0))]
        pub times: f64,
    }
    load,
}

impl Stuck {
    fn default_times() -> f64 {
        1.0
    }
}

impl ExpectationKind for Stuck {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        None
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        check::counts(at, CountLimits { min: self.min, max: self.max }, findings);
        if !(1.0..=10.0).contains(&self.times) {
            findings.push(
                &at.key("times"),
                Diagnostic::error(
                    Code::LimitRange,
                    format!("`times` must be between 1 and 10, not {}", short(self.times)),
                )
                .help("write `times: 2`; for less than the timeout ask for `latency`"),
            );
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
