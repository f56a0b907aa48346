//! The timeline of one load: phases, faults, requests by outcome, success rate, latency and requests in flight, on one time
//! axis. Drawn twice, for wide and for narrow screens.

use shakedown_schemas::result::{ExpectationResult, FaultResult, LoadSeries, Recovery, ScenarioResult, Verdict};
use shakedown_schemas::scenario::{ExpectationInfo, Panel, Shown};
use shakedown_schemas::words;

use super::heat::heat;
use super::panels::{Area, in_flight, latency, requests, success};
use super::places::places;
use super::slots::Slots;
use crate::sentences;
use crate::svg::{Anchor, Scale, Svg, fit, text_width, time_ticks};

/// The format of a drawing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) class: &'static str,
    /// The end of the ids in this drawing.
    pub(crate) id_end: &'static str,
    pub(crate) width: f64,
    /// The maximum number of slots.
    pub(crate) slots: usize,
    /// The number of ticks on the time axis.
    pub(crate) time_ticks: usize,
}

impl Frame {
    /// The ends of the time axis, in pixels.
    pub(crate) const fn across(&self) -> (f64, f64) {
        (LEFT, self.width - RIGHT)
    }
}

/// For screens and paper.
pub(crate) const WIDE: Frame = Frame { class: "chart wide", id_end: "", width: 1060.0, slots: 530, time_ticks: 9 };
/// For phones.
pub(crate) const NARROW: Frame = Frame { class: "chart narrow", id_end: "n", width: 358.0, slots: 160, time_ticks: 4 };

const LEFT: f64 = 48.0;
/// The labels of the percentiles are there.
const RIGHT: f64 = 28.0;
const GAP: f64 = 30.0;

/// A drawing, and the position of its time axis for reading values with the pointer.
pub(crate) struct Timeline {
    pub(crate) svg: String,
    /// The ends of the axis, in pixels.
    pub(crate) x: [f64; 2],
    /// The ends of the axis, in seconds.
    pub(crate) t: [f64; 2],
}

/// The end of a scenario's time axis, in seconds: the last of its phases, undos and windows.
pub(crate) fn end_of(scenario: &ScenarioResult, series: &LoadSeries) -> f64 {
    let phases = scenario.phases.iter().map(|phase| phase.end_s);
    let faults = scenario.faults.iter().flat_map(|fault| [fault.undone_s, fault.undoing_s]).flatten();
    let points = series.points.iter().map(|point| point.t_s + point.length_s);
    phases.chain(faults).chain(points).filter(|t| t.is_finite()).fold(1.0, f64::max)
}

/// The same for all of its loads.
pub(crate) fn end_of_scenario(scenario: &ScenarioResult) -> f64 {
    scenario.series.iter().map(|series| end_of(scenario, series)).fold(scenario.duration_s.max(1.0), f64::max)
}

