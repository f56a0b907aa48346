//! How fast a script sends, as phases: k6 has one schedule for each scenario, and a phase is the same stretch for all loads.

use std::time::Duration;

use super::super::read::{Fields, Notes, text};
use super::super::values;
use crate::source::{Node, Value};
use crate::units;

/// The length of a phase whose script says none.
const PHASE: f64 = 60.0;
/// Stretches that are shorter have no phase, in seconds.
const SHORTEST: f64 = 0.001;

/// The schedule of a load.
#[derive(Debug)]
pub(super) struct Schedule {
    pub load: String,
    /// The function that it runs.
    pub function: String,
    pub is_open: bool,
    /// The time before it, in seconds.
    begins: f64,
    legs: Vec<Leg>,
}

/// A stretch in which the pace is constant or changes linearly.
#[derive(Debug, Clone, Copy)]
struct Leg {
    seconds: f64,
    /// Per second, or virtual users.
    from: f64,
    to: f64,
}

/// A phase: its length in seconds, and the pace of each schedule.
#[derive(Debug)]
pub(super) struct Stretch {
    pub seconds: f64,
    pub paces: Vec<(f64, f64)>,
}

/// The schedules of the options. None of them is left out without a note.
pub(super) fn schedules(options: Option<&Fields>, notes: &mut Notes) -> Vec<Schedule> {
    let Some(options) = options else {
        notes.line(1, "the script has no `options`: one virtual user for 60 s is a proposal");
        return vec![alone(vec![Leg { seconds: PHASE, from: 1.0, to: 1.0 }])];
    };
    if let Some(scenarios) = options.map("scenarios") {
        options.ignore(&["vus", "duration", "stages", "iterations"]);
        let named = scenarios.keys().into_iter().filter_map(|name| Some((name, scenarios.node(name)?)));
        return named.filter_map(|(name, node)| of_scenario(name, node, notes)).collect();
    }
    let users = options.node("vus").and_then(number).unwrap_or(1.0);
    if options.has("stages") {
        options.ignore(&["duration"]);
        return vec![alone(stages(options, users, notes))];
    }
    if let Some(node) = options.node("iterations") {
        notes.at(node, "a number of iterations is not carried over: a phase has a length, and 60 s are a proposal");
    }
    let lasts = options.node("duration").and_then(|node| seconds(node, notes));
    if lasts.is_none() && !options.has("iterations") {
        notes.line(1, "the options have no `duration`: 60 s are a proposal");
    }
    vec![alone(vec![Leg { seconds: lasts.unwrap_or(PHASE), from: users, to: users }])]
}

/// The one schedule of options without scenarios: virtual users.
fn alone(legs: Vec<Leg>) -> Schedule {
    Schedule { load: "requests".to_owned(), function: "default".to_owned(), is_open: false, begins: 0.0, legs }
}

fn of_scenario(name: &str, node: &Node, notes: &mut Notes) -> Option<Schedule> {
    let it = Fields::of(node, &format!("scenarios.{name}."))?;
    let executor = it.text("executor").unwrap_or_default();
    let unit = it.node("timeUnit").and_then(|node| seconds(node, notes)).filter(|it| *it > 0.0).unwrap_or(1.0);
    let of = |key: &str| it.node(key).and_then(number);
    let constant = |pace: f64, notes: &mut Notes| {
        let lasts = it.node("duration").and_then(|node| seconds(node, notes));
        if lasts.is_none() {
            notes.at(node, format!("the scenario `{name}` has no length here: 60 s are a proposal"));
        }
        vec![Leg { seconds: lasts.unwrap_or(PHASE), from: pace, to: pace }]
    };
    let (is_open, legs) = match executor.as_str() {
        "constant-arrival-rate" => match of("rate") {
            Some(rate) => (true, constant(rate / unit, notes)),
            None => {
                notes.at(node, format!("the scenario `{name}` has no `rate` that is a number: it is not carried over"));
                return None;
            }
        },
        "ramping-arrival-rate" => {
            let mut legs = stages(&it, of("startRate").unwrap_or(0.0), notes);
            legs.iter_mut().for_each(|leg| (leg.from, leg.to) = (leg.from / unit, leg.to / unit));
            (true, legs)
        }
        "constant-vus" => (false, constant(of("vus").unwrap_or(1.0), notes)),
        "ramping-vus" => (false, stages(&it, of("startVUs").unwrap_or(1.0), notes)),
        _ => {
            notes.at(node, format!("the executor `{executor}` of the scenario `{name}` is not carried over"));
            return None;
        }
    };
    for key in ["preAllocatedVUs", "maxVUs"].into_iter().filter(|_| is_open) {
        if let Some(node) = it.node(key) {
            notes.at(node, format!("`{key}` is not carried over: `max_in_flight` of a load limits its requests"));
        }
    }
    let begins = it.node("startTime").and_then(|node| seconds(node, notes)).unwrap_or(0.0);
    let function = it.text("exec").unwrap_or_else(|| "default".to_owned());
    // Users finish their iteration here as well.
    it.ignore(&["gracefulStop", "gracefulRampDown"]);
    it.finish(notes);
    Some(Schedule { load: name.to_owned(), function, is_open, begins, legs })
}

