//! Tests of every kind of fault, expectation and load, from its description: the program and the JSON Schema accept the
//! same files, and no part of a kind is missing.

use serde_json::{Map, Value, json};

use super::as_json;
use crate::rule::Rule;
use crate::scenario::{
    About, AccessNeeds, Expectation, ExpectationInfo, Fault, FaultInfo, Load, LoadKindInfo, Means, Sandbox, Secret,
};
use crate::{Diagnostic, Document, Overrides, json_schema, parse};

/// A kind, and a scenario that contains it.
struct Kind {
    name: String,
    body: Value,
    rules: &'static [Rule],
    definition: &'static str,
    whole: fn(&str, &Value) -> Value,
}

fn yaml(text: &str) -> Value {
    as_json(text.as_bytes()).unwrap_or_else(|| panic!("no YAML: {text}"))
}

fn scenario(load: Value, faults: Value, expect: Value) -> Value {
    json!({
        "version": 1, "name": "x", "namespace": "shop",
        "load": {"main": load},
        "phases": [
            {"name": "baseline", "duration": "60s"},
            {"name": "fault", "duration": "60s", "faults": {"f": faults}},
            {"name": "after", "duration": "60s", "expect": [expect]},
        ],
    })
}

fn any_load() -> Value {
    json!({"openai": {"url": "http://h", "model": "m", "prompt": "p", "stream": true}, "rate": "20/s"})
}

fn any_fault() -> Value {
    json!({"pod_kill": {"pods": {"prefix": "w"}}})
}

fn any_expectation() -> Value {
    json!({"requests": {"min": 1}})
}

fn kinds() -> Vec<Kind> {
    let fault = |kind: &'static FaultInfo| Kind {
        name: kind.name.to_owned(),
        body: yaml(kind.facts.example),
        rules: kind.facts.rules,
        definition: kind.definition,
        whole: |name, body| scenario(any_load(), json!({name: body}), any_expectation()),
    };
    let expectation = |kind: &'static ExpectationInfo| Kind {
        name: kind.name.to_owned(),
        body: yaml(kind.facts.example),
        rules: kind.rules,
        definition: kind.definition,
        whole: |name, body| scenario(any_load(), any_fault(), json!({name: body})),
    };
    let load = |kind: &'static LoadKindInfo| Kind {
        name: kind.name.to_owned(),
        body: yaml(kind.facts.example),
        rules: kind.facts.rules,
        definition: kind.definition,
        whole: |name, body| scenario(json!({name: body, "rate": "20/s"}), any_fault(), any_expectation()),
    };
    let faults = Fault::KINDS.iter().map(fault);
    faults.chain(Expectation::KINDS.iter().map(expectation)).chain(Load::KINDS.iter().map(load)).collect()
}

fn read(scenario: &Value) -> Result<Document, Vec<Diagnostic>> {
    parse("case.yaml", scenario.to_string().as_bytes(), &Overrides::default())
}

fn rendered(problems: &[Diagnostic]) -> String {
    problems.iter().map(|it| it.render(false)).collect()
}

/// Compares the program and the schema.
struct Validators(jsonschema::Validator);

impl Validators {
    fn new() -> Self {
        Self(jsonschema::validator_for(&json_schema::scenario_schema()).expect("the scenario's schema"))
    }

    #[track_caller]
    fn both_accept(&self, what: &str, scenario: &Value) -> Document {
        let document = read(scenario).unwrap_or_else(|problems| panic!("{what}: {}", rendered(&problems)));
        let errors: Vec<String> = self.0.iter_errors(scenario).map(|it| it.to_string()).collect();
        assert!(errors.is_empty(), "the schema refuses {what}: {errors:?}");
        document
    }

    #[track_caller]
    fn both_refuse(&self, what: &str, scenario: &Value) {
        assert!(read(scenario).is_err(), "the program accepts {what}");
        assert!(!self.0.is_valid(scenario), "the schema accepts {what}, which the program refuses");
    }
}

