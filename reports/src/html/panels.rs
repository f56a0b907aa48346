//! The panels of a timeline: requests by outcome, success rate, latency, and requests in flight.

use shakedown_schemas::result::{ExpectationResult, PhaseResult, ScenarioResult, Unit};
use shakedown_schemas::scenario::{ExpectationInfo, Panel, Shown};

use super::slots::{Slot, Slots, Span};
use crate::svg::{Anchor, Path, Scale, Svg, fit, nice_end, text_width};
use crate::words;

/// The widths of a legend's key with its spacing, of its longest word, and of the title in front, in pixels.
const KEY: f64 = 36.0;
const WORD: f64 = 90.0;
const TITLE: f64 = 270.0;

/// The least distance of two labels at the ends of lines, in pixels.
const APART: f64 = 10.5;

/// The shape of a colour in a panel's legend.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key {
    /// A filled square.
    Fill,
    /// A stroke.
    Stroke,
}

/// The rectangle of one panel.
pub(crate) struct Area {
    /// The left and the right edge.
    pub(crate) x: [f64; 2],
    /// The upper and the lower edge.
    pub(crate) y: [f64; 2],
    pub(crate) time: Scale,
}

impl Area {
    /// Draws the title, and the grid with its tick labels.
    pub(crate) fn grid(&self, svg: &mut Svg, title: &str, scale: Scale, ticks: &[f64], name: impl Fn(f64) -> String) {
        svg.text("panel-title", self.x[0], self.y[0] - 7.0, Anchor::Start, title);
        for tick in ticks {
            let y = scale.at(*tick);
            svg.line("grid", [self.x[0], y, self.x[1], y]);
            svg.text("tick-label", self.x[0] - 6.0, y + 3.5, Anchor::End, &name(*tick));
        }
    }

    /// Draws the panel's legend, right-aligned on the line of its title. If the drawing is too narrow, the legend above the
    /// drawing contains the same.
    pub(crate) fn legend(&self, svg: &mut Svg, items: &[(Key, String, &str)]) {
        let y = self.y[0] - 7.0;
        let words: Vec<String> = items.iter().map(|(_, _, word)| fit(word, WORD)).collect();
        let mut x = self.x[1] - words.iter().map(|word| KEY + text_width(word)).sum::<f64>();
        if x < self.x[0] + TITLE {
            return;
        }
        for ((key, class, _), word) in items.iter().zip(&words) {
            match key {
                Key::Fill => svg.rect(&format!("area {class}"), [x, y - 8.0, 10.0, 8.0]),
                Key::Stroke => svg.line(class, [x - 10.0, y - 4.0, x + 10.0, y - 4.0]),
            }
            svg.text("tick-label", x + 14.0, y, Anchor::Start, word);
            x += KEY + text_width(word);
        }
    }

    pub(crate) fn vertical(&self) -> (f64, f64) {
        (self.y[1], self.y[0])
    }
}

/// Requests that were due per second, stacked by outcome.
pub(crate) fn requests(svg: &mut Svg, area: &Area, slots: &Slots) {
    let highest = slots.slots.iter().map(|slot| slot.rate(slot.requests)).fold(0.0, f64::max);
    let scale = Scale::linear(0.0, nice_end(highest, 4), area.vertical());
    area.grid(svg, "Requests due per second, by outcome", scale, &scale.ticks(4), words::count);
    let kinds = slots.kinds.iter().enumerate().map(|(k, kind)| (Key::Fill, format!("error-{k}"), kind.as_str()));
    let kinds: Vec<_> = std::iter::once((Key::Fill, "succeeded".to_owned(), "succeeded")).chain(kinds).collect();
    area.legend(svg, &kinds);
    // The whole stack first, then the stack without its topmost layer, and so on: each layer covers the one below.
    for top in (0..=slots.kinds.len()).rev() {
        let sum = |slot: &Slot| slot.succeeded + slot.errors.iter().take(top).sum::<u64>();
        let class = if top == 0 { "succeeded".to_owned() } else { format!("error-{}", top - 1) };
        svg.path(&format!("area {class}"), &steps(area, scale, slots, |slot| slot.rate(sum(slot))));
    }
    // Requests without an outcome are the gap below the line of all due requests.
    svg.path("due", &outline(area, scale, slots));
}

