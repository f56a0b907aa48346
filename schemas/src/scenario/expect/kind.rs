//! What makes a kind of expectation: everything about its question that is known before it is answered.

use crate::check::Findings;
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::Duration;

/// A kind of expectation.
#[derive(Debug)]
pub struct ExpectationInfo {
    /// Its key in a scenario, such as `latency_ratio`.
    pub name: &'static str,
    pub(super) summary: &'static str,
    /// The name of its type in the JSON Schema. Kinds that take the same keys share one.
    pub definition: &'static str,
    /// What its keys must say together. The program checks the same, with a message.
    pub rules: &'static [Rule],
    /// What its own file says about it.
    pub facts: ExpectationFacts,
}

/// What a kind's own file says about it.
#[derive(Debug)]
pub struct ExpectationFacts {
    /// What its value is of, for the beginning of a title; empty for the latency and where a title says it otherwise.
    pub noun: &'static str,
    /// Where the answer comes from.
    pub about: About,
    /// Whether its value grows with the number of requests. Then it cannot be asked while some are under way, and a
    /// comparison of phases depends on their pace.
    pub counts_work: bool,
    /// A limit, for a help.
    pub limit: &'static str,
    /// What follows its key in a complete expectation, as YAML in one line.
    pub example: &'static str,
}

/// What an expectation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The run's own requests: it is asked of each load.
    Requests,
    /// What the cluster shows of the service, such as its pods: it is asked once.
    Cluster,
    /// What somewhere else shows of the service, such as Prometheus: it is asked once.
    Elsewhere,
}

impl ExpectationInfo {
    /// What it asks, in a sentence.
    pub fn summary(&self) -> &'static str {
        self.summary.trim()
    }
}

/// What an expectation may know of a phase.
pub(crate) struct PhaseFacts<'s> {
    pub name: &'s str,
    pub duration: Duration,
    /// Whether it has faults, those included that are taken out because they are wrong.
    pub has_faults: bool,
}

/// Where an expectation is in its scenario.
#[derive(Clone, Copy)]
pub(crate) struct At<'s> {
    /// The path of its own map.
    pub path: &'s str,
    /// All phases of the scenario.
    pub phases: &'s [PhaseFacts<'s>],
    /// The index of its phase.
    pub phase: usize,
    pub kind: &'static ExpectationInfo,
}

impl At<'_> {
    /// How long its phase lasts; none where the file says it wrongly.
    pub(crate) fn duration(&self, findings: &Findings<'_>) -> Option<Duration> {
        let known = !findings.map.damaged(&format!("phases[{}].duration", self.phase));
        known.then(|| self.phases[self.phase].duration)
    }

    /// The path of one of its keys.
    pub(crate) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }
}

/// What the type of a kind has to provide.
pub(crate) trait ExpectationKind {
    /// What its keys must say together.
    const RULES: &'static [Rule];

    /// The earlier phase that it compares with, where it names one.
    fn to(&self) -> Option<&str>;

    /// Checks its limits, and that they can be met, can fail and can be seen.
    fn check(&self, at: At<'_>, findings: &mut Findings<'_>);

    /// What in it must not reach a report.
    fn secrets(&self) -> Vec<Secret>;
}

/// What several kinds have, and others lack.
pub(super) trait Shared {
    fn load(&self) -> Option<&str> {
        None
    }
}

/// The type of a kind: its own fields, and behind them the shared parts that it has. `sampled` is for answers from a sample of
/// requests; its comment says how many the answer needs.
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
            /// What is held against the limits: the observed value, or its whole interval. Default `point`.
            #[serde(default, skip_serializing_if = "crate::scenario::expect::limits::Decide::is_point")]
            pub decide: $crate::scenario::expect::limits::Decide,
            /// The confidence level of the interval. Default 95%.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(extend("examples" = ["99%"]))]
            pub confidence: Option<$crate::units::Percent>,
        ] [$($get)*] [$($inherent)*
            /// How its answer follows from a sample of requests.
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
            /// Only this load. Default: each load is asked by itself.
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

/// The list of all kinds: the type of an expectation, and what follows from the list alone.
macro_rules! expectation_kinds {
    ($($(#[doc = $summary:literal])+ $name:literal => $variant:ident($type:ident), $facts:expr;)*) => {
        /// One check: a map with one key, the kind of expectation. `min` and `max` are both inclusive, and at least one of
        /// them is given.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum Expectation {
            $($(#[doc = $summary])+ #[serde(rename = $name)] $variant($type),)*
        }

        impl Expectation {
            /// Every kind, in the order of the documents.
            pub const KINDS: &'static [ExpectationInfo] = &[$(ExpectationInfo {
                name: $name,
                summary: concat!($($summary),+),
                definition: stringify!($type),
                rules: <$type as ExpectationKind>::RULES,
                facts: $facts,
            },)*];

            /// The kind, as it is written in a scenario.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Its place in the list of kinds.
            const fn index(&self) -> usize {
                enum Place { $($variant,)* }
                match self { $(Self::$variant(_) => Place::$variant as usize,)* }
            }

            /// The load that is asked; without it, each of them.
            pub fn load(&self) -> Option<&str> {
                match self { $(Self::$variant(it) => Shared::load(it),)* }
            }

            /// The earlier phase that it compares with, where it names one.
            pub fn to(&self) -> Option<&str> {
                match self { $(Self::$variant(it) => ExpectationKind::to(it),)* }
            }

            /// Checks it, at the path of its map in a phase.
            pub(crate) fn check(&self, path: &str, phases: &[PhaseFacts<'_>], phase: usize, findings: &mut Findings<'_>) {
                let at = At { path, phases, phase, kind: self.info() };
                match self { $(Self::$variant(it) => ExpectationKind::check(it, at, findings),)* }
            }

            /// What in it must not reach a report.
            pub fn secrets(&self) -> Vec<Secret> {
                match self { $(Self::$variant(it) => ExpectationKind::secrets(it),)* }
            }
        }
    };
}
