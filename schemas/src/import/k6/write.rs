//! The text of a scenario without faults: its loads, and phases with their paces and expectations.

use std::fmt::Write;

use super::super::draft::{Out, Request, quoted};
use super::super::read::Notes;
use super::super::write::{identifier, one_line, unique};
use super::pace::{self, Schedule};
use super::requests::{Iteration, split};
use super::thresholds::Threshold;

/// The longest wait for an answer in k6 that has no `timeout`, in seconds.
const TIMEOUT: f64 = 60.0;

/// The scenario.
pub(super) fn scenario(
    loads: &[(Schedule, Iteration)],
    thresholds: &[Threshold],
    file: &str,
    service: Option<&str>,
    notes: &mut Notes,
) -> String {
    let schedules: Vec<&Schedule> = loads.iter().map(|(schedule, _)| schedule).collect();
    let stretches = pace::stretches(&schedules);
    let mut names: Vec<String> = schedules.iter().map(|it| it.load.clone()).collect();
    unique(names.iter_mut(), &[]);
    let stem = file.rsplit('/').next().unwrap_or(file).split('.').next().unwrap_or(file);
    let proposed = if thresholds.is_empty() { " The limits below are proposals: the file has none." } else { "" };
    let mut out = format!(
        "# Made by `shakedown import` from {} of k6.{proposed}\nversion: 1\nname: {}\n\nload:\n",
        one_line(file),
        quoted(&identifier(stem)),
    );
    let total: f64 = stretches.iter().map(|it| it.seconds).sum();
    let mut usual = Vec::new();
    for (index, (schedule, iteration)) in loads.iter().enumerate() {
        // The first pace that sends something; a phase with another one says so.
        let paces = || stretches.iter().map(|it| shown(schedule, it.paces[index]));
        let pace = paces().find(|it| !is_none(it)).unwrap_or_else(|| shown(schedule, (1.0, 1.0)));
        load(&mut out, &names[index], iteration, service);
        _ = writeln!(out, "    {}: {}", schedule.key(), pace.flow());
        match (iteration.pause, schedule.is_open) {
            (Some((seconds, _)), false) => _ = writeln!(out, "    think_time: {}", pace::lasting(seconds)),
            (Some((_, line)), true) => notes.line(line, "a pause has no effect at a rate, and is not carried over"),
            (None, _) => {}
        }
        let timeout = iteration.timeout().map(|it| it.to_string());
        let timeout = timeout.or_else(|| (total >= TIMEOUT).then(|| pace::lasting(TIMEOUT)));
        timeout.iter().for_each(|it| _ = writeln!(out, "    timeout: {it}"));
        usual.push(pace);
    }
    out.push_str("\nphases:\n");
    for (number, stretch) in stretches.iter().enumerate() {
        let name = if stretches.len() == 1 { "steady".to_owned() } else { format!("stage-{}", number + 1) };
        _ = writeln!(out, "  - name: {name}\n    duration: {}", pace::lasting(stretch.seconds));
        let paces: Vec<(&Schedule, Out)> =
            schedules.iter().zip(&stretch.paces).map(|(schedule, pace)| (*schedule, shown(schedule, *pace))).collect();
        let other = |index: &usize| paces[*index].1 != usual[*index];
        let others: Vec<usize> = (0..paces.len()).filter(other).collect();
        if !others.is_empty() {
            out.push_str("    load:\n");
        }
        for index in others {
            let (schedule, pace) = &paces[index];
            _ = writeln!(out, "      {}: {{{}: {}}}", quoted(&names[index]), schedule.key(), pace.flow());
        }
        let sending: Vec<usize> = (0..paces.len()).filter(|index| !is_none(&paces[*index].1)).collect();
        expectations(&mut out, thresholds, &sending, &names, loads, stretches.len(), notes);
    }
    out
}

