//! What `validate` says of too few requests: the smallest value that it names is enough, and less is not.

use crate::diagnostic::Code;
use crate::{Diagnostic, Overrides, parse};

fn too_few(duration: &str, rate: &str, expect: &str) -> Option<Diagnostic> {
    let text = format!(
        "version: 1\nname: x\nload: {{main: {{http: {{url: \"http://127.0.0.1:1\"}}, rate: {rate}}}}}\nphases:\n  - {{name: p, \
         duration: {duration}, settle: 1s, expect: [{expect}]}}\n"
    );
    let found = match parse("x.yaml", text.as_bytes(), &Overrides::default()) {
        Ok(document) => document.warnings,
        Err(problems) => problems,
    };
    found.into_iter().find(|it| it.code == Code::TooFew)
}

/// The words between two others.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(inside, _)| inside).unwrap_or_default()
}

#[test]
fn the_smallest_values_that_are_named_are_enough() {
    for expect in [
        "{success_rate: 99%}",
        "{success_rate: 99.9%}",
        "{latency: {percentile: p99, max: 1s}}",
        "{latency: {percentile: p95, max: 1s}}",
        "{goodput: {min: 95%, of: {latency: 1s}}}",
    ] {
        let problem = too_few("2s", "11/s", expect).unwrap_or_else(|| panic!("{expect}: nothing is said"));
        assert!(!problem.is_error(), "eleven requests can still show a failure");
        let help = problem.help.unwrap_or_default();
        let duration = between(&help, "at least ", " at 11/s");
        assert!(too_few(duration, "11/s", expect).is_none(), "{expect}: {help}");
        let seconds: u64 = duration.trim_end_matches('s').parse().expect("seconds");
        // The advice has room for the jitter of the pace, of up to 20 requests.
        assert!(too_few(&format!("{}s", seconds - 3), "11/s", expect).is_some(), "{expect}: {help}");
        let rate = between(&help, "at 11/s, at least ", " in 2s");
        assert!(too_few("2s", rate, expect).is_none(), "{expect}: {help}");
    }
}

#[test]
fn what_nothing_can_decide_is_an_error() {
    let is_error = |rate: &str, expect: &str| too_few("5s", rate, expect).map(|it| it.is_error());
    let rate = "{success_rate: 99%}";
    assert_eq!(is_error("1/s", rate), Some(true));
    assert_eq!(is_error("3/s", rate), Some(false), "twelve failures of twelve are a failure");
    assert_eq!(is_error("1/s", "{success_rate: {min: 99%, min_samples: 4}}"), None);
    assert_eq!(is_error("1/s", "{errors: {any: {max: 0}}}"), Some(false), "one failure decides");
    assert_eq!(is_error("0.1/s", "{output_tokens_per_second: {min: 1}}"), Some(true));
}

#[test]
fn a_question_that_its_loads_cannot_answer_is_found() {
    let found = |load: &str, expect: &str| {
        let text = format!(
            "version: 1\nname: x\nload: {{main: {{{load}, rate: 50/s, timeout: 5s}}}}\nphases:\n  - {{name: p, duration: 60s, \
             expect: [{expect}]}}\n"
        );
        let found = match parse("x.yaml", text.as_bytes(), &Overrides::default()) {
            Ok(document) => document.warnings,
            Err(problems) => problems,
        };
        found.into_iter().map(|it| (it.code, it.is_error())).collect::<Vec<_>>()
    };
    let http = "http: {url: \"http://127.0.0.1:1\"}";
    let openai = "openai: {url: \"http://127.0.0.1:1\", model: m, prompt: hello, stream: true}";
    for expect in [
        "{time_to_first_token: {percentile: p95, max: 1s}}",
        "{inter_token_latency: {percentile: p95, max: 1s}}",
        "{output_tokens_per_second: {min: 1}}",
        "{goodput: {min: 90%, of: {time_to_first_token: 1s}}}",
    ] {
        assert_eq!(found(http, expect), [(Code::Limits, true)], "{expect}");
        assert_eq!(found(openai, expect), [], "{expect}");
    }
    assert_eq!(found(http, "{goodput: {min: 90%, of: {latency: 1s}}}"), []);
    assert_eq!(found(http, "{latency: {percentile: p95, max: 10s}}"), [(Code::AlwaysTrue, false)]);
    assert_eq!(found(http, "{latency: {percentile: p95, max: 5s}}"), []);
}

