//! The requests of a load by step and by the worker that answered. Nothing here judges.

use std::collections::BTreeMap;

use shakedown_observe::{Cell, LoadObservations, LoadPart, PhasePart};
use shakedown_schemas::result::{LoadInfo, PartStats, PhaseResult, PodRef, Rest};

use super::stats::stats;

/// The most groups that are shown one by one.
const MOST: usize = 20;

/// The most pods that are named for one group.
const MOST_PODS: usize = 3;

/// The judged requests of a phase of this length: by step, and by group.
pub(super) fn parts(load: &LoadObservations, phase: usize, seconds: f64) -> (Vec<PartStats>, Vec<PartStats>) {
    let mut sums: BTreeMap<&LoadPart, Cell> = BTreeMap::new();
    let judged = load.segments.iter().filter(|it| it.mark.phase == phase && it.mark.part == PhasePart::Judged);
    for (part, cell) in judged.flat_map(|segment| &segment.parts) {
        sums.entry(part).or_default().merge(cell);
    }
    let row = |name: &str, cell: &Cell| PartStats {
        name: name.to_owned(),
        rest: None,
        matches: String::new(),
        stats: stats(cell, seconds),
    };
    let names = load.requests.iter().map(|(name, _)| name);
    let steps = names.filter_map(|name| Some(row(name, sums.get(&LoadPart::Step(name.clone()))?))).collect();
    let (mut named, mut rest) = (Vec::new(), BTreeMap::<Rest, Cell>::new());
    for (part, cell) in &sums {
        match part {
            LoadPart::Step(_) => {}
            LoadPart::Group(name) => named.push((name.as_str(), cell)),
            LoadPart::Others => rest.entry(Rest::Others).or_default().merge(cell),
            LoadPart::Unnamed => rest.entry(Rest::NotNamed).or_default().merge(cell),
            LoadPart::Unanswered => rest.entry(Rest::NoAnswer).or_default().merge(cell),
        }
    }
    named.sort_by_key(|(name, cell)| (std::cmp::Reverse(cell.requests()), *name));
    for (_, cell) in named.iter().skip(MOST) {
        rest.entry(Rest::Others).or_default().merge(cell);
    }
    let groups = named.iter().take(MOST).map(|(name, cell)| row(name, cell));
    let rest = rest.iter().map(|(rest, cell)| PartStats { rest: Some(*rest), ..row("", cell) });
    (steps, groups.chain(rest).collect())
}

/// Names the targets and addresses of a run next to the groups with the same name or address. `targets` are pods, each with
/// the name of its fault.
pub fn join(phases: &mut [PhaseResult], targets: &[(&str, &PodRef)], loads: &[LoadInfo]) {
    for load in phases.iter_mut().flat_map(|phase| &mut phase.loads) {
        // The phases of a result refer to loads by name.
        let addresses = loads.iter().find(|it| it.name == load.load).map_or(&[][..], |it| &it.addresses);
        for group in load.groups.iter_mut().filter(|group| group.rest.is_none()) {
            let host = host(&group.name);
            let mut found: Vec<String> = Vec::new();
            for (fault, pod) in targets {
                if pod.name == group.name || pod.ip.as_deref() == Some(host) {
                    let node = pod.node.as_ref().map_or_else(String::new, |node| format!(" on {node}"));
                    found.push(format!("pod {}/{}{node}, target of {fault}", pod.namespace, pod.name));
                }
            }
            let same = addresses.iter().filter(|it| self::host(&it.address) == host);
            found.extend(same.map(|it| format!("endpoint {}", it.address)));
            found.dedup();
            found.truncate(MOST_PODS);
            group.matches = found.join("; ");
        }
    }
}