/// Draws the timeline of one load. `id` is the URL fragment of the scenario.
pub(crate) fn timeline(scenario: &ScenarioResult, series: &LoadSeries, id: &str, frame: Frame) -> Timeline {
    let slots = Slots::new(series, frame.slots);
    let end = end_of(scenario, series);
    let x = [frame.across().0, frame.across().1];
    let time = Scale::linear(0.0, end, (x[0], x[1]));
    let moments = moments(scenario, &series.load, end);
    let rows = label_rows(&moments, time, frame);

    let lanes = 24.0 + scenario.faults.len() as f64 * 26.0 + if scenario.faults.is_empty() { 0.0 } else { 4.0 };
    let marks = if moments.is_empty() { 0.0 } else { rows.iter().max().map_or(0, |row| row + 1) as f64 * 14.0 + 4.0 };
    let top = lanes + marks;
    let mut panels = vec![("requests", 110.0), ("success", 80.0), ("latency", 150.0)];
    if series.heat.is_some() {
        panels.push(("heat", 120.0));
    }
    panels.push(("in flight", 56.0));
    let bottom = top + panels.iter().map(|(_, height)| height + GAP).sum::<f64>();
    let height = bottom + 22.0;

    let label = format!(
        "Timeline of load {} over {}: requests per second by outcome, success rate, latency percentiles, a \
         map of latencies and requests in flight, with phases and faults. The same values are in the table below it.",
        series.load,
        words::seconds(end)
    );
    let mut svg = Svg::new(frame.class, frame.width, height, &label);
    bands(&mut svg, scenario, time, bottom);
    for (row, fault) in scenario.faults.iter().enumerate() {
        fault_bar(&mut svg, fault, time, 24.0 + row as f64 * 26.0, end);
    }
    for ((at, class, text), row) in moments.iter().zip(&rows) {
        let (x, y) = (time.at(*at), lanes + *row as f64 * 14.0 + 11.0);
        svg.line(&format!("mark {class}"), [x, y - 9.0, x, bottom - 4.0]);
        let anchor = if x + 6.0 + text_width(text) > frame.width { Anchor::End } else { Anchor::Start };
        svg.text("mark-label", if anchor == Anchor::Start { x + 4.0 } else { x - 4.0 }, y, anchor, text);
    }

    let mut y = top;
    let places = places(scenario, id, &series.load);
    for (panel, panel_height) in panels {
        let area = Area { x, y: [y + GAP - 8.0, y + GAP - 8.0 + panel_height], time };
        let shown = match panel {
            "requests" => Some(Panel::Requests),
            "success" => Some(Panel::Success),
            "latency" => Some(Panel::Latency),
            "heat" => None,
            _ => Some(Panel::InFlight),
        };
        for place in places.iter().filter(|place| Some(place.panel) == shown) {
            let (from, to) = (time.at(place.from), time.at(place.to));
            let rect = [from, area.y[0] - 3.0, (to - from).max(4.0), panel_height + 6.0];
            svg.place(&format!("{}{}", place.id, frame.id_end), rect);
        }
        match panel {
            "requests" => requests(&mut svg, &area, &slots),
            "success" => success(&mut svg, &area, &slots, scenario, &series.load),
            "latency" => latency(&mut svg, &area, &slots, scenario, &series.load),
            "heat" => series.heat.iter().for_each(|it| heat(&mut svg, &area, it)),
            _ => in_flight(&mut svg, &area, &slots),
        }
        y += panel_height + GAP;
    }
    for t in time_ticks(end, frame.time_ticks) {
        let at = time.at(t);
        svg.line("tick", [at, bottom - 4.0, at, bottom]);
        let label = words::seconds(t);
        let anchor = if at + text_width(&label) / 2.0 > frame.width { Anchor::End } else { Anchor::Middle };
        svg.text("tick-label", at, bottom + 12.0, anchor, &label);
    }
    svg.line("cursor", [-10.0, lanes, -10.0, bottom - 4.0]);
    Timeline { svg: svg.finish(), x, t: [0.0, end] }
}

/// Draws phases as bands. Those with faults are shaded. A line under the name marks the judged part.
fn bands(svg: &mut Svg, scenario: &ScenarioResult, time: Scale, bottom: f64) {
    for phase in &scenario.phases {
        let (from, to) = (time.at(phase.start_s), time.at(phase.end_s));
        let faulty = scenario.faults.iter().any(|fault| fault.phase == phase.name);
        svg.rect(if faulty { "band faulty" } else { "band" }, [from, 0.0, to - from, bottom - 4.0]);
        svg.line("edge", [from, 0.0, from, bottom - 4.0]);
        svg.text("band-label", from + 5.0, 12.0, Anchor::Start, &fit(&phase.name, to - from - 6.0));
        let (judged_from, judged_to) = (time.at(phase.judged_from_s), time.at(phase.judged_to_s));
        let title = format!(
            "{}: {} to {}, judged from {} to {}",
            phase.name,
            words::moment(phase.start_s),
            words::moment(phase.end_s),
            words::moment(phase.judged_from_s),
            words::moment(phase.judged_to_s)
        );
        svg.titled_rect("judged", [judged_from + 1.0, 17.0, judged_to - judged_from - 2.0, 2.5], &title);
    }
}

