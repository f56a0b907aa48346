//! The small chart in an expectation's row: the passing range, the interval, the observed value and the limits.

use shakedown_schemas::result::{ExpectationResult, Unit};
use shakedown_schemas::words;

use crate::svg::{Anchor, Path, Scale, Svg};

const WIDTH: f64 = 170.0;
const HEIGHT: f64 = 30.0;

/// Draws the chart. Empty without an observed value.
pub(crate) fn interval_bar(it: &ExpectationResult) -> String {
    let Some(observed) = it.observed.filter(|value| value.is_finite()) else { return String::new() };
    let limits = [it.min, it.max].into_iter().flatten();
    let interval = it.interval.into_iter().flatten();
    let values: Vec<f64> = limits.chain(interval).chain([observed]).filter(|value| value.is_finite()).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let room = ((high - low) * 0.25).max(high.abs() * 0.02).max(1e-9);
    let (mut from, mut to) = (low - room, high + room);
    // Never below zero.
    from = from.max(0.0_f64.min(low));
    if it.unit == Unit::Fraction {
        to = to.min(1.0_f64.max(high));
    }
    let scale = Scale::linear(from, to, (6.0, WIDTH - 6.0));

    let mut label = format!("observed {}", it.observed_text);
    if let Some(interval) = it.interval {
        label.push_str(&format!(", interval {}", words::interval(it.unit, interval)));
    }
    label.push_str(&format!(", limit {}", it.limit_text));
    let mut svg = Svg::new("bar", WIDTH, HEIGHT, &label);
    let passes = (it.min.map_or(0.0, |min| scale.at(min)), it.max.map_or(WIDTH, |max| scale.at(max)));
    svg.rect("bar-track", [0.0, 4.0, WIDTH, 14.0]);
    svg.rect("bar-pass", [passes.0, 4.0, passes.1 - passes.0, 14.0]);
    if let Some([low, high]) = it.interval {
        let (a, b) = (scale.at(low), scale.at(high));
        svg.line("bar-interval", [a, 11.0, b.max(a + 1.0), 11.0]);
        svg.line("bar-interval", [a, 7.5, a, 14.5]);
        svg.line("bar-interval", [b, 7.5, b, 14.5]);
    }
    for limit in [it.min, it.max].into_iter().flatten() {
        let x = scale.at(limit);
        svg.line("bar-limit", [x, 1.0, x, 21.0]);
        let anchor = if x < 24.0 {
            Anchor::Start
        } else if x > WIDTH - 24.0 {
            Anchor::End
        } else {
            Anchor::Middle
        };
        svg.text("tick-label", x, 29.5, anchor, &words::value(it.unit, limit));
    }
    let x = scale.at(observed);
    if it.censored {
        // The true value is at least this one.
        svg.line("bar-interval", [x, 11.0, WIDTH - 2.0, 11.0]);
        let mut arrow = Path::default();
        arrow.start(WIDTH - 6.0, 7.5);
        arrow.to(WIDTH - 2.0, 11.0);
        arrow.to(WIDTH - 6.0, 14.5);
        svg.path("bar-interval", &arrow);
    }
    svg.circle(&format!("bar-point {}", it.verdict.word()), x, 11.0, 4.0);
    svg.finish()
}
