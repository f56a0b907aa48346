//! Short forms: keys that a scenario may leave out because the meaning is unambiguous, such as `success_rate: 99%` for
//! `success_rate: {min: 99%}`. One table serves the parser (`expand`), the JSON Schema and the reference.

use serde_json::{Value as Json, json};

/// One short form: where it may be used, and its meaning.
pub(crate) struct Short {
    /// The type that has the key, by its name in the schema.
    pub of: &'static str,
    /// The key.
    pub key: &'static str,
    /// What it means.
    pub means: Means,
    /// A value in the short form.
    pub example: &'static str,
}

/// What a short form means.
pub(crate) enum Means {
    /// A single value is the value of this key.
    Key(&'static str),
    /// A single value is a list of one.
    List,
    /// The same, and a word is an element with this key. A map is an element as well.
    ListOf(&'static str),
    /// Another name of this key.
    Name(&'static str),
}

const fn short(of: &'static str, key: &'static str, means: Means, example: &'static str) -> Short {
    Short { of, key, means, example }
}

/// All short forms. A name of a key comes after the forms of that key.
pub(crate) const ALL: &[Short] = &[
    short("Scenario", "tags", Means::List, "fast"),
    short("Scenario", "extends", Means::List, "base.fragment.yaml"),
    short("Phase", "use", Means::List, "baseline.fragment.yaml"),
    short("Load", "use", Means::List, "customers.fragment.yaml"),
    short("Expectation", "success_rate", Means::Key("min"), "99%"),
    short("Expectation", "recovery_time", Means::Key("max"), "15s"),
    short("Pods", "restarts", Means::Key("max"), "0"),
    short("Pods", "pods", Means::Name("select"), "{labels: app=checkout}"),
    short("Logs", "pods", Means::Name("select"), "{labels: app=checkout}"),
    short("Partition", "from", Means::ListOf("service"), "postgres"),
    short("Partition", "to", Means::Name("from"), "postgres"),
    short("Netem", "to", Means::ListOf("service"), "postgres"),
    short("Netem", "from", Means::Name("to"), "postgres"),
    short("Peer", "ports", Means::List, "5432"),
    short("Check", "status", Means::List, "200"),
    short("Stress", "memory", Means::Key("size"), "512MiB"),
    short("Stress", "containers", Means::List, "worker"),
    short("ContainerKill", "containers", Means::List, "worker"),
];

/// Allows the short forms in a scenario's schema.
pub(crate) fn allow(schema: &mut Json) {
    for form in ALL {
        if let Means::Name(usual) = form.means {
            allow_name(schema, form, usual);
            continue;
        }
        let Some(property) = property(schema, form).cloned() else { continue };
        let Some(mut whole) = property.as_object().cloned() else { continue };
        let description = whole.remove("description");
        let old = whole.remove("examples");
        let values = match form.means {
            Means::Key(key) => {
                let inner = reference(&property).map(|name| schema["$defs"][name]["properties"][key].clone());
                vec![Json::from(whole), bare(inner.unwrap_or_default())]
            }
            Means::List => vec![property["items"].clone(), whole.into()],
            Means::ListOf(key) => {
                let inner = reference(&property["items"]).map(|name| schema["$defs"][name]["properties"][key].clone());
                let one = [property["items"].clone(), bare(inner.unwrap_or_default())];
                whole.insert("items".to_owned(), json!({"anyOf": one}));
                one.into_iter().chain([whole.into()]).collect()
            }
            Means::Name(_) => continue,
        };
        let mut examples = old.and_then(|it| it.as_array().cloned()).unwrap_or_default();
        examples.push(form.example.parse::<u64>().map_or_else(|_| form.example.into(), Json::from));
        let mut allowed = json!({"anyOf": values, "examples": examples});
        allowed["description"] = described(schema, &property, description, form).into();
        if let Some(place) = property_mut(schema, form) {
            *place = allowed;
        }
    }
}

/// The name of the type that a schema refers to.
pub(crate) fn reference(schema: &Json) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// A schema of a value without words about the key that has it.
fn bare(mut schema: Json) -> Json {
    if let Some(object) = schema.as_object_mut() {
        object.retain(|key, _| !matches!(key.as_str(), "description" | "examples" | "default"));
    }
    schema
}

fn described(schema: &Json, property: &Json, own: Option<Json>, form: &Short) -> String {
    let of_type = || reference(property).map(|name| schema["$defs"][name]["description"].clone());
    let text = own.or_else(of_type).unwrap_or_default();
    let (key, example) = (form.key, form.example);
    let long = match form.means {
        Means::Key(inner) => format!("{{{inner}: {example}}}"),
        Means::ListOf(inner) => format!("[{{{inner}: {example}}}]"),
        _ => format!("[{example}]"),
    };
    format!("{} Short form: `{key}: {example}` for `{key}: {long}`.", text.as_str().unwrap_or_default())
}

fn allow_name(schema: &mut Json, form: &Short, usual: &str) {
    let Some(definition) = definition_mut(schema, form.of) else { return };
    let mut other = definition["properties"][usual].clone();
    other["description"] = format!("Another name of `{usual}`.").into();
    // Editors propose the usual name only.
    other["doNotSuggest"] = true.into();
    definition["properties"][form.key] = other;
    let mut rule = json!({"not": {"required": [usual, form.key]}});
    if let Some(required) =
        definition.get_mut("required").and_then(Json::as_array_mut).filter(|it| it.iter().any(|it| it == usual))
    {
        required.retain(|it| it != usual);
        rule = json!({"oneOf": [{"required": [usual]}, {"required": [form.key]}]});
        let text = definition["properties"][usual]["description"].as_str().unwrap_or_default().to_owned();
        definition["properties"][usual]["description"] =
            format!("{text} Required, by this name or as `{}`.", form.key).into();
    }
    match definition.get_mut("allOf").and_then(Json::as_array_mut) {
        Some(rules) => rules.push(rule),
        None => definition["allOf"] = json!([rule]),
    }
}

fn definition_mut<'s>(schema: &'s mut Json, name: &str) -> Option<&'s mut Json> {
    if name == "Scenario" { Some(schema) } else { schema["$defs"].get_mut(name) }
}

/// The options of a type that has kinds, or the type itself.
fn option<'s>(definition: &'s Json, key: &str) -> Option<&'s Json> {
    let options = definition["oneOf"].as_array().into_iter().flatten();
    options.chain([definition]).find_map(|it| it["properties"].get(key))
}

/// The schema of the key of a form.
pub(crate) fn property<'s>(schema: &'s Json, form: &Short) -> Option<&'s Json> {
    option(if form.of == "Scenario" { schema } else { &schema["$defs"][form.of] }, form.key)
}

fn property_mut<'s>(schema: &'s mut Json, form: &Short) -> Option<&'s mut Json> {
    let definition = definition_mut(schema, form.of)?;
    if definition["properties"].get(form.key).is_some() {
        return definition["properties"].get_mut(form.key);
    }
    let options = definition.get_mut("oneOf")?.as_array_mut()?;
    options.iter_mut().find_map(|it| it.get_mut("properties")?.get_mut(form.key))
}
