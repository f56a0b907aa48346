//! The values that paths find, compared with the library's own evaluation for small answers, and the limits of the work.

use std::time::{Duration, Instant};

use jsonpath_rust::query::js_path;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn found(path: &str, body: &Value) -> Result<Vec<Value>, TooMuch> {
    let mut found = Vec::new();
    Path::parse(path).unwrap().any(body, body.to_string().len(), |value| {
        found.push(value.clone());
        false
    })?;
    Ok(found)
}

/// The number of values that a path finds, without storing them.
fn counted(path: &str, body: &Value) -> Result<usize, TooMuch> {
    let mut count = 0;
    Path::parse(path).unwrap().any(body, body.to_string().len(), |_| {
        count += 1;
        false
    })?;
    Ok(count)
}

/// Paths with every kind of segment, selector, comparison and function.
const PATHS: [&str; 40] = [
    "$",
    "$.a",
    "$['a']",
    "$.a.b",
    "$[0]",
    "$[-1]",
    "$[-9]",
    "$[*]",
    "$.*",
    "$.*.*",
    "$..a",
    "$..*",
    "$..[0]",
    "$..a..b",
    "$['a','b']",
    "$[0,1,0]",
    "$..['a',0]",
    "$[0:2]",
    "$[1:]",
    "$[:-1]",
    "$[::2]",
    "$[::-1]",
    "$[-2:]",
    "$[2:0:-1]",
    "$[1:4:0]",
    "$[?@.a]",
    "$[?!@.a]",
    "$[?@.a == 1]",
    "$[?@.a != @.b]",
    "$[?@.a < 2 || @.b >= 2]",
    "$[?@.a <= 'x' && @.b]",
    "$..[?@ > 1]",
    "$[?@ == null]",
    "$[?@.a == $.b]",
    "$[?length(@.a) > 1]",
    "$[?count(@.a) == 1]",
    "$[?match(@.a, 'x.*')]",
    "$[?search(@.a, 'y|z')]",
    "$[?(@.a || @.b) && !(@.a && @.b)]",
    "$[?in(@.a, $.b)]",
];

fn body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..4_i64).prop_map(Value::from),
        prop_oneof!["x", "xy", "z"].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof!["a", "b", "c"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn paths_find_what_the_library_finds(body in body()) {
        for path in PATHS {
            // The library returns all values of one selector before those of the next. The RFC orders them node by node.
            let sorted = |values: Vec<Value>| {
                let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
                texts.sort();
                texts
            };
            let theirs = js_path(path, &body).unwrap().into_iter().map(|it| it.val().clone()).collect();
            prop_assert_eq!(found(path, &body).map(sorted), Ok(sorted(theirs)), "{}", path);
        }
    }
}

#[test]
fn functions_follow_the_rfc() {
    let body = json!([{"a": "x\r"}, {"a": "xy"}, {"a": ["p", "q"]}, {"a": {"b": 1}}, {"b": "x."}]);
    for (path, wanted) in [
        ("$[?match(@.a, 'x.')]", json!([{"a": "xy"}])),
        ("$[?match(@.a, 'x[.y]')]", json!([{"a": "xy"}])),
        ("$[?match(@.a, '(')]", json!([])),
        ("$[?search(@.a, $[4].b)]", json!([{"a": "xy"}])),
        ("$[?length(@.a) == 2]", json!([{"a": "x\r"}, {"a": "xy"}, {"a": ["p", "q"]}])),
        ("$[?count(@.a[*]) == 2]", json!([{"a": ["p", "q"]}])),
        ("$[?count(@.none) == 0].b", json!(["x."])),
        ("$[?value(@.a.*) == 1]", json!([{"a": {"b": 1}}])),
    ] {
        assert_eq!(found(path, &body), Ok(wanted.as_array().unwrap().clone()), "{path}");
    }
}

/// An answer of about 245 kB: nested lists, and one key that is very long.
fn large() -> Value {
    let mut value = Value::from(vec![json!({"a": 1, "b": [1, 2]}); 10_000]);
    for _ in 0..60 {
        value = json!([{"a": value}]);
    }
    json!({"k".repeat(10_000): value})
}

#[test]
fn no_path_exceeds_the_work_limit() {
    let body = large();
    assert_eq!(counted("$..b[1]", &body), Ok(10_000), "one `..` sees all of a large answer");
    let begin = Instant::now();
    let bombs = [
        "$..*..*..*..*".to_owned(),
        format!("${}", "..*".repeat(100)),
        format!("${}", "[*,*]".repeat(60)),
        format!("${}", "[0,0]['a','a']".repeat(30)),
        "$..[?@..a]".to_owned(),
        "$..[?count($..*) > 1]".to_owned(),
        "$..[?@ == $]".to_owned(),
        "$..[?match(@.a, @.a)]..[?in($..a, $..a)]".to_owned(),
        "$..[?any_of($..a, $..b)]".to_owned(),
    ];
    let ended = bombs.iter().filter(|path| counted(path, &body).is_ok()).count();
    assert!(ended < 4, "{ended}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    // Answers can choose the patterns, too.
    let patterns: Vec<Value> = (0..5000).map(|number| json!({"p": format!("(a{{1,{number}}}){{1,1000}}")})).collect();
    assert_eq!(counted("$[?search('aaaa', @.p)]", &patterns.into()), Err(TooMuch));
}

#[test]
fn the_first_match_ends_the_search() {
    let body = large();
    let path = Path::parse(&format!("${}", "..*".repeat(100))).unwrap();
    assert_eq!(path.any(&body, 0, |_| true), Ok(true));
}
