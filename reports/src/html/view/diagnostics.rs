//! Faults with their evidence, failure and recovery, and events.

use serde::Serialize;
use shakedown_schemas::event::{Event, EventKind};
use shakedown_schemas::first_few;
use shakedown_schemas::result::{FaultResult, LogExcerpt, PodEvent, ScenarioResult, Verdict};

use super::parts::{Badge, ROWS};
use crate::html::lanes;
use crate::html::timeline::{NARROW, WIDE};
use crate::text::tame;
use crate::{sentences, words, yaml};

/// The most log excerpts.
const LOGS: usize = 40;
/// The most characters of one fault's objects as YAML.
const YAML: usize = 60_000;

#[derive(Debug, Serialize)]
pub(super) struct FaultView {
    name: String,
    kind: String,
    engine: String,
    phase: String,
    description: String,
    /// The fault and its targets in one line.
    brief: String,
    state: String,
    injection: Badge,
    undo: Badge,
    proven: String,
    undone: String,
    problem: Option<String>,
    /// The stretches without proof; empty without any.
    unproven: String,
    worst: &'static str,
    targets: Vec<[String; 5]>,
    targets_left_out: usize,
    peers: Vec<String>,
    times: Vec<(&'static str, String)>,
    evidence: Vec<EvidenceRow>,
    objects: Vec<(String, String)>,
    line: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct EvidenceRow {
    at: String,
    shows: &'static str,
    holds: bool,
    detail: String,
}

#[derive(Debug, Serialize)]
pub(super) struct RecoveryRow {
    load: String,
    phase: String,
    facts: Vec<(&'static str, String)>,
}

#[derive(Debug, Serialize)]
pub(super) struct EventRow {
    at: String,
    clock: String,
    kind: &'static str,
    text: String,
}

pub(super) fn fault_view(scenario: &ScenarioResult, it: &FaultResult) -> FaultView {
    let moment = |at: Option<f64>| at.map_or("never".to_owned(), words::moment);
    let mut evidence: Vec<_> = it.evidence.iter().collect();
    evidence.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    let mut budget = YAML;
    let objects = it
        .objects
        .iter()
        .map(|object| {
            let manifest = yaml::to_yaml(&object.manifest);
            let manifest = tame(&manifest, budget).into_owned();
            budget = budget.saturating_sub(manifest.len());
            (format!("{} {}/{}", object.kind, object.namespace, object.name), manifest)
        })
        .take(50)
        .collect();
    FaultView {
        name: it.name.clone(),
        kind: it.kind.clone(),
        engine: it.engine.clone(),
        phase: it.phase.clone(),
        description: it.description.clone(),
        brief: sentences::fault(scenario, it),
        state: it.state.word().to_owned(),
        injection: Badge::new(it.injection),
        undo: Badge::new(it.undo),
        proven: sentences::injection(it),
        undone: sentences::undo(it),
        problem: it.problem.clone(),
        unproven: sentences::unproven(it),
        worst: sentences::fault_verdict(it).word(),
        targets: it
            .targets
            .iter()
            .take(ROWS)
            .map(|pod| {
                let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
                [pod.namespace.clone(), pod.name.clone(), or_dash(&pod.node), or_dash(&pod.ip), pod.uid.clone()]
            })
            .collect(),
        targets_left_out: it.targets.len().saturating_sub(ROWS),
        peers: it.peers.iter().take(ROWS).cloned().collect(),
        times: vec![
            ("injecting", moment(it.injecting_s)),
            ("injected", moment(it.injected_s)),
            match it.is_claimed() {
                true => ("claimed, not proven", moment(it.claimed_s)),
                false if it.injection == Verdict::Pass => ("proven", moment(it.proven_s)),
                false => ("seen to act", moment(it.proven_s)),
            },
            ("undoing", moment(it.undoing_s)),
            ("undone, confirmed", moment(it.undone_s)),
        ],
        evidence: evidence
            .into_iter()
            .take(ROWS)
            .map(|evidence| EvidenceRow {
                at: words::moment(evidence.at_s),
                shows: evidence.shows.word(),
                holds: evidence.holds,
                detail: evidence.detail.clone(),
            })
            .collect(),
        objects,
        line: it.line,
    }
}

#[derive(Debug, Serialize)]
pub(super) struct PodDiagnostics {
    wide: String,
    narrow: String,
    rows: Vec<PodRow>,
    left_out: usize,
    logs: Vec<LogView>,
}

#[derive(Debug, Serialize)]
pub(super) struct PodRow {
    at: String,
    pod: String,
    role: &'static str,
    change: &'static str,
    class: String,
    text: String,
}

#[derive(Debug, Serialize)]
pub(super) struct LogView {
    title: String,
    lines: String,
    note: Option<String>,
}

/// The cluster's events. None without any.
pub(super) fn pod_diagnostics(scenario: &ScenarioResult) -> Option<PodDiagnostics> {
    if scenario.pod_events.is_empty() && scenario.logs.is_empty() {
        return None;
    }
    let row = |it: &PodEvent| PodRow {
        at: words::moment(it.at_s),
        pod: it.pod.clone(),
        role: lanes::role(it.role),
        change: lanes::change(it.change),
        class: lanes::change(it.change).replace(' ', "-"),
        text: match (it.reason.as_str(), it.count) {
            ("", _) => it.detail.clone(),
            (reason, 0 | 1) => format!("{reason}: {}", it.detail),
            (reason, count) => format!("{reason}: {} ({count} times)", it.detail),
        },
    };
    let log = |it: &LogExcerpt| LogView {
        title: format!(
            "{}{}{} around {} ({})",
            it.pod,
            if it.container.is_empty() { "" } else { "/" },
            it.container,
            it.around,
            words::moment(it.at_s)
        ),
        lines: it.lines.iter().map(|line| format!("{:>9}  {}\n", words::moment(line.at_s), line.text)).collect(),
        note: match &it.missing {
            Some(missing) => Some(missing.clone()),
            None => it.lines.is_empty().then(|| "no line was written around it".to_owned()),
        },
    };
    let mut events: Vec<&PodEvent> = scenario.pod_events.iter().collect();
    events.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    Some(PodDiagnostics {
        wide: lanes::lanes(scenario, WIDE),
        narrow: lanes::lanes(scenario, NARROW),
        rows: events.into_iter().take(ROWS).map(row).collect(),
        left_out: scenario.pod_events.len().saturating_sub(ROWS),
        logs: scenario.logs.iter().take(LOGS).map(log).collect(),
    })
}

pub(super) fn recoveries(scenario: &ScenarioResult) -> Vec<RecoveryRow> {
    let rows = scenario.recoveries.iter().map(|it| {
        let moment = |at: Option<f64>, none: &str| at.map_or(none.to_owned(), words::moment);
        let between = |from: Option<f64>, to: Option<f64>, what: &str| match (from, to) {
            (Some(from), Some(to)) => format!(" ({} after the {what})", words::seconds((to - from).max(0.0))),
            _ => String::new(),
        };
        let since = |at: Option<f64>| between(it.removed_s, at, "removal");
        let faults = scenario.faults.iter().filter(|fault| fault.phase == it.phase);
        let injected = faults.filter_map(|fault| fault.injected_s).reduce(f64::min);
        // A moment that was not reached by the end of the observation is censored: it took longer than that.
        let censored = |from: Option<f64>, until: Option<f64>, none: &str, what: &str| match (from, until) {
            (Some(from), Some(until)) => format!("> {} after the {what}", words::seconds((until - from).max(0.0))),
            _ => none.to_owned(),
        };
        let no_failover = match it.onset_s {
            Some(_) => censored(injected, it.removed_s, "none", "injection"),
            None => "none was needed".to_owned(),
        };
        let not_yet = |none: &str| censored(it.removed_s, it.seen_until_s, none, "removal");
        // A window that began before the injection and contains it is out of tolerance because of it.
        let onset = match (injected, it.onset_s) {
            (Some(injected), Some(onset)) if onset <= injected => " (the window of the injection)".to_owned(),
            (injected, onset) => between(injected, onset, "injection"),
        };
        let relapses = it.relapses_s.iter().map(|at| words::moment(*at)).collect::<Vec<_>>().join(", ");
        let not_recovered = match sentences::is_unseen(it) {
            true => format!("not known: {}", sentences::unseen(it)),
            false => not_yet("not within the run"),
        };
        let mut facts = vec![
            ("Onset", moment(it.onset_s, "never out of tolerance") + &onset),
            (
                "Failover during the fault",
                moment(it.failover_s, &no_failover) + &between(injected, it.failover_s, "injection"),
            ),
            ("Removal confirmed", moment(it.removed_s, "never")),
            ("First success after it", moment(it.first_success_s, &not_yet("none")) + &since(it.first_success_s)),
            ("Recovered", moment(it.recovered_s, &not_recovered) + &since(it.recovered_s)),
            ("Out of tolerance", words::seconds(it.out_of_tolerance_s)),
            ("Failed requests", words::count(it.failed_requests as f64)),
            ("Window", words::seconds(it.resolution_s)),
            ("Clock", "the runner's, monotonic; requests by the moment when they were due".to_owned()),
        ];
        if !relapses.is_empty() {
            facts.insert(5, ("Relapses", relapses));
        }
        RecoveryRow { load: it.load.clone(), phase: it.phase.clone(), facts }
    });
    rows.collect()
}

/// The first and the last entries of a list that is too long to show.
pub(super) fn first_and_last<'a>(events: &[&'a Event]) -> Vec<&'a Event> {
    if events.len() <= ROWS {
        return events.to_vec();
    }
    events[..ROWS / 2].iter().chain(&events[events.len() - ROWS / 2..]).copied().collect()
}

