//! Every file of `tests-cases`: valid files parse, and invalid files give exactly the problems in the snapshots next to
//! them. `INSTA_UPDATE=always cargo test -p shakedown-schemas` updates the snapshots. Check the difference.

mod certain;
mod corpus;
mod guesses;
mod kinds;
mod proposals;

use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostic::Code;
use crate::files::Reader;
use crate::{Diagnostic, Document, Overrides, document, json_schema, parse, source};

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

/// Parses a case under a short name, with the files of its directory.
fn parse_case(name: &str, path: &Path, bytes: &[u8]) -> Result<Document, Vec<Diagnostic>> {
    let reader = Reader::within(path.parent().expect("the folder of cases"));
    document::parse_with(name, bytes, &Overrides::default(), reader)
}

#[test]
fn valid_files_parse() {
    for (name, path) in cases("valid") {
        let bytes = fs::read(&path).expect("a case");
        match parse_case(&name, &path, &bytes) {
            // The example of the design has a ratio of 1.2, which causes this warning.
            Ok(document) => assert!(document.warnings.iter().all(|it| it.code == Code::TightRatio), "{name}"),
            Err(problems) => panic!("{name}:\n{}", problems.iter().map(|it| it.render(false)).collect::<String>()),
        }
    }
}

#[test]
fn invalid_files_give_the_recorded_problems() {
    for (name, path) in cases("invalid") {
        let bytes = fs::read(&path).expect("a case");
        let problems = match parse_case(&format!("{name}.yaml"), &path, &bytes) {
            Ok(document) => document.warnings,
            Err(problems) => problems,
        };
        for problem in &problems {
            assert!(problem.help.is_some(), "{name}: no next step: {}", problem.render(false));
        }
        let text: Vec<String> = problems.iter().map(|problem| problem.render(false)).collect();
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../tests-cases/invalid" }, {
            insta::assert_snapshot!(name.clone(), text.join("\n\n"));
        });
    }
}

/// The file as JSON before templates are rendered, as an editor checks it against the schema.
fn as_json(bytes: &[u8]) -> Option<serde_json::Value> {
    let tree = source::parse(source::text(bytes).ok()?).ok()?;
    Some(source::json(tree.value))
}

#[test]
fn the_schema_accepts_valid_files_and_finds_structural_errors() {
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
        let problems = parse_case(&name, &path, &bytes).err().unwrap_or_default();
        let Some(json) = as_json(&bytes) else { continue };
        if problems.iter().any(|problem| structural.contains(&problem.code)) {
            assert!(!schema.is_valid(&json), "the schema takes {name}, the parser does not");
        }
    }
}

fn problems(text: &str) -> Vec<Diagnostic> {
    parse("case.yaml", text.as_bytes(), &Overrides::default()).expect_err("an invalid file")
}

/// The processor time of this thread. Unlike the time of a clock, it does not grow with other work on the machine.
pub(crate) fn processor_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::try_from(time).expect("the clock begins at zero")
}

const HEAD: &str = "version: 1\nname: x\nload: {main: {http: {url: \"http://127.0.0.1:1\"}, rate: 20/s}}\n";

#[test]
fn a_huge_file_is_refused_before_it_is_parsed() {
    let begin = processor_time();
    let huge = vec![b'['; 50 << 20];
    let problems = parse("huge.yaml", &huge, &Overrides::default()).expect_err("50 MB");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code, Code::Unreadable);
    let took = processor_time() - begin;
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let flow = format!("{HEAD}phases: {}", "[".repeat(10_000));
    let block: String = (0..10_000).map(|depth| format!("{}a:\n", " ".repeat(depth.min(40)))).collect();
    let maps = format!("{HEAD}vars: {}1{}", "{a: ".repeat(10_000), "}".repeat(10_000));
    let lists = format!("{HEAD}vars: {{a: {}}}", "- ".repeat(10_000));
    for text in [flow, block, maps, lists] {
        assert_eq!(problems(&text).len(), 1);
    }
    let staircase: String = (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(problems(&staircase)[0].code, Code::Limit);
}

