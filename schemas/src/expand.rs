//! Writes the short forms of a scenario out in its tree, so that nothing behind this file knows them. Which type a place has
//! follows from the schema.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

use crate::json_schema;
use crate::short::{self, Means, Short, reference};
use crate::source::{Entry, Node, Value};

/// Writes all of them out.
pub(crate) fn short_forms(tree: &mut Node) {
    TYPES.walk(tree, &Shape::Type("Scenario".to_owned()));
}

/// What is at a place, as far as it leads to places with short forms.
enum Shape {
    Type(String),
    List(Box<Self>),
    Map(Box<Self>),
}

/// Which keys of which types lead where.
struct Types(HashMap<String, HashMap<String, Shape>>);

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let schema = json_schema::bare_scenario();
    let none = Map::new();
    let definitions = schema["$defs"].as_object().unwrap_or(&none);
    let all = definitions.iter().map(|(name, it)| (name.as_str(), it)).chain([("Scenario", &schema)]);
    Types(all.map(|(name, definition)| (name.to_owned(), links(definition))).collect())
});

/// The keys of a type, or of the kinds of one.
fn links(definition: &Json) -> HashMap<String, Shape> {
    let options = ["oneOf", "anyOf"].iter().filter_map(|it| definition[*it].as_array()).flatten();
    let properties = options.chain([definition]).filter_map(|it| it["properties"].as_object()).flatten();
    properties.filter_map(|(key, property)| Some((key.clone(), shape(property)?))).collect()
}

fn shape(schema: &Json) -> Option<Shape> {
    if let Some(name) = reference(schema) {
        return Some(Shape::Type(name.to_owned()));
    }
    let inner = |key: &str| schema.get(key).and_then(shape).map(Box::new);
    match schema["type"].as_str()? {
        "array" => inner("items").map(Shape::List),
        "object" => inner("additionalProperties").map(Shape::Map),
        _ => None,
    }
}

impl Types {
    fn walk(&self, node: &mut Node, shape: &Shape) {
        match (shape, &mut node.value) {
            (Shape::Type(name), Value::Map(entries)) => {
                let forms = || short::ALL.iter().filter(|it| it.of == name);
                forms().for_each(|form| rename(form, entries));
                for entry in entries {
                    forms().filter(|it| it.key == entry.key).for_each(|it| write_out(&it.means, &mut entry.node));
                    if let Some(inner) = self.0.get(name).and_then(|keys| keys.get(&entry.key)) {
                        self.walk(&mut entry.node, inner);
                    }
                }
            }
            (Shape::List(inner), Value::Seq(nodes)) => nodes.iter_mut().for_each(|node| self.walk(node, inner)),
            (Shape::Map(inner), Value::Map(entries)) => {
                entries.iter_mut().for_each(|entry| self.walk(&mut entry.node, inner));
            }
            _ => {}
        }
    }
}

/// Gives a key its usual name. Where both are given, the other one stays and is an unknown key.
fn rename(form: &Short, entries: &mut [Entry]) {
    let Means::Name(usual) = form.means else { return };
    if !entries.iter().any(|entry| entry.key == usual) {
        entries.iter_mut().filter(|entry| entry.key == form.key).for_each(|entry| entry.key = usual.to_owned());
    }
}

fn write_out(means: &Means, node: &mut Node) {
    match means {
        Means::Key(key) if is_single(node) => wrap(node, key),
        Means::List if is_single(node) => list(node),
        Means::ListOf(key) => {
            if is_single(node) || matches!(node.value, Value::Map(_)) {
                list(node);
            }
            if let Value::Seq(nodes) = &mut node.value {
                nodes.iter_mut().filter(|node| is_single(node)).for_each(|node| wrap(node, key));
            }
        }
        _ => {}
    }
}

fn is_single(node: &Node) -> bool {
    matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) | Value::Rendered(_))
}

/// Puts a value under a key.
fn wrap(node: &mut Node, key: &str) {
    let span = node.span;
    let inner = std::mem::replace(node, Node { span, value: Value::Null });
    node.value = Value::Map(vec![Entry { key: key.to_owned(), key_span: span, node: inner }]);
}

/// Makes a value a list of one.
fn list(node: &mut Node) {
    let span = node.span;
    let inner = std::mem::replace(node, Node { span, value: Value::Null });
    node.value = Value::Seq(vec![inner]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_of_a_key_that_exists() {
        let schema = json_schema::bare_scenario();
        for form in short::ALL {
            let key = if let Means::Name(usual) = form.means { usual } else { form.key };
            let there = Short { key, means: Means::List, ..*form };
            assert!(short::property(&schema, &there).is_some(), "{}.{key}", form.of);
        }
    }
}
