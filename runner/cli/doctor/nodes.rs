//! The faults that Chaos Mesh can inject on the nodes: one canary for each ability of each node. Their evaluation is pure.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Level};
use crate::cli::{args, identity, proof};
use shakedown_cluster::{Cluster, ClusterError, Kind};
use shakedown_faults::chaos::canary::{self, Outcome};
use shakedown_faults::chaos::{Trial, in_words};

/// The most nodes that are tried: each gets several pods at the same time.
const MOST: usize = 8;

/// Tries the nodes with pods of the namespace. Without canaries, the findings are the remembered answers.
pub(super) async fn look(
    args: &args::Proving,
    cluster: &Cluster,
    namespace: &str,
) -> Result<Vec<Finding>, ClusterError> {
    if cluster.capabilities().is_model || cluster.chaos_kinds().await?.is_empty() {
        return Ok(Vec::new());
    }
    let installed = cluster.chaos_programs().await?;
    if installed.controllers.is_empty() && !installed.unreadable.iter().any(|what| what == "deployments") {
        // Without a controller no fault can be injected, which another check reports.
        return Ok(Vec::new());
    }
    let pods = match cluster.list(Kind::Pod, namespace, None).await {
        Err(ClusterError::Forbidden { .. }) => return Ok(Vec::new()),
        pods => pods?,
    };
    let nodes: BTreeSet<&str> = pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
    let all: Vec<String> = nodes.into_iter().map(str::to_owned).collect();
    let (nodes, others) = all.split_at(all.len().min(MOST));
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    let image = if args.no_canary { None } else { proof::canary_image(args, cluster).await };
    let Some(image) = image else {
        let known = canary::remembered(cluster, nodes).await?;
        if known.is_empty() {
            return Ok(vec![Finding::new(
                Level::Warning,
                format!("it is not known which faults Chaos Mesh can inject on {}", nodes.join(", ")),
                "name an image with this program as its entry point (--canary-image); short-lived pods on each node test it",
            )]);
        }
        return Ok(known.into_iter().map(Finding::ok).collect());
    };
    let run = identity::run_id(jiff::Timestamp::now());
    let mut findings = match canary::look(cluster, &run, namespace, &image, nodes).await {
        Ok(found) => evaluate(&found),
        Err(error) => {
            let text = format!("could not find out which faults Chaos Mesh can inject on {}", nodes.join(", "));
            vec![Finding::new(Level::Warning, text, error.to_string())]
        }
    };
    if !others.is_empty() {
        let text = format!("only {MOST} nodes were tried; without a canary: {}", others.join(", "));
        findings.push(Finding::new(Level::Warning, text, "`run` tries the nodes of its targets"));
    }
    Ok(findings)
}

/// One finding for each node.
fn evaluate(found: &[(Trial, Outcome)]) -> Vec<Finding> {
    let nodes: BTreeSet<&str> = found.iter().map(|(trial, _)| trial.node.as_str()).collect();
    nodes.into_iter().map(|node| of_node(node, found.iter().filter(|(trial, _)| trial.node == node))).collect()
}

fn of_node<'a>(node: &str, found: impl Iterator<Item = &'a (Trial, Outcome)>) -> Finding {
    let mut answers = Vec::new();
    // One remedy often applies to several.
    let mut helps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (trial, outcome) in found {
        let what = in_words(&trial.abilities);
        let (word, why) = match outcome {
            Outcome::Able => ("yes", None),
            Outcome::Unable(why) => ("no", Some(why)),
            Outcome::Unknown(why) => ("unknown", Some(why)),
        };
        answers.push(format!("{what} {word}"));
        if let Some(why) = why {
            // The remedy names the missing part. Only the cause contains why a canary was not tried.
            let text = match (outcome, &why.help) {
                (_, None) => why.message.clone(),
                (Outcome::Unknown(_), Some(help)) => format!("{}; {help}", why.message),
                (_, Some(help)) => help.clone(),
            };
            helps.entry(text.replace('\n', " ")).or_default().push(what);
        }
    }
    let text = format!("Chaos Mesh on node {node}: {}", answers.join(", "));
    if helps.is_empty() {
        return Finding::ok(text);
    }
    let helps: Vec<String> = helps.into_iter().map(|(help, what)| format!("{}: {help}", what.join(", "))).collect();
    Finding::new(Level::Warning, text, helps.join(". "))
}

#[cfg(test)]
mod tests {
    use shakedown_faults::chaos::survey;
    use shakedown_schemas::Explained;

    use super::*;

    #[test]
    fn each_node_is_told_with_what_it_can_and_what_helps() {
        let unable = |why: &str| Outcome::Unable(Explained::new("networkchaos/x: it failed", why));
        let mut found: Vec<(Trial, Outcome)> =
            survey("shop", "node-2").into_iter().map(|trial| (trial, Outcome::Able)).collect();
        for trial in survey("shop", "node-1") {
            let outcome = match in_words(&trial.abilities).as_str() {
                "netem" | "netem to peers" => unable("run `modprobe sch_netem` there"),
                "partition" => unable("load iptable_filter; or use the partition of Kubernetes"),
                "time" => Outcome::Unknown("its pod does not run".into()),
                _ => Outcome::Able,
            };
            found.push((trial, outcome));
        }
        let findings = evaluate(&found);
        assert_eq!(
            findings[0],
            Finding::new(
                Level::Warning,
                "Chaos Mesh on node node-1: netem no, netem to peers no, bandwidth yes, partition no, stress yes, time unknown",
                "time: its pod does not run. partition: load iptable_filter; or use the partition of Kubernetes. netem, netem \
                 to peers: run `modprobe sch_netem` there",
            )
        );
        let able = "Chaos Mesh on node node-2: netem yes, netem to peers yes, bandwidth yes, partition yes, stress yes, time yes";
        assert_eq!(findings[1], Finding::ok(able));
    }
}
