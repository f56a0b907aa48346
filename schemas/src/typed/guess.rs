//! What people write who know other tools, or guess: the table of words, and the line that each of them means here.
//!
//! A line replaces the whole entry of the guess, its key included, and is written with the values of the guess.

mod chaos_mesh;
mod common;
mod expect;
mod fault;
mod load;
mod row;
mod scenario;
mod topology;
mod write;

use crate::source::{Entry, Node};
use common::folded;
use row::Means::{Beside, Elsewhere, InLoad, Key, Line, Made, Remove, Said, Together};
use row::{Guess, Of, common, guess};

/// What to write in the place of a guess.
#[derive(Debug)]
pub(super) struct Answer {
    pub text: String,
    /// The keys next to the guess that the answer also replaces.
    pub also: Vec<String>,
}

/// Programs that the runner starts itself, which no file needs.
pub(super) const UNLISTED: &[&str] = &["probe"];

pub(super) use common::{FIRST_LOAD, FIRST_PHASE};

const EXPECTATION: &[&str] = &["Expectation"];
const FAULT: &[&str] = &["Fault"];
const LOAD: &[&str] = &["Load"];
const PHASE: &[&str] = &["Phase"];
const SCENARIO: &[&str] = &["Scenario"];
const BODIES: &[&str] = &["Http", "HttpRequest", "HttpStep"];
const EFFECT: &[&str] = &["Effect"];

/// The key of the other end of a link, by kind of fault.
const PEERS: &[(&str, &str)] = &[("from", "Partition"), ("to", "Netem")];

/// Keys of a load that are easily written inside its kind.
const OF_LOADS: &[&str] = &[
    "use",
    "rate",
    "arrival",
    "concurrency",
    "think_time",
    "timeout",
    "max_in_flight",
    "version",
    "connections",
    "streams",
    "tls",
    "feeder",
    "group_by",
];

const LATENCIES: &[&str] = &["latency", "time_to_first_token", "inter_token_latency"];

