//! The pages by axe-core: in every verdict, light and dark, on a desktop and on a phone, there is no serious violation.

use serde_json::Value;
use shakedown_reports::sample;
use shakedown_schemas::RunResult;

use super::{BAD, UNFOLD, browser, looks, problems, verdicts};
use crate::support::browser::{Look, Page};
use crate::support::shakedown::Shakedown;
use crate::support::{none_of, root};

/// axe-core's script; `.ci/run` installs it. A test fails here where it is not installed.
#[track_caller]
fn axe() -> String {
    let path = root().join("target/tools/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("this test needs axe-core, {}: {why}", path.display()))
}

/// The serious violations that axe-core finds in a page with nothing folded.
fn violations(page: &mut Page<'_>, axe: &str, name: &str) -> Vec<String> {
    page.evaluate(UNFOLD);
    page.evaluate(&format!("{axe}; undefined"));
    let found = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(it => it.violations.map(v =>
            [v.impact, `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)).join(' | ')}`]))",
    );
    let found: Vec<(Option<String>, String)> = serde_json::from_value(found).expect("a list");
    let serious = found.into_iter().filter(|(impact, _)| matches!(impact.as_deref(), Some("serious" | "critical")));
    serious.map(|(impact, text)| format!("{name}: {}: {text}", impact.unwrap_or_default())).collect()
}

#[test]
#[ignore = "needs chromium and axe-core"]
fn a_page_that_cannot_be_read_is_noticed() {
    let (mut browser, shakedown) = (browser(), Shakedown::new());
    shakedown.file("bad.html", BAD);
    let mut page = browser.open(&shakedown.path("bad.html"), Look::DESKTOP);
    let found = violations(&mut page, &axe(), "bad").join("\n");
    assert!(found.contains("color-contrast") && found.contains("image-alt"), "{found}");
}

#[test]
#[ignore = "needs chromium and axe-core, takes a minute"]
fn every_verdict_can_be_read_in_light_and_dark_on_a_desktop_and_on_a_phone() {
    let mut browser = browser();
    let (shakedown, axe) = (Shakedown::new(), axe());
    let mut found = Vec::new();
    for (verdict, result) in verdicts() {
        let file = format!("{verdict}.html");
        shakedown.file(&file, shakedown_reports::html(&result).expect("a page"));
        for (name, look) in looks() {
            let name = format!("{verdict}-{name}");
            let mut page = browser.open(&shakedown.path(&file), look);
            // What a reviewer learns in ten seconds is on the first screen.
            let seen = page.evaluate(&format!(
                "[...document.querySelectorAll('.verdict .sentence, .verdict .done')]
                    .every(it => it.getBoundingClientRect().bottom < {})",
                look.height
            ));
            assert_eq!(
                seen,
                Value::Bool(true),
                "{name}: the verdict, its reason and the faults are on the first screen"
            );
            found.extend(problems(&mut page, &name));
            found.extend(violations(&mut page, &axe, &name));
        }
    }
    none_of(&found);
}

#[test]
#[ignore = "needs chromium and axe-core, takes a minute"]
fn suites_hours_histories_and_hostile_texts_are_pages_like_any_other() {
    let mut browser = browser();
    let (shakedown, axe) = (Shakedown::new(), axe());
    let history: Vec<RunResult> = (0..6)
        .map(|day| {
            let mut run = if day % 3 == 1 { sample::failing() } else { sample::passing() };
            run.run.id = format!("run-{day}");
            let at = &mut run.scenarios[0].started_at;
            *at = at.checked_add(jiff::SignedDuration::from_hours(24 * day)).expect("a day");
            run
        })
        .collect();
    let mut found = Vec::new();
    for (name, text) in [
        ("suite", shakedown_reports::html(&sample::suite())),
        ("hour", shakedown_reports::html(&sample::hour())),
        ("error", shakedown_reports::html(&sample::errored())),
        ("hostile", shakedown_reports::html(&sample::hostile())),
        ("history", shakedown_reports::history(&history, 30)),
    ] {
        let file = format!("{name}.html");
        shakedown.file(&file, text.expect("a page"));
        for (kind, look) in [("desktop-light", Look::DESKTOP), ("phone-dark", Look::PHONE.dark())] {
            let name = format!("{name}-{kind}");
            let mut page = browser.open(&shakedown.path(&file), look);
            found.extend(problems(&mut page, &name));
            found.extend(violations(&mut page, &axe, &name));
        }
    }
    none_of(&found);
}
