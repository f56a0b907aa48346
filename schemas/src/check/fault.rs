//! Checks of one fault: its targets, its peers and its time within the phase.

use std::net::IpAddr;

use super::{Findings, dns_label};
use crate::diagnostic::{Code, Diagnostic, words};
use crate::scenario::{Fault, LabelSelector, Operator, Partition, Peer, Phase, PodSelector, Prove};

pub(super) fn check(path: &str, phase: &Phase, fault: &Fault, findings: &mut Findings<'_>) {
    let path = format!("{path}.{}", fault.kind());
    selector(&format!("{path}.pods"), fault.pods(), findings);
    narrowing(&format!("{path}.pods"), fault.pods(), findings);
    time(&path, phase, fault, findings);
    match fault {
        Fault::Partition(it) => partition(&path, it, findings),
    }
}

/// That a selector says which pods it means.
pub(super) fn selector(path: &str, selector: &PodSelector, findings: &mut Findings<'_>) {
    let empty_labels = selector.labels.as_ref().is_some_and(LabelSelector::is_empty);
    let nothing =
        selector.name.is_none() && selector.prefix.is_none() && selector.labels.is_none() && selector.owner.is_none();
    let help = "name pods by `name`, `prefix`, `labels` or `owner`, such as `labels: {app: worker}`";
    if nothing {
        findings.push(
            path,
            Diagnostic::error(Code::SelectsAll, "this selector matches every pod of the namespace").help(help),
        );
    }
    for (key, value) in [("name", &selector.name), ("prefix", &selector.prefix), ("owner", &selector.owner)] {
        if value.as_deref().is_some_and(|value| value.trim().is_empty()) {
            let message = match key {
                "prefix" => "every pod's name begins with the empty prefix".to_owned(),
                _ => format!("this `{key}` is empty"),
            };
            findings.push(&format!("{path}.{key}"), Diagnostic::error(Code::SelectsAll, message).help(help));
        }
    }
    if empty_labels {
        findings.push(
            &format!("{path}.labels"),
            Diagnostic::error(Code::SelectsAll, "every pod matches empty `labels`")
                .help("write `labels: {app: worker}`"),
        );
    }
    if let Some(owner) = selector.owner.as_deref().filter(|owner| !owner.trim().is_empty()) {
        let good = owner.split_once('/').is_some_and(|(kind, name)| {
            !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphabetic()) && !name.is_empty() && !name.contains('/')
        });
        if !good {
            findings.push(
                &format!("{path}.owner"),
                Diagnostic::error(Code::Name, format!("`{owner}` is not an owner"))
                    .help("write its kind and its name, such as `deployment/worker`"),
            );
        }
    }
    if let Some(namespace) = &selector.namespace {
        dns_label(namespace, "namespace", &format!("{path}.namespace"), findings);
    }
    if let Some(labels) = &selector.labels {
        expressions(&format!("{path}.labels.matchExpressions"), labels, findings);
    }
}

fn expressions(path: &str, labels: &LabelSelector, findings: &mut Findings<'_>) {
    for (index, expression) in labels.match_expressions.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match expression.operator {
            Operator::In | Operator::NotIn if expression.values.is_empty() => findings.push(
                &path,
                Diagnostic::error(Code::Expression, "`In` and `NotIn` compare with `values`, and there are none")
                    .help("write `values: [a, b]`, or the operator `Exists`"),
            ),
            Operator::Exists | Operator::DoesNotExist if !expression.values.is_empty() => findings.push(
                &format!("{path}.values"),
                Diagnostic::error(Code::Expression, "`Exists` and `DoesNotExist` look at no values")
                    .help("remove `values`, or write the operator `In`"),
            ),
            _ => {}
        }
        if expression.key.is_empty() {
            findings.push(&format!("{path}.key"), Diagnostic::error(Code::Expression, "the label's name is empty"));
        }
    }
}

/// `count` and `percent`, on targets.
fn narrowing(path: &str, selector: &PodSelector, findings: &mut Findings<'_>) {
    if selector.count.is_some() && selector.percent.is_some() {
        findings.push_at_key(
            &format!("{path}.percent"),
            Diagnostic::error(Code::Narrowing, "this selector has both `count` and `percent`").help("keep one of them"),
        );
    }
    if selector.count == Some(0) {
        findings.push(
            &format!("{path}.count"),
            Diagnostic::error(Code::Narrowing, "a fault on no pods is no fault").help("write `count: 1`"),
        );
    }
    if selector.percent.is_some_and(|percent| percent.fraction() <= 0.0) {
        findings.push(
            &format!("{path}.percent"),
            Diagnostic::error(Code::Narrowing, "a fault on no pods is no fault").help("write `percent: 50%`"),
        );
    }
    if selector.name.is_some() && selector.count.is_some_and(|count| count > 1) {
        findings.push(
            &format!("{path}.count"),
            Diagnostic::error(Code::Narrowing, "a `name` is one pod's").help("select by `prefix` or `labels` instead"),
        );
    }
}

