//! The pictures: `cargo test --test integration -- --ignored browser::gallery` makes them all in `target/screenshots`, for
//! people to look at. The README's is that of the quickstart, `quickstart.png`; `.ci/screenshots` copies it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use shakedown_reports::sample;
use shakedown_schemas::RunResult;

use super::{browser, problems, verdicts};
use crate::support::browser::{Look, Page};
use crate::support::shakedown::Shakedown;
use crate::support::{none_of, root};

/// A sheet of paper, at 96 pixels per inch.
const PAPER: Look = Look { width: 794, height: 1123, print: true, ..Look::DESKTOP };
/// The window of the README's picture.
const README: Look = Look { width: 1180, ..Look::DESKTOP };
/// The most pages of a scenario on paper.
const PAGES: usize = 5;

/// Where the pictures go.
fn folder() -> PathBuf {
    let folder = root().join("target/screenshots");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    folder
}

fn keep(page: &mut Page<'_>, name: &str, most: f64) {
    let picture = page.picture(most);
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 30_000, "{name}: {} bytes", picture.len());
    std::fs::write(folder().join(format!("{name}.png")), picture).expect("a picture");
}

/// A nightly suite over two weeks: one scenario alternates, one becomes slower.
fn nights() -> Vec<RunResult> {
    (0..14)
        .map(|day| {
            let mut run = if day % 5 == 1 { sample::failing() } else { sample::passing() };
            if day > 3 {
                run.scenarios.extend(sample::suite().scenarios.into_iter().skip(2));
            }
            let mut slow = sample::passing().scenarios.remove(0);
            slow.name = "steady-but-slowing".to_owned();
            slow.expectations[4].observed = Some(1.0 + 0.013 * f64::from(day));
            run.scenarios.push(slow);
            run.run.id = format!("run-{day:02}");
            let later = |at: jiff::Timestamp| at + jiff::SignedDuration::from_hours(24 * i64::from(day));
            run.run.started_at = later(run.run.started_at);
            run.scenarios.iter_mut().for_each(|it| it.started_at = later(it.started_at));
            run
        })
        .collect()
}

/// The words of letters alone that a line breaks in the middle.
const BROKEN: &str = "(() => {
    const found = [], walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    while (walker.nextNode()) {
        const node = walker.currentNode;
        if (!node.parentElement.checkVisibility() || node.parentElement.closest('svg, pre, script')) continue;
        for (const word of node.data.matchAll(/(?<![\\w./:-])[A-Za-z]{2,24}(?![\\w./:-])/g)) {
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            if (new Set([...range.getClientRects()].map(it => Math.round(it.top))).size > 1) found.push(word[0]);
        }
    }
    return found })()";

#[test]
#[ignore = "needs chromium"]
fn nine_states_are_pictured() {
    let (mut browser, shakedown) = (browser(), Shakedown::new());
    let mut found = Vec::new();
    let mut pages = Vec::from(verdicts().map(|(name, result)| (name, shakedown_reports::html(&result))));
    pages.push(("error", shakedown_reports::html(&sample::errored())));
    pages.push(("suite", shakedown_reports::html(&sample::suite())));
    pages.push(("history", shakedown_reports::history(&nights(), 30)));
    for (name, text) in pages {
        shakedown.file(&format!("{name}.html"), text.expect("a page"));
    }
    for (state, kind, look) in [
        ("pass", "light", Look::DESKTOP),
        ("fail", "light", Look::DESKTOP),
        ("fail", "dark", Look::DESKTOP.dark()),
        ("fail", "phone", Look::PHONE),
        ("fail", "print", PAPER),
        ("inconclusive", "light", Look::DESKTOP),
        ("inconclusive", "phone", Look::PHONE),
        ("error", "phone-dark", Look::PHONE.dark()),
        ("suite", "light", Look::DESKTOP),
        ("suite", "phone", Look::PHONE),
        ("history", "light", Look::DESKTOP),
        ("history", "phone", Look::PHONE),
    ] {
        let name = format!("{state}-{kind}");
        let mut page = browser.open(&shakedown.path(&format!("{state}.html")), look);
        found.extend(problems(&mut page, &name));
        let broken: Vec<String> = serde_json::from_value(page.evaluate(BROKEN)).expect("words");
        found.extend(broken.iter().map(|word| format!("{name}: `{word}` is broken")));
        keep(&mut page, &name, 6_000.0);
    }
    none_of(&found);
}

#[test]
#[ignore = "needs chromium"]
fn a_broken_word_is_noticed() {
    let (mut browser, shakedown) = (browser(), Shakedown::new());
    let bad = "<!doctype html><main><p style='width: 3em; overflow-wrap: anywhere'>expectations fit </p></main>";
    shakedown.file("bad.html", bad);
    let mut page = browser.open(&shakedown.path("bad.html"), Look::PHONE);
    assert_eq!(page.evaluate(BROKEN), serde_json::json!(["expectations"]));
}

