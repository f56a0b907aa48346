//! Queries Prometheus for phases: <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::scenario::{Over, Prometheus};

use super::zero::Zero;
use shakedown_observe::{Observations, PhaseSpan, SeriesSeen};

/// The timeout of an answer.
const LIMIT: Duration = Duration::from_secs(15);
/// The longest answer that is read, in bytes. One series of [`MOST`] values has about 10 KB.
const LONGEST: usize = 4 << 20;
/// The most warnings of the server that are shown.
const MOST_WARNINGS: usize = 5;
/// The most values of a phase when the scenario does not set their distance.
const MOST: f64 = 300.0;
/// How far the time of a value may be from what was asked for, in seconds: both are rounded to milliseconds.
const ROUNDED: f64 = 0.002;

/// The times that a query asks for, in seconds since 1970.
struct Asked {
    from: f64,
    to: f64,
    /// The number of values of a series without gaps.
    count: usize,
}

/// The values of the expectation's phase and of the phase that it is compared with.
pub(super) async fn series(
    it: &Prometheus,
    phase: usize,
    observations: &Observations,
    zero: &Zero,
) -> BTreeMap<usize, Result<SeriesSeen, String>> {
    let earlier = it.to.as_ref().and_then(|to| observations.phase(to));
    let mut found = BTreeMap::new();
    for phase in [Some(phase), earlier].into_iter().flatten() {
        if let Some(span) = observations.phases.get(phase) {
            found.insert(phase, values(it, span, zero).await);
        }
    }
    found
}

async fn values(it: &Prometheus, span: &PhaseSpan, zero: &Zero) -> Result<SeriesSeen, String> {
    let seconds = |nanoseconds| zero.wall_at(nanoseconds).as_millisecond() as f64 / 1e3;
    let (from, to) = (seconds(span.judged_from_ns), seconds(span.judged_to_ns));
    let text = |seconds: f64| format!("{seconds:.3}");
    let lasted = span.judged_to_ns.saturating_sub(span.judged_from_ns) as f64 / 1e9;
    let step = it.step.map_or_else(|| (lasted / MOST).ceil().max(1.0), |step| step.as_secs_f64());
    let (what, mut query, asked) = match it.over {
        // Some servers answer with an earlier value, because they do not have the last ones yet.
        Over::End => ("query", vec![("time", text(to))], Asked { from: to - step, to, count: 1 }),
        Over::Mean | Over::Max | Over::Min => {
            // Both ends have a value.
            let count = (lasted / step + 1e-6).floor() as usize + 1;
            let query = vec![("start", text(from)), ("end", text(to)), ("step", format!("{step}"))];
            ("query_range", query, Asked { from, to, count })
        }
    };
    query.push(("query", it.query.clone()));
    let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    // The headers may contain credentials for this server only, so redirects are not followed.
    let builder = reqwest::Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none());
    let client = builder.build().map_err(|error| error.to_string())?;
    let url = format!("{}/api/v1/{what}", it.url.trim_end_matches('/'));
    let mut request = client.post(&url).header("content-type", "application/x-www-form-urlencoded").body(body);
    for (name, value) in &it.headers {
        request = request.header(name, value);
    }
    let unreachable =
        |error: reqwest::Error| format!("Prometheus could not be queried: {}", cause(&error.without_url()));
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    if status.is_redirection() {
        return Err(format!(
            "the server answered {}: redirects are not followed, because the headers are for this server alone; use the URL \
             of the redirect",
            status.as_u16()
        ));
    }
    let body = read_body(answer, LONGEST).await.map_err(unreachable)?;
    let body = body.ok_or_else(|| format!("the answer has more than {} MiB", LONGEST >> 20))?;
    let value: Value = serde_json::from_slice(&body)
        .map_err(|_| format!("the server answered {}, but not with the Prometheus API", status.as_u16()))?;
    read(&value, &asked)
}

/// The server's own words about its answer.
fn words<const N: usize>(answer: &Value, keys: [&str; N]) -> impl Iterator<Item = String> {
    let lists = keys.map(|key| answer[key].as_array().map_or(&[][..], Vec::as_slice));
    let words = lists.into_iter().flatten().filter_map(Value::as_str);
    words.map(|text| text.chars().take(300).collect())
}