/// Steps that go down to zero between segments without windows.
fn steps(area: &Area, scale: Scale, slots: &Slots, value: impl Fn(&Slot) -> f64) -> Path {
    let mut path = Path::default();
    let mut last: Option<&Slot> = None;
    let base = scale.at(0.0);
    for slot in &slots.slots {
        let joins = last.is_some_and(|last| slot.from - last.to < 1e-6 + 0.02 * slot.length());
        if !joins {
            if last.is_some() {
                path.upright(base);
                path.close();
            }
            path.start(area.time.at(slot.from), base);
        }
        path.upright(scale.at(value(slot)));
        path.across(area.time.at(slot.to));
        last = Some(slot);
    }
    if last.is_some() {
        path.upright(base);
        path.close();
    }
    path
}

fn outline(area: &Area, scale: Scale, slots: &Slots) -> Path {
    let mut path = Path::default();
    let mut last = f64::NEG_INFINITY;
    for slot in &slots.slots {
        let (from, y) = (area.time.at(slot.from), scale.at(slot.rate(slot.requests)));
        if slot.from - last < 1e-6 + 0.02 * slot.length() {
            path.upright(y);
        } else {
            path.start(from, y);
        }
        path.across(area.time.at(slot.to));
        last = slot.to;
    }
    path
}

pub(crate) fn success(svg: &mut Svg, area: &Area, slots: &Slots, scenario: &ScenarioResult, load: &str) {
    let limits = limits(scenario, load, Panel::Success);
    let values = slots.slots.iter().filter_map(|slot| slot.success).map(|span| span.low);
    let lowest = values.chain(limits.iter().map(|limit| limit.value)).fold(1.0, f64::min);
    // The axis starts slightly below the lowest value, so that a loss of one percent is visible, and at zero for a large
    // loss.
    let floor = [0.99, 0.95, 0.9, 0.8, 0.5].into_iter().find(|floor| lowest > *floor).unwrap_or(0.0);
    let scale = Scale::linear(floor, 1.0, area.vertical());
    let middle = (1.0 + floor) / 2.0;
    let title = if floor > 0.0 {
        format!("Success rate (axis from {})", words::fraction(floor))
    } else {
        "Success rate".to_owned()
    };
    area.grid(svg, &title, scale, &[floor, middle, 1.0], words::fraction);
    draw_limits(svg, area, scale, &limits);
    if !limits.is_empty() {
        area.legend(svg, &[limit_key()]);
    }
    svg.path("line success", &levels(area, scale, slots, |slot| slot.success));
}

pub(crate) fn latency(svg: &mut Svg, area: &Area, slots: &Slots, scenario: &ScenarioResult, load: &str) {
    let limits = limits(scenario, load, Panel::Latency);
    let spans = || slots.slots.iter().flat_map(|slot| [slot.p50, slot.p95, slot.p99]).flatten();
    let lowest = spans().map(|span| span.low).filter(|low| *low > 0.0).fold(f64::INFINITY, f64::min);
    let highest = spans().map(|span| span.high).fold(0.0, f64::max);
    let most_limit = limits.iter().map(|limit| limit.value * 1e3).filter(|limit| *limit < highest * 4.0);
    let top = most_limit.fold(highest, f64::max);
    // A logarithmic axis if a linear one would flatten most of the lines.
    let log = lowest.is_finite() && top / lowest > 20.0;
    let (scale, title) = if log {
        let high = 10_f64.powf(top.log10().ceil()).min(top * 2.0);
        (Scale::log(lowest * 0.8, high, area.vertical()), "Latency (logarithmic axis)")
    } else {
        (Scale::linear(0.0, nice_end(top, 4), area.vertical()), "Latency")
    };
    area.grid(svg, title, scale, &scale.ticks(4), words::millis);
    let limits: Vec<Limit> = limits
        .into_iter()
        .map(|limit| Limit { value: limit.value * 1e3, ..limit })
        .filter(|it| it.value <= top)
        .collect();
    draw_limits(svg, area, scale, &limits);
    let mut keys: Vec<_> =
        ["p50", "p95", "p99"].map(|name| (Key::Stroke, format!("line {name}"), name)).into_iter().collect();
    keys.extend((!limits.is_empty()).then(limit_key));
    area.legend(svg, &keys);
    for (class, pick) in [
        ("line p99", (|slot| slot.p99) as fn(&Slot) -> Option<Span>),
        ("line p95", |slot| slot.p95),
        ("line p50", |slot| slot.p50),
    ] {
        draw_line(svg, area, scale, slots, class, pick);
    }
    // Colours and dashes are not enough for lines that touch: each has its name at its end.
    let ends = slots.slots.iter().rev().find(|slot| slot.p50.is_some());
    let ends = ends.map(|slot| [("p99", slot.p99), ("p95", slot.p95), ("p50", slot.p50)]);
    let mut above = f64::NEG_INFINITY;
    for (name, span) in ends.into_iter().flatten() {
        let Some(span) = span else { continue };
        above = (scale.at(span.high) + 3.5).max(above + APART);
        svg.text("line-label", area.x[1] + 3.0, above, Anchor::Start, name);
    }
}

