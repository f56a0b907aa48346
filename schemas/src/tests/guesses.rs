//! The dialogue with a person who guesses: each guess, and its answer. A guess is either understood, as what is next to
//! it in the table, or its answer shows a line that is valid in its place.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::{as_json, proposals};
use crate::diagnostic::Code;
use crate::{Diagnostic, Document, Overrides, json_schema, parse};

/// Where a guess is written: the file before it, and behind it.
fn around(spot: &str) -> (String, String) {
    const HEAD: &str = "version: 1\nname: shop\n";
    const LOAD: &str = "load:\n  main:\n    http: {service: \"shop:80\"}\n    rate: 20/s\n";
    const BASELINE: &str = "  - {name: baseline, duration: 60s}\n";
    const CUT: &str = "  - name: cut\n    duration: 60s\n    faults:\n      f:\n        ";
    const KILL: &str = "pod_kill: {pods: {labels: {app: web}, count: 1}}";
    const PODS: &str = "pods: {labels: {app: web}, count: 1}";
    let after =
        |text: &str| format!("{HEAD}{LOAD}phases:\n{BASELINE}{CUT}{KILL}\n  - name: after\n    duration: 60s\n{text}");
    let fault = |text: &str| format!("{HEAD}{LOAD}phases:\n{BASELINE}{CUT}{text}");
    let load = |text: &str| format!("{HEAD}load:\n  main:\n{text}");
    let phases = format!("phases:\n{BASELINE}");
    let (before, behind) = match spot {
        "expectation" => (after("    expect:\n      - "), String::new()),
        "expectation of tokens" => {
            let openai = "openai: {service: \"shop:80\", model: m, prompt: hello, stream: true}";
            let before = after("    expect:\n      - ").replace("http: {service: \"shop:80\"}", openai);
            (before, String::new())
        }
        "latency" => (after("    expect:\n      - latency: {percentile: p95, "), "}".into()),
        "success_rate" => (after("    expect:\n      - success_rate: {"), "}".into()),
        "logs" => (after("    expect:\n      - logs: {matches: FATAL, max: 0, "), "}".into()),
        "pods of an expectation" => (after("    expect:\n      - pods: {ready_within: 30s, "), "}".into()),
        "effect" => (fault(&format!("{KILL}\n    effect:\n      ")), String::new()),
        "phase" => (after("    "), String::new()),
        "fault" => (fault(""), String::new()),
        "netem" => (fault(&format!("netem: {{{PODS}, ")), "}".into()),
        "netem with a delay" => (fault(&format!("netem: {{{PODS}, delay: 100ms, ")), "}".into()),
        "partition with peers" => (fault(&format!("partition: {{{PODS}, from: postgres, ")), "}".into()),
        "partition" => (fault(&format!("partition: {{{PODS}, ")), "}".into()),
        "partition's peer" => (fault(&format!("partition: {{{PODS}, from: [{{")), "}]}".into()),
        "service's peer" => (fault(&format!("partition: {{{PODS}, from: [{{service: postgres, ")), "}]}".into()),
        "stress" => (fault(&format!("stress: {{{PODS}, ")), "}".into()),
        "pod_kill" => (fault("pod_kill: {"), "}".into()),
        "whole pod_kill of some" => (fault("pod_kill: {pods: {labels: {app: web}}, "), "}".into()),
        "whole pod_kill" => (fault(&format!("pod_kill: {{{PODS}, ")), "}".into()),
        "selector" => (fault("pod_kill: {pods: {"), "}}".into()),
        "selector with labels" => (fault("pod_kill: {pods: {labels: {app: web}, "), "}}".into()),
        "http that posts" => {
            (load("    rate: 20/s\n    http: {service: \"shop:80\", method: POST, "), format!("}}\n{phases}"))
        }
        "http with steps" => {
            let behind = format!("}}\n    concurrency: 1\n{phases}");
            (load("    http: {service: \"shop:80\", "), behind)
        }
        "step" => {
            let behind = format!("}}]}}\n    concurrency: 1\n{phases}");
            (load("    http: {service: \"shop:80\", steps: [{name: login, "), behind)
        }
        "closed load" => (load("    http: {service: \"shop:80\"}\n    concurrency: 1\n    "), format!("\n{phases}")),
        "stop condition" => (format!("{HEAD}{LOAD}{phases}abort_if: [{{success_rate: {{for: 10s, "), "}}]".into()),
        "load without a pace" => (load("    http: {service: \"shop:80\"}\n    "), format!("\n{phases}")),
        "load without a kind" => (load("    rate: 20/s\n    "), format!("\n{phases}")),
        "load" => (load("    http: {service: \"shop:80\"}\n    rate: 20/s\n    "), format!("\n{phases}")),
        "http without a service" => (load("    rate: 20/s\n    http: {"), format!("}}\n{phases}")),
        "http" => (load("    rate: 20/s\n    http: {service: \"shop:80\", "), format!("}}\n{phases}")),
        "time" => (fault(&format!("time: {{{PODS}, ")), "}".into()),
        "io" => (fault(&format!("io: {{{PODS}, volume: /data, ")), "}".into()),
        "dns" => (fault(&format!("dns: {{{PODS}, ")), "}".into()),
        "http fault" => (fault(&format!("http: {{{PODS}, port: 80, ")), "}".into()),
        "no version" => (String::new(), format!("\nname: shop\n{LOAD}{phases}")),
        "scenario without phases" => (format!("{HEAD}{LOAD}"), String::new()),
        "check" => (load("    rate: 20/s\n    http: {service: \"shop:80\", check: {"), format!("}}}}\n{phases}")),
        "scenario" => (format!("{HEAD}{LOAD}{phases}"), String::new()),
        "scenario without a load" => (HEAD.to_owned(), format!("\n{phases}")),
        _ => (String::new(), String::new()),
    };
    (before, format!("{behind}\n"))
}

