use shakedown_schemas::event::FaultState;

use super::*;

fn fault(evidence: &[(Proof, bool, &str)], injection: Verdict) -> FaultResult {
    FaultResult {
        name: "cut".into(),
        phase: "partition".into(),
        kind: "partition".into(),
        engine: "network-policy".into(),
        description: String::new(),
        targets: Vec::new(),
        peers: Vec::new(),
        objects: Vec::new(),
        state: FaultState::Undone,
        injecting_s: Some(1.0),
        injected_s: Some(1.5),
        claimed_s: None,
        claimed_because: None,
        measured: Vec::new(),
        felt: None,
        proven_s: Some(2.0),
        undoing_s: Some(9.0),
        undone_s: Some(9.5),
        unproven: Vec::new(),
        evidence: evidence
            .iter()
            .map(|(shows, holds, detail)| Evidence {
                at_s: 2.0,
                shows: *shows,
                holds: *holds,
                detail: (*detail).into(),
            })
            .collect(),
        injection,
        undo: Verdict::Pass,
        problem: None,
        line: None,
    }
}

const APPLIED: (Proof, bool, &str) = (Proof::Applied, true, "the policy is there as sent");
const CUT: (Proof, bool, &str) = (Proof::Enforced, true, "a witness cannot connect now");
const LIVES_ON: (Proof, bool, &str) =
    (Proof::ConnectionsKept, true, "established connections are left open by this plugin");
const OPEN: (Proof, bool, &str) = (Proof::Effective, false, "a witness can still connect");

fn auto() -> RequiredProof {
    RequiredProof::Auto { no_witness: Some("no image is known".to_owned()) }
}

fn changed() -> Traffic {
    Traffic::Changed { at_s: 4.0, words: "the requests of load main changed: p50 1ms to 2ms".into() }
}

fn unchanged() -> Traffic {
    Traffic::Unchanged {
        windows: "load main: 1 of 60 windows out of tolerance, 0 of 60 in the baseline (p = 0.5)".into(),
        hint: String::new(),
    }
}

/// They changed while another fault acted.
fn shared() -> Traffic {
    Traffic::Shared { words: "the requests of load main changed: p50 1ms to 2ms".into(), others: "fault `real`".into() }
}

#[test]
fn requests_prove_no_fault_while_another_acts() {
    let (verdict, problem, _) = judged(&RequiredProof::Traffic, &[APPLIED], &shared());
    assert_eq!(verdict, Verdict::Inconclusive);
    assert!(problem.contains("but fault `real` acted in the same phase and may be the only cause"), "{problem}");
    assert!(problem.ends_with("help: give each of these faults a separate phase; or prove it with a witness"));
    assert_eq!(judged(&auto(), &[APPLIED], &shared()).0, Verdict::Inconclusive);
    assert_eq!(judged(&auto(), &[APPLIED, CUT], &shared()), (Verdict::Pass, String::new(), String::new()));
    let mut claimed = fault(&[], Verdict::Pass);
    claimed.claimed_s = Some(1.0);
    claimed.proven_s = None;
    conclude(&mut claimed, &RequiredProof::Observed { required: false }, Direction::Both, &shared());
    assert!(claimed.claimed_because.unwrap().contains("may be the only cause"));
}

/// Some requests failed, and that may be chance.
fn hinted() -> Traffic {
    Traffic::Unchanged { windows: String::new(), hint: "24 of 645 requests failed (load main)".into() }
}

/// The verdict, the problem and the warning of a fault that was applied.
fn judged(wanted: &RequiredProof, evidence: &[(Proof, bool, &str)], traffic: &Traffic) -> (Verdict, String, String) {
    let mut fault = fault(evidence, Verdict::Pass);
    let warning = conclude(&mut fault, wanted, Direction::Both, traffic);
    (fault.injection, fault.problem.unwrap_or_default(), warning.unwrap_or_default())
}

#[test]
fn a_hint_proves_nothing_and_contradicts_that_all_went_on_as_before() {
    let effective = (Proof::Effective, true, "the witness cannot connect");
    let auto = RequiredProof::Auto { no_witness: None };
    assert!(judged(&auto, &[APPLIED, effective], &unchanged()).2.contains("did not change"));
    assert_eq!(judged(&auto, &[APPLIED, effective], &hinted()), (Verdict::Pass, String::new(), String::new()));
    let (verdict, problem, _) = judged(&RequiredProof::Traffic, &[APPLIED], &hinted());
    assert_eq!(verdict, Verdict::Inconclusive);
    let says = "not proven: the policy was in place, and 24 of 645 requests failed (load main), which may be chance";
    assert!(problem.starts_with(says), "{problem}");
}