/// What the answer may lack: that of VictoriaMetrics says it, and that of Thanos and of a remote read has a warning for each
/// store that could not be read. Warnings about the query itself are no doubts.
fn doubts(answer: &Value) -> Vec<String> {
    let is_partial = answer["isPartial"] == true;
    let partial = is_partial.then(|| "the server calls it partial (`isPartial`)".to_owned());
    let warnings = words(answer, ["warnings"]).filter(|text| !text.starts_with("PromQL"));
    partial.into_iter().chain(warnings.map(|text| format!("the server warns: {text}"))).take(MOST_WARNINGS).collect()
}

/// The body of an answer; `None` when it is longer than `longest` bytes.
async fn read_body(mut answer: reqwest::Response, longest: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > longest {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The innermost cause, which describes the problem best.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The values of an answer; none without a series.
fn read(answer: &Value, asked: &Asked) -> Result<SeriesSeen, String> {
    if answer["status"] != "success" {
        let message = answer["error"].as_str().unwrap_or("no reason given");
        return Err(format!("Prometheus refused the query: {message}"));
    }
    let result = &answer["data"]["result"];
    let pairs: Vec<&Value> = match answer["data"]["resultType"].as_str() {
        Some("scalar") => vec![result],
        Some("matrix" | "vector") => match result.as_array().map_or(&[][..], Vec::as_slice) {
            [] => Vec::new(),
            [one] => one["values"].as_array().into_iter().flatten().chain(one.get("value")).collect(),
            several => return Err(too_many(several)),
        },
        other => return Err(format!("the query returns a {}, but a number is needed", other.unwrap_or("nothing"))),
    };
    let number = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.parse::<f64>().ok()?));
    let all: Vec<(f64, f64)> = pairs.into_iter().filter_map(number).collect();
    if let Some(pair) = all.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
        let (earlier, later) = (pair[0].0, pair[1].0);
        return Err(format!("the server's values are not in order of time: one of {later} follows one of {earlier}"));
    }
    let is_asked = |(at, _): &&(f64, f64)| (asked.from - ROUNDED..=asked.to + ROUNDED).contains(at);
    let values: Vec<f64> = all.iter().filter(is_asked).map(|(_, value)| *value).collect();
    Ok(SeriesSeen {
        elsewhere: all.len() - values.len(),
        values,
        expected: asked.count,
        warnings: words(answer, ["warnings", "infos"]).take(MOST_WARNINGS).collect(),
        doubts: doubts(answer),
    })
}

