//! Properties of every page: it is well-formed, contains every number, loads nothing, runs nothing from the result's texts,
//! and stays small. A small strict parser reads the pages, because browsers are too lenient.

use std::collections::{BTreeMap, BTreeSet};

use shakedown_schemas::result::{PartStats, RunResult, Verdict};
use shakedown_schemas::words;

use super::html;
use crate::sample;

/// An opening tag.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: BTreeMap<String, String>,
}

/// A parsed page.
#[derive(Debug, Default)]
struct Page {
    tags: Vec<Tag>,
    /// All text that a reader can see, including the titles of drawings. Without scripts and styles.
    text: String,
    /// The contents of scripts and styles, by the tag's name.
    raw: Vec<(String, String)>,
}

const VOID: [&str; 8] = ["meta", "link", "br", "hr", "img", "input", "base", "source"];

fn decode(text: &str) -> String {
    let mut out = text.to_owned();
    for (entity, c) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#x2f;", "/"),
        ("&amp;", "&"),
    ] {
        out = out.replace(entity, c);
    }
    out
}

/// Parses a page. Panics if it is not well-formed.
fn parse(page: &str) -> Page {
    let mut out = Page::default();
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>").expect("the page says that it is HTML");
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>'), "an unescaped > in {text:.80}");
        out.text.push_str(&decode(text));
        rest = &rest[start + 1..];
        if let Some(closing) = rest.strip_prefix('/') {
            let (name, after) = closing.split_once('>').expect("a closing tag ends");
            assert_eq!(open.pop().as_deref(), Some(name), "tags are nested");
            rest = after;
            continue;
        }
        let (tag, slash, after) = tag(rest);
        let name = tag.name.clone();
        rest = after;
        if name == "script" || name == "style" {
            let end = rest.find(&format!("</{name}")).expect("a script ends");
            out.raw.push((name.clone(), rest[..end].to_owned()));
            rest = &rest[end..];
            open.push(name);
        } else if !slash && !VOID.contains(&name.as_str()) {
            open.push(name);
        }
        out.tags.push(tag);
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    out
}

/// Parses the tag after a `<`: whether it closes itself, and the text after it.
fn tag(mut rest: &str) -> (Tag, bool, &str) {
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).expect("a tag ends");
    let mut tag = Tag { name: rest[..length].to_owned(), attributes: BTreeMap::new() };
    assert!(!tag.name.is_empty(), "an unescaped < in {rest:.80}");
    rest = &rest[length..];
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/>") {
            return (tag, true, after);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (tag, false, after);
        }
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).expect("an attribute ends");
        let name = rest[..length].to_owned();
        assert!(!name.is_empty(), "no attribute: {rest:.80}");
        rest = &rest[length..];
        let value = match rest.strip_prefix("=\"") {
            Some(after) => {
                let (value, after) = after.split_once('"').expect("an attribute's value ends");
                rest = after;
                value
            }
            None => "",
        };
        assert!(tag.attributes.insert(name, decode(value)).is_none(), "an attribute twice");
    }
}

/// Renders and parses the page of a result. Panics unless the properties of every page hold.
fn page(result: &RunResult) -> Page {
    let text = html(result).unwrap();
    assert_eq!(html(result).unwrap(), text, "the same result gives the same bytes");
    let page = parse(&text);
    let ids: Vec<&String> = page.tags.iter().filter_map(|tag| tag.attributes.get("id")).collect();
    let distinct: BTreeSet<&String> = ids.iter().copied().collect();
    assert_eq!(ids.len(), distinct.len(), "every id is there once");
    for tag in &page.tags {
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on"), "{tag:?}");
            assert!(!["src", "srcset", "action", "style", "background"].contains(&name.as_str()), "{tag:?}");
            match name.as_str() {
                "href" => {
                    let id = value.strip_prefix('#').unwrap_or_else(|| panic!("{tag:?}"));
                    assert!(ids.iter().any(|it| *it == id), "{value} leads nowhere");
                }
                "aria-labelledby" => {
                    let all = value.split(' ').all(|part| ids.iter().any(|id| *id == part));
                    assert!(all, "{value} labels nothing");
                }
                _ => {}
            }
        }
        let allowed = !["img", "iframe", "object", "embed", "link", "form", "base", "video", "audio", "use", "image"]
            .contains(&tag.name.as_str());
        assert!(allowed, "{tag:?}");
        if tag.name == "svg" {
            assert!(tag.attributes.contains_key("aria-label"), "{tag:?}");
        }
    }
    let style = page.raw.iter().find(|(name, _)| name == "style").unwrap();
    assert!(!style.1.contains("url(") && !style.1.contains("@import"));
    page
}