pub(crate) fn in_flight(svg: &mut Svg, area: &Area, slots: &Slots) {
    let highest = slots.slots.iter().filter_map(|slot| slot.in_flight).map(|span| span.high).fold(0.0, f64::max);
    let scale = Scale::linear(0.0, nice_end(highest, 2), area.vertical());
    area.grid(svg, "Requests in flight", scale, &scale.ticks(2), words::count);
    svg.path("area in-flight", &steps(area, scale, slots, |slot| slot.in_flight.map_or(0.0, |span| span.high)));
}

/// A horizontal line over each slot, at its lowest value. A slot of several windows has a vertical stroke up to its highest
/// value. The edges match those of the stacked requests.
fn levels(area: &Area, scale: Scale, slots: &Slots, pick: impl Fn(&Slot) -> Option<Span>) -> Path {
    let mut path = Path::default();
    let mut last = f64::NEG_INFINITY;
    for slot in &slots.slots {
        let Some(span) = pick(slot) else { continue };
        let (from, to, y) = (area.time.at(slot.from), area.time.at(slot.to), scale.at(span.low));
        if slot.from - last < 1e-6 + 0.02 * slot.length() {
            path.upright(y);
        } else {
            path.start(from, y);
        }
        let high = scale.at(span.high);
        if (y - high).abs() > 0.3 {
            path.across((from + to) / 2.0);
            path.upright(high);
            path.upright(y);
        }
        path.across(to);
        last = slot.to;
    }
    path
}

/// A line through the middle of the slots, with a break where there are none. A slot of several windows is a vertical
/// stroke from its lowest to its highest value.
fn draw_line(
    svg: &mut Svg,
    area: &Area,
    scale: Scale,
    slots: &Slots,
    class: &str,
    pick: impl Fn(&Slot) -> Option<Span>,
) {
    let mut path = Path::default();
    let mut last: Option<f64> = None;
    for (index, slot) in slots.slots.iter().enumerate() {
        let Some(span) = pick(slot) else {
            last = None;
            continue;
        };
        let x = area.time.at((slot.from + slot.to) / 2.0);
        let (low, high) = (scale.at(span.low), scale.at(span.high));
        let joins = last.is_some_and(|end| slot.from - end < 1e-6 + 0.5 * slot.length());
        if joins {
            path.to(x, high);
        } else {
            path.start(x, high);
            // A single slot would be invisible as a line, so it gets a short stroke.
            let next = slots.slots.get(index + 1).filter(|next| next.from - slot.to < 0.5 * slot.length());
            if next.and_then(&pick).is_none() {
                path.to(x + 1.5, high);
            }
        }
        if (low - high).abs() > 0.3 {
            path.to(x, low);
        }
        last = Some(slot.to);
    }
    svg.path(class, &path);
}

fn limit_key() -> (Key, String, &'static str) {
    (Key::Stroke, "limit".to_owned(), "limit")
}

/// A limit over the judged part of a phase.
struct Limit {
    from: f64,
    to: f64,
    value: f64,
    title: String,
}

/// The limits of a load's expectations that a panel shows, in its unit.
fn limits(scenario: &ScenarioResult, load: &str, panel: Panel) -> Vec<Limit> {
    let phase_of = |name: &str| scenario.phases.iter().find(|phase: &&PhaseResult| phase.name == name);
    let mut list = Vec::new();
    let is_shown = |it: &ExpectationResult| ExpectationInfo::shown(&it.kind) == Shown::Limits(panel);
    for it in scenario.expectations.iter().filter(|it| it.load == load && is_shown(it)) {
        let (factor, about) = match it.unit {
            Unit::Fraction | Unit::Seconds => (1.0, ""),
            // A ratio is a limit on the latency itself, as a multiple of the reference.
            Unit::Times => match reference(scenario, it) {
                Some(seconds) => (seconds, ", about"),
                None => continue,
            },
            _ => continue,
        };
        let Some(phase) = phase_of(&it.phase) else { continue };
        let floor = it.measure.as_ref().and_then(|it| it.or_below_s).unwrap_or_default();
        for value in [it.min, it.max].into_iter().flatten().map(|limit| (limit * factor).max(floor)) {
            let title = match about {
                "" => format!("limit: {} ({})", it.limit_text, it.title),
                about => format!("limit: {}{about} {}", it.title, words::seconds(value)),
            };
            list.push(Limit { from: phase.judged_from_s, to: phase.judged_to_s, value, title });
        }
    }
    list
}