/// Each stage leads from the pace before it to its target.
fn stages(it: &Fields, start: f64, notes: &mut Notes) -> Vec<Leg> {
    let mut pace = start;
    let mut legs = Vec::new();
    for node in it.list("stages") {
        let Some(stage) = Fields::of(node, "stages.") else { continue };
        let target = stage.node("target").and_then(number);
        let lasts = stage.node("duration").and_then(|node| seconds(node, notes));
        match (target, lasts) {
            (Some(target), Some(lasts)) => {
                legs.push(Leg { seconds: lasts, from: pace, to: target });
                pace = target;
            }
            _ => {
                notes.at(node, "this stage is not carried over: it needs a `duration` and a `target` that are literals")
            }
        }
        stage.finish(notes);
    }
    legs
}

impl Schedule {
    /// Whether it has no length.
    pub fn is_empty(&self) -> bool {
        self.legs.iter().all(|leg| leg.seconds < SHORTEST)
    }

    fn ends(&self) -> f64 {
        self.begins + self.legs.iter().map(|leg| leg.seconds).sum::<f64>()
    }

    /// The pace at a moment, and the pace that the same leg has at a later one.
    fn within(&self, from: f64, to: f64) -> (f64, f64) {
        let mut begins = self.begins;
        for leg in &self.legs {
            let ends = begins + leg.seconds;
            // The middle of the stretch is within one leg: every edge of a leg is one of a stretch.
            if ((from + to) / 2.0) >= begins && ((from + to) / 2.0) < ends {
                let at =
                    |moment: f64| leg.from + (leg.to - leg.from) * ((moment - begins) / leg.seconds).clamp(0.0, 1.0);
                return (at(from), at(to));
            }
            begins = ends;
        }
        (0.0, 0.0)
    }
}

/// The phases of schedules that run side by side.
pub(super) fn stretches(all: &[&Schedule]) -> Vec<Stretch> {
    let mut edges = vec![0.0];
    for schedule in all {
        let mut at = schedule.begins;
        edges.push(at);
        for leg in &schedule.legs {
            at += leg.seconds;
            edges.push(at);
        }
    }
    let end = all.iter().map(|it| it.ends()).fold(0.0, f64::max);
    edges.retain(|edge| *edge <= end);
    edges.sort_by(f64::total_cmp);
    edges.dedup_by(|a, b| *a - *b < SHORTEST);
    let stretch = |pair: &[f64]| Stretch {
        seconds: pair[1] - pair[0],
        paces: all.iter().map(|it| it.within(pair[0], pair[1])).collect(),
    };
    edges.windows(2).map(stretch).collect()
}

fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Int(number) => Some(number as f64).filter(|it| (0.0..=1e9).contains(it)),
        Value::Float(number) => Some(number).filter(|it| (0.0..=1e9).contains(it)),
        _ => None,
    }
}

/// A time of k6: `1m30s`, or a number of milliseconds.
fn seconds(node: &Node, notes: &mut Notes) -> Option<f64> {
    let longest = values::LONGEST;
    let found = match number(node) {
        Some(millis) => Some(millis / 1e3),
        None => text(node).and_then(|text| values::duration(&text)).map(|it| it.as_secs_f64()),
    };
    let found = found.filter(|it| *it <= longest);
    if found.is_none() && node.value != Value::Null {
        let shown = text(node).unwrap_or_default();
        notes.at(node, format!("`{shown}` is no duration up to ten days, and is not carried over"));
    }
    found
}

/// Seconds as a duration of a scenario.
pub(super) fn lasting(seconds: f64) -> String {
    units::Duration::from(Duration::from_millis((seconds * 1e3).round() as u64)).to_string()
}
