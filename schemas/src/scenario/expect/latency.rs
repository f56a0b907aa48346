//! Percentiles of latencies, absolute and relative to an earlier phase.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{About, At, ExpectationFacts, ExpectationInfo, ExpectationKind, Panel, Sample, Shown};
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::{Duration, Percentile, short};

/// Smaller limits on a ratio of percentiles are within the random differences between two phases of the same service.
const TIGHT_RATIO: f64 = 1.25;

pub(super) const LATENCY: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: false,
    counts_gaps: false,
    shown: Shown::Limits(Panel::Latency),
    limit: "500ms",
    example: "{percentile: p95, max: 500ms}",
};

pub(super) const LATENCY_RATIO: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: false,
    counts_gaps: false,
    shown: Shown::Limits(Panel::Latency),
    limit: "3",
    example: "{percentile: p95, to: baseline, max: 3}",
};

pub(super) const TIME_TO_FIRST_TOKEN: ExpectationFacts = ExpectationFacts {
    noun: "time to first token ",
    about: About::Requests,
    counts_work: false,
    counts_gaps: false,
    shown: Shown::Nothing,
    limit: "500ms",
    example: "{percentile: p95, max: 500ms}",
};

pub(super) const TIME_TO_FIRST_TOKEN_RATIO: ExpectationFacts = ExpectationFacts {
    noun: "time to first token ",
    about: About::Requests,
    counts_work: false,
    counts_gaps: false,
    shown: Shown::Nothing,
    limit: "3",
    example: "{percentile: p95, to: baseline, max: 3}",
};

pub(super) const INTER_TOKEN_LATENCY: ExpectationFacts = ExpectationFacts {
    noun: "inter-token latency ",
    about: About::Requests,
    counts_work: false,
    counts_gaps: true,
    shown: Shown::Nothing,
    limit: "100ms",
    example: "{percentile: p95, max: 100ms}",
};

pub(super) const INTER_TOKEN_LATENCY_RATIO: ExpectationFacts = ExpectationFacts {
    noun: "inter-token latency ",
    about: About::Requests,
    counts_work: false,
    counts_gaps: true,
    shown: Shown::Nothing,
    limit: "3",
    example: "{percentile: p95, to: baseline, max: 3}",
};

/// Which requests a latency percentile includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatencyOf {
    /// All due requests. A failed request counts with the time until it failed. A request that was given up counts with
    /// at least the time until then. Failures faster than the percentile are left out: they would make a broken service
    /// look fast.
    #[default]
    All,
    /// Only successful requests.
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
        /// The percentile.
        pub percentile: Percentile,
        /// Which requests the percentile includes. Default `all`. Only for `latency` and `latency_ratio`.
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
        /// The minimum number of requests. With fewer, the verdict is `inconclusive`. Default: as many as the limits
        /// require, by the judge's rules.
    },
    load,
}

impl ExpectationKind for Latency {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        None
    }

    fn sample(&self, kind: &'static ExpectationInfo) -> Option<Sample> {
        Sample::percentile(self.percentile, kind, self.sampling())
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        only_of_latency(at, self.of, findings);
        check::limits(at, self.min.map(Duration::as_secs_f64), self.max.map(Duration::as_secs_f64), findings);
        // The chunks of a stream can arrive at the same moment. An answer takes time.
        if at.kind.facts.noun != INTER_TOKEN_LATENCY.noun && self.max.is_some_and(Duration::is_zero) {
            findings.push(
                &at.key("max"),
                Diagnostic::error(Code::LimitRange, "a latency is never 0 s: no answer can meet this limit")
                    .help("write `max: 500ms`"),
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
        /// The percentile.
        pub percentile: Percentile,
        /// Which requests the percentile includes. Default `all`. Only for `latency` and `latency_ratio`.
        #[serde(default, skip_serializing_if = "LatencyOf::is_all")]
        pub of: LatencyOf,
        /// The earlier phase to compare with.
        #[schemars(extend("examples" = ["baseline"]))]
        pub to: String,
        /// At least this many times the latency of the earlier phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0.0), extend("examples" = [1.0]))]
        pub min: Option<f64>,
        /// At most this many times the latency of the earlier phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0.0), extend("examples" = [3.0]))]
        pub max: Option<f64>,
        /// An absolute value that passes regardless of the ratio, so that a very small baseline does not fail the run.
        /// With `or_below: 50ms`, 3 ms after 1 ms passes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["50ms"]))]
        pub or_below: Option<Duration>,
    }
    sampled {
        /// The minimum number of requests. With fewer, the verdict is `inconclusive`. Default: as many as the limits
        /// require, by the judge's rules.
    },
    load,
}

impl ExpectationKind for LatencyRatio {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        Some(&self.to)
    }

    fn sample(&self, kind: &'static ExpectationInfo) -> Option<Sample> {
        Sample::percentile(self.percentile, kind, self.sampling())
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
                        "a ratio of percentiles varies by chance: a limit of {} needs very many requests",
                        short(max)
                    ),
                )
                .help(
                    "with fewer, chance alone can exceed the limit: allow `1.25` or more, or write `decide: interval`",
                ),
            );
        }
        check::earlier(at, &self.to, findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

/// Refuses `of` for gaps between tokens: a request without tokens has none.
fn only_of_latency(at: At<'_>, of: LatencyOf, findings: &mut Findings<'_>) {
    if !of.is_all() && at.kind.name.starts_with("inter_token") {
        findings.push(
            &at.key("of"),
            Diagnostic::error(Code::Limits, "`of` is only for latencies and the time to the first token")
                .help("remove it: this percentile is of gaps between tokens, whether or not the request succeeded"),
        );
    }
}
