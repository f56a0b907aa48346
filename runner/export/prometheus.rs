//! `--prometheus-textfile`: the run's numbers in Prometheus' text format, for the textfile collector of the node
//! exporter. The file is written completely and then renamed, as the collector requires.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use shakedown_reports::tamed;
use shakedown_schemas::RunResult;
use shakedown_schemas::result::{Unit, Verdict};

/// Writes the file.
///
/// # Errors
/// A warning for the user.
pub fn write(path: &Path, result: &RunResult) -> Result<(), String> {
    let mut partial = path.as_os_str().to_owned();
    // The collector reads only files that end in `.prom`.
    partial.push(".partial");
    let write = || {
        fs::write(&partial, text(result))?;
        fs::rename(&partial, path)
    };
    write().map_err(|error: std::io::Error| format!("could not write the metrics to {}: {error}", path.display()))
}

/// One metric: its name, its help, and its samples with labels and value.
struct Family {
    name: &'static str,
    help: &'static str,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

fn text(result: &RunResult) -> String {
    let mut out = String::new();
    for family in families(&tamed(result)) {
        if family.samples.is_empty() {
            continue;
        }
        _ = writeln!(out, "# HELP {} {}\n# TYPE {} gauge", family.name, family.help, family.name);
        let mut seen = std::collections::BTreeSet::new();
        for (labels, value) in family.samples {
            let labels: Vec<String> =
                labels.into_iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(&value))).collect();
            let labels = labels.join(",");
            // The collector refuses a file with duplicate series, so only the first is written: of a scenario that ran several
            // times, and of a question that is asked twice.
            if value.is_finite() && seen.insert(labels.clone()) {
                _ = writeln!(out, "{}{{{labels}}} {value}", family.name);
            }
        }
    }
    out
}

fn families(result: &RunResult) -> Vec<Family> {
    let family = |name, help| Family { name, help, samples: Vec::new() };
    let mut verdict = family(
        "shakedown_verdict",
        "1 for the verdict of the scenario, 0 for the others. An overkill run that fails is a pass.",
    );
    let mut began = family("shakedown_scenario_start_timestamp_seconds", "Start time of the scenario.");
    let mut length = family("shakedown_scenario_duration_seconds", "Duration of the scenario.");
    let mut observed = family("shakedown_expectation_observed", "Observed value, in the unit of the label.");
    let mut passed = family("shakedown_expectation_passed", "1 if the expectation holds, else 0.");
    let mut requests = family("shakedown_phase_requests", "Requests that were due in the judged part of the phase.");
    let mut success = family("shakedown_phase_success_ratio", "The share of these requests that succeeded.");
    let mut latency = family("shakedown_phase_latency_seconds", "Latency percentiles of the judged part of the phase.");
    let mut recovery =
        family("shakedown_recovery_seconds", "From the confirmed removal of the faults to the recovery.");
    let mut leftovers = family("shakedown_leftovers", "Objects that could not be removed.");
    for it in &result.scenarios {
        let with = |more: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
            let own = [("scenario", it.name.as_str()), ("file", it.identity().file)];
            own.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        for one in [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Error] {
            verdict.samples.push((with(&[("verdict", one.word())]), f64::from(u8::from(one == it.outcome()))));
        }
        began.samples.push((with(&[]), it.started_at.as_millisecond() as f64 / 1e3));
        length.samples.push((with(&[]), it.duration_s));
        leftovers.samples.push((with(&[]), it.leftovers.len() as f64));
        for it in &it.expectations {
            let unit = match it.unit {
                Unit::Fraction => "ratio",
                Unit::Seconds => "seconds",
                Unit::Times => "times",
                Unit::Count => "count",
            };
            let labels = [("phase", it.phase.as_str()), ("load", &it.load), ("expectation", &it.title)];
            passed.samples.push((with(&labels), f64::from(u8::from(it.verdict == Verdict::Pass))));
            if let Some(value) = it.observed {
                observed.samples.push((with(&[&labels[..], &[("unit", unit)]].concat()), value));
            }
        }
        for phase in &it.phases {
            for load in &phase.loads {
                let labels = [("phase", phase.name.as_str()), ("load", load.load.as_str())];
                requests.samples.push((with(&labels), load.stats.requests as f64));
                success.samples.extend(load.stats.success_rate().map(|rate| (with(&labels), rate)));
                for (quantile, ms) in
                    load.stats.latency.iter().flat_map(|it| {
                        [("0.5", it.p50_ms), ("0.9", it.p90_ms), ("0.95", it.p95_ms), ("0.99", it.p99_ms)]
                    })
                {
                    latency.samples.push((with(&[&labels[..], &[("quantile", quantile)]].concat()), ms / 1e3));
                }
            }
        }
        for it in &it.recoveries {
            if let (Some(removed), Some(recovered)) = (it.removed_s, it.recovered_s) {
                let labels = [("phase", it.phase.as_str()), ("load", it.load.as_str())];
                recovery.samples.push((with(&labels), (recovered - removed).max(0.0)));
            }
        }
    }
    vec![verdict, began, length, observed, passed, requests, success, latency, recovery, leftovers]
}

/// A label's value, escaped for its quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_reports::sample;

    #[test]
    fn every_number_occurs_once() {
        let text = text(&sample::failing());
        for line in [
            "shakedown_verdict{scenario=\"worker-loses-nats\",file=\"scenarios/quickstart.yaml\",verdict=\"fail\"} 1",
            "shakedown_verdict{scenario=\"worker-loses-nats\",file=\"scenarios/quickstart.yaml\",verdict=\"pass\"} 0",
            "# TYPE shakedown_phase_latency_seconds gauge",
            "expectation=\"p95 at most 3 times baseline\",unit=\"times\"} 3.8",
            "shakedown_leftovers{scenario=\"worker-loses-nats\",file=\"scenarios/quickstart.yaml\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let mut series: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| Some(line.rsplit_once(' ')?.0))
            .collect();
        let all = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), all);
    }

    /// The second one was missing, with its failure and what it left.
    #[test]
    fn scenarios_of_one_name_in_two_files_are_two() {
        let mut both = sample::passing();
        let mut other = sample::failing().scenarios.remove(0);
        other.file = "./b/s.yaml".to_owned();
        both.scenarios.push(other);
        let text = text(&both);
        for (file, verdict) in [("scenarios/quickstart.yaml", "pass"), ("b/s.yaml", "fail")] {
            let line =
                format!("shakedown_verdict{{scenario=\"worker-loses-nats\",file=\"{file}\",verdict=\"{verdict}\"}} 1");
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("shakedown_leftovers{").count(), 2);
    }

    #[test]
    fn hostile_names_stay_in_their_quotes() {
        for line in text(&sample::hostile()).lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("shakedown_") && line.contains("{scenario=\""), "{:.80}", line);
            let (_, value) = line.rsplit_once("} ").expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{value}");
            assert!(line.len() < 5_000 && !line.contains(['\0', '\r', '\u{1b}', '\u{202e}']), "{line:.200}");
        }
    }

    #[test]
    fn the_file_is_replaced_atomically() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shakedown.prom");
        for result in [sample::failing(), sample::passing()] {
            write(&path, &result).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text(&result));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("no/such.prom"), &sample::passing()).is_err());
    }
}
