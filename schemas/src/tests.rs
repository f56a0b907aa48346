//! Every file of `tests-cases`: the valid ones parse, the invalid ones give exactly the problems that are recorded
//! beside them. `INSTA_UPDATE=always cargo test -p shakedown-schemas` records them anew; look at the difference.

use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostic::Code;
use crate::{Overrides, document, json_schema, parse, source};

fn cases(folder: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests-cases").join(folder);
    let mut cases: Vec<(String, PathBuf)> = fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), path))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no case in {}", folder.display());
    cases
}

#[test]
fn valid_files_parse() {
    for (name, path) in cases("valid") {
        let bytes = fs::read(&path).expect("a case");
        match parse(&name, &bytes, &Overrides::default()) {
            // The design's own example asks for a ratio of 1.2, which draws its warning.
            Ok(document) => assert!(document.warnings.iter().all(|it| it.code == Code::TightRatio), "{name}"),
            Err(problems) => panic!("{name}:\n{}", problems.iter().map(|it| it.render(false)).collect::<String>()),
        }
    }
}

#[test]
fn invalid_files_give_the_recorded_problems() {
    for (name, path) in cases("invalid") {
        let bytes = fs::read(&path).expect("a case");
        let problems = match parse(&format!("{name}.yaml"), &bytes, &Overrides::default()) {
            Ok(document) => document.warnings,
            Err(problems) => problems,
        };
        let text: Vec<String> = problems.iter().map(|problem| problem.render(false)).collect();
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../tests-cases/invalid" }, {
            insta::assert_snapshot!(name.clone(), text.join("\n\n"));
        });
    }
}

/// The file as JSON, before any template is rendered: what an editor checks against the schema.
fn as_json(bytes: &[u8]) -> Option<serde_json::Value> {
    let tree = source::parse(source::text(bytes).ok()?).ok()?;
    Some(document::json(tree.value))
}

#[test]
fn the_schema_takes_what_the_parser_takes_and_finds_structural_errors() {
    let schema = jsonschema::validator_for(&json_schema::scenario_schema()).expect("the scenario's schema");
    for (name, path) in cases("valid") {
        let json = as_json(&fs::read(&path).expect("a case")).expect("a valid file is YAML");
        let errors: Vec<String> =
            schema.iter_errors(&json).map(|error| format!("{error} at {}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
    let structural = [Code::UnknownKey, Code::MissingKey, Code::WrongType, Code::UnknownKind, Code::NotOneKind];
    for (name, path) in cases("invalid") {
        let bytes = fs::read(&path).expect("a case");
        let problems = parse(&name, &bytes, &Overrides::default()).err().unwrap_or_default();
        let Some(json) = as_json(&bytes) else { continue };
        if problems.iter().any(|problem| structural.contains(&problem.code)) {
            assert!(!schema.is_valid(&json), "the schema takes {name}, the parser does not");
        }
    }
}
