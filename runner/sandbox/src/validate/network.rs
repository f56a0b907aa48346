//! Rules on services and network policies.

use ipnet::IpNet;
use serde_json::Value;

use super::fields::{check_selector, one_of};
use crate::error::Cause;
use crate::object;

pub(super) fn check_service(service: &Value, causes: &mut Vec<Cause>) {
    let ports = object::list(service, "/spec/ports");
    let kind = object::text(service, "/spec/type");
    if ports.is_empty() && kind != "ExternalName" && object::text(service, "/spec/clusterIP") != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (at, port) in ports.iter().enumerate() {
        check_port(port.get("port"), &format!("spec.ports[{at}].port"), causes);
        if ports.len() > 1 && object::text(port, "/name").is_empty() {
            causes.push(Cause::required(format!("spec.ports[{at}].name"), ""));
        }
    }
    one_of(service, "/spec/type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], "spec.type", causes);
}

fn check_port(port: Option<&Value>, field: &str, causes: &mut Vec<Cause>) {
    if let Some(number) = port.and_then(Value::as_i64).filter(|n| !(1..=65535).contains(n)) {
        let message = format!("Invalid value: {number}: must be between 1 and 65535, inclusive");
        causes.push(Cause { reason: "FieldValueInvalid", field: field.into(), message });
    }
}

pub(super) fn check_policy(spec: &Value, causes: &mut Vec<Cause>) {
    check_selector(&spec["podSelector"], "spec.podSelector", causes);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (at, rule) in object::list(spec, &format!("/{direction}")).iter().enumerate() {
            let path = format!("spec.{direction}[{at}]");
            for (at, port) in object::list(rule, "/ports").iter().enumerate() {
                check_policy_port(port, &format!("{path}.ports[{at}]"), causes);
            }
            for (at, peer) in object::list(rule, &format!("/{peers}")).iter().enumerate() {
                check_peer(peer, &format!("{path}.{peers}[{at}]"), causes);
            }
        }
    }
    for (at, kind) in object::list(spec, "/policyTypes").iter().enumerate() {
        one_of(kind, "", &["Egress", "Ingress"], &format!("spec.policyTypes[{at}]"), causes);
    }
}

fn check_policy_port(port: &Value, path: &str, causes: &mut Vec<Cause>) {
    one_of(port, "/protocol", &["SCTP", "TCP", "UDP"], &format!("{path}.protocol"), causes);
    check_port(port.get("port"), &format!("{path}.port"), causes);
    let Some(end) = object::number(port, "/endPort") else { return };
    match object::number(port, "/port") {
        None => causes.push(Cause::required(
            format!("{path}.endPort"),
            "may not be specified when `port` is not specified or non-numeric",
        )),
        Some(start) if end < start => causes.push(Cause {
            reason: "FieldValueInvalid",
            field: format!("{path}.endPort"),
            message: format!("Invalid value: {end}: must be greater than or equal to `port`"),
        }),
        Some(_) => check_port(port.get("endPort"), &format!("{path}.endPort"), causes),
    }
}

fn check_peer(peer: &Value, path: &str, causes: &mut Vec<Cause>) {
    let has = |key: &str| peer.get(key).is_some();
    if has("podSelector") {
        check_selector(&peer["podSelector"], &format!("{path}.podSelector"), causes);
    }
    if has("namespaceSelector") {
        check_selector(&peer["namespaceSelector"], &format!("{path}.namespaceSelector"), causes);
    }
    if has("ipBlock") {
        if has("podSelector") || has("namespaceSelector") {
            causes.push(Cause::forbidden(path, "may not specify both ipBlock and another peer"));
        }
        let cidr = object::text(peer, "/ipBlock/cidr");
        if parse_cidr(cidr).is_none() {
            let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            causes.push(Cause::invalid(format!("{path}.ipBlock.cidr"), cidr, why));
        }
        for (at, except) in object::list(peer, "/ipBlock/except").iter().filter_map(Value::as_str).enumerate() {
            let inside = parse_cidr(cidr).zip(parse_cidr(except)).is_some_and(|(outer, inner)| contains(outer, inner));
            if !inside {
                let why = format!("must be a strict subset of `cidr`: {cidr:?}");
                causes.push(Cause::invalid(format!("{path}.ipBlock.except[{at}]"), except, &why));
            }
        }
    } else if !has("podSelector") && !has("namespaceSelector") {
        causes.push(Cause::required(path, "must specify a peer"));
    }
}

/// A block with the bits behind its prefix, if it has any.
fn parse_cidr(text: &str) -> Option<IpNet> {
    let (address, bits) = text.split_once('/')?;
    IpNet::new(address.parse().ok()?, bits.parse().ok()?).ok()
}

fn contains(outer: IpNet, inner: IpNet) -> bool {
    inner.prefix_len() > outer.prefix_len() && outer.contains(&inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn causes(spec: Value) -> String {
        let mut causes = Vec::new();
        check_policy(&spec, &mut causes);
        causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect::<Vec<_>>().join("; ")
    }

    fn egress(rule: Value) -> String {
        causes(json!({"podSelector": {}, "egress": [rule]}))
    }

    #[test]
    fn good_policies_have_no_causes() {
        let peers = json!([
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}},
            {"namespaceSelector": {}},
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}},
        ]);
        let rule = json!({"to": peers, "ports": [{"port": 1, "endPort": 9, "protocol": "UDP"}, {"port": "http"}]});
        assert_eq!(egress(rule), "");
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (rule, expected) in [
            (json!({"to": [{}]}), "spec.egress[0].to[0]: Required value: must specify a peer"),
            (
                json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}),
                "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
            ),
            (
                json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}),
                "spec.egress[0].to[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of \
                 `cidr`: \"10.0.0.0/8\"",
            ),
            (
                json!({"ports": [{"port": 70000}]}),
                "spec.egress[0].ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                json!({"ports": [{"port": 9, "endPort": 8}]}),
                "spec.egress[0].ports[0].endPort: Invalid value: 8: must be greater than or equal to `port`",
            ),
            (
                json!({"to": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}}]}),
                "spec.egress[0].to[0].podSelector.matchExpressions[0].values: Required value: must be specified when \
                 `operator` is 'In' or 'NotIn'",
            ),
        ] {
            assert_eq!(egress(rule), expected);
        }
        assert!(causes(json!({"podSelector": {}, "policyTypes": ["Sideways"]})).contains("Unsupported value"));
    }
}
