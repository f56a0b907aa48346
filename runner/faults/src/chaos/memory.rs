//! The cached answers about the abilities of nodes: one small file per cluster, next to that about NetworkPolicy. An
//! answer is valid for one kernel and one image of the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ability::{Ability, Outcome, Trial, in_words};
use crate::enforcement::{is_valid, path, write};
use shakedown_cluster::{Cluster, ClusterError};

/// The programs of a node on which its abilities depend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    /// The release of the kernel.
    pub kernel: String,
    /// The image of Chaos Mesh's daemon.
    pub daemon: String,
}

/// The answers about one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    #[serde(flatten)]
    programs: Programs,
    answers: BTreeMap<Ability, Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    able: bool,
    at: Timestamp,
}

/// The known answers, and the programs that the nodes run now.
#[derive(Debug, Default)]
pub struct Memory {
    path: Option<PathBuf>,
    programs: BTreeMap<String, Programs>,
    nodes: BTreeMap<String, Node>,
}

impl Memory {
    /// Reads the answers about a cluster. Drops answers that are too old, or about a node with another kernel or daemon.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn recall(cluster: &Cluster) -> Result<Self, ClusterError> {
        let daemons = cluster.chaos_programs().await?.daemon_images;
        let kernels = cluster.nodes().await?.into_iter().filter_map(|node| Some((node.name, node.kernel?)));
        let programs = kernels.filter_map(|(node, kernel)| {
            let daemon = daemons.get(&node).filter(|daemon| !daemon.is_empty())?.clone();
            Some((node, Programs { kernel, daemon }))
        });
        Ok(Self::read(path(cluster, "-nodes").await?, programs.collect()))
    }

    fn read(path: Option<PathBuf>, programs: BTreeMap<String, Programs>) -> Self {
        let bytes = path.as_ref().and_then(|path| std::fs::read(path).ok());
        let mut nodes: BTreeMap<String, Node> =
            bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        nodes.retain(|name, node| programs.get(name) == Some(&node.programs));
        for node in nodes.values_mut() {
            node.answers.retain(|_, answer| is_valid(answer.at));
        }
        Self { path, programs, nodes }
    }

    /// Whether a node is known to have all of these abilities. A missing ability is tested again: its remedy may not change
    /// the kernel.
    pub fn is_able(&self, node: &str, abilities: &BTreeSet<Ability>) -> bool {
        let known = |ability| self.nodes.get(node)?.answers.get(ability);
        abilities.iter().all(|ability| known(ability).is_some_and(|answer: &Answer| answer.able))
    }

    /// Adds an answer. A failed canary of several abilities does not show which one is missing.
    pub fn learn(&mut self, trial: &Trial, outcome: &Outcome) {
        let able = match outcome {
            Outcome::Able => true,
            Outcome::Unable(_) if trial.abilities.len() == 1 => false,
            Outcome::Unable(_) | Outcome::Unknown(_) => return,
        };
        let Some(programs) = self.programs.get(&trial.node) else { return };
        let fresh = || Node { programs: programs.clone(), answers: BTreeMap::new() };
        let node = self.nodes.entry(trial.node.clone()).or_insert_with(fresh);
        let at = Timestamp::now();
        node.answers.extend(trial.abilities.iter().map(|ability| (*ability, Answer { able, at })));
    }

    /// Writes the answers. Without the file, the next run tests again.
    pub fn save(&self) {
        let Some(path) = self.path.as_ref().filter(|_| !self.nodes.is_empty()) else { return };
        _ = write(path, &self.nodes);
    }

    /// The answers about a node in a sentence; `None` when there are none.
    pub fn sentence(&self, node: &str) -> Option<String> {
        let answers = &self.nodes.get(node)?.answers;
        let at = answers.values().map(|answer| answer.at).max()?;
        let those = |able: bool| answers.iter().filter(move |(_, it)| it.able == able).map(|(ability, _)| ability);
        let (can, cannot) = (in_words(those(true)), in_words(those(false)));
        let parts = [("can inject", can), ("cannot inject", cannot)].map(|(verb, what)| match &what[..] {
            "" => String::new(),
            what => format!("{verb} {what}"),
        });
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let at = at.strftime("%Y-%m-%d %H:%M UTC");
        Some(format!("Chaos Mesh {} on node {node} (a canary showed it, {at})", parts.join(" and ")))
    }
}

#[cfg(test)]
mod tests;
