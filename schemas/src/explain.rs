//! Explanations for `shakedown explain`: the codes of problems, and the keys of a scenario as `kubectl explain` shows
//! fields. Keys come from the types through the JSON Schema, as in the reference.

mod codes;
mod example;
mod keys;

use crate::Explained;
use crate::diagnostic::{Code, suggestion};
pub use keys::Keys;

/// The text about a code such as `S010`, or about a key such as `netem.loss` or `phases.faults.netem`. Without a topic:
/// the keys of a scenario. `recursive` adds the keys below, without their descriptions.
///
/// # Errors
/// A message with the closest topic, for a topic that does not exist.
pub fn explain(topic: Option<&str>, recursive: bool) -> Result<String, Explained> {
    let topic = topic.unwrap_or_default();
    if !is_code(topic) {
        return Keys::of_scenario().explain(topic, recursive);
    }
    let wanted = format!("S{}", topic.trim_start_matches(['S', 's']));
    Code::ALL.iter().find(|code| code.id() == wanted).map(|code| codes::text(*code)).ok_or_else(|| {
        let ids: Vec<&str> = Code::ALL.iter().map(|code| code.id()).collect();
        let help = suggestion(&wanted, &ids, "code").unwrap_or_else(|| "`validate` prints the codes".to_owned());
        Explained::new(format!("there is no code `{topic}`"), help)
    })
}

/// One entry as an example of a key of a type, by the name of the type in the schema.
pub(crate) fn example_of(of: &str, key: &str) -> Option<String> {
    keys::example_of(of, key)
}

/// Every topic: the codes, the keys of a scenario, and each key below a kind of fault, expectation or load. For the
/// completion of shells.
pub fn topics() -> Vec<String> {
    Code::ALL.iter().map(|code| code.id().to_owned()).chain(Keys::of_scenario().topics()).collect()
}

/// Digits, usually after an `S`.
fn is_code(topic: &str) -> bool {
    let digits = topic.strip_prefix(['S', 's']).unwrap_or(topic);
    !digits.is_empty() && digits.chars().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_text() {
        let topics = topics();
        assert!(topics.len() > 200, "{}", topics.len());
        for topic in &topics {
            let text = explain(Some(topic), false).unwrap_or_else(|why| panic!("{topic}: {why}"));
            assert!(
                text.lines().all(|line| line.chars().count() <= 200) && text.lines().count() > 2,
                "{topic}: {text}"
            );
        }
        for topic in ["S010", "netem.loss", "recovery_time.hold", "phases", "load", "openai.stream"] {
            assert!(topics.iter().any(|it| it == topic), "{topic} is missing");
        }
    }

    #[test]
    fn a_key_is_the_same_from_the_top_and_from_its_kind() {
        let body = |topic: &str| {
            let text = explain(Some(topic), false).unwrap();
            text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap()
        };
        assert_eq!(body("netem.loss"), body("phases.faults.netem.loss"));
        assert_eq!(body("phases[1].faults.netem.loss"), body("netem.loss"));
        assert_eq!(body("success_rate.min"), body("phases.expect.success_rate.min"));
        // A kind of fault, a stop condition and a load share this name.
        let http = explain(Some("http"), false).unwrap();
        assert_eq!(http.matches("KEY:").count(), 3, "{http}");
    }

    #[test]
    fn a_path_as_in_a_file_has_names_and_indexes() {
        let body = |topic: &str| {
            let text = explain(Some(topic), false).unwrap_or_else(|why| panic!("{topic}: {why}"));
            text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap()
        };
        for (path, key) in [
            ("load.shop.http", "load.http"),
            ("load.shop.http.url", "load.http.url"),
            ("load.shop", "load"),
            ("phases.0", "phases"),
            ("phases.0.duration", "phases.duration"),
            ("phases[1].faults.cut.netem.loss", "netem.loss"),
            ("phases.0.expect.1.success_rate.min", "success_rate.min"),
        ] {
            assert_eq!(body(path), body(key), "{path}");
        }
        assert_eq!(explain(Some("010"), false), explain(Some("S010"), false));
    }

    #[test]
    fn a_wrong_topic_has_a_short_answer() {
        for (topic, part) in [
            (
                "load.shop.unknown",
                "`unknown` is not a key of `load.shop`\nhelp: `shakedown explain load` lists its keys",
            ),
            ("load.shop.htp", "did you mean `load.shop.http`?"),
            ("load.shop.other.http", "`other` is not a key of `load.shop`"),
            ("netem.unknown", "`unknown` is not a key of `netem`\nhelp: `shakedown explain netem` lists its keys"),
            ("unknownkey", "`unknownkey` is not a key of a scenario\nhelp: `shakedown explain` lists its keys"),
            ("999", "there is no code `999`"),
        ] {
            let why = explain(Some(topic), false).expect_err(topic).to_string();
            assert!(why.contains(part) && why.lines().count() == 2 && why.len() < 200, "{topic}: {why}");
        }
    }

    #[test]
    fn a_wrong_topic_has_a_suggestion() {
        for (topic, part) in [
            ("netem.los", "did you mean `netem.loss`?"),
            ("netm", "did you mean `netem`?"),
            ("phases.duraton", "did you mean `phases.duration`?"),
            ("netem.loss.more", "has no keys of its own"),
            ("zzzzzz", "is not a key of a scenario"),
            ("S099", "did you mean"),
            ("s1", "there is no code `s1`"),
        ] {
            let why = explain(Some(topic), false).expect_err(topic).to_string();
            assert!(why.contains(part), "{topic}: {why}");
        }
        assert!(explain(Some("s010"), false).unwrap().starts_with("S010"), "in either case");
    }

    #[test]
    fn texts_are_as_recorded() {
        let mut all = String::new();
        let topics =
            [None, Some("S010"), Some("netem.loss"), Some("netem"), Some("partition.direction"), Some("load.rate")];
        for topic in topics {
            all.push_str(&format!(
                "$ shakedown explain {}\n{}\n",
                topic.unwrap_or_default(),
                explain(topic, false).unwrap()
            ));
        }
        let tree = explain(Some("recovery_time"), true).unwrap();
        all.push_str(&format!("$ shakedown explain recovery_time --recursive\n{tree}"));
        insta::assert_snapshot!("explained", all);
    }
}
