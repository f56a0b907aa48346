//! `recovery_time`: how soon the service behaves again as it did before the faults.

use super::kind::{About, At, ExpectationFacts, ExpectationInfo, ExpectationKind, Panel, Sample, Shown};
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::samples;
use crate::scenario::Secret;
use crate::units::{Duration, Percent, short};

/// The shortest window for detecting recovery. Shorter windows contain too few requests for a percentile.
const SHORTEST_WINDOW: Duration = Duration::from_millis(250);

pub(super) const RECOVERY_TIME: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Requests,
    counts_work: false,
    counts_gaps: false,
    shown: Shown::Moment(Panel::Success),
    limit: "15s",
    example: "{max: 15s, hold: 5s}",
};

expectation! {
    /// Limits on the time to recover.
    pub struct RecoveryTime {
        /// At least this long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub min: Option<Duration>,
        /// At most this long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max: Option<Duration>,
        /// How long the service must stay within tolerance to count as recovered. Default 5s.
        #[serde(default = "RecoveryTime::default_hold")]
        pub hold: Duration,
        /// The phase to compare with. Default: the last phase without faults before the first fault.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["baseline"]))]
        pub to: Option<String>,
        /// The length of the evaluated windows, and so the resolution of the result. Default 1s.
        #[serde(default = "RecoveryTime::default_window")]
        pub window: Duration,
        /// How far a window's success rate may be below the baseline's, in percentage points. Default 1%.
        #[serde(default = "RecoveryTime::default_tolerance")]
        pub tolerance: Percent,
        /// The largest allowed ratio of a window's p95 to the baseline's p95. Default 2.
        #[serde(default = "RecoveryTime::default_latency_tolerance")]
        #[schemars(range(min = 1.0))]
        pub latency_tolerance: f64,
    }
    load,
}

impl Default for RecoveryTime {
    fn default() -> Self {
        Self {
            min: None,
            max: None,
            hold: Self::default_hold(),
            to: None,
            window: Self::default_window(),
            tolerance: Self::default_tolerance(),
            latency_tolerance: Self::default_latency_tolerance(),
            load: None,
        }
    }
}

impl RecoveryTime {
    fn default_hold() -> Duration {
        Duration::from_secs(5)
    }

    fn default_window() -> Duration {
        Duration::from_secs(1)
    }

    fn default_tolerance() -> Percent {
        Percent::from_fraction(0.01)
    }

    fn default_latency_tolerance() -> f64 {
        2.0
    }
}

impl ExpectationKind for RecoveryTime {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        self.to.as_deref()
    }

    fn sample(&self, kind: &'static ExpectationInfo) -> Option<Sample> {
        let part = "the baseline of `recovery_time`".to_owned();
        Some(Sample { requests: samples::percentile(0.95), part, ..Sample::floor(kind) })
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        check::limits(at, self.min.map(Duration::as_secs_f64), self.max.map(Duration::as_secs_f64), findings);
        if let Some(to) = &self.to {
            check::earlier(at, to, findings);
        }
        after_faults(at, self, findings);
        let duration = at.duration(findings);
        if let Some(duration) = duration.filter(|duration| self.hold >= *duration) {
            findings.push(
                &at.key("hold"),
                Diagnostic::error(
                    Code::RecoveryWindow,
                    format!(
                        "the service must hold for {}, but the phase lasts {duration}: recovery can never be observed",
                        self.hold
                    ),
                )
                .help("lengthen the phase, or shorten `hold`"),
            );
        } else if let (Some(max), Some(duration)) = (self.max, duration)
            && max.get() + self.hold.get() > duration.get()
        {
            findings.push(
                &at.key("max"),
                Diagnostic::warning(
                    Code::RecoveryWindow,
                    format!(
                        "a recovery after {max} that holds for {} needs more than the phase's {duration}",
                        self.hold
                    ),
                )
                .help("lengthen the phase: a recovery that is not observed in time counts as none"),
            );
        }
        if self.window < SHORTEST_WINDOW {
            findings.push(
                &at.key("window"),
                Diagnostic::error(
                    Code::RecoveryWindow,
                    format!("a window of {} is too short to be judged", self.window),
                )
                .help(format!("write `window: {SHORTEST_WINDOW}` or more")),
            );
        } else if self.window > self.hold {
            let key = if findings.map.has(&at.key("window")) { "window" } else { "hold" };
            findings.push(
                &at.key(key),
                Diagnostic::error(
                    Code::RecoveryWindow,
                    format!("a window of {} does not fit into a hold of {}", self.window, self.hold),
                )
                .help("lengthen `hold`, or shorten `window`"),
            );
        }
        if !self.latency_tolerance.is_finite() || self.latency_tolerance < 1.0 {
            findings.push(
                &at.key("latency_tolerance"),
                Diagnostic::error(
                    Code::RecoveryWindow,
                    format!(
                        "with a tolerance of {} times not even the baseline itself would count as recovered",
                        short(self.latency_tolerance)
                    ),
                )
                .help("write `latency_tolerance: 2`"),
            );
        }
        if self.tolerance.fraction() >= 1.0 {
            findings.push(
                &at.key("tolerance"),
                Diagnostic::error(
                    Code::RecoveryWindow,
                    "with this tolerance a service that answers nothing counts as recovered",
                )
                .help("write `tolerance: 1%`"),
            );
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

/// Checks that a fault was undone before this phase, and that a baseline precedes that fault.
fn after_faults(at: At<'_>, it: &RecoveryTime, findings: &mut Findings<'_>) {
    // A part of an earlier phase that could not be read may be its faults.
    if (0..at.phase).any(|phase| findings.map.gone(&format!("phases[{phase}]"))) {
        return;
    }
    match at.phases[..at.phase].iter().position(|phase| phase.has_faults) {
        None => findings.push(
            at.path,
            Diagnostic::error(
                Code::NoRecovery,
                "no phase before this one has a fault: there is nothing to recover from",
            )
            .help("ask for `recovery_time` in the phase after the one with the fault"),
        ),
        Some(0) if it.to.is_none() => findings.push(
            at.path,
            Diagnostic::error(
                Code::NoRecovery,
                "no phase comes before the first fault: there is no baseline to recover to",
            )
            .help("put a phase without faults at the beginning, such as `baseline`, or name one by `to`"),
        ),
        Some(_) => {}
    }
}
