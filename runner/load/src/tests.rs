//! The engine against a server that misbehaves on demand: the name of each outcome, and exact counts.
//!
//! Tests of timing run on paused time with a server without sockets, so that the machine's clock has no influence. Tests of
//! sockets (refused, reset, several threads) run on loopback and assert nothing about durations.

mod addresses;
mod groups;
mod http1;
mod http2;
mod kinds;
mod parts;
mod requests;
mod samples;
mod server;
mod sessions;
mod tls;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::*;
use shakedown_fakes::{HttpServer, MemoryServer};
use shakedown_observe::{Cell, Failure, LoadObservations, Mark, PhasePart};
use shakedown_schemas::Files;

/// A load of one server, as in the scenario (without `url`).
fn planned(server: &HttpServer, load: serde_json::Value) -> PlannedLoad {
    planned_at(server.address(), load)
}

/// A load of the server at an address.
pub(super) fn planned_at(address: SocketAddr, load: serde_json::Value) -> PlannedLoad {
    let mut load = load;
    // Counts are exact to one request if requests are evenly spaced.
    if load.get("rate").is_some() && load.get("arrival").is_none() {
        load["arrival"] = "steady".into();
    }
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

/// Sends a load for `duration`, and waits for the rest of it for at most `grace`.
async fn send(planned: PlannedLoad, duration: Duration, grace: Duration) -> LoadObservations {
    let mut engine = Engine::new(&[planned]).unwrap();
    let marks = Arc::new(Marks::default());
    marks.begin(Mark { at_ns: 0, phase: 0, part: PhasePart::Judged });
    engine.start(std::time::Instant::now(), marks).await.unwrap();
    sleep(duration).await;
    let seen = engine.finish(grace).await.unwrap().remove(0);
    assert_eq!(seen.issued, seen.requests(), "every request has an outcome");
    seen
}

/// The connections of a lane to a server without sockets.
#[derive(Clone)]
pub(super) struct Wire(Arc<dyn Fn() -> tokio::io::DuplexStream + Send + Sync>);

impl Wire {
    fn to(server: &MemoryServer) -> Self {
        let server = server.clone();
        Self(Arc::new(move || server.connect()))
    }

    pub(super) fn connect(&self) -> tokio::io::DuplexStream {
        (self.0)()
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Wire")
    }
}

/// The pacer's timer on paused time.
pub(super) struct Paused;

impl clock::Timer for Paused {
    async fn until(&mut self, at: Instant) {
        tokio::time::sleep_until(at).await;
    }
}

/// An engine that connects to a server without sockets.
fn wired(server: &MemoryServer, planned: &PlannedLoad) -> Engine {
    let mut target = target::Target::new(planned).unwrap();
    target.wire = Some(Wire::to(server));
    Engine::of(vec![target])
}

/// The plan of a load for [`wired`], as in the scenario (without `url`).
fn plan(load: serde_json::Value) -> PlannedLoad {
    planned_at(SocketAddr::from(([127, 0, 0, 1], 1)), load)
}

/// Sends a load on paused time for exactly `duration`, and waits for the rest of it for at most `grace`.
async fn send_paused(engine: Engine, duration: Duration, grace: Duration) -> LoadObservations {
    let seen = paused(engine, async |_, _| sleep(duration).await, grace).await;
    assert_eq!(end_ns(&seen), duration.as_nanos() as u64);
    seen
}

/// Runs an engine on paused time for as long as `during` takes.
async fn paused(
    mut engine: Engine,
    during: impl AsyncFnOnce(&mut Engine, &Marks),
    grace: Duration,
) -> LoadObservations {
    let run = async {
        let marks = Arc::new(Marks::default());
        marks.begin(Mark { at_ns: 0, phase: 0, part: PhasePart::Judged });
        engine.start_here(Instant::now(), Arc::clone(&marks));
        during(&mut engine, &marks).await;
        let seen = engine.finish(grace).await.unwrap().remove(0);
        assert_eq!(seen.issued, seen.requests(), "every request has an outcome");
        seen
    };
    LocalSet::new().run_until(run).await
}

/// One step of the paused clock, to which tokio rounds up, in microseconds including the histogram's rounding.
const STEP_US: f64 = 1_100.0;

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
    let server = server::start();
    let seen = send(planned(&server, json!({"http": {}, "rate": "500/s"})), 400 * MS, 20_000 * MS).await;
    let total = total(&seen);
    assert_eq!(total.succeeded, due(500, end_ns(&seen)), "{:?}", total.failed);
    assert_eq!(total.requests(), total.succeeded);
    assert_eq!(total.latency.len(), total.succeeded);
    assert_eq!(seen.timings().lateness.len(), total.succeeded);
    assert_eq!(server.count(), total.succeeded);
}

