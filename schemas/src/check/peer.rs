//! Checks of peers.

use std::net::IpAddr;

use ipnet::IpNet;

use super::selector::selector;
use super::{Findings, dns_label, is_dns_label};
use crate::diagnostic::{Code, Diagnostic, words};
use crate::scenario::{Peer, PeerPort};

pub(crate) fn peer(path: &str, peer: &Peer, findings: &mut Findings<'_>) {
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
            Diagnostic::error(Code::Peer, "this peer has no kind")
                .help("write one of `service`, `pods`, `cidr` and `host`, such as `- service: nats`"),
        ),
        [_] => {}
        [_, second, ..] => findings.push_at_key(
            &format!("{path}.{second}"),
            Diagnostic::error(Code::Peer, format!("this peer has {}", words(&given)))
                .help("write each as a separate peer: a fault acts on all of them"),
        ),
    }
    if let Some(service) = &peer.service {
        service_peer(path, service, findings);
    }
    port_names(path, peer, findings);
    if let Some(pods) = &peer.pods {
        let path = format!("{path}.pods");
        selector(&path, pods, findings);
        for (key, there) in [("count", pods.count.is_some()), ("percent", pods.percent.is_some())] {
            if there {
                findings.push_at_key(
                    &format!("{path}.{key}"),
                    Diagnostic::error(Code::Narrowing, format!("`{key}` is for targets, but these pods are a peer"))
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

/// Refuses port names of other peers than Services. Pods may use one name for different ports, and addresses have no
/// port names.
fn port_names(path: &str, peer: &Peer, findings: &mut Findings<'_>) {
    if peer.service.is_some() || findings.map.gone(path) {
        return;
    }
    for (index, port) in peer.ports.iter().enumerate() {
        if let PeerPort::Name(name) = port {
            findings.push(
                &format!("{path}.ports[{index}]"),
                Diagnostic::error(
                    Code::Ports,
                    format!("`{name}` is the name of a port, and only a `service` has those"),
                )
                .help("write the port's number, or name the peer with `service`"),
            );
        }
    }
}

fn service_peer(path: &str, service: &str, findings: &mut Findings<'_>) {
    let key = format!("{path}.service");
    // A word alone is a service. What is written in its place is a map.
    let is_word = findings.map.key(&key) == findings.map.value(&key);
    let write = |line: String| if is_word { format!("write `{{{line}}}`") } else { format!("write `{line}`") };
    if let Some((name, port)) = service.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
        return findings.push(
            &key,
            Diagnostic::error(Code::Ports, "the service of a peer must not contain a port")
                .help(write(format!("service: {name}, ports: [{port}]"))),
        );
    }
    let is_address = service.parse::<IpNet>().is_ok() || service.parse::<IpAddr>().is_ok();
    if is_address || service.split('.').count() > 2 {
        let full = if service.contains('/') { "" } else { "/32" };
        let line = if is_address { format!("cidr: {service}{full}") } else { format!("host: {service}") };
        return findings.push(
            &key,
            Diagnostic::error(Code::Name, format!("`{service}` cannot be the name of a service")).help(write(line)),
        );
    }
    match service.split_once('.') {
        Some((name, namespace)) if is_dns_label(name) && is_dns_label(namespace) => findings.push(
            &key,
            Diagnostic::error(Code::Name, format!("`{service}` cannot be the name of a service"))
                .help(write(format!("service: {name}, namespace: {namespace}"))),
        ),
        _ => dns_label(service, "service", &key, findings),
    }
}

fn host_peer(path: &str, host: &str, findings: &mut Findings<'_>) {
    if host.parse::<IpAddr>().is_ok() {
        return findings.push(
            path,
            Diagnostic::error(Code::Peer, "`host` needs a name, but this is an address")
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

/// Checks a CIDR block in the notation of Kubernetes: the address, `/` and the prefix length.
fn block(path: &str, text: &str, findings: &mut Findings<'_>) {
    let Some((address, length)) = text.split_once('/') else {
        let help = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => format!("for this address alone write `{text}/32`"),
            Ok(IpAddr::V6(_)) => format!("for this address alone write `{text}/128`"),
            Err(_) => "write a block such as `203.0.113.0/24`, or use `host` for a name".to_owned(),
        };
        return findings.push(path, Diagnostic::error(Code::Cidr, format!("`{text}` is not a CIDR block")).help(help));
    };
    let length = length.parse::<u8>().ok().filter(|_| !length.starts_with('+'));
    let block = address.parse().ok().zip(length).and_then(|(address, length)| IpNet::new(address, length).ok());
    match block {
        Some(block) if block.trunc() == block => {}
        Some(block) => findings.push(
            path,
            Diagnostic::error(Code::Cidr, format!("the address in `{text}` is not the first address of its block"))
                .help(format!(
                    "write `{}` for the block, or `{address}/{}` for this address alone",
                    block.trunc(),
                    block.max_prefix_len()
                )),
        ),
        None => findings.push(
            path,
            Diagnostic::error(Code::Cidr, format!("`{text}` is not a CIDR block"))
                .help("write an address, `/` and the prefix length, such as `203.0.113.0/24`"),
        ),
    }
}