/// The value that a ratio is relative to, in seconds: the percentile of the phase that it compares with.
fn reference(scenario: &ScenarioResult, it: &ExpectationResult) -> Option<f64> {
    let measure = it.measure.as_ref()?;
    let phase = scenario.phases.iter().find(|phase| Some(&phase.name) == measure.to.as_ref())?;
    let latency = phase.loads.iter().find(|load| load.load == it.load)?.stats.latency.as_ref()?;
    Some(latency.percentile_ms(measure.percentile?)? / 1e3)
}

fn draw_limits(svg: &mut Svg, area: &Area, scale: Scale, limits: &[Limit]) {
    for limit in limits {
        let (from, to, y) = (area.time.at(limit.from), area.time.at(limit.to), scale.at(limit.value));
        svg.line("limit", [from, y, to, y]);
        svg.titled_rect("catch", [from, y - 3.0, to - from, 6.0], &limit.title);
    }
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::result::Measure;

    use super::*;
    use crate::sample;

    #[test]
    fn a_ratio_is_a_limit_on_the_latency() {
        let mut scenario = sample::passing().scenarios.remove(0);
        let found = limits(&scenario, "completions", Panel::Latency);
        let p95 = scenario.phases[0].loads[0].stats.latency.unwrap().p95_ms / 1e3;
        let values: Vec<f64> = found.iter().map(|limit| limit.value).collect();
        assert_eq!(values, [3.0 * p95, 1.2 * p95]);
        assert_eq!((found[0].from, found[0].to), (35.84, 90.9));
        assert!(found[0].title.starts_with("limit: p95 at most 3 times baseline, about "), "{}", found[0].title);
        let success: Vec<f64> = limits(&scenario, "completions", Panel::Success).iter().map(|it| it.value).collect();
        assert_eq!(success, [0.99, 0.8]);
        scenario.expectations[2].measure.as_mut().unwrap().or_below_s = Some(5.0);
        assert_eq!(limits(&scenario, "completions", Panel::Latency)[0].value, 5.0, "what is always allowed is above");
        let measure = scenario.expectations[2].measure.take().unwrap();
        for odd in [
            None,
            Some(Measure { to: Some("nothing".to_owned()), ..measure.clone() }),
            Some(Measure { percentile: None, ..measure }),
        ] {
            scenario.expectations[2].measure.clone_from(&odd);
            assert_eq!(limits(&scenario, "completions", Panel::Latency).len(), 1, "{odd:?}");
        }
    }

    #[test]
    fn labels_of_lines_that_touch_are_apart() {
        let mut scenario = sample::passing().scenarios.remove(0);
        for point in &mut scenario.series[0].points {
            (point.p50_ms, point.p95_ms, point.p99_ms) = (Some(80.0), Some(81.0), Some(82.0));
        }
        let slots = Slots::new(&scenario.series[0], 500);
        let mut svg = Svg::new("chart", 300.0, 200.0, "x");
        let area = Area { x: [48.0, 270.0], y: [20.0, 170.0], time: Scale::linear(0.0, 121.0, (48.0, 270.0)) };
        latency(&mut svg, &area, &slots, &scenario, "completions");
        let svg = svg.finish();
        let labels: Vec<(f64, &str)> = svg
            .split(r#"<text class="line-label" x="273" y=""#)
            .skip(1)
            .map(|rest| {
                let (y, rest) = rest.split_once(r#"">"#).unwrap();
                (y.parse().unwrap(), &rest[..3])
            })
            .collect();
        assert_eq!(labels.iter().map(|(_, name)| *name).collect::<Vec<_>>(), ["p99", "p95", "p50"]);
        assert!(labels.windows(2).all(|pair| pair[1].0 - pair[0].0 >= APART - 0.1), "{labels:?}");
    }
}
