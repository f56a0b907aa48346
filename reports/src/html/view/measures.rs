//! The measurements of the requests: the timeline of each load, and its phases side by side.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::json;
use shakedown_schemas::result::{AnswerStats, LatencyStats, LoadSeries, PhaseLoad, ScenarioResult};
use shakedown_schemas::words;

use crate::html::quantiles::{phase_classes, quantiles};
use crate::html::slots::{Slot, Slots, Span};
use crate::html::timeline::{NARROW, WIDE, timeline};
use crate::{RenderError, sentences};

/// The number of rows in the table of the timeline.
const TABLE_SLOTS: usize = 40;

#[derive(Debug, Serialize)]
pub(super) struct ChartView {
    id: String,
    load: String,
    wide: String,
    narrow: String,
    /// The values for reading the drawing with the pointer, as JSON.
    data: String,
    kinds: Vec<String>,
    has_faults: bool,
    merged: Option<String>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    load: String,
    phases: Vec<PhaseHead>,
    rows: Vec<(String, Vec<Cell>)>,
    reference: String,
    wide: String,
    narrow: String,
}

#[derive(Debug, Serialize)]
pub(super) struct PhaseHead {
    name: String,
    class: String,
    /// It is the reference of the comparison.
    is_reference: bool,
    during: String,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Cell {
    value: String,
    ratio: String,
}

/// The timeline of a load. `scenario_id` is the URL fragment of the scenario, `id` that of the timeline.
pub(super) fn chart(
    scenario: &ScenarioResult,
    series: &LoadSeries,
    scenario_id: &str,
    id: String,
) -> Result<ChartView, RenderError> {
    let wide = timeline(scenario, series, scenario_id, WIDE);
    let narrow = timeline(scenario, series, scenario_id, NARROW);
    let slots = Slots::new(series, WIDE.slots);
    let row = |slot: &Slot| json!([tenth(slot.from), tenth(slot.to), readout(scenario, slot, &slots)]);
    let rows: Vec<_> = slots.slots.iter().map(row).collect();
    let data = json!({
        "wide": {"x": wide.x, "t": wide.t},
        "narrow": {"x": narrow.x, "t": narrow.t},
        "rows": rows,
    });
    let coarse = Slots::new(series, TABLE_SLOTS);
    let longest = slots.slots.iter().map(|slot| slot.windows).max().unwrap_or(1);
    Ok(ChartView {
        id,
        load: series.load.clone(),
        wide: wide.svg,
        narrow: narrow.svg,
        // Only `<` could end a script element or begin a comment in it.
        data: serde_json::to_string(&data)?.replace('<', "\\u003c"),
        has_faults: !scenario.faults.is_empty(),
        merged: (longest > 1).then(|| {
            format!(
                "Each step holds up to {longest} windows of {}; lines reach from the lowest to the \
                 highest of them, and the value shown is the worst.",
                words::seconds(series.window_s)
            )
        }),
        rows: coarse.slots.iter().map(|slot| table_row(slot, &coarse)).collect(),
        kinds: slots.kinds,
    })
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The text for a slot under the pointer.
fn readout(scenario: &ScenarioResult, slot: &Slot, slots: &Slots) -> String {
    let span = |name: &str, span: Option<Span>| span.map(|it| format!("{name} {}", words::millis(it.high)));
    let mut parts = vec![
        format!("{} requests due", words::rate(slot.rate(slot.requests))),
        slot.success.map_or("no answer".to_owned(), |it| format!("success {}", words::fraction(it.low))),
    ];
    parts.extend([span("p50", slot.p50), span("p95", slot.p95), span("p99", slot.p99)].into_iter().flatten());
    if let Some(it) = slot.in_flight {
        parts.push(format!("{} in flight", words::count(it.high)));
    }
    for (kind, count) in slots.kinds.iter().zip(&slot.errors).filter(|(_, count)| **count > 0) {
        parts.push(format!("{count} {kind}"));
    }
    let middle = (slot.from + slot.to) / 2.0;
    let phase = scenario.phases.iter().find(|phase| (phase.start_s..phase.end_s).contains(&middle));
    let phase = phase.map(|phase| format!(", {}", phase.name)).unwrap_or_default();
    format!("{} to {}{phase}: {}", words::moment(slot.from), words::moment(slot.to), parts.join(" · "))
}

fn table_row(slot: &Slot, slots: &Slots) -> Vec<String> {
    let ms = |span: Option<Span>| span.map(|it| words::millis(it.high)).unwrap_or_default();
    let errors: Vec<String> = slots
        .kinds
        .iter()
        .zip(&slot.errors)
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    vec![
        format!("{} to {}", words::moment(slot.from), words::moment(slot.to)),
        words::count(slot.requests as f64),
        slot.success.map(|it| words::fraction(it.low)).unwrap_or_default(),
        ms(slot.p50),
        ms(slot.p95),
        ms(slot.p99),
        slot.in_flight.map(|it| words::count(it.high)).unwrap_or_default(),
        errors.join(", "),
    ]
}

/// One table for each load: phases as columns, measures as rows, and the ratio to the baseline.
pub(super) fn comparisons(scenario: &ScenarioResult) -> Vec<Comparison> {
    let mut names: Vec<&str> = Vec::new();
    for load in scenario.phases.iter().flat_map(|phase| &phase.loads) {
        if !names.contains(&load.load.as_str()) {
            names.push(&load.load);
        }
    }
    names.into_iter().map(|name| comparison(scenario, name)).collect()
}

fn comparison(scenario: &ScenarioResult, name: &str) -> Comparison {
    let reference = sentences::reference(scenario).map(|phase| phase.name.as_str()).unwrap_or_default();
    let is_reference = |index: usize| scenario.phases[index].name == reference;
    let columns: Vec<Option<&PhaseLoad>> =
        scenario.phases.iter().map(|phase| phase.loads.iter().find(|load| load.load == name)).collect();
    let row = |title: &str, compare: bool, get: &dyn Fn(&PhaseLoad) -> Option<f64>, show: fn(f64) -> String| {
        let first =
            (0..columns.len()).find(|index| is_reference(*index)).and_then(|index| columns[index]).and_then(get);
        let cells = columns.iter().enumerate().map(|(index, load)| {
            let Some(value) = load.and_then(get) else { return Cell { value: "–".to_owned(), ..Cell::default() } };
            let ratio = first
                .filter(|first| compare && !is_reference(index) && *first > 0.0)
                .map(|first| words::times(value / first));
            Cell { value: show(value), ratio: ratio.unwrap_or_default() }
        });
        (title.to_owned(), cells.collect::<Vec<_>>())
    };
    let latency = |pick: fn(&LatencyStats) -> f64| move |it: &PhaseLoad| it.stats.latency.as_ref().map(pick);
    let mut rows = vec![
        row("Requests judged", false, &|it| Some(it.stats.requests as f64), words::count),
        row("Success rate", false, &|it| it.stats.success_rate(), words::fraction),
        row("Throughput", true, &|it| Some(it.stats.throughput), words::rate),
        row("Latency p50", true, &latency(|l| l.p50_ms), words::millis),
        row("Latency p90", true, &latency(|l| l.p90_ms), words::millis),
        row("Latency p95", true, &latency(|l| l.p95_ms), words::millis),
        row("Latency p99", true, &latency(|l| l.p99_ms), words::millis),
        row("Latency max", true, &latency(|l| l.max_ms), words::millis),
        row("Latency mean", true, &latency(|l| l.mean_ms), words::millis),
    ];
    let first_token =
        |pick: fn(&LatencyStats) -> f64| move |it: &PhaseLoad| it.stats.time_to_first_token.as_ref().map(pick);
    if columns.iter().flatten().any(|load| load.stats.time_to_first_token.is_some()) {
        rows.push(row("First token p50", true, &first_token(|l| l.p50_ms), words::millis));
        rows.push(row("First token p95", true, &first_token(|l| l.p95_ms), words::millis));
    }
    let mut kinds: Vec<&String> = columns.iter().flatten().flat_map(|load| load.stats.errors.keys()).collect();
    kinds.sort();
    kinds.dedup();
    for kind in kinds.into_iter().take(20) {
        let get = |it: &PhaseLoad| Some(it.stats.errors.get(kind).copied().unwrap_or(0) as f64);
        rows.push(row(&format!("Failed: {kind}"), false, &get, words::count));
        let after = |it: &PhaseLoad| it.stats.failed_after.get(kind).map(|it| it.p50_ms);
        if columns.iter().flatten().any(|load| after(load).is_some()) {
            rows.push(row(&format!("{kind} after, p50"), false, &after, words::millis));
        }
    }
    let answers = |pick: &dyn Fn(&AnswerStats) -> u64| -> Vec<Option<f64>> {
        columns.iter().map(|it| Some(pick((*it)?.stats.answers.as_ref()?) as f64)).collect()
    };
    let all_of = |of: fn(&AnswerStats) -> &IndexMap<String, u64>| -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in columns.iter().flatten().filter_map(|it| it.stats.answers.as_ref()).flat_map(|it| of(it).keys()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    };
    let mut counted = |title: String, pick: &dyn Fn(&AnswerStats) -> u64| {
        let cells = answers(pick)
            .into_iter()
            .map(|value| Cell { value: value.map_or_else(|| "–".to_owned(), words::count), ..Cell::default() });
        rows.push((title, cells.collect()));
    };
    for name in all_of(|it| &it.finish_reasons) {
        counted(format!("Ended by: {name}"), &|it| it.finish_reasons.get(&name).copied().unwrap_or(0));
    }
    for name in all_of(|it| &it.streams) {
        counted(format!("Streams: {name}"), &|it| it.streams.get(&name).copied().unwrap_or(0));
    }
    if answers(&|it| it.tokens_failed).into_iter().flatten().any(|count| count > 0.0) {
        counted("Tokens of failed answers".to_owned(), &|it| it.tokens_failed);
    }
    if answers(&|it| it.tokens_lost).into_iter().flatten().any(|count| count > 0.0) {
        counted("Tokens lost".to_owned(), &|it| it.tokens_lost);
    }
    let heads = scenario.phases.iter().zip(phase_classes(scenario)).map(|(phase, class)| PhaseHead {
        name: phase.name.clone(),
        class,
        is_reference: phase.name == reference,
        during: format!("{} to {}", words::moment(phase.judged_from_s), words::moment(phase.judged_to_s)),
    });
    Comparison {
        load: name.to_owned(),
        phases: heads.collect(),
        rows,
        reference: reference.to_owned(),
        wide: quantiles(scenario, name, "chart wide", 560.0),
        narrow: quantiles(scenario, name, "chart narrow", 358.0),
    }
}
