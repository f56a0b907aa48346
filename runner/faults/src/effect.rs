//! The required proof that a fault acts, and the diagnosis when it is missing. Pure: it works after the run, from the
//! evidence and the run's own requests.

use std::fmt;

use serde::Serialize;
use shakedown_schemas::Explained;
use shakedown_schemas::result::{Evidence, FaultResult, Proof, Verdict};
use shakedown_schemas::scenario::{Direction, FaultInfo};

use super::witness::KEPT;

/// The required proof that a fault acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequiredProof {
    /// Only that its objects are in place: the scenario requires no more, or the engine's status is the proof.
    Applied,
    /// A witness.
    Witness,
    /// The run's own requests.
    Traffic,
    /// An observation that is independent of the engine's report: of the pods, or of the run's own requests.
    Observed {
        /// Whether the fault counts only with it. Otherwise it is claimed.
        required: bool,
    },
    /// A witness, else the run's own requests. That the cluster enforces policies in general proves nothing about this fault.
    Auto {
        /// Why there is no witness, as text.
        #[serde(skip_serializing_if = "Option::is_none")]
        no_witness: Option<String>,
    },
}

impl fmt::Display for RequiredProof {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied => out.write_str("only that its objects are in place"),
            Self::Witness | Self::Auto { no_witness: None } => {
                out.write_str("a witness that could connect to the peers before, and cannot while the fault acts")
            }
            Self::Traffic => out.write_str("a change in the run's own requests"),
            Self::Observed { .. } => out.write_str(
                "an observation of the pods that does not come from the engine, or a change in the run's own requests",
            ),
            Self::Auto { no_witness: Some(why) } => {
                write!(out, "a change in the run's own requests; no witness, because {why}")
            }
        }
    }
}

/// The evidence of the run's own requests in the phase of a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum Traffic {
    /// They changed significantly.
    Changed {
        /// When, in seconds since the load's start.
        at_s: f64,
        /// The changes, as text.
        words: String,
    },
    /// They changed significantly while several faults acted. This proves none of them: any of the others may be the cause.
    Shared {
        /// The changes, as text.
        words: String,
        /// The other faults of the phase, as text.
        others: String,
    },
    /// They did not change significantly.
    Unchanged {
        /// The number of windows out of tolerance, as text; empty if unknown.
        windows: String,
        /// More requests failed or were slow than in the baseline, in words. It is no proof, but the requests did change.
        /// Empty if they did not.
        hint: String,
    },
    /// They cannot be compared with those of an earlier phase, because they differ in more than the fault.
    Incomparable {
        /// In what, in words.
        why: String,
    },
    /// There is no earlier phase to compare with.
    Unknown,
}

