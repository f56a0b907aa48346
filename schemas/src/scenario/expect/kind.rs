//! The description of a kind of expectation: everything that is known before a verdict.

use super::limits::Sampling;
use crate::check::Findings;
use crate::rule::Rule;
use crate::samples;
use crate::scenario::{PodSelector, Secret};
use crate::units::{Duration, Percent, Percentile};

/// A kind of expectation.
#[derive(Debug)]
pub struct ExpectationInfo {
    /// Its key in a scenario, such as `latency_ratio`.
    pub name: &'static str,
    pub(super) summary: &'static str,
    /// The name of its type in the JSON Schema. Kinds with the same keys share one.
    pub definition: &'static str,
    /// Rules on combinations of its keys. `check` enforces the same rules and has the messages.
    pub rules: &'static [Rule],
    /// The facts from the kind's own file.
    pub facts: ExpectationFacts,
}

/// The facts that a kind's own file states.
#[derive(Debug)]
pub struct ExpectationFacts {
    /// The noun at the beginning of a title, such as `throughput `. Empty for the latency, and for kinds whose title
    /// has another form.
    pub noun: &'static str,
    /// The source of the data.
    pub about: About,
    /// True if its value grows with the number of requests. It can then be judged only after all requests have ended,
    /// and a comparison of phases depends on their pace.
    pub counts_work: bool,
    /// True if its sample is the gaps between tokens. How many of them a request has is not known before a run.
    pub counts_gaps: bool,
    /// What a report's timeline shows of it.
    pub shown: Shown,
    /// A limit, as an example in help texts.
    pub limit: &'static str,
    /// The value of its key in a complete expectation, as one line of YAML.
    pub example: &'static str,
}

/// The source of an expectation's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The run's own requests. The expectation is judged per load.
    Requests,
    /// The cluster's view of the service, such as its pods. The expectation is judged once.
    Cluster,
    /// Another system's view of the service, such as Prometheus. The expectation is judged once.
    Elsewhere,
}

/// What a report's timeline shows of an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// Its measure, in this panel.
    Measure(Panel),
    /// Its measure, in this panel, with its limits as lines.
    Limits(Panel),
    /// Its measure, in this panel, and its limit as a moment after the faults.
    Moment(Panel),
}

/// A panel of a report's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// Requests due per second, by outcome.
    Requests,
    /// The success rate.
    Success,
    /// Percentiles of the latency.
    Latency,
    /// Requests in flight.
    InFlight,
}

impl Shown {
    /// The panel that shows its measure.
    pub const fn panel(self) -> Option<Panel> {
        match self {
            Self::Nothing => None,
            Self::Measure(panel) | Self::Limits(panel) | Self::Moment(panel) => Some(panel),
        }
    }
}

impl ExpectationInfo {
    /// What it measures, in one sentence.
    pub fn summary(&self) -> &'static str {
        self.summary.trim()
    }
}

/// The facts about a phase that an expectation's check may use.
pub(crate) struct PhaseFacts<'s> {
    pub name: &'s str,
    pub duration: Duration,
    /// True if it has faults, including faults that were removed because they are invalid.
    pub has_faults: bool,
}

/// The position of an expectation in its scenario.
#[derive(Clone, Copy)]
pub(crate) struct At<'s> {
    /// The path of its map.
    pub path: &'s str,
    /// All phases of the scenario.
    pub phases: &'s [PhaseFacts<'s>],
    /// The index of its phase.
    pub phase: usize,
    pub kind: &'static ExpectationInfo,
}

impl At<'_> {
    /// The duration of its phase. None if the value in the file is invalid.
    pub(crate) fn duration(&self, findings: &Findings<'_>) -> Option<Duration> {
        let known = !findings.map.damaged(&format!("phases[{}].duration", self.phase));
        known.then(|| self.phases[self.phase].duration)
    }

    /// The path of one of its keys.
    pub(crate) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }
}

