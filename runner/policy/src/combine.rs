//! Combines several partitions: the policy of each pod, given that policies only add permissions.

use std::collections::{BTreeMap, BTreeSet};

use super::cut::Block;

/// One partition that is active, or about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// Its targets' namespace.
    pub namespace: String,
    /// Its targets' names.
    pub targets: BTreeSet<String>,
    /// Their blocks.
    pub blocks: Vec<Block>,
}

/// Pods that are targets of the same partitions. They share one label and one policy, and have no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The pods' namespace.
    pub namespace: String,
    /// The pods' names.
    pub targets: BTreeSet<String>,
    /// Their partitions, as indexes into the given list.
    pub parts: Vec<usize>,
    /// All their blocks.
    pub blocks: Vec<Block>,
}

/// Sorts the targets of several partitions into groups, so that each pod is in exactly one group. Two policies on one
/// pod would each allow the links that the other cuts. When the set of active partitions changes, create the new
/// groups' policies first. Then move each pod by changing its label's value, which exchanges its policy in one step.
pub fn combine(parts: &[Isolation]) -> Vec<Group> {
    let mut by_pod: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (at, part) in parts.iter().enumerate() {
        for target in &part.targets {
            by_pod.entry((&part.namespace, target)).or_default().push(at);
        }
    }
    let mut groups: BTreeMap<(&str, Vec<usize>), BTreeSet<String>> = BTreeMap::new();
    for ((namespace, pod), of) in by_pod {
        groups.entry((namespace, of)).or_default().insert(pod.to_owned());
    }
    groups
        .into_iter()
        .map(|((namespace, of), targets)| {
            let blocks: BTreeSet<&Block> = of.iter().flat_map(|part| &parts[*part].blocks).collect();
            let blocks = blocks.into_iter().cloned().collect();
            Group { namespace: namespace.to_owned(), targets, parts: of, blocks }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(namespace: &str, targets: &[&str]) -> Isolation {
        let targets = targets.iter().map(|name| (*name).to_owned()).collect();
        Isolation { namespace: namespace.into(), targets, blocks: Vec::new() }
    }

    #[test]
    fn every_pod_is_in_one_group() {
        let parts = [part("shop", &["a", "b"]), part("shop", &["b", "c"]), part("bus", &["b"])];
        let shown: Vec<String> = combine(&parts)
            .into_iter()
            .map(|group| format!("{} {:?} {:?}", group.namespace, group.parts, group.targets))
            .collect();
        let expected = [r#"bus [2] {"b"}"#, r#"shop [0] {"a"}"#, r#"shop [0, 1] {"b"}"#, r#"shop [1] {"c"}"#];
        assert_eq!(shown, expected);
    }
}