#[test]
fn examples_are_valid_and_without_warnings() {
    let validators = Validators::new();
    for kind in kinds() {
        let document = validators.both_accept(&kind.name, &(kind.whole)(&kind.name, &kind.body));
        assert!(document.warnings.is_empty(), "{}: {}", kind.name, rendered(&document.warnings));
    }
}

#[test]
fn additional_and_missing_keys_are_judged_alike() {
    let validators = Validators::new();
    let schema = json_schema::scenario_schema();
    for kind in kinds() {
        let mut more = kind.body.clone();
        more["no_such_key"] = json!(1);
        validators.both_refuse(&format!("{} with an unknown key", kind.name), &(kind.whole)(&kind.name, &more));
        validators.both_refuse(&format!("{} as a word", kind.name), &(kind.whole)(&kind.name, &json!("word")));
        for key in kind.body.as_object().expect("a map").keys() {
            let mut less = kind.body.clone();
            less.as_object_mut().expect("a map").remove(key);
            let whole = (kind.whole)(&kind.name, &less);
            let what = format!("{} without `{key}`", kind.name);
            let required =
                schema["$defs"][kind.definition]["required"].as_array().is_some_and(|it| it.contains(&json!(key)));
            match read(&whole) {
                Ok(_) => _ = validators.both_accept(&what, &whole),
                Err(_) => validators.both_refuse(&what, &whole),
            }
            assert!(!required || read(&whole).is_err(), "the program accepts {what}");
        }
    }
}

/// Values for the keys of a kind's rules, from the table. For a kind that is not in the table, the values of its
/// example, with a second limit.
fn values(kind: &Kind) -> Map<String, Value> {
    let mut found = table(kind.definition);
    if found.is_empty() {
        found = kind.body.as_object().cloned().unwrap_or_default();
        if let Some((limit, more)) = found.get("min").or_else(|| found.get("max")).and_then(and_more) {
            found.insert("min".to_owned(), limit);
            found.insert("max".to_owned(), more);
        }
        let scheme = LoadKindInfo::of(&kind.name).map_or("http", |load| load.facts.schemes[0].name);
        found.insert("service".to_owned(), json!("shop:80"));
        found.insert("url".to_owned(), json!(format!("{scheme}://h:80")));
    }
    found
}

/// A limit such as `3`, `5s` or `98%`, and a larger one.
fn and_more(limit: &Value) -> Option<(Value, Value)> {
    let Some(text) = limit.as_str() else { return Some((limit.clone(), json!(limit.as_u64()? + 1))) };
    let (number, unit) = text.split_at(text.find(|it: char| !it.is_ascii_digit())?);
    Some((limit.clone(), json!(format!("{}{unit}", number.parse::<u64>().ok()? + 1))))
}

fn table(definition: &str) -> Map<String, Value> {
    let found = match definition {
        "Netem" => json!({"loss": "20%", "delay": "50ms", "duplicate": "1%", "corrupt": "1%", "bandwidth": "1Mbit/s"}),
        "Stress" => json!({"cpu": {"workers": 1}, "memory": {"size": "1MiB"}}),
        "HttpFault" => json!({"abort": true, "delay": "1s", "status": 503}),
        "IoFault" => json!({"delay": "1s", "error": "EIO"}),
        "Http" => json!({"service": "shop:80", "url": "http://h"}),
        "OpenAi" => json!({"service": "shop:80", "url": "http://h", "prompt": "p", "prompts": {"file": "none"}}),
        "Goodput" => json!({"min": "10%", "max": "90%", "of": {"latency": "1s"}}),
        "Latency" | "RecoveryTime" => json!({"min": "1s", "max": "10s"}),
        "LatencyRatio" | "RateRatio" | "Prometheus" | "TokenRate" => json!({"min": 1.5, "max": 2.5}),
        "Pods" => json!({"restarts": {"max": 0}, "ready_within": "30s"}),
        "Errors" => {
            let Some(Rule::Some(kinds)) =
                Expectation::KINDS.iter().find(|it| it.name == "errors").map(|it| it.rules[0])
            else {
                panic!("errors has no rule");
            };
            kinds.iter().map(|kind| ((*kind).to_owned(), json!({"max": 0}))).collect::<Map<_, _>>().into()
        }
        _ => json!({}),
    };
    found.as_object().cloned().unwrap_or_default()
}