#[test]
#[ignore = "needs chromium"]
fn a_scenario_has_at_most_five_pages_on_paper() {
    let (mut browser, shakedown) = (browser(), Shakedown::new());
    let mut found = Vec::new();
    for (name, result) in verdicts() {
        shakedown.file("page.html", shakedown_reports::html(&result).expect("a page"));
        let pages = browser.open(&shakedown.path("page.html"), Look::DESKTOP).paper();
        found.extend((pages > PAGES).then(|| format!("{name}: {pages} pages")));
    }
    none_of(&found);
}

#[test]
#[ignore = "needs chromium"]
fn a_phone_answers_the_seven_questions_on_its_first_screen() {
    let (mut browser, shakedown) = (browser(), Shakedown::new());
    for (name, result) in verdicts() {
        shakedown.file("page.html", shakedown_reports::html(&result).expect("a page"));
        let mut page = browser.open(&shakedown.path("page.html"), Look::PHONE);
        let shown = page.evaluate(
            "[...document.querySelectorAll('.verdict .outcome, .verdict .tested, .verdict .done > div')]
                .filter(it => it.getBoundingClientRect().bottom <= innerHeight).map(it => it.textContent).join('\\n')",
        );
        let shown = shown.as_str().expect("a text");
        let fault = &result.scenarios[0].faults[0];
        let applied = if name == "inconclusive" { "not proven" } else { "applied, proven at " };
        for (question, answer) in [
            ("what load", "Load: completions, 20/s to "),
            ("what", "partition of "),
            ("to whom", fault.targets[0].name.as_str()),
            ("really applied", applied),
            ("what was felt", "out of tolerance from "),
            (
                "how fast back",
                if name == "fail" { "not recovered in the " } else { "recovered 4s ± 1s after the removal" },
            ),
            ("all undone", "nothing, every removal is confirmed"),
        ] {
            assert!(shown.contains(answer), "{name}: {question}: `{answer}` is not on the first screen:\n{shown}");
        }
    }
}

#[test]
#[ignore = "needs chromium"]
fn a_suite_shows_the_chosen_verdict_and_a_link_shows_its_place() {
    let (mut browser, shakedown) = (browser(), Shakedown::new());
    shakedown.file("page.html", shakedown_reports::html(&sample::suite()).expect("a page"));
    // Without scripts.
    let mut page = browser.open(&shakedown.path("page.html"), Look { scripts: false, ..Look::DESKTOP });
    let shown =
        "[...document.querySelectorAll('.scenario')].filter(it => it.checkVisibility()).map(it => it.id).join()";
    let folds = "[...document.querySelectorAll('.fold')].map(it => `${it.closest('.scenario').id} ${it.open}`).join()";
    assert_eq!(page.evaluate(shown), "s2,s3,s1", "failures first");
    assert_eq!(page.evaluate(folds), "s1 false", "only the passed one is folded");
    for (verdict, scenario) in [("fail", "s2"), ("inconclusive", "s3"), ("pass", "s1"), ("all", "s2,s3,s1")] {
        page.evaluate(&format!("document.querySelector('#show-{verdict}').checked = true"));
        assert_eq!(page.evaluate(shown), scenario, "{verdict}");
    }
    for (look, end) in [(Look::DESKTOP, ""), (Look::PHONE, "n")] {
        let mut page = browser.open(&shakedown.path("page.html"), look);
        let link = "[...document.querySelectorAll('#s1 .links a')].find(it => it.textContent === 'in the chart'
            && getComputedStyle(it).display !== 'none')";
        page.evaluate(&format!("{link}.click()"));
        let seen = page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
                const it = document.querySelector('.place:target'), box = it.getBoundingClientRect();
                done([it.id, getComputedStyle(it).stroke !== 'none', box.height > 0 && box.top >= 0 && box.top < innerHeight])
            })))",
        );
        assert_eq!(seen, serde_json::json!([format!("s1-e1{end}"), true, true]), "it opens the fold and scrolls to it");
    }
}

#[test]
#[ignore = "needs chromium, takes a minute"]
fn the_quickstart_is_pictured() {
    let (mut browser, shakedown) = (browser(), Shakedown::new());
    let scenario = root().join("scenarios/quickstart.yaml");
    // A busy machine makes a run inconclusive.
    let again = ["--retry-inconclusive", "2"];
    let args = ["run", "--sandbox", scenario.to_str().expect("UTF-8"), "--out", "out", again[0], again[1]];
    let finished = shakedown.start(&args).finish(Duration::from_secs(240));
    let reports = shakedown.reports("out");
    let mut page = browser.open(&reports.path("report.html"), README);
    assert_eq!(page.evaluate("document.querySelectorAll('.scenario.pass').length"), Value::from(1), "{finished}");
    assert!(page.paper() <= PAGES, "{} pages", page.paper());
    keep(&mut page, "quickstart", 2_000.0);
    let mut phone = browser.open(&reports.path("report.html"), Look::PHONE);
    keep(&mut phone, "quickstart-phone", 2_000.0);
}
