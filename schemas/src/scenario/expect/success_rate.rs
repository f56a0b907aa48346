//! `success_rate`: the share of requests that succeeded.

use super::kind::{
    About, Ahead, At, Demands, ExpectationFacts, ExpectationInfo, ExpectationKind, Panel, Reference, Sample, Shown,
};
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::Percent;

pub(super) const SUCCESS_RATE: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: false,
    counts_gaps: false,
    of_tokens: false,
    reference: Reference::Nothing,
    shown: Shown::Limits(Panel::Success),
    limit: "99%",
    example: "{min: 99%}",
};

expectation! {
    /// Limits on the share of requests that succeeded.
    #[derive(Default)]
    pub struct SuccessRate {
        /// At least this share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub min: Option<Percent>,
        /// At most this share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max: Option<Percent>,
    }
    sampled {
        /// The minimum number of requests. With fewer, the verdict is `inconclusive`. Default: as many as the limits
        /// require, by the judge's rules.
    },
    load,
}

impl ExpectationKind for SuccessRate {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        None
    }

    fn sample(&self, _: &'static ExpectationInfo) -> Option<Sample> {
        Sample::share(self.min, self.max, self.sampling())
    }

    fn demands(&self) -> Demands {
        let ahead = Ahead::Share { min: self.min, max: self.max, decide: self.decide };
        Demands { failures: self.max.is_some(), ahead, ..Demands::NONE }
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        let (min, max) = (self.min.map(Percent::fraction), self.max.map(Percent::fraction));
        check::limits(at, min, max, findings);
        if min.is_none_or(|min| min <= 0.0) && max.is_some_and(|max| max >= 1.0) {
            check::always(at.path, findings);
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
