//! The answers that define a scenario: from the flags, from the dialogue, and guesses from the cluster.

use super::facts::{Facts, Labels, Workload};
use crate::cli::args::{Like, Strike};

/// The model of the sandbox.
pub const MODEL: &str = "Qwen/Qwen3-0.6B";

/// The path of a request to a service of a cluster, if no other is given.
pub const GUESS: &str = "/";

/// The pods of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pods {
    /// Those with these labels.
    Labels(Labels),
    /// Those of this workload: `kind/name`.
    Owner(String),
    /// Those whose names begin with this.
    Prefix(String),
}

impl Pods {
    /// `app=checkout,tier=web`, `deployment/checkout`, or the beginning of names.
    pub fn parse(text: &str) -> Self {
        let pair =
            |part: &str| part.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
        if text.contains('=')
            && let Some(labels) = text.split(',').map(pair).collect()
        {
            return Self::Labels(labels);
        }
        if text.contains('/') { Self::Owner(text.to_owned()) } else { Self::Prefix(text.to_owned()) }
    }

    /// The same as [`Pods::parse`] reads it.
    pub fn text(&self) -> String {
        match self {
            Self::Labels(labels) => {
                labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
            }
            Self::Owner(text) | Self::Prefix(text) => text.clone(),
        }
    }

    /// Whether these are the pods of a workload.
    pub fn are_of(&self, workload: &Workload) -> bool {
        match self {
            Self::Labels(labels) => contains(&workload.labels, labels),
            Self::Owner(owner) => *owner == format!("{}/{}", workload.kind, workload.name),
            Self::Prefix(prefix) => workload.name.starts_with(prefix),
        }
    }

    /// A word for them in names and sentences.
    pub fn word(&self) -> String {
        let text = match self {
            Self::Labels(labels) => {
                let known = ["app", "app.kubernetes.io/name", "component"].iter().find_map(|key| labels.get(*key));
                known.or_else(|| labels.values().next()).cloned().unwrap_or_default()
            }
            Self::Owner(owner) => owner.rsplit('/').next().unwrap_or_default().to_owned(),
            Self::Prefix(prefix) => prefix.trim_end_matches('-').to_owned(),
        };
        if text.is_empty() { "pod".to_owned() } else { text }
    }
}

/// True if all of `wanted` are among `labels`.
pub fn contains(labels: &Labels, wanted: &Labels) -> bool {
    !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The known answers. None: not yet answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The kind of service.
    pub from: Option<Like>,
    /// The scenario's name. Default: from the fault.
    pub name: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The service that receives the load: `name:port`.
    pub service: Option<String>,
    /// The pods, one of which the fault hits.
    pub pods: Option<Pods>,
    /// The service that the pod loses.
    pub peer: Option<String>,
    /// The fault.
    pub fault: Option<Strike>,
    /// The method of a request.
    pub method: Option<String>,
    /// The path of a request.
    pub path: Option<String>,
    /// The body of a request.
    pub body: Option<String>,
    /// The model of an LLM.
    pub model: Option<String>,
}

/// A complete set of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complete {
    /// The kind of service.
    pub from: Like,
    /// The scenario's name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// The service that receives the load: `name:port`.
    pub service: String,
    /// The pods, one of which the fault hits.
    pub pods: Pods,
    /// The number of these pods, if a workload of the cluster has them.
    pub replicas: Option<u64>,
    /// The service that the pod loses.
    pub peer: String,
    /// The fault.
    pub fault: Strike,
    /// The method of a request.
    pub method: String,
    /// The path of a request.
    pub path: String,
    /// The body of a request.
    pub body: Option<String>,
    /// The model of an LLM.
    pub model: String,
}

impl Complete {
    /// Whether the sandbox with these facts can run it: it has everything that the scenario names, and answers its requests.
    pub fn runs_in(&self, sandbox: &Facts) -> bool {
        let mut models = sandbox.workloads.iter().filter_map(|it| it.model.as_ref()).peekable();
        let answers = match self.from {
            // A worker that names no model serves the default one.
            Like::Llm => models.peek().is_none() && self.model == MODEL || models.any(|it| *it == self.model),
            // A service answers every path, and an LLM answers none that is only a guess.
            Like::Shop | Like::Queue => models.peek().is_none() || self.path != GUESS,
        };
        answers && self.unknown(sandbox).is_empty()
    }

    /// The names in it that these facts do not contain.
    pub fn unknown(&self, facts: &Facts) -> Vec<String> {
        let mut missing = Vec::new();
        if self.namespace != facts.namespace {
            return vec![format!("namespace {} was not read", self.namespace)];
        }
        let can_see = |kind: &str| !facts.unreadable.contains(&kind);
        let place = &facts.namespace;
        let mut services = vec![self.service.split(':').next().unwrap_or_default()];
        services.extend((self.fault != Strike::PodKill).then_some(self.peer.as_str()));
        for name in services.into_iter().filter(|_| can_see("services")) {
            if !facts.services.iter().any(|it| it.name == name) {
                missing.push(format!("there is no service {name} in namespace {place}"));
            }
        }
        if can_see("deployments") && can_see("statefulsets") && !facts.workloads.iter().any(|it| self.pods.are_of(it)) {
            missing.push(format!("no workload of namespace {place} has the pods {}", self.pods.text()));
        }
        missing
    }
}

/// The selector of a workload's pods.
pub fn selector(workload: &Workload) -> Pods {
    if workload.selector.is_empty() {
        Pods::Owner(format!("{}/{}", workload.kind, workload.name))
    } else {
        Pods::Labels(workload.selector.clone())
    }
}
