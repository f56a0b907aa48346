//! Values of a result in words.

use shakedown_schemas::first_few;
use shakedown_schemas::result::{PodRef, ScenarioResult};

/// True when a scenario has more than one load, so that an expectation must name its load.
pub fn names_loads(scenario: &ScenarioResult) -> bool {
    scenario.loads.len().max(scenario.series.len()) > 1
}

/// Whether a text about this load names it. Some expectations are about no load.
pub fn names_load(scenario: &ScenarioResult, load: &str) -> bool {
    names_loads(scenario) && !load.is_empty()
}

/// The names of the first `limit` pods.
pub fn pods(pods: &[PodRef], limit: usize) -> String {
    let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
    if names.is_empty() { "no pod".to_owned() } else { first_few(&names, limit) }
}

/// The value of a variable. Strings are without quotes.
pub fn variable(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// An expectation about no load stood with "[]" behind its title.
    #[test]
    fn a_text_about_no_load_names_none() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let another = scenario.loads[0].clone();
        scenario.loads.push(another);
        assert!(names_load(&scenario, "customers") && !names_load(&scenario, ""));
        scenario.loads.truncate(1);
        scenario.series.truncate(1);
        assert!(!names_load(&scenario, "customers"));
    }
}