#[test]
fn combinations_of_keys_are_judged_alike() {
    let validators = Validators::new();
    let mut asked = 0;
    for kind in kinds() {
        let values = values(&kind);
        for rule in kind.rules {
            let (keys, most) = match *rule {
                Rule::One(keys) => (keys, 1),
                Rule::Some(keys) => (keys, keys.len()),
                Rule::NotBoth(..) => continue,
            };
            let with = |chosen: &[&str]| {
                let mut body = kind.body.clone();
                let map = body.as_object_mut().expect("a map");
                keys.iter().for_each(|key| _ = map.remove(*key));
                for key in chosen {
                    let value = values.get(*key).unwrap_or_else(|| panic!("no value of {}.{key}", kind.definition));
                    map.insert((*key).to_owned(), value.clone());
                }
                (kind.whole)(&kind.name, &body)
            };
            validators.both_refuse(&format!("{} with none of {keys:?}", kind.name), &with(&[]));
            for key in keys.iter().filter(|key| **key != "prompts") {
                validators.both_accept(&format!("{} with {key}", kind.name), &with(&[key]));
            }
            if most == 1 {
                validators.both_refuse(&format!("{} with {keys:?}", kind.name), &with(keys));
            }
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked} rules are not all of them");
}

#[test]
fn every_expectation_has_a_limit_and_limits_have_an_order() {
    let validators = Validators::new();
    for kind in kinds().iter().filter(|kind| ExpectationInfo::of(&kind.name).is_some()) {
        assert!(!kind.rules.is_empty(), "{} needs no limit", kind.name);
        if kind.rules != [Rule::LIMITS] {
            continue;
        }
        let values = values(kind);
        let mut body = kind.body.clone();
        (body["min"], body["max"]) = (values["min"].clone(), values["max"].clone());
        validators.both_accept(&format!("{} with both limits", kind.name), &(kind.whole)(&kind.name, &body));
        // A schema cannot compare two values.
        (body["min"], body["max"]) = (values["max"].clone(), values["min"].clone());
        assert!(read(&(kind.whole)(&kind.name, &body)).is_err(), "the program takes {} with min > max", kind.name);
    }
    for limits in [json!({}), json!({"max": 1, "no_such_key": 1})] {
        for expect in [json!({"errors": {"any": limits}}), json!({"pods": {"restarts": limits}})] {
            validators.both_refuse(&format!("{expect}"), &scenario(any_load(), any_fault(), expect.clone()));
        }
    }
}

/// The keys whose values can contain a secret, wherever the schema has them.
const SECRETS: [&str; 2] = ["headers", "url"];

/// The other keys with free text. None of them holds a credential that reaches a report: the bodies of requests do not.
const NO_SECRETS: [&str; 41] = [
    "api_version",
    "body",
    "body_file",
    "body_template",
    "ca",
    "cert",
    "cidr",
    "container",
    "containers",
    "contains",
    "cookie",
    "device",
    "equals",
    "field",
    "file",
    "finish_reason",
    "header",
    "host",
    "json",
    "key",
    "kind",
    "load",
    "matchLabels",
    "matches",
    "method",
    "model",
    "name",
    "namespace",
    "path",
    "patterns",
    "prefix",
    "prompt",
    "query",
    "regex",
    "same_as",
    "server_name",
    "to",
    "topology",
    "use",
    "values",
    "volume",
];

/// True for a schema of free text, of lists of it, or of maps to it.
fn is_free_text(definitions: &Value, schema: &Value) -> bool {
    if ["const", "enum", "pattern", "format"].iter().any(|key| schema.get(key).is_some()) {
        return false;
    }
    let is_text = |it: &Value| it == "string";
    let types = &schema["type"];
    if is_text(types) || types.as_array().is_some_and(|types| types.iter().any(is_text)) {
        return true;
    }
    let named = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/")).map(|name| &definitions[name]);
    let options = ["anyOf", "oneOf"].iter().filter_map(|key| schema[key].as_array()).flatten();
    let parts = options.chain([&schema["items"], &schema["additionalProperties"]]);
    // The keys of a definition with properties are looked at on their own.
    parts
        .chain(named.filter(|it| it.get("properties").is_none()))
        .any(|it| it.is_object() && is_free_text(definitions, it))
}

#[test]
fn every_key_with_free_text_is_a_secret_or_is_known_to_be_none() {
    let schema = json_schema::scenario_schema();
    let definitions = schema["$defs"].as_object().expect("definitions");
    let keys = definitions.values().filter_map(|it| it["properties"].as_object()).flatten();
    let free = keys.filter(|(_, property)| is_free_text(&schema["$defs"], property)).map(|(key, _)| key.as_str());
    let free: std::collections::BTreeSet<&str> = free.collect();
    let known = SECRETS.into_iter().chain(NO_SECRETS).collect();
    assert_eq!(free, known, "a key that can hold a credential belongs to `SECRETS` and to `secrets()` of its kind");
}

/// The paths of the values below a definition that are as `is_wanted` says, by key and schema.
fn paths(
    definitions: &Value,
    definition: &Value,
    is_wanted: &dyn Fn(&str, &Value) -> bool,
    path: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    for (key, property) in definition["properties"].as_object().into_iter().flatten() {
        path.push(key.clone());
        if is_wanted(key, property) {
            found.push(path.clone());
        } else if path.len() < 6 {
            let list = property.get("items");
            let inner = list.unwrap_or(property);
            path.extend(list.map(|_| "[]".to_owned()));
            let options = inner["anyOf"].as_array().cloned().unwrap_or_default();
            for option in options.iter().chain([inner]) {
                let name = option["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/"));
                // The values of a check are not sent.
                if let Some(name) = name.filter(|name| *name != "Check") {
                    paths(definitions, &definitions[name], is_wanted, path, found);
                }
            }
            if list.is_some() {
                path.pop();
            }
        }
        path.pop();
    }
}