/// How many requests a verdict takes, as far as that is known before a run.
pub(crate) struct Sample {
    /// The number of requests, unless `min_samples` is given.
    pub requests: u64,
    /// The part of the expectation that takes them, as the file has it.
    pub part: String,
    /// Whether this part is the percentile.
    pub is_percentile: bool,
    /// Below this number of requests of the expectation's own phase nothing is decided. A sample that is too small for a
    /// pass may still refute a limit, and one failure decides a limit on their number.
    pub decides: u64,
    /// The values of `min_samples` and others, for a kind that has them.
    pub sampling: Option<Sampling>,
}

impl Sample {
    /// The smallest sample of any kind, which decides nothing if it is not complete.
    pub(super) fn floor(kind: &ExpectationInfo) -> Self {
        let part = format!("`{}`", kind.name);
        Self { requests: samples::FLOOR, part, is_percentile: false, decides: u64::MAX, sampling: None }
    }

    /// The sample of a share of the requests.
    pub(super) fn share(min: Option<Percent>, max: Option<Percent>, sampling: Sampling) -> Option<Self> {
        let part = match (min, max) {
            (Some(min), _) => format!("`min: {min}`"),
            (None, Some(max)) => format!("`max: {max}`"),
            (None, None) => return None,
        };
        let requests = samples::success_rate(min.map(Percent::fraction), max.map(Percent::fraction));
        Some(Self {
            requests,
            part,
            is_percentile: false,
            decides: samples::FLOOR_FOR_FAILURE,
            sampling: Some(sampling),
        })
    }

    /// The sample of a percentile.
    pub(super) fn percentile(percentile: Percentile, kind: &ExpectationInfo, sampling: Sampling) -> Option<Self> {
        let sampling = Some(sampling);
        if kind.facts.counts_gaps {
            let is_given = sampling.is_some_and(|it| it.min_samples.is_some());
            return (!is_given).then(|| Self { sampling, ..Self::floor(kind) });
        }
        let requests = samples::percentile(percentile.fraction());
        Some(Self {
            requests,
            part: format!("`{percentile}`"),
            is_percentile: true,
            decides: samples::FLOOR_FOR_FAILURE,
            sampling,
        })
    }
}

/// The pods that an expectation reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodsRead<'e> {
    /// Which pods. None for the targets of all faults.
    pub select: Option<&'e PodSelector>,
    /// True if it reads their logs as well.
    pub logs: bool,
}

/// The interface of the type of a kind.
pub(crate) trait ExpectationKind {
    /// Rules on combinations of its keys.
    const RULES: &'static [Rule];

    /// The earlier phase that it compares with, if it names one.
    fn to(&self) -> Option<&str>;

    /// How many requests a verdict takes. None for a kind that takes no sample of requests.
    fn sample(&self, kind: &'static ExpectationInfo) -> Option<Sample>;

    /// The pods that it reads, and so the permissions that it needs. A kind that is about the cluster must name them.
    fn pods(&self) -> Option<PodsRead<'_>> {
        None
    }

    /// Checks its limits: that they can be met, can be missed and can be observed.
    fn check(&self, at: At<'_>, findings: &mut Findings<'_>);

    /// Its secrets, which must not appear in a report.
    fn secrets(&self) -> Vec<Secret>;
}

/// Keys that some kinds have and others lack.
pub(super) trait Shared {
    fn load(&self) -> Option<&str> {
        None
    }
}

