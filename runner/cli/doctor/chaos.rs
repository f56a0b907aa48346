//! Checks that Chaos Mesh can inject faults: its installation, as far as this account may read it, and a dry run of a
//! fault through its webhooks. The facts are collected first. Their evaluation is pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::finding::{Finding, Level, access, name};
use shakedown_cluster::permissions::{self, Scope};
use shakedown_cluster::{Cluster, ClusterError, Installation, Kind, labels};
use shakedown_faults::chaos::{by_force, failing, fitness, remedy, stuck};

/// The duration of a deletion, in seconds, after which it is reported.
const GOING: f64 = 60.0;

/// The collected facts.
#[derive(Default)]
struct Facts {
    namespace: String,
    sandbox: bool,
    served: BTreeSet<String>,
    installed: Installation,
    /// The nodes with pods of the namespace, and their container runtimes.
    nodes: BTreeMap<String, Option<String>>,
    /// The release of Kubernetes. None if the server does not say.
    kubernetes: Option<(u32, u32)>,
    /// Whether the namespace has the annotation that Chaos Mesh may require. None if it cannot be read.
    annotated: Option<bool>,
    missing: Vec<String>,
    /// Whether this account may create network faults in every namespace.
    everywhere: Option<bool>,
    /// The server's error for a fault. None if the server accepts the fault.
    refusal: Option<String>,
    /// The resources in the namespace, including those in which Chaos Mesh records its pods' networks.
    resources: Vec<Value>,
    networks: Vec<Value>,
}

/// Collects the facts.
pub(super) async fn look(cluster: &Cluster, namespace: &str) -> Result<Vec<Finding>, ClusterError> {
    let mut facts = Facts {
        namespace: namespace.to_owned(),
        sandbox: cluster.info().sandbox,
        kubernetes: cluster.version(),
        served: cluster.chaos_kinds().await?,
        installed: cluster.chaos_installation().await?,
        ..Facts::default()
    };
    if facts.served.is_empty() {
        return Ok(evaluate(&facts, jiff::Timestamp::now()));
    }
    let pods = readable(cluster.list(Kind::Pod, namespace, None).await)?.unwrap_or_default();
    let nodes = readable(cluster.list(Kind::Node, "", None).await)?.unwrap_or_default();
    for pod in &pods {
        if let Some(node) = pod["spec"]["nodeName"].as_str() {
            let there = nodes.iter().find(|it| it["metadata"]["name"] == node);
            let runtime = there.and_then(|it| it["status"]["nodeInfo"]["containerRuntimeVersion"].as_str());
            facts.nodes.insert(node.to_owned(), runtime.map(str::to_owned));
        }
    }
    let key = shakedown_cluster::ObjectKey {
        kind: Kind::Namespace,
        namespace: String::new(),
        name: namespace.to_owned(),
        uid: None,
    };
    facts.annotated = readable(cluster.get(&key).await)?
        .flatten()
        .map(|it| it["metadata"]["annotations"]["chaos-mesh.org/inject"] == "enabled");
    for kind in Kind::CHAOS.into_iter().filter(|kind| facts.served.contains(kind.plural())) {
        let listed = readable(cluster.list(kind, namespace, None).await)?.unwrap_or_default();
        // In a list, objects have no kind.
        facts.resources.extend(listed.into_iter().map(|mut object| {
            object["kind"] = json!(kind.name());
            object
        }));
    }
    let rows = permissions::rows();
    for asked in rows.iter().filter(|row| row.scope == Scope::Chaos).flat_map(|row| &row.all) {
        let is_served =
            !Kind::CHAOS.iter().any(|kind| kind.plural() == asked.resource) || facts.served.contains(asked.resource);
        if is_served && cluster.may(*asked, namespace).await? == Some(false) {
            facts.missing.push(name(asked));
        }
    }
    facts.everywhere = cluster.may(access("chaos-mesh.org", "networkchaos", "create"), "").await?;
    if facts.served.contains(Kind::PodNetworkChaos.plural()) {
        facts.networks = readable(cluster.list(Kind::PodNetworkChaos, namespace, None).await)?.unwrap_or_default();
    }
    let pod = pods.first().and_then(|pod| pod["metadata"]["name"].as_str()).unwrap_or("none");
    let trial = json!({
        "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos",
        "metadata": {"name": "shakedown-doctor", "namespace": namespace},
        "spec": {
            "action": "netem", "mode": "all", "direction": "to", "duration": "60s",
            "selector": {"namespaces": [namespace], "pods": {namespace: [pod]}},
            "delay": {"latency": "1ms", "jitter": "0ms", "correlation": "0"},
        },
    });
    facts.refusal = cluster.dry_run(Kind::NetworkChaos, namespace, &trial).await.err().map(|error| error.to_string());
    let mut findings = evaluate(&facts, jiff::Timestamp::now());
    let (metrics, kubelet) = (access("metrics.k8s.io", "pods", "get"), access("", "nodes/proxy", "get"));
    let may = (cluster.may(metrics, namespace).await?, cluster.may(kubelet, "").await?);
    if facts.served.contains(Kind::StressChaos.plural()) && may == (Some(false), Some(false)) {
        findings.push(Finding::new(
            Level::Warning,
            format!("stress: this account may not {} or {}", name(&metrics), name(&kubelet)),
            "without one of these, what its containers use cannot be read: the fault is claimed, not proven",
        ));
    }
    Ok(findings)
}