fn plant(body: &mut Value, path: &[String], value: Value) {
    let Some((step, rest)) = path.split_first() else {
        *body = value;
        return;
    };
    if step == "[]" {
        if !body.is_array() {
            *body = json!([{}]);
        }
        return plant(&mut body[0], rest, value);
    }
    if !body.is_object() {
        *body = json!({});
    }
    plant(&mut body[step.as_str()], rest, value);
}

/// Names the requests and steps of a load, which need names.
fn name_requests(body: &mut Value) {
    for list in ["requests", "steps"] {
        let requests = body.get_mut(list).and_then(Value::as_array_mut);
        requests.into_iter().flatten().for_each(|request| request["name"] = json!("one"));
    }
}

#[test]
fn every_value_that_can_contain_a_secret_is_redacted() {
    let schema = json_schema::scenario_schema();
    let mut planted = 0;
    for kind in kinds() {
        let mut found = Vec::new();
        let is_secret = |key: &str, _: &Value| SECRETS.contains(&key);
        paths(&schema["$defs"], &schema["$defs"][kind.definition], &is_secret, &mut Vec::new(), &mut found);
        for path in found {
            let key = path.last().expect("a key").clone();
            let mut body = kind.body.clone();
            let is_url = key == "url";
            let value = if is_url { json!("http://me:pl4nted@h") } else { json!({"Authorization": "Bearer pl4nted"}) };
            plant(&mut body, &path, value);
            let map = body.as_object_mut().expect("a map");
            if path.len() == 1 && is_url {
                map.remove("service");
            }
            name_requests(&mut body);
            let whole = (kind.whole)(&kind.name, &body);
            let scenario: crate::Scenario =
                serde_json::from_value(whole).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            let is_planted = |secret: &Secret| match secret {
                Secret::Header { name, value } => name == "Authorization" && value.contains("pl4nted"),
                Secret::Url(url) | Secret::Text(url) | Secret::Base64(url) => url.contains("pl4nted"),
            };
            assert!(scenario.secrets().iter().any(is_planted), "{}: {path:?} would reach a report", kind.name);
            planted += 1;
        }
    }
    assert!(planted >= 7, "{planted} places are not all of them");
}

