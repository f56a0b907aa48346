//! Checks whether an installation of Chaos Mesh can act on some pods. Pure. `plan` and `doctor` report problems with the
//! same messages.

use std::collections::BTreeMap;

use serde_json::Value;

use shakedown_cluster::Installation;
use shakedown_schemas::Explained;

/// The places of the target pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
    /// Their namespaces, each with whether it has the annotation that Chaos Mesh may require; `None` if it may not be read.
    pub namespaces: BTreeMap<String, Option<bool>>,
    /// Their nodes, each with its container runtime (such as `containerd://1.7.2`); `None` if it may not be read.
    pub nodes: BTreeMap<String, Option<String>>,
    /// The release of Kubernetes, as two numbers; `None` if the server does not say.
    pub kubernetes: Option<(u32, u32)>,
}

/// Components that a fault needs in addition to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// A daemon on the pods' nodes.
    pub daemon: bool,
    /// The DNS server.
    pub names: bool,
}

/// All problems that keep a fault from acting on these pods.
pub fn hindrances(installed: &Installation, place: &Place, needs: Needs) -> Vec<Explained> {
    let mut all: Vec<Explained> = unavailable(installed).into_iter().collect();
    all.extend(other_release(installed, place));
    all.extend(out_of_scope(installed, place));
    all.extend(filtered(installed, place));
    if needs.daemon {
        all.extend(daemons_missing(installed, place));
        all.extend(other_runtime(installed, place));
    }
    if needs.names {
        all.extend(no_names(installed));
    }
    all
}

/// The version of a Deployment of Chaos Mesh, by its label or image tag.
pub fn version(deployment: &Value) -> String {
    let label = deployment["metadata"]["labels"]["app.kubernetes.io/version"].as_str();
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
    let tag = image.and_then(|image| image.rsplit_once(':')).map(|(_, tag)| tag);
    label.or(tag).unwrap_or("of unknown version").trim_start_matches('v').to_owned()
}

/// From 2.7 on, Chaos Mesh finds its daemons by EndpointSlices (`discovery.k8s.io/v1`), which Kubernetes serves from 1.21 on.
fn other_release(installed: &Installation, place: &Place) -> Option<Explained> {
    const SLICES: ((u32, u32), (u32, u32)) = ((2, 7), (1, 21));
    let version = version(installed.controllers.first()?);
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    let (chaos, kubernetes) = ((numbers.next()?, numbers.next()?), place.kubernetes?);
    (chaos >= SLICES.0 && kubernetes < SLICES.1).then(|| {
        let (major, minor) = kubernetes;
        Explained::new(
            format!(
                "Chaos Mesh {version} does not work on Kubernetes {major}.{minor}: it needs discovery.k8s.io/v1, so its \
                 faults are neither injected nor removed"
            ),
            "install Chaos Mesh 2.6 there, or use Kubernetes 1.21 or later",
        )
    })
}

/// An environment variable of the controller.
fn environment<'v>(installed: &'v Installation, name: &str) -> Option<&'v str> {
    let deployment = installed.controllers.first()?;
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array()?;
    let variables = containers.iter().filter_map(|container| container["env"].as_array()).flatten();
    variables.filter(|variable| variable["name"] == name).find_map(|variable| variable["value"].as_str())
}

/// The controller is installed but not available.
pub(super) fn unavailable(installed: &Installation) -> Option<Explained> {
    let deployment = installed.controllers.first()?;
    let place = deployment["metadata"]["namespace"].as_str().unwrap_or_default();
    (deployment["status"]["availableReplicas"].as_u64().unwrap_or_default() == 0).then(|| {
        Explained::new(
            format!(
                "Chaos Mesh {}: no chaos-controller-manager is available in namespace {place}",
                version(deployment)
            ),
            format!("`kubectl -n {place} describe deployment chaos-controller-manager` shows why"),
        )
    })
}

/// An installation for one namespace accepts resources for other namespaces and ignores them.
fn out_of_scope(installed: &Installation, place: &Place) -> Option<Explained> {
    if environment(installed, "CLUSTER_SCOPED") != Some("false") {
        return None;
    }
    let only = environment(installed, "TARGET_NAMESPACE").unwrap_or_default();
    let outside: Vec<&str> = place.namespaces.keys().map(String::as_str).filter(|name| *name != only).collect();
    (!outside.is_empty()).then(|| {
        Explained::new(
            format!(
                "Chaos Mesh acts only in namespace {only} (clusterScoped=false) and ignores resources that concern {}",
                outside.join(", ")
            ),
            format!("use namespace {only} alone, peers as well, or install it with clusterScoped=true"),
        )
    })
}