/// Unreadable kinds are unknown.
fn readable<T>(answer: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn problem(text: impl Into<String>, help: impl Into<String>) -> Finding {
    Finding::new(Level::Problem, text, help)
}

fn warning(text: impl Into<String>, help: impl Into<String>) -> Finding {
    Finding::new(Level::Warning, text, help)
}

/// A message of Chaos Mesh as a finding.
fn words(text: &str, message: &str) -> Finding {
    let help = remedy(message).unwrap_or("see the logs of chaos-controller-manager and chaos-daemon");
    problem(format!("{text}: {message}"), help)
}

/// Evaluates the facts.
fn evaluate(facts: &Facts, now: jiff::Timestamp) -> Vec<Finding> {
    let Facts { installed, .. } = facts;
    if facts.served.is_empty() {
        let text = format!("Chaos Mesh is not installed: only {} can run here", permissions::without_chaos_mesh());
        let help = "`helm install chaos-mesh chaos-mesh/chaos-mesh -n chaos-mesh --create-namespace`, with \
                    chaosDaemon.runtime and chaosDaemon.socketPath for this cluster's container runtime";
        return vec![if installed.controllers.is_empty() {
            warning(text, help)
        } else {
            problem(
                "Chaos Mesh's controller runs, but its definitions are missing",
                "`kubectl create -f` its crds.yaml: Helm installs them once, and some are too big for `kubectl apply`",
            )
        }];
    }
    let mut findings = Vec::new();
    let looked = !installed.unreadable.iter().any(|what| what == "deployments");
    if facts.sandbox {
        findings.push(Finding::ok("Chaos Mesh is modelled by the sandbox"));
    } else if installed.controllers.is_empty() && looked {
        // Users without Chaos Mesh are not affected.
        findings.push(if installed.webhooks.is_empty() {
            warning(
                "Chaos Mesh's definitions exist, but its controller does not run: its faults would have no effect",
                "install Chaos Mesh, or remove its remaining resources and then its definitions",
            )
        } else {
            problem(
                "Chaos Mesh's controller does not run, but its webhooks are still configured: its resources cannot be \
                 created, changed or removed",
                format!(
                    "install it again, or clean up in this order: `kubectl delete {}`, remove the finalizers of the \
                     remaining resources, remove its definitions",
                    installed.webhooks.join(" ")
                ),
            )
        });
        definitions(facts, &mut findings);
        standing(facts, now, &mut findings);
        return findings;
    } else {
        installation(facts, &mut findings);
        webhooks(facts, &mut findings);
    }
    definitions(facts, &mut findings);
    permissions(facts, &mut findings);
    if let Some(refusal) = &facts.refusal {
        findings.push(words("Chaos Mesh: the server refuses a network fault", refusal));
    } else {
        findings.push(Finding::ok("Chaos Mesh: the server and its webhooks accept a network fault"));
    }
    standing(facts, now, &mut findings);
    if !installed.unreadable.is_empty() && !facts.sandbox {
        findings.push(warning(
            format!("Chaos Mesh: this account may not list {} of the whole cluster", installed.unreadable.join(", ")),
            "checks that depend on them were skipped",
        ));
    }
    findings
}

fn installation(facts: &Facts, findings: &mut Vec<Finding>) {
    let installed = &facts.installed;
    let namespaces = [(facts.namespace.clone(), facts.annotated)].into();
    let place = fitness::Place { namespaces, nodes: facts.nodes.clone(), kubernetes: facts.kubernetes };
    let needs = fitness::Needs { daemon: true, names: false };
    let hindrances = fitness::hindrances(installed, &place, needs);
    let available = installed.controllers.first().filter(|it| it["status"]["availableReplicas"].as_u64() > Some(0));
    if let Some(deployment) = available {
        let namespace = deployment["metadata"]["namespace"].as_str().unwrap_or_default();
        findings.push(Finding::ok(format!("Chaos Mesh {} in namespace {namespace}", fitness::version(deployment))));
    }
    let covered = installed.daemon_nodes.as_ref().filter(|_| !installed.daemons.is_empty());
    if covered.is_some_and(|with| facts.nodes.keys().all(|node| with.contains(node))) {
        findings.push(Finding::ok(format!("Chaos Mesh: a chaos-daemon on each node with pods of {}", facts.namespace)));
    }
    findings.extend(hindrances.into_iter().map(|it| Finding::of(Level::Problem, it)));
    // Users without `dns` faults are not affected.
    findings.extend(fitness::no_names(installed).map(|it| Finding::of(Level::Warning, it)));
}

fn webhooks(facts: &Facts, findings: &mut Vec<Finding>) {
    let unknown = facts.installed.unreadable.iter().any(|what| what.ends_with("webhookconfigurations"));
    if facts.installed.webhooks.is_empty() && !unknown {
        findings.push(warning(
            "Chaos Mesh: its webhooks are not configured, so its resources and permissions are not validated",
            "install its chart again",
        ));
    }
}

fn definitions(facts: &Facts, findings: &mut Vec<Finding>) {
    let gone: Vec<&str> =
        Kind::CHAOS.iter().map(|kind| kind.plural()).filter(|plural| !facts.served.contains(*plural)).collect();
    if !gone.is_empty() {
        findings.push(warning(
            format!("Chaos Mesh: this cluster does not serve {}", gone.join(", ")),
            "`kubectl replace -f` the crds.yaml of its version: Helm never upgrades definitions",
        ));
    }
    for (plural, definition) in &facts.installed.definitions {
        if !definition["metadata"]["deletionTimestamp"].is_null() {
            findings.push(problem(
                format!("Chaos Mesh: the definition of {plural} is being deleted and waits for remaining resources"),
                format!("`kubectl get {plural} -A` lists them; while no controller runs, remove their finalizers"),
            ));
        }
    }
}

fn permissions(facts: &Facts, findings: &mut Vec<Finding>) {
    if facts.missing.is_empty() {
        findings.push(Finding::ok(format!("Chaos Mesh: permissions in namespace {}", facts.namespace)));
    } else {
        let text =
            format!("Chaos Mesh: in namespace {} this account may not: {}", facts.namespace, facts.missing.join(", "));
        findings.push(warning(
            text,
            "faults of these kinds need them; runner/cluster/PERMISSIONS.md lists what a run needs",
        ));
    }
    if facts.everywhere == Some(false) {
        findings.push(warning(
            "Chaos Mesh: this account may not create networkchaos in every namespace",
            "Chaos Mesh requires this permission in the peers' namespaces as well: grant `create` there, or name peers \
             by `cidr`",
        ));
    }
}

/// Existing resources in the namespace that hang or fail.
fn standing(facts: &Facts, now: jiff::Timestamp, findings: &mut Vec<Finding>) {
    for object in &facts.resources {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let kind = object["kind"].as_str().unwrap_or("resource");
        let since =
            object["metadata"]["deletionTimestamp"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        if since.is_some_and(|since| now.duration_since(since).as_secs_f64() > GOING) {
            let mut finding = words(&format!("{kind} {name} is being deleted, but its deletion hangs"), &stuck(object));
            let force = match object["metadata"]["labels"][labels::RUN].as_str() {
                Some(run) => format!("fix the cause, or replace its pods; `{}` removes its finalizer", by_force(run)),
                None => "fix the cause, or replace its pods".to_owned(),
            };
            finding.help = Some(finding.help.map_or_else(|| force.clone(), |help| format!("{help}; {force}")));
            findings.push(finding);
        } else if let Some(message) = failing(object) {
            findings.push(words(&format!("{kind} {name} fails"), &message));
        }
    }
    for network in &facts.networks {
        if let Some(message) = network["status"]["failedMessage"].as_str().filter(|message| !message.is_empty()) {
            let pod = network["metadata"]["name"].as_str().unwrap_or_default();
            findings.push(words(
                &format!("Chaos Mesh: the network rules of pod {pod} failed, and new rules will fail as well"),
                message,
            ));
        }
    }
}

#[cfg(test)]
mod tests;