#[test]
fn exploding_anchors_are_refused_quickly() {
    let begin = processor_time();
    let mut text = String::from("vars:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("  a{level}: &a{level} [{aliases}]\n"));
    }
    let found = problems(&format!("{text}{HEAD}phases: []\n"));
    assert_eq!(found.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::Limit]);
    let took = processor_time() - begin;
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
}

#[test]
fn aliases_cannot_repeat_a_long_text() {
    let text = format!("vars: {{a: &a {}, b: [{}]}}\n{HEAD}phases: []\n", "x".repeat(500_000), "*a,".repeat(90_000));
    assert_eq!(problems(&text).iter().map(|it| it.code).collect::<Vec<_>>(), [Code::Limit]);
}

#[test]
fn templates_over_the_limits_are_refused_with_their_position() {
    let begin = processor_time();
    let phases = |count: usize, text: &str| {
        let phase = |number| format!("- {{name: p{number}, duration: 1s, description: \"{text}\"}}\n");
        let phases: String = (0..count).map(phase).collect();
        problems(&format!("{HEAD}vars: {{a: \"{{{{ 'x' * 1000000 }}}}\"}}\nphases:\n{phases}"))
    };
    for (count, text, wrong) in [
        (
            1,
            "{{ 'x' | replace('', 'xxxxxxxxxxxxxxxx') | replace('', a) }}",
            "this template expression needs too much computation",
        ),
        (
            5_000,
            "{{ (a | replace('x', 'y')) | length }}",
            "the template expressions of this file need too much computation",
        ),
        (5_000, "{{ a }}", "the templates of this file produce more than 16777216 bytes"),
    ] {
        let found: Vec<Diagnostic> = phases(count, text).into_iter().filter(|it| it.code == Code::Template).collect();
        assert!(found.len() == 1 && found[0].message.starts_with(wrong), "{found:?}");
        assert!(found[0].span.is_some_and(|span| span.line > 5), "{found:?}");
    }
    let took = processor_time() - begin;
    assert!(took < std::time::Duration::from_secs(30), "{took:?}");
}

#[test]
fn the_output_for_many_errors_and_long_lines_is_limited() {
    let keys: Vec<String> = (0..5_000).map(|number| format!("key{number}: 1")).collect();
    let found = problems(&format!("{HEAD}phases: [{{{}}}]\n", keys.join(", ")));
    assert!((10..=100).contains(&found.len()), "{}", found.len());
    let drawn: String = found.iter().map(|it| it.render(false)).collect();
    assert!(drawn.len() < 100_000, "{}", drawn.len());
}

#[test]
fn big_files_are_read_within_a_time_limit() {
    let begin = processor_time();
    let phases = |count: usize, phase: &dyn Fn(usize) -> String| {
        let mut text = format!("{HEAD}phases:\n");
        (0..count).for_each(|number| text.push_str(&phase(number)));
        assert!(text.len() < crate::MAX_BYTES);
        text
    };
    let good =
        phases(8_000, &|number| format!("- {{name: p{number}, duration: 1s, expect: [{{requests: {{min: 1}}}}]}}\n"));
    parse("good.yaml", good.as_bytes(), &Overrides::default()).expect("a scenario");
    let templates = phases(2_000, &|_| "- {name: \"{{ a }}\", duration: \"{{ b }}\"}\n".to_owned());
    let types = phases(2_000, &|number| format!("- {{name: p{number}, duration: 1, expect: 3}}\n"));
    let limits =
        phases(2_000, &|number| format!("- {{name: p{number}, duration: 0s, expect: [{{requests: {{}}}}]}}\n"));
    for (text, shown) in [(templates, 101), (types, 60), (limits, 101)] {
        assert_eq!(problems(&text).len(), shown);
    }
    let took = processor_time() - begin;
    assert!(took < std::time::Duration::from_secs(60), "{took:?}");
}

