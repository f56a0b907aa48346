//! Every combination of what a degradation may say, as a scenario writes it. For tests: those beside this file, and the one
//! that asks a real API server what it makes of them.

use serde_json::{Map, Value, json};

/// The fields of a delay, in all ways in which they can stand together.
const DELAYS: [&[(&str, &str)]; 5] = [
    &[],
    &[("delay", "100ms")],
    &[("delay", "100ms"), ("jitter", "500us")],
    &[("delay", "1500ms"), ("reorder", "25%")],
    &[("delay", "100ms"), ("jitter", "50ms"), ("reorder", "0.5%")],
];
/// Those that are there or not, whatever the others are.
const FIELDS: [(&str, &str); 5] = [
    ("loss", "50%"),
    ("duplicate", "0.1%"),
    ("corrupt", "2%"),
    ("bandwidth", "1Mbit/s"),
    // Last: alone it says nothing.
    ("correlation", "33.3%"),
];

/// The fields of each combination that makes something worse.
pub fn combinations() -> Vec<Map<String, Value>> {
    let mut all = Vec::new();
    for delay in DELAYS {
        for chosen in 0_u32..1 << FIELDS.len() {
            let there =
                FIELDS.iter().enumerate().filter(|(place, _)| chosen & (1 << place) != 0).map(|(_, field)| field);
            let fields: Vec<&(&str, &str)> = delay.iter().chain(there).collect();
            if fields.iter().any(|(name, _)| *name != "correlation") {
                all.push(fields.into_iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect());
            }
        }
    }
    all
}
