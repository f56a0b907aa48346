//! `requests`: the number of requests that were due.

use super::kind::{
    About, Ahead, At, Demands, ExpectationFacts, ExpectationInfo, ExpectationKind, Panel, Reference, Sample, Shown,
};
use super::limits::CountLimits;
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::rule::Rule;
use crate::scenario::Secret;

pub(super) const REQUESTS: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: true,
    counts_gaps: false,
    of_tokens: false,
    reference: Reference::Nothing,
    shown: Shown::Measure(Panel::Requests),
    limit: "100",
    example: "{min: 100}",
};

expectation! {
    /// Limits on the number of requests that were due.
    #[derive(Default)]
    pub struct Requests {
        /// At least this number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [100]))]
        pub min: Option<u64>,
        /// At most this number, apart from requests that the pace of the load adds because the phase ends some milliseconds
        /// late. A phase without requests is inconclusive, unless this limit is 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [10_000]))]
        pub max: Option<u64>,
    }
    load,
}

impl ExpectationKind for Requests {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        None
    }

    fn sample(&self, _: &'static ExpectationInfo) -> Option<Sample> {
        None
    }

    fn demands(&self) -> Demands {
        Demands { ahead: Ahead::Due(CountLimits { min: self.min, max: self.max }), ..Demands::NONE }
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        check::counts(at, CountLimits { min: self.min, max: self.max }, findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