/// Sets a fault's final state from the evidence that it acts. Returns a warning for the report when the fault acts but the
/// requests did not change.
pub fn conclude(
    fault: &mut FaultResult,
    wanted: &RequiredProof,
    direction: Direction,
    traffic: &Traffic,
) -> Option<String> {
    let has = |is: fn(&Evidence) -> bool| fault.evidence.iter().any(is);
    let refuted = has(|it| it.shows.is_effect() && !it.holds);
    let shown = has(|it| it.shows.is_effect() && it.shows != Proof::ConnectionsKept && it.holds) && !refuted;
    let kept = has(|it| it.shows == Proof::ConnectionsKept);
    if fault.injection != Verdict::Pass {
        if fault.injection == Verdict::Inconclusive && refuted && fault.engine == "network-policy" {
            explain(fault);
        }
        return None;
    }
    let by_traffic = match wanted {
        RequiredProof::Traffic => true,
        RequiredProof::Auto { .. } | RequiredProof::Observed { .. } => !shown,
        RequiredProof::Applied | RequiredProof::Witness => false,
    };
    if *wanted == RequiredProof::Witness && !shown {
        fault.injection = Verdict::Inconclusive;
        fault.problem = Some("not proven: no witness has shown that it acts".to_owned());
        // Its objects were in place, but that is not the required proof.
        fault.proven_s = None;
        return None;
    }
    if by_traffic {
        match traffic {
            Traffic::Changed { at_s, words } => {
                fault.evidence.push(Evidence {
                    at_s: *at_s,
                    shows: Proof::Effective,
                    holds: true,
                    detail: format!("{words}, from {at_s:.1} s on, while the fault was active"),
                });
                fault.proven_s = Some(fault.proven_s.unwrap_or(*at_s).max(*at_s));
                fault.claimed_because = None;
            }
            Traffic::Shared { .. } | Traffic::Unchanged { .. } | Traffic::Incomparable { .. } | Traffic::Unknown
                if *wanted == (RequiredProof::Observed { required: false }) =>
            {
                if fault.is_claimed() && fault.claimed_because.is_none() {
                    fault.claimed_because = Some(unshown(traffic));
                }
                return unnoticed_claim(fault, traffic);
            }
            Traffic::Shared { .. } | Traffic::Unchanged { .. } | Traffic::Incomparable { .. } | Traffic::Unknown => {
                fault.injection = Verdict::Inconclusive;
                fault.proven_s = None;
                fault.problem = Some(match fault.engine.as_str() {
                    "network-policy" => unproven(wanted, direction, traffic, kept),
                    _ => {
                        let unseen =
                            fault.claimed_because.as_ref().filter(|_| matches!(wanted, RequiredProof::Observed { .. }));
                        let unseen = unseen.map_or_else(String::new, |why| format!("; {why}"));
                        unfelt(fault, traffic) + &unseen
                    }
                });
            }
        }
        return None;
    }
    if *wanted == RequiredProof::Applied && fault.is_claimed() {
        fault.claimed_because.get_or_insert_with(|| "`prove: applied` asks for no more".to_owned());
    }
    let is_unchanged = matches!(traffic, Traffic::Unchanged { hint, .. } if hint.is_empty());
    if fault.engine == "chaos-mesh" && !shown {
        return unnoticed_claim(fault, traffic);
    }
    // Connections that stay open weaken the cut, even if a few requests hint at a change.
    let weakened = kept && matches!(traffic, Traffic::Unchanged { .. });
    ((is_unchanged || weakened) && shown).then(|| match kept {
        true => weak(fault, is_unchanged),
        false => unnoticed(fault, direction),
    })
}

/// The warning about a fault that only Chaos Mesh reports, and that had no effect on requests.
fn unnoticed_claim(fault: &FaultResult, traffic: &Traffic) -> Option<String> {
    let is_unchanged = matches!(traffic, Traffic::Unchanged { hint, .. } if hint.is_empty());
    is_unchanged.then(|| format!("Chaos Mesh reports fault {} as injected, but {}", fault.name, same_as_before(fault)))
}

/// Why the requests do not show a fault that only its engine claims.
fn unshown(traffic: &Traffic) -> String {
    match traffic {
        Traffic::Shared { others, .. } => shared(others),
        Traffic::Incomparable { why } => why.clone(),
        Traffic::Unknown => "there is no phase before it whose requests could be compared".to_owned(),
        _ => "the run's own requests did not change significantly".to_owned(),
    }
}

/// Why a change of the requests does not prove a fault.
fn shared(others: &str) -> String {
    format!("the run's own requests changed, but {others} acted in the same phase and may be the only cause")
}

const SHARED_HELP: &str = "give each of these faults a separate phase";

/// The possible reasons why a fault of Chaos Mesh did not change the requests.
fn same_as_before(fault: &FaultResult) -> String {
    let info = FaultInfo::of(&fault.kind);
    let kind = info.map_or("", |info| info.facts.unfelt_because);
    let ask = match info.is_some_and(FaultInfo::has_prove) {
        true => "`prove: traffic`",
        false => "`effect: any` on its phase",
    };
    format!(
        "the run's own requests did not change: either the service tolerates it, or other pods carry the load{kind}; {ask} \
         requires a change"
    )
}

/// The problem of a fault whose engine reports it as injected while the requests do not show it.
fn unfelt(fault: &FaultResult, traffic: &Traffic) -> String {
    match traffic {
        Traffic::Shared { others, .. } => {
            Explained::new(format!("not proven: {}", shared(others)), SHARED_HELP).to_string()
        }
        Traffic::Incomparable { why } => format!("not proven: {why}"),
        Traffic::Unknown => "not proven: there is no phase before it whose requests could be compared".to_owned(),
        Traffic::Unchanged { windows, hint } if !hint.is_empty() => {
            format!("not proven: {}{}", too_few(hint), in_brackets(windows))
        }
        Traffic::Unchanged { windows, .. } | Traffic::Changed { words: windows, .. } => {
            format!("not proven: {}{}", same_as_before(fault), in_brackets(windows))
        }
    }
}

