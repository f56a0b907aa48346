//! The cluster's events as a drawing: a lane for each pod with an event, on the timeline's axis, with the faults above.

use shakedown_schemas::result::{PodChange, PodEvent, PodRole, ScenarioResult};
use shakedown_schemas::words;

use super::timeline::{Frame, end_of_scenario};
use crate::svg::{Anchor, Path, Scale, Svg, fit, text_width, time_ticks};

/// The maximum number of lanes. Targets and peers come first.
const LANES: usize = 14;
const LANE: f64 = 34.0;
/// The signs, in the order of the legend.
const SIGNS: [PodChange; 7] = [
    PodChange::Created,
    PodChange::Ready,
    PodChange::NotReady,
    PodChange::Restarted,
    PodChange::Gone,
    PodChange::Warning,
    PodChange::Normal,
];

/// A pod's role in a word.
pub(crate) const fn role(it: PodRole) -> &'static str {
    match it {
        PodRole::Target => "target",
        PodRole::Peer => "peer",
        PodRole::Other => "other",
    }
}

/// A change in a word.
pub(crate) const fn change(it: PodChange) -> &'static str {
    match it {
        PodChange::Created => "created",
        PodChange::Ready => "ready",
        PodChange::NotReady => "not ready",
        PodChange::Restarted => "restarted",
        PodChange::Gone => "gone",
        PodChange::Normal => "event",
        PodChange::Warning => "warning",
    }
}

/// Draws the lanes. Empty without events.
pub(crate) fn lanes(scenario: &ScenarioResult, frame: Frame) -> String {
    let mut pods: Vec<(PodRole, &str, &str)> =
        scenario.pod_events.iter().map(|it| (it.role, it.namespace.as_str(), it.pod.as_str())).collect();
    pods.sort_unstable();
    pods.dedup();
    let all = pods.len();
    pods.truncate(LANES);
    if pods.is_empty() {
        return String::new();
    }
    let (x0, x1) = frame.across();
    let end = end_of_scenario(scenario);
    let time = Scale::linear(0.0, end, (x0, x1));
    let label = format!(
        "The cluster's events of {} on the timeline's axis. The list below contains the same events.",
        words::plural(all, "pod")
    );
    let (legend, rows) = legend(scenario, x0, frame.width);
    let top = rows as f64 * 18.0 + 8.0;
    let faults = top + if scenario.faults.iter().any(|it| it.injecting_s.is_some()) { 16.0 } else { 0.0 };
    let bottom = faults + pods.len() as f64 * LANE;
    let mut svg = Svg::new(frame.class, frame.width, bottom + 22.0, &label);
    for (shape, x, y) in legend {
        sign(&mut svg, shape, x, y, "");
        svg.text("tick-label", x + 9.0, y + 3.5, Anchor::Start, change(shape));
    }
    for phase in &scenario.phases {
        let (from, to) = (time.at(phase.start_s), time.at(phase.end_s));
        let faulty = scenario.faults.iter().any(|fault| fault.phase == phase.name);
        svg.rect(if faulty { "band faulty" } else { "band" }, [from, top, to - from, bottom - top]);
        svg.line("edge", [from, top, from, bottom]);
    }
    for fault in &scenario.faults {
        let Some(from) = fault.injected_s.or(fault.injecting_s) else { continue };
        let to = fault.undone_s.unwrap_or(end);
        let title = format!("fault {}: {} to {}", fault.name, words::moment(from), words::moment(to));
        svg.titled_rect("fault-bar", [time.at(from), top + 4.0, time.at(to) - time.at(from), 5.0], &title);
        svg.line("mark", [time.at(from), top + 9.0, time.at(from), bottom]);
        svg.line("mark", [time.at(to), top + 9.0, time.at(to), bottom]);
    }
    for (row, (kind, namespace, pod)) in pods.iter().enumerate() {
        let y = faults + row as f64 * LANE;
        svg.text("lane-label", x0 + 4.0, y + 11.0, Anchor::Start, &fit(&format!("{}: {pod}", role(*kind)), x1 - x0));
        svg.line("grid", [x0, y + 22.0, x1, y + 22.0]);
        let own: Vec<&PodEvent> =
            scenario.pod_events.iter().filter(|it| it.pod == *pod && it.namespace == *namespace).collect();
        for (index, it) in own.iter().enumerate().filter(|(_, it)| it.change == PodChange::NotReady) {
            let ends = |it: &&&PodEvent| matches!(it.change, PodChange::Ready | PodChange::Gone);
            let until = own[index..].iter().find(ends).map_or(end, |it| it.at_s);
            let (from, to) = (time.at(it.at_s), time.at(until));
            let title = format!("not ready from {} to {}", words::moment(it.at_s), words::moment(until));
            svg.titled_rect("unready", [from, y + 19.0, to - from, 6.0], &title);
        }
        for it in own {
            let text = format!("{} {}: {} {}", words::moment(it.at_s), change(it.change), it.reason, it.detail);
            sign(&mut svg, it.change, time.at(it.at_s), y + 22.0, text.trim_end());
        }
    }
    for t in time_ticks(end, frame.time_ticks) {
        svg.line("tick", [time.at(t), bottom, time.at(t), bottom + 4.0]);
        svg.text("tick-label", time.at(t).min(x1 - 12.0), bottom + 16.0, Anchor::Middle, &words::seconds(t));
    }
    svg.finish()
}

