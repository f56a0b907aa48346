//! Finds the remedy for a failure from Chaos Mesh's message, which names the failed step. Pure.

use shakedown_schemas::Explained;

/// Part of Chaos Mesh's message about a missing permission in a namespace.
pub const NOT_ALLOWED: &str = "is forbidden on namespace";
/// Part of Chaos Mesh's message about a daemon that cannot create its iptables chains. It creates them for each pod, even
/// without rules, before any rule of iptables or `tc`.
pub const CHAINS: &str = "unable to set ip tables chains";
/// Part of Chaos Mesh's message about a Kubernetes without the API by which it finds its daemons.
pub const NO_DISCOVERY: &str = "discovery.k8s.io/v1";
/// Parts of the messages about a failure that comes before any rule of iptables or `tc`, whatever the rules are.
const BEFORE_RULES: &[&str] = &[CHAINS, NO_DISCOVERY];
/// Why a resource still exists whose deletion Chaos Mesh has not reacted to, with the remedy.
pub const NOT_TAKEN_UP: &str = "Chaos Mesh has not started its deletion (chaos-controller-manager does not run, has no leader or \
                                hangs: `kubectl get pods -A -l app.kubernetes.io/component=controller-manager`; the resource is \
                                deleted once it works again)";

/// Remedies by a part of the message in lower case. The first match counts, so the more specific parts come first.
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
    (
        NO_DISCOVERY,
        "this version of Chaos Mesh needs Kubernetes 1.21 or later, which serves EndpointSlices in discovery.k8s.io/v1: install \
         a version of Chaos Mesh for this Kubernetes",
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
    (
        "broute",
        "the node's kernel lacks the ebtables table `broute`, without which Chaos Mesh cannot put its proxy before a pod: \
         `modprobe ebtable_broute` there, and start chaos-controller-manager again, which may hang on it",
    ),
    (
        "no default ipv4",
        "Chaos Mesh's proxy finds no default IPv4 route in the pod any more and cannot take its rules back: replace the pod, and \
         the resource goes",
    ),
    (
        "ptrace",
        "the node does not let the chaos-daemon trace the container's processes: its container has to be privileged \
         (SYS_PTRACE), and the node's `kernel.yama.ptrace_scope` below 3",
    ),
    (
        "cgroup",
        "the chaos-daemon does not find, or may not change, the container's cgroup: its container has to be privileged and see \
         the node's /sys/fs/cgroup",
    ),
    ("cannot find device", "the pod's network interface has another name than eth0: set `device`"),
    (
        "--set-class",
        "the node's kernel lacks the module xt_CLASSIFY, which classifies packets: run `modprobe xt_CLASSIFY` there",
    ),
    (
        "kernel error received",
        "`ipset` failed in the pod: the node's kernel lacks ip_set, ip_set_hash_net, ip_set_hash_netport, ip_set_list_set or \
         xt_set: `modprobe` them there",
    ),
    (
        "can't initialize iptables",
        "the node's kernel lacks the legacy tables of iptables, which Chaos Mesh uses: `modprobe ip_tables iptable_filter \
         iptable_mangle` there",
    ),
    (
        "unable to set tcs",
        "`tc` failed in the pod, and only the chaos-daemon's log on that node contains the reason; usually the node's \
         kernel lacks the module sch_netem: `modprobe sch_netem`",
    ),
    (
        "unable to flush ip sets",
        "`ipset` failed in the pod: the node's kernel lacks ip_set, ip_set_hash_net or xt_set; the chaos-daemon's log on that \
         node contains its message",
    ),
    (
        CHAINS,
        "`iptables` failed in the pod: the node's kernel lacks the legacy tables; the chaos-daemon's log on that node contains \
         its message",
    ),
    (
        "no running task found",
        "the container is not running at the moment, and this version of Chaos Mesh finds a pod only through it: wait until \
         it runs, or replace the pod; 2.8.3 does not need it",
    ),
    (
        "toda startup takes too long",
        "Chaos Mesh could not put its file system in front of the volume: `volume` has to be exactly where the volume is \
         mounted, and the node has to be amd64 with FUSE",
    ),
    (
        "toda update rpc failed",
        "Chaos Mesh's file system (toda) ended at once in the pod: the node has to be amd64 with FUSE, and the image of \
         chaos-daemon has to contain /usr/local/bin/toda",
    ),
    (
        "namespace scoped mode",
        "Chaos Mesh is installed for one namespace only (clusterScoped=false), and this fault concerns several: keep targets \
         and peers in that one, or install it with clusterScoped=true",
    ),
    (
        "out of scoped namespace",
        "Chaos Mesh is installed for another namespace only (clusterScoped=false): use that one, or install it with \
         clusterScoped=true",
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
        "controller-manager\" not found",
        "Chaos Mesh was uninstalled and its webhooks are left, so none of its resources can be created or changed: \
         `shakedown doctor` \
         names them, and the order in which to clean up",
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
        NOT_ALLOWED,
        "Chaos Mesh itself asks whether this account may create this kind in every namespace that the fault names, the \
         peers' as well: grant it `create` there",
    ),
    ("context deadline exceeded", "Chaos Mesh's controller does not reach the chaos-daemon on that node (port 31767)"),
    ("connection refused", "Chaos Mesh's controller does not reach the chaos-daemon on that node (port 31767)"),
];

