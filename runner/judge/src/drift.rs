//! A-B-A: compares a second baseline, after the recovery, with the first. If they differ by more than the noise, the run
//! drifted, and a ratio to the first baseline mixes the fault with the drift.
//!
//! - The second baseline begins with the recovery (`recovery`) from the last fault and ends with the load. It needs as many
//!   requests as the percentile does.
//! - The baselines differ if the interval of their ratio excludes 1 and the ratio exceeds [`NOISE`] in either direction.
//! - Ratios of phases between the two are marked. A ratio that fails against the first baseline but not against the second
//!   is inconclusive.
//! - A ratio is also inconclusive if the second baseline is outside the first one's own interval by more than the limit's
//!   distance from 1 ([`Second::outside`]): every phase passes against a baseline that was still warming up. A ratio that
//!   fails against both baselines remains a failure.

use super::answer::CONFIDENCE;
use super::bootstrap::{self, Windows};
use super::recovery::{baseline_index, recovered, within};
use super::stats::{judged, sum};
use super::{samples, text};
use shakedown_observe::chance::Chance;
use shakedown_observe::{Cell, Histogram, LoadObservations, Observations};

/// Ratios of two baselines up to this one are noise, even if their interval excludes 1.
const NOISE: f64 = 1.1;

/// A second baseline, compared with the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Second {
    /// Its percentile, in microseconds.
    pub(super) value: f64,
    /// Its percentile divided by the first one's.
    pub(super) ratio: f64,
    /// The ratio's interval.
    pub(super) interval: [f64; 2],
    /// Its number of requests.
    pub(super) requests: u64,
    /// The factor by which it is outside the interval of the first one, in either direction. 1 within the interval.
    pub(super) outside: f64,
}

impl Second {
    /// The second baseline after a phase, compared with a first one. None if there is no second baseline, or if it has too
    /// few requests for the percentile.
    pub(super) fn new(
        observations: &Observations,
        load: &LoadObservations,
        (first, phase): (usize, usize),
        quantile: f64,
        pick: fn(&Cell) -> &Histogram,
        seed: u64,
    ) -> Option<Self> {
        let last_fault = observations.phases.iter().rposition(|span| span.has_faults)?;
        if first >= last_fault || phase > last_fault {
            return None;
        }
        let (from_ns, to_ns) = recovered(observations, load, last_fault)?;
        let after = || within(load, from_ns, to_ns);
        let values = sum(&after().map(|placed| pick(placed.cell)).collect::<Vec<_>>(), Histogram::merge);
        let before = sum(&judged(load, first).map(|placed| pick(placed.cell)).collect::<Vec<_>>(), Histogram::merge);
        if values.len() < samples::percentile(quantile) {
            return None;
        }
        let (over, under) = (Windows::new(after(), pick), Windows::new(judged(load, first), pick));
        let chance = Chance::new(seed, &["second baseline", &load.name, &first.to_string(), &quantile.to_string()]);
        let value = values.quantile(quantile)?;
        let interval = bootstrap::ratio(&over, &under, quantile, CONFIDENCE, chance.clone())?;
        let [low, high] = bootstrap::percentile(&under, quantile, CONFIDENCE, chance)?;
        let outside = (low / value.max(1.0)).max(value / high.max(1.0)).max(1.0);
        let ratio = value / before.quantile(quantile)?.max(1.0);
        Some(Self { value, ratio, interval, requests: values.len(), outside })
    }

    /// True when it differs from the first by more than the noise.
    pub(super) fn differs(&self) -> bool {
        let [low, high] = self.interval;
        (low > 1.0 || high < 1.0) && (self.ratio > NOISE || self.ratio < 1.0 / NOISE)
    }

    /// The second baseline in words.
    pub(super) fn words(&self) -> String {
        format!(
            "{} ({}), {} times the first ({} to {})",
            text::seconds(self.value / 1e6),
            text::requests(self.requests),
            text::digits(self.ratio),
            text::digits(self.interval[0]),
            text::digits(self.interval[1])
        )
    }
}

