//! The pages in a real browser: they render in every verdict, light and dark, on a desktop and on a phone; nothing is
//! asked of the network and nothing goes wrong in the console; axe-core finds no serious violation; and every number
//! that is shown is in the result. The pictures stay in `target/screenshots`, for people to look at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::Value;
use shakedown_reports::sample;
use shakedown_schemas::RunResult;

use crate::support::browser::{Browser, Look, Page};
use crate::support::numbers;
use crate::support::server::serve;
use crate::support::shakedown::Shakedown;
use crate::support::{long_tests, none_of, program, root, skipped};

const SCENARIO: &str = "version: 1
name: page
description: A run that a browser looks at.
load:
  pages:
    http: {url: 'URL'}
    rate: 100/s
phases:
  - name: baseline
    duration: 2s
  - name: after
    duration: 2s
    expect:
      - success_rate: {min: 90%}
      - latency_ratio: {percentile: p95, to: baseline, max: 1000}
";

/// Everything of a page that is folded, for those that look at all of it.
const UNFOLD: &str = "document.querySelectorAll('details').forEach(it => it.open = true)";

/// A browser, or a word on why the test did nothing.
fn browser(test: &str) -> Option<Browser> {
    let chromium = program("chromium").or_else(|| {
        skipped(test, "chromium is not installed");
        None
    })?;
    Some(Browser::start(&chromium))
}

/// axe-core's script; `.ci/run` installs it.
fn axe() -> Option<String> {
    std::fs::read_to_string(root().join("target/tools/node_modules/axe-core/axe.min.js")).ok()
}

/// Where the pictures go.
fn gallery() -> PathBuf {
    let folder = root().join("target/screenshots");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    folder
}

