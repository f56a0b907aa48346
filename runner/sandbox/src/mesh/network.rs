//! The rules that a NetworkChaos writes into the PodNetworkChaos of each of its pods.
//!
//! In scope: the rules of each pod and their addresses. Out of scope: the effect of the rules (`daemon`).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use crate::object;

/// The two ends of a NetworkChaos and the external targets, as addresses.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// The addresses of the selector's pods.
    pub sources: Vec<Ipv4Addr>,
    /// The addresses of the target's pods.
    pub targets: Vec<Ipv4Addr>,
    /// The addresses of `externalTargets`: networks in CIDR notation, each with an optional port.
    pub external: Vec<(String, Option<u16>)>,
}

/// Rules for one pod, as parts of a PodNetworkChaos.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rules {
    pub ipsets: Vec<Value>,
    pub iptables: Vec<Value>,
    pub tcs: Vec<Value>,
}

impl Rules {
    /// Whether there are no rules for the pod.
    pub fn is_empty(&self) -> bool {
        self.iptables.is_empty() && self.tcs.is_empty()
    }
}

/// The rules of `chaos` for a pod that has this selector key (`.` or `.Target`). No rules when the direction does not
/// concern that end.
///
/// # Errors
/// A spec without an effect, or with a feature that the sandbox does not have.
pub(crate) fn rules(chaos: &Value, selector_key: &str, ends: &Ends) -> Result<Rules, String> {
    let spec = &chaos["spec"];
    if spec.get("remoteCluster").is_some() {
        return Err("not modelled in the sandbox: it has no remote cluster".into());
    }
    let source = source_of(chaos);
    let is_source = selector_key == ".";
    let direction = match object::text(spec, "/direction") {
        "" => "to",
        direction => direction,
    };
    let (to, from) = (direction != "from", direction != "to");
    let others = if is_source { "tgt" } else { "src" };
    let mut rules = Rules::default();
    let addresses = if is_source { &ends.targets } else { &ends.sources };
    let external: &[_] = if is_source { &ends.external } else { &[] };
    // Without a target, the rules cover all addresses.
    let everything = is_source && spec.get("target").is_none() && object::list(spec, "/externalTargets").is_empty();
    let sets = match everything {
        true => Vec::new(),
        false => ipsets(object::name(chaos), object::text(spec, "/action"), others, addresses, external, &source),
    };
    let name = sets.last().map(|set| set["name"].clone());
    let device = if is_source { spec.get("device") } else { spec.get("targetDevice") };
    if spec["action"] == "partition" {
        // The source's outgoing packets are the target's incoming packets.
        let drops = [("output", if is_source { to } else { from }), ("input", if is_source { from } else { to })];
        for (chain, _) in drops.into_iter().filter(|(_, wanted)| *wanted) {
            let mut rule = json!({"name": format!("{}/{}", chain.to_uppercase(), named(object::name(chaos), 13, "")),
                "direction": chain, "source": source,
                "ipsets": name.iter().collect::<Vec<_>>()});
            set_device(&mut rule, device);
            rules.iptables.push(rule);
            // Each direction brings its sets along, even the same ones again.
            rules.ipsets.extend(sets.iter().cloned());
        }
    } else if if is_source { to } else { from } {
        let mut rule = traffic_control(spec)?;
        rule["source"] = source.clone().into();
        if let Some(name) = &name {
            rule["ipset"] = name.clone();
        }
        set_device(&mut rule, device);
        rules.tcs.push(rule);
        rules.ipsets.extend(sets);
    }
    Ok(rules)
}

/// The source name of a chaos's rules in a PodNetworkChaos.
pub(crate) fn source_of(chaos: &Value) -> String {
    format!("{}/{}", object::namespace(chaos), object::name(chaos))
}

