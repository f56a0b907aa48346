//! Files of the other tools in `tests-cases/import`: each becomes a scenario that is valid, and what is not carried over is
//! noted.

use std::fmt::Write;
use std::path::Path;

use super::import;
use crate::{Overrides, parse};

fn cases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests-cases/import");
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it != "snap"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    cases.sort();
    assert!(cases.len() >= 8);
    cases
}

#[test]
fn every_file_becomes_a_valid_scenario_and_the_rest_is_noted() {
    let mut all = String::new();
    for (file, text) in cases() {
        let imported =
            import(&file, text.as_bytes(), None).unwrap_or_else(|problem| panic!("{file}: {}", problem.message));
        writeln!(all, "==== {file}: {}\n{}", imported.tool, imported.scenario).unwrap();
        for note in &imported.notes {
            writeln!(all, "line {}: {}", note.line, note.message).unwrap();
        }
        if let Err(problems) = parse(&file, imported.scenario.as_bytes(), &Overrides::default()) {
            let problems: Vec<_> = problems.iter().map(|it| (it.span.map(|it| it.line), &it.message)).collect();
            panic!("{file}: {problems:#?}\n{}", imported.scenario);
        }
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../../tests-cases/import" }, {
        insta::assert_snapshot!("imported", all);
    });
}

/// A key that is added to any map of a manifest is named with its line: nothing is lost silently.
#[test]
fn an_unknown_key_is_noted_wherever_it_is() {
    let (_, text) = cases().into_iter().find(|(file, _)| file == "chaos-mesh.yaml").unwrap();
    let before = import("a.yaml", text.as_bytes(), None).unwrap().notes.len();
    let mut tried = 0;
    for (number, line) in text.lines().enumerate() {
        let block =
            line.trim_end().ends_with(':') && !line.contains("expressionSelectors") && !line.contains("labelSelectors");
        if !block || line.contains("metadata") {
            continue;
        }
        let indent = line.len() - line.trim_start().len() + 2;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.insert(number + 1, format!("{}unheardOf: 1", " ".repeat(indent)));
        let notes = import("a.yaml", lines.join("\n").as_bytes(), None).unwrap().notes;
        let named = notes.iter().any(|note| note.message.contains("unheardOf") && note.line as usize == number + 2);
        assert!(named && notes.len() == before + 1, "line {}: {notes:#?}", number + 2);
        tried += 1;
    }
    assert!(tried >= 6, "{tried}");
}

#[test]
fn the_given_service_receives_the_load() {
    for (file, text) in cases() {
        let imported = import(&file, text.as_bytes(), Some("front.store:8080")).unwrap();
        assert!(
            imported.scenario.contains("service: \"front.store:8080\"")
                || imported.scenario.contains("service: front.store:8080")
        );
        assert!(!imported.notes.iter().any(|note| note.message.contains("sends no requests")), "{file}");
    }
}

#[test]
fn other_files_are_refused_with_what_can_be_imported() {
    for text in [
        "apiVersion: v1\nkind: Pod\n",
        "a: 1\n",
        "- 1\n",
        "",
        "x\n",
        "apiVersion: chaos-mesh.org/v1alpha1\nkind: AWSChaos\nspec: {action: x}\n",
    ] {
        let problem = import("a.yaml", text.as_bytes(), None).unwrap_err();
        assert!(problem.help.is_some(), "{text}: {problem:?}");
    }
}

#[test]
fn damaged_files_never_panic() {
    for (file, text) in cases() {
        for cut in (0..text.len()).step_by(37) {
            let Some(part) = text.get(..cut) else { continue };
            if let Ok(imported) = import(&file, part.as_bytes(), None) {
                _ = parse(&file, imported.scenario.as_bytes(), &Overrides::default());
            }
        }
    }
}