fn time(path: &str, phase: &Phase, fault: &Fault, findings: &mut Findings<'_>) {
    let (after, lasts, duration) = (fault.after(), fault.lasts(), phase.duration);
    let wrong = |path: String| findings.map.has(&path) && findings.map.damaged(&path);
    if wrong(format!("{}.duration", phase_path(path))) || findings.map.gone(path) {
        return;
    }
    if lasts.is_some_and(|lasts| lasts.is_zero()) {
        return findings.push(
            &format!("{path}.for"),
            Diagnostic::error(Code::ZeroDuration, "this fault lasts no time")
                .help("remove `for` to keep it until the phase's end"),
        );
    }
    if after >= duration && !after.is_zero() {
        return findings.push(
            &format!("{path}.after"),
            Diagnostic::error(
                Code::FaultTime,
                format!("this fault begins after {after}, when its phase of {duration} is over"),
            )
            .help("lengthen the phase, or begin earlier"),
        );
    }
    if let Some(lasts) = lasts.filter(|lasts| after.get() + lasts.get() > duration.get()) {
        let left = crate::units::Duration::from(duration.get() - after.get());
        findings.push(
            &format!("{path}.for"),
            Diagnostic::error(Code::FaultTime, format!("this fault lasts {lasts}, and {left} are left of its phase"))
                .help(format!("write `for: {left}`, or remove `for` to keep it until the phase's end")),
        );
    }
}

/// `phases[1]` of `phases[1].faults.x.partition`.
fn phase_path(path: &str) -> &str {
    path.split_once('.').map_or(path, |(phase, _)| phase)
}

fn partition(path: &str, partition: &Partition, findings: &mut Findings<'_>) {
    if partition.from.is_empty() {
        findings.push(
            &format!("{path}.from"),
            Diagnostic::error(Code::Peer, "this partition cuts no link").help("write `from: [{service: nats}]`"),
        );
    }
    if partition.prove == Prove::Witness && !partition.direction.has_egress() {
        findings.push(
            &format!("{path}.prove"),
            Diagnostic::error(
                Code::Proof,
                "a witness connects to the peer, and this partition cuts only what the peer opens",
            )
            .help("write `prove: traffic`, or `direction: both`"),
        );
    }
    for (index, it) in partition.from.iter().enumerate() {
        let path = format!("{path}.from[{index}]");
        peer(&path, it, findings);
        let same = it.pods.as_ref().is_some_and(|pods| {
            let targets = PodSelector { count: None, percent: None, ..partition.pods.clone() };
            *pods == targets && partition.pods.count.is_none() && partition.pods.percent.is_none()
        });
        if same && it.ports.is_empty() {
            findings.push(
                &format!("{path}.pods"),
                Diagnostic::error(
                    Code::SelfPartition,
                    "the targets are cut off from themselves: both ends are the same pods",
                )
                .help("select other pods here, or narrow the targets with `count`"),
            );
        }
    }
}