/// A text is one of request data if its type refuses a filter that does not exist.
#[test]
fn every_text_with_request_data_is_declared() {
    let schema = json_schema::scenario_schema();
    let mut asked = 0;
    for kind in kinds() {
        let Some(load) = LoadKindInfo::of(&kind.name) else { continue };
        let is_text = |_: &str, it: &Value| {
            [it, &it["additionalProperties"]].iter().any(|it| it["type"] == "string" || it["type"][0] == "string")
        };
        let mut found = Vec::new();
        paths(&schema["$defs"], &schema["$defs"][kind.definition], &is_text, &mut Vec::new(), &mut found);
        for (path, is_map) in found.iter().flat_map(|path| [(path, false), (path, true)]) {
            let takes = |text: &str| {
                let mut body = kind.body.clone();
                plant(&mut body, path, if is_map { json!({"any": text}) } else { json!(text) });
                name_requests(&mut body);
                serde_json::from_value::<crate::Scenario>((kind.whole)(&kind.name, &body)).is_ok()
            };
            if takes("{{ n }}") && !takes("{{ n | no_such_filter }}") {
                let keys: Vec<&str> = path.iter().map(String::as_str).chain(is_map.then_some("*")).collect();
                assert!(load.is_sent(&keys), "`sent` of `{}` lacks {keys:?}", kind.name);
                asked += 1;
            }
        }
    }
    assert!(asked >= 11, "{asked} texts are not all of them");
}

#[test]
fn secrets_of_manifests_and_stop_conditions_are_redacted() {
    let object =
        json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "plain-one"}, "data": {"b": "cGxhaW4tdHdv"}});
    let fault = json!({"manifest": {"object": object, "active_when": [{"field": "kind", "exists": true}]}});
    let mut whole = scenario(any_load(), fault, any_expectation());
    whole["abort_if"] = json!([{"http": {"url": "http://me:pass@h/"}}]);
    let scenario: crate::Scenario = serde_json::from_value(whole).expect("a scenario");
    let found = scenario.secrets();
    for secret in [
        Secret::Text("plain-one".into()),
        Secret::Base64("cGxhaW4tdHdv".into()),
        Secret::Url("http://me:pass@h/".into()),
    ] {
        assert!(found.contains(&secret), "{secret:?} is not among {found:?}");
    }
}

#[test]
fn names_of_kinds_are_unique_and_have_a_summary() {
    let names = |all: Vec<&'static str>, texts: Vec<&'static str>| {
        for (at, name) in all.iter().enumerate() {
            assert!(!all[..at].contains(name), "{name} is there twice");
        }
        assert!(texts.iter().all(|text| text.ends_with('.') && !text.starts_with(' ')), "{texts:?}");
    };
    names(Fault::KINDS.iter().map(|it| it.name).collect(), Fault::KINDS.iter().map(FaultInfo::summary).collect());
    let expectations = || Expectation::KINDS.iter();
    names(expectations().map(|it| it.name).collect(), expectations().map(ExpectationInfo::summary).collect());
    names(Load::KINDS.iter().map(|it| it.name).collect(), Load::KINDS.iter().map(LoadKindInfo::summary).collect());
    // An expectation that is judged per load must have the key `load`. Others must not.
    let schema = json_schema::scenario_schema();
    for kind in expectations() {
        let has_load = schema["$defs"][kind.definition]["properties"]["load"].is_object();
        assert_eq!(has_load, kind.facts.about == About::Requests, "{}", kind.name);
    }
}

/// The permissions of an expectation follow from the pods that it reads.
#[test]
fn an_expectation_about_the_cluster_names_the_pods_that_it_reads() {
    for kind in Expectation::KINDS {
        assert_eq!(kind.example().pods().is_some(), kind.facts.about == About::Cluster, "{}", kind.name);
    }
}

