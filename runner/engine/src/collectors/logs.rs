//! Searches the logs of pods for a pattern.

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;
use shakedown_schemas::scenario::Logs;

use super::pods::{self, Selectors};
use super::zero::Zero;
use shakedown_cluster::Cluster;
use shakedown_observe::LinesSeen;

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
        Err(error) => return LinesSeen { gaps: vec![error.to_string()], ..seen },
    };
    let after = match pods::matching(cluster, &search.selectors, search.namespace).await {
        Ok(after) => after,
        Err(error) => return LinesSeen { gaps: vec![format!("the pods could not be listed: {error}")], ..seen },
    };
    for old in search.before {
        let name = text(&old["metadata"]["name"]);
        match after.iter().find(|pod| pod["metadata"]["uid"] == old["metadata"]["uid"]) {
            None => seen.gaps.push(format!("pod {name} is gone, and so is its log")),
            Some(now) if pods::restarts(now) > pods::restarts(old) => {
                seen.gaps.push(format!("a container of pod {name} was restarted: its earlier log is lost"));
            }
            Some(_) => {}
        }
    }
    let mut containers = 0;
    for pod in &after {
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        let all = pod["spec"]["containers"].as_array().into_iter().flatten().map(|it| text(&it["name"]));
        for container in all.filter(|name| search.it.container.as_deref().is_none_or(|only| only == *name)) {
            containers += 1;
            if containers > CONTAINERS {
                seen.gaps.push(format!("only the logs of {CONTAINERS} containers are read"));
                return seen;
            }
            match cluster.log(namespace, name, container, zero.wall, BYTES).await {
                Ok(log) => {
                    seen.read += 1;
                    if log.len() >= BYTES && last_ns(&log, zero) < search.end_ns {
                        seen.gaps.push(format!("the log of pod {name} has more than {} MiB", BYTES >> 20));
                    }
                    seen.matching.extend(matching(&log, &pattern, name, zero));
                }
                Err(error) => seen.gaps.push(format!("the log of pod {name} could not be read: {error}")),
            }
        }
    }
    seen.matching.sort();
    seen
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
    use super::*;

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