/// The load of a path, at a rate without queueing.
fn http(path: &str) -> serde_json::Value {
    json!({"http": {"path": path}, "rate": "100/s"})
}

fn openai(how: &str, stream: bool) -> serde_json::Value {
    let mut kind = json!({"model": "m", "prompt": "p", "stream": stream, "check": {"contains": "hello there"}});
    if matches!(how, "stall" | "late-done") {
        kind["stall_after"] = "700ms".into();
    }
    json!({"openai": kind, "rate": "100/s"})
}

/// Asserts that every request of a load had the same outcome.
#[track_caller]
fn expect_all(total: &Cell, load: &serde_json::Value, wanted: Option<Failure>, issued: u64) {
    let named = wanted.map_or(total.succeeded, |failure| total.failed.get(&failure).copied().unwrap_or(0));
    assert_eq!(total.requests(), issued, "{load}");
    assert_eq!(named, issued, "{load}: {} succeeded, {:?}", total.succeeded, total.failed);
}

#[tokio::test]
async fn each_outcome_of_http_has_its_name() {
    let server = server::start();
    let outcomes = [
        ("/", None),
        ("/until-close", None),
        ("/status/204", None),
        ("/status/503", Some(Failure::Status(503))),
        ("/status/302", Some(Failure::Status(302))),
        ("/close", Some(Failure::Closed)),
        ("/half-close", Some(Failure::Closed)),
        ("/reset", Some(Failure::Reset)),
        ("/reset-in-body", Some(Failure::Truncated)),
        ("/short", Some(Failure::Truncated)),
        ("/cut-chunks", Some(Failure::Truncated)),
        ("/bad-chunks", Some(Failure::Protocol)),
        ("/endless-chunk-size", Some(Failure::Protocol)),
        ("/garbage", Some(Failure::Protocol)),
        ("/flood", Some(Failure::Protocol)),
    ];
    let check = async |(path, wanted)| {
        let mut load = http(path);
        load["timeout"] = "60s".into();
        let seen = send(planned(&server, load.clone()), 100 * MS, 60_000 * MS).await;
        expect_all(&total(&seen), &load, wanted, due(100, end_ns(&seen)));
    };
    join_all(outcomes.map(check)).await;
}

