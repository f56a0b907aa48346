//! `goodput`: the share of requests that succeeded within all latency bounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{
    About, Ahead, At, Demands, ExpectationFacts, ExpectationInfo, ExpectationKind, Panel, Reference, Sample, Shown,
};
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::{Duration, Percent};

pub(super) const GOODPUT: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: false,
    counts_gaps: false,
    of_tokens: false,
    reference: Reference::Described,
    shown: Shown::Measure(Panel::Success),
    limit: "90%",
    example: "{min: 90%, of: {time_to_first_token: 500ms, inter_token_latency_mean: 50ms, latency: 10s}}",
};

expectation! {
    /// Limits on the share of all due requests that succeeded and met every bound of `of`. Reports show the baseline's
    /// share as well.
    #[derive(Default)]
    pub struct Goodput {
        /// The bounds that a request must meet. Each is inclusive.
        pub of: GoodputBounds,
        /// At least this share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub min: Option<Percent>,
        /// At most this share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max: Option<Percent>,
        /// The earlier phase to compare with. Reports show the ratio of the two shares. It does not affect the verdict.
        /// Default: the last phase before the first fault.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["baseline"]))]
        pub to: Option<String>,
    }
    sampled {
        /// The minimum number of requests. With fewer, the verdict is `inconclusive`. Default: as many as the limits
        /// require, by the judge's rules.
    },
    load,
}

/// The bounds that a request must meet, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoodputBounds {
    /// The longest time from due to the last byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["10s"]))]
    pub latency: Option<Duration>,
    /// Streams: the longest time from due to the first token. An answer without a token does not meet it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["500ms"]))]
    pub time_to_first_token: Option<Duration>,
    /// Streams: the longest mean time between tokens: from the first token to the last, divided by the number of tokens
    /// after the first. An answer with one token meets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["50ms"]))]
    pub inter_token_latency_mean: Option<Duration>,
}

impl GoodputBounds {
    /// The given bounds, by key, in the order of the fields.
    pub fn all(&self) -> Vec<(&'static str, Duration)> {
        let all = [
            ("latency", self.latency),
            ("time_to_first_token", self.time_to_first_token),
            ("inter_token_latency_mean", self.inter_token_latency_mean),
        ];
        all.into_iter().filter_map(|(name, bound)| Some((name, bound?))).collect()
    }

    /// True if a bound applies only to streams.
    pub const fn is_of_streams(&self) -> bool {
        self.time_to_first_token.is_some() || self.inter_token_latency_mean.is_some()
    }
}

impl ExpectationKind for Goodput {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        self.to.as_deref()
    }

    fn sample(&self, _: &'static ExpectationInfo) -> Option<Sample> {
        Sample::share(self.min, self.max, self.sampling())
    }

    fn demands(&self) -> Demands {
        let ahead = Ahead::Share { min: self.min, max: self.max, decide: self.decide };
        Demands { failures: self.max.is_some(), tokens: self.of.is_of_streams(), ahead, ..Demands::NONE }
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        let (min, max) = (self.min.map(Percent::fraction), self.max.map(Percent::fraction));
        check::limits(at, min, max, findings);
        if min.is_none_or(|min| min <= 0.0) && max.is_some_and(|max| max >= 1.0) {
            check::always(at.path, findings);
        }
        if let Some(to) = &self.to {
            check::earlier(at, to, findings);
        }
        let bounds = self.of.all();
        if bounds.is_empty() {
            findings.push(
                &at.key("of"),
                Diagnostic::error(Code::Limits, "`of` has no bound: this is the same as `success_rate`").help(
                    "write `of: {latency: 10s}`, or `time_to_first_token` and `inter_token_latency_mean` of a stream",
                ),
            );
        }
        for (name, _) in bounds.iter().filter(|(_, bound)| bound.is_zero()) {
            findings.push(
                &at.key(&format!("of.{name}")),
                Diagnostic::error(Code::ZeroDuration, "no request can meet a bound of zero")
                    .help(format!("write `{name}: 1s`")),
            );
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