/// A sentence for each load whose latency after the recovery differs from that before the first fault.
pub fn warnings(observations: &Observations, seed: u64) -> Vec<String> {
    let Ok(first) = baseline_index(observations) else { return Vec::new() };
    let pick: fn(&Cell) -> &Histogram = |cell| &cell.latency;
    let of_load = |load: &LoadObservations| {
        [(0.5, "p50"), (0.95, "p95")].into_iter().find_map(|(quantile, name)| {
            // No phase is in between, so the first baseline is its own phase.
            let second = Second::new(observations, load, (first, first), quantile, pick, seed)?;
            second.differs().then(|| {
                format!(
                    "the run drifts: {name} of load {} after the recovery is {}; ratios to {} include this drift",
                    load.name,
                    second.words(),
                    observations.phases[first].name
                )
            })
        })
    };
    observations.loads.iter().filter_map(of_load).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectations;
    use crate::testing::{Timeline, near, scenario};
    use serde_json::json;
    use shakedown_schemas::result::Verdict;

    /// 20 s at 100 ms, a fault, and then 30 s of recovery, with a little noise of a fixed pattern.
    fn observe(fault_ms: f64, after_ms: f64) -> Observations {
        Timeline::new(20.0)
            .phase("baseline", 20.0)
            .fault_phase("cut", 20.0)
            .phase("recovery", 30.0)
            .answer(move |it| {
                let level = match it.phase {
                    "baseline" => 100.0,
                    "cut" => fault_ms,
                    _ => after_ms,
                };
                it.ok_in(level * (1.0 + (it.index * 7919 % 100) as f64 / 1000.0))
            })
            .observe()
    }

    fn judge(observations: &Observations, max: f64) -> (Verdict, Option<String>) {
        let scenario = scenario(&json!([
            {"name": "baseline", "duration": "20s"},
            {"name": "cut", "duration": "20s",
                "expect": [{"latency_ratio": {"percentile": "p50", "to": "baseline", "max": max}}]},
            {"name": "recovery", "duration": "30s"},
        ]));
        let result = expectations(&scenario, observations, 1, &|_| None).remove(0);
        (result.verdict, result.terms.get("drifting").cloned())
    }

    #[test]
    fn the_same_before_and_after_is_no_drift() {
        let steady = observe(180.0, 101.0);
        assert_eq!(warnings(&steady, 1), Vec::<String>::new());
        assert_eq!(judge(&steady, 1.5), (Verdict::Fail, None));
        assert_eq!(judge(&steady, 2.0), (Verdict::Pass, None));
    }

    #[test]
    fn a_drifting_run_is_marked_and_fails_only_against_both_baselines() {
        let drifting = observe(180.0, 150.0);
        let words = "the run drifts: p50 of load load after the recovery is 157ms (600 requests), 1.5 times the first \
                     (1.5 to 1.5); ratios to baseline include this drift";
        assert_eq!(warnings(&drifting, 1), [words]);
        let (verdict, mark) = judge(&drifting, 1.5);
        assert_eq!(verdict, Verdict::Inconclusive, "1.8 times the first, 1.2 times the second");
        assert!(mark.unwrap().contains("1.5 times the first"));
        let (verdict, mark) = judge(&drifting, 1.1);
        assert_eq!((verdict, mark.is_some()), (Verdict::Fail, true), "too slow against both");
        let (verdict, mark) = judge(&drifting, 2.0);
        assert_eq!((verdict, mark.is_some()), (Verdict::Pass, true));
    }

    /// The example of issue 17: 420 ms in a cold baseline, 129 ms in the fault and after it.
    #[test]
    fn a_baseline_that_was_still_cold_passes_nothing() {
        let cold = |fault_ms: f64| {
            let timeline = Timeline::new(20.0).phase("baseline", 20.0).fault_phase("cut", 20.0).phase("recovery", 30.0);
            let level = move |phase: &str| match phase {
                "baseline" => 420.0,
                "cut" => fault_ms,
                _ => 129.0,
            };
            let noise = |index: u64| 1.0 + (index * 7919 % 100) as f64 / 1000.0;
            timeline.answer(move |it| it.ok_in(level(it.phase) * noise(it.index))).observe()
        };
        let (verdict, mark) = judge(&cold(129.0), 2.5);
        assert_eq!((verdict, mark.is_some()), (Verdict::Inconclusive, true), "0.31 times a baseline that was not one");
        assert_eq!(judge(&cold(129.0), 4.0).0, Verdict::Pass, "no drift of that size matters");
        assert_eq!(judge(&cold(129.0 * 3.0), 2.5).0, Verdict::Inconclusive, "0.92 times the first, 3 times the second");
        assert_eq!(judge(&cold(420.0 * 3.0), 2.5).0, Verdict::Fail, "too slow against both");
    }

    #[test]
    fn a_second_baseline_lies_outside_by_its_distance_from_the_interval() {
        let observations = observe(100.0, 150.0);
        let load = &observations.loads[0];
        let outside =
            |quantile| Second::new(&observations, load, (0, 1), quantile, |it| &it.latency, 1).unwrap().outside;
        // The first one's values reach from 100 to 110 ms.
        assert!(outside(0.5) > 1.38 && outside(0.5) < 1.5, "{}", outside(0.5));
        let same = observe(100.0, 100.0);
        let within = Second::new(&same, &same.loads[0], (0, 1), 0.5, |it| &it.latency, 1).unwrap().outside;
        near(within, 1.0, 1e-4);
    }

    #[test]
    fn without_recovery_there_is_no_second_baseline() {
        assert_eq!(warnings(&observe(180.0, 900.0), 1), Vec::<String>::new());
    }

    #[test]
    fn two_baselines_differ_beyond_the_noise_and_for_certain() {
        let second =
            |ratio: f64, interval: [f64; 2]| Second { value: 120_000.0, ratio, interval, requests: 600, outside: 1.0 };
        for (ratio, interval, differs) in [
            (1.2, [1.05, 1.3], true),
            (1.2, [1.0, 1.3], false),
            (1.1, [1.05, 1.15], false),
            (1.05, [1.02, 1.08], false),
            (0.8, [0.7, 0.9], true),
            (0.8, [0.7, 1.0], false),
            (1.0 / 1.1, [0.85, 0.95], false),
            (0.95, [0.92, 0.98], false),
        ] {
            assert_eq!(second(ratio, interval).differs(), differs, "{ratio} {interval:?}");
        }
        let words = second(1.2, [1.05, 1.3]).words();
        assert_eq!(words, "120ms (600 requests), 1.2 times the first (1.05 to 1.3)");
    }
}
