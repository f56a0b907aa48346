//! Judges the usage of stressed containers before and during the fault. Pure.
//!
//! The rule: a stress is proven by the memory if at least [`MEMORY`] of it is seen, and by the CPU time if at least [`CPU`]
//! of what the container's limit leaves is seen. Of memory, the smaller of the last two samples counts, because a stressor
//! that is killed in a loop grows to the limit repeatedly. CPU time is averaged over all samples. Both count only what
//! exceeds the last sample before the fault.
//!
//! The clocks of nodes are not compared with that of the runner. The first sample that is read once the fault is injected opens
//! the fault; only later samples are taken during it. The CPU time of the sample after it may be averaged over time before the
//! fault, so it counts only if it is the only one, and then only in favour of the fault.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shakedown_cluster::{Usage, UsageSample, UsageSource};
use shakedown_schemas::result::{Measured, PodRef, Proof, Quantity};
use shakedown_schemas::scenario::Stress;

use super::Recipe;
use super::quota::Quota;
use super::spec::{Inside, pod_id};
use crate::{Finding, Observed};

/// The share of the asked memory that must be seen.
pub const MEMORY: f64 = 0.8;
/// The share of the asked CPU time that must be seen, or of what the container's limit leaves of it. Other programs of the
/// node use CPU time as well.
pub const CPU: f64 = 0.5;
/// A container whose limit leaves less than this share of the asked CPU time has used it up before.
const LEFT: f64 = 0.1;
/// How long stressors may take to allocate their memory.
const GROWTH: SignedDuration = SignedDuration::from_secs(2);
/// The most samples of a container that are kept. A fault of hours takes no more.
const KEPT: usize = 64;

/// The amounts that a fault asks of one container.
#[derive(Debug, Clone, PartialEq)]
struct Want {
    pod: PodRef,
    /// `namespace/pod/container`.
    id: String,
    /// In cores.
    cpu: Option<f64>,
    /// In bytes.
    memory: Option<f64>,
    quota: Quota,
}

/// The samples of the containers that a fault stresses.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    wants: Vec<Want>,
    source: Option<UsageSource>,
    /// Why there is no source, as text.
    unreadable: Option<String>,
    before: Usage,
    /// The first sample of each container that was read once the fault was injected.
    opening: Option<BTreeMap<String, Timestamp>>,
    during: BTreeMap<String, Vec<UsageSample>>,
}

/// How much of the amount was observed.
enum UsageSeen {
    Enough(f64),
    TooLittle(f64),
    /// There is no sample that lies within the fault.
    Unknown,
}

