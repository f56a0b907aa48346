//! A deployment in a box: pods with addresses of their own, and a small HTTP client.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use shakedown_schemas::units::Duration as Written;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::inference::{
    BusConfig, DiscoveryConfig, FrontendConfig, Log, WorkerConfig, bus, discovery, frontend, worker,
};
use crate::net::Net;
use crate::net::tests::{Cuts, address};

/// Longer than anything here takes.
pub const LIMIT: Duration = Duration::from_secs(20);
pub const MODEL: &str = "Qwen/Qwen3-0.6B";

/// Pods by name, each with an address, on links that can be cut.
pub struct Town {
    pub cuts: Cuts,
    names: Arc<Mutex<BTreeMap<String, IpAddr>>>,
    lines: Arc<Mutex<Vec<(String, String)>>>,
    pods: BTreeMap<String, (CancellationToken, AbortHandle)>,
    tasks: JoinSet<io::Result<()>>,
}

impl Town {
    pub fn new() -> Self {
        Self {
            cuts: Cuts::default(),
            names: Arc::default(),
            lines: Arc::default(),
            pods: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// A bus, a frontend, and workers `w0`, `w1`, …, all ready.
    pub async fn with_workers(count: usize) -> Self {
        let mut town = Self::new();
        town.bus(BusConfig::default());
        town.frontend(FrontendConfig::default());
        for index in 0..count {
            town.worker(&format!("w{index}"), WorkerConfig::default());
        }
        town.await_workers(count).await;
        town
    }

    /// The address of a pod, which a pod keeps when it is started again.
    pub fn ip(&self, name: &str) -> IpAddr {
        *self.names.lock().unwrap().entry(name.to_owned()).or_insert_with(address)
    }

    pub fn net(&self, name: &str) -> Net {
        let names = Arc::clone(&self.names);
        let resolver = Arc::new(move |host: &str, port: u16, _: &str| {
            names.lock().unwrap().get(host).map(|ip| vec![(*ip, port).into()])
        });
        self.cuts.links.pod(self.ip(name), "test", resolver)
    }

    pub fn bus(&mut self, config: BusConfig) {
        let (net, log) = (self.net("nats"), self.log("nats"));
        self.start("nats", |stop| bus(net, config, log, stop));
    }

    pub fn discovery(&mut self, config: DiscoveryConfig) {
        let (net, log) = (self.net("etcd"), self.log("etcd"));
        self.start("etcd", |stop| discovery(net, config, log, stop));
    }

    pub fn frontend(&mut self, config: FrontendConfig) {
        let (net, log) = (self.net("frontend"), self.log("frontend"));
        self.start("frontend", |stop| frontend(net, config, log, stop));
    }

    pub fn worker(&mut self, name: &str, config: WorkerConfig) {
        let (net, log) = (self.net(name), self.log(name));
        let config = WorkerConfig { id: name.to_owned(), ..config };
        self.start(name, |stop| worker(net, config, log, stop));
    }

    /// Keeps what a pod writes.
    fn log(&self, pod: &str) -> Log {
        let (lines, pod) = (Arc::clone(&self.lines), pod.to_owned());
        Log::new(move |line| lines.lock().unwrap().push((pod.clone(), line)))
    }

    /// What a pod wrote.
    pub fn written(&self, pod: &str) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|(it, _)| it == pod).map(|(_, line)| line.clone()).collect()
    }

    fn start<F>(&mut self, name: &str, program: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = self.tasks.spawn(program(stop.clone()));
        self.pods.insert(name.to_owned(), (stop, task));
    }

    /// As SIGTERM does.
    pub fn stop(&self, name: &str) {
        self.pods[name].0.cancel();
    }