/// One series is needed. Those of replicas have the same labels, or differ in one, and their sum counts everything twice.
fn too_many(series: &[Value]) -> String {
    let labels: BTreeSet<String> = series.iter().map(|one| one["metric"].to_string()).collect();
    let same = if labels.len() < series.len() { ", some of them with the same labels" } else { "" };
    format!(
        "the query returns {} series{same}, but one is needed: aggregate them, for example with `sum(...)`, or with `max(...)` \
         for replicas",
        series.len()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shakedown_fakes::{Answer, HttpServer, Step};

    use super::*;

    async fn ask(server: &HttpServer) -> Result<SeriesSeen, String> {
        _ = rustls::crypto::ring::default_provider().install_default();
        let it = json!({"url": server.url(), "query": "up", "headers": {"authorization": "Bearer x"}});
        let span = PhaseSpan { judged_to_ns: 1_000_000_000, ..PhaseSpan::default() };
        let wall = jiff::Timestamp::from_second(1).unwrap();
        values(&serde_json::from_value(it).unwrap(), &span, &Zero { at: tokio::time::Instant::now(), wall }).await
    }

    #[tokio::test]
    async fn the_headers_are_not_sent_to_another_server() {
        let other = HttpServer::start(|_| 200.into());
        let there = format!("{}/", other.url());
        let first = HttpServer::start(move |_| Answer::with_headers(307, &[("location", there.as_str())], ""));
        assert!(ask(&first).await.unwrap_err().contains("answered 307: redirects are not followed"));
        assert_eq!(other.count(), 0);
    }

    #[tokio::test]
    async fn an_endless_answer_is_not_read_to_its_end() {
        let endless = Step::Repeat(vec![b' '; 65536], Duration::ZERO);
        let server = HttpServer::start(move |_| Answer::raw("HTTP/1.1 200 OK\r\n\r\n").then(endless.clone()));
        assert_eq!(ask(&server).await, Err("the answer has more than 4 MiB".to_owned()));
        assert_eq!(server.requests()[0].header("authorization"), Some("Bearer x"));
    }

    #[tokio::test]
    async fn the_servers_warnings_and_missing_values_are_kept() {
        let body = json!({
            "status": "success", "warnings": ["one store did not answer"], "infos": ["metric might not be a counter"],
            "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1.5, "2"]]}]},
        });
        let server = HttpServer::start(move |_| Answer::new(200, body.to_string()));
        let seen = ask(&server).await.unwrap();
        assert_eq!((seen.values, seen.expected), (vec![2.0], 2));
        assert_eq!(seen.warnings, ["one store did not answer", "metric might not be a counter"]);
        assert_eq!(seen.doubts, ["the server warns: one store did not answer"]);
    }

    /// Ten seconds from 100 s on, by the second.
    const ASKED: Asked = Asked { from: 100.0, to: 110.0, count: 11 };

    fn answer(kind: &str, result: Value) -> Result<Vec<f64>, String> {
        let seen = read(&json!({"status": "success", "data": {"resultType": kind, "result": result}}), &ASKED);
        seen.map(|seen| seen.values)
    }

    #[test]
    fn answers_are_read_by_their_type() {
        let range = json!([{"metric": {}, "values": [[101.5, "2"], [102.5, "NaN"], [103.5, "4.5"]]}]);
        let values = answer("matrix", range).unwrap();
        assert_eq!((values[0], values[1].is_nan(), values[2]), (2.0, true, 4.5));
        assert_eq!(answer("vector", json!([{"metric": {}, "value": [110, "7"]}])), Ok(vec![7.0]));
        assert_eq!(answer("scalar", json!([110.0, "3"])), Ok(vec![3.0]));
        assert_eq!(answer("matrix", json!([])), Ok(Vec::new()));
        assert!(
            answer("vector", json!([{"metric": {"a": "1"}}, {"metric": {}}])).unwrap_err().contains("2 series, but")
        );
        assert!(answer("string", json!([101.5, "x"])).unwrap_err().contains("a number is needed"));
        let refused = read(&json!({"status": "error", "error": "parse error"}), &ASKED);
        assert_eq!(refused, Err("Prometheus refused the query: parse error".to_owned()));
    }

    #[test]
    fn values_of_other_times_are_left_out() {
        let at = |times: &[f64]| {
            let values: Vec<Value> = times.iter().map(|at| json!([at, "1"])).collect();
            let result = json!([{"metric": {}, "values": values}]);
            let seen = read(&json!({"status": "success", "data": {"resultType": "matrix", "result": result}}), &ASKED);
            seen.map(|seen| (seen.values.len(), seen.elsewhere))
        };
        assert_eq!(at(&[100.0, 105.0, 110.0]), Ok((3, 0)));
        // Servers that align the times to the step, and those that answer about another time.
        assert_eq!(at(&[99.6, 100.6, 109.6, 110.6]), Ok((2, 2)));
        assert_eq!(at(&[1.0, 2.0]), Ok((0, 2)));
        for times in [[100.0, 100.0], [105.0, 104.0]] {
            assert!(at(&times).unwrap_err().contains("not in order of time"), "{times:?}");
        }
    }

    /// Two replicas that scrape the same targets.
    #[test]
    fn a_series_that_is_there_twice_is_no_series() {
        let one = json!({"metric": {"job": "shop"}, "values": [[101.0, "1"]]});
        assert!(
            answer("matrix", json!([one, one])).unwrap_err().contains("2 series, some of them with the same labels")
        );
    }

    #[test]
    fn an_answer_that_lacks_data_is_doubted() {
        let doubts = |more: Value| {
            let mut answer = json!({"status": "success", "data": {"resultType": "matrix", "result": []}});
            answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read(&answer, &ASKED).unwrap().doubts
        };
        assert_eq!(doubts(json!({"isPartial": true})), ["the server calls it partial (`isPartial`)"]);
        assert_eq!(doubts(json!({"warnings": ["a store is down"]})), ["the server warns: a store is down"]);
        let about_the_query =
            json!({"isPartial": false, "warnings": ["PromQL warning: x"], "infos": ["PromQL info: y"]});
        assert!(doubts(about_the_query).is_empty());
    }
}
