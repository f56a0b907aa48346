//! Every JSON type at every position of a manifest: values that the runner relies on cause an error with a position,
//! and other parts of the object are not checked.

use serde_json::{Value, json};

use crate::{Diagnostic, Document, Overrides, parse};

/// One value of each JSON type, and texts that are not valid names.
fn values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(7),
        json!(1.5),
        json!(""),
        json!("Not A Name"),
        json!("x".repeat(300)),
        json!([]),
        json!(["a", {"b": 1}]),
        json!({}),
        json!({"a": 1}),
        json!({"a": ["b"]}),
    ]
}

fn object() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "it",
            "namespace": "shop",
            "labels": {"app": "x", "example.com/tier": "1"},
            "annotations": {"note": "any text: at all"},
        },
        "spec": {"action": "delay", "list": [1, {"a": "b"}]},
    })
}

/// Every position in a value, as JSON pointers, the root first.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| places(value, &format!("{at}/{}", key.replace('/', "~1")), out));
        }
        Value::Array(list) => list.iter().enumerate().for_each(|(i, value)| places(value, &format!("{at}/{i}"), out)),
        _ => {}
    }
}

fn parsed(object: &Value) -> Result<Document, Vec<Diagnostic>> {
    planned(object, "30s", &json!({}))
}

/// In a phase of this length, with other keys of the fault.
fn planned(object: &Value, duration: &str, others: &Value) -> Result<Document, Vec<Diagnostic>> {
    let mut scenario = json!({
        "version": 1, "name": "x",
        "load": {"main": {"http": {"url": "http://127.0.0.1:1"}, "rate": "20/s"}},
        "phases": [{"name": "p", "duration": duration, "faults": {"f": {"manifest": {
            "object": object, "active_when": [{"field": "metadata.name", "exists": true}],
        }}}, "expect": [{"requests": {"min": 1}}]}],
    });
    let fault = scenario["phases"][0]["faults"]["f"]["manifest"].as_object_mut().unwrap();
    fault.extend(others.as_object().unwrap().clone());
    parse("it.yaml", serde_json::to_string_pretty(&scenario).unwrap().as_bytes(), &Overrides::default())
}

/// True if the runner can name, label and own the object.
fn usable(object: &Value) -> bool {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let metadata = &object["metadata"];
    let texts = |value: &Value| value.as_object().is_some_and(|map| map.values().all(Value::is_string));
    text(&object["apiVersion"])
        && text(&object["kind"])
        && (object.get("metadata").is_none() || metadata.is_object())
        && ["name", "namespace"].iter().all(|key| metadata[key].is_null() || text(&metadata[key]))
        && ["labels", "annotations"].iter().all(|key| metadata[key].is_null() || texts(&metadata[key]))
}

#[test]
fn every_type_at_every_position_is_usable_or_an_error_with_its_position() {
    let whole = object();
    parsed(&whole).expect("the object as it is");
    let mut all = Vec::new();
    places(&whole, "", &mut all);
    let mut refused = 0;
    for (place, value) in all.iter().flat_map(|place| values().into_iter().map(move |value| (place, value))) {
        let mut object = whole.clone();
        *object.pointer_mut(place).unwrap() = value.clone();
        match parsed(&object) {
            Ok(_) => assert!(usable(&object), "{place}: {value} is taken"),
            Err(problems) => {
                refused += 1;
                for problem in problems {
                    assert!(problem.span.is_some_and(|span| span.line > 10), "{place}: {value}: {problem:?}");
                }
                let free =
                    place.starts_with("/spec") || place.starts_with("/metadata/annotations/") && value.is_string();
                assert!(!free, "{place}: {value} is refused");
            }
        }
    }
    assert!(refused > 80, "{refused}");
}