#[tokio::test(start_paused = true)]
async fn each_slow_outcome_of_http_has_its_name() {
    let server = server::in_memory();
    for (path, wanted) in [
        ("/slow/20", None),
        ("/never", Some(Failure::Timeout)),
        ("/never-ends", Some(Failure::Timeout)),
        ("/drip", Some(Failure::Timeout)),
    ] {
        let mut load = http(path);
        load["timeout"] = "400ms".into();
        let seen = send_paused(wired(&server, &plan(load.clone())), 100 * MS, 60_000 * MS).await;
        expect_all(&total(&seen), &load, wanted, 10);
        let wanted = if wanted.is_some() { 400_000.0 } else { 20_000.0 };
        for took in [total(&seen).latency.min(), total(&seen).latency.max()] {
            assert!(took.is_some_and(|took| (wanted * 0.99..=wanted + STEP_US).contains(&took)), "{path}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_outcome_of_the_openai_api_has_its_name() {
    let server = server::in_memory();
    for (how, stream, wanted) in [
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
        ("late-done", true, None),
    ] {
        let mut load = openai(how, stream);
        load["timeout"] = "2s".into();
        let mut planned = plan(load.clone());
        planned.endpoint.base = format!("http://server.test/{how}");
        let seen = send_paused(wired(&server, &planned), 100 * MS, 60_000 * MS).await;
        let total = total(&seen);
        expect_all(&total, &load, wanted, 10);
        // Two chunks with a pause of 60 ms between them. The opening message of a stream is empty and is not a token. The silence
        // before a failure is a gap as well if it is the longest.
        let gaps = match how {
            "stream" | "late-done" | "no-done" | "hang" => 10,
            "stall" => 20,
            _ => 0,
        };
        let has_tokens = stream && !matches!(how, "error" | "empty");
        assert_eq!(total.first_token.len(), if has_tokens { 10 } else { 0 }, "{how}");
        assert_eq!(total.token_gaps.len(), gaps, "{how}");
        let fails_silently = matches!(how, "hang" | "stall");
        assert_eq!(total.token_gaps.max().is_some_and(|gap| gap > 500_000.0), fails_silently, "{how}");
        for gap in [total.token_gaps.min(), total.token_gaps.max()].into_iter().flatten().filter(|_| !fails_silently) {
            assert!((59_000.0..=60_000.0 + STEP_US).contains(&gap), "{how}: {gap}");
        }
        // The server counts no tokens, so each chunk is one.
        assert_eq!(total.tokens, if wanted.is_none() && stream { 20 } else { 0 }, "{how}");
        assert_eq!(total.stuck, if how == "hang" { 10 } else { 0 }, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn distinguishes_late_answers_from_stuck_requests() {
    let server = server::in_memory();
    for (path, timeouts, stuck) in [("/slow/300", 1.0, 5), ("/slow/300", 4.0, 0), ("/never", 2.0, 5)] {
        let load = json!({"http": {"path": path}, "rate": "100/s", "timeout": "150ms"});
        let mut load = CompiledLoad::new(&plan(load)).unwrap().observing_for(timeouts);
        load.target.wire = Some(Wire::to(&server));
        let engine = Engine::compiled(vec![load], 0);
        let total = total(&send_paused(engine, 50 * MS, 20_000 * MS).await);
        assert_eq!(total.failed, [(Failure::Timeout, 5)].into(), "{path}");
        assert_eq!(total.stuck, stuck, "{path} {timeouts}");
        // Their clients gave them up at the timeout, even though they were observed for longer.
        let took = total.latency.max();
        assert!(took.is_some_and(|took| (149_000.0..=150_000.0 + STEP_US).contains(&took)), "{took:?}");
    }
}

#[tokio::test]
async fn names_refused_connections_and_unknown_hosts() {
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
            // A refused worker pauses, so that a service that is down does not receive attempts in a tight loop.
            assert!(total.requests() <= 2 * (2 + end_ns(&seen) / 10_000_000), "{}", total.requests());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_at_the_end_are_unfinished() {
    let mut load = http("/never");
    load["timeout"] = "60s".into();
    let seen = send_paused(wired(&server::in_memory(), &plan(load)), 100 * MS, 50 * MS).await;
    let total = total(&seen);
    assert_eq!(total.failed, [(Failure::Unfinished, 10)].into());
    // They count with the time until then: the last was due at 90 ms, the first at 0, and all end at 150 ms.
    assert_eq!(total.latency.len(), 10);
    let (least, most) = (total.latency.min().unwrap(), total.latency.max().unwrap());
    assert!((59_000.0..=60_000.0 + STEP_US).contains(&least), "{least}");
    assert!((149_000.0..=150_000.0 + 2.0 * STEP_US).contains(&most), "{most}");
}

#[tokio::test]
async fn searches_a_large_body_without_buffering() {
    let server = server::start();
    let load = |text| json!({"http": {"path": "/huge", "check": {"contains": text}}, "concurrency": 1});
    for (text, wanted) in [("zzneedle", None), ("needles", Some(Failure::Check))] {
        let seen = send(planned(&server, load(text)), 10 * MS, 60_000 * MS).await;
        let total = total(&seen);
        let named = wanted.map_or(total.succeeded, |failure| total.failed.get(&failure).copied().unwrap_or(0));
        assert!(named > 0 && named == total.requests(), "{:?}", total.failed);
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_requests_wait_and_are_timed_from_when_they_were_due() {
    let server = server::in_memory();
    // Two at a time, 50 ms each: 40 per second, with 100 per second due.
    let load = json!({"http": {"path": "/slow/50"}, "rate": "100/s", "max_in_flight": 2, "timeout": "10s"});
    let seen = send_paused(wired(&server, &plan(load)), 500 * MS, 20_000 * MS).await;
    let all = total(&seen);
    assert_eq!(all.succeeded, 50, "{:?}", all.failed);
    assert_eq!((server.most_at_once(), all.in_flight, server.connections()), (2, 2, 2));
    // Two end every 50 ms. The last pair ends at 25 * 50 ms; its second request was due at 490 ms. Each may take one clock
    // step more.
    let most = all.latency.max().unwrap();
    assert!((759_000.0..=760_000.0 + 26.0 * STEP_US).contains(&most), "{most}");

    // Three are observed for three times their timeout. The others wait for one of their places until they time out.
    let load = json!({"http": {"path": "/never"}, "rate": "100/s", "max_in_flight": 3, "timeout": "150ms"});
    let mut load = CompiledLoad::new(&plan(load)).unwrap().observing_for(3.0);
    load.target.wire = Some(Wire::to(&server));
    let engine = Engine::compiled(vec![load], 0);
    let all = total(&send_paused(engine, 100 * MS, 20_000 * MS).await);
    assert_eq!(all.failed, [(Failure::Timeout, 3), (Failure::NotSentLimit, 7)].into());
}

/// The service takes 50 ms for every request. Those that waited for their turn have less than that left, which is not its
/// timeout.
#[tokio::test(start_paused = true)]
async fn a_timeout_after_a_wait_at_the_limit_is_not_the_service_s() {
    let load = json!({"http": {"path": "/slow/50"}, "rate": "100/s", "max_in_flight": 2, "timeout": "280ms"});
    let seen = send_paused(wired(&server::in_memory(), &plan(load)), 1000 * MS, 20_000 * MS).await;
    let all = total(&seen);
    let count = |failure| all.failed.get(&failure).copied().unwrap_or_default();
    assert_eq!(count(Failure::Timeout), 0, "{:?}", all.failed);
    let of_the_wait = count(Failure::TimeoutAfterWait) + count(Failure::NotSentLimit);
    assert!(count(Failure::TimeoutAfterWait) > 5 && of_the_wait == all.requests() - all.succeeded, "{:?}", all.failed);
    let turn = seen.timings().turn;
    assert!(turn.len() > 20 && turn.max().unwrap() > 200_000.0, "{}", turn.len());
    // Without a limit that is reached, nothing waits and the timeout is the service's.
    let load = json!({"http": {"path": "/slow/50"}, "rate": "100/s", "timeout": "40ms"});
    let seen = send_paused(wired(&server::in_memory(), &plan(load)), 500 * MS, 20_000 * MS).await;
    assert_eq!((total(&seen).failed, seen.timings().turn.len()), ([(Failure::Timeout, 50)].into(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_keeps_one_request_per_worker_under_way() {
    for workers in [1_u64, 5, 40] {
        let server = server::in_memory();
        let load = json!({"http": {"path": "/slow/20"}, "concurrency": workers});
        let seen = send_paused(wired(&server, &plan(load)), 200 * MS, 20_000 * MS).await;
        let total = total(&seen);
        assert_eq!(total.succeeded, total.requests(), "{:?}", total.failed);
        // Each takes 20 ms, and at most two clock steps more.
        assert!((workers * 9..=workers * 11).contains(&total.succeeded), "{workers}: {}", total.succeeded);
        assert_eq!((total.in_flight, server.most_at_once(), server.connections()), (workers, workers, workers));
        assert!(total.latency.min().unwrap() >= 19_900.0, "{:?}", total.latency.min());
    }
}

#[tokio::test(start_paused = true)]
async fn reports_the_moment_before_which_all_requests_have_ended() {
    let server = server::in_memory();
    let load = json!({"http": {"path": "/slow/200"}, "rate": "50/s"});
    let watch = async |engine: &mut Engine, _: &Marks| {
        let zero = Instant::now();
        let mut answered = Duration::ZERO;
        while answered < 300 * MS {
            sleep(5 * MS).await;
            answered = Duration::from_nanos(engine.answered_ns());
            // The last request before that moment was due at most 20 ms earlier and took 200 ms.
            assert!(
                answered.is_zero() || answered + 180 * MS <= zero.elapsed(),
                "{answered:?} at {:?}",
                zero.elapsed()
            );
            assert!(zero.elapsed() < 1_000 * MS, "{answered:?} after a second");
        }
    };
    paused(wired(&server, &plan(load)), watch, Duration::ZERO).await;
}

#[tokio::test]
async fn a_connection_that_died_while_idle_is_not_a_failure() {
    let server = server::start();
    let load = json!({"http": {"path": "/close-when-idle"}, "rate": "400/s"});
    let seen = send(planned(&server, load), 300 * MS, 20_000 * MS).await;
    let total = total(&seen);
    // A request that was written to a dying connection is not sent again, because the server may have processed it.
    let of = |failure| total.failed.get(&failure).copied().unwrap_or(0);
    let reset = of(Failure::Reset) + of(Failure::Closed);
    assert_eq!(total.succeeded + reset, due(400, end_ns(&seen)), "{:?}", total.failed);
    assert!(total.succeeded >= total.requests() * 3 / 4, "{:?}", total.failed);
    assert!(server.count() <= total.requests());
}

#[tokio::test(start_paused = true)]
async fn requests_belong_to_the_segment_in_which_they_were_due() {
    let server = server::in_memory();
    let load = json!({"http": {"path": "/slow/150"}, "rate": "200/s"});
    let phases = async |_: &mut Engine, marks: &Marks| {
        let zero = Instant::now();
        for (phase, part) in [(1, PhasePart::Injecting), (1, PhasePart::Judged), (2, PhasePart::Judged)] {
            sleep(103 * MS).await;
            marks.begin_now(phase, part, || zero.elapsed().as_nanos() as u64);
        }
        sleep(50 * MS).await;
    };
    let seen = paused(wired(&server, &plan(load)), phases, 5_000 * MS).await;
    let bounds = [0, 103, 206, 309, 359].map(|ms| ms * 1_000_000);
    assert_eq!(seen.segments.len(), 4);
    for (segment, bounds) in seen.segments.iter().zip(bounds.windows(2)) {
        assert_eq!((segment.mark.at_ns, segment.end_ns), (bounds[0], bounds[1]));
        let wanted = due(200, bounds[1]) - due(200, bounds[0]);
        assert_eq!(segment.cells.iter().map(Cell::requests).sum::<u64>(), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn measures_the_full_length_of_a_stall() {
    let server = server::in_memory();
    let load = json!({"http": {"path": "/"}, "rate": "400/s"});
    let stalls = async |engine: &mut Engine, _: &Marks| {
        sleep(700 * MS).await;
        server.freeze(true);
        sleep(500 * MS).await;
        server.freeze(false);
        sleep(800 * MS).await;
        let live = engine.live().remove(0);
        assert!(live.ended > 0 && live.p99_ms.unwrap() > 450.0, "{:?}", live.p99_ms);
    };
    let seen = paused(wired(&server, &plan(load)), stalls, 5_000 * MS).await;
    let total = total(&seen);
    assert_eq!(total.succeeded, 800, "{:?}", total.failed);
    // A request that is due at t within the stall waits for the rest of it. A quarter of all requests are due in the stall:
    // the fastest of the slowest 1 - q waits 500 ms - (1 - q) * 2 s.
    for (quantile, wanted) in [(0.8, 100.0), (0.9, 300.0), (0.99, 480.0)] {
        let got = total.latency.quantile(quantile).unwrap() / 1e3;
        assert!((got - wanted).abs() < 10.0, "p{quantile}: {got} ms instead of {wanted} ms");
    }
    assert!(total.latency.quantile(0.5).unwrap() < STEP_US, "the stall is made longer than it was");
    let most = total.latency.max().unwrap();
    assert!((495_000.0..=500_000.0 + 2.0 * STEP_US).contains(&most), "{most}");
}

#[tokio::test]
async fn several_threads_share_a_schedule() {
    let server = server::start();
    let load = json!({"http": {"path": "/"}, "rate": "4500/s"});
    let seen = send(planned(&server, load), 300 * MS, 20_000 * MS).await;
    let total = total(&seen);
    assert_eq!(total.succeeded, due(4500, end_ns(&seen)), "{:?}", total.failed);
    assert_eq!(seen.timings().lateness.len(), total.requests());
    assert_eq!(server.count(), total.requests());
}

#[tokio::test]
async fn a_dropped_engine_stops() {
    let server = server::start();
    let mut engine = Engine::new(&[planned(&server, http("/"))]).unwrap();
    assert!(engine.live().is_empty());
    assert!(engine.finish(Duration::ZERO).await.is_err());
    engine.start(std::time::Instant::now() + Duration::from_secs(3600), Arc::default()).await.unwrap();
    let running = engine.finish(Duration::ZERO).await.unwrap();
    assert_eq!(total(&running[0]).requests(), 0);
}
