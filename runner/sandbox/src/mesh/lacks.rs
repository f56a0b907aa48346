//! Nodes that cannot inject every fault. The sandbox's node can, unless its object has the annotation [`LACKS`].
//!
//! In scope: what Chaos Mesh reports then, in the words of the recordings.

use serde_json::Value;

use crate::object;

/// An annotation of a node: what it lacks, separated by commas.
pub(crate) const LACKS: &str = "sandbox.shakedown.dev/lacks";
/// The module of netem.
const NETEM: &str = "sch_netem";
/// The legacy tables of iptables.
const TABLES: &str = "iptables";
/// The API in which Chaos Mesh finds its daemons. Strictly, the cluster lacks it.
const SLICES: &str = "discovery.k8s.io/v1";
/// The containers of its pods, which the daemon does not find any more.
const CONTAINERS: &str = "containers";

/// The program in its pods' containers with which the daemon changes resolv.conf.
const SED: &str = "sed";

fn lacks(node: Option<&Value>, what: &str) -> bool {
    let annotation = node.and_then(|node| node["metadata"]["annotations"][LACKS].as_str()).unwrap_or_default();
    annotation.split(',').any(|one| one.trim() == what)
}

/// Why no daemon is found on a node; `None` where one is.
pub(crate) fn daemon(node: Option<&Value>) -> Option<String> {
    lacks(node, SLICES).then(|| format!("no matches for kind \"EndpointSlice\" in version \"{SLICES}\""))
}

/// Why a daemon finds no container; `None` where it does.
pub(crate) fn containers(node: Option<&Value>) -> Option<String> {
    lacks(node, CONTAINERS)
        .then(|| "rpc error: code = Unknown desc = no running task found for the container".to_owned())
}

/// Why the daemon cannot change resolv.conf in a container; `None` where it can.
pub(crate) fn sed(node: Option<&Value>) -> Option<String> {
    lacks(node, SED)
        .then(|| "rpc error: code = Unknown desc = error code: exit status 127, msg: sh: sed: not found\n".to_owned())
}

/// Why a node cannot put the rules of a PodNetworkChaos in place; `None` where it can.
pub(crate) fn rules(node: Option<&Value>, network: &Value) -> Option<String> {
    let spec = &network["spec"];
    let pod = format!("{}/{}", object::namespace(network), object::name(network));
    let failed = |step: &str| {
        Some(format!("failed to apply for pod {pod}: unable to set {step} for pod {}", object::name(network)))
    };
    match () {
        () if daemon(node).is_some() => daemon(node),
        () if containers(node).is_some() => containers(node).map(|why| format!("failed to apply for pod {pod}: {why}")),
        // The daemon makes its chains for each pod, before it looks for rules.
        () if lacks(node, TABLES) => failed("ip tables chains"),
        () if lacks(node, NETEM) && object::list(spec, "/tcs").iter().any(|rule| rule["type"] == "netem") => {
            failed("tcs")
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_rule_fails_where_its_tool_is_missing() {
        let node = |lacks: &str| json!({"metadata": {"annotations": {LACKS: lacks}}});
        let network = |spec: Value| json!({"metadata": {"namespace": "a", "name": "p"}, "spec": spec});
        let slow = network(json!({"tcs": [{"type": "netem"}]}));
        let slow_to = network(json!({"tcs": [{"type": "netem", "ipset": "x"}]}));
        let thin = network(json!({"tcs": [{"type": "bandwidth"}]}));
        let cut = network(json!({"iptables": [{"direction": "input"}]}));
        let fails = |lacks: &str, network: &Value| rules(Some(&node(lacks)), network).is_some();
        let all = |lacks: &str| [&slow, &slow_to, &thin, &cut].map(|network| fails(lacks, network));
        assert_eq!(all(""), [false; 4]);
        assert_eq!(all("sch_netem"), [true, true, false, false]);
        assert_eq!(all("iptables"), [true; 4]);
        assert!(fails("iptables", &network(json!({}))), "a pod without rules has chains as well");
        assert_eq!(all("discovery.k8s.io/v1"), [true; 4]);
        assert_eq!(all("containers"), [true; 4]);
        assert_eq!((rules(None, &slow), daemon(Some(&node("sch_netem")))), (None, None));
        let words = rules(Some(&node("sch_netem")), &slow).unwrap();
        assert_eq!(words, "failed to apply for pod a/p: unable to set tcs for pod p");
    }
}