/// An event. Its moment counts from `zero`, the load's start, also before it, so that a list has one clock.
pub(super) fn event_row(event: &Event, zero: Option<jiff::Timestamp>) -> EventRow {
    let since = |zero: jiff::Timestamp| event.at.duration_since(zero).as_secs_f64();
    let joined =
        |first: &str, second: &str| if second.is_empty() { first.to_owned() } else { format!("{first}: {second}") };
    let (kind, text) = match &event.kind {
        EventKind::RunStarted { run, seed } => ("run", format!("run {run} started, seed {seed}")),
        EventKind::ScenarioStarted { file } => ("scenario", format!("started from {file}")),
        EventKind::Reached { load, how } => ("load", format!("{load} reached its service: {how}")),
        EventKind::TargetsChosen { fault, pods } => ("fault", format!("{fault}: targets {}", first_few(pods, 10))),
        EventKind::LoadStarted => ("load", "started; the timeline's zero".to_owned()),
        EventKind::PhaseStarted { phase, planned_s } => {
            ("phase", format!("{phase} began, {} planned", words::seconds(*planned_s)))
        }
        EventKind::PhaseEnded { phase } => ("phase", format!("{phase} ended")),
        EventKind::Fault { fault, state, detail } => ("fault", joined(&format!("{fault} {}", state.word()), detail)),
        EventKind::Cluster { message } => ("cluster", message.clone()),
        EventKind::ApiRetry { request, error, attempt } => ("retry", format!("{request}, try {attempt}: {error}")),
        EventKind::Warning { message } => ("warning", message.clone()),
        EventKind::Error { message } => ("error", message.clone()),
        EventKind::Interrupted { signal } => ("interrupted", signal.clone()),
        EventKind::ScenarioEnded { verdict, reason } => ("scenario", joined(words::verdict(*verdict), reason)),
        EventKind::RunEnded { verdict, exit_code } => {
            ("run", format!("{}, exit code {exit_code}", words::verdict(*verdict)))
        }
    };
    EventRow {
        at: event.elapsed_s.or(zero.map(since)).map(words::moment).unwrap_or_default(),
        clock: event.at.strftime("%H:%M:%S").to_string(),
        kind,
        text,
    }
}
