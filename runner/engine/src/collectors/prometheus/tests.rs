//! Queries of phases, and what their answers say.

use serde_json::json;
use shakedown_fakes::{Answer, HttpServer, Step};

use super::*;

/// The answer for a phase from 1000 s on.
async fn ask_for(server: &HttpServer, seconds: u64, over: &str) -> Result<SeriesSeen, String> {
    _ = rustls::crypto::ring::default_provider().install_default();
    let it = json!({"url": server.url(), "query": "up", "over": over, "headers": {"authorization": "Bearer x"}});
    let span = PhaseSpan { judged_to_ns: seconds * 1_000_000_000, ..PhaseSpan::default() };
    let wall = jiff::Timestamp::from_second(1000).unwrap();
    values(&serde_json::from_value(it).unwrap(), &span, &Zero { at: tokio::time::Instant::now(), wall }).await
}

async fn ask(server: &HttpServer) -> Result<SeriesSeen, String> {
    ask_for(server, 2, "mean").await
}

/// A server with one series. As Prometheus, it takes the latest sample of the lookback for the present value.
fn scraped(samples: &'static [(f64, &'static str)]) -> HttpServer {
    HttpServer::start(move |request| {
        let given = |key: &str| {
            let pairs = form_urlencoded::parse(&request.body);
            pairs.into_iter().find_map(|(name, value)| (name == key).then(|| value.into_owned()))
        };
        let number = |key: &str| given(key).and_then(|text| text.parse::<f64>().ok());
        let lookback = given("lookback_delta").map_or(300.0, |text| {
            text.strip_suffix("ms").expect("milliseconds").parse::<f64>().expect("a number") / 1e3
        });
        let at = |time: f64| {
            let of_then = |(scraped, _): &&(f64, &str)| *scraped <= time && *scraped > time - lookback;
            samples.iter().rfind(of_then).map(|(_, value)| json!([time, value]))
        };
        let (kind, series) = match number("time") {
            Some(time) => ("vector", at(time).map(|value| json!({"metric": {}, "value": value}))),
            None => {
                let [start, end, step] = ["start", "end", "step"].map(|key| number(key).expect("a range"));
                let times = (0..).map(|index| f64::from(index).mul_add(step, start));
                let values: Vec<Value> = times.take_while(|time| *time <= end).filter_map(at).collect();
                ("matrix", (!values.is_empty()).then(|| json!({"metric": {}, "values": values})))
            }
        };
        let result: Vec<Value> = series.into_iter().collect();
        Answer::new(200, json!({"status": "success", "data": {"resultType": kind, "result": result}}).to_string())
    })
}

/// A target that was cut off, or a Prometheus that could not scrape: for five minutes the last sample stood for the present.
#[tokio::test]
async fn no_sample_from_before_a_phase_counts_in_it() {
    for over in ["mean", "max", "min", "end"] {
        for seconds in [20, 60, 400] {
            let seen = ask_for(&scraped(&[(985.0, "1"), (999.5, "1")]), seconds, over).await.unwrap();
            assert_eq!(seen.values, [0.0; 0], "{over} of {seconds} s");
        }
    }
}

/// Those of a phase count as long as they are the latest.
#[tokio::test]
async fn every_sample_of_a_phase_counts() {
    let every_second = &[(990.0, "9"), (1000.5, "1"), (1001.5, "2"), (1002.5, "3"), (1003.5, "4"), (1004.5, "5")];
    let seen = ask_for(&scraped(every_second), 5, "max").await.unwrap();
    assert_eq!((seen.values, seen.expected), (vec![1.0, 2.0, 3.0, 4.0, 5.0], 5));
    // The first of the phase is of its eighth second, and the next of its 23rd.
    let seen = ask_for(&scraped(&[(993.0, "9"), (1008.0, "1"), (1023.0, "2")]), 30, "mean").await.unwrap();
    assert_eq!(seen.values, [vec![1.0; 15], vec![2.0; 8]].concat());
    assert_eq!(seen.expected, 30);
    let seen = ask_for(&scraped(&[(993.0, "9"), (1008.0, "1")]), 20, "end").await.unwrap();
    assert_eq!((seen.values, seen.expected), (vec![1.0], 1));
}

#[test]
fn the_queries_have_every_moment_once() {
    for (lasted, step, count) in [(60.0, 1.0, 60), (60.9, 1.0, 60), (0.4, 1.0, 1), (3600.0, 12.0, 300), (7.5, 2.5, 3)] {
        let asked = queries(lasted, 1000.0 + lasted, step, count);
        assert_eq!(asked.iter().map(|it| it.count).sum::<usize>(), count);
        assert!(asked.len() <= 10, "{}", asked.len());
        let end = asked.last().unwrap().to;
        assert!((end - 1000.0 - lasted).abs() < 1e-6);
        for it in &asked {
            let lookback = it.lookback.unwrap_or(LOOKBACK);
            assert!(it.from - lookback >= 1000.0 - 1e-6, "{it:?}");
            assert!((it.to - it.from - (it.count - 1) as f64 * step).abs() < 1e-6, "{it:?}");
        }
        for pair in asked.windows(2) {
            assert!((pair[1].from - pair[0].to - step).abs() < 1e-6, "{pair:?}");
        }
    }
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
        "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1001.0, "2"]]}]},
    });
    let server = HttpServer::start(move |_| Answer::new(200, body.to_string()));
    let seen = ask(&server).await.unwrap();
    assert_eq!((seen.values, seen.expected), (vec![2.0], 2));
    assert_eq!(seen.warnings, ["one store did not answer", "metric might not be a counter"]);
    assert_eq!(seen.doubts, ["the server warns: one store did not answer"]);
}

/// Ten seconds from 100 s on, by the second.
const ASKED: Asked = Asked { from: 100.0, to: 110.0, count: 11, lookback: None };

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
    assert!(answer("vector", json!([{"metric": {"a": "1"}}, {"metric": {}}])).unwrap_err().contains("2 series, but"));
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
    assert!(answer("matrix", json!([one, one])).unwrap_err().contains("2 series, some of them with the same labels"));
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
    let about_the_query = json!({"isPartial": false, "warnings": ["PromQL warning: x"], "infos": ["PromQL info: y"]});
    assert!(doubts(about_the_query).is_empty());
}