#[test]
fn any_load_with_enough_requests_can_show_an_effect() {
    let problem = |canary: &str, main: &str, load: &str| {
        let text = format!(
            "version: 1\nname: x\nload:\n  canary: {{http: {{url: \"http://127.0.0.1:1\"}}, rate: {canary}}}\n  main: {{http: \
             {{url: \"http://127.0.0.1:1\"}}, rate: {main}}}\nphases:\n  - {{name: before, duration: 30s}}\n  - {{name: cut, \
             duration: 30s, faults: {{f: {{pod_kill: {{pods: {{labels: app=web, count: 1}}}}}}}}, effect: {{success_rate: \
             {{max: 50%{load}}}}}}}\n"
        );
        let found = match parse("x.yaml", text.as_bytes(), &Overrides::default()) {
            Ok(document) => document.warnings,
            Err(problems) => problems,
        };
        found.into_iter().find(|it| it.code == Code::TooFew).map(|it| it.is_error())
    };
    assert_eq!(problem("0.1/s", "50/s", ""), None);
    assert_eq!(problem("50/s", "0.1/s", ""), None);
    assert_eq!(problem("0.1/s", "50/s", ", load: canary"), Some(true));
    assert_eq!(problem("0.1/s", "0.1/s", ""), Some(true));
}

/// The problems of a scenario with a baseline, a fault and a recovery.
fn problems(baseline: &str, fault: &str, last: &str) -> Vec<(&'static str, bool)> {
    let text = format!(
        "version: 1\nname: x\nload:\n  main: {{http: {{url: \"http://127.0.0.1:1\"}}, rate: 20/s}}\nphases:\n  - {{name: before, \
         duration: 30s{baseline}}}\n  - {{name: cut, duration: 30s, faults: {{f: {{partition: {{pods: {{labels: app=web, count: \
         1}}, from: db{fault}}}}}}}}}\n  - {{name: after, duration: 30s{last}}}\n"
    );
    let found = match parse("x.yaml", text.as_bytes(), &Overrides::default()) {
        Ok(document) => document.warnings,
        Err(problems) => problems,
    };
    found.iter().map(|it| (it.code.id(), it.is_error())).collect()
}

/// The warning is about the phase whose recovery nothing observes.
#[test]
fn a_recovery_between_two_phases_with_faults_is_not_observed() {
    let problems = |between: &str, second: &str| {
        let last = format!(
            "}}\n  - {{name: more, duration: 30s{between}}}\n  - {{name: kill, duration: 30s{second}}}\n  - {{name: end, \
             duration: 30s, expect: [{{recovery_time: 20s}}]"
        );
        problems("", "", &last)
    };
    let kill = |name: &str| format!(", faults: {{{name}: {{pod_kill: {{pods: {{labels: app=db, count: 1}}}}}}}}");
    assert_eq!(problems("", &kill("one")), []);
    assert_eq!(problems(&kill("one"), ""), []);
    assert_eq!(problems(&kill("one"), &kill("two")), [("S086", false)]);
}

#[test]
fn what_never_passes_is_said() {
    const SILENT: &str = ", load: {main: {rate: 0/s}}";
    let last = |expect: &str| problems("", "", &format!(", expect: [{expect}]"));
    // An interval is never its end alone.
    assert_eq!(last("{success_rate: {min: 100%, decide: interval}}"), [("S073", true)]);
    assert_eq!(last("{success_rate: {max: 0%, decide: interval}}"), [("S073", true)]);
    assert_eq!(last("{success_rate: {min: 99%, decide: interval}}"), []);
    assert_eq!(last("{success_rate: {min: 100%}}"), []);
    // 20/s in 30 s are 600 requests.
    assert_eq!(last("{requests: {min: 601}}"), []);
    assert_eq!(last("{requests: {min: 700}}"), [("S073", false)]);
    assert_eq!(last("{requests: {max: 500}}"), [("S073", false)]);
    assert_eq!(last("{requests: {min: 400, max: 700}}"), []);
    // A recovery without requests, or to no baseline.
    let recovery = ", expect: [{recovery_time: {max: 10s, hold: 5s}}]";
    assert_eq!(problems("", "", recovery), []);
    assert_eq!(problems("", "", &format!("{SILENT}{recovery}")), [("S083", true)]);
    assert_eq!(problems(SILENT, "", recovery), [("S083", true)]);
    // A proof by requests needs them in the phase and before it.
    assert_eq!(problems("", ", prove: traffic", ""), []);
    assert_eq!(problems(SILENT, ", prove: traffic", ""), [("S084", true)]);
    assert_eq!(problems(SILENT, "", ""), []);
}

#[test]
fn a_kind_that_was_refused_is_not_called_empty_as_well() {
    for expect in ["{success_rate: [1]}", "{latency: {percentile: [1], max: 1s}}", "{requests: true}"] {
        let found = problems("", "", &format!(", expect: [{expect}]"));
        assert!(matches!(found.as_slice(), [("S012", true)]), "{expect}: {found:?}");
    }
    assert_eq!(problems("", "", ", expect: [{}]"), [("S014", true)]);
}
