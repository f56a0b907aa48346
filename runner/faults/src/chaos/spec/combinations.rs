//! Every combination of the fields of a degradation, in the format of scenarios. For the tests next to this file, and for the
//! test that sends them to a real API server.

use serde_json::{Map, Value, json};

/// The fields of a delay, in all valid combinations.
const DELAYS: [&[(&str, &str)]; 5] = [
    &[],
    &[("delay", "100ms")],
    &[("delay", "100ms"), ("jitter", "500us")],
    &[("delay", "1500ms"), ("reorder", "25%")],
    &[("delay", "100ms"), ("jitter", "50ms"), ("reorder", "0.5%")],
];
/// Fields that are present or absent independently of the others.
const FIELDS: [(&str, &str); 5] = [
    ("loss", "50%"),
    ("duplicate", "0.1%"),
    ("corrupt", "2%"),
    ("bandwidth", "1Mbit/s"),
    // Last, because it has no effect alone.
    ("correlation", "33.3%"),
];

/// The fields of each combination that degrades something.
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