#[test]
fn the_required_proof_decides() {
    use Traffic::Unknown;
    let verdict = |wanted: &RequiredProof, evidence: &[_], traffic: &Traffic| judged(wanted, evidence, traffic).0;
    for (wanted, evidence, traffic, expected) in [
        (RequiredProof::Applied, &[APPLIED][..], unchanged(), Verdict::Pass),
        (RequiredProof::Witness, &[APPLIED, CUT], unchanged(), Verdict::Pass),
        (RequiredProof::Witness, &[APPLIED], changed(), Verdict::Inconclusive),
        (RequiredProof::Traffic, &[APPLIED], changed(), Verdict::Pass),
        (RequiredProof::Traffic, &[APPLIED], unchanged(), Verdict::Inconclusive),
        (RequiredProof::Traffic, &[APPLIED], Unknown, Verdict::Inconclusive),
        (auto(), &[APPLIED, CUT], unchanged(), Verdict::Pass),
        (RequiredProof::Auto { no_witness: None }, &[APPLIED], unchanged(), Verdict::Inconclusive),
        (RequiredProof::Auto { no_witness: None }, &[APPLIED], changed(), Verdict::Pass),
        (auto(), &[APPLIED], changed(), Verdict::Pass),
        (auto(), &[APPLIED], unchanged(), Verdict::Inconclusive),
        (auto(), &[APPLIED], Unknown, Verdict::Inconclusive),
        (auto(), &[APPLIED, LIVES_ON], unchanged(), Verdict::Inconclusive),
    ] {
        assert_eq!(verdict(&wanted, evidence, &traffic), expected, "{wanted:?} {evidence:?} {traffic:?}");
    }
}

#[test]
fn a_change_of_the_requests_becomes_evidence_with_its_time() {
    let mut fault = fault(&[APPLIED], Verdict::Pass);
    assert_eq!(conclude(&mut fault, &auto(), Direction::Both, &changed()), None);
    let last = fault.evidence.last().unwrap();
    assert_eq!((last.at_s, last.shows, last.holds), (4.0, Proof::Effective, true));
    assert_eq!(fault.proven_s, Some(4.0));
}

#[test]
fn each_reason_for_unchanged_requests_has_its_own_diagnosis() {
    let problem = |wanted: &RequiredProof, evidence: &[_], traffic: &Traffic| judged(wanted, evidence, traffic).1;
    let unknown = problem(&auto(), &[APPLIED], &unchanged());
    for part in [
        "did not change (load main: 1 of 60 windows",
        "no image is known",
        "shakedown doctor",
        "--witness-image",
        "prove: applied",
    ] {
        assert!(unknown.contains(part), "{part}: {unknown}");
    }
    assert!(problem(&auto(), &[APPLIED], &Traffic::Unknown).contains("no phase before it"));
    for (traffic, is_unchanged) in [(unchanged(), true), (hinted(), false)] {
        let (verdict, _, warning) = judged(&auto(), &[APPLIED, CUT, LIVES_ON], &traffic);
        assert_eq!((verdict, warning.contains("did not change")), (Verdict::Pass, is_unchanged));
        for part in ["new connections are cut", "established connections are left open", "restart them", "Chaos Mesh"] {
            assert!(warning.contains(part), "{part}: {warning}");
        }
    }
    let warning = judged(&auto(), &[APPLIED, CUT], &unchanged()).2;
    assert!(warning.contains("other pods carry the load"), "{warning}");
}

#[test]
fn one_way_partitions_name_the_other_way() {
    for (direction, part) in
        [(Direction::Egress, "what the targets open"), (Direction::Ingress, "what the targets accept")]
    {
        let mut fault = fault(&[APPLIED], Verdict::Pass);
        conclude(&mut fault, &auto(), direction, &unchanged());
        assert!(fault.problem.as_ref().is_some_and(|problem| problem.contains(part)), "{:?}", fault.problem);
    }
}

#[test]
fn a_witness_that_still_connects_shows_missing_enforcement() {
    let mut fault = fault(&[APPLIED, OPEN], Verdict::Inconclusive);
    fault.problem = Some("not proven: a witness can still connect".to_owned());
    assert_eq!(conclude(&mut fault, &auto(), Direction::Both, &changed()), None);
    assert_eq!(fault.injection, Verdict::Inconclusive, "a change of the requests does not outweigh it");
    assert!(fault.problem.unwrap().contains("enforces NetworkPolicy"));
}

#[test]
fn a_failed_fault_stays_failed() {
    let mut fault = fault(&[], Verdict::Error);
    assert_eq!(conclude(&mut fault, &RequiredProof::Traffic, Direction::Both, &changed()), None);
    assert_eq!((fault.injection, fault.evidence.len()), (Verdict::Error, 0));
}

