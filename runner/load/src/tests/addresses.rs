//! A service with several addresses: each has its share of the connections and requests.

use std::collections::BTreeMap;

use super::*;
use crate::names::Resolver;
use crate::target::Target;

/// Servers on `count` addresses of loopback, on the same port.
fn servers(count: u8) -> (Vec<HttpServer>, Vec<SocketAddr>) {
    let servers: Vec<HttpServer> = (0..count).map(|_| server::start()).collect();
    let addresses = servers.iter().map(HttpServer::address).collect();
    (servers, addresses)
}

async fn send_target(target: Target, duration: Duration, during: impl FnOnce()) -> LoadObservations {
    let mut engine = Engine::of(vec![target]);
    let marks = Arc::new(Marks::default());
    marks.begin(Mark { at_ns: 0, phase: 0, part: PhasePart::Judged });
    engine.start(std::time::Instant::now(), marks).await.unwrap();
    sleep(duration).await;
    during();
    sleep(duration).await;
    engine.finish(5_000 * MS).await.unwrap().remove(0)
}

#[tokio::test]
async fn the_connections_to_a_name_are_spread_over_its_addresses() {
    for connections in ["keep_alive", "per_request"] {
        let (servers, addresses) = servers(3);
        let load = json!({"http": {}, "concurrency": 12, "think_time": "2ms", "connections": connections});
        let mut target = Target::new(&planned_at(addresses[0], load)).unwrap();
        target.addresses = Addresses::default();
        let found = addresses.clone();
        target.resolver = Resolver::Test(Arc::new(move || Ok(found.clone())));
        let seen = send_target(target, 200 * MS, || {}).await;
        let all: u64 = servers.iter().map(|it| it.count()).sum();
        for (server, address) in servers.iter().zip(&addresses) {
            let share = server.count() as f64 / all as f64;
            assert!((0.2..0.5).contains(&share), "{connections}: {share} of {all}");
            let (made, sent) = seen.addresses[address];
            assert!(made == server.connections() && sent == server.count(), "{connections}: {made} {sent}");
        }
    }
}

#[tokio::test]
async fn a_removed_address_takes_no_further_request() {
    let (servers, addresses) = servers(3);
    let load = json!({"http": {}, "rate": "300/s"});
    let mut target = Target::new(&planned_at(addresses[0], load)).unwrap();
    let followed = Addresses::new(&addresses[..2]);
    (target.addresses, target.is_followed) = (followed.clone(), true);
    let mut before = BTreeMap::new();
    let seen = send_target(target, 300 * MS, || {
        followed.set(&addresses[1..]);
        before.extend(servers.iter().map(|it| (it.address(), it.count())));
    })
    .await;
    assert_eq!(total(&seen).failed, Default::default());
    let since: Vec<u64> = servers.iter().map(|it| it.count() - before[&it.address()]).collect();
    // At most those under way when the list changed. Free connections to the second are reused, so its share is the larger one.
    assert!(since[0] <= 3 && since[1] > 15 && since[2] > 0, "{since:?}");
    assert!(before[&addresses[0]] > 15 && before[&addresses[2]] == 0, "{before:?}");
}

#[tokio::test]
async fn a_service_without_any_ready_endpoint_refuses() {
    let (_servers, addresses) = servers(1);
    let mut target = Target::new(&planned_at(addresses[0], json!({"http": {}, "rate": "100/s"}))).unwrap();
    (target.addresses, target.is_followed) = (Addresses::default(), true);
    let seen = send_target(target, 30 * MS, || {}).await;
    let (kind, it) = seen.segments[0].samples.iter().next().unwrap();
    assert_eq!((kind, it.cause.as_str()), (Failure::Refused, "the service has no ready endpoint"));
    assert_eq!(total(&seen).succeeded, 0);
}