/// Something changed in the requests, by less than a proof needs.
fn too_few(hint: &str) -> String {
    format!("{hint}, which may be chance: use a longer phase or baseline, or a witness")
}

fn in_brackets(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(" ({words})") }
}

/// Adds how to find out whether the cluster enforces policies.
fn explain(fault: &mut FaultResult) {
    let problem = Explained::read(fault.problem.as_deref().unwrap_or_default());
    let explained = if problem.help.is_some() { problem } else { problem.or(ENFORCEMENT_HELP) };
    fault.problem = Some(explained.to_string());
}

const ENFORCEMENT_HELP: &str = "`shakedown doctor` finds out whether anything in this cluster enforces NetworkPolicy; a network \
                                plugin such as Calico or Cilium does, flannel alone does not";

/// The problem of a fault without any evidence that it acts.
fn unproven(wanted: &RequiredProof, direction: Direction, traffic: &Traffic, kept: bool) -> String {
    let mut text = match traffic {
        Traffic::Shared { others, .. } => format!("not proven: the policy was in place, and {}", shared(others)),
        Traffic::Incomparable { why } => format!("not proven: the policy was in place, and {why}"),
        Traffic::Unknown => {
            "not proven: the policy was in place, and there is no phase before it whose requests could be compared"
                .to_owned()
        }
        Traffic::Unchanged { windows, hint } if !hint.is_empty() => {
            format!("not proven: the policy was in place, and {}{}", too_few(hint), in_brackets(windows))
        }
        Traffic::Unchanged { windows, .. } | Traffic::Changed { words: windows, .. } => format!(
            "not proven: the policy was in place, and the run's own requests did not change{}",
            in_brackets(windows)
        ),
    };
    if let RequiredProof::Auto { no_witness: Some(why) } = wanted {
        text.push_str(&format!("; there was no witness, because {why}"));
    }
    if matches!(traffic, Traffic::Shared { .. }) {
        return Explained::new(text, SHARED_HELP).or("prove it with a witness").to_string();
    }
    let other = match kept {
        true => KEPT_HELP,
        false => {
            "the network plugin leaves established connections open, or the service does not need this link, or other pods \
             carry the load"
        }
    };
    let unless = wrong_way(direction);
    let help = format!(
        "either nothing enforces NetworkPolicy here (`shakedown doctor` with --canary-image finds out), or {other}{unless}; \
         --witness-image proves the cut without any of that, and `prove: applied` does without a proof"
    );
    Explained::new(text, help).to_string()
}

const KEPT_HELP: &str = "its network plugin leaves established connections open, and the link was in use: make its clients \
                         reconnect during the phase (restart them, or limit how long they keep a connection), or use \
                         Chaos Mesh's partition, which drops packets of every connection";

/// The warning about a fault that acts without a change in the requests.
fn unnoticed(fault: &FaultResult, direction: Direction) -> String {
    let (tolerated, unless) = match fault.kind.as_str() {
        "partition" => ("does not need this link", wrong_way(direction)),
        _ => ("tolerates it", ""),
    };
    format!(
        "fault {} acts, but the requests did not change: the service {tolerated}, or other pods carry the load{unless}",
        fault.name
    )
}

/// The fault cuts new connections only.
fn weak(fault: &FaultResult, is_unchanged: bool) -> String {
    let requests = if is_unchanged { "the requests did not change, " } else { "" };
    format!("fault {}: new connections are cut, {requests}and {KEPT}; {KEPT_HELP}", fault.name)
}

const fn wrong_way(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => {
            "; the partition cuts only what the targets open (`direction: egress`): connections that the peers open to them \
             still work"
        }
        Direction::Ingress => {
            "; the partition cuts only what the targets accept (`direction: ingress`): connections that they open to the \
             peers still work"
        }
        Direction::Both => "",
    }
}

#[cfg(test)]
mod tests;