#[test]
fn control_characters_of_a_file_are_escaped() {
    let name = "\u{1b}]0;title\u{7}\u{202e}\u{9b}31m";
    let text = format!("{HEAD}phases: [{{name: \"{}\", duration: 1s}}]\n\"\\e[2J{name}\": 1\n", "\\e[31m\\a\\u202e");
    for color in [false, true] {
        let found = match parse(&format!("{name}.yaml"), text.as_bytes(), &Overrides::default()) {
            Ok(_) => panic!("an invalid name"),
            Err(found) => found,
        };
        for problem in found {
            // The only escape sequences are the program's own styles.
            let mut drawn = problem.render(color);
            while let Some(at) = drawn.find("\u{1b}[") {
                assert!(color);
                let end = drawn[at..].find('m').expect("a style") + at;
                assert!(drawn[at + 2..end].bytes().all(|b| b.is_ascii_digit() || b == b';'), "{drawn:?}");
                drawn.replace_range(at..=end, "");
            }
            assert!(!drawn.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{drawn:?}");
        }
    }
}

#[test]
fn positions_count_bytes_and_characters() {
    let text = "version: 1\r\nname: x\r\ndescription: \"😀é\" # 😀\r\nload: {\"😀\": {http: {url: \"http://h\"}, rate: \
        20}}\r\nphases: []\r\n";
    let found = problems(text);
    let rate = found.iter().find(|it| it.code == Code::InvalidValue).expect("the rate without a unit");
    let span = rate.span.expect("a place");
    assert_eq!(&text[span.offset..span.offset + span.len], "20");
    assert_eq!((span.line, span.column), (4, 45));
}

/// A file with this matrix.
fn with_matrix(matrix: &str) -> String {
    format!(
        "version: 1\nname: x\ndescription: \"{{{{ a }}}} {{{{ b }}}}\"\nmatrix: {matrix}\nload: {{main: {{http: {{url: \
         \"http://127.0.0.1:1\"}}, rate: 20/s}}}}\nphases: [{{name: p, duration: 30s}}]\n"
    )
}

#[test]
fn a_matrix_is_a_scenario_for_each_combination() {
    let all = |text: &str, vars: &[&str]| {
        let mut overrides = Overrides::default();
        vars.iter().for_each(|it| overrides.add_var(it).expect("a variable"));
        let documents = crate::parse_all("case.yaml", text.as_bytes(), &overrides).expect("scenarios");
        documents.iter().map(|it| it.scenario.name.clone()).collect::<Vec<_>>()
    };
    let text = with_matrix("{a: [10%, 50%], b: [x/1, y], exclude: [{a: 50%, b: y}]}");
    assert_eq!(all(&text, &[]), ["x-10-x1", "x-10-y", "x-50-x1"]);
    assert_eq!(all(&text, &["a=7"]), ["x-7-x1", "x-7-y"], "a given value is the only one");
    assert_eq!(
        all(&text.replace("name: x", "name: \"n-{{ b | replace('/', '') }}-{{ a | replace('%', '') }}\""), &[])[0],
        "n-x1-10"
    );
    let documents = crate::parse_all("case.yaml", text.as_bytes(), &Overrides::default()).expect("scenarios");
    assert_eq!(documents[2].scenario.description.as_deref(), Some("50% x/1"));
    assert_eq!(serde_json::to_string(&documents[2].matrix).expect("JSON"), r#"{"a":"50%","b":"x/1"}"#);
    assert!(documents[2].resolved.get("matrix").is_none(), "the resolved file is one scenario");
    let plain = crate::parse_all(
        "case.yaml",
        text.replace("matrix: ", "vars: {a: 1, b: 2}\nx-m: ").as_bytes(),
        &Overrides::default(),
    );
    assert_eq!(plain.expect("one scenario").len(), 1);
}

#[test]
fn what_is_wrong_with_a_matrix_is_said_once_with_its_place() {
    for (matrix, code, message) in [
        ("[1]", Code::WrongType, "`matrix` is a map from variables to lists of values"),
        ("{a: 1, b: [2]}", Code::WrongType, "`a` of the matrix is a list of values"),
        ("{a: [1, 1], b: [2]}", Code::DuplicateName, "`a` has the value `1` twice"),
        ("{a: [1, {c: 2}], b: [2]}", Code::WrongType, "a value of `a` is a text, a number or a boolean"),
        ("{a: [], b: [2]}", Code::NothingThere, "`a` of the matrix has no value"),
        ("{a: [1], b: [2], exclude: {a: 1}}", Code::WrongType, "`exclude` is a list of combinations"),
        ("{a: [1], b: [2], exclude: [{c: 1}]}", Code::UnknownKey, "`c` is not a variable of the matrix"),
        ("{a: [1], b: [2], exclude: [{a: 3}]}", Code::VariableValue, "`3` is not a value of `a` in the matrix"),
        ("{a: [1], b: [2], exclude: [{a: 1}]}", Code::NothingThere, "`exclude` leaves no combination"),
        (
            "{a: [1], b: [2], exclude: [{}]}",
            Code::NothingThere,
            "this entry of `exclude` names no value, and leaves out nothing",
        ),
        ("{exclude: [{c: 1}]}", Code::UnknownKey, "`c` is not a variable of the matrix"),
        ("{a: [1], b: [2], c: [3]}", Code::UnusedVariable, "the variable `c` is never used"),
        ("{a: [x/, x], b: [2]}", Code::DuplicateName, "two combinations of the matrix have the name `x-x-2`"),
    ] {
        let text = with_matrix(matrix);
        let found = match crate::parse_all("case.yaml", text.as_bytes(), &Overrides::default()) {
            Ok(documents) => documents[0].warnings.clone(),
            Err(found) => found,
        };
        let said: Vec<_> = found.iter().filter(|it| it.message == message).collect();
        assert_eq!(said.len(), 1, "{matrix}: {found:#?}");
        assert_eq!((said[0].code, said[0].line()), (code, Some(4)), "{matrix}");
        let is_about_matrix = !message.starts_with("the variable") && !message.starts_with("two combinations");
        assert!(said[0].help.is_some() || !is_about_matrix, "{matrix}: no next step in {:#?}", said[0]);
    }
    let text = with_matrix("\n  a: [1, 2]\n  b: [3]\n  exclude:\n    - {a: 2, b: 3}");
    let mut fixed = Overrides::default();
    fixed.add_var("a=2").expect("a variable");
    let found = crate::parse_all("case.yaml", text.as_bytes(), &fixed).expect_err("nothing is left");
    assert_eq!(found[0].message, "`exclude` leaves no combination with a=2", "{found:#?}");
    assert_eq!(found[0].line(), Some(7));
    let text = text.replace("- {a: 2, b: 3}", "- {a: 1}\n    - {a: 2}");
    let found = crate::parse_all("case.yaml", text.as_bytes(), &Overrides::default()).expect_err("nothing is left");
    let help = found[0].help.as_deref().unwrap_or_default();
    assert_eq!(found[0].line(), Some(7));
    assert!(help.contains("remove one of its entries") && help.contains("add a value to `a`"), "{help}");
    let many: Vec<String> = (0..11).map(|it| it.to_string()).collect();
    let text = with_matrix(&format!("{{a: [{0}], b: [{0}]}}", many.join(", ")));
    let found = crate::parse_all("case.yaml", text.as_bytes(), &Overrides::default()).expect_err("121 scenarios");
    assert_eq!(found[0].code, Code::Limit, "{found:#?}");
    let both = with_matrix("{a: [1], b: [2]}").replace("load:", "vars: {a: 1}\nload:");
    assert_eq!(problems(&both)[0].message, "`a` is in `vars` and in `matrix`");
}

#[test]
fn a_declared_variable_takes_only_what_it_allows() {
    let text = "version: 1\nname: \"x-{{ a }}-{{ b }}-{{ c.default2 }}\"\nvars:\n  a: {required: true, description: Who}\n  b: {default: \
                10%, values: [10%, 50%]}\n  c: {default2: x}\nload: {main: {http: {url: \"http://127.0.0.1:1\"}, rate: 20/s}}\nphases: \
                [{name: p, duration: 30s}]\n";
    let parsed = |vars: &[&str]| {
        let mut overrides = Overrides::default();
        vars.iter().for_each(|it| overrides.add_var(it).expect("a variable"));
        parse("case.yaml", text.replace("10%", "10").replace("50%", "50").as_bytes(), &overrides)
    };
    let document = parsed(&["a=me"]).expect("a scenario");
    assert_eq!((document.scenario.name.as_str(), &document.vars["b"]), ("x-me-10-x", &10.into()));
    let problem = |vars: &[&str]| {
        let found = parsed(vars).expect_err("a wrong value");
        let found: Vec<_> = found.iter().map(|it| (it.code, it.line(), it.message.as_str())).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].0, found[0].1, found[0].2.to_owned())
    };
    assert_eq!(problem(&[]), (Code::VariableValue, Some(4), "the variable `a` (Who) has no value".to_owned()));
    let wrong = "`20` is not a value of the variable `b`".to_owned();
    assert_eq!(problem(&["a=me", "b=20"]), (Code::VariableValue, Some(5), wrong));
    for (declared, value, message) in [
        ("{type: number, default: 1}", "x", Some("`x` is not a number")),
        ("{type: number, default: 1}", "2.5", None),
        ("{type: text, required: true}", "true", Some("`true` is not a text")),
        ("{type: boolean, default: false}", "true", None),
        ("{type: integer, default: 1}", "1", Some("`type` of the variable `a` cannot be used")),
        ("{values: [], default: 1}", "1", Some("`values` of the variable `a` cannot be used")),
    ] {
        let text = format!(
            "{HEAD}description: \"{{{{ a }}}}\"\nphases: [{{name: p, duration: 1s}}]\nvars: {{a: {declared}}}\n"
        );
        let mut overrides = Overrides::default();
        overrides.add_var(&format!("a={value}")).expect("a variable");
        let found = parse("case.yaml", text.as_bytes(), &overrides).err().unwrap_or_default();
        let said: Vec<&str> =
            found.iter().filter(|it| it.code == Code::VariableValue).map(|it| it.message.as_str()).collect();
        assert_eq!(said.is_empty(), message.is_none(), "{declared}: {said:?}");
        assert!(message.is_none_or(|part| said[0].starts_with(part)), "{declared}: {said:?}");
    }
}

