//! The pages in a real browser: they render in every verdict, light and dark, on a desktop and on a phone; nothing is
//! asked of the network and nothing goes wrong in the console; axe-core finds no serious violation; and every number
//! that is shown is in the result. `gallery` makes the pictures in `target/screenshots`, for people to look at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value;
use shakedown_reports::sample;
use shakedown_schemas::RunResult;
use shakedown_schemas::result::PartStats;

use crate::support::browser::{Browser, Look, Page};
use crate::support::need;
use crate::support::numbers;
use crate::support::server::serve;
use crate::support::shakedown::Shakedown;

mod accessible;
mod gallery;
mod words;

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

/// A page with one fault of each kind.
const BAD: &str =
    "<!doctype html><title>x</title><img src='http://example.invalid/x.png'><p style='width: 3000px'>wide</p>
    <p style='color: #eee; background: #fff'>hard to read</p><script>nothing.here()</script>";

/// Everything of a page that is folded, for those that look at all of it.
const UNFOLD: &str = "document.querySelectorAll('details').forEach(it => it.open = true)";

/// A browser. A test fails here where there is none.
#[track_caller]
fn browser() -> Browser {
    Browser::start(&need("chromium"))
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

#[test]
#[ignore = "needs chromium"]
fn a_page_that_does_harm_is_noticed() {
    let mut browser = browser();
    let shakedown = Shakedown::new();
    shakedown.file("bad.html", BAD);
    let mut page = browser.open(&shakedown.path("bad.html"), Look::DESKTOP);
    let found = problems(&mut page, "bad").join("\n");
    for part in ["console:", "asked for http://example.invalid/x.png", "px wide"] {
        assert!(found.contains(part), "{part} is not in\n{found}");
    }
}

#[test]
#[ignore = "needs chromium"]
fn a_table_that_is_wider_than_the_phone_is_shaded_where_it_goes_on() {
    let mut browser = browser();
    let shakedown = Shakedown::new();
    let mut result = sample::passing();
    for load in result.scenarios[0].phases.iter_mut().flat_map(|phase| &mut phase.loads) {
        let stats = load.stats.clone();
        load.steps = vec![PartStats { name: "login".to_owned(), rest: None, matches: String::new(), stats }];
    }
    shakedown.file("page.html", shakedown_reports::html(&result).expect("a page"));
    let mut page = browser.open(&shakedown.path("page.html"), Look::PHONE);
    // Two layers move with the table, and hide two that do not at an edge without more behind it.
    let shades = page.evaluate(
        "(() => { const box = document.querySelector('.parts').parentElement;
            return [box.scrollWidth > box.clientWidth, getComputedStyle(box).backgroundAttachment] })()",
    );
    assert_eq!(shades, serde_json::json!([true, "local, local, scroll, scroll"]));
}

#[test]
#[ignore = "needs chromium"]
fn the_page_reads_without_scripts_on_paper_with_keys_and_with_the_pointer() {
    let mut browser = browser();
    let shakedown = Shakedown::new();
    shakedown.file("page.html", shakedown_reports::html(&sample::failing()).expect("a page"));
    let file = shakedown.path("page.html");
    let words = "(() => { const it = document.querySelector('main').cloneNode(true);
        it.querySelector('.readout').remove(); return it.textContent })()";

    let mut plain = browser.open(&file, Look { scripts: false, ..Look::DESKTOP });
    assert_eq!(plain.evaluate("document.querySelector('.readout').hidden"), Value::Bool(true), "no promise is made");
    let without = plain.evaluate(words);

    let paper = Look { width: 794, height: 1123, print: true, ..Look::DESKTOP };
    let mut printed = browser.open(&file, paper.dark());
    assert_eq!(too_wide(&mut printed), "");
    let background = printed.evaluate("getComputedStyle(document.body).backgroundColor");
    assert_eq!(background, "rgb(255, 255, 255)", "paper is white, whatever the screen prefers");
    let folded = "[...document.querySelectorAll('details:not(.aside) > :not(summary)')]
        .filter(it => !it.closest('.aside, .expectations .pass')).every(it => it.checkVisibility())";
    assert_eq!(printed.evaluate(folded), Value::Bool(true), "paper has no folds to open");
    let files = "[...document.querySelectorAll('details.aside')].some(it => it.checkVisibility())";
    assert_eq!(printed.evaluate(files), Value::Bool(false), "files and manifests stay on the screen");

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
                text(row.querySelector('[data-label=n]')), text(row.querySelector('.why .reason'))]) })()",
    );
    let rows: Vec<[String; 6]> = serde_json::from_value(tables).expect("rows");
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
#[ignore = "needs chromium"]
fn every_number_on_the_page_is_the_results() {
    let mut browser = browser();
    let shakedown = Shakedown::new();
    for (name, mut result) in verdicts() {
        // So few windows that each is a row of its own.
        result.scenarios[0].series[0].points.truncate(40);
        shakedown.file("page.html", shakedown_reports::html(&result).expect("a page"));
        let mut page = browser.open(&shakedown.path("page.html"), Look::DESKTOP);
        expect_numbers_of(&serde_json::to_value(&result).expect("JSON"), &mut page);
        assert_eq!(page.console, [] as [String; 0], "{name}");
    }
    // A number that is not in the result is noticed, and so is one in the wrong place.
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
        assert!(noticed.is_err(), "unnoticed: {change}");
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
    let verdict = shakedown_schemas::words::verdict(reports.result.verdict);
    assert!(text.as_str().unwrap().contains(verdict), "the page lacks `{verdict}`\n{finished}");
}
