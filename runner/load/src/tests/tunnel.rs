//! Connections through a tunnel, such as a port-forward: what it costs and how it fails is not the service's.

use futures::future::{BoxFuture, FutureExt};

use super::*;

/// A tunnel that takes a while, and then connects or does not.
#[derive(Debug, Clone)]
struct Slow {
    takes: Duration,
    result: Result<SocketAddr, NoTunnel>,
}

impl Tunnel for Slow {
    fn open(&self) -> BoxFuture<'static, Result<std::net::TcpStream, NoTunnel>> {
        let Self { takes, result } = self.clone();
        async move {
            sleep(takes).await;
            result.map(|address| std::net::TcpStream::connect(address).unwrap())
        }
        .boxed()
    }
}

/// Sends a load through a tunnel.
async fn through(tunnel: Slow, load: serde_json::Value, duration: Duration) -> LoadObservations {
    let planned = planned_at(SocketAddr::from(([127, 0, 0, 1], 1)), load);
    let compiled = CompiledLoad::new(&planned).unwrap().through(Arc::new(tunnel));
    let mut engine = Engine::compiled(vec![compiled], 1);
    let marks = Arc::new(Marks::default());
    marks.begin(Mark { at_ns: 0, phase: 0, part: PhasePart::Judged });
    engine.start(std::time::Instant::now(), marks).await.unwrap();
    sleep(duration).await;
    let seen = engine.finish(20_000 * MS).await.unwrap().remove(0);
    assert_eq!(seen.issued, seen.requests(), "every request has an outcome");
    seen
}

#[tokio::test]
async fn the_time_to_open_it_is_no_latency_of_the_service() {
    let server = server::start();
    for pace in [json!({"rate": "40/s"}), json!({"concurrency": 2})] {
        let mut load = json!({"http": {"path": "/slow/20"}, "timeout": "20s"});
        load.as_object_mut().unwrap().extend(pace.as_object().unwrap().clone());
        let tunnel = Slow { takes: 1_500 * MS, result: Ok(server.address()) };
        let seen = through(tunnel, load, 1_900 * MS).await;
        let total = total(&seen);
        assert_eq!(total.succeeded, total.requests(), "{pace}: {:?}", total.failed);
        let highest_ms = total.latency.quantile(1.0).unwrap() / 1e3;
        assert!((20.0..900.0).contains(&highest_ms), "{pace}: {highest_ms}");
        let timings = seen.timings();
        assert!(timings.connect.quantile(0.0).unwrap() >= 1_490_000.0, "it is measured apart");
        assert!(
            timings.service.quantile(0.0).unwrap() >= 19_000.0 && timings.first_byte.quantile(1.0).unwrap() < 900_000.0
        );
    }
}

#[tokio::test]
async fn a_failure_after_a_tunnel_ends_when_it_really_ended() {
    let server = server::start();
    let load = json!({"http": {"path": "/status/503"}, "concurrency": 1, "timeout": "20s"});
    let seen = through(Slow { takes: 700 * MS, result: Ok(server.address()) }, load, 100 * MS).await;
    let (kind, sample) = seen.segments[0].samples.iter().next().unwrap();
    assert_eq!(kind, Failure::Status(503));
    // The fault that struck before this moment is the one that the request met.
    assert!(sample.end_ns - sample.due_ns >= 690_000_000, "{}", sample.end_ns);
    assert!(total(&seen).failed_after[&kind].max().unwrap() < 600_000.0, "its duration is the service's");
}

#[tokio::test]
async fn a_tunnel_that_fails_is_not_a_failure_of_the_service() {
    let failed = |no: NoTunnel| Slow { takes: Duration::ZERO, result: Err(no) };
    let words = || "could not reach the service through port-forward: 500".to_owned();
    for (tunnel, kind, cause) in [
        (
            failed(NoTunnel::Failed(words())),
            Failure::NotSentForward,
            "could not reach the service through port-forward",
        ),
        (failed(NoTunnel::Refused("no ready endpoint".to_owned())), Failure::Refused, "no ready endpoint"),
        // It is silent until the timeout.
        (
            Slow { takes: 3_600_000 * MS, result: Err(NoTunnel::Failed(String::new())) },
            Failure::NotSentForward,
            "no connection was made within the timeout: the port-forward is not open",
        ),
    ] {
        for pace in [json!({"rate": "40/s"}), json!({"concurrency": 2})] {
            // A machine that stalls must not make a tunnel that answers look silent.
            let timeout = if tunnel.takes.is_zero() { "20s" } else { "100ms" };
            let mut load = json!({"http": {}, "timeout": timeout});
            load.as_object_mut().unwrap().extend(pace.as_object().unwrap().clone());
            let seen = through(tunnel.clone(), load, 300 * MS).await;
            let total = total(&seen);
            assert!(total.failed.keys().eq([&kind]) && total.succeeded == 0, "{pace}: {:?}", total.failed);
            let (_, sample) = seen.segments[0].samples.iter().next().unwrap();
            assert!(sample.cause.contains(cause), "{}", sample.cause);
            // A worker does not try again without a pause.
            assert!(total.requests() < 150, "{}", total.requests());
        }
    }
}
