//! Checks that a result is consistent: every issued request has exactly one outcome in every place that counts it.

use super::{ScenarioResult, Stats};

impl ScenarioResult {
    /// The inconsistencies of the result, one sentence each. A correct result has none. Any inconsistency is a bug of
    /// the program and makes the numbers unreliable.
    pub fn inconsistencies(&self) -> Vec<String> {
        let mut found = Vec::new();
        for load in &self.loads {
            let Some(series) = self.series.iter().find(|series| series.load == load.name) else { continue };
            let outcomes: u64 = series.points.iter().map(|point| point.requests).sum();
            if load.issued.is_some_and(|issued| issued != outcomes) {
                let issued = load.issued.unwrap_or_default();
                found.push(format!("load `{}` issued {issued} requests, and {outcomes} have an outcome", load.name));
            }
            for point in &series.points {
                let (failed, name) = (point.errors.values().sum::<u64>(), &load.name);
                if point.requests != point.succeeded + failed {
                    found.push(format!(
                        "load `{name}` has {} requests at {} s, of which {} succeeded and {failed} failed",
                        point.requests, point.t_s, point.succeeded
                    ));
                }
            }
            let phases = self.phases.iter().flat_map(|phase| phase.loads.iter().map(move |it| (&phase.name, it)));
            let mut judged = 0;
            for (phase, it) in phases.filter(|(_, it)| it.load == load.name) {
                judged += it.stats.requests;
                let around = it.around.iter().map(|group| &group.stats);
                judged += around.clone().map(|stats| stats.requests).sum::<u64>();
                let problems = std::iter::once(&it.stats).chain(around).filter_map(Stats::inconsistency);
                found.extend(problems.map(|what| format!("load `{}` in `{phase}`: {what}", load.name)));
            }
            if judged > outcomes {
                found.push(format!("load `{}`: the phases have {judged} of {outcomes} requests", load.name));
            }
        }
        found
    }
}

impl Stats {
    fn inconsistency(&self) -> Option<String> {
        let failed: u64 = self.errors.values().sum();
        let timed = self.latency.map_or(0, |latency| latency.count);
        if self.requests != self.succeeded + failed {
            let Self { requests, succeeded, .. } = self;
            Some(format!("of {requests} requests {succeeded} succeeded and {failed} failed"))
        } else if timed < self.succeeded || timed > self.requests {
            let Self { requests, succeeded, .. } = self;
            Some(format!("{timed} latencies of {requests} requests, {succeeded} of which succeeded"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A result with one load that issued this many requests, one phase and one window.
    fn result(issued: u64, phase: serde_json::Value, window: serde_json::Value) -> ScenarioResult {
        let load = json!({"name": "main", "kind": "http", "target": "t", "open_loop": true, "schedule": "1/s", "reach": "url",
            "issued": issued});
        let mut judged = json!({"load": "main", "throughput": 1.0});
        judged.as_object_mut().unwrap().extend(phase.as_object().unwrap().clone());
        let mut point = json!({"t_s": 0.0, "length_s": 1.0});
        point.as_object_mut().unwrap().extend(window.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "name": "n", "file": "f", "verdict": "pass", "reason": "r", "started_at": "2026-01-31T12:00:00Z",
            "duration_s": 1.0, "faults": [], "expectations": [], "loads": [load],
            "phases": [{"name": "p", "start_s": 0.0, "active_s": 0.0, "judged_from_s": 0.0, "judged_to_s": 1.0, "end_s": 1.0,
                "planned_s": 1.0, "loads": [judged]}],
            "series": [{"load": "main", "window_s": 1.0, "points": [point]}],
        }))
        .unwrap()
    }

    #[test]
    fn every_request_has_one_outcome() {
        let latency = |count: u64| {
            json!({"count": count, "mean_ms": 1.0, "min_ms": 1.0, "p50_ms": 1.0, "p90_ms": 1.0, "p95_ms": 1.0,
                "p99_ms": 1.0, "p999_ms": 1.0, "max_ms": 1.0})
        };
        let phase = |requests: u64, succeeded: u64, timed: u64| json!({"requests": requests, "succeeded": succeeded, "errors": {"timeout": 2}, "latency": latency(timed)});
        let window = |requests: u64| json!({"requests": requests, "succeeded": 8, "errors": {"timeout": 2}});
        assert_eq!(result(10, phase(9, 7, 8), window(10)).inconsistencies(), Vec::<String>::new());
        for (issued, phase, window, words) in [
            (11, phase(9, 7, 9), window(10), "issued 11 requests, and 10 have an outcome"),
            (11, phase(9, 7, 9), window(11), "of which 8 succeeded and 2 failed"),
            (10, phase(9, 8, 9), window(10), "of 9 requests 8 succeeded and 2 failed"),
            (10, phase(9, 7, 6), window(10), "6 latencies of 9 requests"),
            (10, phase(12, 10, 12), window(10), "the phases have 12 of 10 requests"),
        ] {
            let found = result(issued, phase, window).inconsistencies();
            assert!(found.iter().any(|it| it.contains(words)), "{found:?} instead of {words}");
        }
    }
}