/// The expectations of a phase about the loads that send something in it.
fn expectations(
    out: &mut String,
    thresholds: &[Threshold],
    sending: &[usize],
    names: &[String],
    loads: &[(Schedule, Iteration)],
    phases: usize,
    notes: &mut Notes,
) {
    if sending.is_empty() {
        return;
    }
    let mut lines: Vec<String> = Vec::new();
    let proposal = [Threshold::proposed()];
    for it in if thresholds.is_empty() { &proposal } else { thresholds } {
        if phases > 1 && it.line > 0 {
            let message = match it.kind {
                "requests" => "a count of the whole test is not carried over to several phases",
                _ => "k6 judges this over the whole test; here each phase is judged",
            };
            notes.line(it.line, message);
        }
        if phases > 1 && it.kind == "requests" {
            continue;
        }
        for index in sending {
            let (schedule, iteration) = &loads[*index];
            if it.load.as_ref().is_some_and(|load| *load != schedule.load) {
                continue;
            }
            if it.of_requests && iteration.requests.len() > 1 && it.kind != "success_rate" {
                let message = "it is about single requests, and an expectation about iterations of several: it is not carried over";
                notes.line(it.line, message);
                continue;
            }
            if it.of_requests && iteration.requests.len() > 1 {
                notes.line(it.line, "the share of failed requests becomes that of failed iterations");
            }
            let mut limits = it.limits.clone();
            if loads.len() > 1 {
                limits.push(("load".to_owned(), Out::Text(names[*index].clone())));
            }
            lines.push(format!("      - {}: {}\n", it.kind, Out::Map(limits).flow()));
        }
    }
    if !lines.is_empty() {
        _ = write!(out, "    expect:\n{}", lines.concat());
    }
}

fn load(out: &mut String, name: &str, iteration: &Iteration, service: Option<&str>) {
    _ = write!(out, "  {}:\n    http:\n", quoted(name));
    let place = |request: &Request| split(&request.url).map(|(server, path)| (server.to_owned(), path.to_owned()));
    let first = iteration.requests.first().and_then(place);
    let (key, value) = match service {
        Some(service) => ("service", service.to_owned()),
        None => ("url", first.map(|(server, _)| server).unwrap_or_default()),
    };
    _ = writeln!(out, "      {key}: {}", quoted(&value));
    let keys = |request: &Request| -> Vec<(String, Out)> {
        let path = place(request).map(|(_, path)| path).unwrap_or_default();
        // The part of a URL after `#` is not sent.
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let all = [
            ("method", request.method.clone().map(Out::Text)),
            ("path", Some(Out::Text(path))),
            ("headers", (!request.headers.is_empty()).then(|| Out::pairs(request.headers.clone()))),
            ("body", request.body.clone().map(Out::Text)),
            ("check", (!request.check.is_empty()).then(|| Out::Map(request.check.clone()))),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    };
    match &iteration.requests[..] {
        [one] => keys(one).iter().for_each(|(key, value)| _ = writeln!(out, "      {key}: {}", value.flow())),
        several => {
            let mut names: Vec<String> = several.iter().map(|it| it.name.clone()).collect();
            unique(names.iter_mut(), &[]);
            out.push_str("      steps:\n");
            for (name, request) in names.into_iter().zip(several) {
                let all = [vec![("name".to_owned(), Out::Text(name))], keys(request)].concat();
                _ = writeln!(out, "        - {}", Out::Map(all).flow());
            }
        }
    }
}

/// A pace: a rate or a number of users, or the ramp from one to another.
fn shown(schedule: &Schedule, (from, to): (f64, f64)) -> Out {
    let one = |value: f64| match schedule.is_open {
        true => Out::Text(rate(value)),
        false => Out::plain(format!("{}", value.round())),
    };
    let (from, to) = (one(from), one(to));
    if from == to { from } else { Out::map([("from", from), ("to", to)]) }
}

/// A rate in the largest unit in which it is a round number.
fn rate(per_second: f64) -> String {
    let units = [(1.0, "s"), (60.0, "m"), (3600.0, "h")];
    let number = |value: f64| {
        let text = format!("{value:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let is_round = |value: f64| (value * 1e3 - (value * 1e3).round()).abs() < 1e-6;
    let (factor, unit) = units.into_iter().find(|(factor, _)| is_round(per_second * factor)).unwrap_or(units[0]);
    format!("{}/{unit}", number(per_second * factor))
}

/// Nothing is sent.
fn is_none(pace: &Out) -> bool {
    matches!(pace, Out::Text(text) | Out::Plain(text) if text.trim_end_matches("/s") == "0")
}

impl Schedule {
    const fn key(&self) -> &'static str {
        if self.is_open { "rate" } else { "concurrency" }
    }
}

impl Threshold {
    /// For a script without thresholds.
    fn proposed() -> Self {
        let limits = vec![("min".to_owned(), Out::text("99%"))];
        Self { kind: "success_rate", limits, load: None, line: 0, of_requests: false }
    }
}
