//! The dialogue with a person who knows Kubernetes or Compose: each guess in a topology, and its answer, which shows a line that
//! is valid in its place.

use std::fmt::Write;

use super::*;

/// The topology before and behind a guess.
fn around(spot: &str) -> (String, &'static str) {
    // The services that the answers call.
    let web = |inner: &str| {
        format!(
            "namespace: shop\nworkloads:\n  - {{name: redis, program: {{redis: {{}}}}}}\n  \
             - {{name: postgres, program: {{postgres: {{}}}}}}\n  \
             - {{name: payments, program: {{service: {{}}}}}}\n  \
             - {{name: seats, program: {{service: {{}}}}}}\n  - name: web\n    {inner}"
        )
    };
    match spot {
        "topology" => ("namespace: shop\nworkloads: [{name: web, program: {service: {}}}]\n".to_owned(), ""),
        "topology without workloads" => ("namespace: shop\n".to_owned(), ""),
        "workload" => (web("program: {service: {}}\n    "), ""),
        "workload without a program" => (web(""), ""),
        "program" => (web("program: {"), "}"),
        "service" => (web("program: {service: {"), "}}"),
        "redis" => (web("program: {redis: {"), "}}"),
        "postgres" => (web("program: {postgres: {"), "}}"),
        "table" => (web("program: {postgres: {tables: {"), "}}}"),
        "http call" => (web("program: {service: {calls: [{http: {server: \"payments:8080\", "), "}}]}}"),
        "whole http call" => (web("program: {service: {calls: [{http: {"), "}}]}}"),
        "redis call" => (web("program: {service: {calls: [{redis: {key: a, "), "}}]}}"),
        other => panic!("no place {other}"),
    }
}

/// Guesses that are answered with a line. The last part is where the line belongs, if it is another place.
const ANSWERED: &[(&str, &str, &str)] = &[
    ("workload", "readinessProbe: {initialDelaySeconds: 5, httpGet: {path: /ready, port: 80}}", ""),
    ("workload", "readinessProbe: {httpGet: {path: /ready, port: 80}}", "nowhere"),
    ("workload", "latency: 50ms", "service"),
    ("workload", "depends_on: [redis, postgres, payments]", "service"),
    ("workload", "depends_on: {payments: {condition: service_healthy}}", "service"),
    ("workload", "kind: Deployment", ""),
    ("workload", "kind: StatefulSet", ""),
    ("workload without a program", "kind: redis", ""),
    ("workload without a program", "image: redis:7", ""),
    ("workload without a program", "image: docker.io/library/postgres:17@sha256:0", ""),
    ("workload without a program", "image: registry.example/shop/checkout:1.2", ""),
    ("workload", "image: nginx", "nowhere"),
    ("workload without a program", "program: redis", ""),
    ("workload without a program", "program: nginx", ""),
    ("workload", "env: [{name: PORT, value: \"80\"}]", "service"),
    ("workload", "environment: {PORT: 80}", "service"),
    ("workload", "env: {DATABASE_URL: \"postgres://db\"}", "nowhere"),
    ("workload", "ports: [80]", "service"),
    ("workload", "ports: [{containerPort: 80, name: http}]", "service"),
    ("workload", "ports: [\"8080:80\"]", "service"),
    ("workload", "port: 80", "service"),
    ("workload", "count: 3", ""),
    ("program", "nginx: {port: 80}", ""),
    ("program", "postgresql: {}", ""),
    ("program", "nats: {}", ""),
    ("service", "ports: [80]", ""),
    ("redis", "ports: [6380]", ""),
    ("service", "latency: 50ms", ""),
    ("service", "depends_on: [payments]", ""),
    ("service", "env: {PORT: 80}", ""),
    ("http call", "optional: true", ""),
    ("http call", "latency: 5ms", "nowhere"),
    ("whole http call", "url: \"payments:8080\"", ""),
    ("whole http call", "url: \"http://seats:8080/seats\"", ""),
    ("whole http call", "server: seats", ""),
    ("whole http call", "server: \"http://seats/seats\"", ""),
    ("redis call", "server: redis", ""),
    ("program", "redis:", ""),
    ("table", "seats: []", ""),
    ("topology", "kind: Deployment", "topology without workloads"),
    ("topology without workloads", "services: {web: {image: nginx}, db: {image: \"postgres:17\"}}", ""),
];

#[test]
fn every_guess_has_an_answer_that_is_valid_in_its_place() {
    let file = |spot: &str, line: &str| {
        let (before, behind) = around(spot);
        format!("{before}{line}{behind}\n")
    };
    let (mut dialogue, mut wrong) = (String::new(), Vec::new());
    for (spot, guess, place) in ANSWERED {
        let problems = match Topology::parse(&file(spot, guess)) {
            Ok(_) => panic!("{spot}> {guess}: it is valid"),
            Err(problems) => problems,
        };
        let [problem] = problems.as_slice() else {
            wrong.push(format!("{spot}> {guess}: {problems:#?}"));
            continue;
        };
        let help = problem.help.clone().unwrap_or_default();
        _ = writeln!(dialogue, "{spot}> {guess}\n  {}: {}\n  {help}\n", problem.code.id(), problem.message);
        let line = help.split_once("write `").and_then(|(_, rest)| rest.split('`').next());
        let place = if place.is_empty() { spot } else { place };
        let correct = match line {
            _ if *place == "nowhere" => {
                let is_line = !help.starts_with("remove it");
                wrong.extend(is_line.then(|| format!("{spot}> {guess}: `{help}`")));
                continue;
            }
            Some(line) => file(place, line),
            None => {
                wrong.push(format!("{spot}> {guess}: no line in `{help}`"));
                continue;
            }
        };
        if let Err(problems) = Topology::parse(&correct) {
            wrong.push(format!("{spot}> {guess}: `{help}` is not valid there: {problems:#?}"));
        }
    }
    insta::assert_snapshot!("guesses", dialogue);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
