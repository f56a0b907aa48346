//! The places of expectations in the timelines, for links: the panel that shows the measure, over the judged part of the
//! phase.

use shakedown_schemas::result::{ExpectationResult, LoadSeries, ScenarioResult};
use shakedown_schemas::scenario::{ExpectationInfo, Panel};

/// The place of one expectation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The URL fragment in the wide drawing. The one in the narrow drawing has an `n` behind it.
    pub(crate) id: String,
    pub(crate) panel: Panel,
    /// Seconds since the load's start.
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// The place of an expectation in the timeline of its load. None without such a timeline.
pub(crate) fn place(scenario: &ScenarioResult, id: &str, index: usize) -> Option<Place> {
    let it = scenario.expectations.get(index)?;
    let panel = ExpectationInfo::shown(&it.kind).panel()?;
    let phase = scenario.phases.iter().find(|phase| phase.name == it.phase)?;
    let has_chart = |series: &&LoadSeries| series.load == it.load && !series.points.is_empty();
    scenario.series.iter().find(has_chart)?;
    Some(Place { id: format!("{id}-e{}", index + 1), panel, from: phase.judged_from_s, to: phase.judged_to_s })
}

/// The places of a load's expectations.
pub(crate) fn places(scenario: &ScenarioResult, id: &str, load: &str) -> Vec<Place> {
    let own = |(_, it): &(usize, &ExpectationResult)| it.load == load;
    let all = scenario.expectations.iter().enumerate().filter(own);
    all.filter_map(|(index, _)| place(scenario, id, index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn an_expectation_has_a_place_if_a_panel_shows_its_measure() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let found = places(&scenario, "s1", "completions");
        let ids: Vec<(&str, Panel)> = found.iter().map(|it| (it.id.as_str(), it.panel)).collect();
        let (success, latency) = (Panel::Success, Panel::Latency);
        let all = [("s1-e1", success), ("s1-e2", success), ("s1-e3", latency), ("s1-e4", success), ("s1-e5", latency)];
        assert_eq!(ids, all);
        assert_eq!((found[2].from, found[2].to), (35.84, 90.9), "the judged part");
        scenario.expectations[0].kind = "logs".to_owned();
        scenario.expectations[1].load = String::new();
        assert_eq!(places(&scenario, "s1", "completions").len(), 3);
        scenario.series[0].points.clear();
        assert_eq!(places(&scenario, "s1", "completions"), [], "there is no drawing");
    }
}