/// An address without its port.
fn host(address: &str) -> &str {
    let before = address.rsplit_once(':').map_or(address, |(host, _)| host);
    // An IPv6 address has colons of its own.
    if before.contains(':') && !before.ends_with(']') { address } else { before.trim_matches(['[', ']']) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Timeline;

    fn cell(succeeded: u64, latency_ms: u64) -> Cell {
        let mut cell = Cell { succeeded, ..Cell::default() };
        cell.latency.record_n(latency_ms * 1000, succeeded);
        cell
    }

    #[test]
    fn the_largest_groups_come_first_and_the_rest_is_summed() {
        let mut observations = Timeline::new(20.0).phase("a", 4.0).phase("b", 4.0).observe();
        let load = &mut observations.loads[0];
        load.requests = ["order", "login"].map(|name| (name.to_owned(), (0, 0))).to_vec();
        for segment in load.segments.iter_mut().filter(|it| it.mark.part == PhasePart::Judged) {
            segment.parts.insert(LoadPart::Step("login".to_owned()), cell(8, 5));
            segment.parts.insert(LoadPart::Step("order".to_owned()), cell(4, 50));
            for number in 1..=25 {
                segment.parts.insert(LoadPart::Group(format!("w{number:02}")), cell(number, 10));
            }
            segment.parts.insert(LoadPart::Others, cell(3, 10));
            segment.parts.insert(LoadPart::Unanswered, cell(2, 10));
        }
        let (steps, groups) = parts(load, 1, 4.0);
        let shown = |it: &PartStats| (it.shown(), it.stats.requests);
        assert!(steps.iter().map(shown).eq([("order".to_owned(), 4), ("login".to_owned(), 8)]));
        assert_eq!(steps[0].stats.latency.as_ref().map(|it| it.p50_ms.round()), Some(50.0));
        assert_eq!(
            (groups.len(), shown(&groups[0]), shown(&groups[19])),
            (22, ("w25".to_owned(), 25), ("w06".to_owned(), 6))
        );
        let rest: Vec<_> = groups[20..].iter().map(shown).collect();
        assert_eq!(rest, [("no answer".to_owned(), 2), ("others".to_owned(), 3 + 15)]);
    }

    /// Workers can have any name, and pods too.
    #[test]
    fn a_group_with_the_name_of_the_rest_is_a_group() {
        let mut observations = Timeline::new(20.0).phase("a", 4.0).observe();
        for segment in observations.loads[0].segments.iter_mut().filter(|it| it.mark.part == PhasePart::Judged) {
            for (number, name) in (11..).zip(["not named", "no answer", "others"]) {
                segment.parts.insert(LoadPart::Group(name.to_owned()), cell(number, 10));
            }
            for (number, part) in (1..).zip([LoadPart::Unnamed, LoadPart::Unanswered, LoadPart::Others]) {
                segment.parts.insert(part, cell(number, 10));
            }
        }
        let scenario = crate::testing::scenario(&json!([{"name": "a", "duration": "4s"}]));
        let mut phases = crate::phases(&scenario, &observations);
        let pod = PodRef {
            name: "others".to_owned(),
            namespace: "shop".to_owned(),
            uid: String::new(),
            node: None,
            ip: None,
        };
        join(&mut phases, &[("cut", &pod)], &[]);
        let rows: Vec<_> =
            phases[0].loads[0].groups.iter().map(|it| (it.shown(), it.rest, it.stats.requests)).collect();
        let group = |name: &str, count| (format!("\"{name}\""), None, count);
        let rest = |rest: Rest, count| (rest.words().to_owned(), Some(rest), count);
        let named = [group("others", 13), group("no answer", 12), group("not named", 11)];
        assert_eq!(rows[..3], named);
        assert_eq!(rows[3..], [rest(Rest::NotNamed, 1), rest(Rest::NoAnswer, 2), rest(Rest::Others, 3)]);
        let matched: Vec<bool> = phases[0].loads[0].groups.iter().map(|it| !it.matches.is_empty()).collect();
        assert_eq!(matched, [true, false, false, false, false, false]);
    }

    #[test]
    fn names_the_pods_and_endpoints_of_a_group() {
        let mut observations = Timeline::new(20.0).phase("a", 4.0).observe();
        for segment in observations.loads[0].segments.iter_mut().filter(|it| it.mark.part == PhasePart::Judged) {
            for name in ["web-1", "10.0.0.7:8080", "web"] {
                segment.parts.insert(LoadPart::Group(name.to_owned()), cell(1, 1));
            }
        }
        let scenario = crate::testing::scenario(&json!([{"name": "a", "duration": "4s"}]));
        let mut phases = crate::phases(&scenario, &observations);
        let pod = |name: &str, ip: &str| PodRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid: String::new(),
            node: Some("n1".to_owned()),
            ip: Some(ip.to_owned()),
        };
        let pods = [pod("web-1", "10.0.0.6"), pod("web-2", "10.0.0.7")];
        join(&mut phases, &[("cut", &pods[0]), ("cut", &pods[1])], &[]);
        let found: Vec<(&str, &str)> =
            phases[0].loads[0].groups.iter().map(|it| (it.name.as_str(), it.matches.as_str())).collect();
        assert_eq!(
            found,
            [
                ("10.0.0.7:8080", "pod shop/web-2 on n1, target of cut"),
                ("web", ""),
                ("web-1", "pod shop/web-1 on n1, target of cut"),
            ]
        );
        assert_eq!(
            ["10.0.0.7:80", "10.0.0.7", "[::1]:80", "fd00::7", "worker"].map(host),
            ["10.0.0.7", "10.0.0.7", "::1", "fd00::7", "worker"]
        );
    }
}