/// The remedy for a failure of Chaos Mesh; `None` when its message is not known.
pub fn remedy(words: &str) -> Option<&'static str> {
    let words = words.to_ascii_lowercase();
    CAUSES.iter().find(|(part, _)| words.contains(part)).map(|(_, remedy)| *remedy)
}

/// Steps that run a tool in the pod. Chaos Mesh reports only that they failed.
const TOOLS: &[&str] = &["unable to set tcs", "unable to flush ip sets", CHAINS];
/// Parts of a status that reports a failed step in the container without its cause.
const STEPS: &[&str] = &["rpc error", "exit status", "status("];
/// Parts of the tools' messages, in lower case.
const TOOLS_SAY: &[&str] = &[
    "specified qdisc not found",
    "qdisc kind is unknown",
    "cannot find device",
    "--set-class",
    "kernel error received",
    "can't initialize iptables",
    "broute",
    "no default ipv4",
    "ptrace",
    "cgroup",
];
/// Parts of messages, in lower case, whose cause is the node or the installation. A retry does not help.
const LASTING: &[&str] = &[
    "specified qdisc not found",
    "qdisc kind is unknown",
    "cannot find device",
    "--set-class",
    "can't initialize iptables",
    "expected docker:// but got",
    "but got container",
    "with `hostnetwork`",
    NO_DISCOVERY,
];
/// The most characters of a tool's message that are shown.
const LONGEST: usize = 200;

/// Whether the reason is only in the daemon's log.
pub fn is_mute(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    let failed = TOOLS.iter().any(|part| words.contains(part))
        || remedy(&words).is_none() && STEPS.iter().any(|part| words.contains(part));
    failed && !TOOLS_SAY.iter().any(|part| words.contains(part))
}

/// Whether a retry cannot succeed after this failure.
pub fn lasts(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    LASTING.iter().any(|part| words.contains(part))
}

/// Whether an attempt with this failure put no rule into the pod.
pub fn is_before_rules(words: &str) -> bool {
    BEFORE_RULES.iter().any(|part| words.contains(part))
}

/// The last known message of a tool in a daemon's log.
pub fn last_words(log: &str) -> Option<String> {
    let known = |text: &&str| {
        let text = text.to_ascii_lowercase();
        TOOLS_SAY.iter().any(|part| text.contains(part))
    };
    // Informational lines also name cgroups.
    let failed = |line: &&str| !line.contains("\tINFO\t") && !line.contains("\tDEBUG\t");
    let line = log.lines().rev().filter(failed).find(known)?;
    // The tool's message is in quotes, with an escaped end of line.
    let said = line.split('"').flat_map(|part| part.split("\\n")).find(known)?;
    let said = said.rsplit_once("msg: ").map_or(said, |(_, said)| said);
    Some(said.trim_end_matches('\\').trim().chars().take(LONGEST).collect())
}

/// The message with its remedy.
pub fn explained(words: &str) -> Explained {
    Explained { message: words.to_owned(), help: remedy(words).map(str::to_owned) }
}

