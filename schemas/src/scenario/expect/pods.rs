//! `pods`: restarts and readiness of pods.

use super::kind::{
    About, At, Demands, ExpectationFacts, ExpectationInfo, ExpectationKind, PodsRead, Reference, Sample, Shown,
};
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
    counts_gaps: false,
    of_tokens: false,
    reference: Reference::Nothing,
    shown: Shown::Nothing,
    limit: "0",
    example: "{restarts: {max: 0}, ready_within: 30s}",
};

expectation! {
    /// Limits on restarts and readiness of pods during the phase. The runner reads the pods once per second.
    #[derive(Default)]
    pub struct Pods {
        /// The pods. Default: all pods that match the selectors of the scenario's faults.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub select: Option<PodSelector>,
        /// The number of container restarts of these pods during the phase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub restarts: Option<CountLimits>,
        /// How soon the pods must be ready again, from the start of the phase or from the moment at which its faults
        /// are in place. As many pods as before the first fault must be ready, and stay ready until the phase's end.
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

    fn sample(&self, _: &'static ExpectationInfo) -> Option<Sample> {
        None
    }

    fn pods(&self) -> Option<PodsRead<'_>> {
        Some(PodsRead { select: self.select.as_ref(), logs: false })
    }

    fn demands(&self) -> Demands {
        Demands::NONE
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
