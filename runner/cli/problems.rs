//! The problems of scenario files for programs: as JSON, and as SARIF 2.1.0 for code scanning. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shakedown_reports::Redactor;
use shakedown_schemas::{Diagnostic, Explained};

use super::checked::{Checked, Unread};

/// The schema of SARIF.
const SARIF: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The rule of a path that cannot be read.
const UNREAD: &str = "unreadable";

/// A problem: with a position, unless it is one of the whole file.
struct Problem {
    is_error: bool,
    rule: String,
    about: String,
    message: String,
    help: Option<String>,
    file: String,
    place: Option<(u32, u32)>,
}

impl Problem {
    fn of(it: &Diagnostic, redactor: &Redactor) -> Self {
        Self {
            is_error: it.is_error(),
            rule: it.code.id().to_owned(),
            about: it.code.summary().to_owned(),
            message: redactor.text(&it.message),
            help: it.help.as_deref().map(|help| redactor.text(help)),
            file: it.file.clone(),
            place: it.line().zip(it.column()),
        }
    }

    fn unread(it: &Unread) -> Self {
        Self {
            is_error: true,
            rule: UNREAD.to_owned(),
            about: "A path that cannot be read.".to_owned(),
            message: it.why.message.clone(),
            help: it.why.help.clone(),
            file: it.path.clone(),
            place: None,
        }
    }
}

fn all(checked: &Checked, redactor: &Redactor) -> Vec<Problem> {
    let unread = checked.unread.iter().map(Problem::unread);
    unread.chain(checked.problems.iter().map(|it| Problem::of(it, redactor))).collect()
}

const fn level(problem: &Problem) -> &'static str {
    if problem.is_error { "error" } else { "warning" }
}

/// The scenarios that are valid, and the problems.
pub fn json(checked: &Checked, redactor: &Redactor) -> Value {
    let valid = checked.documents.iter().map(|it| json!({"file": it.file, "name": it.scenario.name}));
    let problems = all(checked, redactor).into_iter().map(|it| {
        json!({
            "severity": level(&it),
            "code": it.rule,
            "message": it.message,
            "help": it.help,
            "file": it.file,
            "line": it.place.map(|(line, _)| line),
            "column": it.place.map(|(_, column)| column),
        })
    });
    json!({
        "valid": valid.collect::<Vec<_>>(),
        "errors": checked.errors(),
        "problems": problems.collect::<Vec<_>>(),
    })
}

/// The problems as a log of SARIF: one rule for each code that occurs.
pub fn sarif(checked: &Checked, redactor: &Redactor) -> Value {
    let problems = all(checked, redactor);
    let rules: BTreeMap<&str, &str> = problems.iter().map(|it| (it.rule.as_str(), it.about.as_str())).collect();
    let results = problems.iter().map(|it| {
        let why = Explained { message: it.message.clone(), help: it.help.clone() };
        let mut place = json!({"artifactLocation": {"uri": uri(&it.file)}});
        if let Some((line, column)) = it.place {
            place["region"] = json!({"startLine": line, "startColumn": column});
        }
        json!({
            "ruleId": it.rule,
            "ruleIndex": rules.keys().position(|rule| *rule == it.rule),
            "level": level(it),
            "message": {"text": why.to_string()},
            "locations": [{"physicalLocation": place}],
        })
    });
    let results: Vec<Value> = results.collect();
    let described = rules.iter().map(|(id, about)| json!({"id": id, "shortDescription": {"text": about}}));
    json!({
        "$schema": SARIF,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "shakedown",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": described.collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A path as a reference of a URI, with `/` between its parts.
fn uri(path: &str) -> String {
    let keeps = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let path = path.strip_prefix("./").unwrap_or(path).replace('\\', "/");
    path.bytes().map(|byte| if keeps(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_schemas::{Overrides, parse};

    fn checked() -> Checked {
        let text = "version: 1\nname: a\nload: {main: {http: {url: \"http://127.0.0.1:1\"}, rate: 20/s}}\nphases: [{name: p, duraton: 5s}]\n";
        let problems = parse("./sub dir/a.yaml", text.as_bytes(), &Overrides::default()).unwrap_err();
        let why = Explained::new("there is no file `b.yaml`", "check the path");
        let unread = vec![Unread { path: "b.yaml".to_owned(), why }];
        Checked { documents: Vec::new(), topologies: Vec::new(), broken: 2, unread, problems }
    }

    #[test]
    fn problems_have_their_place_and_their_next_step() {
        let value = json(&checked(), &Redactor::default());
        let all = value["problems"].as_array().unwrap();
        assert_eq!(value["errors"], all.len(), "{value:#}");
        assert_eq!(
            (&all[0]["code"], &all[0]["help"], &all[0]["line"]),
            (&json!(UNREAD), &json!("check the path"), &Value::Null)
        );
        let key = all.iter().find(|it| it["code"] == "S010").unwrap();
        assert_eq!((&key["line"], &key["column"], &key["severity"]), (&json!(4), &json!(20), &json!("error")));
        assert_eq!(key["help"], "did you mean `duration`?");
    }

    #[test]
    fn sarif_has_a_rule_for_each_code_and_a_place_for_each_result() {
        let log = sarif(&checked(), &Redactor::default());
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let results = run["results"].as_array().unwrap();
        assert!(results.len() >= 2, "{log:#}");
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(result["message"]["text"].as_str().unwrap().contains("\nhelp: "), "{result:#}");
        }
        let place = &results.iter().find(|it| it["ruleId"] == "S010").unwrap()["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "sub%20dir/a.yaml");
        assert_eq!(place["region"], json!({"startLine": 4, "startColumn": 20}));
    }
}
