//! The shop runs: services, cache and database over links that can be cut, and real clients of both.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::net::Net;
use crate::net::tests::{Cuts, address};
use crate::program::Program;
use crate::topology::Topology;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// The built-in shop with one pod of each workload, on links that can be cut.
struct Town {
    cuts: Cuts,
    addresses: BTreeMap<String, IpAddr>,
    written: Arc<Mutex<Vec<String>>>,
    _pods: JoinSet<std::io::Result<()>>,
}

impl Town {
    async fn shop() -> Self {
        let topology = Topology::built_in("shop").unwrap();
        let cuts = Cuts::default();
        let addresses: BTreeMap<String, IpAddr> =
            topology.workloads.iter().map(|workload| (workload.name.clone(), address())).collect();
        let (mut pods, written) = (JoinSet::new(), Arc::<Mutex<Vec<String>>>::default());
        for workload in topology.workloads {
            let names = addresses.clone();
            let resolver = move |host: &str, port: u16, _: &str| names.get(host).map(|ip| vec![(*ip, port).into()]);
            let net = cuts.links.pod(addresses[&workload.name], "shop", Arc::new(resolver));
            let (written, name) = (Arc::clone(&written), workload.name);
            let print = move |line: String| written.lock().unwrap().push(format!("{name}: {line}"));
            pods.spawn(workload.program.run(net, print, CancellationToken::new()));
        }
        let town = Self { cuts, addresses, written, _pods: pods };
        town.until("checkout answers", async || town.get("checkout", "/").await.is_some_and(|(code, _)| code == 200))
            .await;
        town
    }

    /// The status and the body of an answer; `None` without one.
    async fn get(&self, service: &str, path: &str) -> Option<(StatusCode, Value)> {
        let host = self.addresses[service].to_string();
        let asked = async {
            let mut stream = Net::host().connect(&host, 8080).await.ok()?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            let code = head.get(9..12)?.parse().ok()?;
            Some((StatusCode::from_u16(code).ok()?, serde_json::from_str(body).ok()?))
        };
        timeout(LIMIT, asked).await.expect("no answer")
    }

    async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        while !condition().await {
            assert!(start.elapsed() < LIMIT, "still not true: {what}; {:?}", self.written.lock().unwrap());
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn cut(&self, one: &str, other: &str) {
        self.cuts.cut(self.addresses[one], self.addresses[other]);
    }

    fn wrote(&self, part: &str) -> bool {
        self.written.lock().unwrap().iter().any(|line| line.contains(part))
    }
}

#[tokio::test]
async fn checkout_asks_the_cache_before_the_database_and_then_payments() {
    let town = Town::shop().await;
    town.until("the prices are in the cache", async || {
        let (code, said) = town.get("checkout", "/buy").await.unwrap();
        assert_eq!((code, &said["calls"][1]), (StatusCode::OK, &json!({"payments:8080": 200})));
        said["calls"][0] == json!({"redis:6379": "hit"})
    })
    .await;
    town.until("they are there for a second only", async || {
        let (_, said) = town.get("checkout", "/buy").await.unwrap();
        said["calls"][0]["redis:6379"]["miss"] == json!([{"postgres:5432": 2}])
    })
    .await;
}

#[tokio::test]
async fn payments_without_its_database_fails_is_not_ready_and_comes_back() {
    let town = Town::shop().await;
    assert_eq!(town.get("payments", "/ready").await.unwrap().0, StatusCode::OK);
    town.cut("payments", "postgres");
    let (code, said) = town.get("payments", "/pay").await.unwrap();
    assert_eq!((code, &said["dependency"]), (StatusCode::GATEWAY_TIMEOUT, &json!("postgres:5432")), "{said}");
    assert_eq!(town.get("payments", "/ready").await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(town.get("payments", "/health").await.unwrap().0, StatusCode::OK, "it runs");
    let (code, said) = town.get("checkout", "/buy").await.unwrap();
    assert_eq!((code, &said["dependency"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("payments:8080")), "{said}");
    assert!(town.wrote("payments: WARN a call to postgres:5432 failed: no answer within 500 ms"));
    town.cuts.heal();
    assert_eq!(town.get("checkout", "/buy").await.unwrap().0, StatusCode::OK);
    assert!(town.wrote("payments: INFO calls to postgres:5432 succeed again"));
}

#[tokio::test]
async fn a_shop_without_its_cache_is_slower_and_no_worse() {
    let town = Town::shop().await;
    town.cut("checkout", "redis");
    let begun = Instant::now();
    let (code, said) = town.get("checkout", "/buy").await.unwrap();
    assert_eq!(code, StatusCode::OK, "{said}");
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    assert_eq!(said["calls"][0]["redis:6379"]["error"], "no answer within 250 ms");
}

/// Runs a program on a free port of this machine, and a client of it that is given this port.
async fn with_client(program: impl FnOnce(u16) -> Program, client: &[&str], input: &str) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let server = tokio::spawn(program(port).run(Net::host(), drop, stop.clone()));
    let start = Instant::now();
    while Net::host().connect("127.0.0.1", port).await.is_err() {
        assert!(start.elapsed() < LIMIT, "it does not listen");
        sleep(Duration::from_millis(5)).await;
    }
    let mut command = tokio::process::Command::new(client[0]);
    command.args(&client[1..]).args(["-h", "127.0.0.1", "-p", &port.to_string()]).kill_on_drop(true);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap_or_else(|error| {
        panic!("this test needs `{}` (Debian: apt-get install redis-tools postgresql-client): {error}", client[0])
    });
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = timeout(LIMIT, child.wait_with_output()).await.expect("the client does not end").unwrap();
    stop.cancel();
    server.await.unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
#[ignore = "needs redis-cli"]
async fn a_real_client_of_redis_is_served() {
    let redis = |port| Program::parse(&["redis", "--config", &json!({"port": port}).to_string()]).unwrap();
    let input = "PING\nSET a \"hello world\" EX 100\nGET a\nGET b\nINCR n\nNOTHING\nTTL a\n";
    let said = with_client(redis, &["redis-cli", "--no-raw"], input).await;
    let expected =
        "PONG\nOK\n\"hello world\"\n(nil)\n(integer) 1\n(error) ERR unknown command 'nothing'\n(integer) 100\n";
    assert_eq!(said, expected);
}

#[tokio::test]
#[ignore = "needs psql"]
async fn a_real_client_of_postgresql_is_served() {
    let tables = json!({"prices": [{"item": "tea", "price": 3}, {"item": null, "price": 4}]});
    let postgres =
        |port| Program::parse(&["postgres", "--config", &json!({"port": port, "tables": tables}).to_string()]).unwrap();
    let input = "SELECT 1 AS one, 'x';\nINSERT INTO prices VALUES ('milk', -2);\nSELECT * FROM prices;\nSELECT * FROM nothing;\n\
                 BEGIN;\nCOMMIT;\n";
    let said = with_client(postgres, &["psql", "-X", "-A", "-U", "shop", "-d", "shop"], input).await;
    let expected = "one|?column?\n1|x\n(1 row)\nINSERT 0 1\nitem|price\ntea|3\n|4\nmilk|-2\n(3 rows)\nBEGIN\nCOMMIT\n\
                    ERROR:  relation \"nothing\" does not exist\n";
    assert_eq!(said, expected);
    let ready = with_client(postgres, &["pg_isready"], "").await;
    assert!(ready.ends_with("accepting connections\n"), "{ready}");
}
