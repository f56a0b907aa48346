//! The requests around the faults of a phase: those in flight when the first fault struck, and those that failed while the
//! faults were being injected and undone. They are separate from the judged ones.

use shakedown_schemas::result::{Around, ScenarioResult, Stats};
use shakedown_schemas::scenario::Including;
use shakedown_schemas::words;

use super::values::names_loads;

/// A sentence for each group with something to report: requests in flight, and failures during injection and removal.
pub fn around(scenario: &ScenarioResult) -> Vec<String> {
    let several = names_loads(scenario);
    let mut sentences = Vec::new();
    for phase in &scenario.phases {
        for load in &phase.loads {
            let of = if several { format!(" of load {}", load.load) } else { String::new() };
            sentences.extend(load.around.iter().filter_map(|it| group(it, &phase.name, &of)));
        }
    }
    sentences
}

fn group(it: &Around, phase: &str, of: &str) -> Option<String> {
    let failed = it.stats.requests - it.stats.succeeded;
    let requests = words::plural(it.stats.requests as usize, "request");
    let counted = match it.included {
        true => format!("The expectations of {phase} include them"),
        false => format!("The expectations of {phase} leave them out (`including`)"),
    };
    let was = if it.stats.requests == 1 { "was" } else { "were" };
    let what = match it.group {
        Including::InFlight if failed == 0 => {
            format!("{requests}{of} {was} in flight when the faults of {phase} struck, and none failed")
        }
        Including::InFlight => {
            format!("{requests}{of} {was} in flight when the faults of {phase} struck, and {}", failures(&it.stats))
        }
        Including::Waiting | Including::Injection | Including::Removal if failed == 0 => return None,
        Including::Waiting => {
            format!(
                "{requests}{of} {was} due while the faults of {phase} waited for earlier answers, and {}",
                failures(&it.stats)
            )
        }
        Including::Injection => {
            format!(
                "{requests}{of} {was} due while the faults of {phase} were being injected, and {}",
                failures(&it.stats)
            )
        }
        Including::Removal => {
            format!(
                "{requests}{of} {was} due while the faults of {phase} were being undone, and {}",
                failures(&it.stats)
            )
        }
    };
    Some(format!("{what}. {counted}."))
}

fn failures(stats: &Stats) -> String {
    let kinds: Vec<String> =
        stats.errors.iter().map(|(kind, count)| format!("{} {kind}", words::count(*count as f64))).collect();
    format!("{} failed ({})", words::count((stats.requests - stats.succeeded) as f64), kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn requests_in_flight_always_have_a_sentence_and_others_only_with_failures() {
        let mut scenario = sample::passing().scenarios.remove(0);
        assert_eq!(around(&scenario), [] as [String; 0]);
        let stats = |requests, failed: u64| Stats {
            requests,
            succeeded: requests - failed,
            errors: [("stalled".to_owned(), failed)].into_iter().collect(),
            ..Stats::default()
        };
        let group = |group, included, requests, failed| Around {
            group,
            included,
            length_s: 2.0,
            stats: stats(requests, failed),
        };
        let name = scenario.phases[1].name.clone();
        scenario.phases[1].loads[0].around = vec![
            group(Including::InFlight, true, 4, 4),
            group(Including::Waiting, false, 40, 9),
            group(Including::Injection, false, 40, 0),
            group(Including::Removal, false, 40, 3),
        ];
        let said = around(&scenario);
        assert_eq!(
            said,
            [
                format!(
                    "4 requests were in flight when the faults of {name} struck, and 4 failed (4 stalled). The expectations \
                     of {name} include them."
                ),
                format!(
                    "40 requests were due while the faults of {name} waited for earlier answers, and 9 failed (9 stalled). The \
                     expectations of {name} leave them out (`including`)."
                ),
                format!(
                    "40 requests were due while the faults of {name} were being undone, and 3 failed (3 stalled). The \
                     expectations of {name} leave them out (`including`)."
                ),
            ]
        );
    }
}
