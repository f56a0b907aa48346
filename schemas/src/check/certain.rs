//! What is certain before a run: questions that its requests cannot answer, faults that no request meets, and timeouts that
//! none can reach.

mod counted;
mod never;
mod proof;

use super::Findings;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Effect, Expectation, Load, Model, Pace, Prove, Scenario};
use crate::units::{Duration, short};
use counted::{Count, asked, count, is_doubtful, is_silent};

pub(super) fn check(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (index, phase) in scenario.phases.iter().enumerate() {
        for (number, expectation) in phase.expect.iter().enumerate() {
            let path = format!("phases[{index}].expect[{number}].{}", expectation.kind());
            enough(scenario, index, expectation, &path, findings);
            never::check(scenario, index, expectation, &path, findings);
        }
        if let Some(expectation) = phase.effect.as_ref().and_then(Effect::expectation) {
            let path = format!("phases[{index}].effect.{}", expectation.kind());
            enough_for_effect(scenario, index, &expectation, &path, findings);
        }
        unfelt(scenario, index, findings);
        proof::check(scenario, index, findings);
    }
    timeouts(scenario, findings);
}

/// How many requests a question takes, and which.
struct Need {
    requests: u64,
    /// What takes them, as the file has it.
    what: String,
    /// Whether `what` is the percentile.
    is_percentile: bool,
    /// Below this number of requests of the expectation's own phase nothing is decided. A sample that is too small for a pass
    /// may still refute a limit, and one failure decides a limit on their number.
    decides: u64,
    /// Whether a scenario can ask for fewer.
    has_min_samples: bool,
    /// The indexes of the phases that need them.
    phases: Vec<usize>,
}

impl Need {
    /// The place of the part of an expectation that needs them.
    fn place(&self, path: &str) -> String {
        if self.is_percentile { format!("{path}.percentile") } else { path.to_owned() }
    }
}

fn need(scenario: &Scenario, index: usize, expectation: &Expectation) -> Option<Need> {
    let sample = expectation.sample()?;
    let named = expectation.to().and_then(|to| scenario.phases.iter().position(|phase| phase.name == to));
    let phases = match expectation {
        Expectation::RecoveryTime(it) => {
            let first_fault = scenario.phases.iter().position(|phase| !phase.faults.is_empty());
            let default = if it.to.is_none() { first_fault.and_then(|at| at.checked_sub(1)) } else { None };
            named.or(default).into_iter().collect()
        }
        // The earlier phase of a goodput decides nothing.
        Expectation::Goodput(_) => vec![index],
        _ => named.into_iter().chain([index]).collect(),
    };
    let given = sample.sampling.and_then(|it| it.min_samples);
    Some(Need {
        requests: given.unwrap_or(sample.requests),
        is_percentile: given.is_none() && sample.is_percentile,
        what: given.map_or(sample.part, |given| format!("`min_samples: {given}`")),
        decides: sample.decides,
        has_min_samples: sample.sampling.is_some() && given.is_none(),
        phases,
    })
}

/// That a question has as many requests as it takes.
fn enough(scenario: &Scenario, index: usize, expectation: &Expectation, path: &str, findings: &mut Findings<'_>) {
    let Some(need) = need(scenario, index, expectation) else { return };
    let mut loads = asked(scenario, expectation);
    if let Some(problem) = loads.find_map(|(name, load)| lacking(scenario, index, &need, (name, load), findings)) {
        findings.push(&need.place(path), problem);
    }
}

/// The same for an effect, which any load can show.
fn enough_for_effect(
    scenario: &Scenario,
    index: usize,
    expectation: &Expectation,
    path: &str,
    findings: &mut Findings<'_>,
) {
    let Some(need) = need(scenario, index, expectation) else { return };
    let problems: Option<Vec<Diagnostic>> =
        asked(scenario, expectation).map(|it| lacking(scenario, index, &need, it, findings)).collect();
    // A warning where one of the loads might show it after all.
    if let Some(problem) = problems.and_then(|all| all.into_iter().min_by_key(Diagnostic::is_error)) {
        findings.push(&need.place(path), problem);
    }
}

/// The first phase in which a load sends too few requests for a question, as a problem.
fn lacking(
    scenario: &Scenario,
    index: usize,
    need: &Need,
    (name, load): (&str, &Load),
    findings: &Findings<'_>,
) -> Option<Diagnostic> {
    need.phases.iter().find_map(|at| {
        if is_doubtful(*at, name, findings) {
            return None;
        }
        let count = count(scenario, name, load, *at)?;
        // A schedule of 20/s may put 99 requests or 101 into five seconds.
        if count.usual + 0.5 >= need.requests as f64 {
            return None;
        }
        let decides = if *at == index { need.decides.min(need.requests) } else { need.requests };
        let is_certain = count.most.is_some_and(|most| most < decides as f64);
        Some(too_few(scenario, name, *at, need, &count, is_certain))
    })
}

