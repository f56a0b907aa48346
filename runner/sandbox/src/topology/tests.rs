//! The file's format: what is read, and what is refused where.

use super::*;

#[test]
fn the_built_in_topologies_are_valid_and_written_back() {
    for (name, _) in BUILT_IN {
        let topology = Topology::built_in(name).unwrap();
        let text = serde_json::to_string(&topology).unwrap();
        assert_eq!(serde_json::from_str::<Topology>(&text).unwrap(), topology, "{name}");
    }
    let quick = Topology::built_in("quick").unwrap();
    let shown: Vec<_> = quick.workloads.iter().map(|w| (w.name.as_str(), w.replicas, w.program.name())).collect();
    assert_eq!(
        shown,
        [("nats", 1, "bus"), ("vllm-agg-0-frontend", 1, "frontend"), ("vllm-agg-0-vllmdecodeworker", 3, "worker")]
    );
    assert_eq!(Topology::default(), Topology::built_in("dynamo").unwrap());
    assert_eq!(Topology::built_in("nothing"), None);
}

#[test]
fn replicas_can_be_set() {
    let mut topology = Topology::default();
    topology.workers_mut().for_each(|(replicas, _)| *replicas = 1);
    assert_eq!(topology.workload_mut("vllm-agg-0-vllmdecodeworker").unwrap().replicas, 1);
}

#[test]
fn what_cannot_run_is_refused_where_it_is() {
    for (text, position, part) in [
        ("namespace: a\nworkloads: []\nextra: 1\n", (3, 1), "no key `extra`"),
        ("namespace: A\nworkloads: []\n", (1, 12), "`A` cannot be"),
        ("namespace: a\nworkloads: [{name: b, program: {nginx: {}}}]\n", (2, 33), "`nginx` is not one"),
        ("namespace: a\nworkloads: [{name: b, replicas: 101, program: {bus: {}}}]\n", (2, 33), "101 pods"),
        (
            "namespace: a\nworkloads:\n  - {name: b, program: {bus: {}}}\n  - {name: b, program: {bus: {}}}\n",
            (4, 12),
            "two workloads",
        ),
        ("namespace: a\nworkloads: [{name: b, program: {worker: {heartbeat: 5}}}]\n", (2, 53), "5"),
        ("namespace: a\nworkloads: [{name: b, program: {worker: {jitter: 5}}}]\n", (2, 33), "`jitter` must be"),
        ("namespace: a\nworkloads: [{name: b, program: {worker: {bus: \"c:1\"}}}]\n", (2, 47), "no service `c`"),
        (
            "namespace: a\nworkloads: [{name: b, program: {service: {calls: [{http: {server: c}}]}}}]\n",
            (2, 33),
            "`c` is not `host:port`",
        ),
    ] {
        let found = Topology::parse(text).unwrap_err();
        let seen = (found[0].line().unwrap(), found[0].column().unwrap());
        assert_eq!((found.len(), seen), (1, position), "{text}: {found:?}");
        assert!(found[0].message.contains(part), "{text}: {}", found[0].message);
    }
    assert_eq!(Topology::parse("").unwrap_err().len(), 1);
}

#[test]
fn unknown_keys_are_named_with_the_one_that_was_meant_all_at_once() {
    let text = "namespace: shop\nworkloads:\n  - name: checkout\n    replica: 2\n    program:\n      service:\n        call: []\n        prot: 80\n";
    let found = Topology::parse(text).unwrap_err();
    let shown: Vec<_> = found.iter().map(|it| (it.line().unwrap(), it.help.as_deref().unwrap_or(""))).collect();
    assert_eq!(
        shown,
        [(4, "did you mean `replicas`?"), (7, "did you mean `calls`?"), (8, "did you mean `port`?")],
        "{found:?}"
    );
}

#[test]
fn the_checked_in_schema_is_fresh_and_knows_what_the_parser_knows() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(SCHEMA_FILE);
    let fresh = json_schema::text(&schema());
    if std::env::var("INSTA_UPDATE").is_ok_and(|it| it == "always") {
        std::fs::write(&path, &fresh).expect("the schema's file");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == fresh, "{SCHEMA_FILE} is stale; refresh it with `{}`", json_schema::REFRESH);
    let schema = schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let json = |text: &str| serde_saphyr::from_str::<Value>(text).expect("YAML");
    for (name, text) in BUILT_IN {
        let problems: Vec<_> = schema.iter_errors(&json(text)).map(|it| it.to_string()).collect();
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
    for text in [
        "{namespace: a, workloads: [], extra: 1}",
        "{namespace: a}",
        "{namespace: a, workloads: [{name: b, program: {nginx: {}}}]}",
        "{namespace: a, workloads: [{name: b, program: {worker: {heartbeat: 5}}}]}",
    ] {
        assert!(!schema.is_valid(&json(text)), "{text}");
    }
}