/// Guesses that are understood, and what they are the same as.
const UNDERSTOOD: &[(&str, &str, &str)] = &[
    ("expectation", "success_rate: 99%", "success_rate: {min: 99%}"),
    ("expectation", "recovery_time: 15s", "recovery_time: {max: 15s}"),
    ("pods of an expectation", "restarts: 0", "restarts: {max: 0}"),
    ("pods of an expectation", "pods: {labels: app=web}", "select: {labels: {app: web}}"),
    ("logs", "pods: {labels: app=web}", "select: {labels: {app: web}}"),
    ("partition", "to: [{service: postgres}]", "from: [{service: postgres}]"),
    ("partition", "to: postgres", "from: [{service: postgres}]"),
    ("partition", "from: postgres", "from: [{service: postgres}]"),
    ("partition", "from: [postgres, {host: db.example.org}]", "from: [{service: postgres}, {host: db.example.org}]"),
    ("partition", "from: {service: postgres}", "from: [{service: postgres}]"),
    ("netem", "delay: 100ms, from: postgres", "delay: 100ms, to: [{service: postgres}]"),
    ("netem", "delay: 100ms, to: [postgres]", "delay: 100ms, to: [{service: postgres}]"),
    ("service's peer", "ports: 5432", "ports: [5432]"),
    ("service's peer", "ports: postgresql", "ports: [postgresql]"),
    ("check", "status: 200", "status: [200]"),
    ("stress", "memory: 512Mi", "memory: {size: 512MiB}"),
    ("stress", "memory: {size: 1Gi}", "memory: {size: 1GiB}"),
    ("stress", "memory: 1GiB, containers: web", "memory: {size: 1GiB}, containers: [web]"),
    ("selector", "labels: app=checkout", "labels: {app: checkout}"),
    (
        "selector",
        "labels: \"app==checkout,tier!=test\"",
        "labels: {matchLabels: {app: checkout}, matchExpressions: [{key: tier, operator: NotIn, values: [test]}]}",
    ),
    ("scenario", "tags: fast", "tags: [fast]"),
];

