//! Searches the logs of pods for a pattern.

use std::collections::BTreeMap;

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;
use shakedown_schemas::scenario::Logs;

use super::pods::{self, Selectors};
use super::zero::Zero;
use shakedown_cluster::Cluster;
use shakedown_observe::{LinesSeen, LogGap, PodsSeen};

/// The most bytes that are read of one log.
const BYTES: usize = 4 << 20;
/// The most containers whose logs are read.
const CONTAINERS: usize = 50;
/// The most characters that are kept of a line, and the most lines.
const LINE: usize = 200;

/// The search: the pattern and the pods.
pub(super) struct LogSearch<'a> {
    pub(super) it: &'a Logs,
    pub(super) selectors: Selectors,
    pub(super) namespace: &'a str,
    /// The pods at the scenario's beginning.
    pub(super) before: &'a [Value],
    /// The pods during the scenario, in the order of time.
    pub(super) looks: &'a [PodsSeen],
    pub(super) end_ns: u64,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The matching lines since the load's start. Logs that were lost with their pod or container are gaps.
pub(super) async fn lines(cluster: &Cluster, search: &LogSearch<'_>, zero: &Zero) -> LinesSeen {
    let mut seen = LinesSeen::default();
    let pattern = match Regex::new(&search.it.matches) {
        Ok(pattern) => pattern,
        Err(error) => return LinesSeen { gaps: vec![LogGap::always(error.to_string())], ..seen },
    };
    let after = match pods::matching(cluster, &search.selectors, search.namespace).await {
        Ok(after) => after,
        Err(error) => {
            let why = format!("the pods could not be listed: {error}");
            return LinesSeen { gaps: vec![LogGap::always(why)], ..seen };
        }
    };
    seen.gaps = lost(search.before, search.looks, &after);
    let mut containers = 0;
    for pod in &after {
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        let all = pod["spec"]["containers"].as_array().into_iter().flatten().map(|it| text(&it["name"]));
        for container in all.filter(|name| search.it.container.as_deref().is_none_or(|only| only == *name)) {
            containers += 1;
            if containers > CONTAINERS {
                seen.gaps.push(LogGap::always(format!("only the logs of {CONTAINERS} containers are read")));
                return seen;
            }
            match cluster.log(namespace, name, container, zero.wall, BYTES).await {
                Ok(log) => {
                    seen.read += 1;
                    let from_ns = last_ns(&log, zero);
                    if log.len() >= BYTES && from_ns < search.end_ns {
                        let why = format!("the log of pod {name} has more than {} MiB", BYTES >> 20);
                        seen.gaps.push(LogGap { from_ns, to_ns: u64::MAX, why });
                    }
                    seen.matching.extend(matching(&log, &pattern, name, zero));
                }
                Err(error) => {
                    seen.gaps.push(LogGap::always(format!("the log of pod {name} could not be read: {error}")));
                }
            }
        }
    }
    seen.matching.sort();
    seen
}

/// The logs that were lost with their pod or container: until its end, they were never read.
fn lost(before: &[Value], looks: &[PodsSeen], after: &[Value]) -> Vec<LogGap> {
    // Each pod with its restarts before the scenario.
    let mut pods: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    for (uid, pod) in looks.iter().flat_map(|look| &look.pods) {
        pods.entry(uid.as_str()).or_insert((pod.name.as_str(), 0));
    }
    for pod in before {
        pods.insert(text(&pod["metadata"]["uid"]), (text(&pod["metadata"]["name"]), pods::restarts(pod)));
    }
    let mut gaps = Vec::new();
    for (uid, (name, restarts)) in pods {
        let now = after.iter().find(|pod| pod["metadata"]["uid"] == uid).map(pods::restarts);
        let there = |look: &PodsSeen| look.pods.get(uid).map(|pod| pod.restarts);
        let first = looks.iter().position(|look| there(look).is_some());
        let was_before = before.iter().any(|pod| pod["metadata"]["uid"] == uid);
        // The pod was created after the last sample without it.
        let from_ns = match first {
            Some(first) if first > 0 && !was_before => looks[first - 1].at_ns,
            _ => 0,
        };
        // The first sample in which it was gone, or after its last restart.
        let since_then = looks.iter().skip(first.unwrap_or_default());
        let mut over = since_then.skip_while(|look| there(look).is_some_and(|seen| now.is_none_or(|now| seen < now)));
        let to_ns = over.next().map_or(u64::MAX, |look| look.at_ns);
        match now {
            None => gaps.push(LogGap { from_ns, to_ns, why: format!("pod {name} is gone, and so is its log") }),
            Some(now) if now > restarts => {
                let why = format!("a container of pod {name} was restarted: its earlier log is lost");
                gaps.push(LogGap { from_ns, to_ns, why });
            }
            Some(_) => {}
        }
    }
    gaps
}