#[test]
fn every_number_of_an_expectation_is_on_the_page() {
    for result in
        [sample::passing(), sample::failing(), sample::inconclusive(), sample::suite(), sample::busy(), sample::hour()]
    {
        let page = page(&result);
        for it in result.scenarios.iter().flat_map(|scenario| &scenario.expectations) {
            let interval = it.interval.map(|interval| words::interval(it.unit, interval)).unwrap_or_default();
            let samples = words::count(it.samples as f64);
            // The limit is in the title.
            for text in [&it.title, &it.observed_text, &interval, &samples, &it.limit_text, &it.reason] {
                assert!(page.text.contains(text.as_str()), "{text} is missing");
            }
            assert!(it.terms.values().all(|value| page.text.contains(value)), "{:?}", it.terms);
        }
        for phase in result.scenarios.iter().flat_map(|scenario| &scenario.phases) {
            for latency in phase.loads.iter().filter_map(|load| load.stats.latency) {
                for ms in [latency.p50_ms, latency.p90_ms, latency.p95_ms, latency.p99_ms, latency.max_ms] {
                    assert!(page.text.contains(&words::millis(ms)), "{ms} ms is missing");
                }
            }
        }
    }
}

#[test]
fn sorts_failures_first_and_names_every_verdict() {
    let page = page(&sample::failing());
    let at = |text: &str| page.text.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    let heading = "p95 3.8x in partition, at most 3 times baseline expected; 1 more failed";
    assert!(at(heading) < at("Expectations"));
    assert!(at("recovery time at most 15s") < at("success rate at least 99%"));
    assert!(at("failed") < at("passed"));
    for badge in page.tags.iter().filter(|tag| tag.attributes.get("class").is_some_and(|c| c.starts_with("badge"))) {
        assert_eq!(badge.name, "span");
    }
}

#[test]
fn a_rehearsal_and_a_port_forward_are_named() {
    assert!(page(&sample::passing()).text.contains("modelled in one process"));
    let real = page(&sample::failing());
    assert!(!real.text.contains("modelled in one process"));
    assert!(real.text.contains("port-forward of the API server, which adds its own latency"));
    assert!(real.text.contains("reconnected once"));
}

#[test]
fn a_run_in_the_sandbox_has_a_badge_wherever_its_verdict_is() {
    let badges = |result: &RunResult| {
        let page = page(result);
        page.tags.iter().filter(|tag| tag.attributes.get("class").is_some_and(|it| it == "badge sandbox")).count()
    };
    assert_eq!(badges(&sample::passing()), 1, "the heading");
    assert_eq!(badges(&sample::failing()), 0, "a real cluster");
    assert_eq!(badges(&sample::suite()), 2 * 2, "the list and the headings of two scenarios of three");
    let mut all = sample::suite();
    all.scenarios.retain(shakedown_schemas::result::ScenarioResult::in_sandbox);
    assert_eq!(badges(&all), 2 * 2 + 1, "and the heading of the run");
}

#[test]
fn the_numbers_of_steps_are_under_their_heads() {
    let mut result = sample::passing();
    for load in result.scenarios[0].phases.iter_mut().flat_map(|phase| &mut phase.loads) {
        let stats = load.stats.clone();
        load.steps = vec![PartStats { name: "login".to_owned(), rest: None, matches: String::new(), stats }];
    }
    let page = page(&result);
    let is_table = |tag: &Tag| tag.attributes.get("class").is_some_and(|it| it == "parts");
    let table = page.tags.iter().skip_while(|tag| !is_table(tag)).skip(1).take_while(|tag| tag.name != "section");
    let cells = table.filter(|tag| matches!(tag.name.as_str(), "th" | "td"));
    let numbers: Vec<bool> =
        cells.map(|tag| tag.attributes.get("class").is_some_and(|it| it.split(' ').any(|it| it == "number"))).collect();
    let row = [false, false, true, true, true, true, true, false];
    assert_eq!(numbers, row.repeat(1 + result.scenarios[0].phases.len()));
}

#[test]
fn shows_leftovers_above_everything_else() {
    let page = page(&sample::errored());
    let at = |text: &str| page.text.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    assert!(at("kubectl delete networkpolicy shakedown-nats-cut-k3x9 -n dynamo") < at("No expectation was evaluated."));
    assert!(page.text.contains("removed: no"));
}

