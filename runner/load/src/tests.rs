//! The engine against a server of our own that misbehaves on demand: each outcome by its name, and the counts exactly.

mod http1;
mod http2;
mod parts;
mod requests;
mod server;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;

use super::*;
use server::Server;
use shakedown_observe::{Cell, Failure, LoadObservations, Mark, Part};
use shakedown_schemas::Files;

/// A load of one server, as the scenario has it (without `url`).
fn planned(server: &Server, load: serde_json::Value) -> PlannedLoad {
    planned_at(server.address(), load)
}

/// A load of what listens at an address.
fn planned_at(address: SocketAddr, load: serde_json::Value) -> PlannedLoad {
    let mut load = load;
    for kind in ["http", "openai"] {
        if let Some(kind) = load.get_mut(kind) {
            kind["url"] = "http://ignored".into();
        }
    }
    PlannedLoad {
        name: "load".to_owned(),
        load: serde_json::from_value(load).unwrap(),
        endpoint: Endpoint { base: "http://server.test".to_owned(), addresses: vec![address] },
        files: Files::default(),
        seed: 1,
    }
}

/// Sends a load for so long, and waits for the rest of it for at most `grace`.
async fn send(planned: PlannedLoad, duration: Duration, grace: Duration) -> LoadObservations {
    let mut engine = Engine::new(&[planned]).unwrap();
    let marks = Arc::new(Marks::default());
    marks.begin(Mark { at_ns: 0, phase: 0, part: Part::Judged });
    engine.start(Instant::now(), marks).await.unwrap();
    tokio::time::sleep(duration).await;
    let seen = engine.finish(grace).await.unwrap().remove(0);
    assert_eq!(seen.issued, seen.requests(), "every request has an outcome");
    seen
}

fn total(seen: &LoadObservations) -> Cell {
    let mut total = Cell::default();
    for cell in seen.segments.iter().flat_map(|segment| &segment.cells) {
        total.merge(cell);
    }
    total
}

fn end_ns(seen: &LoadObservations) -> u64 {
    seen.segments.last().unwrap().end_ns
}

