//! `--otlp`: the run as a trace (run, scenarios, phases and faults are spans) and its load as metrics, one point per
//! window, in the JSON encoding of the OpenTelemetry protocol (opentelemetry.io/docs/specs/otlp, OTLP/HTTP).

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shakedown_reports::tamed;
use shakedown_schemas::result::{LoadSeries, RunResult, ScenarioResult, Verdict};
use shakedown_schemas::{Event, EventKind};

/// The environment variable of the OpenTelemetry specification for a collector's headers, such as its key.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// The headers of the environment: `name=value` pairs separated by commas, percent-encoded.
pub fn headers() -> Vec<(String, String)> {
    std::env::var(HEADERS).map(|text| pairs(&text)).unwrap_or_default()
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let decoded = |part: &str| {
        let bytes = percent_encoding::percent_decode_str(part.trim());
        bytes.decode_utf8_lossy().into_owned()
    };
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// Sends the trace to `ENDPOINT/v1/traces` and the metrics to `ENDPOINT/v1/metrics`.
///
/// # Errors
/// A warning for the user.
pub async fn send(endpoint: &str, headers: &[(String, String)], result: &RunResult) -> Result<(), String> {
    let base = endpoint.trim_end_matches('/');
    let result = &tamed(result);
    for (path, body) in [("v1/traces", trace(result)), ("v1/metrics", metrics(result))] {
        super::post(&format!("{base}/{path}"), headers, &body).await.map_err(|error| {
            format!("could not send {path} to {}: {error}; the verdict is not affected", super::place(endpoint))
        })?;
    }
    Ok(())
}

/// `status.code` of a span.
const OK: u8 = 1;
const ERROR: u8 = 2;

fn attribute(name: &str, value: Value) -> Value {
    let typed = match &value {
        Value::Bool(_) => json!({"boolValue": value}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": value}),
        // 64-bit integers are strings in the JSON encoding, and are signed.
        Value::Number(number) if number.as_i64().is_some() => json!({"intValue": number.to_string()}),
        Value::Number(number) => json!({"stringValue": number.to_string()}),
        _ => json!({"stringValue": value}),
    };
    json!({"key": name, "value": typed})
}

fn resource(result: &RunResult) -> Value {
    let run = &result.run;
    let mut attributes = vec![
        attribute("service.name", json!("shakedown")),
        attribute("service.version", json!(run.tool_version)),
        attribute("host.name", json!(run.host)),
        attribute("shakedown.run", json!(run.id)),
    ];
    if let Some(sha) = &run.git_sha {
        attributes.push(attribute("vcs.ref.head.revision", json!(sha)));
    }
    if let Some(url) = &run.ci_job_url {
        attributes.push(attribute("cicd.pipeline.run.url.full", json!(url)));
    }
    json!({"attributes": attributes})
}

fn scope(result: &RunResult) -> Value {
    json!({"name": "shakedown", "version": result.run.tool_version})
}

/// An id of this number of bytes in hex, the same for the same run and part.
fn id(run: &str, part: &str, bytes: usize) -> String {
    Sha256::digest(format!("{run}\n{part}")).iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// The wall-clock time of a moment of the timeline, in nanoseconds since 1970, in the protocol's encoding.
fn nanoseconds(zero: jiff::Timestamp, at_s: f64) -> String {
    (zero.as_nanosecond() + (at_s * 1e9).round() as i128).max(0).to_string()
}

/// The wall-clock time of the timeline's zero, from the first event with both clocks, or else from the start of the
/// scenario.
fn zero(scenario: &ScenarioResult) -> jiff::Timestamp {
    let started = |event: &&Event| matches!(event.kind, EventKind::LoadStarted);
    let event = scenario.events.iter().find(started).and_then(|event| Some((event.at, event.elapsed_s?)));
    let shifted =
        event.and_then(|(at, elapsed)| at.checked_sub(jiff::SignedDuration::try_from_secs_f64(elapsed).ok()?).ok());
    shifted.unwrap_or(scenario.started_at)
}

struct Spans<'a> {
    run: &'a str,
    list: Vec<Value>,
}

impl Spans<'_> {
    #[expect(clippy::too_many_arguments, reason = "the fields of a span, each of another kind")]
    fn add(
        &mut self,
        part: &str,
        parent: Option<&str>,
        name: &str,
        (from, to): (String, String),
        verdict: Verdict,
        message: &str,
        attributes: Vec<Value>,
        events: Vec<Value>,
    ) {
        let status = if verdict == Verdict::Pass { OK } else { ERROR };
        let mut span = json!({
            "traceId": id(self.run, "trace", 16),
            "spanId": id(self.run, part, 8),
            "name": name,
            "kind": 1,
            "startTimeUnixNano": from,
            "endTimeUnixNano": to,
            "attributes": ([&[attribute("shakedown.verdict", json!(verdict.word()))], &attributes[..]].concat()),
            "events": events,
            "status": if status == OK { json!({"code": OK}) } else { json!({"code": ERROR, "message": message}) },
        });
        if let Some(parent) = parent {
            span["parentSpanId"] = json!(id(self.run, parent, 8));
        }
        self.list.push(span);
    }
}

/// The trace of a run.
fn trace(result: &RunResult) -> Value {
    let mut spans = Spans { run: &result.run.id, list: Vec::new() };
    let begin = result.run.started_at;
    let whole = (nanoseconds(begin, 0.0), nanoseconds(begin, result.run.duration_s));
    let seed = vec![
        attribute("shakedown.seed", json!(result.run.seed)),
        attribute("shakedown.exit_code", json!(result.exit_code)),
    ];
    spans.add("run", None, "shakedown run", whole, result.verdict, result.verdict.word(), seed, Vec::new());
    for (index, it) in result.scenarios.iter().enumerate() {
        scenario_spans(&mut spans, it, &format!("scenario {index}"));
    }
    json!({"resourceSpans": [{
        "resource": resource(result),
        "scopeSpans": [{"scope": scope(result), "spans": spans.list}],
    }]})
}

fn scenario_spans(spans: &mut Spans<'_>, it: &ScenarioResult, part: &str) {
    let zero = zero(it);
    let at = |at_s: f64| nanoseconds(zero, at_s);
    let end = it.phases.iter().map(|phase| phase.end_s).fold(it.duration_s, f64::max);
    let attributes = vec![
        attribute("shakedown.file", json!(it.file)),
        attribute("k8s.namespace.name", json!(it.namespace)),
        attribute("shakedown.reason", json!(it.reason)),
    ];
    let events = it.events.iter().filter_map(|event| {
        let kind = serde_json::to_value(&event.kind).ok()?;
        let name = kind["event"].as_str()?.to_owned();
        let fields = kind.as_object()?.iter().filter(|(key, _)| *key != "event");
        let fields: Vec<Value> = fields
            .map(|(key, value)| attribute(key, value.as_str().map_or_else(|| json!(value.to_string()), |it| json!(it))))
            .collect();
        Some(json!({"timeUnixNano": nanoseconds(event.at, 0.0), "name": name, "attributes": fields}))
    });
    let whole = (nanoseconds(it.started_at, 0.0), at(end));
    let reason = shakedown_reports::sentences::reason(it);
    spans.add(part, Some("run"), &it.name, whole, it.outcome(), &reason, attributes, events.take(500).collect());
    for phase in &it.phases {
        let name = format!("{part} phase {}", phase.name);
        let answers = it.expectations.iter().filter(|it| it.phase == phase.name);
        let worst = answers.clone().max_by_key(|it| it.verdict);
        let (verdict, reason) = worst.map_or((Verdict::Pass, ""), |it| (it.verdict, it.reason.as_str()));
        let events = answers.map(|it| {
            json!({"timeUnixNano": at(phase.judged_to_s), "name": "expectation", "attributes": [
                attribute("expectation", json!(it.title)),
                attribute("verdict", json!(it.verdict.word())),
                attribute("observed", json!(it.observed_text)),
                attribute("reason", json!(it.reason)),
            ]})
        });
        let times = (at(phase.start_s), at(phase.end_s));
        spans.add(
            &name,
            Some(part),
            &format!("phase {}", phase.name),
            times,
            verdict,
            reason,
            vec![],
            events.collect(),
        );
    }
    for fault in &it.faults {
        let Some(from) = fault.injecting_s else { continue };
        let name = format!("{part} fault {}", fault.name);
        let parent = format!("{part} phase {}", fault.phase);
        let states = [
            ("injected", fault.injected_s),
            ("claimed", fault.claimed_s),
            ("proven", fault.proven_s),
            ("undoing", fault.undoing_s),
        ];
        let states = states.into_iter().filter_map(|(state, moment)| Some((state, moment?)));
        let events = states.map(|(state, moment)| json!({"timeUnixNano": at(moment), "name": state})).collect();
        let pods: Vec<&str> = fault.targets.iter().map(|pod| pod.name.as_str()).collect();
        let attributes = vec![
            attribute("shakedown.fault.kind", json!(fault.kind)),
            attribute("shakedown.fault.engine", json!(fault.engine)),
            attribute("shakedown.fault.targets", json!(pods.join(","))),
        ];
        let times = (at(from), at(fault.undone_s.unwrap_or(end)));
        let (verdict, message) = (fault.injection.max(fault.undo), fault.problem.as_deref().unwrap_or_default());
        spans.add(&name, Some(&parent), &format!("fault {}", fault.name), times, verdict, message, attributes, events);
    }
}

/// The load of a run, one point per window. All loads of all scenarios share three metrics.
fn metrics(result: &RunResult) -> Value {
    let mut points = Points::default();
    for scenario in &result.scenarios {
        scenario.series.iter().for_each(|series| points.add(scenario, series));
    }
    let gauge = |name: &str, unit: &str, description: &str, points: Vec<Value>| json!({"name": name, "unit": unit, "description": description, "gauge": {"dataPoints": points}});
    let list = [
        gauge("shakedown.load.requests", "{request}/s", "Requests due per second, by outcome.", points.requests),
        gauge("shakedown.load.latency", "ms", "Latency from the due moment of a request.", points.latency),
        gauge(
            "shakedown.load.in_flight",
            "{request}",
            "The maximum number of concurrent requests in the window.",
            points.in_flight,
        ),
    ];
    json!({"resourceMetrics": [{
        "resource": resource(result),
        "scopeMetrics": [{"scope": scope(result), "metrics": list}],
    }]})
}

#[derive(Default)]
struct Points {
    requests: Vec<Value>,
    latency: Vec<Value>,
    in_flight: Vec<Value>,
}

impl Points {
    fn add(&mut self, scenario: &ScenarioResult, series: &LoadSeries) {
        let zero = zero(scenario);
        let own = [
            attribute("scenario", json!(scenario.name)),
            attribute("shakedown.file", json!(scenario.identity().file)),
            attribute("load", json!(series.load)),
        ];
        let point = |t: f64, length: f64, more: &[Value], value: f64| {
            json!({
                "startTimeUnixNano": nanoseconds(zero, t),
                "timeUnixNano": nanoseconds(zero, t + length),
                "attributes": ([&own[..], more].concat()),
                "asDouble": value,
            })
        };
        for it in &series.points {
            let outcome = |name: &str, count: u64| {
                point(it.t_s, it.length_s, &[attribute("outcome", json!(name))], count as f64 / it.length_s.max(1e-3))
            };
            self.requests.push(outcome("succeeded", it.succeeded));
            self.requests.extend(it.errors.iter().map(|(kind, count)| outcome(kind, *count)));
            for (quantile, ms) in [("0.5", it.p50_ms), ("0.95", it.p95_ms), ("0.99", it.p99_ms)] {
                let label = [attribute("quantile", json!(quantile))];
                self.latency.extend(ms.map(|ms| point(it.t_s, it.length_s, &label, ms)));
            }
            self.in_flight.push(point(it.t_s, it.length_s, &[], it.in_flight as f64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing::received;
    use shakedown_fakes::HttpServer;
    use shakedown_reports::sample;

    #[tokio::test]
    async fn a_collector_gets_a_trace_and_metrics() {
        crate::export::testing_tls();
        let server = HttpServer::start(|_| 200.into());
        send(&format!("{}/", server.url()), &[], &sample::failing()).await.unwrap();
        let got = received(&server);
        assert_eq!((got[0].0.as_str(), got[1].0.as_str()), ("/v1/traces", "/v1/metrics"));
        let spans = got[0].1["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
        let wanted = [
            "shakedown run",
            "worker-loses-nats",
            "phase baseline",
            "phase partition",
            "phase recovery",
            "fault nats-cut",
        ];
        assert_eq!(names, wanted);
        for span in spans {
            assert_eq!(span["traceId"], spans[0]["traceId"]);
            assert_eq!((span["traceId"].as_str().unwrap().len(), span["spanId"].as_str().unwrap().len()), (32, 16));
            let parent = &span["parentSpanId"];
            assert!(parent.is_null() == (span["name"] == "shakedown run"), "only the run has no parent");
            assert!(parent.is_null() || spans.iter().any(|other| other["spanId"] == *parent), "{span}");
            let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
            assert!(time("startTimeUnixNano") < time("endTimeUnixNano"), "{span}");
        }
        assert_eq!(spans[5]["parentSpanId"], spans[3]["spanId"]);
        assert_eq!(spans[3]["status"]["code"], 2);
        let metrics = got[1].1["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        assert_eq!(metrics.len(), 3);
        assert_eq!(metrics[1]["gauge"]["dataPoints"].as_array().unwrap().len(), 3 * 121);
    }

    #[test]
    fn each_metric_occurs_once_for_any_number_of_loads() {
        let two = metrics(&sample::hour());
        let list = two["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let names: Vec<&Value> = list.iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["shakedown.load.requests", "shakedown.load.latency", "shakedown.load.in_flight"]);
        assert_eq!(list[2]["gauge"]["dataPoints"].as_array().unwrap().len(), 2 * 3600);
    }

    /// Points of two scenarios had the same attributes at the same time.
    #[test]
    fn scenarios_of_one_name_in_two_files_have_two_series() {
        let mut both = sample::passing();
        let mut other = both.scenarios[0].clone();
        other.file = "b/s.yaml".to_owned();
        both.scenarios.push(other);
        let all = metrics(&both);
        for metric in all["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap() {
            let points = metric["gauge"]["dataPoints"].as_array().unwrap();
            let series = |it: &Value| format!("{} {}", it["timeUnixNano"], it["attributes"]);
            let different: std::collections::BTreeSet<String> = points.iter().map(series).collect();
            assert_eq!(different.len(), points.len(), "{}", metric["name"]);
        }
    }

    #[test]
    fn headers_are_pairs_and_integers_are_signed() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("api-key=a%20b, x=y=z,odd"), [pair("api-key", "a b"), pair("x", "y=z")]);
        assert_eq!(attribute("seed", json!(u64::MAX))["value"]["stringValue"], u64::MAX.to_string());
        assert_eq!(attribute("seed", json!(7))["value"]["intValue"], "7");
    }

    #[tokio::test]
    async fn hostile_text_is_truncated_and_stays_text() {
        crate::export::testing_tls();
        let server = HttpServer::start(|_| 200.into());
        send(&server.url(), &[], &sample::hostile()).await.unwrap();
        for (path, body) in received(&server) {
            let text = body.to_string();
            // The points of a metric repeat the names of its load.
            assert!(text.len() < 2_000_000, "{path}: {} bytes", text.len());
            assert!(!text.contains("\\u001b") && !text.contains("\\u0000") && !text.contains('\u{202e}'), "{path}");
        }
    }

    #[tokio::test]
    async fn an_unavailable_collector_is_a_warning() {
        crate::export::testing_tls();
        let error = send("http://127.0.0.1:9", &[], &sample::passing()).await.unwrap_err();
        assert!(error.contains("v1/traces") && error.contains("verdict is not affected"), "{error}");
    }
}