fn too_few(scenario: &Scenario, load: &str, at: usize, need: &Need, count: &Count, is_certain: bool) -> Diagnostic {
    let phase = &scenario.phases[at];
    let sent = if count.usual < 0.5 { "none".to_owned() } else { format!("about {}", count.usual.round()) };
    let fact = format!(
        "{} needs {} requests, and `{load}` sends {sent} in the judged part of `{}`",
        need.what, need.requests, phase.name
    );
    let problem = match is_certain {
        true => Diagnostic::error(Code::TooFew, format!("{fact}: this is always inconclusive")),
        false => Diagnostic::warning(Code::TooFew, format!("{fact}: it can only pass with more")),
    };
    let mut ways = Vec::new();
    if let Some(Model::Open(Pace::Constant(rate))) = scenario.model(load, at) {
        let judged = phase.duration.as_secs_f64() - phase.settle.as_secs_f64();
        // A phase may have fewer requests than its pace, by where its blocks of jittered requests lie.
        let arrival = scenario.load.get(load).and_then(|load| load.arrival).unwrap_or_default();
        let needed = |per_second: f64| need.requests as f64 + arrival.spread(per_second);
        if rate.get() > 0.0 {
            let seconds = (needed(rate.get()) / rate.get() + phase.settle.as_secs_f64()).ceil();
            let lasts = Duration::from(std::time::Duration::from_secs_f64(seconds.min(1e9)));
            ways.push(format!("at least {lasts} at {rate}"));
        }
        if judged > 0.0 {
            let least = (need.requests as f64 / judged).ceil();
            ways.push(format!("at least {}/s in {}", short((needed(least) / judged).ceil()), phase.duration));
        }
    } else {
        ways.push("a longer phase, or more load".to_owned());
    }
    // Without requests, no expectation can be evaluated.
    if need.has_min_samples && count.usual >= 1.0 {
        ways.push(format!("or `min_samples: {}`", (count.usual.floor() as u64).max(1)));
    }
    problem.help(format!("enough: {}", ways.join(", ")))
}

/// That some load is sent while faults act.
fn unfelt(scenario: &Scenario, index: usize, findings: &mut Findings<'_>) {
    let phase = &scenario.phases[index];
    let Some(load) = scenario.load.keys().next() else { return };
    let is_quiet = |at: usize| scenario.load.keys().all(|name| is_silent(scenario, name, at));
    if phase.faults.is_empty() || !is_quiet(index) {
        let first = scenario.phases.iter().position(|phase| !phase.faults.is_empty()).unwrap_or_default();
        if first > 0 && (0..first).all(is_quiet) {
            incomparable(scenario, index, findings);
        }
        return;
    }
    for (name, fault) in &phase.faults {
        findings.push_at_key(
            &format!("phases[{index}].faults.{name}"),
            not_felt(
                fault.prove(),
                format!("no load sends a request in `{}`, so none can meet this fault", phase.name),
            )
            .help(format!("give a load a pace in this phase, such as `load: {{{load}: {{rate: 20/s}}}}`")),
        );
    }
}

/// `prove: traffic` compares the fault's requests with those before the first fault.
fn incomparable(scenario: &Scenario, index: usize, findings: &mut Findings<'_>) {
    for (name, _) in scenario.phases[index].faults.iter().filter(|(_, fault)| fault.prove() == Prove::Traffic) {
        findings.push_at_key(
            &format!("phases[{index}].faults.{name}"),
            not_felt(Prove::Traffic, "no load sends a request before the first fault to compare with".to_owned())
                .help("give a load a pace in the phase before the fault"),
        );
    }
}

/// With `prove: traffic` a verdict needs requests.
fn not_felt(prove: Prove, message: String) -> Diagnostic {
    match prove {
        Prove::Traffic => {
            Diagnostic::error(Code::NotFelt, format!("{message}: with `prove: traffic` this is always inconclusive"))
        }
        _ => Diagnostic::warning(Code::NotFelt, message),
    }
}

/// That a timeout is not longer than all phases: the run waits for the last answers, and so takes longer than its phases.
fn timeouts(scenario: &Scenario, findings: &mut Findings<'_>) {
    let all: f64 = scenario.phases.iter().map(|phase| phase.duration.as_secs_f64()).sum();
    if scenario.phases.is_empty() || findings.map.gone("phases") {
        return;
    }
    for (name, load) in &scenario.load {
        let path = format!("load.{name}.timeout");
        if findings.map.has(&path) && load.timeout.as_secs_f64() > all {
            let whole = Duration::from(std::time::Duration::from_secs_f64(all));
            findings.push(
                &path,
                Diagnostic::warning(
                    Code::LongTimeout,
                    format!(
                        "the phases last {whole} in all, and the run then waits up to {} for answers",
                        load.timeout
                    ),
                )
                .help(format!("write `timeout: {whole}` at most, or lengthen the phases")),
            );
        }
    }
}