fn verdicts() -> [(&'static str, RunResult); 3] {
    [("pass", sample::passing()), ("fail", sample::failing()), ("inconclusive", sample::inconclusive())]
}

/// Desktop and phone, light and dark.
fn looks() -> [(&'static str, Look); 4] {
    [
        ("desktop-light", Look::DESKTOP),
        ("desktop-dark", Look::DESKTOP.dark()),
        ("phone-light", Look::PHONE),
        ("phone-dark", Look::PHONE.dark()),
    ]
}

/// What is wider than the window and cannot be scrolled within a box of its own.
fn too_wide(page: &mut Page<'_>) -> String {
    page.evaluate(
        "document.documentElement.scrollWidth > innerWidth ? `${document.documentElement.scrollWidth} px` : ''",
    )
    .as_str()
    .expect("a text")
    .to_owned()
}

/// What must hold for every page, however it is looked at.
fn problems(page: &mut Page<'_>, name: &str) -> Vec<String> {
    let mut found: Vec<String> = page.console.iter().map(|it| format!("{name}: console: {it}")).collect();
    found.extend(page.requests.iter().map(|it| format!("{name}: asked for {it}")));
    let wide = too_wide(page);
    if !wide.is_empty() {
        found.push(format!("{name}: {wide} wide"));
    }
    found
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
fn a_page_that_does_harm_is_noticed() {
    let Some(mut browser) = browser("a_page_that_does_harm_is_noticed") else { return };
    let shakedown = Shakedown::new();
    let bad = "<!doctype html><title>x</title><img src='http://example.invalid/x.png'><p style='width: 3000px'>wide</p>
        <p style='color: #eee; background: #fff'>hard to read</p><script>nothing.here()</script>";
    shakedown.file("bad.html", bad);
    let mut page = browser.open(&shakedown.path("bad.html"), Look::DESKTOP);
    let found = problems(&mut page, "bad").join("\n");
    for part in ["console:", "asked for http://example.invalid/x.png", "px wide"] {
        assert!(found.contains(part), "{part} is not in\n{found}");
    }
    if let Some(axe) = axe() {
        let found = violations(&mut page, &axe, "bad").join("\n");
        assert!(found.contains("color-contrast") && found.contains("image-alt"), "{found}");
    }
}

#[test]
fn every_verdict_can_be_read_in_light_and_dark_on_a_desktop_and_on_a_phone() {
    let test = "every_verdict_can_be_read_in_light_and_dark_on_a_desktop_and_on_a_phone";
    if !long_tests(test) {
        return;
    }
    let Some(mut browser) = browser(test) else { return };
    let axe = axe();
    if axe.is_none() {
        skipped(test, "axe-core is not installed, so nothing looked at accessibility");
    }
    let (shakedown, gallery) = (Shakedown::new(), gallery());
    let mut found = Vec::new();
    for (verdict, result) in verdicts() {
        let file = format!("{verdict}.html");
        shakedown.file(&file, shakedown_reports::html(&result).expect("a page"));
        for (name, look) in looks() {
            let name = format!("{verdict}-{name}");
            let mut page = browser.open(&shakedown.path(&file), look);
            let picture = page.picture(20_000.0);
            assert!(picture.starts_with(b"\x89PNG") && picture.len() > 50_000, "{name}: {} bytes", picture.len());
            std::fs::write(gallery.join(format!("{name}.png")), picture).expect("a picture");
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
            if let Some(axe) = &axe {
                found.extend(violations(&mut page, axe, &name));
            }
        }
    }
    none_of(&found);
}

#[test]
fn suites_hours_histories_and_hostile_texts_are_pages_like_any_other() {
    let test = "suites_hours_histories_and_hostile_texts_are_pages_like_any_other";
    if !long_tests(test) {
        return;
    }
    let Some(mut browser) = browser(test) else { return };
    let (shakedown, axe, gallery) = (Shakedown::new(), axe(), gallery());
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
            std::fs::write(gallery.join(format!("{name}.png")), page.picture(6_000.0)).expect("a picture");
            found.extend(problems(&mut page, &name));
            if let Some(axe) = &axe {
                found.extend(violations(&mut page, axe, &name));
            }
        }
    }
    none_of(&found);
}

#[test]
fn the_page_reads_without_scripts_on_paper_with_keys_and_with_the_pointer() {
    let Some(mut browser) = browser("the_page_reads_without_scripts_on_paper_with_keys_and_with_the_pointer") else {
        return;
    };
    let shakedown = Shakedown::new();
    shakedown.file("page.html", shakedown_reports::html(&sample::failing()).expect("a page"));
    let file = shakedown.path("page.html");
    let words = "(() => { const it = document.querySelector('main').cloneNode(true);
        it.querySelector('.readout').remove(); return it.textContent })()";

    let mut plain = browser.open(&file, Look { scripts: false, ..Look::DESKTOP });
    assert_eq!(plain.evaluate("document.querySelector('.readout').hidden"), Value::Bool(true), "no promise is made");
    let without = plain.evaluate(words);
    std::fs::write(gallery().join("fail-no-scripts.png"), plain.picture(20_000.0)).expect("a picture");

    let paper = Look { width: 794, height: 1123, print: true, ..Look::DESKTOP };
    let mut printed = browser.open(&file, paper.dark());
    assert_eq!(too_wide(&mut printed), "");
    let background = printed.evaluate("getComputedStyle(document.body).backgroundColor");
    assert_eq!(background, "rgb(255, 255, 255)", "paper is white, whatever the screen prefers");
    let folded = "[...document.querySelectorAll('details pre')].every(it => it.checkVisibility())";
    assert_eq!(printed.evaluate(folded), Value::Bool(true), "paper has no folds to open");
    std::fs::write(gallery().join("fail-print.png"), printed.picture(20_000.0)).expect("a picture");

    let mut page = browser.open(&file, Look::DESKTOP);
    let readout = "document.querySelector('.readout').textContent";
    let hint = page.evaluate(readout);
    assert!(page.evaluate(words) == without, "scripts add the readout, and nothing else");
    page.evaluate("document.querySelector('.drawing').focus()");
    page.press("End");
    let last = page.evaluate(readout);
    page.press("ArrowLeft");
    let before = page.evaluate(readout);
    assert!(last != hint && before != last, "{last} and {before}");
    assert!(last.as_str().unwrap().contains("recovery: ") && last.as_str().unwrap().contains("p95"), "{last}");
    page.press("Home");
    assert!(page.evaluate(readout).as_str().unwrap().starts_with("0.0s to 1.0s, baseline: "));
    let middle = "(() => { const it = document.querySelector('.drawing'); it.scrollIntoView();
        const box = it.getBoundingClientRect(); return [box.left + box.width / 2, box.top + 200] })()";
    let [x, y]: [f64; 2] = serde_json::from_value(page.evaluate(middle)).expect("a place");
    page.point(x, y);
    assert!(page.evaluate(readout).as_str().unwrap().contains(", partition: "), "the pointer reads the middle");
    let cursor = page.evaluate("Number(document.querySelector('svg.wide .cursor').getAttribute('x1'))");
    assert!((cursor.as_f64().unwrap() - 530.0).abs() < 40.0, "{cursor}");
    assert_eq!(page.console, [] as [String; 0]);
}