/// The positions of the legend's entries, and the number of its rows.
fn legend(scenario: &ScenarioResult, from: f64, width: f64) -> (Vec<(PodChange, f64, f64)>, usize) {
    let mut list = Vec::new();
    let (mut x, mut row) = (from + 6.0, 0);
    for shape in SIGNS.into_iter().filter(|shape| scenario.pod_events.iter().any(|it| it.change == *shape)) {
        let room = text_width(change(shape)) + 24.0;
        if x + room > width {
            (x, row) = (from + 6.0, row + 1);
        }
        list.push((shape, x, 9.0 + f64::from(row) * 18.0));
        x += room;
    }
    (list, row as usize + 1)
}

/// Draws a change as a sign with a distinct shape, because colours alone are not accessible.
fn sign(svg: &mut Svg, change: PodChange, x: f64, y: f64, title: &str) {
    let class = format!("sign {}", self::change(change).replace(' ', "-"));
    let mut path = Path::default();
    let mut through = |points: &[(f64, f64)]| {
        for (index, (dx, dy)) in points.iter().enumerate() {
            if index == 0 { path.start(x + dx, y + dy) } else { path.to(x + dx, y + dy) }
        }
    };
    match change {
        PodChange::Created => through(&[(0.0, -5.5), (5.0, 4.5), (-5.0, 4.5), (0.0, -5.5)]),
        PodChange::Warning => through(&[(0.0, 5.5), (5.0, -4.5), (-5.0, -4.5), (0.0, 5.5)]),
        PodChange::Restarted => through(&[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0), (0.0, -5.5)]),
        PodChange::Normal => through(&[(0.0, -5.0), (0.0, 5.0)]),
        PodChange::Gone => {
            through(&[(-4.5, -4.5), (4.5, 4.5)]);
            through(&[(-4.5, 4.5), (4.5, -4.5)]);
        }
        PodChange::Ready | PodChange::NotReady => svg.circle(&class, x, y, 4.5),
    }
    svg.path(&class, &path);
    if !title.is_empty() {
        svg.titled_rect("catch", [x - 6.0, y - 7.0, 12.0, 14.0], title);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::timeline::{NARROW, WIDE};
    use crate::sample;

    #[test]
    fn every_change_has_a_sign_in_the_legend() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let one = scenario.pod_events[0].clone();
        scenario.pod_events = SIGNS.map(|change| PodEvent { change, ..one.clone() }).to_vec();
        for frame in [WIDE, NARROW] {
            let svg = lanes(&scenario, frame);
            for shape in SIGNS {
                let class = format!(r#"class="sign {}""#, change(shape).replace(' ', "-"));
                assert_eq!(svg.matches(&class).count(), 2, "{class} in {svg}");
            }
            assert!(svg.contains("fault nats-cut: 30.2s to 1m31.3s"), "{svg}");
        }
        let (_, rows) = legend(&scenario, 48.0, NARROW.width);
        assert_eq!(rows, 2, "a phone has no room for all of them in a row");
    }
}