    /// As SIGKILL does; returns when the pod is gone.
    pub async fn kill(&mut self, name: &str) {
        let task = self.pods.remove(name).expect("a pod of this name").1;
        task.abort();
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a pod has ended by itself.
    pub async fn until_ended(&mut self, name: &str) {
        let task = self.pods.remove(name).expect("a pod of this name").1;
        until(&format!("{name} ends"), async || task.is_finished()).await;
    }

    /// Cuts what two pods open to each other.
    pub fn cut(&self, one: &str, other: &str) {
        self.cuts.cut(self.ip(one), self.ip(other));
        self.cuts.cut(self.ip(other), self.ip(one));
    }

    pub async fn call(&self, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        let response = self.open(method, path, body).await;
        let status = response.status();
        let body = timeout(LIMIT, response.into_body().collect()).await.expect("the answer never ends").unwrap();
        (status, String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }

    /// A call on a connection of its own, up to the headers of the answer.
    pub async fn open(&self, method: Method, path: &str, body: &str) -> http::Response<Incoming> {
        let host = self.ip("frontend").to_string();
        request(&host, 8000, method, path, body).await
    }

    pub async fn complete(&self, max_tokens: u32) -> (StatusCode, Value) {
        let (status, body) = self.call(Method::POST, "/v1/completions", &completion(max_tokens, false)).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    pub async fn health(&self) -> Value {
        let (status, body) = self.call(Method::GET, "/health", "").await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_str(&body).unwrap()
    }

    /// The names of the workers that the frontend knows, sorted; those that are set aside with a `!`.
    pub async fn workers(&self) -> Vec<String> {
        let health = self.health().await;
        let name = |worker: &Value| {
            let mark = if worker["state"] == "sidelined" { "!" } else { "" };
            format!("{}{mark}", worker["id"].as_str().unwrap())
        };
        let mut names: Vec<String> = health["workers"].as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    }

    pub async fn await_workers(&self, count: usize) {
        // Its socket may not be bound yet.
        let host = self.ip("frontend").to_string();
        until("the frontend listens", async || Net::host().connect(&host, 8000).await.is_ok()).await;
        until(&format!("{count} workers"), async || self.workers().await.len() == count).await;
    }
}

impl Town {
    /// Waits until this many requests in a row succeed.
    pub async fn await_answers(&self, count: usize) {
        let mut fine = 0;
        until(&format!("{count} requests in a row succeed"), async || {
            fine = if self.complete(1).await.0 == StatusCode::OK { fine + 1 } else { 0 };
            fine == count
        })
        .await;
    }
}

/// One HTTP call on a connection of its own, from outside of the cluster.
pub async fn request(host: &str, port: u16, method: Method, path: &str, body: &str) -> http::Response<Incoming> {
    timeout(LIMIT, request_unlimited(host, port, method, path, body)).await.expect("no answer")
}

/// The same without a limit of its own.
pub async fn request_unlimited(
    host: &str,
    port: u16,
    method: Method,
    path: &str,
    body: &str,
) -> http::Response<Incoming> {
    let stream = Net::host().connect(host, port).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "test")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    sender.send_request(request).await.unwrap()
}

/// Waits until `condition` holds; says how long that took.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < LIMIT, "still not true: {what}");
        sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

pub fn completion(max_tokens: u32, stream: bool) -> String {
    json!({"model": MODEL, "prompt": "Say hello.", "max_tokens": max_tokens, "stream": stream}).to_string()
}

/// A worker that takes this long to its first token and to each further one.
pub fn pace(first_ms: u64, next_ms: u64) -> WorkerConfig {
    WorkerConfig {
        time_to_first_token: Written::from_millis(first_ms),
        inter_token: Written::from_millis(next_ms),
        ..WorkerConfig::default()
    }
}

/// The events of a stream: the JSON ones, and whether `[DONE]` was the last.
pub fn events(body: &str) -> (Vec<Value>, bool) {
    let mut events: Vec<&str> =
        body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect(event)).collect();
    let done = events.last() == Some(&"[DONE]");
    if done {
        events.pop();
    }
    (events.iter().map(|event| serde_json::from_str(event).expect(event)).collect(), done)
}
