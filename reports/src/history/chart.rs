//! The observed values of an expectation over its runs, each with its interval and the limits of its run.

use shakedown_schemas::result::{ExpectationResult, Verdict};
use shakedown_schemas::words;

use crate::svg::{Anchor, Path, Scale, Svg, fit};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 84.0;

/// Draws the values, the oldest on the left. A run without the expectation leaves its place empty.
pub(super) fn chart(list: &[Option<&ExpectationResult>], newest: &ExpectationResult) -> String {
    let own: Vec<(usize, &ExpectationResult)> = list
        .iter()
        .enumerate()
        .filter_map(|(k, it)| Some((k, (*it)?)))
        .filter(|(_, it)| it.unit == newest.unit)
        .collect();
    let values = own.iter().flat_map(|(_, it)| {
        it.observed.into_iter().chain(it.interval.into_iter().flatten()).chain(it.min).chain(it.max)
    });
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), it| (a.min(*it), b.max(*it)));
    let label = format!("{} over {}; the table has its latest value", newest.title, words::plural(list.len(), "run"));
    let mut svg = Svg::new("chart trend", WIDTH, HEIGHT, &label);
    if !low.is_finite() {
        return svg.finish();
    }
    let room = ((high - low) * 0.12).max(high.abs() * 0.01).max(1e-9);
    let scale = Scale::linear(low - room, high + room, (HEIGHT - 8.0, 8.0));
    for tick in [low, high] {
        svg.line("grid", [70.0, scale.at(tick), WIDTH, scale.at(tick)]);
        let text = fit(&words::value(newest.unit, tick), 66.0);
        svg.text("tick-label", 66.0, scale.at(tick) + 3.5, Anchor::End, &text);
    }
    let step = (WIDTH - 90.0) / list.len().max(1) as f64;
    let x = |k: usize| 80.0 + (k as f64 + 0.5) * step;
    let mut line = Path::default();
    let mut begun = false;
    for (k, it) in &own {
        for limit in [it.min, it.max].into_iter().flatten() {
            svg.line("limit", [x(*k) - step / 2.0, scale.at(limit), x(*k) + step / 2.0, scale.at(limit)]);
        }
        if let Some([from, to]) = it.interval {
            svg.line("whisker", [x(*k), scale.at(from), x(*k), scale.at(to)]);
        }
        if let Some(value) = it.observed {
            if begun {
                line.to(x(*k), scale.at(value))
            } else {
                line.start(x(*k), scale.at(value))
            }
            begun = true;
        }
    }
    svg.path("trend-line", &line);
    for (k, it) in &own {
        // Without a value there is a mark at the bottom, which shows only the verdict.
        let y = it.observed.map_or(HEIGHT - 5.0, |value| scale.at(value));
        mark(&mut svg, it, x(*k), y, (step * 0.45).min(3.6));
        let title = format!("{}: {} ({})", words::verdict(it.verdict), it.observed_text, it.limit_text);
        svg.titled_rect("catch", [x(*k) - step.min(14.0) / 2.0, 0.0, step.min(14.0), HEIGHT], &title);
    }
    svg.finish()
}

/// Draws a value. A failed one has a distinct shape, because colours alone are not accessible.
fn mark(svg: &mut Svg, it: &ExpectationResult, x: f64, y: f64, most: f64) {
    let size = if it.observed.is_some() { most } else { most * 0.67 };
    let class = format!("bar-point {}", it.verdict.word());
    if it.verdict != Verdict::Fail {
        return svg.circle(&class, x, y, size);
    }
    let mut cross = Path::default();
    for [dx, dy] in [[size, size], [size, -size]] {
        cross.start(x - dx, y - dy);
        cross.to(x + dx, y + dy);
    }
    svg.path(&class, &cross);
}
