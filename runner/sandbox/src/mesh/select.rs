//! The selection of Chaos Mesh: the matching pods in the order of their names, then as many as the mode selects.

use std::sync::Arc;

use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};

use crate::object;
use crate::resource::{NODES, PODS};
use crate::selector::Labels;
use crate::store::Inner;
use crate::store::Key;

/// The reason for an empty selection, as in the event.
pub(crate) const NO_POD: &str = "no pod is selected";
const NO_TARGET: &str = "no target has been selected";

/// The pods of `selector`, `mode` and `value` in this part of a spec.
///
/// # Errors
/// When no pod is selected: the message of the event.
pub(crate) fn pods(store: &Inner, part: &Value) -> Result<Vec<Arc<Value>>, &'static str> {
    let mut found = candidates(store, &part["selector"]);
    if found.is_empty() {
        return Err(NO_POD);
    }
    let number = object::text(part, "/value").parse::<usize>().unwrap_or(0);
    let share = |percent: usize| (found.len() * percent).div_ceil(100);
    let count = match object::text(part, "/mode") {
        "one" => 1,
        "fixed" => number.min(found.len()),
        "fixed-percent" => share(number),
        // The selection may be empty.
        "random-max-percent" => share(rand::random_range(0..=number)),
        _ => found.len(),
    };
    if count < found.len() {
        found.shuffle(&mut rand::rng());
        found.truncate(count);
    }
    if found.is_empty() { Err(NO_TARGET) } else { Ok(found) }
}

fn candidates(store: &Inner, selector: &Value) -> Vec<Arc<Value>> {
    if let Some(named) = selector["pods"].as_object().filter(|named| !named.is_empty()) {
        // Names replace all other criteria, and names that do not exist are silently ignored.
        let pairs = named
            .iter()
            .flat_map(|(namespace, names)| names.as_array().into_iter().flatten().map(move |n| (namespace, n)));
        return pairs.filter_map(|(namespace, name)| store.get(&Key::new(&PODS, namespace, name.as_str()?))).collect();
    }
    let namespaces: Vec<&str> = object::list(selector, "/namespaces").iter().filter_map(Value::as_str).collect();
    let labels = Labels::from_selector(
        &json!({"matchLabels": selector.get("labelSelectors"), "matchExpressions": selector.get("expressionSelectors")}),
    );
    let annotations = Labels::from_selector(&json!({"matchLabels": selector.get("annotationSelectors")}));
    let phases = object::list(selector, "/podPhaseSelectors");
    let is_meant = |pod: &Arc<Value>| {
        (namespaces.is_empty() || namespaces.contains(&object::namespace(pod)))
            && labels.matches(object::labels(pod))
            && annotations.matches(pod["metadata"]["annotations"].as_object())
            && (phases.is_empty() || phases.contains(&pod["status"]["phase"]))
            && fields_match(pod, selector["fieldSelectors"].as_object())
            && node_matches(store, pod, selector)
    };
    store.list(&PODS, "").into_iter().filter(is_meant).collect()
}

fn fields_match(pod: &Value, fields: Option<&Map<String, Value>>) -> bool {
    fields.into_iter().flatten().all(|(field, value)| {
        let pointer = format!("/{}", field.replace('.', "/"));
        Some(object::text(pod, &pointer)) == value.as_str()
    })
}

fn node_matches(store: &Inner, pod: &Value, selector: &Value) -> bool {
    let names = object::list(selector, "/nodes");
    let labels = selector["nodeSelectors"].as_object().filter(|labels| !labels.is_empty());
    if names.is_empty() && labels.is_none() {
        return true;
    }
    let node = object::text(pod, "/spec/nodeName");
    let by_labels = labels.is_some_and(|_| {
        let wanted = Labels::from_selector(&json!({"matchLabels": selector["nodeSelectors"]}));
        store.get(&Key::new(&NODES, "", node)).is_some_and(|node| wanted.matches(object::labels(&node)))
    });
    names.iter().any(|name| name == node) || by_labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;

    fn store() -> Store {
        let store = Store::new(Clock::new());
        for (namespace, name, app, phase) in [
            ("a", "one", "web", "Running"),
            ("a", "two", "web", "Pending"),
            ("a", "three", "db", "Running"),
            ("b", "one", "web", "Running"),
        ] {
            let pod = json!({"metadata": {"namespace": namespace, "name": name, "labels": {"app": app}},
                "spec": {"nodeName": "sandbox"}, "status": {"phase": phase}});
            store.lock().put(Key::of(&PODS, &pod), pod);
        }
        store
    }

    fn names(part: Value) -> Result<Vec<String>, &'static str> {
        let store = store();
        let found = pods(&store.lock(), &part)?;
        let mut names: Vec<_> = found.iter().map(|p| format!("{}/{}", object::namespace(p), object::name(p))).collect();
        names.sort();
        Ok(names)
    }

    #[tokio::test]
    async fn conditions_narrow_and_names_replace_them() {
        let all = |selector: Value| names(json!({"mode": "all", "selector": selector}));
        assert_eq!(all(json!({"namespaces": ["a"]})).unwrap(), ["a/one", "a/three", "a/two"]);
        assert_eq!(all(json!({"namespaces": ["a"], "labelSelectors": {"app": "web"}})).unwrap(), ["a/one", "a/two"]);
        let running = json!({"namespaces": ["a"], "labelSelectors": {"app": "web"}, "podPhaseSelectors": ["Running"]});
        assert_eq!(all(running).unwrap(), ["a/one"]);
        let not_web = json!({"expressionSelectors": [{"key": "app", "operator": "NotIn", "values": ["web"]}]});
        assert_eq!(all(not_web).unwrap(), ["a/three"]);
        assert_eq!(all(json!({"fieldSelectors": {"metadata.name": "two"}})).unwrap(), ["a/two"]);
        assert_eq!(all(json!({"nodes": ["elsewhere"]})).unwrap_err(), NO_POD);
        let named = json!({"namespaces": ["b"], "labelSelectors": {"app": "no"}, "pods": {"a": ["two", "gone"]}});
        assert_eq!(all(named).unwrap(), ["a/two"]);
    }

    #[tokio::test]
    async fn the_mode_says_how_many() {
        let count = |mode: &str, value: &str| {
            names(json!({"mode": mode, "value": value, "selector": {"namespaces": ["a"]}})).map(|names| names.len())
        };
        assert_eq!(count("one", ""), Ok(1));
        assert_eq!(count("fixed", "2"), Ok(2));
        assert_eq!(count("fixed", "9"), Ok(3), "clamped in silence");
        assert_eq!(count("fixed-percent", "50"), Ok(2), "rounded up");
        assert!(matches!(count("random-max-percent", "100"), Ok(1..=3) | Err(NO_TARGET)));
    }
}