/// Requests of a constant rate that are due before `end_ns`.
fn due(rate: u64, end_ns: u64) -> u64 {
    (end_ns * rate).div_ceil(1_000_000_000)
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_healthy_server_answers_everything() {
    let server = Server::start().await;
    let seen = send(planned(&server, json!({"http": {}, "rate": "500/s"})), 400 * MS, 20_000 * MS).await;
    let total = total(&seen);
    assert_eq!(total.succeeded, due(500, end_ns(&seen)), "{:?}", total.failed);
    assert_eq!(total.requests(), total.succeeded);
    assert_eq!(total.latency.len(), total.succeeded);
    assert_eq!(seen.timings().lateness.len(), total.succeeded);
    assert_eq!(server.requests(), total.succeeded);
}

/// The load of a path, at a rate at which nothing queues.
fn http(path: &str) -> serde_json::Value {
    json!({"http": {"path": path}, "rate": "100/s"})
}

fn openai(how: &str, stream: bool) -> serde_json::Value {
    let mut kind = json!({"model": "m", "prompt": "p", "stream": stream, "check": {"contains": "hello there"}});
    if how == "stall" {
        kind["stall_after"] = "700ms".into();
    }
    json!({"openai": kind, "base": how, "rate": "100/s"})
}

/// Sends a load of which every request must end alike, and gives what was seen. A machine that is too busy to send anything in
/// time shows nothing (`is_seen`): then once more, and with more time where time has to run out.
async fn all_end_as(
    server: &Server,
    mut load: serde_json::Value,
    wanted: Option<Failure>,
    is_seen: impl Fn(&Cell) -> bool,
) -> Cell {
    let base = load.as_object_mut().unwrap().remove("base");
    let timeouts = if wanted == Some(Failure::Timeout) { ["400ms", "3s", "20s"] } else { ["60s"; 3] };
    let mut total = Cell::default();
    for timeout in timeouts {
        load["timeout"] = timeout.into();
        let mut planned = planned(server, load.clone());
        if let Some(base) = &base {
            planned.endpoint.base = format!("http://server.test/{}", base.as_str().unwrap());
        }
        let seen = send(planned, 100 * MS, 60_000 * MS).await;
        total = self::total(&seen);
        let issued = due(100, end_ns(&seen));
        assert_eq!(total.requests(), issued, "{load}");
        let of = |failure| total.failed.get(&failure).copied().unwrap_or(0);
        let named = wanted.map_or(total.succeeded, of);
        let late = of(Failure::NotSentLate);
        assert_eq!(named + late, issued, "{load} {base:?}: {} succeeded, {:?}", total.succeeded, total.failed);
        if named > 0 && is_seen(&total) {
            return total;
        }
    }
    panic!("{load} {base:?}: {total:?}");
}

#[tokio::test]
async fn each_outcome_of_http_has_its_name() {
    let server = Server::start().await;
    let outcomes = [
        ("/", None),
        ("/slow/20", None),
        ("/until-close", None),
        ("/status/204", None),
        ("/status/503", Some(Failure::Status(503))),
        ("/status/302", Some(Failure::Status(302))),
        ("/never", Some(Failure::Timeout)),
        ("/never-ends", Some(Failure::Timeout)),
        ("/drip", Some(Failure::Timeout)),
        ("/close", Some(Failure::Closed)),
        ("/half-close", Some(Failure::Closed)),
        ("/reset", Some(Failure::Reset)),
        ("/reset-in-body", Some(Failure::Reset)),
        ("/short", Some(Failure::Truncated)),
        ("/cut-chunks", Some(Failure::Truncated)),
        ("/bad-chunks", Some(Failure::Protocol)),
        ("/endless-chunk-size", Some(Failure::Protocol)),
        ("/garbage", Some(Failure::Protocol)),
        ("/flood", Some(Failure::Protocol)),
    ];
    join_all(outcomes.map(|(path, wanted)| all_end_as(&server, http(path), wanted, |_| true))).await;
}

#[tokio::test]
async fn each_outcome_of_the_openai_api_has_its_name() {
    let server = Server::start().await;
    let outcomes = [
        ("plain", false, None),
        ("no-choice", false, Some(Failure::Protocol)),
        ("error", false, Some(Failure::ApiError)),
        ("stream", true, None),
        ("no-done", true, Some(Failure::BrokenStream)),
        ("cut", true, Some(Failure::BrokenStream)),
        ("mid-error", true, Some(Failure::ApiError)),
        ("error", true, Some(Failure::ApiError)),
        ("empty", true, Some(Failure::Protocol)),
        ("hang", true, Some(Failure::Timeout)),
        ("stall", true, Some(Failure::Stalled)),
    ];
    let check = async |(how, stream, wanted)| {
        // Two pieces with a pause of 60 ms between them. A reader who is late sees less of it, or both at once.
        let has_gap = matches!(how, "stream" | "no-done" | "stall");
        // The opening message of a stream is empty: it is no token.
        let has_tokens = stream && !matches!(how, "error" | "empty");
        let is_seen = |total: &Cell| {
            (!has_tokens || !total.first_token.is_empty())
                && (!has_gap || total.token_gaps.max().is_some_and(|microseconds| microseconds > 15_000.0))
                && (how != "hang" || total.stuck > 0)
        };
        let total = all_end_as(&server, openai(how, stream), wanted, is_seen).await;
        let all = total.requests();
        let (tokens, gaps) = (total.first_token.len(), total.token_gaps.len());
        // The time of a request that hangs or stalls may be over before the engine of a busy machine has read its pieces.
        let is_cut_short = matches!(how, "hang" | "stall");
        let counted = |seen: u64, wanted: u64| seen == wanted || is_cut_short && seen < wanted;
        assert!(counted(tokens, if has_tokens { all } else { 0 }), "{how}: {tokens} of {all}");
        assert!(counted(gaps, if has_gap { all } else { 0 }), "{how}: {gaps} of {all}");
        // The server counts no tokens: each piece is one.
        assert_eq!(total.tokens, if how == "stream" { 2 * all } else { 0 }, "{how}");
        assert!(total.stuck <= if how == "hang" { all } else { 0 }, "{how}: {}", total.stuck);
    };
    join_all(outcomes.map(check)).await;
}

#[tokio::test]
async fn what_comes_late_is_told_from_what_never_ends() {
    let server = Server::start().await;
    for (path, linger, stuck) in [("/slow/300", 1.0, true), ("/slow/300", 4.0, false), ("/never", 2.0, true)] {
        let load = json!({"http": {"path": path}, "rate": "100/s", "timeout": "150ms"});
        let mut engine = Engine::new(&[planned(&server, load)]).unwrap().lingering(|_| linger);
        let marks = Arc::new(Marks::default());
        marks.begin(Mark { at_ns: 0, phase: 0, part: Part::Judged });
        engine.start(Instant::now(), marks).await.unwrap();
        tokio::time::sleep(50 * MS).await;
        let total = total(&engine.finish(20_000 * MS).await.unwrap().remove(0));
        let n = total.requests();
        assert_eq!(total.failed, [(Failure::Timeout, n)].into(), "{path}");
        assert_eq!((total.stuck, n > 0), (if stuck { n } else { 0 }, true), "{path} {linger}");
        // However long they are listened to, their clients gave them up at their timeout.
        assert!(total.latency.max().is_some_and(|microseconds| microseconds < 190_000.0), "{:?}", total.latency);
    }
}

#[tokio::test]
async fn nobody_there_and_no_such_name() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    for (host, addresses, wanted) in [
        ("server.test".to_owned(), vec![address], Failure::Refused),
        (format!("127.0.0.1:{}", address.port()), Vec::new(), Failure::Refused),
        ("no-such-name.invalid".to_owned(), Vec::new(), Failure::Dns),
    ] {
        for pace in [json!({"rate": "100/s"}), json!({"concurrency": 2})] {
            let mut load = json!({"http": {"url": "http://ignored"}, "timeout": "10s"});
            load.as_object_mut().unwrap().extend(pace.as_object().unwrap().clone());
            let planned = PlannedLoad {
                name: "load".to_owned(),
                load: serde_json::from_value(load).unwrap(),
                endpoint: Endpoint { base: format!("http://{host}"), addresses: addresses.clone() },
                files: Files::default(),
                seed: 1,
            };
            let seen = send(planned, 100 * MS, 20_000 * MS).await;
            let total = total(&seen);
            assert_eq!(total.failed, [(wanted, total.requests())].into(), "{host}");
            assert!(total.requests() > 0 && total.latency.is_empty());
            // A worker that is refused pauses: a service that is down is not asked as fast as the processor can.
            assert!(total.requests() <= 2 * (2 + end_ns(&seen) / 10_000_000), "{}", total.requests());
        }
    }
}