/// With its filter enabled, Chaos Mesh ignores pods in namespaces without the annotation.
fn filtered(installed: &Installation, place: &Place) -> Option<Explained> {
    if environment(installed, "ENABLE_FILTER_NAMESPACE") != Some("true") {
        return None;
    }
    let without = place.namespaces.iter().filter(|(_, annotated)| **annotated == Some(false));
    let without: Vec<&str> = without.map(|(name, _)| name.as_str()).collect();
    (!without.is_empty()).then(|| {
        Explained::new(
            format!("Chaos Mesh ignores namespace {} (enableFilterNamespace)", without.join(", ")),
            format!(
                "`kubectl annotate namespace {} chaos-mesh.org/inject=enabled`, and the same for peers'",
                without.join(" ")
            ),
        )
    })
}

/// No daemon exists, or none is ready on one of the nodes.
fn daemons_missing(installed: &Installation, place: &Place) -> Option<Explained> {
    if installed.controllers.is_empty() || installed.unreadable.iter().any(|what| what == "daemonsets") {
        return None;
    }
    if installed.daemons.is_empty() {
        return Some(Explained::new(
            "Chaos Mesh: there is no chaos-daemon, which every fault but pod_failure needs on its node",
            "install Chaos Mesh's chart again; its namespace has to allow privileged pods",
        ));
    }
    let with = installed.daemon_nodes.as_ref()?;
    let without: Vec<&str> = place.nodes.keys().filter(|node| !with.contains(*node)).map(String::as_str).collect();
    (!without.is_empty()).then(|| {
        Explained::new(
            format!("Chaos Mesh: no chaos-daemon is ready on {}", without.join(", ")),
            "its DaemonSet needs a toleration for the node's taints (chaosDaemon.tolerations), or its pod fails: \
             `kubectl get pods -A -l app.kubernetes.io/component=chaos-daemon -o wide`",
        )
    })
}

/// The daemons are configured for another container runtime than a node has.
fn other_runtime(installed: &Installation, place: &Place) -> Option<Explained> {
    let containers = installed.daemons.first()?["spec"]["template"]["spec"]["containers"].as_array()?;
    let words = containers.iter().flat_map(|container| [&container["command"], &container["args"]]);
    let words: Vec<&str> = words.filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
    let wanted = words.iter().position(|word| *word == "--runtime").and_then(|at| words.get(at + 1))?;
    let spelled = |runtime: &str| runtime.split("://").next().unwrap_or_default().replace("cri-o", "crio");
    let other = place.nodes.iter().find_map(|(node, runtime)| {
        let runtime = spelled(runtime.as_deref()?);
        (runtime != *wanted).then_some((node, runtime))
    });
    other.map(|(node, runtime)| {
        Explained::new(
            format!("Chaos Mesh: its daemons look for {wanted}, and node {node} runs {runtime}"),
            format!(
                "set chaosDaemon.runtime={runtime} and chaosDaemon.socketPath in its Helm chart (containerd: \
                 /run/containerd/containerd.sock; k3s: /run/k3s/containerd/containerd.sock; CRI-O: /var/run/crio/crio.sock)"
            ),
        )
    })
}

