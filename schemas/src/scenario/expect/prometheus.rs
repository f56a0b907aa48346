//! `prometheus`: the value of a Prometheus query.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{About, At, Demands, ExpectationFacts, ExpectationInfo, ExpectationKind, Reference, Sample, Shown};
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::{Duration, Percent};

pub(super) const PROMETHEUS: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Elsewhere,
    counts_work: false,
    counts_gaps: false,
    of_tokens: false,
    reference: Reference::Nothing,
    shown: Shown::Nothing,
    limit: "2",
    example: "{url: \"http://prometheus.monitoring:9090\", query: sum(up), min: 3}",
};

expectation! {
    /// Limits on the value of a Prometheus query over the phase, absolute or relative to an earlier phase.
    pub struct Prometheus {
        /// The server's URL, without `/api/v1`.
        #[schemars(extend("examples" = ["http://prometheus.monitoring:9090"]))]
        pub url: String,
        /// The query, in PromQL. It must return one series: aggregate with `sum`, `avg` or `max`.
        #[schemars(extend("examples" = ["sum(rate(http_requests_total{code=~\"5..\"}[30s]))"]))]
        pub query: String,
        /// How the values of the phase are combined into one. Default `mean`.
        #[serde(default, skip_serializing_if = "Over::is_mean")]
        pub over: Over,
        /// The earlier phase to compare with. The limits then apply to the ratio of the two values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["baseline"]))]
        pub to: Option<String>,
        /// At least this value, or at least this many times the value of the earlier phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [0.5]))]
        pub min: Option<f64>,
        /// At most this value, or at most this many times the value of the earlier phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [2.0]))]
        pub max: Option<f64>,
        /// The time between two values of the phase. Default 1s, longer for phases of more than 5 minutes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["5s"]))]
        pub step: Option<Duration>,
        /// The share of the phase's values that must exist and be finite numbers. With fewer, the verdict is
        /// `inconclusive`. Default 75%.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["95%"]))]
        pub min_coverage: Option<Percent>,
        /// Headers of the request, such as `Authorization`.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        #[schemars(extend("examples" = [{"Authorization": "Bearer {{ token }}"}]))]
        pub headers: IndexMap<String, String>,
    }
}

impl ExpectationKind for Prometheus {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        self.to.as_deref()
    }

    fn sample(&self, _: &'static ExpectationInfo) -> Option<Sample> {
        None
    }

    fn demands(&self) -> Demands {
        Demands::NONE
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        check::limits(at, self.min, self.max, findings);
        if let Some(to) = &self.to {
            check::earlier(at, to, findings);
        }
        let rest = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/') || rest.contains(char::is_whitespace)) {
            findings.push(
                &at.key("url"),
                Diagnostic::error(Code::Url, format!("`{}` is not an HTTP URL", self.url))
                    .help("write one such as `http://prometheus.monitoring:9090`"),
            );
        }
        if self.query.trim().is_empty() {
            findings.push(
                &at.key("query"),
                Diagnostic::error(Code::NothingThere, "this query is empty").help("write one such as `sum(up)`"),
            );
        }
        if self.step.is_some_and(|step| step.is_zero()) {
            findings.push(
                &at.key("step"),
                Diagnostic::error(Code::ZeroDuration, "this step is zero").help("write `step: 1s`"),
            );
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        let url = Secret::Url(self.url.clone());
        Secret::plain_headers(&self.headers).into_iter().chain([url]).collect()
    }
}

/// How the values of a phase are combined into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The mean.
    #[default]
    Mean,
    /// The maximum.
    Max,
    /// The minimum.
    Min,
    /// The last value, by an instant query at the phase's end.
    End,
}

impl Over {
    /// True for the default.
    pub const fn is_mean(&self) -> bool {
        matches!(self, Self::Mean)
    }

    /// The word for it in a scenario.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
            Self::End => "end",
        }
    }
}