/// The table. Of several entries that fit, the first that has an answer counts.
const TABLE: &[Guess] = &[
    // Expectations.
    guess(EXPECTATION, write::FAILURES, Made(write::limits)),
    guess(EXPECTATION, write::SUCCESSES, Made(write::limits)),
    guess(EXPECTATION, write::LATENCIES, Made(write::limits)),
    guess(EXPECTATION, LATENCIES, Made(write::percentile)),
    guess(EXPECTATION, &["latency_ratio"], Made(write::percentile_ratio)),
    guess(EXPECTATION, &["success_rate"], Made(write::success_rate)),
    guess(EXPECTATION, &["errors"], Made(write::errors)),
    guess(EXPECTATION, &["ttft", "first_token"], Made(write::first_token)),
    guess(EXPECTATION, &["itl", "tpot", "time_per_output_token"], Made(write::between_tokens)),
    guess(EXPECTATION, &["mttr", "recovery", "recover", "recovers_within", "time_to_recover"], Made(write::recovery)),
    guess(EXPECTATION, &["restarts", "pod_restarts"], Made(write::restarts)),
    guess(EXPECTATION, &["ready", "pods_ready", "ready_within"], Made(expect::ready)),
    guess(EXPECTATION, &["pods"], Made(expect::pods)),
    guess(EXPECTATION, &["requests", "stuck"], Made(expect::counted)),
    guess(EXPECTATION, &["no_errors"], Line("errors: {any: {max: 0}}")),
    guess(EXPECTATION, &["status", "status_code", "http_probe", "httpprobe", "probe"], Said(expect::status)),
    guess(
        EXPECTATION,
        &["rps", "qps", "throughput", "requests_per_second"],
        Line("throughput_ratio: {to: <phase>, min: 0.8}"),
    ),
    guess(EXPECTATION, &["log", "no_logs", "logs_contain"], Line("logs: {matches: {}, max: 0}")),
    guess(EXPECTATION, &[""], Made(write::any_limit)),
    common(Of::Limited, common::AT_MOST, Key("max")),
    common(Of::Limited, common::AT_LEAST, Key("min")),
    guess(&["Logs"], &["contains", "pattern", "match", "text", "grep", "regex"], Key("matches")),
    guess(&["Pods", "Logs"], &["selector", "targets", "target"], Key("pods")),
    guess(&["Pods", "Logs"], &["labels", "name", "prefix", "owner"], Made(write::in_pods)),
    guess(&["LatencyRatio", "RateRatio"], &["baseline", "compare_to", "than", "versus", "from", "phase"], Key("to")),
    guess(&["Latency", "LatencyRatio"], &["quantile", "p", "pct"], Key("percentile")),
    guess(EFFECT, &["success_rate"], Made(write::effect)),
    guess(EFFECT, write::FAILURES, Made(write::effect)),
    guess(EFFECT, write::SUCCESSES, Made(write::effect)),
    // Stop conditions.
    guess(SCENARIO, &["abort_if"], Made(expect::stops)),
    guess(PHASE, &["abort_if"], Made(expect::stops)),
    guess(&["StopSuccessRate"], &["min", "less_than", "under", "lt"], Key("below")),
    guess(&["StopLatency"], &["max", "more_than", "over", "gt"], Key("above")),
    guess(&["StopSuccessRate", "StopLatency", "StopHttp"], &["duration", "lasts", "window", "during"], Key("for")),
    // Faults.
    guess(FAULT, write::DELAYS, Made(write::fault)),
    guess(FAULT, write::LOSSES, Made(write::fault)),
    guess(FAULT, write::BANDWIDTHS, Made(write::fault)),
    guess(FAULT, write::KILLS, Made(write::fault)),
    guess(FAULT, write::CPU, Made(write::fault)),
    guess(FAULT, write::MEMORY, Made(write::fault)),
    guess(FAULT, write::CUTS, Made(write::fault)),
    guess(FAULT, &["type", "kind"], Made(fault::type_alone)),
    guess(
        FAULT,
        &[
            "drain",
            "node_drain",
            "drain_node",
            "cordon",
            "evict",
            "scale",
            "scale_down",
            "scale_to_zero",
            "stop",
            "rollout_restart",
            "restart",
        ],
        Made(fault::action),
    ),
    guess(&["Partition", "Netem"], &["ports", "port"], Beside(fault::ports)),
    guess(&["Netem"], &["percentage", "percent"], Made(fault::loss)),
    guess(
        &["Partition", "PodKill", "PodFailure", "ContainerKill", "Stress"],
        &["percentage", "percent"],
        Said(fault::share_of_pods),
    ),
    guess(
        &["PodKill"],
        &["graceperiodseconds", "grace_period_seconds", "graceperiod", "grace", "force"],
        Made(fault::grace),
    ),
    guess(&["HttpFault"], &["code", "status_code", "statuscode"], Key("status")),
    guess(&["DnsFault"], &["names", "domains", "hosts", "domain", "host"], Made(fault::patterns)),
    guess(&["IoFault"], &["errno", "errors"], Made(fault::errno)),
    guess(&["TimeFault"], &["skew", "shift", "offset", "time_offset", "by"], Made(fault::offset)),
    guess(&["Netem"], &["latency", "lag", "delay_ms"], Key("delay")),
    guess(&["Netem"], &["packet_loss", "drop", "loss_percent"], Key("loss")),
    guess(&["Netem"], &["rate", "bandwidth_limit", "limit"], Made(write::bandwidth)),
    guess(&["Partition"], &["peers", "with", "between", "target_service", "service"], Key("from")),
    guess(FAULT, chaos_mesh::RESOURCES, Said(chaos_mesh::resource)),
    guess(FAULT, chaos_mesh::FAULTS, Said(chaos_mesh::spec)),
    guess(PHASE, chaos_mesh::RESOURCES, Said(chaos_mesh::phase)),
    guess(PHASE, &["faults"], Said(chaos_mesh::faults)),
    guess(SCENARIO, chaos_mesh::RESOURCES, Said(chaos_mesh::scenario)),
    common(Of::Targeted, chaos_mesh::AMOUNT, Together(chaos_mesh::amount_in_pods)),
    guess(&["PodSelector"], chaos_mesh::AMOUNT, Together(chaos_mesh::amount)),
    guess(&["PodSelector"], &["namespaces"], Made(chaos_mesh::namespace)),
    common(Of::Targeted, &["pods"], Made(write::pods)),
    common(Of::Targeted, &["targets", "target", "selector", "select"], Made(write::pods)),
    common(Of::Targeted, &["labels", "name", "prefix", "owner", "deployment"], Made(write::in_pods)),
    common(Of::Lasting, &["duration", "lasts", "length"], Key("for")),
    common(
        Of::Once,
        &["duration", "lasts", "length", "for"],
        Remove("a kill happens once, and the phase has a `duration`"),
    ),
    common(Of::Targeted, &["start", "start_after", "wait", "at"], Key("after")),
    guess(&["Stress"], &["cpu"], Made(write::cpu)),
    guess(&["PodSelector"], write::WORKLOADS, Made(write::owner)),
    guess(&["PodSelector"], &["app"], Line("labels: {app: {}}")),
    guess(&["PodSelector"], &["labels"], Made(fault::labels)),
    guess(&["Peer"], &["app"], Line("pods: {labels: {app: {}}}")),
    guess(&["Peer"], &["pods"], Made(write::pods)),
    guess(
        &["PodSelector"],
        &["label", "selector", "matchlabels", "label_selector", "labelselector", "labelselectors"],
        Key("labels"),
    ),
    guess(&["PodSelector"], &["pod", "pod_name", "names"], Key("name")),
    guess(&["PodSelector", "Peer"], &["ns"], Key("namespace")),
    guess(&["PodSelector"], &["count"], Made(write::count)),
    guess(&["PodSelector"], &["replicas", "amount", "number"], Key("count")),
    guess(&["Peer"], &["port"], Line("ports: [{}]")),
    guess(&["Peer"], &["svc", "name"], Key("service")),
    guess(&["Peer"], &["ip", "address"], Line("cidr: {}/32")),
    guess(&["Peer"], &["hostname", "domain", "dns"], Key("host")),
    guess(&["Peer"], &["labels", "prefix", "owner", "deployment"], Made(write::in_pods)),
    // Loads.
    guess(LOAD, &["rps", "qps", "requests_per_second", "throughput", "target_rps", "frequency"], Made(write::rate)),
    guess(LOAD, &["rate"], Made(write::rate)),
    guess(LOAD, &["vus", "users", "workers", "clients", "threads", "virtual_users", "parallel"], Key("concurrency")),
    guess(LOAD, &["stages", "ramp", "ramping", "ramp_up"], Made(write::stages)),
    guess(LOAD, &["url", "service"], Line("http: {{KEY}: {}}")),
    guess(LOAD, &["target", "host", "endpoint"], Made(load::target)),
    guess(LOAD, &["http"], Made(load::http)),
    guess(LOAD, &["executor"], Remove("`rate` is an open loop, and `concurrency` a closed one")),
    guess(LOAD, &["timeunit", "time_unit"], Remove("a rate has its unit, such as `20/s`")),
    guess(
        LOAD,
        &["iterations", "count", "requests"],
        Remove("requests are sent until the end of each phase, whose `duration` says when"),
    ),
    guess(LOAD, &["maxvus", "preallocatedvus", "max_vus"], Key("max_in_flight")),
    guess(LOAD, &["connections"], Said(load::connections)),
    guess(&["Http", "OpenAi"], &["port"], Beside(load::port)),
    guess(BODIES, &["query", "params", "query_params", "querystring"], Beside(load::query)),
    guess(
        &["Http", "OpenAi", "HttpRequest", "HttpStep"],
        &["expect", "assert", "expected", "asserts", "validate"],
        Made(load::check),
    ),
    guess(&["Check"], &["status"], Said(load::status)),
    guess(LOAD, &["warmup", "warm_up"], Elsewhere("settle: {}", "a phase")),
    guess(LOAD, &["duration", "length"], Elsewhere("duration: {}", "a phase")),
    guess(&["Http", "OpenAi"], OF_LOADS, InLoad),
    guess(
        &["Http", "OpenAi", "HttpRequest", "HttpStep"],
        &["status", "expect_status", "expected_status"],
        Line("check: {status: {}}"),
    ),
    guess(&["Check"], &["status_code", "code", "statuses", "statuscode"], Key("status")),
    guess(&["Check"], &["body", "text", "response"], Key("contains")),
    guess(BODIES, &["body", "json", "payload"], Made(write::body)),
    guess(&["HttpRequest", "HttpStep"], &["url", "uri"], Made(write::path)),
    guess(&["Http"], &["url", "uri"], Made(write::path)),
    guess(BODIES, write::METHODS, Made(write::method)),
    guess(&["HttpStep"], &["extract", "save", "store", "captures"], Key("capture")),
    guess(&["Http"], &["session", "flow", "journey"], Key("steps")),
    guess(LOAD, &["think", "sleep", "pause"], Key("think_time")),
    guess(LOAD, &["data", "csv", "users_file"], Made(write::feeder)),
    guess(SCENARIO, &["topology"], Line("sandbox: {topology: {}}")),
    guess(
        SCENARIO,
        &["secrets", "secret"],
        Remove("give each value on the command line, `--secret NAME=VALUE`, and use it as `{{ NAME }}`"),
    ),
    guess(
        SCENARIO,
        &["setup", "before", "prepare"],
        Remove("a first phase without faults prepares, and `settle` leaves its beginning out"),
    ),
    guess(SCENARIO, &["load"], Made(write::load)),
    guess(SCENARIO, &["sandbox"], Made(scenario::sandbox)),
    guess(SCENARIO, &["version"], Made(scenario::version)),
    guess(SCENARIO, &["phases"], Made(scenario::phases)),
    guess(SCENARIO, &["stages"], Said(scenario::stages)),
    guess(SCENARIO, &["apiversion", "kind", "spec", "metadata"], Said(scenario::manifest)),
    guess(
        SCENARIO,
        &["steady_state_hypothesis"],
        Remove("the `expect` of a phase says what must hold, such as `expect: [{success_rate: 99%}]`"),
    ),
    guess(SCENARIO, &["method"], Remove("a phase has its actions as `faults`")),
    guess(SCENARIO, &["rollbacks", "rollback", "teardown", "cleanup"], Remove("each fault is undone at its end")),
    // Phases.
    guess(
        PHASE,
        &["assert", "asserts", "assertions", "checks", "thresholds", "expectations", "verify", "should"],
        Made(write::expect),
    ),
    guess(PHASE, &["warmup", "warm_up", "ramp_up"], Key("settle")),
    guess(PHASE, &["for", "time", "length", "lasts"], Key("duration")),
    guess(PHASE, &["fault", "chaos", "inject", "attack", "action", "actions"], Made(write::faults)),
    guess(PHASE, &["expect"], Made(expect::list)),
    guess(PHASE, &["rate", "rps", "qps", "concurrency", "load"], Made(expect::pace)),
    guess(PHASE, &[""], Beside(expect::in_phase)),
    guess(SCENARIO, &["assert", "asserts", "assertions", "thresholds", "expect"], Elsewhere("expect: {}", "a phase")),
    guess(SCENARIO, &["warmup", "warm_up"], Elsewhere("settle: {}", "a phase")),
    guess(SCENARIO, &["title"], Key("description")),
    guess(SCENARIO, &["steps", "timeline"], Key("phases")),
    guess(SCENARIO, &["loads", "traffic"], Key("load")),
    guess(SCENARIO, &["variables", "parameters", "configuration"], Key("vars")),
];