#[tokio::test]
async fn what_is_under_way_at_the_end_is_unfinished() {
    let server = Server::start().await;
    let mut load = http("/never");
    load["timeout"] = "60s".into();
    let seen = send(planned(&server, load), 100 * MS, 50 * MS).await;
    let total = total(&seen);
    assert_eq!(total.failed, [(Failure::Unfinished, due(100, end_ns(&seen)))].into());
    // They count at the time that they had taken.
    assert_eq!(total.latency.len(), total.requests());
    assert!(total.latency.min().unwrap() >= 49_000.0);
}

#[tokio::test]
async fn a_large_body_is_searched_and_not_kept() {
    let server = Server::start().await;
    let load = |text| json!({"http": {"path": "/huge", "check": {"contains": text}}, "concurrency": 1});
    for (text, wanted) in [("zzneedle", None), ("needles", Some(Failure::Check))] {
        let seen = send(planned(&server, load(text)), 10 * MS, 60_000 * MS).await;
        let total = total(&seen);
        let named = wanted.map_or(total.succeeded, |failure| total.failed.get(&failure).copied().unwrap_or(0));
        assert!(named > 0 && named == total.requests(), "{:?}", total.failed);
    }
}

#[tokio::test]
async fn at_the_limit_requests_wait_and_are_timed_from_when_they_were_due() {
    let server = Server::start().await;
    // Two at once, 50 ms each: 40 a second, asked 100 a second.
    let load = json!({"http": {"path": "/slow/50"}, "rate": "100/s", "max_in_flight": 2, "timeout": "10s"});
    let seen = send(planned(&server, load), 500 * MS, 20_000 * MS).await;
    let all = total(&seen);
    assert_eq!(all.succeeded, due(100, end_ns(&seen)), "{:?}", all.failed);
    assert_eq!(server.most_at_once(), 2);
    assert_eq!((all.in_flight, server.connections()), (2, 2));
    // The last of n requests is answered after n / 40 seconds at the earliest, and was due after n / 100.
    let least = all.succeeded as f64 * (1.0 / 40.0 - 1.0 / 100.0) * 1e6;
    assert!(all.latency.max().unwrap() > least * 0.9, "{:?} {least}", all.latency.max());

    let load = json!({"http": {"path": "/never"}, "rate": "2000/s", "max_in_flight": 3, "timeout": "150ms"});
    let seen = send(planned(&server, load), 100 * MS, 20_000 * MS).await;
    let all = total(&seen);
    // Three are sent and never answered; the rest wait behind them until their own time is over, or nearly.
    assert_eq!(all.requests(), due(2000, end_ns(&seen)));
    let of = |failure| all.failed.get(&failure).copied().unwrap_or(0);
    assert_eq!(of(Failure::Timeout) + of(Failure::NotSentLimit), all.requests(), "{:?}", all.failed);
    assert!(of(Failure::Timeout) >= 3 && of(Failure::NotSentLimit) >= 1, "{:?}", all.failed);
}

