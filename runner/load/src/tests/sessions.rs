//! Users with several steps: a shop in which an order needs the token of its own user's login.

use shakedown_fakes::{Answer, Request};
use shakedown_observe::{LoadPart, Sample};

use super::*;

/// The token of a user.
fn token(user: &str) -> String {
    format!("tok-{user}-0123456789abcdef")
}

/// Accepts every login, and takes orders with the token of the user who orders.
fn shop(request: &Request) -> Answer {
    let user = request.header("x-user").unwrap_or_default().to_owned();
    match (request.method(), request.target().split('?').next().unwrap_or_default()) {
        ("POST", "/login") => {
            let body = json!({"access_token": token(&user), "user": {"id": 7}}).to_string();
            let answer = Answer::with_headers(200, &[("set-cookie", &format!("sid=s{user}; Path=/"))], body);
            Answer::nothing().pause(20 * MS).after(answer)
        }
        ("POST", "/orders") => {
            let is_known = request.header("authorization") == Some(&format!("Bearer {}", token(&user)))
                && request.header("cookie") == Some(&format!("sid=s{user}"))
                && request.text() == r#"{"user": 7}"#;
            let answer = match is_known {
                true => Answer::with_headers(201, &[("location", &format!("/orders/{user}"))], "ordered"),
                false => Answer::new(401, "who are you?"),
            };
            Answer::nothing().pause(50 * MS).after(answer)
        }
        ("GET", path) if path == format!("/orders/{user}") => Answer::new(200, "on its way"),
        _ => Answer::new(404, "no such page"),
    }
}

/// Logs in, orders, and looks at the order. `more` is added to the load.
fn load(more: serde_json::Value) -> serde_json::Value {
    let mut load = json!({"http": {"headers": {"x-user": "{{ n }}"}, "steps": [
        {"name": "login", "method": "POST", "path": "/login", "capture": {
            "token": {"json": "$.access_token"}, "user": {"json": "$.user.id"}, "sid": {"cookie": "sid"},
        }},
        {"name": "order", "method": "POST", "path": "/orders", "body": "{\"user\": {{ capture.user | tojson }}}",
         "headers": {"Authorization": "Bearer {{ capture.token }}", "Cookie": "sid={{ capture.sid }}"},
         "check": {"status": [201]}, "capture": {"place": {"header": "Location"}}},
        {"name": "look", "path": "{{ capture.place }}", "check": {"contains": "on its way"}},
    ]}});
    load.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    load
}

async fn sent(server: &MemoryServer, load: serde_json::Value) -> LoadObservations {
    send_paused(wired(server, &plan(load)), 1_000 * MS, 20_000 * MS).await
}

/// The requests of each part.
fn parts(seen: &LoadObservations) -> std::collections::BTreeMap<LoadPart, Cell> {
    let mut sum = std::collections::BTreeMap::new();
    for (part, cell) in seen.segments.iter().flat_map(|segment| &segment.parts) {
        sum.entry(part.clone()).or_insert_with(Cell::default).merge(cell);
    }
    sum
}

fn step(seen: &LoadObservations, name: &str) -> Cell {
    parts(seen).remove(&LoadPart::Step(name.to_owned())).unwrap_or_default()
}

fn samples(seen: &LoadObservations) -> Vec<(Failure, Sample)> {
    seen.segments.iter().flat_map(|it| it.samples.iter()).map(|(kind, sample)| (kind, sample.clone())).collect()
}

fn median_ms(cell: &Cell) -> f64 {
    cell.latency.quantile(0.5).unwrap() / 1e3
}