/// What to write in the place of an entry with this key and value, in a map of this type with these entries.
pub(super) fn answer(of: &str, key: &str, node: &Node, map: &[Entry]) -> Option<Answer> {
    let word = folded(key);
    let has = |wanted: &str| map.iter().any(|entry| entry.key == wanted && entry.key != key);
    // Both ends of a link are pods, and one of them is there. A name alone is a service.
    if word == "target"
        && (has("pods") || (of == "Partition" && !matches!(node.value, crate::source::Value::Map(_))))
        && let Some((other, _)) = PEERS.iter().find(|(_, kind)| *kind == of)
    {
        return Some(Answer::of(match has(other) {
            true => format!("remove it: `{other}` has the other end of the link"),
            false => format!("write `{other}: {}`", write::peer(node)),
        }));
    }
    let fits = |guess: &&Guess| {
        guess.of.types().contains(&of) && (guess.words.contains(&word.as_str()) || guess.words == [""])
    };
    let those = |guess: &Guess, map: &[Entry]| -> Vec<Entry> {
        map.iter().filter(|it| guess.words.contains(&folded(&it.key).as_str())).cloned().collect()
    };
    TABLE.iter().chain(topology::TABLE).filter(fits).find_map(|guess| {
        let filled = |text: &str| text.replace("{KEY}", key).replace("{}", &crate::source::flow::flow(node));
        let text = match guess.means {
            Key(key) if has(key) => format!("remove it: `{key}` says it already"),
            Key(key) => renamed(key, node),
            Remove(why) => format!("remove it: {why}"),
            Line(text) => format!("write `{}`", filled(text)),
            Elsewhere(text, place) => format!("remove it, and write `{}` in {place}", filled(text)),
            InLoad => {
                format!("remove it, and write `{}` in the load, next to `{}`", filled("{KEY}: {}"), of.to_lowercase())
            }
            Said(say) => say(&word, node)?,
            Together(say) => say(&those(guess, map))?,
            Beside(say) => {
                let (text, replaced) = say(&word, node, map)?;
                let also = replaced.iter().filter(|it| has(it)).map(|it| (*it).to_owned()).collect();
                return Some(Answer { text, also });
            }
            Made(make) => {
                let line = make(&word, node)?;
                if line == format!("{key}: {}", crate::source::flow::flow(node)) {
                    return None;
                }
                // A word that means nothing has no line.
                match line.split_once(':').map(|(key, _)| key).filter(|it| has(it)) {
                    _ if line.starts_with("remove it") => line,
                    Some(there) => format!("remove it: `{there}` says it already"),
                    None => format!("write `{line}`"),
                }
            }
        };
        let also = match guess.means {
            Together(_) => those(guess, map).into_iter().map(|it| it.key).collect(),
            _ => Vec::new(),
        };
        Some(Answer { text, also })
    })
}

