//! `logs`: lines in the logs of pods that match a pattern.

use super::kind::{
    About, At, Demands, ExpectationFacts, ExpectationInfo, ExpectationKind, PodsRead, Reference, Sample, Shown,
};
use super::limits::CountLimits;
use crate::check::Findings;
use crate::check::expect::rules as check;
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::{PodSelector, Secret};

pub(super) const LOGS: ExpectationFacts = ExpectationFacts {
    noun: "",
    about: About::Cluster,
    counts_work: false,
    counts_gaps: false,
    of_tokens: false,
    reference: Reference::Nothing,
    shown: Shown::Nothing,
    limit: "0",
    example: "{matches: \"panicked at|FATAL\", max: 0}",
};

expectation! {
    /// Limits on the number of log lines that match a pattern during the phase, by the cluster's timestamps.
    pub struct Logs {
        /// A regular expression (syntax of Rust's `regex`) that matches anywhere in a line.
        #[schemars(extend("examples" = ["panicked at|FATAL"]))]
        pub matches: String,
        /// The pods. Default: all pods that match the selectors of the scenario's faults.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub select: Option<PodSelector>,
        /// Only this container of each pod. Default: all containers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["worker"]))]
        pub container: Option<String>,
        /// At least this number of lines. With `1`, the pattern must appear.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [1]))]
        pub min: Option<u64>,
        /// At most this number of lines. With `0`, the pattern must not appear.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [0]))]
        pub max: Option<u64>,
    }
}

impl ExpectationKind for Logs {
    const RULES: &'static [Rule] = &[Rule::LIMITS];

    fn to(&self) -> Option<&str> {
        None
    }

    fn sample(&self, _: &'static ExpectationInfo) -> Option<Sample> {
        None
    }

    fn pods(&self) -> Option<PodsRead<'_>> {
        Some(PodsRead { select: self.select.as_ref(), logs: true })
    }

    fn demands(&self) -> Demands {
        Demands::NONE
    }

    fn check(&self, at: At<'_>, findings: &mut Findings<'_>) {
        check::counts(at, CountLimits { min: self.min, max: self.max }, findings);
        if self.matches.is_empty() {
            findings.push(
                &at.key("matches"),
                Diagnostic::error(Code::NothingThere, "every line matches an empty pattern")
                    .help("write what to look for"),
            );
        } else if let Err(error) = regex::Regex::new(&self.matches) {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            findings.push(
                &at.key("matches"),
                Diagnostic::error(Code::InvalidValue, format!("this is not a regular expression: {last}"))
                    .help("escape special characters with `\\`: `\\(`"),
            );
        }
        check::selected(at, self.select.as_ref(), findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