/// Replaces the rules of `source` in the spec of a PodNetworkChaos. Other rules are kept, and the new ones come last.
pub(crate) fn merge(spec: &mut Value, source: &str, rules: Rules) {
    for (list, new) in [("ipsets", rules.ipsets), ("iptables", rules.iptables), ("tcs", rules.tcs)] {
        let mut all: Vec<Value> =
            object::list(spec, &format!("/{list}")).iter().filter(|rule| rule["source"] != source).cloned().collect();
        all.extend(new);
        match spec.as_object_mut() {
            Some(map) if all.is_empty() => _ = map.shift_remove(list),
            _ => spec[list] = all.into(),
        }
    }
}

fn set_device(rule: &mut Value, device: Option<&Value>) {
    if let Some(device) = device {
        rule["device"] = device.clone();
    }
}

/// The name of a set or a chain: the kernel allows few characters.
fn named(chaos: &str, digits: usize, what: &str) -> String {
    let mut hasher = DefaultHasher::new();
    chaos.hash(&mut hasher);
    let hash = format!("{:016x}", hasher.finish());
    format!("{}_{}_{what}", chaos.get(..5).unwrap_or(chaos), &hash[..digits])
}

/// The sets of addresses of one end: of addresses, of addresses with ports, and the last of both.
fn ipsets(
    chaos: &str,
    action: &str,
    others: &str,
    pods: &[Ipv4Addr],
    external: &[(String, Option<u16>)],
    source: &str,
) -> Vec<Value> {
    let mut cidrs: Vec<Value> = Vec::new();
    let mut with_ports: Vec<Value> = Vec::new();
    for (cidr, port) in external {
        match port {
            Some(port) => with_ports.push(json!({"cidr": cidr, "port": port})),
            None => cidrs.push(cidr.clone().into()),
        }
    }
    cidrs.extend(pods.iter().map(|ip| Value::from(format!("{ip}/32"))));
    let prefix = if action == "partition" { "" } else { action.get(..2).unwrap_or_default() };
    let name = |digits: usize, what: &str| named(chaos, digits, &format!("{what}_{prefix}{others}"));
    let (net, port, both) = (name(11, "net"), name(7, "netport"), name(11, "set"));
    let mut sets = [
        json!({"name": net, "ipsetType": "hash:net", "source": source}),
        json!({"name": port, "ipsetType": "hash:net,port", "source": source}),
        json!({"name": both, "ipsetType": "list:set", "setNames": [net, port], "source": source}),
    ];
    if !cidrs.is_empty() {
        sets[0]["cidrs"] = cidrs.into();
    }
    if !with_ports.is_empty() {
        sets[1]["cidrAndPorts"] = with_ports.into();
    }
    sets.to_vec()
}