#[test]
fn labels_follow_the_syntax_of_kubernetes() {
    let taken = |key: &str, value: Value| {
        parsed(&json!({"apiVersion": "v1", "kind": "X", "metadata": {"labels": {key: value}}})).is_ok()
    };
    for (key, value) in [("a", "b"), ("a.b/c_d-e", ""), ("A1", "X.y_z-9"), ("a", &"x".repeat(63))] {
        assert!(taken(key, json!(value)), "{key}: {value}");
    }
    for (key, value) in [
        ("", "b"),
        ("a/", "b"),
        ("/a", "b"),
        ("A/b", "c"),
        ("-a", "b"),
        ("a", "b c"),
        ("a", "b-"),
        ("a", &"x".repeat(64)),
    ] {
        assert!(!taken(key, json!(value)), "{key}: {value}");
    }
}

/// The problems of a Schedule, and of a Workflow with this Schedule as a task.
fn problems(api: &str, spec: &Value) -> [Vec<String>; 2] {
    let tasks = json!({"entry": "all", "templates": [{"name": "all"}, {"name": "often", "schedule": spec}]});
    [("Schedule", spec), ("Workflow", &tasks)].map(|(kind, spec)| {
        let object = json!({"apiVersion": api, "kind": kind, "spec": spec});
        let found = planned(&object, "2m", &json!({})).err().unwrap_or_default();
        assert!(found.iter().all(|it| it.span.is_some()), "{found:?}");
        found.into_iter().map(|it| format!("{}; {}", it.message, it.help.unwrap_or_default())).collect()
    })
}

const CHAOS: &str = "chaos-mesh.org/v1alpha1";
const NONE: [Vec<String>; 2] = [Vec::new(), Vec::new()];

/// A Schedule that makes objects faster than they go is never gone once the fuse burns.
#[test]
fn a_schedule_leaves_time_for_its_objects_to_go() {
    let problems = |api: &str, schedule: &str| problems(api, &json!({"schedule": schedule, "type": "NetworkChaos"}));
    for short in ["@every 3s", "@every 500ms", " @every  59s "] {
        for found in problems(CHAOS, short) {
            assert!(found.len() == 1 && found[0].contains("continues during its deletion"), "{short}: {found:?}");
        }
        assert_eq!(problems("example.com/v1", short), NONE);
    }
    for long in ["@every 1m", "@every 1m30s", "*/5 * * * *", "@hourly", "@every"] {
        assert_eq!(problems(CHAOS, long), NONE, "{long}");
    }
}

/// One that makes the next object beside those that cannot go is never gone either, however seldom it makes one.
#[test]
fn a_schedule_makes_nothing_beside_what_is_still_there() {
    let problems = |api: &str, policy: &str| {
        problems(api, &json!({"schedule": "@hourly", "type": "NetworkChaos", "concurrencyPolicy": policy}))
    };
    for found in problems(CHAOS, "Allow") {
        assert!(found.len() == 1 && found[0].contains("`concurrencyPolicy: Forbid`"), "{found:?}");
    }
    assert_eq!(problems("example.com/v1", "Allow"), NONE);
    assert_eq!(problems(CHAOS, "Forbid"), NONE);
}

/// A Schedule creates its first object one interval after itself.
#[test]
fn a_schedule_acts_within_its_time() {
    for (every, duration, others, wanted) in [
        ("@every 2m", "5m", json!({}), None),
        // Its time counts from the injection of its first object.
        ("@every 2m", "1m", json!({}), None),
        ("@every 2m", "5m", json!({"for": "90s"}), None),
        ("@every 2m", "5m", json!({"within": "2m"}), Some("`within` is 2m")),
        ("@every 2m", "5m", json!({"within": "150s"}), None),
        ("*/5 * * * *", "2m", json!({}), None),
    ] {
        let object =
            json!({"apiVersion": CHAOS, "kind": "Schedule", "spec": {"schedule": every, "type": "NetworkChaos"}});
        let found = planned(&object, duration, &others).err().unwrap_or_default();
        let what = format!("{every} in {duration}, {others}: {found:?}");
        assert_eq!(found.len(), usize::from(wanted.is_some()), "{what}");
        if let (Some(wanted), [problem]) = (wanted, &found[..]) {
            assert!(problem.message.contains(wanted) && problem.span.is_some(), "{what}");
        }
    }
}
