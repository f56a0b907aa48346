//! The topology of the sandbox: a small file, and its Kubernetes objects (`objects`).
//!
//! In scope: the file's format, its checks, and the objects. Out of scope: running the objects (`controllers`, `node`).

mod calls;
#[cfg(test)]
mod guesses;
mod objects;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use anyhow::anyhow;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shakedown_schemas::diagnostic::Code;
use shakedown_schemas::units::Duration;
use shakedown_schemas::{Diagnostic, json_schema, read_yaml};

use super::inference::WorkerConfig;
use super::program::Program;

/// The most pods of a sandbox. Each has its own address.
const MAX_PODS: u32 = 100;
/// The annotation of a pod with the time from its scheduling to the start of its program.
pub(crate) const START_ANNOTATION: &str = "sandbox.shakedown.dev/start";
/// The schema's file in a checkout.
pub const SCHEMA_FILE: &str = "schemas/topology.schema.json";

/// The topologies that are part of the program, by name. The first is the default.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("dynamo", include_str!("topologies/dynamo.yaml")),
    ("quick", include_str!("topologies/quick.yaml")),
    ("shop", include_str!("topologies/shop.yaml")),
];

/// What runs in a sandbox: namespaces and workloads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The default namespace of workloads, and the current namespace of the kubeconfig.
    #[schemars(extend("examples" = ["shop"]))]
    pub namespace: String,
    /// Further namespaces with their labels.
    #[serde(default)]
    #[schemars(extend("examples" = [{"bank": {"team": "payments"}}]))]
    pub namespaces: IndexMap<String, IndexMap<String, String>>,
    /// The deployed parts.
    pub workloads: Vec<Workload>,
}

/// A group of pods that run the same program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The name of the Deployment or StatefulSet, of its service, and the value of the label `app` of its pods.
    #[schemars(extend("examples" = ["payments"]))]
    pub name: String,
    /// The namespace, if not the topology's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["bank"]))]
    pub namespace: Option<String>,
    /// The kind of object that owns the pods.
    #[serde(default)]
    pub kind: WorkloadKind,
    /// The number of pods.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Labels of the pods in addition to `app`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"tier": "backend"}]))]
    pub labels: IndexMap<String, String>,
    /// Whether a service of the same name leads to the pods.
    #[serde(default = "yes")]
    pub service: bool,
    /// The time from the scheduling of a replaced pod to the start of its program.
    #[serde(default = "default_start")]
    pub start: Duration,
    /// The delay of the first readiness check of a replaced pod after the start of its program, in whole seconds. The pods
    /// with which the sandbox begins are there without any delay.
    #[serde(default)]
    pub ready_after: Duration,
    /// The program of the pods.
    pub program: Program,
}

/// The kind of object that owns pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// A Deployment: a replaced pod has a new name.
    #[default]
    Deployment,
    /// A StatefulSet: a replaced pod has the same name.
    StatefulSet,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

fn default_start() -> Duration {
    Duration::from_millis(500)
}

impl Default for Topology {
    fn default() -> Self {
        Self::built_in(BUILT_IN[0].0)
            .unwrap_or_else(|| unreachable!("the first of the built-in topologies is the default"))
    }
}

impl Topology {
    /// The topology of this name that is part of the program.
    pub fn built_in(name: &str) -> Option<Self> {
        let text = Self::text(name)?;
        match Self::read(name, text.as_bytes()) {
            Ok(topology) => Some(topology),
            Err(problems) => unreachable!("the built-in topologies are tested: {problems:?}"),
        }
    }

