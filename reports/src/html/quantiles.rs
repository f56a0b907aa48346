//! The latency distributions of a load's phases, superimposed, on a quantile axis that expands the tail.

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use shakedown_schemas::result::{LatencyStats, PhaseLoad, ScenarioResult};
use shakedown_schemas::words;

use crate::sentences;
use crate::svg::{Anchor, Path, Scale, Svg, nice_end};

/// The colour classes of a scenario's phases: the reference, phases before it, phases with faults, and phases after. Each
/// has three shades, and the same again dashed.
pub(crate) fn phase_classes(scenario: &ScenarioResult) -> Vec<String> {
    let reference = sentences::reference(scenario).map(|phase| phase.name.as_str());
    let mut seen_reference = false;
    let mut counts = [0_usize; 3];
    let classes = scenario.phases.iter().map(|phase| {
        let faulty = scenario.faults.iter().any(|fault| fault.phase == phase.name);
        if Some(phase.name.as_str()) == reference && !faulty {
            seen_reference = true;
            return "phase-reference".to_owned();
        }
        let (kind, name) = match (faulty, seen_reference) {
            (true, _) => (0, "fault"),
            (false, true) => (1, "after"),
            (false, false) => (2, "before"),
        };
        let shade = counts[kind];
        counts[kind] += 1;
        format!("phase-{name}-{}{}", shade % 3, if shade % 6 < 3 { "" } else { " dashed" })
    });
    classes.collect()
}

/// Draws the distributions of one load. Empty without any.
pub(crate) fn quantiles(scenario: &ScenarioResult, load: &str, class: &str, width: f64) -> String {
    let classes = phase_classes(scenario);
    let curves: Vec<(usize, Vec<(f64, f64)>)> = scenario
        .phases
        .iter()
        .enumerate()
        .filter_map(|(index, phase)| {
            let found = phase.loads.iter().find(|it| it.load == load)?;
            Some((index, curve(found))).filter(|(_, points)| points.len() > 1)
        })
        .collect();
    let tails = curves.iter().flat_map(|(_, points)| points.iter().map(|(tail, _)| *tail));
    let values = || curves.iter().flat_map(|(_, points)| points.iter().map(|(_, ms)| *ms));
    let thinnest = tails.fold(1.0, f64::min);
    let highest = values().fold(0.0, f64::max);
    let lowest = values().filter(|ms| *ms > 0.0).fold(f64::INFINITY, f64::min);
    if curves.is_empty() || !lowest.is_finite() {
        return String::new();
    }
    let (x, y) = ((48.0, width - 12.0), (260.0, 22.0));
    // By the share above: 50 %, 10 %, 1 %. The logarithm gives each nine the same width.
    let across = Scale::log(thinnest, 1.0, (x.1, x.0));
    let up = if highest / lowest > 20.0 {
        Scale::log(lowest * 0.8, highest * 1.1, y)
    } else {
        Scale::linear(0.0, nice_end(highest, 4), y)
    };
    let label =
        format!("Latency of load {load} by quantile, one line for each phase. The percentiles are in the table.");
    let mut svg = Svg::new(class, width, 300.0, &label);
    let title = if up.is_log() { "Latency by quantile (logarithmic axis)" } else { "Latency by quantile" };
    svg.text("panel-title", x.0, 12.0, Anchor::Start, title);
    for tick in up.ticks(4) {
        svg.line("grid", [x.0, up.at(tick), x.1, up.at(tick)]);
        svg.text("tick-label", x.0 - 6.0, up.at(tick) + 3.5, Anchor::End, &words::millis(tick));
    }
    for (tail, name) in
        [(1.0, "min"), (0.5, "p50"), (0.1, "p90"), (0.05, "p95"), (0.01, "p99"), (0.001, "p99.9"), (0.0001, "p99.99")]
    {
        if tail >= thinnest * 0.999 {
            // If the labels would touch, p95 is omitted.
            let crowded = name == "p95" && across.at(0.05) - across.at(0.1) < 34.0;
            svg.line("grid", [across.at(tail), y.1, across.at(tail), y.0]);
            if !crowded {
                svg.text("tick-label", across.at(tail), y.0 + 15.0, Anchor::Middle, name);
            }
        }
    }
    svg.text("tick-label", x.1, y.0 + 32.0, Anchor::End, "share of the requests that are at most this slow →");
    for (index, points) in &curves {
        let mut path = Path::default();
        for (k, (tail, ms)) in points.iter().enumerate() {
            if k == 0 {
                path.start(across.at(*tail), up.at(*ms));
            } else {
                path.to(across.at(*tail), up.at(*ms));
            }
        }
        svg.path(&format!("line {}", classes[*index]), &path);
    }
    svg.finish()
}