/// Guesses that are answered with a line.
const ANSWERED: &[(&str, &str)] = &[
    ("expectation", "error_rate: 1%"),
    ("expectation", "error_rate: {max: 1%}"),
    ("expectation", "error_rate < 1%"),
    ("expectation", "error-rate: 0.01"),
    ("expectation", "http_req_failed: rate<0.01"),
    ("expectation", "availability: 99.9%"),
    ("expectation", "availability: {min: 99.9%}"),
    ("expectation", "availability: 0.999"),
    ("expectation", "p95: 500ms"),
    ("expectation", "p95: {max: 500ms}"),
    ("expectation", "p99.9: 2s"),
    ("expectation", "latency_p99: {below: 1s}"),
    ("expectation", "success_rate >= 99%"),
    ("expectation", "success_rate: \">= 99%\""),
    ("expectation", "success_rate: >= 99%"),
    ("expectation", "success_rate: >99%"),
    ("expectation", "latency: 500ms"),
    ("expectation", "latency: {p95: 500ms}"),
    ("expectation", "latency: p(95)<500"),
    ("expectation", "latency.p95 < 500ms"),
    ("expectation", "http_req_duration: [\"p(95)<500\"]"),
    ("expectation", "response_time: 300ms"),
    ("expectation of tokens", "time_to_first_token: 500ms"),
    ("expectation of tokens", "ttft: {p95: 500ms}"),
    ("expectation", "latency_ratio: 3"),
    ("expectation", "latency_ratio: {p95: 3x}"),
    ("expectation", "errors: {max: 1%}"),
    ("expectation", "errors: {max: 5}"),
    ("expectation", "errors: 0"),
    ("expectation", "errors: 1%"),
    ("expectation", "recovery: 15s"),
    ("expectation", "restarts: 0"),
    ("expectation", "ready_within: 30s"),
    ("expectation", "rps: {min: 100}"),
    ("latency", "below: 500ms"),
    ("latency", "at_most: 500ms"),
    ("success_rate", "above: 99%"),
    ("success_rate", "at_least: 99%"),
    ("logs", "labels: {app: web}"),
    ("effect", "success_rate: 20%"),
    ("effect", "error_rate: 80%"),
    ("stop condition", "min: 50%"),
    ("phase", "assert: [{success_rate: 99%}]"),
    ("phase", "thresholds: [{requests: {min: 100}}]"),
    ("phase", "thresholds: {p95: 500ms}"),
    ("phase", "warmup: 10s"),
    ("phase", "fault: {pod_kill: {pods: {labels: {app: web}, count: 1}}}"),
    ("phase", "fault: {loss: {pod_kill: {pods: {labels: {app: web}, count: 1}}}}"),
    ("phase", "faults: {partition: {pods: {labels: {app: web}, count: 1}, from: postgres}}"),
    ("fault", "delay: 200ms"),
    ("fault", "delay: {pods: {labels: {app: web}}, delay: 200ms, duration: 20s}"),
    ("fault", "latency: {target: web, latency: 200}"),
    ("fault", "network_loss: {pods: {labels: {app: web}}, percent: 20}"),
    ("fault", "network-loss: 20%"),
    ("fault", "kill_pod: {pods: {labels: {app: web}}}"),
    ("fault", "kill_pod: {pods: app=web}"),
    ("fault", "kill_pod: web"),
    ("fault", "kill_pod: {pods: {app: web}}"),
    ("fault", "kill_pod: {pods: {app: web, tier: front, count: 1}}"),
    ("fault", "cpu_stress: {pods: {app: web}, cpu: 80%}"),
    ("fault", "network_loss: {target: {app: web}, percent: 20}"),
    ("fault", "kill_pod: {prefix: checkout-, count: 2}"),
    ("fault", "kill_pod: {labels: {app: web}, count: 1}"),
    ("fault", "delete_pod: {deployment: checkout}"),
    ("fault", "cpu_stress: {pods: {deployment: checkout}, cpu: 80%}"),
    ("fault", "cpu_stress: {pods: {labels: {app: web}}, workers: 2}"),
    ("fault", "memory_stress: {pods: {labels: {app: web}}, size: 512Mi}"),
    ("fault", "network_partition: {pods: {labels: {app: web}}, from: postgres}"),
    ("netem", "latency: 200ms"),
    ("netem", "packet_loss: 10%"),
    ("netem", "rate: 1Mbit/s"),
    ("netem", "rate: 20/s"),
    ("netem with a delay", "duration: 20s"),
    ("netem with a delay", "target: postgres"),
    ("partition", "target: postgres"),
    ("partition", "target: {labels: {app: db}}"),
    ("partition", "target: {app: db}"),
    ("partition with peers", "target: postgres"),
    ("whole pod_kill", "duration: 20s"),
    ("whole pod_kill", "target: web"),
    ("partition with peers", "duration: 20s"),
    ("partition", "service: postgres"),
    ("service's peer", "port: 5432"),
    ("partition's peer", "name: postgres"),
    ("partition's peer", "ip: 10.0.0.1"),
    ("partition's peer", "deployment: postgres"),
    ("stress", "cpu: 80%"),
    ("stress", "cpu: 2"),
    ("pod_kill", "pods: app=checkout"),
    ("pod_kill", "pods: deployment/checkout"),
    ("pod_kill", "pods: checkout"),
    ("pod_kill", "target: {app: web}"),
    ("pod_kill", "target: {labels: {app: web}}"),
    ("pod_kill", "labels: {app: web}"),
    ("selector", "deployment: checkout"),
    ("selector", "sts: postgres"),
    ("selector", "app: checkout"),
    ("selector", "labelSelectors: {app: checkout}"),
    ("selector with labels", "count: all"),
    ("selector with labels", "count: 50%"),
    ("selector with labels", "mode: one"),
    ("selector with labels", "mode: all"),
    ("pod_kill", "selector: {labelSelectors: {app: x}}"),
    ("selector with labels", "mode: fixed, value: \"2\""),
    ("selector with labels", "value: 30%, mode: fixed-percent"),
    ("selector with labels", "mode: random-max-percent, value: 40"),
    ("selector with labels", "namespaces: [shop]"),
    ("whole pod_kill of some", "mode: fixed, value: 2"),
    ("whole pod_kill of some", "mode: all"),
    (
        "fault",
        "NetworkChaos: {action: delay, mode: fixed, value: \"2\", selector: {namespaces: [shop], labelSelectors: {app: web}}, \
         delay: {latency: 250ms, jitter: 20ms, correlation: \"25\"}, duration: 30s}",
    ),
    ("fault", "PodChaos: {action: pod-failure, mode: one, selector: {labelSelectors: {app: web}}, duration: 20s}"),
    (
        "fault",
        "podchaos: {spec: {action: pod-kill, mode: all, selector: {labelSelectors: {app: web}}, gracePeriod: 5}}",
    ),
    (
        "fault",
        "StressChaos: {mode: one, selector: {labelSelectors: {app: web}}, stressors: {cpu: {workers: 2, load: 60}}, \
         remoteCluster: east}",
    ),
    (
        "fault",
        "{apiVersion: chaos-mesh.org/v1alpha1, kind: PodChaos, spec: {action: pod-kill, mode: one, selector: {labelSelectors: \
         {app: web}}}}",
    ),
    ("fault", "pod_kill: {mode: fixed, value: 2, selector: {labelSelectors: {app: web}}}"),
    ("fault", "netem: {mode: all, selector: {labelSelectors: {app: web}}, loss: {loss: \"30\"}, direction: to}"),
    ("netem with a delay", "to: postgres, direction: to"),
    ("phase", "PodChaos: {action: pod-kill, mode: one, selector: {labelSelectors: {app: web}}}"),
    ("phase", "faults: {PodChaos: {action: pod-kill, mode: one, selector: {labelSelectors: {app: web}}}}"),
    ("scenario", "PodChaos: {action: pod-kill, mode: one, selector: {labelSelectors: {app: web}}}"),
    ("http that posts", "body: {seat: A1}"),
    ("http that posts", "json: {seat: A1}"),
    ("http", "get: /x"),
    ("step", "url: /login"),
    ("step", "path: /login, extract: {token: {json: $.token}}"),
    ("http with steps", "session: [{name: login, path: /login}]"),
    ("closed load", "sleep: 1s"),
    ("closed load", "think: 1s"),
    ("scenario", "topology: shop"),
    ("scenario", "secrets: [token]"),
    ("scenario", "setup: [{run: ./seed}]"),
    ("load without a pace", "rps: 20"),
    ("load without a pace", "rate: 20"),
    ("load without a pace", "rate: 20rps"),
    ("load without a pace", "vus: 10"),
    ("load without a pace", "users: 10"),
    ("load without a pace", "stages: [{duration: 20s, target: 100}]"),
    ("load without a pace", "stages: [{duration: 20s, target: 100}, {duration: 20s, target: 200}]"),
    ("load without a kind", "url: \"http://127.0.0.1:8080\""),
    ("load without a kind", "service: shop:80"),
    ("load", "warmup: 10s"),
    ("load", "duration: 60s"),
    ("http", "status: 200"),
    ("http", "tls: {}"),
    ("http", "rate: 20/s"),
    ("http", "connections: per_request"),
    ("http", "timeout: 5s"),
    ("http", "concurrency: 4"),
    ("check", "status_code: 200"),
    ("scenario", "warmup: 10s"),
    ("scenario", "assert: [{success_rate: 99%}]"),
    ("scenario", "namespace: ${NAMESPACE}"),
    ("http without a service", "service: \"${SERVICE}:80\""),
    ("scenario without a load", "load: [{http: {service: \"shop:80\"}, rate: 20/s}]"),
    ("scenario without a load", "load: [{name: customers, http: {service: \"shop:80\"}, rate: 20/s}]"),
    ("scenario without a load", "load: {http: {service: \"shop:80\"}, rate: 20/s}"),
    // Whole numbers.
    ("no version", "version: 1.0"),
    ("no version", "version: v1"),
    ("no version", "version: \"1\""),
    ("check", "status: 2xx"),
    ("check", "status: [\"200-299\"]"),
    ("selector with labels", "count: \"2\""),
    ("load", "max_in_flight: x1"),
    // Expectations, in their list and in the phase.
    ("expectation", "success_rate 99%"),
    ("expectation", "no_errors"),
    ("expectation", "no_errors: true"),
    ("expectation", "median: 200ms"),
    ("expectation", "p99: 2x"),
    ("expectation", "status: 200"),
    ("expectation", "httpProbe: {url: \"http://shop\"}"),
    ("expectation", "requests: 100"),
    ("expectation", "stuck: 0"),
    ("expectation", "errors: {http_5xx: 0}"),
    ("expectation", "errors: {5xx: 0, timeouts: 3}"),
    ("expectation", "pods_ready: true"),
    ("expectation", "pods: {labels: {app: payments}, ready: 2}"),
    ("expectation", "pods: {labels: {app: payments}, restarts: 0}"),
    ("expectation", "success_rate: 110%"),
    ("expectation", "logs: {pods: {labels: app=web}, matches: FATAL}"),
    ("phase", "expect: success_rate 80%"),
    ("phase", "expect: {success_rate: 80%, p95: 500ms}"),
    ("phase", "expect: [success_rate 80%]"),
    ("phase", "p99: 500ms"),
    ("phase", "success_rate: 99%"),
    ("phase", "error_rate: 1%"),
    ("phase", "no_errors: true"),
    ("phase", "status: 200"),
    ("phase", "expect: [{success_rate: 99%}]\n    p99: 500ms"),
    ("phase", "rate: 50/s"),
    ("phase", "load: 50/s"),
    ("phase", "pod_kill: {pods: {labels: {app: web}, count: 1}}"),
    ("phase", "actions: [{kill_pod: web}]"),
    ("phase", "faults: [{pod_kill: {pods: {labels: {app: web}, count: 1}}}]"),
    ("phase", "faults: [{name: one, pod_kill: {pods: {labels: {app: web}, count: 1}}}]"),
    ("phase", "faults: [{type: pod_kill, pods: {labels: {app: web}, count: 1}}]"),
    ("scenario", "abort_if: error_rate > 50%"),
    ("scenario", "abort_if: [{error_rate: 50%}]"),
    ("scenario", "abort_if: {success_rate: 50%}"),
    ("scenario", "abort_if: [p95 > 2s]"),
    // Faults.
    ("fault", "type: partition"),
    ("fault", "kind: pod_kill"),
    ("fault", "type: pod_kill\n        pods: {labels: {app: web}, count: 1}"),
    ("fault", "pod_kill: payments"),
    ("fault", "pod_kill: {app: payments}"),
    ("fault", "pod_delete: {app: payments}"),
    ("fault", "delay: {app: payments, latency: 100ms}"),
    ("fault", "drain: {deployment: web}"),
    ("fault", "scale: {deployment: web, replicas: 0}"),
    ("fault", "rollout_restart: deployment/web"),
    ("fault", "partition: {pods: {labels: {app: web}}, from: postgres, ports: 5432}"),
    ("netem", "percentage: 20"),
    ("netem", "jitter: 10ms"),
    ("netem", "jitter: 200ms"),
    ("whole pod_kill of some", "percentage: 20"),
    ("whole pod_kill", "gracePeriodSeconds: 0"),
    ("whole pod_kill", "force: true"),
    ("partition with peers", "direction: outbound"),
    ("partition", "from: 10.0.0.0/8"),
    ("partition", "from: api.stripe.com"),
    ("partition", "from: \"postgres:5432\""),
    ("partition", "from: {app: web2}"),
    ("partition", "from: {pods: postgres}"),
    ("http fault", "code: 503"),
    ("dns", "names: [db.shop]"),
    ("dns", "domains: db.shop"),
    ("io", "errno: 5"),
    ("time", "skew: 10m"),
    ("selector", "labels: [app=web]"),
    // Loads.
    ("load without a kind", "target: checkout:8080/buy"),
    ("load without a kind", "target: \"http://checkout:8080/buy\""),
    ("load without a kind", "http: \"http://checkout:8080/\""),
    ("load without a kind", "http: checkout:8080"),
    ("http without a service", "service: checkout"),
    ("http without a service", "service: checkout, port: 8080"),
    ("http without a service", "service: \"checkout.shop.svc.cluster.local:8080\""),
    ("http without a service", "service: \"shop/checkout:8080\""),
    ("http without a service", "url: \"checkout:8080\""),
    ("http", "path: buy"),
    ("http", "method: post"),
    ("http", "expect: {status: 200}"),
    ("http", "assert: {status: 200}"),
    ("http", "query: {q: a}"),
    ("http", "path: /buy, query: {q: a}"),
    ("load", "arrival: constant"),
    ("load", "executor: constant-arrival-rate"),
    ("load", "timeUnit: 1s"),
    ("load", "iterations: 100"),
    ("load", "connections: 10"),
    ("load", "timeout: 1min"),
    ("load", "timeout: 5sec"),
    ("load", "timeout: 30 seconds"),
    ("load without a pace", "rate: {start: 5, end: 50, duration: 30s}"),
    ("scenario without a load", "load: \"http://shop:80\""),
    // The whole scenario.
    ("scenario", "tags: fast, shop"),
    ("scenario", "sandbox: shop"),
    ("scenario", "stages: [{duration: 20s, target: 100}]"),
    ("scenario", "apiVersion: v1"),
    ("scenario", "metadata: {name: shop}"),
    ("scenario", "steady-state-hypothesis: {title: it works}"),
    ("scenario", "rollbacks: []"),
    ("scenario", "namespace: $NAMESPACE"),
    ("scenario without phases", "phases: {baseline: {duration: 30s}, other: {duration: 30s}}"),
    (
        "scenario without phases",
        "steps: [{name: baseline, duration: 30s}, {name: cut, duration: 30s, faults: {f: {pod_kill: {pods: {labels: {app: web}}}}}}]",
    ),
];