/// What to write in the place of a map with several entries that should be a kind.
pub(super) fn of_several(of: &str, entries: &[Entry]) -> Option<Answer> {
    let typed = || common::typed(entries).map(|line| format!("write `{line}`"));
    (of == "Fault").then(|| chaos_mesh::manifest(entries).or_else(typed)).flatten().map(Answer::of)
}

/// The longest value that is shown in one line.
const LONG: usize = 100;

/// The same value under another key.
fn renamed(key: &str, node: &Node) -> String {
    let value = crate::source::flow::flow(node);
    if value.len() > LONG { format!("rename it to `{key}`") } else { format!("write `{key}: {value}`") }
}

impl Answer {
    fn of(text: String) -> Self {
        Self { text, also: Vec::new() }
    }
}

/// What to write in the place of a text that should be a kind.
pub(super) fn of_text(of: &str, text: &str) -> Option<Answer> {
    let line = match of {
        "Expectation" => expect::in_words(text)?,
        "Arrival" => match folded(text).as_str() {
            "constant" | "uniform" | "even" | "fixed" | "regular" => "arrival: steady".to_owned(),
            "exponential" | "random" => "arrival: poisson".to_owned(),
            _ => return None,
        },
        "Direction" => format!("direction: {}", chaos_mesh::direction(text)?),
        _ => return None,
    };
    Some(Answer::of(format!("write `{line}`")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::Load;

    #[test]
    fn no_word_is_there_twice_and_none_is_a_key_of_the_format() {
        let schema = crate::json_schema::bare_scenario();
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for guess in TABLE.iter().chain(topology::TABLE) {
            for (of, word) in
                guess.of.types().into_iter().flat_map(|of| guess.words.iter().map(move |word| (of, *word)))
            {
                assert!(!seen.contains(&(of, word)), "{of}.{word}");
                assert_eq!(word, folded(word));
                seen.push((of, word));
                let is_key = schema["$defs"][of]["properties"][word].is_object();
                assert!(!is_key || matches!(guess.means, Made(_) | Said(_)), "{of}.{word} exists");
            }
        }
    }

    #[test]
    fn groups_follow_from_the_descriptions_of_the_kinds() {
        let (targeted, once, lasting) = (Of::Targeted.types(), Of::Once.types(), Of::Lasting.types());
        assert!(targeted.contains(&"Netem") && !targeted.contains(&"Manifest"));
        assert!(once.contains(&"PodKill") && !once.contains(&"Netem"));
        assert!(lasting.contains(&"Netem") && !lasting.contains(&"PodKill"));
        assert_eq!(targeted.len(), once.len() + lasting.len());
        let limited = Of::Limited.types();
        assert!(limited.contains(&"Latency") && limited.contains(&"CountLimits") && !limited.contains(&"Pods"));
    }

    #[test]
    fn the_keys_of_selectors_and_loads_are_those_of_the_format() {
        let schema = crate::json_schema::bare_scenario();
        let keys = |of: &str| -> BTreeSet<String> {
            schema["$defs"][of]["properties"].as_object().expect("keys").keys().cloned().collect()
        };
        let same = |list: &[&str]| -> BTreeSet<String> { list.iter().map(|it| (*it).to_owned()).collect() };
        assert_eq!(same(write::SELECTS), keys("PodSelector"));
        let mut of_loads = keys("Load");
        of_loads.retain(|key| Load::KINDS.iter().all(|kind| kind.name != key));
        assert_eq!(same(OF_LOADS), of_loads);
    }
}