/// Values that are out of range, unknown or of another kind: each is named, and none panics.
#[test]
fn what_is_out_of_range_or_unknown_is_named() {
    let outage = |duration: &str| {
        format!(
            "application_outage: {{duration: {duration}, namespace: a, pod_selector: {{app: x}}, block: [Egress]}}\n"
        )
    };
    let chaos = |spec: &str| {
        format!(
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {{name: a, annotations: {{p: q}}}}\nspec: {{action: pod-failure, selector: {{labelSelectors: {{app: x}}}}, {spec}}}\n"
        )
    };
    let litmus = |env: &str| {
        format!(
            "apiVersion: litmuschaos.io/v1alpha1\nkind: ChaosEngine\nmetadata: {{name: a}}\nspec:\n  engineState: stop\n  appinfo: {{applabel: app=x, appns: a}}\n  experiments:\n  - {{name: pod-network-loss, spec: {{components: {{env: [{{name: NETWORK_PACKET_LOSS_PERCENTAGE, value: '5'}}, {env}]}}}}}}\n"
        )
    };
    for (text, part) in [
        (outage("1e300"), "no number of seconds"),
        (outage("99999999999999999999"), "no number of seconds"),
        (chaos("mode: few"), "the mode few is unknown"),
        (chaos("duration: 30s"), "the mode (none) is unknown"),
        (chaos("mode: all, duration: -30s"), "no duration up to ten days"),
        (chaos("mode: all"), "`metadata.annotations`"),
        (chaos("mode: fixed, value: many"), "`many` is no number of pods: one pod is taken; write `count: 2`"),
        (chaos("mode: fixed-percent"), "`` is no number of pods"),
        (format!("{}---\napiVersion: v1\nkind: ConfigMap\n", chaos("mode: all")), "belongs to no tool"),
        (litmus("{name: TARGET_PODS, value: 'a-0,a-1'}"), "only a-0"),
        (litmus("{name: RAMP_TIME, value: '10'}"), "RAMP_TIME=10"),
        (litmus("{name: A, value: b}"), "`engineState: stop`"),
    ] {
        let imported =
            import("a.yaml", text.as_bytes(), None).unwrap_or_else(|problem| panic!("{}\n{text}", problem.message));
        assert!(imported.notes.iter().any(|note| note.message.contains(part)), "{part}: {:#?}\n{text}", imported.notes);
    }
    let paused = r#"{"title": "t", "method": [{"type": "action", "name": "a", "pauses": {"after": 1e300}, "provider": {"type": "python",
        "module": "chaosk8s.pod.actions", "func": "terminate_pods", "arguments": {"label_selector": "app=x", "ns": "a"}}}]}"#;
    import("a.json", paused.as_bytes(), None).unwrap();
}

/// Each documented field that says what a fault does changes the scenario or has a note.
#[test]
fn no_field_is_lost_silently() {
    let chaos = |kind: &str, spec: &str| {
        format!(
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{selector: {{labelSelectors: {{app: x}}}}, mode: all, {spec} FIELD}}\n"
        )
    };
    let link = "target: {selector: {labelSelectors: {app: y}}, mode: all},";
    let netem = |spec: &str| chaos("NetworkChaos", &format!("action: delay, {link} delay: {{latency: 9ms}}, {spec}"));
    let outside = chaos("NetworkChaos", "action: delay, delay: {latency: 9ms}, externalTargets: [10.1.1.1],");
    let stress = |of: &str| chaos("StressChaos", "").replace("FIELD", &format!("stressors: {{{of}}}"));
    let inside = |kind: &str, spec: &str| chaos(kind, spec);
    let outage = "application_outage: {duration: 60, namespace: a, pod_selector: {app: x}, FIELD}\n".to_owned();
    let of_pods =
        |id: &str| format!("- id: {id}\n  namespace: a\n  label_selector: app=x\n  test_duration: 60\n  FIELD\n");
    for (text, fields) in [
        (
            netem(""),
            &[
                "direction: both",
                "device: eth1",
                "externalTargets: [10.1.1.1]",
                "duration: 30s",
                "unknown: 1",
                "remoteCluster: b",
                "targetDevice: eth2",
                "loss: {loss: '5'}",
                "duplicate: {duplicate: '5'}",
                "corrupt: {corrupt: '5'}",
                "rate: {rate: 1mbps}",
                "bandwidth: {rate: 1mbps}",
            ][..],
        ),
        (outside, &["direction: from", "direction: both", "device: eth1"]),
        (
            netem("bandwidth: {rate: 1mbps, FIELD}, ").replace(" FIELD}\n", "}\n"),
            &["limit: 9", "buffer: 9", "peakrate: 9", "minburst: 9"],
        ),
        (stress("memory: {size: 1MB, FIELD}"), &["workers: 4", "oomScoreAdj: 3", "options: [a]", "time: 3s"]),
        (stress("cpu: {workers: 1, FIELD}"), &["load: 50", "options: [a]"]),
        (
            inside("StressChaos", "stressors: {cpu: {workers: 1}},"),
            &["containerNames: [b]", "stressngStressors: a", "duration: 30s"],
        ),
        (
            inside("IOChaos", "action: latency, volumePath: /a, delay: 9ms,"),
            &[
                "path: /a/b",
                "percent: 50",
                "methods: [READ]",
                "containerNames: [b]",
                "attr: {ino: 1}",
                "mistake: {filling: zero}",
                "errno: 5",
            ],
        ),
        (inside("TimeChaos", "timeOffset: -9s,"), &["clockIds: [CLOCK_REALTIME]", "containerNames: [b]"]),
        (inside("DNSChaos", "action: error,"), &["patterns: [a.b]", "containerNames: [b]"]),
        (
            inside("HTTPChaos", "abort: true, port: 80,"),
            &[
                "target: Response",
                "path: /a",
                "method: GET",
                "code: 404",
                "delay: 9ms",
                "request_headers: {a: b}",
                "response_headers: {a: b}",
                "replace: {path: /b}",
                "patch: {body: {type: JSON, value: a}}",
                "tls: {secretName: a}",
            ],
        ),
        (inside("PodChaos", "action: pod-kill,"), &["gracePeriod: 3", "containerNames: [b]"]),
        (outage, &["block: [Ingress]", "exclude_label: a=b"]),
        (
            of_pods("pod_network_chaos").replace("FIELD", "latency: 9ms\n  FIELD"),
            &["loss: 5", "bandwidth: 1mbit", "interfaces: [eth1]", "ingress: true", "instance_count: 2", "unknown: 1"],
        ),
        (
            of_pods("pod_network_filter").replace("FIELD", "ports: [80]\n  FIELD"),
            &["ingress: true", "protocols: [udp]", "interfaces: [eth1]", "instance_count: 2"],
        ),
    ] {
        let of = |field: &str| import("a.yaml", text.replace("FIELD", field).as_bytes(), None);
        let Ok(without) = of("") else { panic!("{text}") };
        for field in fields {
            let with = of(field).unwrap_or_else(|problem| panic!("{field}: {}\n{text}", problem.message));
            let is_said = with.notes.iter().any(|note| !without.notes.contains(note));
            assert!(is_said || with.scenario != without.scenario, "{field} is lost\n{text}\n{}", with.scenario);
        }
    }
}