/// Guesses whose values are missing: the answer makes none up, and says where they come from.
const WITHOUT_VALUES: &[(&str, &str)] = &[
    ("fault", "NetworkChaos: {action: delay, mode: one}"),
    ("fault", "PodChaos:"),
    ("phase", "TimeChaos: {timeOffset: -10m}"),
    ("scenario", "NetworkChaos: {action: partition}"),
    ("selector with labels", "mode: fixed"),
    ("whole pod_kill of some", "mode: fixed-percent"),
];

/// Files of other tools.
const OTHER_FILES: &[&str] = &[
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec: {replicas: 3}\n",
    "apiVersion: chaos-mesh.org/v1alpha1\nkind: NetworkChaos\nmetadata: {name: delay}\nspec: {action: delay, mode: one}\n",
    "apiVersion: litmuschaos.io/v1alpha1\nkind: ChaosEngine\nmetadata: {name: loss}\n",
    "version: 1.0.0\ntitle: What if a pod goes?\nsteady-state-hypothesis: {title: ok, probes: []}\nmethod: []\nrollbacks: []\n",
    "{\"title\": \"What if a pod goes?\", \"method\": [{\"type\": \"action\"}]}\n",
    "import http from 'k6/http';\nexport const options = { vus: 10, duration: '30s' };\nexport default function () {\n  \
     http.get('http://shop');\n}\n",
    "config: {target: \"http://shop\"}\nscenarios: [{flow: [{get: {url: \"/\"}}]}]\n",
    "stages: [{duration: 30s, target: 20}]\nthresholds: {http_req_duration: [\"p(95)<500\"]}\n",
];

