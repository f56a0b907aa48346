//! The scenario's text.

use std::fmt::Write;
use std::time::Duration;

use super::draft::{Draft, Fault, Out, Request, Step, quoted};
use super::read::{ImportNote, Notes};
use crate::units;

/// The default length of a phase.
const PHASE: Duration = Duration::from_secs(60);

/// The scenario of a draft.
pub(super) fn scenario(mut draft: Draft, file: &str, tool: &str, service: Option<&str>, notes: &mut Notes) -> String {
    draft.steps.retain(|step| !step.faults.is_empty());
    unique(draft.steps.iter_mut().map(|step| &mut step.name), &["baseline"]);
    unique(draft.steps.iter_mut().flat_map(|step| &mut step.faults).map(|fault| &mut fault.name), &[]);
    let name = draft.name.take().unwrap_or_else(|| draft.steps[0].name.clone());
    let namespace = common_namespace(&mut draft.steps);
    let mut out = format!(
        "# Made by `shakedown import` from {} of {tool}. The limits below are proposals: the file has none.\nversion: 1\nname: {}\n",
        one_line(file),
        quoted(&identifier(&name)),
    );
    let description = draft.description.take().map(|text| one_line(&text));
    description.iter().for_each(|text| _ = writeln!(out, "description: {}", quoted(text)));
    if !draft.tags.is_empty() {
        let tags: Vec<Out> = draft.tags.iter().map(|tag| Out::Text(identifier(tag))).collect();
        _ = writeln!(out, "tags: {}", Out::List(tags).flow());
    }
    namespace.iter().for_each(|it| _ = writeln!(out, "namespace: {}", quoted(it)));
    out.push_str("\nload:\n");
    if draft.requests.is_empty() || service.is_some() {
        service_load(&mut out, service, notes);
    }
    if service.is_none() {
        unique(draft.requests.iter_mut().map(|request| &mut request.name), &[]);
        draft.requests.iter().for_each(|request| probe_load(&mut out, request));
    }
    out.push_str("\nphases:\n  - name: baseline\n    duration: 60s\n    expect:\n      - success_rate: {min: 99%}\n");
    for (number, step) in draft.steps.iter().enumerate() {
        phase(&mut out, step, number);
    }
    out
}

fn service_load(out: &mut String, service: Option<&str>, notes: &mut Notes) {
    if service.is_none() {
        let message = "the file sends no requests: replace `service` of the load with the service that the fault affects, or give \
                       `--service NAME:PORT`";
        notes.list.push(ImportNote { line: 1, message: message.to_owned() });
    }
    _ = write!(
        out,
        "  requests:\n    http:\n      service: {}\n      path: /                # a request that needs the affected pods\n    \
         rate: 20/s\n    timeout: 5s\n",
        quoted(service.unwrap_or("app:80")),
    );
}

fn probe_load(out: &mut String, request: &Request) {
    _ = write!(out, "  {}:\n    http:\n      url: {}\n", quoted(&request.name), quoted(&request.url));
    let lines = [
        ("method", request.method.clone().map(Out::Text)),
        ("headers", (!request.headers.is_empty()).then(|| Out::pairs(request.headers.clone()))),
        ("body", request.body.clone().map(Out::Text)),
        ("check", (!request.check.is_empty()).then(|| Out::Map(request.check.clone()))),
    ];
    for (key, value) in lines {
        value.iter().for_each(|value| _ = writeln!(out, "      {key}: {}", value.flow()));
    }
    _ = writeln!(out, "    rate: 20/s\n    timeout: {}", request.timeout.as_deref().unwrap_or("5s"));
}

/// A phase with its faults, and the recovery from them.
fn phase(out: &mut String, step: &Step, number: usize) {
    let length = |fault: &Fault| fault.after + fault.lasts.unwrap_or(PHASE);
    let longest = step.faults.iter().map(length).max().unwrap_or(PHASE);
    _ = write!(out, "\n  - name: {}\n    duration: {}\n    faults:\n", quoted(&step.name), text_of(longest));
    for fault in &step.faults {
        _ = write!(out, "      {}:\n        {}:\n", quoted(&fault.name), fault.kind);
        for (key, value) in &fault.body {
            _ = writeln!(out, "          {key}: {}", value.flow());
        }
        if !fault.after.is_zero() {
            _ = writeln!(out, "          after: {}", text_of(fault.after));
        }
        if let Some(lasts) = fault.lasts.filter(|_| !fault.is_once() && length(fault) < longest) {
            _ = writeln!(out, "          for: {}", text_of(lasts));
        }
    }
    let recovery = if number == 0 { "recovery".to_owned() } else { format!("recovery-{}", number + 1) };
    _ = write!(
        out,
        "    expect:\n      - success_rate: {{min: 95%}}\n      - latency_ratio: {{percentile: p95, to: baseline, max: 3, or_below: \
         500ms}}\n\n  - name: {recovery}\n    duration: 60s\n    expect:\n      - recovery_time: {{max: 30s, hold: 10s}}\n",
    );
}

/// The namespace that all targets share is the scenario's.
fn common_namespace(steps: &mut [Step]) -> Option<String> {
    let faults = || steps.iter().flat_map(|step| &step.faults);
    let of = |fault: &Fault| {
        let (_, Out::Map(pods)) = fault.body.first()? else { return None };
        pods.iter().find(|(key, _)| key == "namespace").map(|(_, value)| value.clone())
    };
    let first = of(faults().next()?)?;
    if !faults().all(|fault| of(fault).as_ref() == Some(&first)) {
        return None;
    }
    for fault in steps.iter_mut().flat_map(|step| &mut step.faults) {
        fault.body.iter_mut().for_each(|(_, value)| without_namespace(value, &first));
    }
    match first {
        Out::Text(text) => Some(text),
        _ => None,
    }
}

fn without_namespace(value: &mut Out, namespace: &Out) {
    match value {
        Out::Map(pairs) => {
            pairs.retain(|(key, value)| !(key == "namespace" && value == namespace));
            pairs.iter_mut().for_each(|(_, value)| without_namespace(value, namespace));
        }
        Out::List(items) => items.iter_mut().for_each(|item| without_namespace(item, namespace)),
        Out::Text(_) | Out::Plain(_) => {}
    }
}

/// Makes names identifiers, and each of them unique.
pub(super) fn unique<'a>(names: impl Iterator<Item = &'a mut String>, taken: &[&str]) {
    let mut taken: Vec<String> = taken.iter().map(|&it| it.to_owned()).collect();
    for name in names {
        let base = identifier(name);
        let mut candidate = base.clone();
        let mut number = 2;
        while taken.contains(&candidate) || candidate.starts_with("recovery") {
            candidate = format!("{base}-{number}").trim_start_matches("recovery").trim_start_matches('-').to_owned();
            number += 1;
        }
        taken.push(candidate.clone());
        *name = candidate;
    }
}

/// A name in lower case with hyphens, as scenarios and phases have them.
pub(super) fn identifier(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars().take(60) {
        match letter {
            'a'..='z' | '0'..='9' => name.push(letter),
            'A'..='Z' => name.push(letter.to_ascii_lowercase()),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "imported".to_owned() } else { name.to_owned() }
}

fn text_of(duration: Duration) -> String {
    units::Duration::from(duration).to_string()
}

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
