//! `--record`: what a run writes down of Chaos Mesh's objects, so that it can be sent and replayed.

use std::time::Duration;

use shakedown_fakes::recordings::{self, Trace};

use crate::support::shakedown::Shakedown;

const SCENARIO: &str = r#"version: 1
name: recorded
namespace: dynamo
sandbox: {topology: quick}
description: "{{ token }} is in the file, and in an object."
vars: {token: none}
load:
  models:
    http: {service: "vllm-agg-0-frontend:8000", path: /v1/models}
    rate: 20/s
    timeout: 2s
phases:
  - name: before
    duration: 2s
  - name: slow
    duration: 4s
    faults:
      slow:
        netem: {pods: {prefix: vllm-agg-0-vllmdecodeworker, count: 1}, to: [{service: nats}], delay: 100ms, jitter: 50ms}
      written:
        manifest:
          after: 1s
          object:
            apiVersion: chaos-mesh.org/v1alpha1
            kind: StressChaos
            metadata: {annotations: {note: "{{ token }}"}}
            spec:
              mode: one
              selector: {namespaces: [dynamo], labelSelectors: {nvidia.com/dynamo-component-type: worker}}
              stressors: {cpu: {workers: 1, load: 10}}
          active_when: [{field: "status.conditions[type=AllInjected].status", equals: "True"}]
    expect:
      - success_rate: {min: 50%}
"#;

#[test]
fn a_recorded_run_can_be_sent_and_replayed() {
    const TOKEN: &str = "pl4nted-t0ken";
    let shakedown = Shakedown::new();
    let file = shakedown.file("scenario.yaml", SCENARIO);
    let secret = format!("token={TOKEN}");
    let args = ["run", "--sandbox", "--record", "rec", "--out", "out", "--secret", &secret, &file];
    let finished = shakedown.start(&args).finish(Duration::from_secs(120));
    let reports = shakedown.reports("out");
    assert!(matches!(finished.code(), 0 | 4), "{finished}\n{}", reports.found());
    let warnings = &reports.scenario().warnings;
    assert!(!warnings.iter().any(|it| it.contains("record")), "{warnings:#?}");
    let folder = shakedown.path("rec").join("recorded");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("a recording")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let wanted =
        ["events.ndjson", "networkchaos.ndjson", "podnetworkchaos.ndjson", "scenario.yaml", "stresschaos.ndjson"];
    assert_eq!(names, wanted);
    for name in &names {
        let text = std::fs::read_to_string(folder.join(name)).expect("text");
        assert!(!text.contains(TOKEN) && !text.contains("managedFields"), "{name}: {text}");
    }
    let stressed = std::fs::read_to_string(folder.join("stresschaos.ndjson")).expect("text");
    assert!(stressed.contains(r#""note":"[redacted]""#), "{stressed}");
    // The first fault of the sandbox's pods, and none before.
    let events = recordings::folder(&folder);
    let first = recordings::first(&events).expect("a resource");
    assert!(first.name.ends_with("-to") && first.object["spec"]["externalTargets"].is_array(), "{first:#?}");
    let real = recordings::read("delay");
    let named = &recordings::first(&real).expect("a resource").name;
    let (ours, real) = (Trace::of(&events, &first.name), Trace::of(&real, named));
    assert_eq!(format!("{:#?}", ours.since_the_fault()), format!("{:#?}", real.since_the_fault()));
}

#[test]
fn a_run_without_chaos_mesh_says_that_nothing_is_recorded() {
    let shakedown = Shakedown::new();
    let text = SCENARIO.split("    faults:").next().expect("a beginning");
    let file = shakedown.file("scenario.yaml", text);
    let args = ["run", "--sandbox", "--record", "rec", "--out", "out", &file];
    shakedown.start(&args).finish(Duration::from_secs(120)).expect_code(4);
    let warnings = shakedown.reports("out").scenario().warnings.join("\n");
    assert!(warnings.contains("nothing was recorded: no fault of this scenario uses Chaos Mesh"), "{warnings}");
    assert_eq!(std::fs::read_dir(shakedown.path("rec")).expect("a folder").count(), 0);
}