fn peer(path: &str, peer: &Peer, findings: &mut Findings<'_>) {
    let mut given = Vec::new();
    for (key, there) in [
        ("service", peer.service.is_some()),
        ("pods", peer.pods.is_some()),
        ("cidr", peer.cidr.is_some()),
        ("host", peer.host.is_some()),
    ] {
        if there {
            given.push(key);
        }
    }
    match given.as_slice() {
        [] => findings.push(
            path,
            Diagnostic::error(Code::Peer, "this peer says nothing about who it is")
                .help("write one of `service`, `pods`, `cidr` and `host`, such as `- service: nats`"),
        ),
        [_] => {}
        [_, second, ..] => findings.push_at_key(
            &format!("{path}.{second}"),
            Diagnostic::error(Code::Peer, format!("this peer has {}", words(&given)))
                .help("make each a peer of its own: several peers are all cut off"),
        ),
    }
    if let Some(service) = &peer.service {
        service_peer(path, service, findings);
    }
    if let Some(pods) = &peer.pods {
        let path = format!("{path}.pods");
        selector(&path, pods, findings);
        for (key, there) in [("count", pods.count.is_some()), ("percent", pods.percent.is_some())] {
            if there {
                findings.push_at_key(
                    &format!("{path}.{key}"),
                    Diagnostic::error(Code::Narrowing, format!("`{key}` is for targets, and these pods are a peer"))
                        .help("remove it: all matching pods are the other end of the link"),
                );
            }
        }
    }
    if let Some(cidr) = &peer.cidr {
        block(&format!("{path}.cidr"), cidr, findings);
    }
    if let Some(host) = &peer.host {
        host_peer(&format!("{path}.host"), host, findings);
    }
    if let Some(namespace) = &peer.namespace {
        let parent = path;
        let path = format!("{parent}.namespace");
        dns_label(namespace, "namespace", &path, findings);
        if peer.service.is_none() && !findings.map.gone(parent) {
            let help = if peer.pods.is_some() { "write it inside `pods`" } else { "remove it" };
            findings
                .push_at_key(&path, Diagnostic::error(Code::Peer, "this `namespace` is for a `service`").help(help));
        }
    }
}

fn service_peer(path: &str, service: &str, findings: &mut Findings<'_>) {
    let key = format!("{path}.service");
    if let Some((name, port)) = service.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        return findings.push(
            &key,
            Diagnostic::error(Code::Ports, "a peer's service is named without its port")
                .help(format!("write `service: {name}` and `ports: [{port}]`")),
        );
    }
    match service.split_once('.') {
        Some((name, namespace)) if super::is_dns_label(name) && super::is_dns_label(namespace) => findings.push(
            &key,
            Diagnostic::error(Code::Name, format!("`{service}` cannot be the name of a service"))
                .help(format!("write `service: {name}` and `namespace: {namespace}`")),
        ),
        _ => dns_label(service, "service", &key, findings),
    }
}

fn host_peer(path: &str, host: &str, findings: &mut Findings<'_>) {
    if host.parse::<IpAddr>().is_ok() {
        return findings.push(
            path,
            Diagnostic::error(Code::Peer, "a host is a name, and this is an address")
                .help(format!("write `cidr: {host}/{}`", if host.contains(':') { 128 } else { 32 })),
        );
    }
    let good = host.len() <= 253
        && host.trim_end_matches('.').split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
    if !good {
        findings.push(
            path,
            Diagnostic::error(Code::Peer, format!("`{host}` is not a host name"))
                .help("write a name such as `models.example.org`, without `http://` and without a port"),
        );
    }
}

/// A block of addresses as Kubernetes takes it: the address, a `/` and the length of the prefix.
fn block(path: &str, text: &str, findings: &mut Findings<'_>) {
    let Some((address, length)) = text.split_once('/') else {
        let help = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => format!("for this address alone write `{text}/32`"),
            Ok(IpAddr::V6(_)) => format!("for this address alone write `{text}/128`"),
            Err(_) => "write a block such as `203.0.113.0/24`, or use `host` for a name".to_owned(),
        };
        return findings
            .push(path, Diagnostic::error(Code::Cidr, format!("`{text}` is not a block of addresses")).help(help));
    };
    let bits = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => Some((u128::from(address.to_bits()) << 96, 32)),
        Ok(IpAddr::V6(address)) => Some((address.to_bits(), 128)),
        Err(_) => None,
    };
    let length = length.parse::<u32>().ok().filter(|_| !length.starts_with('+'));
    match (bits, length) {
        (Some((bits, longest)), Some(length)) if length <= longest => {
            // Addresses stand at the top of the 128 bits, so the host part is what is left after the prefix.
            let host = bits.checked_shl(length).unwrap_or(0);
            if host != 0 {
                let kept = bits & !(u128::MAX.checked_shr(length).unwrap_or(0));
                let network = if longest == 32 {
                    IpAddr::from(((kept >> 96) as u32).to_be_bytes())
                } else {
                    IpAddr::from(kept.to_be_bytes())
                };
                findings.push(
                    path,
                    Diagnostic::error(Code::Cidr, format!("the block `{text}` begins at another address than it says"))
                        .help(format!(
                            "write `{network}/{length}` for the block, or `{address}/{longest}` for this address alone"
                        )),
                );
            }
        }
        _ => findings.push(
            path,
            Diagnostic::error(Code::Cidr, format!("`{text}` is not a block of addresses"))
                .help("write an address, `/` and the length of the prefix, such as `203.0.113.0/24`"),
        ),
    }
}