/// All blocks of the spec for this kind of traffic control, for any action.
fn traffic_control(spec: &Value) -> Result<Value, String> {
    let is_bandwidth = spec["action"] == "bandwidth";
    let blocks: &[&str] =
        if is_bandwidth { &["bandwidth"] } else { &["delay", "loss", "duplicate", "corrupt", "rate"] };
    let mut rule = Map::new();
    rule.insert("type".into(), if is_bandwidth { "bandwidth" } else { "netem" }.into());
    for block in blocks {
        if let Some(value) = spec.get(*block) {
            rule.insert((*block).into(), value.clone());
        }
    }
    match rule.len() {
        1 if is_bandwidth => Err("invalid spec for bandwidth action, the bandwidth is required".into()),
        1 => {
            Err("invalid spec for netem action, at least one is required from delay, loss, duplicate, corrupt, rate"
                .into())
        }
        _ => Ok(rule.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chaos(spec: Value) -> Value {
        let mut whole = json!({"action": "netem", "direction": "to", "loss": {"loss": "50"}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({"metadata": {"namespace": "a", "name": "n"}, "spec": whole})
    }

    fn ends() -> Ends {
        Ends {
            sources: vec![Ipv4Addr::new(127, 64, 0, 1)],
            targets: vec![Ipv4Addr::new(127, 64, 0, 2)],
            external: vec![("10.0.0.1/32".into(), Some(4222)), ("10.1.0.0/16".into(), None)],
        }
    }

    /// The chains of iptables, whether there is traffic control, and the addresses that they are for.
    fn shown(spec: Value, key: &str) -> (Vec<String>, bool, Vec<String>) {
        let rules = rules(&chaos(spec), key, &ends()).unwrap();
        let chains = rules.iptables.iter().map(|rule| object::text(rule, "/direction").to_string()).collect();
        let cidrs = rules.ipsets.iter().flat_map(|set| object::list(set, "/cidrs"));
        (chains, !rules.tcs.is_empty(), cidrs.map(|cidr| cidr.as_str().unwrap().to_string()).collect())
    }

    #[test]
    fn each_direction_is_shaped_where_it_begins() {
        let target = json!({"mode": "all", "selector": {}});
        let of = |direction: &str| json!({"direction": direction, "target": target});
        let (to_target, to_source) =
            (vec!["10.1.0.0/16".to_string(), "127.64.0.2/32".into()], vec!["127.64.0.1/32".to_string()]);
        assert_eq!(shown(of("to"), "."), (vec![], true, to_target.clone()));
        assert_eq!(shown(of("to"), ".Target"), (vec![], false, vec![]));
        assert_eq!(shown(of("from"), "."), (vec![], false, vec![]));
        assert_eq!(shown(of("from"), ".Target"), (vec![], true, to_source.clone()));
        assert_eq!(shown(of("both"), "."), (vec![], true, to_target));
        assert_eq!(shown(of("both"), ".Target"), (vec![], true, to_source));
        assert_eq!(shown(json!({}), "."), (vec![], true, vec![]), "without a target everything is shaped");
    }

    #[test]
    fn a_partition_drops_at_both_ends() {
        let of = |direction: &str| json!({"action": "partition", "direction": direction, "target": {"mode": "all"}});
        let chains = |direction: &str, key: &str| shown(of(direction), key).0;
        assert_eq!((chains("to", "."), chains("to", ".Target")), (vec!["output".into()], vec!["input".into()]));
        assert_eq!((chains("from", "."), chains("from", ".Target")), (vec!["input".into()], vec!["output".into()]));
        assert_eq!(chains("both", "."), ["output", "input"]);
        let alone = rules(&chaos(json!({"action": "partition"})), ".", &ends()).unwrap();
        assert_eq!((alone.ipsets.len(), &alone.iptables[0]["ipsets"]), (0, &json!([])));
    }

    #[test]
    fn ports_of_external_targets_are_kept() {
        let rules = rules(&chaos(json!({"externalTargets": ["x"]})), ".", &ends()).unwrap();
        assert_eq!(rules.ipsets[1]["cidrAndPorts"], json!([{"cidr": "10.0.0.1/32", "port": 4222}]));
        assert_eq!(rules.tcs[0]["ipset"], rules.ipsets[2]["name"]);
        assert_eq!(rules.tcs[0]["source"], "a/n");
    }

    #[test]
    fn an_action_without_its_block_is_an_error() {
        let error = rules(&chaos(json!({"action": "bandwidth"})), ".", &ends()).unwrap_err();
        assert!(error.contains("bandwidth"), "{error}");
        let mut empty = chaos(json!({}));
        empty["spec"].as_object_mut().unwrap().remove("loss");
        assert!(rules(&empty, ".", &ends()).unwrap_err().contains("at least one is required"));
    }

    #[test]
    fn what_others_wrote_stays() {
        let mut spec = json!({"tcs": [{"source": "a/other"}, {"source": "a/n", "old": true}]});
        let rules = rules(&chaos(json!({})), ".", &ends()).unwrap();
        merge(&mut spec, "a/n", rules);
        assert_eq!(spec["tcs"][0], json!({"source": "a/other"}));
        assert_eq!(spec["tcs"][1]["loss"]["loss"], "50");
        merge(&mut spec, "a/n", Rules::default());
        merge(&mut spec, "a/other", Rules::default());
        assert_eq!(spec, json!({}));
    }
}
