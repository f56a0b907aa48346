//! `stuck`: requests that never end.

use super::kind::{About, At, ExpectationFacts, ExpectationInfo, ExpectationKind, Panel, Sample, Shown};
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
    counts_gaps: false,
    shown: Shown::Measure(Panel::InFlight),
    limit: "0",
    example: "{max: 0, times: 2}",
};

expectation! {
    /// Limits on the number of stuck requests. A request is stuck if it was sent and has no end (an answer, an error or
    /// a reset) after `times` its timeout, or is still in flight when the run ends.
    pub struct Stuck {
        /// At least this number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [1]))]
        pub min: Option<u64>,
        /// At most this number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [0]))]
        pub max: Option<u64>,
        /// After how many timeouts a request without an end is stuck. With more than 1, the runner continues to listen
        /// to requests that timed out; they still count as timeouts. In a closed loop their workers wait as
        /// long. Default 1.
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

    fn sample(&self, kind: &'static ExpectationInfo) -> Option<Sample> {
        // One stuck request decides.
        Some(Sample { decides: 1, ..Sample::floor(kind) })
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