fn file(spot: &str, line: &str) -> String {
    let (before, behind) = around(spot);
    format!("{before}{line}{behind}")
}

fn read(text: &str) -> Result<Document, Vec<Diagnostic>> {
    let mut overrides = Overrides::default();
    for name in ["namespace", "service"] {
        if text.contains(&format!("{{{{ {name} }}}}")) {
            overrides.add_var(&format!("{name}=shop")).expect("a variable");
        }
    }
    parse("guess.yaml", text.as_bytes(), &overrides)
}

pub(super) fn messages(problems: &[Diagnostic]) -> String {
    problems.iter().map(|it| it.render(false) + "\n").collect()
}

/// The file with the line that an answer shows, where the answer says.
fn corrected(spot: &str, guess: &str, help: &str) -> Option<String> {
    if help.starts_with("remove it: ") {
        return Some(file(spot, ""));
    }
    if let Some((_, rest)) = help.split_once("rename it to `") {
        let (before, behind) = around(spot);
        let (_, value) = guess.split_once(':')?;
        return Some(format!("{before}{}:{value}{behind}", rest.trim_end_matches('`')));
    }
    let line = help.split_once("write `").or_else(|| help.split_once("add `"))?.1.split('`').next()?;
    if help.contains(" in the load, next to ") {
        let has_pace = !line.starts_with("rate") && !line.starts_with("concurrency");
        return Some(file(if has_pace { "load" } else { "load without a pace" }, line));
    }
    if help.contains(" in `expect`") {
        return Some(file(spot, &format!("expect: [{{success_rate: 99%}}, {{{}}}]", line.trim_start_matches("- "))));
    }
    if help.contains(" in `pods`") {
        return Some(file("selector with labels", line));
    }
    if help.starts_with("remove it") {
        return match line.starts_with("duration") {
            // The phase has one.
            true => Some(file("scenario", "")),
            false => Some(file("phase", line)),
        };
    }
    Some(file(spot, line))
}

