//! The scenarios of one file with a `matrix` as a table: a row per combination, with its verdict and the main measures in the
//! phases with faults. Where an axis has numbers, the measures over it are a dose-response curve. Pure.

use shakedown_schemas::result::{RunResult, ScenarioResult};

use crate::{sentences, words};

/// The most curves of one drawing.
const CURVES: usize = 6;

/// The scenarios of one file.
pub(crate) struct Matrix<'a> {
    /// The file.
    pub file: &'a str,
    /// The names of the axes.
    pub axes: Vec<&'a str>,
    /// One row per scenario, in the order of the result.
    pub rows: Vec<Row<'a>>,
}

/// One combination.
pub(crate) struct Row<'a> {
    /// Its index among the scenarios of the result.
    pub index: usize,
    /// The scenario.
    pub scenario: &'a ScenarioResult,
    /// The value of each axis.
    pub values: Vec<String>,
    /// The measures.
    pub measures: Measures,
}

/// The main measures of a scenario, each the worst over its loads and its phases with faults.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Measures {
    /// The share of requests that succeeded.
    pub success: Option<f64>,
    /// The 95th percentile of the latency, ms.
    pub p95_ms: Option<f64>,
    /// The time from the undo to the recovery, s.
    pub recovery_s: Option<f64>,
    /// A service did not recover.
    pub unrecovered: bool,
}

/// A measure over a numeric axis.
pub(crate) struct Curve {
    /// The other axes with their values, such as `worker prefill`. Empty for a matrix with one axis.
    pub name: String,
    /// The value of the axis, and the measure.
    pub points: Vec<(f64, Option<f64>)>,
}

/// The numeric axis of a matrix.
pub(crate) struct Dose {
    /// Its number among the axes.
    pub axis: usize,
    /// The unit of its values, such as `%`.
    pub unit: String,
}

/// The matrices of a result: all files of which several scenarios have a matrix.
pub(crate) fn matrices(result: &RunResult) -> Vec<Matrix<'_>> {
    let mut found: Vec<Matrix<'_>> = Vec::new();
    for (index, scenario) in result.scenarios.iter().enumerate().filter(|(_, it)| !it.matrix.is_empty()) {
        let axes: Vec<&str> = scenario.matrix.keys().map(String::as_str).collect();
        let values = scenario.matrix.values().map(sentences::variable).collect();
        let row = Row { index, scenario, values, measures: measures(scenario) };
        match found.iter_mut().find(|it| it.file == scenario.file && it.axes == axes) {
            Some(matrix) => matrix.rows.push(row),
            None => found.push(Matrix { file: &scenario.file, axes, rows: vec![row] }),
        }
    }
    found.retain(|matrix| matrix.rows.len() > 1);
    found
}

/// The measures of a scenario. Without faults, those of all phases.
fn measures(scenario: &ScenarioResult) -> Measures {
    let is_struck = |name: &str| scenario.faults.is_empty() || scenario.faults.iter().any(|it| it.phase == name);
    let loads = || scenario.phases.iter().filter(|it| is_struck(&it.name)).flat_map(|it| &it.loads);
    let least = loads().filter_map(|it| it.stats.success_rate()).reduce(f64::min);
    let most = loads().filter_map(|it| it.stats.latency.as_ref()).map(|it| it.p95_ms).reduce(f64::max);
    // A recovery that was not observed is unknown, not missing.
    let ended = || scenario.recoveries.iter().filter(|it| it.removed_s.is_some() && !sentences::is_unseen(it));
    let took = ended().filter_map(|it| Some((it.recovered_s? - it.struck_s.or(it.removed_s)?).max(0.0)));
    Measures {
        success: least,
        p95_ms: most,
        recovery_s: took.reduce(f64::max),
        unrecovered: ended().any(|it| it.recovered_s.is_none()),
    }
}

impl Measures {
    /// The measures for display: success rate, p95, recovery. A dash for one that is missing.
    pub fn texts(&self) -> [String; 3] {
        let text = |value: Option<f64>, of: fn(f64) -> String| value.map_or_else(|| "–".to_owned(), of);
        let recovery = match self.unrecovered {
            true => "not recovered".to_owned(),
            false => text(self.recovery_s, words::seconds),
        };
        [text(self.success, words::fraction), text(self.p95_ms, words::millis), recovery]
    }
}

impl Matrix<'_> {
    /// The first axis whose values are at least two different numbers of one unit.
    pub fn dose(&self) -> Option<Dose> {
        (0..self.axes.len()).find_map(|axis| {
            let read: Vec<(f64, &str)> =
                self.rows.iter().map(|row| number(&row.values[axis])).collect::<Option<_>>()?;
            let unit = read[0].1;
            let differs = read.iter().any(|(value, _)| (value - read[0].0).abs() > f64::EPSILON);
            (differs && read.iter().all(|(_, it)| *it == unit)).then(|| Dose { axis, unit: unit.to_owned() })
        })
    }

    /// A measure over the numeric axis: a curve for each combination of the other axes. At most a few of them.
    pub fn curves(&self, dose: &Dose, of: impl Fn(&Measures) -> Option<f64>) -> Vec<Curve> {
        let mut curves: Vec<Curve> = Vec::new();
        for row in &self.rows {
            let Some((x, _)) = number(&row.values[dose.axis]) else { continue };
            let others = self.axes.iter().zip(&row.values).enumerate().filter(|(axis, _)| *axis != dose.axis);
            let name = others.map(|(_, (axis, value))| format!("{axis} {value}")).collect::<Vec<_>>().join(", ");
            let point = (x, of(&row.measures));
            match curves.iter_mut().find(|it| it.name == name) {
                Some(curve) => curve.points.push(point),
                None => curves.push(Curve { name, points: vec![point] }),
            }
        }
        for curve in &mut curves {
            curve.points.sort_by(|one, other| one.0.total_cmp(&other.0));
        }
        curves.truncate(CURVES);
        curves
    }
}

/// A number and its unit.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
    let value: f64 = text[..end].parse().ok()?;
    value.is_finite().then_some((value, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_matrix_is_a_table_with_the_measures_under_the_faults() {
        let result = sample::matrix();
        let all = matrices(&result);
        let [matrix] = &all[..] else { panic!("one file has a matrix") };
        assert_eq!((matrix.axes.as_slice(), matrix.rows.len()), (&["loss", "worker"][..], 6));
        assert_eq!(matrix.rows[0].values, ["10%", "decode"]);
        let under = &result.scenarios[0].phases[1].loads[0].stats;
        let measures = matrix.rows[0].measures;
        assert_eq!(
            (measures.success, measures.p95_ms),
            (under.success_rate(), under.latency.as_ref().map(|it| it.p95_ms))
        );
        assert!(matrices(&sample::suite()).is_empty());
    }

    #[test]
    fn a_numeric_axis_has_one_curve_for_each_value_of_the_others() {
        let result = sample::matrix();
        let all = matrices(&result);
        let dose = all[0].dose().expect("`loss` has numbers");
        assert_eq!((dose.axis, dose.unit.as_str()), (0, "%"));
        let curves = all[0].curves(&dose, |it| it.success);
        let names: Vec<&str> = curves.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["worker decode", "worker prefill"]);
        assert_eq!(curves[0].points.iter().map(|it| it.0).collect::<Vec<_>>(), [10.0, 30.0, 50.0]);
    }

    #[test]
    fn numbers_have_one_unit() {
        assert_eq!(number("10%"), Some((10.0, "%")));
        assert_eq!(number("1.5 Mbit/s"), Some((1.5, "Mbit/s")));
        assert_eq!((number("decode"), number("")), (None, None));
    }
}
