//! The performance of the load generator by phase, as the result shows it. Nothing here judges.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{Corrected, Generator};
use shakedown_schemas::scenario::{Model, ThinkTime};

use super::{hdr, lateness, seconds, stats};
use shakedown_observe::{Histogram, LoadObservations, PhaseSpan};

/// The generator's measurements of a load in the judged part of a phase.
pub(super) fn generator(scenario: &Scenario, load: &LoadObservations, phase: usize, span: &PhaseSpan) -> Generator {
    let timings = lateness::timings(load, phase);
    let total = stats::total(load, phase);
    let model = scenario.model(&load.name, phase);
    let duration = scenario.phases.get(phase).map(|phase| phase.duration).unwrap_or_default();
    let planned = match &model {
        Some(Model::Open(pace)) => {
            let until = |at_ns: u64| pace.requests(duration, seconds(at_ns.saturating_sub(span.active_ns)));
            Some(until(span.judged_to_ns) - until(span.judged_from_ns))
        }
        _ => None,
    };
    let think_time = scenario.load.get(&load.name).and_then(|load| load.think_time);
    Generator {
        pace: model.map_or_else(String::new, |model| model.to_string()),
        planned,
        not_sent: total.failed.iter().filter(|(failure, _)| failure.is_not_sent()).map(|(_, count)| count).sum(),
        lateness: hdr::timing(&timings.lateness),
        service: hdr::timing(&timings.service),
        first_byte: hdr::timing(&timings.first_byte),
        connect: hdr::timing(&timings.connect),
        tls: hdr::timing(&timings.tls),
        longest_gap: hdr::timing(&timings.longest_gap),
        mean_gap: hdr::timing(&timings.mean_gap),
        corrected: if load.is_open { None } else { corrected(&total.latency, think_time) },
    }
}

/// The latencies of a closed loop, corrected for coordinated omission at the interval at which its workers usually send.
fn corrected(latency: &Histogram, think_time: Option<ThinkTime>) -> Option<Corrected> {
    let thinks_us = think_time.map_or(0.0, |time| time.mean().as_secs_f64() * 1e6);
    let interval_us = (latency.quantile(0.5)? + thinks_us).max(1.0);
    let corrected = hdr::percentiles(&latency.corrected(interval_us as u64))?;
    Some(Corrected { interval_ms: interval_us / 1e3, latency: corrected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Timeline;
    use serde_json::json;

    fn scenario(load: serde_json::Value) -> Scenario {
        let mut whole = json!({"http": {"url": "http://h"}});
        whole.as_object_mut().unwrap().extend(load.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "version": 1,
            "name": "test",
            "load": {"load": whole},
            "phases": [{"name": "p", "duration": "20s", "settle": "5s"}],
        }))
        .unwrap()
    }

    #[test]
    fn a_ramp_says_what_was_planned_of_it_in_the_judged_part() {
        let observations = Timeline::new(100.0).phase("p", 20.0).settle(5.0).observe();
        let scenario = scenario(json!({"rate": {"from": "0/s", "to": "200/s"}}));
        let generator = generator(&scenario, &observations.loads[0], 0, &observations.phases[0]);
        assert_eq!((generator.pace.as_str(), generator.planned), ("0/s to 200/s", Some(2000.0 - 125.0)));
        assert_eq!(generator.corrected, None);
    }

    /// The stall of the project's fact sheet (section 2), measured by one worker that sends every millisecond: 8 s at 0.3
    /// ms, and one request of 2 s. On a schedule, p90 would be 1,000 ms and p99 1,900 ms.
    #[test]
    fn a_closed_loop_that_hangs_is_corrected_beside_what_it_measured() {
        let mut observations = Timeline::new(100.0).phase("p", 20.0).observe();
        observations.loads[0].is_open = false;
        let segment = &mut observations.loads[0].segments[0];
        segment.cells.truncate(1);
        segment.cells[0].latency = Histogram::default();
        segment.cells[0].latency.record_n(300, 8000);
        segment.cells[0].latency.record(2_000_000);
        let scenario = scenario(json!({"concurrency": 1, "think_time": "700us"}));
        let generator = generator(&scenario, &observations.loads[0], 0, &observations.phases[0]);
        let corrected = generator.corrected.unwrap();
        assert_eq!((generator.pace.as_str(), generator.planned), ("1 at a time", None));
        assert_eq!(corrected.interval_ms, 1.0);
        assert_eq!(corrected.latency.count, 10_000);
        assert!((corrected.latency.p90_ms - 1000.0).abs() < 2.0, "{:?}", corrected.latency);
        assert!((corrected.latency.p99_ms - 1900.0).abs() < 2.0, "{:?}", corrected.latency);
    }
}
