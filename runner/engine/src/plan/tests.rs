//! Which namespaces a scenario touches.

use shakedown_fakes::kubernetes;
use shakedown_schemas::{Overrides, parse};

use super::*;
use shakedown_cluster::{ConnectOptions, connect};

const TEXT: &str = r#"
version: 1
name: many
namespace: own
load:
  main: {http: {service: web.shop:80}, rate: 50/s}
phases:
  - {name: baseline, duration: 30s}
  - name: faults
    duration: 30s
    faults:
      cut: {partition: {pods: {prefix: a, namespace: target}, from: [{service: nats, namespace: bus}]}}
      slow: {netem: {pods: {prefix: b}, to: [{pods: {prefix: c, namespace: far}}], delay: 1s}}
    expect:
      - pods: {select: {prefix: d, namespace: seen}, restarts: {max: 0}}
      - logs: {select: {prefix: e, namespace: web}, matches: panic, max: 0}
"#;

#[tokio::test]
async fn every_namespace_that_a_scenario_touches_is_its_own() {
    _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = kubernetes::server(|_| kubernetes::json_answer(404, "{}".to_owned()));
    let options = ConnectOptions { kubeconfig_text: Some(kubeconfig), ..ConnectOptions::default() };
    let cluster = connect(&options).await.unwrap();
    let document = parse("many.yaml", TEXT.as_bytes(), &Overrides::default()).unwrap();
    let found = namespaces(&document.scenario, &cluster, &Options::for_tests());
    assert_eq!(
        found.iter().map(String::as_str).collect::<Vec<_>>(),
        ["bus", "far", "own", "seen", "shop", "target", "web"]
    );
}