#[tokio::test]
async fn a_closed_loop_has_as_many_under_way_as_it_has_workers() {
    let server = Server::start().await;
    for workers in [1_u64, 5, 40] {
        let load = json!({"http": {"path": "/slow/20"}, "concurrency": workers});
        let seen = send(planned(&server, load), 200 * MS, 20_000 * MS).await;
        let total = total(&seen);
        assert_eq!(total.succeeded, total.requests(), "{:?}", total.failed);
        let most = workers * (2 + end_ns(&seen) / 20_000_000);
        assert!((workers..=most).contains(&total.succeeded), "{workers}: {} of {most}", total.succeeded);
        assert_eq!(total.in_flight, workers);
        assert!(total.latency.min().unwrap() >= 20_000.0);
    }
    assert_eq!(server.most_at_once(), 40);
    assert_eq!(server.connections(), 46);
}

#[tokio::test]
async fn it_tells_up_to_when_all_that_was_due_is_answered() {
    let server = Server::start().await;
    let load = json!({"http": {"path": "/slow/200"}, "rate": "50/s"});
    let mut engine = Engine::new(&[planned(&server, load)]).unwrap();
    let zero = Instant::now();
    engine.start(zero, Arc::default()).await.unwrap();
    let mut answered = Duration::ZERO;
    while answered < 300 * MS {
        tokio::time::sleep(5 * MS).await;
        answered = Duration::from_nanos(engine.answered_ns());
        // The last one before that moment was due at most 20 ms earlier, and took 200 ms.
        assert!(answered.is_zero() || answered + 180 * MS <= zero.elapsed(), "{answered:?} at {:?}", zero.elapsed());
    }
    engine.finish(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_died_while_idle_is_no_failure() {
    let server = Server::start().await;
    let load = json!({"http": {"path": "/close-when-idle"}, "rate": "400/s"});
    let seen = send(planned(&server, load), 300 * MS, 20_000 * MS).await;
    let total = total(&seen);
    // A request that was written to a dying connection is not sent again: it may have been served.
    let of = |failure| total.failed.get(&failure).copied().unwrap_or(0);
    let reset = of(Failure::Reset) + of(Failure::Closed);
    assert_eq!(total.succeeded + reset, due(400, end_ns(&seen)), "{:?}", total.failed);
    assert!(total.succeeded >= total.requests() * 3 / 4, "{:?}", total.failed);
    assert!(server.requests() <= total.requests());
}

#[tokio::test]
async fn requests_belong_to_the_stretch_in_which_they_were_due() {
    let server = Server::start().await;
    let load = json!({"http": {"path": "/slow/150"}, "rate": "200/s"});
    let mut engine = Engine::new(&[planned(&server, load)]).unwrap();
    let marks = Arc::new(Marks::default());
    let zero = Instant::now();
    marks.begin(Mark { at_ns: 0, phase: 0, part: Part::Judged });
    engine.start(zero, Arc::clone(&marks)).await.unwrap();
    let mut begins = vec![0];
    for (phase, part) in [(1, Part::Injecting), (1, Part::Judged), (2, Part::Judged)] {
        tokio::time::sleep(103 * MS).await;
        begins.push(marks.begin_now(phase, part, || zero.elapsed().as_nanos() as u64));
    }
    tokio::time::sleep(50 * MS).await;
    let seen = engine.finish(5_000 * MS).await.unwrap().remove(0);
    begins.push(end_ns(&seen));
    assert_eq!(seen.segments.len(), 4);
    for (segment, bounds) in seen.segments.iter().zip(begins.windows(2)) {
        assert_eq!((segment.mark.at_ns, segment.end_ns), (bounds[0], bounds[1]));
        let wanted = due(200, bounds[1]) - due(200, bounds[0]);
        assert_eq!(segment.cells.iter().map(Cell::requests).sum::<u64>(), wanted);
    }
}

#[tokio::test]
async fn a_stall_is_seen_as_long_as_it_was() {
    let server = Server::start().await;
    let load = json!({"http": {"path": "/"}, "rate": "400/s"});
    let mut engine = Engine::new(&[planned(&server, load)]).unwrap();
    engine.start(Instant::now(), Arc::new(Marks::default())).await.unwrap();
    tokio::time::sleep(700 * MS).await;
    let frozen = Instant::now();
    server.freeze(true);
    tokio::time::sleep(500 * MS).await;
    server.freeze(false);
    let stall = frozen.elapsed().as_secs_f64();
    tokio::time::sleep(800 * MS).await;
    let live = engine.live().remove(0);
    assert!(live.ended > 0 && live.p99_ms.unwrap() > 100.0);
    let seen = engine.finish(5_000 * MS).await.unwrap().remove(0);
    let total = total(&seen);
    let duration = end_ns(&seen) as f64 / 1e9;
    assert_eq!(total.succeeded, due(400, end_ns(&seen)), "{:?}", total.failed);
    // A request due at t of the stall waits for the rest of it, so the share 1 - q of the slowest waits at least
    // stall - (1 - q) * duration. How much more depends on what else the processor does; the benchmark measures it.
    for quantile in [0.8, 0.9, 0.99] {
        let wanted = stall - (1.0 - quantile) * duration;
        let got = total.latency.quantile(quantile).unwrap() / 1e6;
        assert!(got >= 0.9 * wanted - 0.01, "p{quantile}: {got} instead of {wanted}");
    }
    assert!(total.latency.quantile(0.5).unwrap() / 1e6 < stall / 2.0, "the stall is made longer than it was");
    assert!(total.latency.max().unwrap() / 1e6 >= stall * 0.98 - 0.005);
}

#[tokio::test]
async fn the_schedule_is_kept_by_several_threads_together() {
    let server = Server::start().await;
    let load = json!({"http": {"path": "/"}, "rate": "4500/s"});
    let seen = send(planned(&server, load), 300 * MS, 20_000 * MS).await;
    let total = total(&seen);
    assert_eq!(total.succeeded, due(4500, end_ns(&seen)), "{:?}", total.failed);
    assert_eq!(seen.timings().lateness.len(), total.requests());
    assert_eq!(server.requests(), total.requests());
}

#[tokio::test]
async fn an_engine_that_is_given_up_stops() {
    let server = Server::start().await;
    let mut engine = Engine::new(&[planned(&server, http("/"))]).unwrap();
    assert!(engine.live().is_empty());
    assert!(engine.finish(Duration::ZERO).await.is_err());
    engine.start(Instant::now() + Duration::from_secs(3600), Arc::default()).await.unwrap();
    let running = engine.finish(Duration::ZERO).await.unwrap();
    assert_eq!(total(&running[0]).requests(), 0);
}