#[test]
fn the_fault_is_shown_with_targets_evidence_and_objects() {
    let page = page(&sample::passing());
    for text in [
        "vllm-agg-0-vllmdecodeworker-7c9f8-x2k4p",
        "6f1c7f0e-4f3a-4c8e-9d55-000000000011",
        "10.42.0.17",
        "service nats (10.43.7.12:4222; pod nats-0 10.42.0.9)",
        "effective: yes",
        "policyTypes:\n  - Egress\n  - Ingress",
        "proven at 30.8s",
        "undone at 1m31.3s",
        "onset 31.0s",
        "recovered 1m35.3s",
        "4s after the removal",
    ] {
        assert!(page.text.contains(text), "{text} is missing");
    }
}

#[test]
fn the_scenario_can_be_run_again_from_the_page() {
    let page = page(&sample::passing());
    assert!(page.text.contains("shakedown run --sandbox scenarios/quickstart.yaml --seed 4242"));
    assert!(page.text.contains("4242"));
    // Line numbers are in between. Each line of the file is unchanged.
    assert!(sample::SOURCE.lines().all(|line| page.text.contains(line)));
}

#[test]
fn allows_only_its_own_script_and_style() {
    for result in [sample::suite(), sample::hostile()] {
        let page = page(&result);
        let policy = page.tags.iter().find(|tag| tag.attributes.contains_key("http-equiv")).unwrap();
        let policy = &policy.attributes["content"];
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        let mut scripts = 0;
        for (name, content) in &page.raw {
            let hash = super::source_hash(content);
            if policy.contains(&hash) {
                scripts += usize::from(name == "script");
            } else {
                // All other scripts are data, which no browser runs.
                assert_eq!(name, "script");
                serde_json::from_str::<serde_json::Value>(content).unwrap();
            }
        }
        assert_eq!(scripts, 1);
    }
}

#[test]
fn escapes_hostile_text() {
    let result = sample::hostile();
    let page = page(&result);
    assert!(page.text.contains("</script><img src=x onerror=alert(1)>]]>"), "it is shown as it is");
    assert!(!page.text.contains(['\0', '\u{1b}', '\u{202e}', '\u{fffe}']));
    let scripts = page.raw.iter().filter(|(name, _)| name == "script").count();
    assert_eq!(scripts, 1 + result.scenarios[0].series.len());
    assert!(page.raw.iter().all(|(_, content)| !content.contains("<img")));
}

#[test]
fn an_hour_stays_below_a_megabyte_and_keeps_its_worst_second() {
    let mut result = sample::hour();
    result.scenarios[0].series[1].points[777].p99_ms = Some(54_321.0);
    assert_eq!(result.scenarios[0].series.iter().map(|series| series.points.len()).sum::<usize>(), 7200);
    let text = html(&result).unwrap();
    assert!(text.len() < 1_000_000, "{} bytes", text.len());
    assert!(text.contains("p99 54.3s"));
    assert!(page(&result).text.contains("events in the middle are omitted"));
}

#[test]
fn a_day_is_no_larger_than_an_hour() {
    let mut result = sample::day();
    result.scenarios[0].series[0].points[80_000].succeeded = 0;
    let text = html(&result).unwrap();
    assert!(text.len() < 1_000_000, "{} bytes", text.len());
    assert!(text.contains("success 0%"), "its worst second is still read");
    let rest = crate::junit(&result).unwrap().len() + crate::markdown(&result).len();
    assert!(rest < 1 << 20, "{rest} bytes");
}

#[test]
fn a_result_with_nothing_in_it_has_a_page() {
    let page_of = |result: &RunResult| page(result).text;
    assert!(page_of(&sample::stillborn()).contains("the cluster cannot be reached"));
    let mut nothing = sample::stillborn();
    nothing.scenarios.clear();
    assert!(page_of(&nothing).contains("no scenario ran"));
    let mut odd = sample::failing();
    let scenario = &mut odd.scenarios[0];
    scenario.series[0].points[5].p99_ms = Some(f64::NAN);
    scenario.series[0].points.truncate(1);
    scenario.phases[0].end_s = f64::NAN;
    scenario.expectations[0].observed = Some(f64::INFINITY);
    scenario.expectations[1].verdict = Verdict::Inconclusive;
    assert!(!page_of(&odd).contains("NaN"));
}