#[test]
fn variables_come_from_the_file_then_the_vars_files_then_the_command_line() {
    let text = "version: 1\nname: \"{{ a }}-{{ b }}-{{ c }}-{{ d }}\"\nvars: {a: file, b: file, c: file, n: 3}\n\
                load: {main: {http: {url: \"http://h\"}, concurrency: \"{{ n }}\"}}\nphases: [{name: p, duration: \
                1s}]\n";
    let mut overrides = Overrides::default();
    overrides.add_file("one.yaml", b"b: shared\nc: shared\nother: 1\nd: only-shared\n").expect("a vars file");
    overrides.add_var("c=line").expect("a variable");
    overrides.add_var("n=5").expect("a variable");
    let document = parse("x.yaml", text.as_bytes(), &overrides).expect("a scenario");
    assert_eq!(document.scenario.name, "file-shared-line-only-shared");
    assert_eq!(document.scenario.load["main"].concurrency, Some(5.into()));
    assert_eq!(
        serde_json::to_string(&document.vars).expect("JSON"),
        r#"{"a":"file","b":"shared","c":"line","n":5,"d":"only-shared"}"#
    );
    assert_eq!(document.scenario.vars["n"], 5);
    assert_eq!(document.line("phases[0]"), Some(5));
    assert_eq!(document.line("load.main"), Some(4));
    assert_eq!(document.line("nothing"), None);

    overrides.add_var("cc=1").expect("a variable");
    let found = parse("x.yaml", text.as_bytes(), &overrides).expect_err("an unknown variable");
    assert_eq!(found[0].code, Code::UnknownOverride);
    assert_eq!(found[0].help.as_deref(), Some("did you mean `c`?"));
    for wrong in ["a", "=1", "a-b=1", "true=1"] {
        Overrides::default().add_var(wrong).expect_err(wrong);
    }
    for wrong in ["- a\n", "a: [\n", "", "a: 1\na: 2\n"] {
        Overrides::default().add_file("vars.yaml", wrong.as_bytes()).expect_err(wrong);
    }
}