/// krkn cuts pods off from everything, and a partition from named peers.
#[test]
fn what_a_fault_does_less_than_the_original_is_noted() {
    let outage = "application_outage: {duration: 60, namespace: a, pod_selector: {app: x}, block: [Ingress, Egress]}\n";
    let imported = import("a.yaml", outage.as_bytes(), None).unwrap();
    assert!(imported.notes.iter().any(|note| note.message.contains("also from other pods")), "{:#?}", imported.notes);
}

/// A share of the pods became as many pods, or the other way round.
#[test]
fn a_share_of_the_pods_stays_a_share() {
    let chaos = |spec: &str| {
        format!(
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {{name: a}}\nspec: {{action: pod-failure, selector: {{labelSelectors: {{app: x}}}}, {spec}}}\n"
        )
    };
    let toolkit = |arguments: &str| {
        format!(
            r#"{{"title": "t", "method": [{{"type": "action", "name": "a", "provider": {{"type": "python", "module": "chaosk8s.pod.actions",
            "func": "terminate_pods", "arguments": {{"label_selector": "app=x", {arguments}}}}}}}]}}"#
        )
    };
    let krkn = |kill: &str| {
        format!("- id: kill-pods\n  config: {{namespace_pattern: a, label_selector: app=x, kill: {kill}}}\n")
    };
    for (text, pods) in [
        (chaos("mode: fixed, value: '2'"), "count: 2}"),
        (chaos("mode: fixed, value: '50%'"), "percent: 50%}"),
        (chaos("mode: fixed-percent, value: '50'"), "percent: 50%}"),
        (chaos("mode: fixed-percent, value: '50%'"), "percent: 50%}"),
        (chaos("mode: fixed-percent, value: 33.5"), "percent: 33.5%}"),
        (toolkit("\"qty\": 2"), "count: 2}"),
        (toolkit("\"qty\": \"50%\""), "percent: 50%}"),
        (toolkit("\"qty\": 50, \"mode\": \"percentage\""), "percent: 50%}"),
        (krkn("2"), "count: 2}"),
        (krkn("50%"), "percent: 50%}"),
    ] {
        let imported = import("a.yaml", text.as_bytes(), None).unwrap();
        assert!(imported.scenario.contains(pods), "{pods} for {text}\n{}", imported.scenario);
        assert_eq!(imported.problems, [], "{text}");
    }
}

/// An error of the scenario has its line and what to write.
#[test]
fn what_has_to_be_mended_has_its_line_and_what_to_write() {
    let text = "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {name: a}\nspec: {action: pod-failure, selector: \
                {labelSelectors: {app: x}}, mode: fixed, value: '0'}\n";
    let imported = import("a.yaml", text.as_bytes(), None).unwrap();
    let [problem] = &imported.problems[..] else { panic!("{:#?}", imported.problems) };
    let line = imported.scenario.lines().position(|line| line.contains("count: 0")).unwrap() + 1;
    assert_eq!(problem.line().map(|it| it as usize), Some(line));
    let drawn = problem.render(false);
    assert!(drawn.contains("count: 0") && drawn.contains("help: "), "{drawn}");
}

/// Text of the other tool stays one value, wherever a number is expected.
#[test]
fn foreign_text_cannot_change_the_structure() {
    let hostile = "2, owner: x";
    for (file, text) in cases() {
        for number in ["\"2\"", "\"50\"", "\"1\"", "\"200\"", "8080", "\"qty\": 2", "kill: 1", "count: 1"] {
            let (key, value) = number.rsplit_once(' ').map_or(("", number), |(key, value)| (key, value));
            let changed = text.replacen(number, &format!("{key} \"{hostile}\""), 1);
            if changed == text || value.is_empty() {
                continue;
            }
            let Ok(imported) = import(&file, changed.as_bytes(), None) else { continue };
            let tree = crate::source::parse(&imported.scenario).unwrap();
            assert!(!format!("{tree:?}").contains("key: \"owner\""), "{file}: {number}\n{}", imported.scenario);
        }
    }
}
