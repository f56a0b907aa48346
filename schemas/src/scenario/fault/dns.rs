//! `dns`: wrong answers to DNS queries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{ChaosMesh, Ends, FaultFacts, FaultKind, Means, Sandbox, between};
use super::terms::Direction;
use crate::check::Findings;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::Secret;

fault! {
    /// Answers the target pods' DNS queries with errors or random addresses. Applications that cache names notice
    /// nothing until they resolve them again. Needs Chaos Mesh with its DNS server.
    pub struct DnsFault {
        /// The affected names. A `*` is allowed at the end. Default: all names.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(extend("examples" = [["models.example.org", "nats.*"]]))]
        pub patterns: Vec<String>,
        /// The answer to affected queries. Default `error`.
        #[serde(default)]
        pub answer: DnsAnswer,
    }
    pods, own, follow, prove {
        /// Only Chaos Mesh reports that this fault acts. With `auto`, a change in the run's own requests proves it; otherwise
        /// it is claimed, not proven. `strict` and `traffic` require that change, and `applied` does not look for it.
    }, after, lasts,
}

impl FaultKind for DnsFault {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::ChaosMesh(ChaosMesh { needs_dns_server: true, ..ChaosMesh::inside("dnschaos") })],
        sandbox: Sandbox::Modelled,
        rules: &[],
        not_settings: &[],
        link: between,
        confirmed_by: "",
        observed_by: "",
        unfelt_because: ", or the pods resolved no name while the fault acted",
        ends: Ends::Nothing,
        cuts_links: false,
        reads_usage: false,
        shifts_clocks: false,
        example: "{pods: {labels: {app: worker}}, patterns: [\"nats.*\"]}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        for (index, pattern) in self.patterns.iter().enumerate() {
            let star = pattern.find('*');
            if pattern.is_empty() || star.is_some_and(|at| at + 1 != pattern.len()) {
                findings.push(
                    &format!("{path}.patterns[{index}]"),
                    Diagnostic::error(Code::Degradation, format!("`{pattern}` is not a name pattern"))
                        .help("write a name, optionally with one `*` at its end, such as `nats.*`"),
                );
            }
        }
    }

    fn direction(&self) -> Option<Direction> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

/// The answer to an affected DNS query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DnsAnswer {
    /// An error.
    #[default]
    Error,
    /// A random address.
    Random,
}
