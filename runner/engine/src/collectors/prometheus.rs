//! Queries Prometheus for phases: <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
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
/// The age up to which Prometheus takes a sample for the present value by default, in seconds.
const LOOKBACK: f64 = 300.0;

/// The times that a query asks for, in seconds since 1970.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    from: f64,
    to: f64,
    /// The number of values of a series without gaps.
    count: usize,
    /// The greatest age of a sample that is a present value, in seconds. None for the server's own.
    lookback: Option<f64>,
}

/// The queries for `count` values up to a phase's end. Each has so short a lookback that no value is of a sample before the
/// phase, which lasted that many seconds. The lookback doubles from query to query, so that they are few.
fn queries(lasted: f64, to: f64, step: f64, count: usize) -> Vec<Asked> {
    let into = |at: usize| lasted - (count - 1 - at) as f64 * step;
    let mut queries = Vec::new();
    let mut at = 0;
    while at < count {
        let lookback = Some(into(at)).filter(|lookback| *lookback < LOOKBACK);
        let is_in = |next: &usize| lookback.is_none_or(|lookback| into(*next) < 2.0 * lookback);
        let next = (at + 1..count).find(|next| !is_in(next)).unwrap_or(count);
        let [from, until] = [at, next - 1].map(|at| to - lasted + into(at));
        queries.push(Asked { from, to: until, count: next - at, lookback });
        at = next;
    }
    queries
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
    let to = zero.wall_at(span.judged_to_ns).as_millisecond() as f64 / 1e3;
    let lasted = span.judged_to_ns.saturating_sub(span.judged_from_ns) as f64 / 1e9;
    let step = it.step.map_or_else(|| (lasted / MOST).ceil().max(1.0), |step| step.as_secs_f64());
    let count = match it.over {
        Over::End => 1,
        // The last one is of the end. A phase shorter than a step has one as well.
        Over::Mean | Over::Max | Over::Min => ((lasted / step + 1e-6).floor() as usize).max(1),
    };
    // The headers may contain credentials for this server only, so redirects are not followed.
    let builder = reqwest::Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none());
    let client = builder.build().map_err(|error| error.to_string())?;
    let mut queries = queries(lasted, to, step, count);
    if it.over == Over::End {
        // Some servers answer with an earlier value, because they do not have the last ones yet.
        queries.iter_mut().for_each(|asked| asked.from = asked.to - step);
    }
    let answers = join_all(queries.iter().map(|asked| query(&client, it, asked, step))).await;
    let mut all = SeriesSeen { expected: count, ..SeriesSeen::default() };
    let mut series: Option<Value> = None;
    for (answer, asked) in answers.into_iter().zip(&queries) {
        let answer = answer?;
        let seen = read(&answer, asked)?;
        if let Some(found) = answer["data"]["result"].get(0).filter(|one| one.is_object()) {
            match &series {
                Some(other) if other["metric"] != found["metric"] => return Err(too_many(&[other, found])),
                _ => series = Some(found.clone()),
            }
        }
        all.values.extend(seen.values);
        all.elsewhere += seen.elsewhere;
        merge(&mut all.warnings, seen.warnings);
        merge(&mut all.doubts, seen.doubts);
    }
    Ok(all)
}

/// Adds the texts that are new.
fn merge(texts: &mut Vec<String>, more: Vec<String>) {
    for text in more {
        if texts.len() < MOST_WARNINGS && !texts.contains(&text) {
            texts.push(text);
        }
    }
}

/// One query's answer.
async fn query(client: &reqwest::Client, it: &Prometheus, asked: &Asked, step: f64) -> Result<Value, String> {
    let text = |seconds: f64| format!("{seconds:.3}");
    let (what, mut query) = match it.over {
        Over::End => ("query", vec![("time", text(asked.to))]),
        Over::Mean | Over::Max | Over::Min => (
            "query_range",
            vec![("start", text(asked.from)), ("end", text(asked.to + ROUNDED / 2.0)), ("step", format!("{step}"))],
        ),
    };
    query.push(("query", it.query.clone()));
    if let Some(lookback) = asked.lookback {
        let lookback = format!("{:.0}ms", (lookback * 1e3).floor().max(1.0));
        // The one of Prometheus and Thanos, and the one of VictoriaMetrics.
        query.extend([("lookback_delta", lookback.clone()), ("max_lookback", lookback)]);
    }
    let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
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
    serde_json::from_slice(&body)
        .map_err(|_| format!("the server answered {}, but not with the Prometheus API", status.as_u16()))
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
            several => return Err(too_many(&several.iter().collect::<Vec<_>>())),
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
fn too_many(series: &[&Value]) -> String {
    let labels: BTreeSet<String> = series.iter().map(|one| one["metric"].to_string()).collect();
    let same = if labels.len() < series.len() { ", some of them with the same labels" } else { "" };
    format!(
        "the query returns {} series{same}, but one is needed: aggregate them, for example with `sum(...)`, or with `max(...)` \
         for replicas",
        series.len()
    )
}

#[cfg(test)]
mod tests;
