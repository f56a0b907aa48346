//! Words without a place to break, in every text of a result: no page is wider than its screen.

use serde_json::Value;
use shakedown_reports::sample;
use shakedown_schemas::RunResult;

use super::{UNFOLD, browser, problems, too_wide};
use crate::support::browser::Look;
use crate::support::none_of;
use crate::support::shakedown::Shakedown;

#[test]
#[ignore = "needs chromium"]
fn no_word_is_wider_than_a_phone() {
    let mut browser = browser();
    let shakedown = Shakedown::new();
    let mut found = Vec::new();
    for (name, result) in [
        ("pass", sample::passing()),
        ("fail", sample::failing()),
        ("error", sample::errored()),
        ("suite", sample::suite()),
    ] {
        let result = long_words(&result);
        let file = format!("{name}.html");
        shakedown.file(&file, shakedown_reports::html(&result).expect("a page"));
        let mut page = browser.open(&shakedown.path(&file), Look::PHONE);
        found.extend(problems(&mut page, name));
        page.evaluate(UNFOLD);
        let wide = too_wide(&mut page);
        if !wide.is_empty() {
            let widest = page.evaluate(
                "[...document.querySelectorAll('main *')].filter(it => it.getBoundingClientRect().right > innerWidth + 1
                    && !it.closest('.scroll, pre, svg, .drawing')).slice(0, 8).map(it => it.outerHTML.slice(0, 160)).join(' || ')",
            );
            found.push(format!("{name}, unfolded: {wide} wide: {widest}"));
        }
    }
    none_of(&found);
}

/// The result with a word of 120 letters in every text, and before every text of several words. One state without a place to
/// break made the page wider than a phone.
fn long_words(result: &RunResult) -> RunResult {
    let mut value = serde_json::to_value(result).expect("a result");
    let mut texts = Vec::new();
    pointers(&value, String::new(), &mut texts);
    let mut changed = 0;
    for at in &texts {
        let place = value.pointer_mut(at).expect("a text");
        let before = place.clone();
        let text = before.as_str().unwrap_or_default();
        let word = "unbreakable".repeat(11);
        *place = Value::from(if text.contains(' ') { format!("{word} {text}") } else { word });
        // Some texts are times and words of a fixed set.
        match serde_json::from_value::<RunResult>(value.clone()) {
            Ok(_) => changed += 1,
            Err(_) => *value.pointer_mut(at).expect("a text") = before,
        }
    }
    assert!(changed > 40, "{changed} of {} texts", texts.len());
    serde_json::from_value(value).expect("a result")
}

/// The JSON pointers of all texts.
fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        // The windows have no texts that a page shows.
        Value::Object(map) => map.iter().filter(|(key, _)| *key != "series").for_each(|(key, value)| {
            pointers(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(items) => {
            items
                .iter()
                .take(40)
                .enumerate()
                .for_each(|(index, value)| pointers(value, format!("{at}/{index}"), found));
        }
        Value::String(_) => found.push(at),
        _ => {}
    }
}
