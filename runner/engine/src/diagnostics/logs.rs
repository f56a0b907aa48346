//! The targets' log lines around the injection and the undo of their faults.

use std::collections::BTreeMap;

use jiff::Timestamp;
use shakedown_schemas::result::{LogExcerpt, LogLine, ScenarioResult};

use super::object::cut;
use shakedown_cluster::Cluster;

/// The most containers whose logs are read.
const CONTAINERS: usize = 12;
/// The most bytes that are read of one log.
const LOG_BYTES: usize = 256 * 1024;
/// Lines are kept within this time before and after a mark, in seconds.
const AROUND_S: f64 = 5.0;
/// The most lines around one mark.
const LINES: usize = 40;

/// The targets' logs around the injection and the undo of their faults.
pub(super) async fn logs(cluster: &Cluster, result: &ScenarioResult, zero: Timestamp) -> Vec<LogExcerpt> {
    let mut wanted: BTreeMap<(String, String), Vec<(String, f64)>> = BTreeMap::new();
    for fault in &result.faults {
        for pod in &fault.targets {
            let marks = wanted.entry((pod.namespace.clone(), pod.name.clone())).or_default();
            for (moment, word) in [(fault.injected_s, "injected"), (fault.undone_s, "undone")] {
                marks.extend(moment.map(|at| (format!("fault {} {word}", fault.name), at)));
            }
        }
    }
    let mut found = Vec::new();
    let mut containers = 0;
    for ((namespace, pod), marks) in wanted {
        let Some(first) = marks.iter().map(|(_, at)| *at).reduce(f64::min) else { continue };
        let since = zero.as_millisecond() + ((first - AROUND_S) * 1e3) as i64;
        let since = Timestamp::from_millisecond(since).unwrap_or(zero);
        let excerpt = |container: &str, around: &str, at_s: f64| LogExcerpt {
            namespace: namespace.clone(),
            pod: pod.clone(),
            container: container.to_owned(),
            around: around.to_owned(),
            at_s,
            lines: Vec::new(),
            missing: None,
        };
        let names = match cluster.containers(&namespace, &pod).await {
            Ok(names) => names,
            Err(error) => {
                let missing = Some(format!("the pod could not be read: {error}"));
                found.push(LogExcerpt { missing, ..excerpt("", &marks[0].0, first) });
                continue;
            }
        };
        for container in names {
            containers += 1;
            if containers > CONTAINERS {
                return found;
            }
            match cluster.log(&namespace, &pod, &container, since, LOG_BYTES).await {
                Ok(text) => {
                    let lines = parse(&text, zero);
                    for (around, at_s) in &marks {
                        found.push(LogExcerpt { lines: near(&lines, *at_s), ..excerpt(&container, around, *at_s) });
                    }
                }
                Err(error) => {
                    let missing = Some(format!("the log could not be read: {error}"));
                    found.push(LogExcerpt { missing, ..excerpt(&container, &marks[0].0, first) });
                }
            }
        }
    }
    found
}

/// The lines of a log with time stamps.
fn parse(text: &str, zero: Timestamp) -> Vec<LogLine> {
    let lines = text.lines().filter_map(|line| {
        let (stamp, rest) = line.split_once(' ').unwrap_or((line, ""));
        let at: Timestamp = stamp.parse().ok()?;
        let at_s = (at.as_millisecond() - zero.as_millisecond()) as f64 / 1e3;
        Some(LogLine { at_s, text: cut(rest) })
    });
    lines.collect()
}

/// The lines around a mark. When there are too many, the nearest are kept.
fn near(lines: &[LogLine], at_s: f64) -> Vec<LogLine> {
    let mut list: Vec<&LogLine> = lines.iter().filter(|line| (line.at_s - at_s).abs() <= AROUND_S).collect();
    list.sort_by(|a, b| (a.at_s - at_s).abs().total_cmp(&(b.at_s - at_s).abs()));
    list.truncate(LINES);
    list.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    list.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_nearest_to_a_mark_are_kept() {
        let zero: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let line =
            |ms: i64| format!("{} line {ms}\n", Timestamp::from_millisecond(zero.as_millisecond() + ms).unwrap());
        let text: String = (0..300).map(|k| line(k * 100)).collect::<String>() + "no stamp\n";
        let lines = parse(&text, zero);
        assert_eq!(lines.len(), 300);
        let kept = near(&lines, 10.0);
        assert_eq!(kept.len(), LINES);
        assert!(kept.iter().all(|it| (it.at_s - 10.0).abs() <= 2.0), "{kept:?}");
        assert!(near(&lines, 200.0).is_empty());
    }
}
