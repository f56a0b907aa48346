//! The cluster's own story as a drawing: a lane for each pod that something happened to, on the timeline's axis.

use shakedown_schemas::result::{PodChange, PodEvent, PodRole, ScenarioResult};

use super::timeline::{Frame, end_of_scenario};
use crate::svg::{Anchor, Scale, Svg, fit, time_ticks};
use crate::words;

/// The most lanes; targets and peers come first.
const LANES: usize = 14;
const LANE: f64 = 34.0;

/// A pod's role in a word.
pub(crate) const fn role(it: PodRole) -> &'static str {
    match it {
        PodRole::Target => "target",
        PodRole::Peer => "peer",
        PodRole::Other => "other",
    }
}

/// What happened, in a word.
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

/// Draws the lanes; empty when nothing happened.
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
    let bottom = 6.0 + pods.len() as f64 * LANE;
    let label = format!(
        "What the cluster says of {}, on the timeline's axis; the table below has the same.",
        words::plural(all, "pod")
    );
    let mut svg = Svg::new(frame.class, frame.width, bottom + 22.0, &label);
    for phase in &scenario.phases {
        let (from, to) = (time.at(phase.start_s), time.at(phase.end_s));
        let faulty = scenario.faults.iter().any(|fault| fault.phase == phase.name);
        svg.rect(if faulty { "band faulty" } else { "band" }, [from, 0.0, to - from, bottom]);
        svg.line("edge", [from, 0.0, from, bottom]);
    }
    for (row, (kind, namespace, pod)) in pods.iter().enumerate() {
        let y = 6.0 + row as f64 * LANE;
        svg.text("lane-label", x0, y + 11.0, Anchor::Start, &fit(&format!("{}: {pod}", role(*kind)), x1 - x0));
        svg.line("grid", [x0, y + 22.0, x1, y + 22.0]);
        let own: Vec<&PodEvent> =
            scenario.pod_events.iter().filter(|it| it.pod == *pod && it.namespace == *namespace).collect();
        for (index, it) in own.iter().enumerate().filter(|(_, it)| it.change == PodChange::NotReady) {
            let until = own[index..].iter().find(|it| it.change == PodChange::Ready).map_or(end, |it| it.at_s);
            let (from, to) = (time.at(it.at_s), time.at(until));
            svg.titled_rect(
                "unready",
                [from, y + 19.0, to - from, 6.0],
                &format!("not ready from {}", words::moment(it.at_s)),
            );
        }
        for it in own {
            let title = format!("{} {}: {} {}", words::moment(it.at_s), change(it.change), it.reason, it.detail);
            let class = change(it.change).replace(' ', "-");
            svg.titled_rect(&format!("pod-mark {class}"), [time.at(it.at_s) - 3.0, y + 17.0, 6.0, 10.0], &title);
        }
    }
    for t in time_ticks(end, frame.time_ticks) {
        svg.line("tick", [time.at(t), bottom, time.at(t), bottom + 4.0]);
        svg.text("tick-label", time.at(t).min(x1 - 12.0), bottom + 16.0, Anchor::Middle, &words::seconds(t));
    }
    svg.finish()
}
