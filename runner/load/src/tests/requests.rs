//! The sent requests: each with its own data, exactly once, however the load is divided.

use shakedown_fakes::Request;

use super::*;

/// A load with its file, sent until the server has received some requests.
async fn sent(load: serde_json::Value, files: Files) -> (Vec<Request>, LoadObservations, MemoryServer) {
    let server = server::in_memory();
    let mut planned = plan(load);
    planned.files = files;
    let seen = send_paused(wired(&server, &planned), 100 * MS, 20_000 * MS).await;
    (server.requests(), seen, server)
}

#[tokio::test(start_paused = true)]
async fn every_number_is_sent_once_with_its_row() {
    let load = json!({
        "http": {"path": "/{{ n }}", "method": "POST", "body": "{{ row.name }} {{ uuid }}", "headers": {"x-id": "{{ uuid }}"}},
        "feeder": {"file": "rows.csv"},
        "rate": "300/s",
    });
    let (seen, observed, _server) = sent(load, Files::of([("rows.csv", b"name\nann\nbob\n")])).await;
    assert_eq!(total(&observed).succeeded, seen.len() as u64, "{:?}", total(&observed).failed);
    let mut numbers: Vec<u64> = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for it in &seen {
        let number: u64 = it.line.trim_start_matches("POST /").split(' ').next().unwrap().parse().unwrap();
        let body = it.text();
        let (name, id) = body.split_once(' ').unwrap();
        assert_eq!(name, ["ann", "bob"][number as usize % 2]);
        assert!(it.header("x-id") == Some(id), "{it:?}");
        numbers.push(number);
        ids.insert(id.to_owned());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..seen.len() as u64).collect::<Vec<_>>());
    assert_eq!(ids.len(), seen.len());
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_numbers_its_requests() {
    let load = json!({"http": {"path": "/slow/10?{{ n }}"}, "concurrency": 40});
    let (seen, ..) = sent(load, Files::default()).await;
    let numbers: std::collections::BTreeSet<&str> = seen.iter().map(|it| it.line.as_str()).collect();
    assert!(numbers.len() == seen.len() && seen.len() >= 40, "{} of {}", numbers.len(), seen.len());
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_sends_the_same_requests() {
    let load = |seed| async move {
        let server = server::in_memory();
        let http = json!({"requests": [
            {"name": "a", "path": "/a/{{ n }}", "headers": {"x-id": "{{ uuid }}"}},
            {"name": "b", "path": "/b/{{ n }}"},
        ]});
        let mut planned = plan(json!({"http": http, "rate": "200/s"}));
        planned.seed = seed;
        send_paused(wired(&server, &planned), 100 * MS, 20_000 * MS).await;
        server.requests()
    };
    let (first, again, other) = tokio::join!(load(7), load(7), load(8));
    assert_eq!(first, again);
    assert!(first != other && first.len() == 20);
    assert!(["GET /a", "GET /b"].iter().all(|line| first.iter().any(|it| it.line.starts_with(line))));
}

#[tokio::test(start_paused = true)]
async fn each_request_can_have_its_own_connection() {
    for pace in [json!({"rate": "300/s"}), json!({"concurrency": 3})] {
        // Each answer takes some time. Otherwise a closed loop on paused time would send without end.
        let mut load = json!({"http": {"path": "/slow/10"}, "connections": "per_request"});
        load.as_object_mut().unwrap().extend(pace.as_object().unwrap().clone());
        let (seen, observed, server) = sent(load, Files::default()).await;
        let total = total(&observed);
        assert_eq!((total.succeeded, total.requests()), (seen.len() as u64, seen.len() as u64), "{:?}", total.failed);
        assert_eq!(server.connections(), total.succeeded);
        assert!(seen.iter().all(|it| it.header("connection") == Some("close")));
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_has_its_own_check() {
    let load = json!({
        "http": {"check": {"contains": "hello"}, "requests": [
            {"name": "good"},
            {"name": "bad", "check": {"contains": "bye", "headers": {"content-length": {"equals": "5"}}}},
        ]},
        "rate": "300/s",
    });
    let (seen, observed, _server) = sent(load, Files::default()).await;
    let total = total(&observed);
    assert!(total.succeeded > 0 && total.failed.keys().eq([&Failure::Check]), "{:?}", total.failed);
    let failed = total.failed[&Failure::Check];
    let counts = [("good".to_owned(), (total.succeeded, 0)), ("bad".to_owned(), (0, failed))];
    assert_eq!(observed.requests, counts);
    assert_eq!(total.requests(), seen.len() as u64);
}

/// The addresses of a name may change, fail and return: the name is looked up again while the load continues.
#[tokio::test]
async fn follows_changing_and_failing_lookups() {
    let servers = [server::start(), server::start()];
    let addresses = servers.each_ref().map(HttpServer::address);
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let load = json!({"http": {}, "connections": "per_request", "rate": "100/s"});
    let mut planned = planned(&servers[0], load);
    planned.endpoint.addresses.clear();
    let mut target = target::Target::new(&planned).unwrap();
    target.resolver =
        names::Resolver::Test(Arc::new(move || match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Ok(vec![addresses[0]]),
            1 => Err(std::io::Error::other("no such name")),
            _ => Ok(vec![addresses[1]]),
        }));
    let mut engine = Engine::of(vec![target]);
    let marks = Arc::new(Marks::default());
    marks.begin(Mark { at_ns: 0, phase: 0, part: PhasePart::Judged });
    engine.start(std::time::Instant::now(), marks).await.unwrap();
    while servers[1].count() < 5 {
        tokio::time::sleep(5 * MS).await;
    }
    let total = total(&engine.finish(20_000 * MS).await.unwrap().remove(0));
    assert!(servers[0].count() > 0);
    assert_eq!(total.failed.keys().collect::<Vec<_>>(), [&Failure::Dns], "{:?}", total.failed);
    assert_eq!(total.succeeded, servers[0].count() + servers[1].count());
}
