//! `pods`: what the cluster shows of some pods.

use super::kind::{About, At, ExpectationFacts, ExpectationKind};
use super::limits::CountLimits;
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::{PodSelector, Secret};
use crate::units::Duration;

pub(super) const PODS: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Cluster,
    counts_work: false,
    limit: "0",
    example: "{restarts: {max: 0}, ready_within: 30s}",
};

expectation! {
    /// Limits on what the cluster shows of some pods during the phase. They are looked at once a second.
    #[derive(Default)]
    pub struct Pods {
        /// Which pods. Default: those of the selectors of the scenario's faults, all that match.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub select: Option<PodSelector>,
        /// How many times containers of these pods started again during the phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub restarts: Option<CountLimits>,
        /// As many of these pods as were ready before the first fault are ready again at most so long after the phase began
        /// (or after its faults were in place), and stay so until its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["30s"]))]
        pub ready_within: Option<Duration>,
    }
}

impl ExpectationKind for Pods {
    const RULES: &'static [Rule] = &[Rule::Some(&["restarts", "ready_within"])];

    fn to(&self) -> Option<&str> {
        None
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        if self.restarts.is_none() && self.ready_within.is_none() {
            findings.push(
                at.path,
                Diagnostic::error(Code::Limits, "`pods` has no condition, so it cannot fail")
                    .help("write `restarts: {max: 0}` or `ready_within: 30s`"),
            );
        }
        if let Some(restarts) = self.restarts {
            check::counts(At { path: &at.key("restarts"), ..at }, restarts, findings);
        }
        if let (Some(within), Some(duration)) = (self.ready_within, at.duration(findings))
            && within >= duration
        {
            findings.push(
                &at.key("ready_within"),
                Diagnostic::error(
                    Code::LimitRange,
                    format!("the phase lasts {duration}: pods that are ready after {within} could not be seen"),
                )
                .help("lengthen the phase, or allow less"),
            );
        }
        check::selected(at, self.select.as_ref(), findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