/// Points of (share above, milliseconds), from the histogram, otherwise from the percentiles.
fn curve(load: &PhaseLoad) -> Vec<(f64, f64)> {
    if let Some(histogram) = load.latency_hdr.as_deref().and_then(decode) {
        let tail = (1.0 / histogram.len() as f64).max(1e-5);
        let steps = 90;
        let mut points: Vec<(f64, f64)> = (0..steps)
            .map(|k| tail.powf(f64::from(k) / f64::from(steps)))
            .map(|above| (above, histogram.value_at_quantile(1.0 - above) as f64 / 1e3))
            .collect();
        points.push((tail, histogram.max() as f64 / 1e3));
        return points;
    }
    load.stats.latency.as_ref().map(points).unwrap_or_default()
}

fn points(it: &LatencyStats) -> Vec<(f64, f64)> {
    let tail = (1.0 / it.count.max(1) as f64).max(1e-5);
    let all = [
        (1.0, it.min_ms),
        (0.5, it.p50_ms),
        (0.1, it.p90_ms),
        (0.05, it.p95_ms),
        (0.01, it.p99_ms),
        (0.001, it.p999_ms),
    ];
    let mut list: Vec<_> = all.into_iter().filter(|(above, _)| *above > tail).collect();
    list.push((tail, it.max_ms));
    list.retain(|(_, ms)| ms.is_finite());
    list
}

/// A histogram from its base64. None if it is not in the expected format.
fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).ok()?;
    (!histogram.is_empty()).then_some(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_curve_from_the_histogram_agrees_with_the_percentiles() {
        let load = &sample::passing().scenarios[0].phases[0].loads[0];
        let stats = load.stats.latency.unwrap();
        let fine = curve(load);
        assert_eq!(fine.len(), 91);
        assert_eq!(fine.first().unwrap().1, stats.min_ms);
        assert_eq!(fine.last().unwrap().1, stats.max_ms);
        assert!(fine.windows(2).all(|pair| pair[0].1 <= pair[1].1), "rising");
        let coarse = curve(&PhaseLoad { latency_hdr: None, ..load.clone() });
        assert!(coarse.contains(&(0.05, stats.p95_ms)) && !coarse.iter().any(|(above, _)| *above < 1.0 / 600.0));
    }

    #[test]
    fn a_broken_histogram_is_not_fatal() {
        let mut scenario = sample::passing().scenarios.remove(0);
        scenario.phases[0].loads[0].latency_hdr = Some("HISTFAAA!!".to_owned());
        scenario.phases[1].loads[0].latency_hdr = Some("aGVsbG8=".to_owned());
        assert!(quantiles(&scenario, "completions", "chart", 600.0).contains("phase-fault-0"));
        assert_eq!(quantiles(&scenario, "nobody", "chart", 600.0), "");
    }

    #[test]
    fn phases_are_coloured_by_their_role() {
        let mut scenario = sample::passing().scenarios.remove(0);
        assert_eq!(phase_classes(&scenario), ["phase-reference", "phase-fault-0", "phase-after-0"]);
        let busy = sample::busy().scenarios.remove(0);
        let classes = phase_classes(&busy);
        assert_eq!(classes[0], "phase-reference");
        assert_eq!(classes[7], "phase-fault-0 dashed");
        let distinct: std::collections::BTreeSet<&String> = classes.iter().collect();
        assert_eq!(distinct.len(), 8, "{classes:?}");
        scenario.phases.insert(0, scenario.phases[0].clone());
        scenario.phases[0].name = "warm-up".to_owned();
        assert_eq!(phase_classes(&scenario)[..2], ["phase-before-0", "phase-reference"]);
        scenario.faults.clear();
        assert_eq!(phase_classes(&scenario)[1..3], ["phase-after-0", "phase-after-1"]);
    }
}
