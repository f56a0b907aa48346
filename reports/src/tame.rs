//! A copy of a result with sanitised texts: see [`crate::text`]. Every report starts from it, so that none can forget it.

use std::borrow::Cow;

use shakedown_schemas::Event;
use shakedown_schemas::result::{RunDigest, RunResult};
use shakedown_schemas::texts;

use crate::text::tame;

/// The result with all texts sanitised and bounded.
pub fn tamed(result: &RunResult) -> RunResult {
    let mut out = result.clone();
    texts::of_result(&mut out, &mut |text, limit| {
        if let Cow::Owned(tame) = tame(text, limit) {
            *text = tame;
        }
    });
    out
}

/// The digest with all texts sanitised and bounded.
pub(crate) fn tamed_digest(mut digest: RunDigest) -> RunDigest {
    texts::of_digest(&mut digest, &mut |text, limit| {
        if let Cow::Owned(tame) = tame(text, limit) {
            *text = tame;
        }
    });
    digest
}

/// The event with all texts sanitised and bounded.
pub fn tamed_event(event: &Event) -> Event {
    let mut out = event.clone();
    texts::of_event(&mut out, &mut |text, limit| {
        if let Cow::Owned(tame) = tame(text, limit) {
            *text = tame;
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sample;
    use shakedown_schemas::texts::SOURCE;

    #[test]
    fn sanitises_every_text_of_a_hostile_result() {
        let hostile = sample::hostile();
        let wild = serde_json::to_string(&hostile).unwrap();
        assert!(wild.contains("\\u001b[31m") && wild.contains('\u{202e}'), "the sample is hostile");
        let tame = serde_json::to_value(tamed(&hostile)).unwrap();
        assert_all(&tame, "");
    }

    /// Names of 10 MB, wherever others choose a name.
    #[test]
    fn reports_stay_small_with_long_names() {
        let mut result = sample::failing();
        let endless = "n".repeat(10_000_000);
        let scenario = &mut result.scenarios[0];
        scenario.name.clone_from(&endless);
        scenario.loads[0].name.clone_from(&endless);
        scenario.series[0].load.clone_from(&endless);
        scenario.phases[1].name.clone_from(&endless);
        scenario.phases[1].loads[0].load.clone_from(&endless);
        scenario.faults[0].name.clone_from(&endless);
        scenario.faults[0].targets[0].name.clone_from(&endless);
        scenario.pod_events[0].pod.clone_from(&endless);
        scenario.expectations[2].reason.clone_from(&endless);
        for (name, text) in [
            ("HTML", crate::html(&result).unwrap()),
            ("JUnit", crate::junit(&result).unwrap()),
            ("Markdown", crate::markdown(&result)),
            ("annotations", crate::github_annotations(&result).join("\n")),
            ("history", crate::history(std::slice::from_ref(&result), 30).unwrap()),
        ] {
            assert!(text.len() < 400_000 && text.contains("nnn…"), "{name}: {} bytes", text.len());
        }
    }

    fn assert_all(value: &Value, path: &str) {
        let calm = |text: &str, path: &str| {
            let bad = |c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!text.contains(bad), "{path} is wild: {:.60?}", text);
            assert!(text.chars().count() <= SOURCE + 40, "{path} is endless");
        };
        match value {
            Value::String(text) => calm(text, path),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(i, item)| assert_all(item, &format!("{path}[{i}]")))
            }
            // Decoded, never shown.
            Value::Object(map) => {
                map.iter().filter(|(key, _)| !matches!(key.as_str(), "latency_hdr" | "hdr")).for_each(|(key, item)| {
                    calm(key, path);
                    assert_all(item, &format!("{path}.{key:.40}"));
                })
            }
            _ => {}
        }
    }
}