/// A line's time, in nanoseconds since the load's start, and its text.
fn stamped<'l>(line: &'l str, zero: &Zero) -> Option<(u64, &'l str)> {
    let (stamp, rest) = line.split_once(' ').unwrap_or((line, ""));
    let at: Timestamp = stamp.parse().ok()?;
    let since = at.as_nanosecond().checked_sub(zero.wall.as_nanosecond())?;
    Some((u64::try_from(since).ok()?, rest))
}

fn last_ns(log: &str, zero: &Zero) -> u64 {
    log.lines().rev().find_map(|line| stamped(line, zero)).map_or(0, |(at, _)| at)
}

fn matching<'l>(
    log: &'l str,
    pattern: &Regex,
    pod: &str,
    zero: &Zero,
) -> impl Iterator<Item = (u64, String, String)> + 'l {
    let (pattern, pod, zero) = (pattern.clone(), pod.to_owned(), *zero);
    log.lines()
        .filter_map(move |line| stamped(line, &zero))
        .filter(move |(_, line)| pattern.is_match(line))
        .map(move |(at, line)| (at, pod.clone(), line.chars().take(LINE).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shakedown_observe::PodSeen;

    use super::*;

    /// A pod that is gone could log until its end, and a container until its last restart.
    #[test]
    fn what_was_lost_has_its_time() {
        let pod = |uid: &str, restarts: u64| {
            let status = json!({"containerStatuses": [{"restartCount": restarts}]});
            json!({"metadata": {"uid": uid, "name": format!("pod-{uid}")}, "status": status})
        };
        let look = |at_ns: u64, pods: &[(&str, u64)]| {
            let seen = |(uid, restarts): &(&str, u64)| {
                ((*uid).to_owned(), PodSeen { name: format!("pod-{uid}"), ready: true, restarts: *restarts })
            };
            PodsSeen { at_ns, pods: pods.iter().map(seen).collect() }
        };
        let looks = [
            look(1, &[("a", 0), ("b", 2), ("c", 0)]),
            look(5, &[("b", 2), ("c", 1), ("d", 0)]),
            look(7, &[("b", 2), ("c", 2)]),
            look(9, &[("b", 2), ("c", 2), ("e", 0)]),
        ];
        let gap = |from_ns, to_ns, why: &str| LogGap { from_ns, to_ns, why: why.to_owned() };
        let before = [pod("a", 0), pod("b", 2), pod("c", 0)];
        let after = [pod("b", 2), pod("c", 2), pod("e", 1)];
        let expected = [
            gap(0, 5, "pod pod-a is gone, and so is its log"),
            gap(0, 7, "a container of pod pod-c was restarted: its earlier log is lost"),
            gap(1, 7, "pod pod-d is gone, and so is its log"),
            gap(7, u64::MAX, "a container of pod pod-e was restarted: its earlier log is lost"),
        ];
        assert_eq!(lost(&before, &looks, &after), expected);
        let unseen = [gap(0, u64::MAX, "pod pod-a is gone, and so is its log")];
        assert_eq!(lost(&before[..1], &[], &[]), unseen, "without a look its end is unknown");
    }

    #[test]
    fn lines_have_a_time_and_match_at_any_place() {
        let zero = Zero { at: tokio::time::Instant::now(), wall: "2026-01-31T12:00:00Z".parse().unwrap() };
        let log = "2026-01-31T11:59:59Z panicked before\n\
                   2026-01-31T12:00:01.5Z all is well\n\
                   2026-01-31T12:00:02.5Z thread panicked at x\n\
                   no stamp panicked\n\
                   2026-01-31T12:00:03Z\n";
        let found: Vec<_> = matching(log, &Regex::new("panicked at|FATAL").unwrap(), "p", &zero).collect();
        assert_eq!(found, [(2_500_000_000, "p".to_owned(), "thread panicked at x".to_owned())]);
        assert_eq!(last_ns(log, &zero), 3_000_000_000);
    }
}
