//! Values that several tools write alike.

use std::time::Duration;

use super::draft::Out;
use super::read::{Fields, Notes, text};
use crate::source::Node;
use crate::units;

/// The longest time that is carried over, in seconds: ten days.
pub(super) const LONGEST: f64 = 864_000.0;

/// A duration with units, such as `1m30s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    text.parse::<units::Duration>().ok().map(units::Duration::get)
}

/// True for no time at all, with a unit or without: `0`, `0s`.
pub(super) fn is_zero(text: &str) -> bool {
    text.trim() == "0" || duration(text).is_some_and(|it| it.is_zero())
}

/// The number of workers that take memory. A fault has one.
pub(super) fn memory_workers(it: &Fields, notes: &mut Notes) {
    if let (Some(workers), Some(node)) = (it.text("workers").filter(|it| it != "1"), it.node("workers")) {
        notes.at(node, format!("one worker takes the memory: `workers: {workers}` is not carried over"));
    }
}

/// A rate of Chaos Mesh: its `bps`, `kbps`, `mbps` and `gbps` count bytes per second, in powers of 1024 as `tc` has them;
/// `bit`, `kbit`, `mbit` and `gbit` count bits.
pub(super) fn bandwidth(rate: &str) -> Option<String> {
    let rate = rate.trim().to_ascii_lowercase();
    let unit = rate.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let number: f64 = rate[..unit].parse().ok()?;
    let bits = match rate[unit..].trim() {
        "bps" => 8.0,
        "kbps" => 8.0 * 1024.0,
        "mbps" => 8.0 * 1024.0 * 1024.0,
        "gbps" => 8.0 * 1024.0 * 1024.0 * 1024.0,
        "bit" => 1.0,
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => return None,
    };
    Some(format!("{}kbit/s", (number * bits / 1e3).round().max(1.0)))
}

/// An address, a block, or a name outside the cluster, with an optional port.
pub(super) fn external(target: &str) -> Out {
    let target = target.trim();
    let is_address = |it: &str| it.parse::<std::net::IpAddr>().is_ok();
    let (host, port) = match target.rsplit_once(':') {
        Some((host, port)) if !is_address(target) && port.parse::<u16>().is_ok() => (host, Some(port)),
        _ => (target, None),
    };
    let (key, host) = match (host.contains('/'), is_address(host)) {
        (true, _) => ("cidr", host.to_owned()),
        (_, true) => ("cidr", format!("{host}/{}", if host.contains(':') { 128 } else { 32 })),
        _ => ("host", host.to_owned()),
    };
    match port {
        Some(port) => Out::map([(key, Out::Text(host)), ("ports", Out::List(vec![Out::Plain(port.to_owned())]))]),
        None => Out::map([(key, Out::Text(host))]),
    }
}

/// A number of seconds as a duration.
pub(super) fn seconds(node: &Node, notes: &mut Notes) -> Option<Duration> {
    let text = text(node)?;
    let seconds = text.trim_end_matches('s').parse::<f64>().ok().filter(|it| (0.0..=LONGEST).contains(it));
    if seconds.is_none() {
        notes.at(node, format!("`{text}` is no number of seconds up to ten days, and is not carried over"));
    }
    seconds.map(Duration::from_secs_f64)
}

/// A duration of Go, such as `1m30s`.
pub(super) fn lasting(fields: &Fields, key: &str, notes: &mut Notes) -> Option<Duration> {
    let (text, node) = (fields.text(key)?, fields.node(key)?);
    let duration = duration(&text).filter(|it| it.as_secs_f64() <= LONGEST);
    if duration.is_none() {
        notes.at(node, format!("`{text}` is no duration up to ten days, and is not carried over"));
    }
    duration
}

/// The prefix of names that a regular expression matches, if it does nothing else.
pub(super) fn prefix(pattern: &str) -> Option<String> {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let pattern = pattern.strip_suffix('$').unwrap_or(pattern);
    let pattern = [".*", ".+", "*"].iter().find_map(|end| pattern.strip_suffix(end)).unwrap_or(pattern);
    let is_name =
        !pattern.is_empty() && pattern.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-');
    is_name.then(|| pattern.to_owned())
}

/// A number as a percentage, with or without its sign.
pub(super) fn percent(number: &str) -> String {
    format!("{}%", number.trim_end_matches('%'))
}

/// How many of the matching pods are taken, as a key of the selector: `percent` for a share, or else `count`. A value with a
/// `%` is a share, also where the other tool counts. A value that is no number is noted, and one pod is taken.
pub(super) fn amount(text: &str, is_share: bool, node: Option<&Node>, notes: &mut Notes) -> (String, Out) {
    let number = text.trim().trim_end_matches('%').trim_end();
    let is_share = is_share || text.trim().ends_with('%');
    let is_number = match is_share {
        true => number.parse::<f64>().is_ok_and(f64::is_finite),
        false => number.parse::<u32>().is_ok(),
    };
    match (is_number, is_share) {
        (true, true) => ("percent".to_owned(), Out::Text(percent(number))),
        (true, false) => ("count".to_owned(), Out::plain(number)),
        (false, _) => {
            if let Some(node) = node {
                let message = format!(
                    "`{text}` is no number of pods: one pod is taken; write `count: 2` or `percent: 50%` in `pods` of the scenario"
                );
                notes.at(node, message);
            }
            ("count".to_owned(), Out::plain("1"))
        }
    }
}

/// The direction of a link in the words of Chaos Mesh: `from` and `both`, else `to`.
pub(super) fn direction(word: Option<&str>) -> &'static str {
    match word {
        Some("from") => "ingress",
        Some("both") => "both",
        _ => "egress",
    }
}

/// The direction of a link by the affected traffic. Both if none is named.
pub(super) fn sides(ingress: bool, egress: bool) -> &'static str {
    match (ingress, egress) {
        (true, false) => "ingress",
        (false, true) => "egress",
        _ => "both",
    }
}
