//! `logs`: whether a pattern appears in the logs of some pods.

use super::kind::{About, At, ExpectationFacts, ExpectationKind};
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
    limit: "0",
    example: "{matches: \"panicked at|FATAL\", max: 0}",
};

expectation! {
    /// Limits on how many lines of pods' logs match a pattern during the phase, by the time stamps of the cluster.
    pub struct Logs {
        /// A regular expression (the syntax of Rust's `regex`) that a line must match somewhere.
        #[schemars(extend("examples" = ["panicked at|FATAL"]))]
        pub matches: String,
        /// Which pods. Default: those of the selectors of the scenario's faults, all that match.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub select: Option<PodSelector>,
        /// Only this container of them. Default: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["worker"]))]
        pub container: Option<String>,
        /// At least so many lines: with `1`, the pattern appears.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [1]))]
        pub min: Option<u64>,
        /// At most so many lines: with `0`, the pattern does not appear.
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