#[tokio::test(start_paused = true)]
async fn each_iteration_sends_all_steps_with_its_own_values() {
    for (pace, users) in [
        (json!({"rate": "40/s"}), 40..=40),
        (json!({"rate": "40/s", "connections": "per_request"}), 40..=40),
        (json!({"rate": "40/s", "max_in_flight": 3}), 40..=40),
        // Each worker takes 70 ms for one iteration.
        (json!({"concurrency": 8}), 104..=120),
        (json!({"concurrency": 2, "think_time": "30ms"}), 18..=22),
    ] {
        let server = MemoryServer::new(shop);
        let seen = sent(&server, load(pace.clone())).await;
        let total = total(&seen);
        assert_eq!(total.succeeded, total.requests(), "{pace}: {:?} {:?}", total.failed, samples(&seen));
        assert!(users.contains(&total.succeeded), "{pace}: {}", total.succeeded);
        assert_eq!(server.count(), 3 * total.succeeded, "{pace}");
        let names: Vec<_> = seen.requests.iter().map(|(name, counts)| (name.as_str(), *counts)).collect();
        assert_eq!(names, ["login", "order", "look"].map(|name| (name, (total.succeeded, 0))));
        for name in ["login", "order", "look"] {
            assert_eq!(step(&seen, name).succeeded, total.succeeded, "{pace}: {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_and_the_whole_iteration_are_measured() {
    let server = MemoryServer::new(shop);
    let seen = sent(&server, load(json!({"rate": "20/s"}))).await;
    let (login, order) = (median_ms(&step(&seen, "login")), median_ms(&step(&seen, "order")));
    // The first step waits for its connection.
    assert!((19.0..25.0).contains(&login) && (49.0..55.0).contains(&order), "{login} {order}");
    assert!((70.0..78.0).contains(&median_ms(&total(&seen))), "from due to the end of the last step");
    let timings = seen.timings();
    assert_eq!(timings.lateness.len(), 20, "one for each iteration");
    assert!(timings.service.quantile(0.5).unwrap() >= 68_000.0, "from the first step's request");
}

#[tokio::test(start_paused = true)]
async fn the_step_that_fails_ends_its_iteration() {
    // Every third login fails, and every third order.
    let server = MemoryServer::new(|request: &Request| {
        let user: u64 = request.header("x-user").unwrap_or_default().parse().unwrap_or_default();
        match (request.target(), user % 3) {
            ("/login", 0) => Answer::new(503, "closed"),
            ("/orders", 1) => Answer::new(200, "not yet"),
            _ => shop(request),
        }
    });
    let seen = sent(&server, load(json!({"rate": "30/s"}))).await;
    let total = total(&seen);
    assert_eq!(total.succeeded, 10);
    assert_eq!(total.failed, [(Failure::Status(503), 10), (Failure::Status(200), 10)].into());
    assert_eq!((step(&seen, "login").requests(), step(&seen, "order").requests()), (30, 20));
    assert_eq!((step(&seen, "order").succeeded, step(&seen, "look").requests()), (10, 10));
    assert_eq!(step(&seen, "order").failed, [(Failure::Status(200), 10)].into());
    let steps: Vec<_> = samples(&seen).into_iter().map(|(kind, it)| (kind, it.request)).collect();
    assert!(steps.contains(&(Failure::Status(503), "login".to_owned())), "{steps:?}");
    assert!(steps.contains(&(Failure::Status(200), "order".to_owned())), "{steps:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_token_the_order_is_refused() {
    let server = MemoryServer::new(shop);
    let mut load = load(json!({"rate": "20/s"}));
    load["http"]["steps"][1]["headers"].as_object_mut().unwrap().remove("Authorization");
    let seen = sent(&server, load).await;
    assert_eq!(total(&seen).failed, [(Failure::Status(401), 20)].into());
    assert_eq!(step(&seen, "login").succeeded, 20);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_missing_is_a_failed_check() {
    let server = MemoryServer::new(|_| Answer::new(200, r#"{"other": 1}"#));
    let seen = sent(&server, load(json!({"rate": "20/s"}))).await;
    assert_eq!(total(&seen).failed, [(Failure::Check, 20)].into());
    let (_, sample) = samples(&seen).remove(0);
    assert_eq!(sample.request, "login");
    assert!(
        sample.cause.starts_with("`capture.sid`: expected a value in the cookie `sid`, found no such cookie"),
        "{}",
        sample.cause
    );
    let mut load = load(json!({"rate": "20/s"}));
    load["http"]["steps"][0]["capture"].as_object_mut().unwrap().remove("sid");
    load["http"]["steps"][1]["headers"].as_object_mut().unwrap().remove("Cookie");
    let seen = sent(&server, load).await;
    let (_, sample) = samples(&seen).remove(0);
    let expected = "`capture.token`: expected a value at `$.access_token`, found nothing there";
    assert!(sample.cause.starts_with(expected), "{}", sample.cause);
    assert_eq!(server.count(), 40, "no order is sent");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_is_that_of_the_whole_iteration() {
    let server = MemoryServer::new(shop);
    let seen = sent(&server, load(json!({"rate": "20/s", "timeout": "60ms"}))).await;
    let total = total(&seen);
    assert_eq!(total.failed, [(Failure::Timeout, 20)].into());
    assert!((59.0..62.0).contains(&median_ms(&total)), "{}", median_ms(&total));
    let order = step(&seen, "order");
    assert_eq!((order.failed.clone(), step(&seen, "login").succeeded), ([(Failure::Timeout, 20)].into(), 20));
    assert!((35.0..41.0).contains(&median_ms(&order)), "from the end of the login: {}", median_ms(&order));
}

#[tokio::test(start_paused = true)]
async fn reports_do_not_show_captured_credentials() {
    // The order's answer repeats the credentials of its user.
    let server = MemoryServer::new(|request: &Request| match request.target() {
        "/orders" => {
            let seen = request.header("authorization").unwrap_or_default();
            Answer::with_headers(
                500,
                &[("x-error", seen)],
                format!("bad {seen} of 7, {}", request.header("cookie").unwrap_or_default()),
            )
        }
        _ => shop(request),
    });
    let seen = sent(&server, load(json!({"rate": "20/s"}))).await;
    let (kind, sample) = samples(&seen).remove(0);
    assert_eq!((kind, sample.status), (Failure::Status(500), Some(500)));
    let text = format!("{} {} {:?}", String::from_utf8_lossy(&sample.body), sample.cause, sample.headers);
    assert!(text.contains("bad Bearer [redacted] of 7"), "{text}");
    assert!(!text.contains("0123456789abcdef") && text.contains("sid=s0"), "a short value is no secret: {text}");
    // The login's answer has a credential that is not captured, because the answer fails before that.
    let mut load = load(json!({"rate": "20/s"}));
    load["http"]["steps"][0]["check"] = json!({"json": [{"path": "$.access_token", "equals": "x"}]});
    let seen = sent(&server, load).await;
    let (_, sample) = samples(&seen).remove(0);
    let text = format!("{} {} {:?}", String::from_utf8_lossy(&sample.body), sample.cause, sample.headers);
    assert!(!text.contains("0123456789abcdef") && text.contains("the answer is omitted"), "{text}");
    // Nothing but the value itself shows that it is one.
    let server = MemoryServer::new(|_| {
        Answer::with_headers(200, &[("etag", "9f86d081884c7d659")], r#"{"id": "e3b0c44298fc1c149"}"#)
    });
    let steps = json!({"http": {"steps": [
        {"name": "find", "check": {"contains": "ready"}, "capture": {"place": {"json": "$.id"}, "version": {"header": "ETag"}}},
        {"name": "show", "path": "/{{ capture.place }}?{{ capture.version }}"},
    ]}, "rate": "20/s"});
    let seen = sent(&server, steps).await;
    let (kind, sample) = samples(&seen).remove(0);
    let text = format!("{} {} {:?}", String::from_utf8_lossy(&sample.body), sample.cause, sample.headers);
    assert_eq!(kind, Failure::Check);
    assert!(!text.contains("e3b0c442") && !text.contains("9f86d081"), "{text}");
    assert!(text.contains("the answer is omitted"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_a_path_cannot_contain_is_a_failed_check() {
    let steps = |path: &str| {
        json!({"http": {"steps": [
            {"name": "find", "capture": {"name": {"json": "$.name"}}}, {"name": "show", "path": path},
        ]}, "rate": "20/s"})
    };
    let server = MemoryServer::new(|_| Answer::new(200, "{\"name\": \"green tea\\n\"}"));
    let seen = sent(&server, steps("/{{ capture.name }}")).await;
    assert_eq!(total(&seen).failed, [(Failure::Check, 20)].into());
    assert!(samples(&seen)[0].1.cause.contains("use `| urlencode`"));
    let seen = sent(&server, steps("/{{ capture.name | urlencode }}")).await;
    assert_eq!(total(&seen).succeeded, 20);
    assert_eq!(server.requests().last().unwrap().target(), "/green%20tea%0A");
    // A value in place of the path must not continue the host.
    let server = MemoryServer::new(|_| Answer::new(200, "{\"name\": \".other.test/\"}"));
    let seen = sent(&server, steps("{{ capture.name }}")).await;
    assert_eq!((total(&seen).failed, server.count()), ([(Failure::Check, 20)].into(), 20));
}

/// The third user waits until the first has ended, and its order hangs. Only the wait for the turn is the load's, whatever
/// the time that its login took.
#[tokio::test(start_paused = true)]
async fn a_slow_step_is_no_wait_at_the_limit() {
    // The durations of the logins of the first users and of the third, and the timeout.
    for (first_ms, third_ms, timeout, expected, turn_ms) in [
        (210_u32, 300_u32, "1s", Failure::Timeout, 9.0..25.0),
        (290, 10, "500ms", Failure::TimeoutAfterWait, 89.0..105.0),
    ] {
        let server = MemoryServer::new(move |request: &Request| {
            let is_third = request.header("x-user") == Some("2");
            match request.target() {
                "/login" => {
                    let body = json!({"access_token": token("x"), "user": {"id": 7}}).to_string();
                    let answer = Answer::with_headers(200, &[("set-cookie", "sid=sx; Path=/")], body);
                    Answer::nothing().pause(if is_third { third_ms } else { first_ms } * MS).after(answer)
                }
                "/orders" if is_third => Answer::nothing().then(shakedown_fakes::Step::Hang),
                "/orders" => Answer::with_headers(201, &[("location", "/look")], "ordered"),
                _ => Answer::new(200, "on its way"),
            }
        });
        let limited = load(json!({"rate": "10/s", "max_in_flight": 2, "timeout": timeout}));
        let seen = send_paused(wired(&server, &plan(limited)), 250 * MS, 20_000 * MS).await;
        let total = total(&seen);
        assert_eq!((total.succeeded, total.failed), (2, [(expected, 1)].into()), "{:?}", samples(&seen));
        assert_eq!(step(&seen, "order").failed, [(expected, 1)].into());
        let turn = seen.timings().turn;
        assert_eq!(turn.len(), 1, "the time of the steps is no wait");
        assert!(turn_ms.contains(&(turn.max().unwrap() / 1e3)), "{:?}", turn.max());
    }
}

/// Iterations that are under way at the end of the load complete, and the others are counted once.
#[tokio::test(start_paused = true)]
async fn every_iteration_has_one_outcome() {
    let server = MemoryServer::new(|request: &Request| match request.target() {
        "/orders" => Answer::nothing().then(shakedown_fakes::Step::Hang),
        _ => shop(request),
    });
    let seen = send_paused(wired(&server, &plan(load(json!({"rate": "50/s"})))), 300 * MS, 100 * MS).await;
    let total = total(&seen);
    assert_eq!((seen.issued, total.requests()), (15, 15));
    assert_eq!(total.failed, [(Failure::Unfinished, 15)].into());
    assert_eq!((step(&seen, "login").succeeded, step(&seen, "order").failed[&Failure::Unfinished]), (15, 15));
}

/// Orders at a server that names the order's place by this URL, and looks at it. Returns the load, and where it looked.
async fn placed(base: &str, place: &'static str, path: &str) -> (LoadObservations, Vec<String>) {
    let looked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let server = MemoryServer::new({
        let looked = Arc::clone(&looked);
        move |request: &Request| match request.method() {
            "POST" => Answer::with_headers(201, &[("location", place)], json!({"place": place}).to_string()),
            _ => {
                looked.lock().unwrap().push(request.target().to_owned());
                Answer::new(200, "on its way")
            }
        }
    });
    let from = if path.contains("json") { json!({"json": "$.place"}) } else { json!({"header": "Location"}) };
    let mut planned = plan(json!({"rate": "20/s", "http": {"steps": [
        {"name": "order", "method": "POST", "path": "/orders", "check": {"status": [201]}, "capture": {"place": from, "json": from}},
        {"name": "look", "path": path},
    ]}}));
    planned.endpoint.base = base.to_owned();
    let seen = send_paused(wired(&server, &planned), 50 * MS, 20_000 * MS).await;
    let looked = looked.lock().unwrap().clone();
    (seen, looked)
}

/// A captured URL is followed as browsers and `curl --location` follow one, below the load's own host.
#[tokio::test(start_paused = true)]
async fn a_captured_url_of_the_same_origin_is_a_path() {
    let (plain, below) = ("http://server.test", "http://server.test/api/");
    for (base, place, path, wanted) in [
        (plain, "/orders/7", "{{ capture.place }}", "/orders/7"),
        (plain, "http://server.test/orders/7?a=b#top", "{{ capture.place }}", "/orders/7?a=b"),
        (plain, "HTTP://Server.Test:80/orders/7", "{{ capture.place }}", "/orders/7"),
        (plain, "//server.test/orders/7", "{{ capture.place }}", "/orders/7"),
        (plain, "http://server.test", "{{ capture.place }}", "/"),
        (plain, "http://server.test?a", "{{ capture.place }}", "/?a"),
        (plain, "http://server.test/orders/7", "{{ capture.place }}/items?all=1", "/orders/7/items?all=1"),
        // What a server names in `Location` begins at its root, also below a base path.
        (below, "/api/orders/7", "{{ capture.place }}", "/api/orders/7"),
        (below, "http://server.test/api/orders/7", "{{ capture.place }}", "/api/orders/7"),
        (below, "/orders/7", "/x{{ capture.place }}", "/api/x/orders/7"),
        // A text of the body is inserted as any other, unless it is a URL.
        (below, "/orders/7", "{{ capture.json }}", "/api/orders/7"),
        (below, "http://server.test/api/orders/7", "{{ capture.json }}", "/api/orders/7"),
    ] {
        let (seen, looked) = placed(base, place, path).await;
        assert_eq!(looked, [wanted], "{base} {place} {path}: {:?}", samples(&seen));
    }
}

#[tokio::test(start_paused = true)]
async fn a_captured_url_of_another_origin_fails_its_step() {
    for (place, cause) in [
        (
            "http://other.test/orders/7",
            "`http://other.test/orders/7` has another origin than the load (`http://server.test`)",
        ),
        ("http://server.test:81/orders/7", "has another origin than the load (`http://server.test`)"),
        ("https://server.test/orders/7", "has another origin than the load (`http://server.test`)"),
        ("http://server.test@other.test/", "has another origin than the load (`http://server.test`)"),
        ("//other.test/orders/7", "has another origin than the load (`http://server.test`)"),
        ("orders/7", "`orders/7` is not a path or a URL: write the beginning of the path before it"),
    ] {
        let (seen, looked) = placed("http://server.test", place, "{{ capture.place }}").await;
        assert!(looked.is_empty(), "{looked:?}");
        assert_eq!(total(&seen).failed, [(Failure::Check, 1)].into());
        assert!(samples(&seen)[0].1.cause.contains(cause), "{place}: {:?}", samples(&seen));
    }
}
