//! Work per second, absolute and relative to an earlier phase.

use super::kind::{
    About, At, Demands, ExpectationFacts, ExpectationInfo, ExpectationKind, Panel, Reference, Sample, Shown,
};
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::rule::Rule;
use crate::scenario::Secret;

pub(super) const OUTPUT_TOKENS_PER_SECOND: ExpectationFacts = ExpectationFacts {
    noun: "output tokens per second ",
    about: About::Requests,
    counts_work: true,
    counts_gaps: false,
    of_tokens: true,
    reference: Reference::Nothing,
    shown: Shown::Nothing,
    limit: "100",
    example: "{min: 100}",
};

pub(super) const OUTPUT_TOKENS_PER_SECOND_RATIO: ExpectationFacts = ExpectationFacts {
    noun: "output tokens per second ",
    about: About::Requests,
    counts_work: true,
    counts_gaps: false,
    of_tokens: true,
    reference: Reference::Named,
    shown: Shown::Nothing,
    limit: "0.8",
    example: "{to: baseline, min: 0.8}",
};

pub(super) const THROUGHPUT_RATIO: ExpectationFacts = ExpectationFacts {
    noun: "throughput ",
    about: About::Requests,
    counts_work: true,
    counts_gaps: false,
    of_tokens: false,
    reference: Reference::Named,
    shown: Shown::Measure(Panel::Requests),
    limit: "0.8",
    example: "{to: baseline, min: 0.8}",
};

expectation! {
    /// Limits on the output tokens of a load's streams per second of the phase. Only successful streams count, in the
    /// phase in which they were due. The count is the server's own (`usage`) if it sends one; otherwise each chunk
    /// counts as one token.
    #[derive(Default)]
    pub struct TokenRate {
        /// At least this many tokens per second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0.0), extend("examples" = [150.0]))]
        pub min: Option<f64>,
        /// At most this many tokens per second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0.0), extend("examples" = [400.0]))]
        pub max: Option<f64>,
    }
    sampled {
        /// The minimum number of requests. With fewer, the verdict is `inconclusive`. Default: 20.
    },
    load,
}

impl ExpectationKind for TokenRate {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        None
    }

    fn sample(&self, kind: &'static ExpectationInfo) -> Option<Sample> {
        Some(Sample { sampling: Some(self.sampling()), ..Sample::floor(kind) })
    }

    fn demands(&self) -> Demands {
        Demands::NONE
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        check::limits(at, self.min, self.max, findings);
        check::range(at, [("min", self.min), ("max", self.max)], "tokens per second are", findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

expectation! {
    /// Limits on a rate per second (answers or tokens), relative to an earlier phase of the same run.
    pub struct RateRatio {
        /// The earlier phase to compare with.
        #[schemars(extend("examples" = ["baseline"]))]
        pub to: String,
        /// At least this many times the rate of the earlier phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0.0), extend("examples" = [0.8]))]
        pub min: Option<f64>,
        /// At most this many times the rate of the earlier phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0.0), extend("examples" = [1.2]))]
        pub max: Option<f64>,
    }
    sampled {
        /// The minimum number of requests in each of the two phases. With fewer, the verdict is `inconclusive`.
        /// Default: 20.
    },
    load,
}

impl ExpectationKind for RateRatio {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        Some(&self.to)
    }

    fn sample(&self, kind: &'static ExpectationInfo) -> Option<Sample> {
        Some(Sample { sampling: Some(self.sampling()), ..Sample::floor(kind) })
    }

    fn demands(&self) -> Demands {
        Demands::NONE
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        check::limits(at, self.min, self.max, findings);
        check::range(at, [("min", self.min), ("max", self.max)], "a ratio is", findings);
        check::earlier(at, &self.to, findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
