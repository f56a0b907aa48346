//! A corpus of files that the schema and `validate` judge alike: every shipped scenario with every change of a table that
//! fits it. What only `validate` refuses has a reason why no schema can.

use std::collections::BTreeMap;
use std::path::Path;

use super::as_json;
use crate::diagnostic::Code;
use crate::files::Reader;
use crate::{Overrides, document, json_schema};

/// A text of a scenario, and what takes its place.
const CHANGES: &[(&str, &str)] = &[
    // Files that stay valid.
    ("version: 1\n", "version: 1\nx-team: {any: [thing]}\n"),
    ("success_rate: {min: 99%}", "success_rate: 99%"),
    ("success_rate: {min: 80%}", "success_rate: {min: 80.5 %}"),
    ("from: [{service: nats}]", "from: nats"),
    ("from: [{service: nats}]", "to: [nats]"),
    ("timeout: 10s", "timeout: 1m30s"),
    ("timeout: 10s", "timeout: \"{{ recovery }}\""),
    ("tags: [", "tags: [more, "),
    ("max_tokens: 10", "max_tokens: 11"),
    ("count: 1}", "percent: 30%}"),
    // Keys.
    ("version: 1\n", "version: 1\nextra: 1\n"),
    ("version: 1\n", ""),
    ("version: 1\n", "version: 2\n"),
    ("\nname: ", "\nnmae: "),
    ("\nload:", "\nloads:"),
    ("\nphases:", "\nphase:"),
    ("duration: ", "duraton: "),
    ("- name: ", "- nam: "),
    ("openai:", "openia:"),
    ("model: ", "models: "),
    ("faults:", "fault:"),
    ("expect:", "expects:"),
    ("success_rate:", "succes_rate:"),
    ("recovery_time:", "recovery:"),
    ("latency_ratio:", "latencyratio:"),
    ("prefix: ", "prefixes: "),
    ("service: nats", "servce: nats"),
    ("pods: {", "pod: {"),
    ("partition:\n", "partitoin:\n"),
    ("netem:\n", "netm:\n"),
    // Values.
    ("\nname: ", "\nname: a b"),
    ("min: 99%", "min: 99"),
    ("min: 99%", "min: ninety"),
    ("min: 99%", "min: [99%]"),
    ("timeout: 10s", "timeout: 10"),
    ("timeout: 10s", "timeout: -10s"),
    ("timeout: 10s", "timeout: soon"),
    ("duration: 5s", "duration: 5"),
    ("duration: 5s", "duration: {s: 5}"),
    ("count: 1", "count: 0"),
    ("count: 1", "count: one"),
    ("count: 1", "count: 1.5"),
    ("percentile: p95", "percentile: p100"),
    ("percentile: p95", "percentile: 95"),
    ("max: 15s", "max: 15"),
    ("hold: 5s", "hold: five"),
    ("stream: true", "stream: maybe"),
    ("max_tokens: 10", "max_tokens: 0"),
    ("max_tokens: 10", "max_tokens: ten"),
    ("tags: [", "tags: [[], "),
    ("success_rate: {min: 80%}", "success_rate: {}"),
    ("success_rate: {min: 80%}", "success_rate: {min: 80%, latency: 1s}"),
    ("from: [{service: nats}]", "from: []"),
    ("from: [{service: nats}]", "from: [{}]"),
    ("from: [{service: nats}]", "from: [{service: nats, host: db}]"),
    ("loss: ", "loss: -"),
    ("delay: 100ms", "delay: about 100ms"),
    // Rules across the file.
    ("to: baseline", "to: basline"),
    ("hold: 5s", "hold: 10m"),
    ("count: 1", "count: 1, percent: 30%"),
    ("duration: 5s", "duration: 0s"),
    ("{{ namespace }}", "{{ namespce }}"),
];

/// Problems that a schema cannot find, and why.
const ONLY_VALIDATE: &[(Code, &str)] = &[
    (Code::UnknownPhase, "the names of phases are in another place of the file"),
    (Code::RecoveryWindow, "the duration of the phase is in another place of the file"),
    (Code::UndefinedVariable, "the variables are in another place of the file"),
    (Code::UnusedVariable, "expressions are text for a schema"),
    (Code::ZeroDuration, "many notations have the value zero"),
    (Code::RequestData, "what a step captures is in another place of the file"),
];

#[test]
fn the_schema_and_validate_judge_a_corpus_alike() {
    let schema = jsonschema::validator_for(&json_schema::scenario_schema()).expect("the scenario's schema");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).expect("the scenarios") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|it| it == "yaml") {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            files.insert(name, std::fs::read_to_string(&path).expect("a scenario"));
        }
    }
    let (mut valid, mut refused, mut wrong) = (0, 0, Vec::new());
    let mut used = vec![false; CHANGES.len()];
    for (name, text) in &files {
        for (number, (before, after)) in CHANGES.iter().enumerate().filter(|(_, (before, _))| text.contains(before)) {
            used[number] = true;
            let changed = text.replacen(before, after, 1);
            let parsed = document::parse_with(name, changed.as_bytes(), &Overrides::default(), Reader::within(&folder));
            let errors: Vec<Code> = parsed
                .err()
                .unwrap_or_default()
                .iter()
                .filter(|it| it.is_error())
                .map(|it| it.code)
                .filter(|code| ONLY_VALIDATE.iter().all(|(only, _)| only != code))
                .collect();
            let problem = as_json(changed.as_bytes()).map(|it| schema.iter_errors(&it).next().map(|it| it.to_string()));
            match (errors.as_slice(), problem) {
                ([], Some(None)) => valid += 1,
                ([_, ..], Some(Some(_)) | None) => refused += 1,
                (codes, problem) => {
                    wrong.push(format!("{name}, `{}`: validate {codes:?}, schema {problem:?}", after.escape_debug()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    assert!(valid > 100 && refused > 300, "{valid} valid, {refused} refused");
    let unused: Vec<_> = CHANGES.iter().zip(used).filter(|(_, used)| !used).map(|(it, _)| it).collect();
    assert!(unused.is_empty(), "no scenario has {unused:?}");
    assert!(ONLY_VALIDATE.iter().all(|(_, why)| !why.is_empty()));
}
