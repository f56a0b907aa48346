//! A measure over the numeric axis of a matrix: the dose-response curve, one line for each combination of the other axes.
use shakedown_schemas::words;

use crate::matrix::{Curve, Dose, Matrix, Measures};
use crate::svg::{Anchor, Path, Scale, Svg, fit, nice_end, text_width};

/// The size of a drawing, in pixels.
const SIZE: (f64, f64) = (420.0, 240.0);

/// A measure that is drawn.
struct Measure {
    title: &'static str,
    of: fn(&Measures) -> Option<f64>,
    text: fn(f64) -> String,
    /// The upper end of the axis. None for the largest value.
    end: Option<f64>,
}

const MEASURES: [Measure; 2] = [
    Measure { title: "Success rate", of: |it| it.success, text: words::fraction, end: Some(1.0) },
    Measure { title: "p95", of: |it| it.p95_ms, text: words::millis, end: None },
];

/// The drawings of a matrix. Empty without a numeric axis.
pub(crate) fn doses(matrix: &Matrix<'_>) -> Vec<String> {
    let Some(dose) = matrix.dose() else { return Vec::new() };
    let drawn = MEASURES.iter().filter_map(|measure| {
        let curves = matrix.curves(&dose, measure.of);
        draw(matrix.axes[dose.axis], &dose, measure, &curves)
    });
    drawn.collect()
}

fn draw(axis: &str, dose: &Dose, measure: &Measure, curves: &[Curve]) -> Option<String> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let values = || points().filter_map(|(_, value)| *value);
    let (low, high) =
        points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    // A single value is no curve.
    let has_curve = |curve: &Curve| curve.points.iter().filter(|(_, value)| value.is_some()).count() > 1;
    if !curves.iter().any(has_curve) {
        return None;
    }
    let named = curves.len() > 1;
    let legend = if named { 14.0 * curves.len() as f64 + 8.0 } else { 0.0 };
    let (width, height) = (SIZE.0, SIZE.1 + legend);
    let (x, y) = ((58.0, width - 18.0), (SIZE.1 - 34.0, 26.0));
    let across = Scale::linear(low, high, x);
    let end = measure.end.unwrap_or_else(|| nice_end(values().fold(0.0, f64::max), 4));
    let up = Scale::linear(0.0, end, y);
    let label = format!("{} over {axis}. The table has the values.", measure.title);
    let mut svg = Svg::new("chart dose", width, height, &label);
    svg.text("panel-title", x.0, 14.0, Anchor::Start, &format!("{} over {}", measure.title, fit(axis, 200.0)));
    for tick in up.ticks(4) {
        svg.line("grid", [x.0, up.at(tick), x.1, up.at(tick)]);
        svg.text("tick-label", x.0 - 6.0, up.at(tick) + 3.5, Anchor::End, &(measure.text)(tick));
    }
    let mut free_from = f64::NEG_INFINITY;
    let mut doses: Vec<f64> = points().map(|(x, _)| *x).collect();
    doses.sort_by(f64::total_cmp);
    doses.dedup();
    for value in doses {
        let text = format!("{value}{}", dose.unit);
        let (at, half) = (across.at(value), text_width(&text) / 2.0);
        svg.line("grid", [at, y.1, at, y.0]);
        // Labels that would touch are left out.
        if at - half > free_from {
            svg.text("tick-label", at, y.0 + 15.0, Anchor::Middle, &text);
            free_from = at + half + 4.0;
        }
    }
    for (number, curve) in curves.iter().enumerate() {
        let class = format!("phase-fault-{}{}", number % 3, if number < 3 { "" } else { " dashed" });
        let mut path = Path::default();
        let mut open = false;
        for (dose, value) in &curve.points {
            let Some(value) = value else {
                open = false;
                continue;
            };
            let (px, py) = (across.at(*dose), up.at(*value));
            if open {
                path.to(px, py)
            } else {
                path.start(px, py)
            }
            open = true;
            svg.circle(&format!("dose-point {class}"), px, py, 3.5);
        }
        svg.path(&format!("line {class}"), &path);
        if named {
            let at = SIZE.1 + 4.0 + 14.0 * number as f64;
            svg.line(&format!("line {class}"), [x.0, at - 3.5, x.0 + 22.0, at - 3.5]);
            svg.text("tick-label", x.0 + 28.0, at, Anchor::Start, &fit(&curve.name, width - x.0 - 40.0));
        }
    }
    Some(svg.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{matrix, sample};

    #[test]
    fn each_measure_has_a_line_for_each_value_of_the_other_axis() {
        let result = sample::matrix();
        let drawn = doses(&matrix::matrices(&result)[0]);
        assert_eq!(drawn.len(), 2);
        for (svg, title) in drawn.iter().zip(["Success rate over loss", "p95 over loss"]) {
            assert_eq!(svg.matches("<path class=\"line phase-fault").count(), 2, "{svg}");
            assert_eq!(svg.matches("<circle").count(), 6, "{svg}");
            for part in [title, ">10%<", ">50%<", "worker prefill"] {
                assert!(svg.contains(part), "{part}: {svg}");
            }
        }
    }

    #[test]
    fn a_matrix_of_words_has_no_curve() {
        let mut result = sample::matrix();
        result.scenarios.iter_mut().for_each(|it| _ = it.matrix.shift_remove("loss"));
        assert!(doses(&matrix::matrices(&result)[0]).is_empty());
    }
}
