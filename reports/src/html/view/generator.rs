//! The load generator's own measurements: a table for each load, phases side by side. It is folded at the end of the page,
//! and open only if it affects the validity of the results.

use serde::Serialize;
use shakedown_schemas::result::{Generator, LatencyStats, LoadInfo, PhaseLoad, PhaseResult, ScenarioResult};
use shakedown_schemas::words;

/// The load generator's panel of one load.
#[derive(Debug, Serialize)]
pub(super) struct GeneratorView {
    load: String,
    /// The load model in a sentence.
    model: String,
    /// Notes for the reader, if any.
    notes: Vec<String>,
    phases: Vec<String>,
    rows: Vec<(&'static str, Vec<String>)>,
}

/// One row of the table: its title, and its cell for a phase.
type Row = (&'static str, fn(&PhaseLoad, &Generator) -> String);

const ROWS: &[Row] = &[
    ("Pace", |_, it| it.pace.clone()),
    ("Requests due", |load, it| due(load, it)),
    ("Never sent", |load, it| not_sent(load, it)),
    ("Generator late: p50 / p99 / most", |_, it| timing(it.lateness.as_ref().map(|it| &it.stats), true)),
    ("Latency, from when it was due: p50 / p99", |load, _| timing(load.stats.latency.as_ref(), false)),
    ("Service time, from when it was sent: p50 / p99", |_, it| timing(it.service.as_ref().map(|it| &it.stats), false)),
    ("First byte, from when it was sent: p50 / p99", |_, it| timing(it.first_byte.as_ref().map(|it| &it.stats), false)),
    ("Connections made", |_, it| {
        it.connect.as_ref().map_or_else(String::new, |it| words::count(it.stats.count as f64))
    }),
    ("Connecting: p50 / p99", |_, it| timing(it.connect.as_ref().map(|it| &it.stats), false)),
    ("TLS: p50 / p99", |_, it| timing(it.tls.as_ref().map(|it| &it.stats), false)),
    ("Mean gap in a stream: p50 / p99 / longest", |_, it| timing(it.mean_gap.as_ref().map(|it| &it.stats), true)),
    ("Longest gap in a stream: p50 / p99 / longest", |_, it| timing(it.longest_gap.as_ref().map(|it| &it.stats), true)),
    ("Latency on a fixed schedule (estimate): p50 / p99", |_, it| {
        timing(it.corrected.as_ref().map(|it| &it.latency), false)
    }),
];

/// The panels of a scenario, one for each load with generator data.
pub(super) fn generators(scenario: &ScenarioResult) -> Vec<GeneratorView> {
    scenario.loads.iter().filter_map(|load| generator(load, &scenario.phases)).collect()
}

/// True when a panel has a note or a warning.
pub(super) fn matters(views: &[GeneratorView]) -> bool {
    views.iter().any(|view| !view.notes.is_empty())
}

fn generator(load: &LoadInfo, phases: &[PhaseResult]) -> Option<GeneratorView> {
    let found: Vec<(&PhaseResult, &PhaseLoad, &Generator)> = phases
        .iter()
        .filter_map(|phase| {
            let it = phase.loads.iter().find(|it| it.load == load.name)?;
            Some((phase, it, it.generator.as_ref()?))
        })
        .collect();
    if found.is_empty() {
        return None;
    }
    let mut rows: Vec<(&'static str, Vec<String>)> = Vec::new();
    for (title, cell) in ROWS.iter().copied() {
        let cells: Vec<String> = found.iter().map(|(_, it, generator)| cell(it, generator)).collect();
        // A measure that no phase has, such as TLS, has no row.
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push((title, cells));
        }
    }
    Some(GeneratorView {
        load: load.name.clone(),
        model: model(load),
        notes: notes(load, &found),
        phases: found.iter().map(|(phase, ..)| phase.name.clone()).collect(),
        rows,
    })
}

fn model(load: &LoadInfo) -> String {
    let issued = load.issued.map_or_else(String::new, |issued| {
        format!(" {} were due in total, and each has exactly one outcome.", words::plural(issued as usize, "request"))
    });
    if load.open_loop {
        format!(
            "Open loop: requests start on their schedule ({}), however slow the answers are.{issued}",
            load.schedule
        )
    } else {
        format!("Closed loop: workers ({}) send their next request after the last answer.{issued}", load.schedule)
    }
}

fn notes(load: &LoadInfo, phases: &[(&PhaseResult, &PhaseLoad, &Generator)]) -> Vec<String> {
    let mut notes = Vec::new();
    if !load.open_loop {
        notes.push(
            "A closed loop hides stalls: while the service hangs, it receives fewer requests. Use `rate` to see what clients \
             would have felt; the last row estimates it."
                .to_owned(),
        );
    }
    for (phase, it, generator) in phases.iter().filter(|(_, _, generator)| generator.not_sent > 0) {
        notes.push(format!("In {}, {} were never sent: {}.", phase.name, generator.not_sent, reasons(it)));
    }
    if load.resent > 0 {
        notes.push(format!(
            "Sent again, because the server had closed the idle connection before the first byte was written: {}.",
            words::plural(load.resent as usize, "request")
        ));
    }
    notes
}

/// The reasons why requests were never sent.
fn reasons(load: &PhaseLoad) -> String {
    let words = |name: &str| match name {
        "not_sent_limit" => Some("the limit of requests under way was reached"),
        "not_sent_connections" => Some("this machine could not open another connection"),
        "not_sent_forward" => Some("the port-forward could not be opened"),
        "not_sent_late" => Some("the load generator lacked processor time"),
        _ => None,
    };
    let parts = load.stats.errors.iter().filter_map(|(name, count)| Some(format!("{count} because {}", words(name)?)));
    parts.collect::<Vec<_>>().join(", ")
}

fn due(load: &PhaseLoad, it: &Generator) -> String {
    let due = words::count(load.stats.requests as f64);
    match it.planned {
        Some(planned) if (planned - load.stats.requests as f64).abs() > 1.0 => {
            format!("{due} (planned {})", words::count(planned.round()))
        }
        _ => due,
    }
}

fn not_sent(load: &PhaseLoad, it: &Generator) -> String {
    match it.not_sent {
        0 => "none".to_owned(),
        count => format!("{} of {}", words::count(count as f64), words::count(load.stats.requests as f64)),
    }
}

fn timing(stats: Option<&LatencyStats>, has_most: bool) -> String {
    let Some(it) = stats else { return String::new() };
    let mut parts = vec![words::millis(it.p50_ms), words::millis(it.p99_ms)];
    parts.extend(has_most.then(|| words::millis(it.max_ms)));
    parts.join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn row<'a>(view: &'a GeneratorView, title: &str) -> Option<&'a Vec<String>> {
        view.rows.iter().find(|(it, _)| it.starts_with(title)).map(|(_, cells)| cells)
    }

