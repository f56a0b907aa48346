//! Limits that no run can meet: an interval that has to contain nothing but its end, a number of requests that the schedule
//! does not have, and a recovery that no request can show.

use super::counted::{asked, count, is_doubtful, is_silent};
use crate::check::Findings;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Arrival, Decide, Expectation, Latency, Load, Model, Requests, Scenario};
use crate::units::Percent;

/// Checks one expectation.
pub(super) fn check(scenario: &Scenario, index: usize, asks: &Expectation, path: &str, findings: &mut Findings<'_>) {
    match asks {
        Expectation::SuccessRate(it) => whole_interval(path, it.min, it.max, it.decide, findings),
        Expectation::Goodput(it) => whole_interval(path, it.min, it.max, it.decide, findings),
        Expectation::Requests(it) => due(scenario, index, asks, it, path, findings),
        Expectation::RecoveryTime(_) => recovery(scenario, index, asks, path, findings),
        Expectation::Latency(it) => beyond_timeout(scenario, index, asks, it, path, findings),
        _ => {}
    }
    if needs_tokens(asks) {
        tokens(scenario, index, asks, path, findings);
    }
}

/// True if only streams of tokens answer the question.
fn needs_tokens(asks: &Expectation) -> bool {
    match asks {
        Expectation::TimeToFirstToken(_)
        | Expectation::TimeToFirstTokenRatio(_)
        | Expectation::InterTokenLatency(_)
        | Expectation::InterTokenLatencyRatio(_)
        | Expectation::OutputTokensPerSecond(_)
        | Expectation::OutputTokensPerSecondRatio(_) => true,
        Expectation::Goodput(it) => it.of.is_of_streams(),
        _ => false,
    }
}

/// Answers of HTTP are not read as streams of tokens.
fn tokens(scenario: &Scenario, index: usize, asks: &Expectation, path: &str, findings: &mut Findings<'_>) {
    let is_plain = |load: &Load| load.http.is_some() && load.openai.is_none();
    let plain = asked(scenario, asks).find(|(name, load)| is_plain(load) && !is_doubtful(index, name, findings));
    let Some((name, _)) = plain else { return };
    let message = format!(
        "`{}` needs tokens, and `{name}` is a load of `http`, which has none: this is always inconclusive",
        asks.kind()
    );
    let other = scenario.load.iter().find(|(_, load)| load.openai.is_some());
    let help = match other.filter(|_| asks.load().is_none()) {
        Some((other, _)) => format!("add `load: {other}`"),
        None => "ask for `latency`, or make it a load of `openai`".to_owned(),
    };
    findings.push(path, Diagnostic::error(Code::Limits, message).help(help));
}

/// A request is given up at its timeout: no latency above it is ever seen.
fn beyond_timeout(
    scenario: &Scenario,
    index: usize,
    asks: &Expectation,
    it: &Latency,
    path: &str,
    findings: &mut Findings<'_>,
) {
    let (Some(max), None) = (it.max, it.min) else { return };
    let sure = asked(scenario, asks).filter(|(name, _)| !is_doubtful(index, name, findings));
    let longest = sure.map(|(_, load)| load.timeout).max();
    if let Some(longest) = longest.filter(|longest| *longest < max) {
        let message = format!("a request is given up after {longest}, so `max: {max}` cannot fail");
        let help = format!("write `max: {longest}` or less, or a longer `timeout` for the load");
        findings.push(&format!("{path}.max"), Diagnostic::warning(Code::AlwaysTrue, message).help(help));
    }
}

/// The interval of a rate always contains values below 100 %, and above 0 %, however many requests there are.
fn whole_interval(path: &str, min: Option<Percent>, max: Option<Percent>, decide: Decide, findings: &mut Findings<'_>) {
    if decide != Decide::Interval {
        return;
    }
    let ends = [("min", min.filter(|it| it.fraction() >= 1.0)), ("max", max.filter(|it| it.fraction() <= 0.0))];
    for (key, limit) in ends.into_iter().filter_map(|(key, limit)| Some((key, limit?))) {
        findings.push(
            &format!("{path}.{key}"),
            Diagnostic::error(Code::Limits, format!("no interval is within `{key}: {limit}`: this never passes"))
                .help("remove `decide: interval`, or allow a little more, such as `99.9%` in place of `100%`"),
        );
    }
}

/// The number of requests that are due follows from the schedule.
fn due(scenario: &Scenario, index: usize, asks: &Expectation, it: &Requests, path: &str, findings: &mut Findings<'_>) {
    let phase = &scenario.phases[index];
    let mut problem = None;
    for (name, load) in asked(scenario, asks).filter(|(name, _)| !is_doubtful(index, name, findings)) {
        let Some(count) = count(scenario, name, load, index) else { continue };
        let is_open = matches!(scenario.model(name, index), Some(Model::Open(_)));
        let chance = if load.arrival == Some(Arrival::Poisson) { 5.0 * count.usual.sqrt() } else { 0.0 };
        let fewest = if is_open { count.usual - chance - 1.0 } else { 0.0 };
        let impossible = |limit: &str| {
            format!(
                "`{name}` sends about {} requests in `{}`, so {limit} always fails",
                count.usual.round(),
                phase.name
            )
        };
        let (too_many, too_few) = (count.most.zip(it.min), it.max.map(|max| (fewest, max)));
        problem = match (too_many, too_few) {
            (Some((most, min)), _) if most < min as f64 => Some(("min", impossible(&format!("`min: {min}`")))),
            (_, Some((fewest, max))) if fewest > max as f64 => Some(("max", impossible(&format!("`max: {max}`")))),
            _ => problem,
        };
    }
    if let Some((key, message)) = problem {
        findings.push(
            &format!("{path}.{key}"),
            Diagnostic::warning(Code::Limits, message)
                .help("adapt the limit, the pace of the load or the phase's `duration`"),
        );
    }
}

/// A recovery is seen in the requests of its phase.
fn recovery(scenario: &Scenario, index: usize, asks: &Expectation, path: &str, findings: &mut Findings<'_>) {
    let silent =
        asked(scenario, asks).find(|(name, _)| is_silent(scenario, name, index) && !is_doubtful(index, name, findings));
    if let Some((name, _)) = silent {
        let phase = &scenario.phases[index].name;
        findings.push(
            path,
            Diagnostic::error(
                Code::TooFew,
                format!(
                    "`recovery_time` needs requests, and `{name}` sends none in `{phase}`: this is always inconclusive"
                ),
            )
            .help(format!("give the load a pace in this phase, or write `load: {{{name}: {{rate: 20/s}}}}` there")),
        );
    }
    if let Some((before, last)) = unobserved(scenario, index) {
        findings.push(
            path,
            Diagnostic::warning(
                Code::Unobserved,
                format!(
                    "`recovery_time` judges the recovery from `{last}` alone: nothing observes the one from `{before}`"
                ),
            )
            .help(format!(
                "put a phase without faults between `{before}` and `{last}`, with a `recovery_time` of its own"
            )),
        );
    }
}

/// The last two phases with faults before a phase, if one directly follows the other.
fn unobserved(scenario: &Scenario, index: usize) -> Option<(&str, &str)> {
    let last = scenario.phases[..index].iter().rposition(|phase| !phase.faults.is_empty())?;
    let before = scenario.phases[..last].last().filter(|phase| !phase.faults.is_empty())?;
    Some((&before.name, &scenario.phases[last].name))
}
