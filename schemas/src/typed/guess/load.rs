//! Loads in the words of others.

use super::common::{folded, text_of};
use crate::source::flow::{flow, quoted};
use crate::source::{Entry, Node, Value};

/// Where requests go, of an address in any notation: `service`, or `url`, and the path behind it.
fn address(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    let mut parts = match (scheme, service(host)) {
        ("", Some(service)) => vec![format!("service: {}", quoted(&service))],
        ("", None) if host.contains('.') => vec![format!("url: {}", quoted(&format!("http://{host}")))],
        ("http" | "https", _) if !host.is_empty() => vec![format!("url: {}", quoted(&format!("{scheme}://{host}")))],
        _ => return None,
    };
    if !path.is_empty() {
        parts.push(format!("path: {}", quoted(&format!("/{path}"))));
    }
    Some(parts.join(", "))
}

/// A service of the cluster with its port, as a scenario has it: `shop:80`, `shop.prod:80` of `shop.prod.svc.cluster.local:80`.
fn service(host: &str) -> Option<String> {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
    let name = name.trim_end_matches(".cluster.local").trim_end_matches(".svc");
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    let is_good = !name.is_empty() && !name.contains([' ', '$', '{']) && name.matches('.').count() <= 1 && !is_address;
    (is_good && port.parse::<u16>().is_ok()).then(|| format!("{name}:{port}"))
}

/// A target outside of the kind.
pub(super) fn target(_: &str, node: &Node) -> Option<String> {
    Some(format!("http: {{{}}}", address(text_of(node)?)?))
}

/// An address in the place of the settings of `http`.
pub(super) fn http(_: &str, node: &Node) -> Option<String> {
    let Value::String(text) = &node.value else { return None };
    Some(format!("http: {{{}}}", address(text)?))
}

/// One load as an address.
pub(super) fn whole(_: &str, node: &Node) -> Option<String> {
    let Value::String(text) = &node.value else { return None };
    Some(format!("load: {{main: {{http: {{{}}}, rate: 20/s}}}}", address(text)?))
}

/// A port next to the service that lacks it.
pub(super) fn port(_: &str, node: &Node, map: &[Entry]) -> Option<(String, &'static [&'static str])> {
    let host = map.iter().find(|it| matches!(it.key.as_str(), "service" | "host"))?;
    let name = text_of(&host.node).filter(|it| !it.contains(':'))?;
    let line = format!("service: {}", quoted(&format!("{name}:{}", flow(node).trim_matches('"'))));
    Some((format!("write `{line}` in the place of `{}` and `port`", host.key), &["service", "host"]))
}

/// A query, as a part of the path.
pub(super) fn query(_: &str, node: &Node, map: &[Entry]) -> Option<(String, &'static [&'static str])> {
    let text = match &node.value {
        Value::Map(entries) => {
            let pairs = entries.iter().map(|it| format!("{}={}", it.key, flow(&it.node).trim_matches('"')));
            pairs.collect::<Vec<_>>().join("&")
        }
        _ => text_of(node)?.trim_start_matches('?').to_owned(),
    };
    if text.contains(' ') {
        return None;
    }
    let path = map.iter().find(|it| it.key == "path");
    let line = |path: &str| {
        let sign = if path.contains('?') { '&' } else { '?' };
        format!("path: {}", quoted(&format!("{path}{sign}{text}")))
    };
    Some(match path {
        Some(path) => (format!("write `{}` in the place of `path` and `query`", line(text_of(&path.node)?)), &["path"]),
        None => (format!("write `{}`", line("/")), &[]),
    })
}

/// What answers must be like, under another name.
pub(super) fn check(_: &str, node: &Node) -> Option<String> {
    match &node.value {
        Value::Map(_) => Some(format!("check: {}", flow(node))),
        Value::Int(_) => Some(format!("check: {{status: {}}}", flow(node))),
        _ => None,
    }
}

/// A class or a range of statuses. Only that of success is the default.
pub(super) fn status(_: &str, node: &Node) -> Option<String> {
    let text = text_of(node)?.trim().to_lowercase();
    match text.as_str() {
        "2xx" | "200-299" | "200..299" | "200..=299" | "ok" | "success" => {
            Some("remove it: an answer from 200 to 299 is the default".to_owned())
        }
        _ => Some("remove it, and list each status, such as `status: [200, 404]`".to_owned()),
    }
}

/// A ramp in the words of others.
pub(super) fn ramp(_: &str, node: &Node) -> Option<String> {
    let Value::Map(entries) = &node.value else { return None };
    let of = |words: &[&str]| entries.iter().find(|it| words.contains(&folded(&it.key).as_str()));
    if of(&["steps"]).is_some() || entries.iter().all(|it| matches!(it.key.as_str(), "from" | "to" | "over")) {
        return None;
    }
    let rate = |entry: &Entry| match &entry.node.value {
        Value::Int(number @ 0..) => Some(format!("{number}/s")),
        Value::Float(number) if *number >= 0.0 => Some(format!("{number}/s")),
        _ => text_of(&entry.node).filter(|it| it.parse::<crate::units::Rate>().is_ok()).map(str::to_owned),
    };
    let from = of(&["from", "start", "initial", "min"]).and_then(rate)?;
    let to = of(&["to", "end", "target", "max", "final"]).and_then(rate)?;
    let over = of(&["over", "duration", "for", "during", "time"]).map(|it| format!(", over: {}", flow(&it.node)));
    Some(format!("rate: {{from: {from}, to: {to}{}}}", over.unwrap_or_default()))
}

/// A number of connections.
pub(super) fn connections(_: &str, node: &Node) -> Option<String> {
    matches!(node.value, Value::Int(_)).then(|| {
        "remove it: connections are opened as needed, and `concurrency` or `max_in_flight` limits the requests at a time".to_owned()
    })
}