#[test]
fn short_forms_are_the_same_as_long_ones() {
    let schema = jsonschema::validator_for(&json_schema::scenario_schema()).expect("the scenario's schema");
    for (spot, guess, same) in UNDERSTOOD {
        let [short, long] = [guess, same].map(|line| {
            let text = file(spot, line);
            let json = as_json(text.as_bytes()).expect("YAML");
            let errors: Vec<String> = schema.iter_errors(&json).map(|it| it.to_string()).collect();
            assert!(errors.is_empty(), "the schema refuses {line}: {errors:?}");
            read(&text).unwrap_or_else(|problems| panic!("{line}: {}", messages(&problems)))
        });
        assert_eq!(short.scenario, long.scenario, "{guess}");
    }
}

#[test]
fn every_guess_has_an_answer_that_is_valid_in_its_place() {
    let schema = jsonschema::validator_for(&json_schema::scenario_schema()).expect("the scenario's schema");
    let mut dialogue = String::new();
    for (spot, guess, same) in UNDERSTOOD {
        _ = writeln!(dialogue, "{spot}> {guess}\n  understood: {same}\n");
    }
    let mut wrong = Vec::new();
    let without = WITHOUT_VALUES.iter().map(|guess| (guess, false));
    for ((spot, guess), has_values) in ANSWERED.iter().map(|guess| (guess, true)).chain(without) {
        let text = file(spot, guess);
        let Err(problems) = read(&text) else {
            wrong.push(format!("{spot}> {guess}: it is valid"));
            continue;
        };
        // What is no YAML is beyond a schema.
        if let Some(json) = as_json(text.as_bytes())
            && schema.is_valid(&json)
            && problems[0].code != Code::Template
            // In JSON, this is the whole number.
            && !guess.ends_with(" 1.0")
        {
            wrong.push(format!("{spot}> {guess}: the schema takes it"));
        }
        let [problem] = problems.as_slice() else {
            wrong.push(format!("{spot}> {guess}: several problems\n{}", messages(&problems)));
            continue;
        };
        let help = problem.help.clone().unwrap_or_default();
        _ = writeln!(dialogue, "{spot}> {guess}\n  {}: {}\n  {help}\n", problem.code.id(), problem.message);
        if !has_values {
            let says =
                help.contains("`shakedown import FILE`") || help.starts_with("remove it, and write the number of pods");
            if !says || help.contains("write `") {
                wrong.push(format!("{spot}> {guess}: `{help}` makes values up"));
            }
            continue;
        }
        match corrected(spot, guess, &help).map(|text| (read(&text), text)) {
            None => wrong.push(format!("{spot}> {guess}: no line in `{help}`")),
            Some((Ok(_), text)) => {
                let json: Value = as_json(text.as_bytes()).expect("YAML");
                if let Some(error) = schema.iter_errors(&json).next() {
                    wrong.push(format!("{spot}> {guess}: the schema refuses `{help}`: {error}"));
                }
            }
            Some((Err(_), _))
                if proposals::proposals(&help)
                    .iter()
                    .any(|line| proposals::removes(&text, problem, line, Path::new("")).is_ok()) => {}
            Some((Err(problems), _)) => {
                wrong.push(format!("{spot}> {guess}: `{help}` is not valid there\n{}", messages(&problems)));
            }
        }
    }
    for text in OTHER_FILES {
        let problems = read(text).expect_err("no scenario");
        _ = writeln!(dialogue, "a file> {}", text.trim_end().replace('\n', "\n      > "));
        for problem in &problems {
            let help = problem.help.clone().unwrap_or_default();
            _ = writeln!(dialogue, "  {}: {}\n  {help}\n", problem.code.id(), problem.message);
        }
        assert!(matches!(problems.as_slice(), [it] if it.code == Code::OtherFile), "{text}: {}", messages(&problems));
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../../tests-cases" }, {
        insta::assert_snapshot!("guesses", dialogue);
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_captured_value_without_its_word_is_named() {
    let steps = "capture: {token: {json: $.token}}}, {name: buy, headers: {Authorization: \"{{ token }}\"}";
    let problems = read(&file("step", steps)).expect_err("no such variable");
    let help = problems[0].help.clone().unwrap_or_default();
    assert_eq!(help, "a step captures it: write `{{ capture.token }}`", "{}", messages(&problems));
}
