//! Percentiles of what requests take, alone and divided by those of an earlier phase.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{About, At, ExpectationFacts, ExpectationKind};
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::{Duration, Percentile, short};

/// Below this, the chance differences between two phases of the same service decide about a ratio of percentiles.
const TIGHT_RATIO: f64 = 1.25;

pub(super) const LATENCY: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: false,
    limit: "500ms",
    example: "{percentile: p95, max: 500ms}",
};

pub(super) const LATENCY_RATIO: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: false,
    limit: "3",
    example: "{percentile: p95, to: baseline, max: 3}",
};

pub(super) const TIME_TO_FIRST_TOKEN: ExpectationFacts = ExpectationFacts {
    noun: "time to first token ",
    about: About::Requests,
    counts_work: false,
    limit: "500ms",
    example: "{percentile: p95, max: 500ms}",
};

pub(super) const TIME_TO_FIRST_TOKEN_RATIO: ExpectationFacts = ExpectationFacts {
    noun: "time to first token ",
    about: About::Requests,
    counts_work: false,
    limit: "3",
    example: "{percentile: p95, to: baseline, max: 3}",
};

pub(super) const INTER_TOKEN_LATENCY: ExpectationFacts = ExpectationFacts {
    noun: "inter-token latency ",
    about: About::Requests,
    counts_work: false,
    limit: "100ms",
    example: "{percentile: p95, max: 100ms}",
};

pub(super) const INTER_TOKEN_LATENCY_RATIO: ExpectationFacts = ExpectationFacts {
    noun: "inter-token latency ",
    about: About::Requests,
    counts_work: false,
    limit: "3",
    example: "{percentile: p95, to: baseline, max: 3}",
};

/// Which requests a latency is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatencyOf {
    /// Every request that was due, with the time until its outcome: a failure counts with the time until it failed, and one
    /// that was given up with at least the time until then. Failures that were quicker than the percentile are left out:
    /// they would make a broken service look fast.
    #[default]
    All,
    /// Only those that succeeded.
    Successes,
}

impl LatencyOf {
    /// True for the default.
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

expectation! {
    /// Limits on a percentile of the latency.
    pub struct Latency {
        /// Which percentile.
        pub percentile: Percentile,
        /// Which requests it is of. Default `all`. Only for `latency` and `latency_ratio`.
        #[serde(default, skip_serializing_if = "LatencyOf::is_all")]
        pub of: LatencyOf,
        /// At least this long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub min: Option<Duration>,
        /// At most this long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max: Option<Duration>,
    }
    sampled {
        /// How many requests the answer needs at least. Default: as many as the question takes, see the judge's rules; with
        /// fewer the answer is `inconclusive`.
    },
    load,
}

impl ExpectationKind for Latency {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        None
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        only_of_latency(at, self.of, findings);
        check::limits(at, self.min.map(Duration::as_secs_f64), self.max.map(Duration::as_secs_f64), findings);
        // The pieces of a stream can come at once; an answer cannot.
        if at.kind.facts.noun != INTER_TOKEN_LATENCY.noun && self.max.is_some_and(Duration::is_zero) {
            findings.push(
                &at.key("max"),
                Diagnostic::error(Code::LimitRange, "a latency is never 0 s: no answer can meet this limit"),
            );
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

expectation! {
    /// Limits on a percentile of the latency, relative to an earlier phase of the same run.
    pub struct LatencyRatio {
        /// Which percentile.
        pub percentile: Percentile,
        /// Which requests it is of. Default `all`. Only for `latency` and `latency_ratio`.
        #[serde(default, skip_serializing_if = "LatencyOf::is_all")]
        pub of: LatencyOf,
        /// The earlier phase to compare with.
        #[schemars(extend("examples" = ["baseline"]))]
        pub to: String,
        /// At least this many times as long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0.0), extend("examples" = [1.0]))]
        pub min: Option<f64>,
        /// At most this many times as long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0.0), extend("examples" = [3.0]))]
        pub max: Option<f64>,
        /// A value of this percentile that is good whatever the ratio says, so that a tiny baseline does not fail a run: with
        /// `or_below: 50ms`, 3 ms after 1 ms passes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["50ms"]))]
        pub or_below: Option<Duration>,
    }
    sampled {
        /// How many requests the answer needs at least. Default: as many as the question takes, see the judge's rules; with
        /// fewer the answer is `inconclusive`.
    },
    load,
}

impl ExpectationKind for LatencyRatio {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        Some(&self.to)
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        only_of_latency(at, self.of, findings);
        check::limits(at, self.min, self.max, findings);
        for (key, limit) in [("min", self.min), ("max", self.max)] {
            if let Some(limit) =
                limit.filter(|limit| !limit.is_finite() || *limit < 0.0 || (key == "max" && *limit == 0.0))
            {
                findings.push(
                    &at.key(key),
                    Diagnostic::error(
                        Code::LimitRange,
                        format!("a ratio is more than 0, and this limit is {}", short(limit)),
                    )
                    .help("`3` means three times as long"),
                );
            }
        }
        if let Some(max) = self.max.filter(|max| *max > 0.0 && *max < TIGHT_RATIO) {
            findings.push(
                &at.key("max"),
                Diagnostic::warning(
                    Code::TightRatio,
                    format!(
                        "a ratio of percentiles varies by chance: at most {} times asks for very many requests",
                        short(max)
                    ),
                )
                .help("with fewer, chance alone may miss it: allow `1.25` or more, or write `decide: interval`"),
            );
        }
        check::earlier(at, &self.to, findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

/// That `of` is not asked of tokens: a request without any has no time to its first one.
fn only_of_latency(at: At<'_>, of: LatencyOf, findings: &mut Findings<'_>) {
    // The latency itself has no noun.
    if !of.is_all() && !at.kind.facts.noun.is_empty() {
        findings.push(
            &at.key("of"),
            Diagnostic::error(Code::Limits, "`of` is only for `latency` and `latency_ratio`")
                .help("leave it out: only requests that brought tokens count here"),
        );
    }
}
