//! Shortened runs: a scenario with shorter phases, to check within a minute that it runs. Pure: a scenario in, a shorter
//! one out. Its verdict is never a pass, because fewer requests and shorter faults show less.

use std::time::Duration;

use shakedown_schemas::Document;
use shakedown_schemas::result::{ScenarioResult, Trial, Verdict};
use shakedown_schemas::scenario::{Expectation, Phase};

/// The shortest length of a phase, and of a fault within it.
const SHORTEST: Duration = Duration::from_secs(5);

/// Shortens the phases of a scenario to 1/`speed` of their length, but not below the times that the phase itself needs.
pub fn shorten(document: &mut Document, speed: f64) {
    for phase in &mut document.scenario.phases {
        let whole = phase.duration.get();
        let short = whole.div_f64(speed.max(1.0)).max(needed(phase)).min(whole);
        // Whole milliseconds, as in files.
        let millis = u64::try_from(short.as_millis()).unwrap_or(u64::MAX);
        let judged = |length: Duration| length.saturating_sub(phase.settle.get()).as_secs_f64();
        let share = if judged(whole) > 0.0 { judged(short) / judged(whole) } else { 1.0 };
        phase.duration = shakedown_schemas::units::Duration::from_millis(millis);
        phase.expect.iter_mut().for_each(|expectation| scale(expectation, share));
    }
}

/// Takes the same share of a number of requests as of the time in which they are sent. Other limits are rates and times.
fn scale(expectation: &mut Expectation, share: f64) {
    let Expectation::Requests(it) = expectation else { return };
    // At least one request stays one, and none stays none.
    it.min = it.min.map(|min| ((min as f64 * share) as u64).max(min.min(1)));
    it.max = it.max.map(|max| (max as f64 * share).ceil() as u64);
}

/// The minimum length of a phase: its settling time, its faults, and its recovery.
fn needed(phase: &Phase) -> Duration {
    let end = |fault: &shakedown_schemas::scenario::Fault| {
        fault.after().get() + fault.lasts().map_or(SHORTEST, |lasts| lasts.get())
    };
    let faults = phase.faults.values().map(end).max().unwrap_or_default();
    let recovery = phase.expect.iter().filter_map(|expectation| match expectation {
        Expectation::RecoveryTime(it) => Some(it.max.map_or(SHORTEST, |max| max.get()) + it.hold.get()),
        _ => None,
    });
    phase.settle.get() + faults.max(recovery.max().unwrap_or_default()).max(SHORTEST)
}

/// Makes a passed shortened run inconclusive.
pub(crate) fn demote(result: &mut ScenarioResult) {
    if result.trial == Some(Trial::Shortened) && result.verdict == Verdict::Pass {
        result.verdict = Verdict::Inconclusive;
        result.reason =
            "a shortened run, in which every expectation held; a run without --speed and --quick can pass".to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_schemas::{Overrides, parse};

    const TEXT: &str = r#"
version: 1
name: test
load: {main: {http: {url: "http://127.0.0.1:1"}, rate: 20/s, timeout: 2s}}
phases:
  - {name: baseline, duration: 600s}
  - name: cut
    duration: 120s
    settle: 4s
    faults:
      f: {partition: {pods: {prefix: worker, count: 1}, from: [{service: nats, ports: [4222]}], after: 20s, for: 30s}}
  - {name: recovery, duration: 60s, expect: [recovery_time: {max: 20s, hold: 10s}]}
  - {name: short, duration: 3s}
"#;

    #[test]
    fn phases_are_shorter_but_long_enough_for_their_faults_and_recovery() {
        let mut document = parse("test.yaml", TEXT.as_bytes(), &Overrides::default()).unwrap();
        shorten(&mut document, 10.0);
        let lengths: Vec<u64> = document.scenario.phases.iter().map(|it| it.duration.get().as_secs()).collect();
        assert_eq!(lengths, [60, 54, 30, 3]);
    }

    #[test]
    fn a_number_of_requests_is_shortened_with_its_phase() {
        let text = TEXT
            .replace(
                "baseline, duration: 600s}",
                "baseline, duration: 600s, settle: 5s, expect: [requests: {min: 11900, max: 12001}]}",
            )
            .replace("short, duration: 3s}", "short, duration: 3s, expect: [requests: {min: 60}]}")
            .replace(
                "recovery, duration: 60s, expect: [",
                "recovery, duration: 60s, expect: [requests: {min: 1, max: 1}, ",
            );
        let mut document = parse("test.yaml", text.as_bytes(), &Overrides::default()).unwrap();
        shorten(&mut document, 100.0);
        let limits = |phase: usize| match &document.scenario.phases[phase].expect[0] {
            Expectation::Requests(it) => (it.min, it.max),
            other => panic!("{other:?}"),
        };
        // 5 of 595 judged seconds are left.
        assert_eq!(document.scenario.phases[0].duration.get().as_secs(), 10);
        assert_eq!(limits(0), (Some(100), Some(101)));
        assert_eq!(limits(2), (Some(1), Some(1)), "one request stays one");
        assert_eq!(limits(3), (Some(60), None), "a phase of its whole length has its whole count");
    }
}