#[test]
fn a_rendered_value_never_changes_the_structure() {
    for value in ["a\", evil: \"b", "{x: 1}", "[1]", "x\nname: y", "&a b", "*a", "{{ a }}", "---"] {
        let mut overrides = Overrides::default();
        overrides.vars.push(("a".to_owned(), value.into()));
        let text = format!("{HEAD}description: \"{{{{ a }}}}\"\nphases: [{{name: p, duration: 1s}}]\nvars: {{a: x}}\n");
        let document = parse("x.yaml", text.as_bytes(), &overrides).expect(value);
        assert_eq!(document.scenario.description.as_deref(), Some(value));
        assert_eq!(document.scenario.phases.len(), 1);
    }
}

#[test]
fn keys_that_begin_with_x_can_hold_anchors() {
    let text = "version: 1\nname: x\nx-pods: &pods {labels: app=web}\nload: {main: {http: {url: \"http://127.0.0.1:1\"}, rate: \
                20/s}}\nphases:\n  - {name: p, duration: 10s, faults: {f: {pod_kill: {pods: *pods}}}}\n";
    let document = parse("x.yaml", text.as_bytes(), &Overrides::default()).expect("a scenario");
    assert!(document.resolved.get("x-pods").is_none());
    let schema = jsonschema::validator_for(&json_schema::scenario_schema()).expect("the scenario's schema");
    assert!(schema.is_valid(&as_json(text.as_bytes()).expect("YAML")));
    assert_eq!(problems(&text.replace("x-pods", "y-pods"))[0].code, Code::UnknownKey);
    // Only at the top.
    assert_eq!(problems(&text.replace("duration: 10s", "duration: 10s, x-a: 1"))[0].code, Code::UnknownKey);
}

