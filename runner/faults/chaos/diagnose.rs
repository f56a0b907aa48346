//! From the words of Chaos Mesh, which name the step that failed, to what a person can do about it: pure.

/// What the words mean, by a part of them in lower case. The first that fits counts, so the more exact come first.
const CAUSES: &[(&str, &str)] = &[
    (
        "cannot find daemonip on node",
        "no chaos-daemon runs on that node: `kubectl get pods -A -l app.kubernetes.io/component=chaos-daemon -o wide`; its \
         DaemonSet needs a toleration for the node's taints",
    ),
    (
        "expected docker:// but got",
        "Chaos Mesh looks for another container runtime than this cluster has: set chaosDaemon.runtime and \
         chaosDaemon.socketPath in its Helm chart (for containerd `containerd` and /run/containerd/containerd.sock; for k3s \
         /run/k3s/containerd/containerd.sock)",
    ),
    (
        "but got container",
        "Chaos Mesh looks for another container runtime than this cluster has: set chaosDaemon.runtime and \
         chaosDaemon.socketPath in its Helm chart",
    ),
    ("hostnetwork", "the pod uses its node's network, which Chaos Mesh does not touch: choose other pods"),
    (
        "specified qdisc not found",
        "the node's kernel lacks the module sch_netem (or sch_tbf): run `modprobe sch_netem` there; on some \
         distributions it is in the package kernel-modules-extra",
    ),
    (
        "qdisc kind is unknown",
        "the node's kernel lacks the module sch_netem (or sch_tbf): run `modprobe sch_netem` there; on some \
         distributions it is in the package kernel-modules-extra",
    ),
    ("cannot find device", "the pod's network interface has another name than eth0: set `device`"),
    (
        "unable to set tcs",
        "`tc` failed in the pod, and Chaos Mesh tells why only in the chaos-daemon's log on that node; most often the node's \
         kernel lacks the module sch_netem: `modprobe sch_netem`",
    ),
    (
        "unable to flush ip sets",
        "`ipset` failed in the pod: the node's kernel lacks ip_set, ip_set_hash_net or xt_set; the chaos-daemon's log on that \
         node has its words",
    ),
    (
        "unable to set iptables",
        "`iptables` failed in the pod: the node's kernel lacks the legacy tables; the chaos-daemon's log on that node has its \
         words",
    ),
    (
        "no running task found",
        "the container is not running at the moment, and this version of Chaos Mesh finds a pod only through it: wait until \
         it runs, or replace the pod; 2.8.3 does not need it",
    ),
    (
        "no pod is selected",
        "Chaos Mesh does not see the targets: either it only acts in namespaces with the annotation \
         `chaos-mesh.org/inject: enabled` (enableFilterNamespace), or it is installed for one namespace only \
         (clusterScoped=false)",
    ),
    (
        "no target has been selected",
        "Chaos Mesh does not see the peers: either it only acts in namespaces with the annotation \
         `chaos-mesh.org/inject: enabled` (enableFilterNamespace), or it is installed for one namespace only",
    ),
    (
        "x509",
        "the API server does not trust the certificate of Chaos Mesh's webhook: `helm upgrade` renews it, then restart \
         chaos-controller-manager",
    ),
    (
        "failed calling webhook",
        "Chaos Mesh's webhook does not answer: is chaos-controller-manager running? (`kubectl get pods -A -l \
         app.kubernetes.io/component=controller-manager`)",
    ),
    (
        "is forbidden on namespace",
        "Chaos Mesh itself asks whether this account may create this kind in every namespace that the fault names, the peers' \
         as well: give it `create` there",
    ),
    ("context deadline exceeded", "Chaos Mesh's controller does not reach the chaos-daemon on that node (port 31767)"),
    ("connection refused", "Chaos Mesh's controller does not reach the chaos-daemon on that node (port 31767)"),
];

/// What to do about a failure of Chaos Mesh; none when its words are not known.
pub fn remedy(words: &str) -> Option<&'static str> {
    let words = words.to_ascii_lowercase();
    CAUSES.iter().find(|(part, _)| words.contains(part)).map(|(_, remedy)| *remedy)
}

/// The words, and what to do about them.
pub fn explained(words: &str) -> String {
    match remedy(words) {
        Some(remedy) => format!("{words}\nhelp: {remedy}"),
        None => words.to_owned(),
    }
}

/// Nobody has looked at a resource.
pub const NO_CONTROLLER: &str = "help: Chaos Mesh's controller is not running, or is installed for another namespace only (clusterScoped=false): \
     `shakedown doctor` looks";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_chaos_mesh_lead_to_what_helps() {
        for (words, part) in [
            ("rpc error: cannot find daemonIP on node node-3 in related EndpointSlice", "DaemonSet"),
            ("expected docker:// but got container://", "socketPath"),
            ("unable to set tcs for pod worker-0", "modprobe sch_netem"),
            ("exit status 2: Error: Specified qdisc not found.", "modprobe sch_netem"),
            ("unable to flush ip sets for pod worker-0", "ip_set"),
            ("It's dangerous to inject network chaos on a pod(n/p) with `hostNetwork`", "other pods"),
            ("Failed to select targets: no pod is selected", "enableFilterNamespace"),
            (
                "Internal error occurred: failed calling webhook \"mnetworkchaos.kb.io\": x509: certificate signed by \
                 unknown authority",
                "certificate",
            ),
            ("failed calling webhook \"vauth.kb.io\": no endpoints available for service", "webhook does not answer"),
            ("admission webhook denied the request: user:x is forbidden on namespace:peers", "peers'"),
            ("Cannot find device \"eth0\"", "`device`"),
        ] {
            let remedy = remedy(words).unwrap_or_else(|| panic!("{words}"));
            assert!(remedy.contains(part), "{words}: {remedy}");
        }
        assert_eq!(remedy("something else"), None);
    }
}