/// DNS faults need Chaos Mesh's own DNS server, which is optional in an installation.
pub fn no_names(installed: &Installation) -> Option<Explained> {
    let looked = !installed.controllers.is_empty() && !installed.unreadable.iter().any(|what| what == "deployments");
    let answers = |server: &Value| server["status"]["availableReplicas"].as_u64().unwrap_or_default() > 0;
    (looked && !installed.name_servers.iter().any(answers)).then(|| {
        let what = if installed.name_servers.is_empty() { "is not installed" } else { "is not available" };
        Explained::new(
            format!("Chaos Mesh: its DNS server (chaos-dns-server) {what}, and every `dns` fault needs it"),
            "install its chart with dnsServer.create=true; `kubectl get pods -A -l \
             app.kubernetes.io/component=chaos-dns-server` shows it",
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: Needs = Needs { daemon: true, names: true };

    fn controller(variables: &[(&str, &str)]) -> Value {
        let env: Vec<Value> = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        json!({
            "metadata": {"namespace": "chaos-mesh", "labels": {"app.kubernetes.io/version": "2.8.3"}},
            "spec": {"template": {"spec": {"containers": [{"env": env}]}}},
            "status": {"availableReplicas": 1},
        })
    }

    fn healthy() -> Installation {
        let command = ["/usr/local/bin/chaos-daemon", "--runtime", "containerd"];
        Installation {
            controllers: vec![controller(&[])],
            daemons: vec![json!({"spec": {"template": {"spec": {"containers": [{"command": command}]}}}})],
            daemon_nodes: Some(["node-1".to_owned()].into()),
            name_servers: vec![json!({"status": {"availableReplicas": 1}})],
            ..Installation::default()
        }
    }

    fn place() -> Place {
        Place {
            namespaces: [("shop".to_owned(), Some(false)), ("bus".to_owned(), Some(true))].into(),
            nodes: [("node-1".to_owned(), Some("containerd://1.7.2".to_owned()))].into(),
            kubernetes: Some((1, 34)),
        }
    }

    #[track_caller]
    fn names(installed: &Installation, place: &Place, parts: &[&str]) {
        let found = hindrances(installed, place, ALL);
        assert_eq!(found.len(), 1, "{found:#?}");
        let text = found[0].to_string();
        for part in parts {
            assert!(text.contains(part), "`{part}` is missing: {text}");
        }
    }

    #[test]
    fn each_hindrance_is_told_with_its_remedy() {
        assert_eq!(hindrances(&healthy(), &place(), ALL), []);
        let with = |variables: &[(&str, &str)]| Installation { controllers: vec![controller(variables)], ..healthy() };
        let scoped = with(&[("CLUSTER_SCOPED", "false"), ("TARGET_NAMESPACE", "shop")]);
        names(&scoped, &place(), &["only in namespace shop", "concern bus", "clusterScoped=true"]);
        names(&with(&[("ENABLE_FILTER_NAMESPACE", "true")]), &place(), &["ignores namespace shop", "annotate"]);

        let mut down = healthy();
        down.controllers[0]["status"] = json!({});
        names(&down, &place(), &["no chaos-controller-manager is available", "describe deployment"]);

        let mut two = place();
        two.nodes.insert("node-2".into(), None);
        names(&healthy(), &two, &["no chaos-daemon is ready on node-2", "toleration"]);
        names(&Installation { daemons: Vec::new(), ..healthy() }, &place(), &["there is no chaos-daemon"]);
        let mut crio = place();
        crio.nodes.insert("node-1".into(), Some("cri-o://1.30".into()));
        names(&healthy(), &crio, &["look for containerd", "runs crio", "socketPath"]);

        names(
            &Installation { name_servers: Vec::new(), ..healthy() },
            &place(),
            &["is not installed", "dnsServer.create"],
        );
        names(&Installation { name_servers: vec![json!({})], ..healthy() }, &place(), &["is not available"]);
    }

    #[test]
    fn what_may_not_be_read_hinders_nobody() {
        let unreadable = ["deployments", "daemonsets", "pods"].map(str::to_owned).to_vec();
        let blind = Installation { unreadable, ..Installation::default() };
        assert_eq!(hindrances(&blind, &place(), ALL), []);
        // Another component may act as the controller, as in tests; the fault's own status then decides.
        assert_eq!(hindrances(&Installation::default(), &place(), ALL), []);
        let no_pods = Installation { daemon_nodes: None, ..healthy() };
        let elsewhere = Place { nodes: [("node-9".to_owned(), None)].into(), ..place() };
        assert_eq!(hindrances(&no_pods, &elsewhere, ALL), []);
        // A fault that needs no daemon works without one.
        assert_eq!(hindrances(&healthy(), &elsewhere, Needs { daemon: false, names: false }), []);
    }

    #[test]
    fn a_chaos_mesh_that_kubernetes_is_too_old_for_is_refused() {
        let on = |kubernetes| Place { kubernetes, ..place() };
        let found = hindrances(&healthy(), &on(Some((1, 20))), ALL);
        assert!(
            found.len() == 1 && found[0].message.contains("Chaos Mesh 2.8.3 does not work on Kubernetes 1.20"),
            "{found:?}"
        );
        for kubernetes in [Some((1, 21)), Some((1, 34)), None] {
            assert_eq!(hindrances(&healthy(), &on(kubernetes), ALL), [], "{kubernetes:?}");
        }
        let mut older = healthy();
        older.controllers[0]["metadata"]["labels"]["app.kubernetes.io/version"] = json!("2.6.7");
        assert_eq!(hindrances(&older, &on(Some((1, 20))), ALL), []);
    }
}