/// Every number on the page is one of the result's, in one of the forms in which reports write numbers; and every number
/// of the tables is where it belongs.
fn expect_numbers_of(result: &Value, page: &mut Page<'_>) {
    page.evaluate(UNFOLD);
    let shown = page.evaluate(
        "(() => { const it = document.querySelector('main').cloneNode(true);
            it.querySelectorAll('svg, pre, script').forEach(x => x.remove());
            it.querySelectorAll('td, th, li, dt, dd, p, h1, h2, h3, h4, h5, span, b').forEach(x => x.append(' '));
            return it.textContent })()",
    );
    let shown = shown.as_str().expect("a text");
    let known = numbers::of(result);
    let strange: Vec<String> =
        numbers::tokens(shown).filter(|token| !known.contains(*token)).map(str::to_owned).collect();
    assert!(strange.is_empty(), "not in the result: {strange:?}\n{shown}");
    let tables = page.evaluate(
        "(() => { const text = it => it ? it.textContent.trim() : '';
            return [...document.querySelectorAll('table.expectations tbody')].map(row => [
                text(row.querySelector('th bdi')), text(row.querySelector('.where bdi')),
                text(row.querySelector('[data-label=Observed]')), text(row.querySelector('[data-label=Interval]')),
                text(row.querySelector('[data-label=Limit]')), text(row.querySelector('[data-label=n]')),
                text(row.querySelector('.why bdi'))]) })()",
    );
    let rows: Vec<[String; 7]> = serde_json::from_value(tables).expect("rows");
    let mut wanted = numbers::expectations(result);
    assert_eq!(rows.len(), wanted.len());
    for row in rows {
        let place = wanted.iter().position(|it| *it == row);
        wanted.remove(place.unwrap_or_else(|| panic!("{row:?} is not in {wanted:#?}")));
    }
    let table = page.evaluate(
        "[...document.querySelector('table.compare').rows].map(row => [...row.cells].map(it => [...it.childNodes]
            .filter(x => x.nodeType === 3 || x.tagName === 'BDI').map(x => x.textContent).join('').trim()))",
    );
    let table: Vec<Vec<String>> = serde_json::from_value(table).expect("rows");
    assert_eq!(&table[0][1..], numbers::phases(result).as_slice());
    for (title, cells) in numbers::comparison(result) {
        let row = table.iter().find(|row| row[0] == title).unwrap_or_else(|| panic!("no row {title} in {table:?}"));
        assert_eq!(&row[1..], cells.as_slice(), "{title}");
    }
}

#[test]
fn every_number_on_the_page_is_the_results() {
    let Some(mut browser) = browser("every_number_on_the_page_is_the_results") else { return };
    let shakedown = Shakedown::new();
    for (name, mut result) in verdicts() {
        // So few windows that each is a row of its own.
        result.scenarios[0].series[0].points.truncate(40);
        shakedown.file("page.html", shakedown_reports::html(&result).expect("a page"));
        let mut page = browser.open(&shakedown.path("page.html"), Look::DESKTOP);
        expect_numbers_of(&serde_json::to_value(&result).expect("JSON"), &mut page);
        assert_eq!(page.console, [] as [String; 0], "{name}");
    }
    // A number that is not the result's is noticed, and one that is and stands elsewhere.
    let result = serde_json::to_value(sample::passing()).expect("JSON");
    shakedown.file("page.html", shakedown_reports::html(&sample::passing()).expect("a page"));
    for change in [
        "document.querySelector('.verdict .done dd').append(' 98.76%')",
        "(() => { const [a, b] = document.querySelectorAll('[data-label=Observed] bdi');
            [a.textContent, b.textContent] = [b.textContent, a.textContent] })()",
    ] {
        let mut page = browser.open(&shakedown.path("page.html"), Look::DESKTOP);
        page.evaluate(change);
        let noticed = catch_unwind(AssertUnwindSafe(|| expect_numbers_of(&result, &mut page)));
        assert!(noticed.is_err(), "nobody noticed {change}");
    }

    shakedown.file("page.yaml", SCENARIO.replace("URL", &serve(200)));
    let finished = shakedown.run(&["run", "page.yaml", "--out", "out"]);
    let reports = shakedown.reports("out");
    let result: Value = serde_json::from_slice(&reports.bytes("result.json")).expect("JSON");
    let file: &Path = &reports.path("report.html");
    let mut page = browser.open(file, Look::DESKTOP);
    assert!(problems(&mut page, "run").is_empty(), "{finished}");
    expect_numbers_of(&result, &mut page);
    let text = page.evaluate("document.body.textContent");
    let verdict = shakedown_reports::words::verdict(reports.result.verdict);
    assert!(text.as_str().unwrap().contains(verdict), "the page lacks `{verdict}`\n{finished}");
}
