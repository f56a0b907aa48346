//! JUnit as a strict reader has it: every report is valid against the common schema, in the words of Jenkins and in our own
//! stricter ones, with the attributes that only some readers know and without them. `quick-junit` reads it back in the tests of
//! `reports`, and of every run.

use std::process::Command;
use std::time::Duration;

use shakedown_reports::sample;

use crate::support::process::{Finished, run};
use crate::support::server::serve;
use crate::support::shakedown::Shakedown;
use crate::support::{need, none_of, root};

/// The attributes of a schema that are conventions of some readers, taken out of it.
fn core(schema: &str) -> String {
    schema.lines().filter(|line| !line.contains("<!-- convention -->")).map(|line| format!("{line}\n")).collect()
}

/// A report without what the core of the schema does not have.
fn without_conventions(xml: &str) -> String {
    let mut out = String::new();
    // Attributes are written one after the other, with their values escaped: a quote ends a value, a `>` a tag.
    for (index, part) in xml.split('<').enumerate() {
        if index > 0 {
            out.push('<');
        }
        let Some((tag, rest)) = part.split_once('>') else {
            out.push_str(part);
            continue;
        };
        let mut tag = tag.to_owned();
        let gone: &[&str] = match tag.split([' ', '/']).next().unwrap_or_default() {
            "testcase" => &["timestamp", "file", "line"],
            _ => &[],
        };
        for name in gone {
            if let Some(from) = tag.find(&format!(" {name}=\"")) {
                let value = from + name.len() + 3;
                let end = value + tag[value..].find('"').expect("a value ends") + 1;
                tag.replace_range(from..end, "");
            }
        }
        out.push_str(&format!("{tag}>{rest}"));
    }
    out
}

fn validate(shakedown: &Shakedown, schema: &str, xml: &str) -> Finished {
    let mut command = Command::new("xmllint");
    let (schema, xml) = (shakedown.path(schema), shakedown.path(xml));
    run(command.args(["--nonet", "--noout", "--schema"]).arg(schema).arg(xml), Duration::from_secs(30))
}

/// The schemas that others wrote, where `.ci/run` has put them: each with whether it knows the attributes by which readers
/// find a case's file and line. Jenkins' xunit plugin knew them, and has refused them since it became strict.
const FOREIGN: [(&str, bool); 2] = [("junit-10-of-jenkins.xsd", true), ("junit-10-of-jenkins-strict.xsd", false)];

/// Reports of every kind by name, those of a run among them.
fn reports(shakedown: &Shakedown) -> Vec<(&'static str, String)> {
    shakedown.file("page.yaml", "version: 1\nname: x\nload:\n  a:\n    http: {url: 'URL'}\n    rate: 50/s\nphases:\n  - name: p\n    duration: 1s\n    expect: [{success_rate: {min: 99%}}]\n".replace("URL", &serve(500)));
    shakedown.run(&["run", "page.yaml", "--out", "out"]);
    let mut empty = sample::stillborn();
    empty.scenarios.clear();
    let xml = |result| shakedown_reports::junit(result).expect("a report");
    vec![
        ("run", shakedown.reports("out").text("junit.xml")),
        ("pass", xml(&sample::passing())),
        ("fail", xml(&sample::failing())),
        ("inconclusive", xml(&sample::inconclusive())),
        ("error", xml(&sample::errored())),
        ("stillborn", xml(&sample::stillborn())),
        ("suite", xml(&sample::suite())),
        ("cut short", xml(&sample::cut_short())),
        ("hour", xml(&sample::hour())),
        ("busy", xml(&sample::busy())),
        ("hostile", xml(&sample::hostile())),
        ("empty", xml(&empty)),
    ]
}

/// Validates each report against schemas, each with the form of the report that it knows: `whole.xml` or `core.xml`.
#[track_caller]
fn expect_valid(shakedown: &Shakedown, reports: &[(&str, String)], schemas: &[(&str, &str)]) {
    let mut problems = Vec::new();
    for (name, text) in reports {
        shakedown.file("whole.xml", text);
        shakedown.file("core.xml", without_conventions(text));
        for (schema, xml) in schemas {
            let finished = validate(shakedown, schema, xml);
            if finished.code() != 0 {
                problems
                    .push(format!("{name} against {schema}: {}", finished.stderr.lines().take(5).collect::<String>()));
            }
        }
    }
    none_of(&problems);
}

#[test]
#[ignore = "needs xmllint and the schemas of Jenkins"]
fn every_report_is_valid_against_the_schemas_of_jenkins() {
    need("xmllint");
    let shakedown = Shakedown::new();
    let schemas = FOREIGN.map(|(schema, whole)| {
        let path = root().join("target/tools").join(schema);
        let text = std::fs::read(&path);
        shakedown.file(schema, text.unwrap_or_else(|why| panic!("this test needs {}: {why}", path.display())));
        (schema, if whole { "whole.xml" } else { "core.xml" })
    });
    expect_valid(&shakedown, &reports(&shakedown), &schemas);
}

#[test]
#[ignore = "needs xmllint"]
fn every_report_is_valid_against_the_common_schema() {
    need("xmllint");
    let shakedown = Shakedown::new();
    let schema = std::fs::read_to_string(root().join("tests/junit.xsd")).expect("the schema");
    shakedown.file("whole.xsd", &schema);
    shakedown.file("core.xsd", core(&schema));
    let reports = reports(&shakedown);
    expect_valid(&shakedown, &reports, &[("whole.xsd", "whole.xml"), ("core.xsd", "core.xml")]);
    // The schema does refuse: a case without a name, a skipped one, an unknown attribute, text that is no number.
    let good = &reports[2].1;
    for (from, to) in [
        ("<testcase name=", "<testcase nam="),
        ("<failure ", "<skipped/><failure "),
        (" failures=\"2\"", " failures=\"two\""),
        (" time=\"", " time=\"-"),
    ] {
        assert!(good.contains(from), "{from}");
        shakedown.file("bad.xml", good.replacen(from, to, 1));
        assert_ne!(validate(&shakedown, "whole.xsd", "bad.xml").code(), 0, "{to} is valid");
    }
    shakedown.file("good.xml", good);
    assert_ne!(validate(&shakedown, "core.xsd", "good.xml").code(), 0, "the core is a smaller schema");
}
