//! Queries Prometheus for phases: <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use std::collections::BTreeMap;
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
    let seconds = |nanoseconds| format!("{:.3}", zero.wall_at(nanoseconds).as_millisecond() as f64 / 1e3);
    let (from, to) = (seconds(span.judged_from_ns), seconds(span.judged_to_ns));
    let lasted = span.judged_to_ns.saturating_sub(span.judged_from_ns) as f64 / 1e9;
    let step = it.step.map_or_else(|| (lasted / MOST).ceil().max(1.0), |step| step.as_secs_f64());
    let (what, mut query) = match it.over {
        Over::End => ("query", vec![("time", to)]),
        Over::Mean | Over::Max | Over::Min => {
            ("query_range", vec![("start", from), ("end", to), ("step", format!("{step}"))])
        }
    };
    // Both ends have a value.
    let expected = if it.over == Over::End { 1 } else { (lasted / step + 1e-6).floor() as usize + 1 };
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
    Ok(SeriesSeen { values: read(&value)?, expected, warnings: warnings(&value) })
}

/// The server's warnings about its answer, such as a store that could not be read.
fn warnings(answer: &Value) -> Vec<String> {
    let lists = ["warnings", "infos"].map(|key| answer[key].as_array().map_or(&[][..], Vec::as_slice));
    let words = lists.into_iter().flatten().filter_map(Value::as_str);
    words.take(MOST_WARNINGS).map(|text| text.chars().take(300).collect()).collect()
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

/// The values of an answer; empty without a series.
fn read(answer: &Value) -> Result<Vec<f64>, String> {
    if answer["status"] != "success" {
        let message = answer["error"].as_str().unwrap_or("no reason given");
        return Err(format!("Prometheus refused the query: {message}"));
    }
    let number = |pair: &Value| pair[1].as_str().and_then(|text| text.parse::<f64>().ok());
    let result = &answer["data"]["result"];
    match answer["data"]["resultType"].as_str() {
        Some("scalar") => Ok(number(result).into_iter().collect()),
        Some("matrix" | "vector") => match result.as_array().map_or(&[][..], Vec::as_slice) {
            [] => Ok(Vec::new()),
            [one] => {
                let values = one["values"].as_array().map_or(&[][..], Vec::as_slice);
                Ok(values.iter().chain(one.get("value")).filter_map(number).collect())
            }
            several => Err(format!(
                "the query returns {} series, but one is needed: aggregate them, for example with `sum(...)`",
                several.len()
            )),
        },
        other => Err(format!("the query returns a {}, but a number is needed", other.unwrap_or("nothing"))),
    }
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
        values(
            &serde_json::from_value(it).unwrap(),
            &span,
            &Zero { at: tokio::time::Instant::now(), wall: jiff::Timestamp::now() },
        )
        .await
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
    }

    #[test]
    fn answers_are_read_by_their_type() {
        let answer = |kind: &str, result: Value| {
            read(&json!({"status": "success", "data": {"resultType": kind, "result": result}}))
        };
        let range = json!([{"metric": {}, "values": [[1.5, "2"], [2.5, "NaN"], [3.5, "4.5"]]}]);
        let values = answer("matrix", range).unwrap();
        assert_eq!((values[0], values[1].is_nan(), values[2]), (2.0, true, 4.5));
        assert_eq!(answer("vector", json!([{"metric": {}, "value": [1.5, "7"]}])), Ok(vec![7.0]));
        assert_eq!(answer("scalar", json!([1.5, "3"])), Ok(vec![3.0]));
        assert_eq!(answer("matrix", json!([])), Ok(Vec::new()));
        assert!(answer("vector", json!([{}, {}])).unwrap_err().starts_with("the query returns 2 series"));
        assert!(answer("string", json!([1.5, "x"])).unwrap_err().contains("a number is needed"));
        let refused = read(&json!({"status": "error", "error": "parse error"}));
        assert_eq!(refused, Err("Prometheus refused the query: parse error".to_owned()));
    }
}