#[test]
fn a_variable_of_another_file_can_be_left_out() {
    let mut overrides = Overrides::default();
    overrides.add_var("a=1").expect("a variable");
    overrides.add_var("b=2").expect("a variable");
    let text = format!("{HEAD}description: \"{{{{ a }}}}\"\nphases: [{{name: p, duration: 1s}}]\n");
    let found = parse("x.yaml", text.as_bytes(), &overrides).expect_err("there is no `b`");
    assert!(Overrides::is_unknown("b", &found) && !Overrides::is_unknown("a", &found));
    parse("x.yaml", text.as_bytes(), &overrides.known_to(&found)).expect("a scenario");
}

#[test]
fn a_document_has_the_lines_of_phases_faults_and_expectations() {
    let (name, path) = cases("valid").into_iter().find(|(name, _)| name == "design").expect("the design's example");
    let document = parse(&name, &fs::read(path).expect("a case"), &Overrides::default()).expect("a scenario");
    let at = |path: &str| {
        let line = document.line(path).unwrap_or_else(|| panic!("{path}"));
        document.text.lines().nth(line as usize - 1).unwrap_or_default().trim().to_owned()
    };
    assert!(at("phases[1]").starts_with("- name: partition"));
    assert!(at("phases[1].faults.nats-cut").starts_with("nats-cut:"));
    assert!(at("phases[1].expect[1]").starts_with("- latency_ratio:"));
    assert!(at("load.completions").starts_with("completions:"));
}

#[test]
fn damaged_files_never_panic_and_the_schema_accepts_those_that_parse() {
    let schema = jsonschema::validator_for(&json_schema::scenario_schema()).expect("the scenario's schema");
    for (name, path) in cases("valid") {
        let text = fs::read_to_string(&path).expect("a case");
        let lines: Vec<&str> = text.lines().collect();
        let mut variants: Vec<Vec<u8>> = Vec::new();
        for at in 0..lines.len() {
            variants.push([&lines[..at], &lines[at + 1..]].concat().join("\n").into_bytes());
            variants.push([&lines[..at], &[lines[at]], &lines[at..]].concat().join("\n").into_bytes());
        }
        for (at, byte) in (0..text.len()).step_by(11).zip(b"\0:{}[]&*-\t\n\"'%\xff5x".iter().cycle()) {
            variants.push(text.as_bytes()[..at].to_vec());
            let mut changed = text.clone().into_bytes();
            changed[at] = *byte;
            variants.push(changed);
        }
        for bytes in variants {
            match parse_case(&name, &path, &bytes) {
                Ok(_) => {
                    let json = as_json(&bytes).expect("a valid file is YAML");
                    let source = String::from_utf8_lossy(&bytes);
                    assert!(schema.is_valid(&json), "the parser takes this, the schema does not:\n{source}");
                }
                Err(problems) => {
                    assert!(problems.iter().any(Diagnostic::is_error));
                    problems.iter().for_each(|problem| assert!(problem.render(false).contains(problem.code.id())));
                }
            }
        }
    }
}