    /// The file of a built-in topology.
    pub fn text(name: &str) -> Option<&'static str> {
        BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Reads a topology from YAML. `file` is its name for messages.
    ///
    /// # Errors
    /// All problems of the file with their positions: unknown keys, names that are not unique DNS labels, settings that a
    /// program cannot work with, or more than 100 pods.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        read_yaml(file, bytes, BEGIN, |topology: &Self, problems| {
            topology.problems().into_iter().for_each(|(path, problem)| problems.push(&path, problem));
        })
    }

    /// Reads a topology from YAML, for tests.
    ///
    /// # Errors
    /// As [`Topology::read`].
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        Self::read("topology.yaml", text.as_bytes())
    }

    /// The workload of that name.
    pub fn workload_mut(&mut self, name: &str) -> Option<&mut Workload> {
        self.workloads.iter_mut().find(|w| w.name == name)
    }

    /// The workloads that run workers.
    pub fn workers_mut(&mut self) -> impl Iterator<Item = (&mut u32, &mut WorkerConfig)> {
        self.workloads.iter_mut().filter_map(|workload| match &mut workload.program {
            Program::Worker(config) => Some((&mut workload.replicas, config)),
            _ => None,
        })
    }

    /// Checks what the file's format cannot express.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.problems().into_iter().next() {
            None => Ok(()),
            Some((path, problem)) => Err(anyhow!("{path}: {}", problem.message)),
        }
    }

    /// The problems that the file's format cannot express, with their paths.
    fn problems(&self) -> Vec<(String, Diagnostic)> {
        let mut found = Vec::new();
        let mut name = |text: &str, what: &str, path: String| {
            if !is_dns_label(text) {
                let message = format!("`{text}` cannot be the name of a {what}");
                found.push((path, Diagnostic::error(Code::Name, message).help(NAMES)));
            }
        };
        name(&self.namespace, "namespace", "namespace".into());
        for namespace in self.namespaces.keys() {
            name(namespace, "namespace", format!("namespaces.{namespace}"));
        }
        for (index, workload) in self.workloads.iter().enumerate() {
            name(&workload.name, "workload", format!("workloads[{index}].name"));
            if let Some(namespace) = &workload.namespace {
                name(namespace, "namespace", format!("workloads[{index}].namespace"));
            }
        }
        let (mut names, mut pods) = (BTreeSet::new(), 0_u64);
        for (index, workload) in self.workloads.iter().enumerate() {
            let path = format!("workloads[{index}]");
            if !names.insert((self.namespace_of(workload), &workload.name)) {
                let message = format!("there are two workloads `{}` in one namespace", workload.name);
                let problem = Diagnostic::error(Code::DuplicateName, message);
                found
                    .push((format!("{path}.name"), problem.help("rename one of them, or give it another `namespace`")));
            }
            if let Err(error) = workload.program.check() {
                let path = format!("{path}.program.{}", workload.program.name());
                let text = error.to_string();
                // What is known to be meant is behind a line break.
                let (message, help) = text.split_once('\n').unwrap_or((
                    &text,
                    "`shakedown sandbox --print-topology` shows the settings of the programs with their defaults",
                ));
                found.push((path, Diagnostic::error(Code::InvalidValue, message).help(help)));
            }
            let before = pods;
            pods += u64::from(workload.replicas);
            if before <= u64::from(MAX_PODS) && pods > u64::from(MAX_PODS) {
                let message = format!("{pods} pods are more than the {MAX_PODS} that a sandbox can hold");
                let problem = Diagnostic::error(Code::InvalidValue, message);
                found.push((format!("{path}.replicas"), problem.help("lower the `replicas` of the workloads")));
            }
        }
        // Calls are followed in a topology whose parts are valid.
        if found.is_empty() {
            found = self.wrong_calls();
        }
        found
    }

    /// The namespace of a workload.
    pub(crate) fn namespace_of<'a>(&'a self, workload: &'a Workload) -> &'a str {
        workload.namespace.as_deref().unwrap_or(&self.namespace)
    }
}

/// The JSON Schema of a topology file.
pub fn schema() -> Value {
    json_schema::of::<Topology>("shakedown topology", "urn:shakedown:schema:topology:1")
}

/// How to begin a topology file.
const BEGIN: &str = "`shakedown sandbox --print-topology --topology shop` prints one to begin with";

/// The rule of names.
const NAMES: &str = "a name has at most 52 lower-case letters, digits and `-`, and begins with a letter";

fn is_dns_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 52
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || c == '-')
}