impl Meter {
    /// Adds what a fault asks for of a target.
    pub(super) fn expect(&mut self, recipe: &Recipe, target: &Inside, pod: &Value) {
        let Recipe::Stress(Stress { cpu, memory, containers, .. }) = recipe else { return };
        for container in target.chosen(containers) {
            self.wants.push(Want {
                pod: target.pod.clone(),
                id: format!("{}/{container}", pod_id(&target.pod)),
                cpu: cpu.as_ref().map(|it| it.cores()),
                memory: memory.as_ref().map(|it| it.size.bytes() as f64),
                quota: Quota::of(pod, container),
            });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    /// The pods to sample.
    pub(super) fn pods(&self) -> Vec<PodRef> {
        let mut pods: Vec<PodRef> = self.wants.iter().map(|want| want.pod.clone()).collect();
        pods.dedup();
        pods
    }

    /// The source of the samples, if there is one.
    pub(super) const fn source(&self) -> Option<UsageSource> {
        self.source
    }

    /// Takes the samples before the fault, or why there are none.
    pub(super) fn before(&mut self, found: Result<(UsageSource, Usage), String>) {
        match found {
            Ok((source, usage)) => (self.source, self.before) = (Some(source), usage),
            Err(why) => self.unreadable = Some(why),
        }
    }

    /// Takes samples while the fault is injected.
    pub(super) fn take(&mut self, usage: &Usage) {
        let opening = self.opening.get_or_insert_with(|| usage.iter().map(|(id, it)| (id.clone(), it.at)).collect());
        for (id, sample) in usage {
            let samples = self.during.entry(id.clone()).or_default();
            let last = samples.last().map(|it| it.at).or_else(|| opening.get(id).copied());
            if last.is_none_or(|last| sample.at > last) {
                samples.push(*sample);
            }
            // The latest count, and the first one of them is left out where its window may begin before the fault.
            if samples.len() > KEPT {
                samples.remove(1);
            }
        }
    }

    fn opened(&self, id: &str) -> Option<Timestamp> {
        self.opening.as_ref()?.get(id).copied()
    }

    fn memory(&self, want: &Want, asked: f64) -> UsageSeen {
        let Some(before) = self.before.get(&want.id) else { return UsageSeen::Unknown };
        let grown = self.opened(&want.id).map(|at| at.saturating_add(GROWTH).unwrap_or(at));
        let samples = self.during.get(&want.id).into_iter().flatten();
        let samples: Vec<f64> =
            samples.filter(|it| grown.is_none_or(|grown| it.at >= grown)).map(|it| it.memory).collect();
        match samples.iter().rev().take(2).copied().reduce(f64::min) {
            None => UsageSeen::Unknown,
            // One sample may catch a stressor that grows and is killed.
            Some(least) if samples.len() < 2 && least - before.memory >= MEMORY * asked => UsageSeen::Unknown,
            Some(least) if least - before.memory >= MEMORY * asked => UsageSeen::Enough(least - before.memory),
            Some(least) => UsageSeen::TooLittle((least - before.memory).max(0.0)),
        }
    }

    /// Also the part of it that the container's limit leaves.
    fn cpu(&self, want: &Want, asked: f64) -> (UsageSeen, f64) {
        let Some(before) = self.before.get(&want.id) else { return (UsageSeen::Unknown, asked) };
        let room = want.quota.cpu.map_or(asked, |limit| (limit - before.cores).clamp(0.0, asked));
        let samples: Vec<&UsageSample> = self.during.get(&want.id).into_iter().flatten().collect();
        let opened = self.opened(&want.id);
        let is_within = |it: &UsageSample| match (it.window, opened) {
            (Some(window), Some(opened)) => it.at.checked_sub(window).is_ok_and(|from| from >= opened),
            _ => false,
        };
        let sure: Vec<f64> = samples
            .iter()
            .enumerate()
            .filter(|(place, it)| *place > 0 && (it.window.is_none() || is_within(it)))
            .map(|(_, it)| it.cores)
            .collect();
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64 - before.cores;
        let enough = |seen: f64| room >= LEFT * asked && seen >= CPU * room;
        let seen = match (sure.as_slice(), samples.last()) {
            ([], None) => UsageSeen::Unknown,
            ([], Some(last)) if enough(last.cores - before.cores) => UsageSeen::Enough(last.cores - before.cores),
            ([], Some(_)) => UsageSeen::Unknown,
            (sure, _) if enough(mean(sure)) => UsageSeen::Enough(mean(sure)),
            (sure, _) => UsageSeen::TooLittle(mean(sure).max(0.0)),
        };
        (seen, room)
    }

    /// The observed amounts, each with a sentence.
    fn seen(&self) -> Vec<(Option<Measured>, String)> {
        let mut all = Vec::new();
        let source = self.source.map_or("", UsageSource::words);
        let mut add = |want: &Want, what: Quantity, asked: f64, seen: UsageSeen, rule: &str| {
            let name = match what {
                Quantity::Cpu => "CPU time",
                _ => "memory",
            };
            let (seen, is_enough) = match seen {
                UsageSeen::Unknown => {
                    let text = format!(
                        "there is no sample of the {name} of container {} within the fault in {source}",
                        want.id
                    );
                    all.push((None, text));
                    return;
                }
                UsageSeen::Enough(seen) => (seen, true),
                UsageSeen::TooLittle(seen) => (seen, false),
            };
            let (of, source) = (want.id.clone(), source.to_owned());
            let measured = Measured { of, what, asked, seen, is_enough, source };
            let must = if is_enough { String::new() } else { format!("; {rule} must be seen") };
            let text = format!("{name} of container {}: {measured} ({}){must}", want.id, measured.source);
            all.push((Some(measured), text));
        };
        for want in &self.wants {
            if let Some(asked) = want.memory {
                let rule = format!("at least {:.0}% of it", MEMORY * 100.0);
                add(want, Quantity::Memory, asked, self.memory(want, asked), &rule);
            }
            if let Some(asked) = want.cpu {
                let (seen, room) = self.cpu(want, asked);
                let rule = match want.quota.cpu {
                    Some(limit) if room < LEFT * asked => format!(
                        "the container used {:.2} of its limit of {} before the fault, and at least {:.0}% of it",
                        limit - room,
                        cores(limit),
                        LEFT * 100.0
                    ),
                    Some(limit) if room < asked => {
                        format!("its limit of {} leaves {room:.2}, of which at least {:.0}%", cores(limit), CPU * 100.0)
                    }
                    _ => format!("at least {:.0}% of it", CPU * 100.0),
                };
                add(want, Quantity::Cpu, asked, seen, &rule);
            }
        }
        all
    }

    /// The findings, once there are enough samples of every container; none before.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let seen = self.seen();
        // One missing amount refutes the fault, even if others are unknown.
        let refuted = seen.iter().any(|(it, _)| it.as_ref().is_some_and(|it| !it.is_enough));
        if self.source.is_none() || !refuted && seen.iter().any(|(it, _)| it.is_none()) {
            return Vec::new();
        }
        let known = seen.into_iter().filter_map(|(it, detail)| Some((it?, detail)));
        known.map(|(it, detail)| Finding { shows: Proof::Effective, holds: it.is_enough, detail }).collect()
    }

    /// True once every amount was seen.
    pub(super) fn is_proven(&self) -> bool {
        let findings = self.findings();
        !findings.is_empty() && findings.iter().all(|it| it.holds) && self.has_two_samples()
    }

    fn has_two_samples(&self) -> bool {
        self.wants.iter().all(|want| self.during.get(&want.id).is_some_and(|samples| samples.len() >= 2))
    }

    /// For the report.
    pub(super) fn observed(&self) -> Observed {
        if let Some(why) = &self.unreadable {
            return Observed { measured: Vec::new(), unseen: Some(format!("what its pods use cannot be read: {why}")) };
        }
        let seen = self.seen();
        let unseen = seen.iter().find(|(it, _)| it.is_none()).map(|(_, text)| text.clone());
        Observed { measured: seen.into_iter().filter_map(|(it, _)| it).collect(), unseen }
    }
}

fn cores(limit: f64) -> String {
    if limit == 1.0 { "1 core".to_owned() } else { format!("{limit} cores") }
}

/// The interval at which samples are read.
pub(super) const STEP: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