    #[test]
    fn omits_unknown_measures_and_has_no_notes_if_all_is_well() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let views = generators(&scenario);
        assert_eq!((views.len(), matters(&views)), (1, false));
        assert_eq!(row(&views[0], "Never sent").unwrap(), &["none", "none", "none"]);
        assert!(row(&views[0], "Generator late").is_some() && row(&views[0], "TLS").is_none());
        scenario.phases.iter_mut().flat_map(|phase| &mut phase.loads).for_each(|load| load.generator = None);
        assert!(generators(&scenario).is_empty(), "a result of an older version");
    }

    #[test]
    fn notes_requests_that_were_not_sent_and_closed_loops() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let load = &mut scenario.phases[1].loads[0];
        load.stats.errors.insert("not_sent_limit".to_owned(), 7);
        load.generator.as_mut().unwrap().not_sent = 7;
        scenario.loads[0].resent = 1;
        let views = generators(&scenario);
        assert_eq!(
            views[0].notes,
            [
                "In partition, 7 were never sent: 7 because the limit of requests under way was reached.",
                "Sent again, because the server had closed the idle connection before the first byte was written: \
                 1 request."
            ]
        );
        scenario.loads[0].open_loop = false;
        let views = generators(&scenario);
        assert!(views[0].notes[0].starts_with("A closed loop hides stalls"), "{:?}", views[0].notes);
        assert!(views[0].model.starts_with("Closed loop: workers (20/s)"));
    }
}