/// Defines the type of a kind: its own fields, followed by the shared fields that it has. `sampled` adds the fields of
/// kinds that are judged from a sample of requests. Its comment documents `min_samples`.
macro_rules! expectation {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* } $($parts:tt)*) => {
        expectation!(@ [$(#[$meta])*] $name [$($own)*] [] [] $($parts)*);
    };
    (@ $meta:tt $name:ident [$($fields:tt)*] [$($get:tt)*] [$($inherent:tt)*]
     sampled { $(#[$needed:meta])+ }, $($rest:tt)*) => {
        expectation!(@ $meta $name [$($fields)*
            $(#[$needed])+
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(range(min = 1), extend("examples" = [300]))]
            pub min_samples: Option<u64>,
            /// What is compared with the limits: the observed value, or its whole interval. Default `point`.
            #[serde(default, skip_serializing_if = "crate::scenario::expect::limits::Decide::is_point")]
            pub decide: $crate::scenario::expect::limits::Decide,
            /// The confidence level of the interval. Default 95%.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(extend("examples" = ["99%"]))]
            pub confidence: Option<$crate::units::Percent>,
        ] [$($get)*] [$($inherent)*
            /// How its verdict follows from a sample of requests.
            pub fn sampling(&self) -> $crate::scenario::expect::limits::Sampling {
                $crate::scenario::expect::limits::Sampling {
                    min_samples: self.min_samples,
                    decide: self.decide,
                    confidence: self.confidence,
                }
            }
        ] $($rest)*);
    };
    (@ $meta:tt $name:ident [$($fields:tt)*] [$($get:tt)*] $inherent:tt
     load, $($rest:tt)*) => {
        expectation!(@ $meta $name [$($fields)*
            /// The load to judge. Default: every load, each separately.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(extend("examples" = ["completions"]))]
            pub load: Option<String>,
        ] [$($get)*
            fn load(&self) -> Option<&str> {
                self.load.as_deref()
            }
        ] $inherent $($rest)*);
    };
    (@ [$($meta:tt)*] $name:ident [$($fields:tt)*] [$($get:tt)*] [$($inherent:tt)*]) => {
        $($meta)*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($fields)* }

        impl $name { $($inherent)* }

        impl $crate::scenario::expect::kind::Shared for $name { $($get)* }
    };
}

/// The list of all kinds. Defines the type of an expectation and everything that follows from the list.
macro_rules! expectation_kinds {
    ($($(#[doc = $summary:literal])+ $name:literal => $variant:ident($type:ident), $facts:expr;)*) => {
        /// One expectation: a map with one key, its kind. `min` and `max` are inclusive. At least one of them is
        /// required.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[expect(clippy::large_enum_variant, reason = "a file has few of them")]
        pub enum Expectation {
            $($(#[doc = $summary])+ #[serde(rename = $name)] $variant($type),)*
        }

        impl Expectation {
            /// All kinds, in the order of the documentation.
            pub const KINDS: &'static [ExpectationInfo] = &[$(ExpectationInfo {
                name: $name,
                summary: concat!($($summary),+),
                definition: stringify!($type),
                rules: <$type as ExpectationKind>::RULES,
                facts: $facts,
            },)*];

            /// The key of its kind in a scenario.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Its index in the list of kinds.
            const fn index(&self) -> usize {
                enum Index { $($variant,)* }
                match self { $(Self::$variant(_) => Index::$variant as usize,)* }
            }

            /// The load to judge. None for every load.
            pub fn load(&self) -> Option<&str> {
                match self { $(Self::$variant(it) => Shared::load(it),)* }
            }

            /// The earlier phase that it compares with, if it names one.
            pub fn to(&self) -> Option<&str> {
                match self { $(Self::$variant(it) => ExpectationKind::to(it),)* }
            }

            /// How many requests a verdict takes. None for a kind that takes no sample of requests.
            pub(crate) fn sample(&self) -> Option<Sample> {
                let kind = self.info();
                match self { $(Self::$variant(it) => ExpectationKind::sample(it, kind),)* }
            }

            /// How many requests of each compared phase it needs. Fewer make it inconclusive, unless they already refute it.
            /// None for a kind that takes no sample of requests.
            pub fn requests_needed(&self) -> Option<u64> {
                self.sample().map(|it| it.sampling.and_then(|it| it.min_samples).unwrap_or(it.requests))
            }

            /// The pods that it reads.
            pub fn pods(&self) -> Option<PodsRead<'_>> {
                match self { $(Self::$variant(it) => ExpectationKind::pods(it),)* }
            }

            /// Checks the expectation at this path, the path of its map.
            pub(crate) fn check(&self, path: &str, phases: &[PhaseFacts<'_>], phase: usize, findings: &mut Findings<'_>) {
                let at = At { path, phases, phase, kind: self.info() };
                match self { $(Self::$variant(it) => ExpectationKind::check(it, at, findings),)* }
            }

            /// Its secrets, which must not appear in a report.
            pub fn secrets(&self) -> Vec<Secret> {
                match self { $(Self::$variant(it) => ExpectationKind::secrets(it),)* }
            }
        }
    };
}