/// Draws a fault: its name and targets, and below them a bar. The bar is light until the fault is proven, and again while
/// it is being undone.
fn fault_bar(svg: &mut Svg, fault: &FaultResult, time: Scale, y: f64, end: f64) {
    let Some(from) = fault.injecting_s else { return };
    // A fault without a confirmed removal may still act.
    let undone = fault.undone_s.unwrap_or(end);
    let proven = fault.proven_s.or(fault.injected_s).unwrap_or(undone);
    let undoing = fault.undoing_s.unwrap_or(undone);
    let text = format!("{} → {}", fault.name, sentences::pods(&fault.targets, 2));
    let title = format!(
        "fault {}: {}, injecting {}, {}, {}",
        fault.name,
        fault.state.word(),
        words::moment(from),
        sentences::injection(fault),
        sentences::undo(fault),
    );
    let (x0, x1) = (time.at(from), time.at(undone));
    let right = time.at(end);
    let (room_right, room_left) = (right - x0, x1 - time.at(0.0));
    let wanted = text_width(&text);
    // The name is above the start of its bar. If there is more room to the left of the bar's end, it ends there.
    if wanted <= room_right || room_right >= room_left {
        svg.text("fault-label", x0, y + 11.0, Anchor::Start, &fit(&text, room_right));
    } else {
        svg.text("fault-label", x1, y + 11.0, Anchor::End, &fit(&text, room_left));
    }
    svg.titled_rect("fault-edge", [x0, y + 15.0, x1 - x0, 7.0], &title);
    let is_proven = fault.proven_s.is_some() && fault.injection == Verdict::Pass;
    let certain = if is_proven { "fault-bar" } else { "fault-unproven" };
    svg.rect(certain, [time.at(proven), y + 15.0, time.at(undoing) - time.at(proven), 7.0]);
    for stretch in &fault.unproven {
        let title = format!(
            "without proof from {} to {}: {}",
            words::moment(stretch.from_s),
            words::moment(stretch.to_s),
            stretch.why
        );
        let (from, to) = (time.at(stretch.from_s), time.at(stretch.to_s));
        svg.titled_rect("fault-edge", [from, y + 15.0, (to - from).max(1.0), 7.0], &title);
    }
    if let Some(t) = fault.proven_s.filter(|_| is_proven) {
        svg.circle("proven", time.at(t), y + 18.5, 3.0);
    }
    if let Some(t) = fault.undone_s {
        svg.circle("undone", time.at(t), y + 18.5, 3.0);
    }
}

/// Onset, failover and recovery as measured by one load's requests, and the moment up to which it had to recover.
fn moments(scenario: &ScenarioResult, load: &str, end: f64) -> Vec<(f64, &'static str, String)> {
    let mut list = Vec::new();
    for Recovery { onset_s, failover_s, recovered_s, .. } in scenario.recoveries.iter().filter(|it| it.load == load) {
        for (at, class, word) in
            [(onset_s, "onset", "onset"), (failover_s, "failover", "failover"), (recovered_s, "recovered", "recovered")]
        {
            if let Some(at) = at {
                list.push((*at, class, format!("{word} {}", words::moment(*at))));
            }
        }
    }
    let limits = recovery_limits(scenario, load).filter(|at| *at <= end);
    list.extend(limits.map(|at| (at, "late", format!("recovery limit {}", words::moment(at)))));
    list.sort_by(|a, b| a.0.total_cmp(&b.0));
    list
}

/// The latest moments at which the load may recover.
fn recovery_limits(scenario: &ScenarioResult, load: &str) -> impl Iterator<Item = f64> {
    let is_moment = |it: &ExpectationResult| matches!(ExpectationInfo::shown(&it.kind), Shown::Moment(_));
    let asked = scenario.expectations.iter().filter(move |it| it.load == load && is_moment(it));
    asked.filter_map(move |it| {
        let until = scenario.phases.iter().find(|phase| phase.name == it.phase)?.end_s;
        let recoveries = scenario.recoveries.iter().filter(|recovery| recovery.load == load);
        let from = recoveries.filter_map(|recovery| recovery.struck_s.or(recovery.removed_s));
        Some(from.filter(|at| *at <= until).reduce(f64::max)? + it.max?)
    })
}

/// The row of each label, so that labels do not overlap.
fn label_rows(moments: &[(f64, &'static str, String)], time: Scale, frame: Frame) -> Vec<usize> {
    let mut taken: Vec<Vec<(f64, f64)>> = Vec::new();
    moments
        .iter()
        .map(|(at, _, text)| {
            let (x, width) = (time.at(*at), text_width(text) + 8.0);
            let (from, to) = if x + width > frame.width { (x - width, x) } else { (x, x + width) };
            let free = taken.iter().position(|row| row.iter().all(|(a, b)| to < *a || from > *b));
            let row = free.unwrap_or(taken.len().min(5));
            if row == taken.len() {
                taken.push(Vec::new());
            }
            taken[row].push((from, to));
            row
        })
        .collect()
}