/// The help for a resource that no controller has processed.
pub const NO_CONTROLLER: &str = "Chaos Mesh's controller is not running, or is installed for another namespace only (clusterScoped=false): \
     `shakedown doctor` finds out";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_chaos_mesh_lead_to_what_helps() {
        for (words, part) in [
            ("rpc error: cannot find daemonIP on node node-3 in related EndpointSlice", "DaemonSet"),
            ("expected docker:// but got container://", "socketPath"),
            ("no matches for kind \"EndpointSlice\" in version \"discovery.k8s.io/v1\"", "1.21 or later"),
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
            (
                "failed calling webhook \"mnetworkchaos.kb.io\": Post \"https://x\": service \"chaos-mesh-controller-manager\" not found",
                "uninstalled",
            ),
            (
                "failed calling webhook \"vauth.kb.io\": Post \"https://x\": context deadline exceeded",
                "webhook does not answer",
            ),
            ("could NOT use more than 1 namespace selector within namespace scoped mode", "concerns several"),
            ("could NOT list pods from out of scoped namespace: bus", "another namespace only"),
            (
                "rpc error: code = Unknown desc = toda startup takes too long or an error occurs: source: /d",
                "exactly where",
            ),
            ("unable to set ip tables chains for pod worker-0", "legacy tables"),
            ("rpc error: code = Canceled desc = toda update RPC failed: context canceled", "FUSE"),
            ("rpc error: no running task found: task x not found", "2.8.3"),
        ] {
            let remedy = remedy(words).unwrap_or_else(|| panic!("{words}"));
            assert!(remedy.contains(part), "{words}: {remedy}");
        }
        assert_eq!(remedy("something else"), None);
    }

    #[test]
    fn the_daemons_log_tells_what_the_status_does_not() {
        assert!(is_mute("unable to set tcs for pod worker-0"));
        assert!(!is_mute("unable to set tcs: Error: Specified qdisc not found."), "nothing is left to ask");
        assert!(!is_mute("cannot find daemonIP on node node-3"));
        let line = |message: &str| {
            format!(
                "2026-03-01T10:59:45.636Z\tERROR\tchaos-daemon.daemon-server\tchaosdaemon/tc_server.go:159\terror while adding \
                 netem\t{{\"error\": \"error code: exit status 2, msg: {message}\\\\n\"}}"
            )
        };
        let log = format!(
            "{}\n{}\n2026-03-01T10:59:46Z\tINFO\tflush ipset\n",
            line("Cannot find device eth0"),
            line("Error: Specified qdisc not found.")
        );
        let words = last_words(&log).unwrap();
        assert_eq!(words, "Error: Specified qdisc not found.");
        assert!(remedy(&words).unwrap().contains("modprobe sch_netem"));
        assert_eq!(last_words("INFO all is well"), None);
        // Each tool's message, as the daemon logs it, and its remedy.
        for (message, quoted, helps) in [
            (
                "iptables v1.8.9 (legacy): can't initialize iptables table `filter': Table does not exist (do you need to insmod?)\\\\nPerhaps iptables or your kernel needs to be upgraded.",
                "iptables v1.8.9 (legacy): can't initialize iptables table `filter': Table does not exist (do you need to insmod?)",
                "modprobe ip_tables",
            ),
            (
                "ipset v7.15: Kernel error received: Invalid argument",
                "ipset v7.15: Kernel error received: Invalid argument",
                "ip_set_hash_netport",
            ),
            (
                "cannot find cgroup of process 4711: no such file or directory",
                "cannot find cgroup of process 4711: no such file or directory",
                "/sys/fs/cgroup",
            ),
            ("ptrace attach: operation not permitted", "ptrace attach: operation not permitted", "SYS_PTRACE"),
            (
                "The kernel doesn't support the ebtables 'broute' table.",
                "The kernel doesn't support the ebtables 'broute' table.",
                "ebtable_broute",
            ),
        ] {
            let log = format!("{}\n2026-03-01T10:59:46Z\tINFO\tcgroup of the container is found\n", line(message));
            let words = last_words(&log).unwrap_or_else(|| panic!("{message}"));
            assert_eq!(words, quoted);
            assert!(remedy(&words).unwrap().contains(helps), "{words}");
        }
        assert!(
            is_mute("unable to set ip tables chains for pod worker-0") && is_mute("rpc error: code = Unknown desc = x")
        );
        assert_eq!(last_words(&line("Cannot find device \\\\\\\"eth1\\\\\\\"")).unwrap(), "Cannot find device");
        assert_eq!(
            last_words(&format!("Kernel error received: {}", "ü".repeat(500))).unwrap().chars().count(),
            LONGEST
        );
    }
}