#[test]
fn a_claimed_fault_without_an_effect_is_reported_with_the_possible_reasons() {
    for (kind, part, ask) in [
        ("netem", "a service mesh, Cilium in place of kube-proxy", "`prove: traffic`"),
        ("partition", "a kernel with nftables only", "`prove: traffic`"),
        ("http", "a port-forward", "`prove: traffic`"),
        ("dns", "resolved no name", "`prove: traffic`"),
        ("stress", "other pods carry the load", "`prove: traffic`"),
    ] {
        let by_chaos_mesh = || {
            let mut fault = fault(&[APPLIED], Verdict::Pass);
            (fault.kind, fault.engine) = (kind.into(), "chaos-mesh".into());
            fault
        };
        let mut fault = by_chaos_mesh();
        let warning = conclude(&mut fault, &RequiredProof::Applied, Direction::Both, &unchanged()).unwrap();
        assert_eq!(fault.injection, Verdict::Pass);
        assert!(
            warning.contains("Chaos Mesh reports fault") && warning.contains(part) && warning.contains(ask),
            "{warning}"
        );
        let mut fault = by_chaos_mesh();
        assert_eq!(conclude(&mut fault, &RequiredProof::Traffic, Direction::Both, &unchanged()), None);
        assert_eq!(fault.injection, Verdict::Inconclusive, "it was asked for");
        assert!(fault.problem.unwrap().contains(part));
        let mut fault = by_chaos_mesh();
        assert_eq!(conclude(&mut fault, &RequiredProof::Applied, Direction::Both, &changed()), None);
    }
}

/// What an observation shows is no mere report of the engine.
#[test]
fn a_fault_that_was_observed_is_not_called_reported_only() {
    let seen = (Proof::Effective, true, "clock of shop/web-0: moved by -10 min");
    for (kind, why) in [("time", "tolerates it"), ("stress", "tolerates it"), ("partition", "does not need this link")]
    {
        for wanted in [RequiredProof::Observed { required: false }, RequiredProof::Applied] {
            let mut fault = fault(&[APPLIED, seen], Verdict::Pass);
            (fault.kind, fault.engine) = (kind.into(), "chaos-mesh".into());
            let warning = conclude(&mut fault, &wanted, Direction::Both, &unchanged()).unwrap();
            let says = format!(
                "fault cut acts, but the requests did not change: the service {why}, or other pods carry the load"
            );
            assert_eq!(warning, says, "{kind}: {wanted:?}");
        }
    }
}

/// A fault inside pods that only Chaos Mesh reports.
fn claimed(kind: &str) -> FaultResult {
    let mut fault = fault(&[APPLIED], Verdict::Pass);
    (fault.kind, fault.engine) = (kind.into(), "chaos-mesh".into());
    (fault.claimed_s, fault.proven_s) = (Some(2.0), None);
    fault
}

#[test]
fn what_only_its_engine_reports_is_claimed_unless_the_requests_show_it() {
    for kind in ["stress", "time", "http", "dns", "io"] {
        let concluded = |wanted: &RequiredProof, traffic: &Traffic| {
            let mut fault = claimed(kind);
            conclude(&mut fault, wanted, Direction::Both, traffic);
            fault
        };
        let auto = RequiredProof::Observed { required: false };
        let strict = RequiredProof::Observed { required: true };
        let seen = concluded(&auto, &changed());
        assert_eq!((seen.is_claimed(), seen.proven_s, seen.injection), (false, Some(4.0), Verdict::Pass), "{kind}");
        let unseen = concluded(&auto, &unchanged());
        assert!(unseen.is_claimed() && unseen.injection == Verdict::Pass, "{kind}");
        let why = unseen.claimed_because.unwrap();
        assert_eq!(why, "the run's own requests did not change significantly", "{kind}");
        assert!(concluded(&auto, &Traffic::Unknown).claimed_because.unwrap().contains("no phase before it"), "{kind}");
        let applied = concluded(&RequiredProof::Applied, &changed());
        assert!(applied.is_claimed(), "{kind}: nothing more was asked for");
        assert_eq!(applied.claimed_because.as_deref(), Some("`prove: applied` asks for no more"), "{kind}");
        assert_eq!(concluded(&strict, &changed()).injection, Verdict::Pass, "{kind}");
        let strict = concluded(&strict, &unchanged());
        assert!(strict.injection == Verdict::Inconclusive && strict.problem.unwrap().contains("not proven"), "{kind}");
    }
}

#[test]
fn what_was_seen_of_the_pods_satisfies_strict_and_what_could_not_be_is_named() {
    let strict = RequiredProof::Observed { required: true };
    let mut seen = claimed("stress");
    seen.proven_s = Some(9.0);
    let detail = "memory of container shop/web/nginx: asked 128 MB, seen 125 MB".to_owned();
    seen.evidence.push(Evidence { at_s: 9.0, shows: Proof::Effective, holds: true, detail });
    conclude(&mut seen, &strict, Direction::Both, &unchanged());
    assert_eq!((seen.injection, seen.is_claimed()), (Verdict::Pass, false));
    let mut unseen = claimed("stress");
    unseen.claimed_because = Some("this account may not get nodes/proxy".to_owned());
    conclude(&mut unseen, &strict, Direction::Both, &unchanged());
    let problem = unseen.problem.unwrap();
    assert!(problem.contains("did not change") && problem.contains("may not get nodes/proxy"), "{problem}");
}