/// Where a key of a fault chooses between permissions, exactly one of them is needed.
#[test]
fn a_fault_that_needs_one_of_several_permissions_names_it() {
    let mut asked = 0;
    for kind in Fault::KINDS {
        for means in kind.facts.means {
            if let Means::Kubernetes { needs: AccessNeeds::OneOf(_), .. } = means {
                assert_eq!(
                    kind.example().needs().len(),
                    1,
                    "{} does not say which of its permissions it uses",
                    kind.name
                );
                asked += 1;
            }
        }
    }
    assert!(asked > 0, "no kind was asked");
}

/// Permissions and the search for namespaces follow from the peers.
#[test]
fn a_fault_on_links_names_its_peers() {
    for kind in Fault::KINDS {
        let is_link = kind.chaos_mesh().is_some_and(|chaos| chaos.is_link);
        assert_eq!(!kind.example().peers().is_empty(), is_link, "{}", kind.name);
    }
}

/// Shipped scenarios are rehearsed in the sandbox, so that a kind which it models is seen to act.
#[test]
fn every_fault_that_the_sandbox_models_is_in_a_shipped_scenario() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let files = std::fs::read_dir(folder).expect("the scenarios").map(|entry| entry.expect("a file").path());
    let mut shipped = std::collections::BTreeSet::new();
    for file in files.filter(|path| path.extension().is_some_and(|it| it == "yaml")) {
        let scenario = as_json(&std::fs::read(&file).expect("a scenario")).expect("YAML");
        let phases = scenario["phases"].as_array().into_iter().flatten();
        let faults = phases.filter_map(|phase| phase["faults"].as_object()).flat_map(|faults| faults.values());
        shipped.extend(faults.filter_map(Value::as_object).flat_map(|fault| fault.keys().cloned()));
    }
    for kind in Fault::KINDS.iter().filter(|kind| !matches!(kind.facts.sandbox, Sandbox::No(_))) {
        assert!(shipped.contains(kind.name), "no shipped scenario has `{}`: add one to `scenarios`", kind.name);
    }
}

/// A key that a kind of load does not list is refused, so that a new kind ignores none.
#[test]
fn a_load_has_only_the_keys_that_its_kind_uses() {
    let schema = json_schema::scenario_schema();
    for kind in Load::KINDS {
        for key in kind.facts.uses {
            assert!(Load::BY_KIND.contains(key), "`{}` uses `{key}`, which is no key of `by_kind`", kind.name);
        }
    }
    for key in Load::BY_KIND {
        assert!(schema["$defs"]["Load"]["properties"][key].is_object(), "a load has no key `{key}`");
        assert!(Load::KINDS.iter().any(|kind| kind.facts.uses.contains(key)), "no kind uses `{key}`");
    }
}

/// The words in the code of a document.
fn code_words(document: &str) -> std::collections::BTreeSet<&str> {
    let spans = document.split('`').skip(1).step_by(2);
    spans.flat_map(|code| code.split(|it: char| !it.is_ascii_alphanumeric() && it != '_')).collect()
}

/// The tables of the document on loads are written by hand.
#[test]
fn the_document_on_loads_has_every_key_of_every_kind() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/LOAD.md");
    let document = std::fs::read_to_string(path).expect("the document");
    let (found, schema) = (code_words(&document), json_schema::scenario_schema());
    for definition in Load::KINDS.iter().map(|kind| kind.definition).chain(["Load"]) {
        let keys = schema["$defs"][definition]["properties"].as_object().expect("properties").keys();
        let lacking: Vec<&String> = keys.filter(|key| !found.contains(key.as_str())).collect();
        assert!(lacking.is_empty(), "scenarios/LOAD.md has no {lacking:?} of {definition}");
    }
    for kind in Load::KINDS {
        let row = format!("\n| `{}: {{", kind.name);
        assert!(document.contains(&row), "scenarios/LOAD.md has no row of a key of `{}`", kind.name);
    }
}
