//! A proxy between the runner and an API server, which does to each call what a script says: the bad days of a server
//! and of a network, and the exact moments at which a process is killed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::actor::{Actor, Interference};
use super::history::selects;
use super::server::Server;

/// One call of the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number among all calls, from 0.
    pub number: usize,
    /// Its number among the actions in the journal, from 0. None for other calls.
    pub action: Option<usize>,
    /// Its number among the replacements, from 0; none for others.
    pub put: Option<usize>,
    /// Method and path.
    pub what: String,
}

/// How the proxy handles a call.
#[derive(Debug, Clone, Copy)]
pub enum Handling {
    /// Forwards it, and its answer.
    Forward,
    /// Never forwards it, and announces it to the test.
    HoldBefore,
    /// Forwards it, drops its answer, and announces it to the test.
    HoldAfter,
    /// Answers with this status instead of forwarding it.
    Refuse(StatusCode),
    /// Closes the connection instead of forwarding it.
    Reset,
    /// Forwards it, and closes the connection before the answer.
    ResetAfter,
    /// Forwards it after a delay, even if the client is gone.
    Late(Duration),
    /// Neither forwards nor answers it.
    Silence,
    /// Forwards it and changes its answer, as another server would answer.
    Edit(fn(&mut Value)),
    /// Forwards it, and its answer, and announces it to the test.
    Tell,
    /// Another actor acts first. The number selects its object.
    Interfere(Interference, usize),
}

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;
type Script = Arc<dyn Fn(&Call) -> Handling + Send + Sync>;

/// A proxy that works until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Mutex<Option<AbortOnDropHandle<()>>>,
}

struct Shared {
    server: Server,
    actor: Arc<Actor>,
    script: Script,
    calls: Mutex<Vec<Call>>,
    actions: AtomicUsize,
    held: watch::Sender<bool>,
    witness: Witness,
}

/// What a witness would print, where no node runs it: it reaches its peer unless a policy of ours selects it.
#[derive(Default)]
struct Witness {
    round: AtomicUsize,
}

impl Witness {
    /// The endpoint of the campaign's peer: the third pod of its namespace, and the port that its scenario names.
    const PEER: &str = "10.99.0.3:80";

    /// The answer to a request for its log. The path is that of its pod.
    async fn log(&self, server: &Server, pod: &str) -> Answer {
        let (status, object) = server.ask(Method::GET, pod, None).await;
        if !status.is_success() {
            let text = Full::new(Bytes::from(object.to_string())).map_err(|never| match never {});
            let mut answer = Response::new(text.boxed_unsync());
            *answer.status_mut() = status;
            return answer;
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let policies =
            server.items(&format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")).await;
        let cut = policies.iter().any(|policy| selects(policy, &object) && !allows_all(policy));
        let begun = self.round.fetch_add(3, Ordering::SeqCst);
        let (open, closed) = if cut { (vec![], vec![Self::PEER]) } else { (vec![Self::PEER], vec![]) };
        let line = |round: usize| json!({"round": round, "open": open, "closed": closed, "held": {}}).to_string();
        let text = (begun + 1..=begun + 3).map(|round| line(round) + "\n").collect::<String>();
        Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync())
    }
}

/// Whether another actor has opened a policy.
fn allows_all(policy: &Value) -> bool {
    policy["spec"]["ingress"].as_array().is_some_and(|rules| rules.contains(&json!({})))
}

impl Proxy {
    pub async fn start(
        server: &Server,
        actor: Arc<Actor>,
        script: impl Fn(&Call) -> Handling + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            server: server.clone(),
            actor,
            script: Arc::new(script),
            calls: Mutex::default(),
            actions: AtomicUsize::new(0),
            held: watch::Sender::new(false),
            witness: Witness::default(),
        });
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, shared.clone())));
        Self { address, shared, serving: Mutex::new(Some(serving)) }
    }

    /// Ends as a server ends that is restarted: every connection breaks, and new ones are refused.
    pub fn go_down(&self) {
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Serves again, at the same address.
    pub async fn come_back(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the same port");
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, self.shared.clone())));
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
    }

    /// Writes a kubeconfig that leads through this proxy.
    pub fn write_kubeconfig(&self, path: &Path) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: \"http://{}\"}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
            self.address
        );
        std::fs::write(path, text).expect("a kubeconfig");
    }

    /// Waits until a call is held.
    pub async fn held(&self) {
        _ = self.shared.held.subscribe().wait_for(|held| *held).await;
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        while connections.try_join_next().is_some() {}
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request));
            _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An action changes something that has to be undone, or undoes it. A renewed lock and a read are none.
fn is_action(request: &Request<Incoming>) -> bool {
    let changes = matches!(*request.method(), Method::POST | Method::DELETE | Method::PATCH);
    let asks = request.uri().path().contains("accessreviews")
        || request.uri().query().is_some_and(|query| query.contains("dryRun"));
    // The pushes of a fuse, which come in a rhythm of their own.
    let pushes = *request.method() == Method::PATCH && request.uri().path().contains("/jobs/");
    changes && !asks && !pushes
}

/// The path of the witness whose log a path is.
fn witness_pod(path: &str) -> Option<&str> {
    path.strip_suffix("/log").filter(|pod| pod.contains("/pods/shakedown-"))
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
    let action = is_action(&request).then(|| shared.actions.fetch_add(1, Ordering::SeqCst));
    let call = {
        let mut calls = shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let what = format!("{} {}", request.method(), request.uri().path());
        let puts = || calls.iter().filter(|call| call.put.is_some()).count();
        let put = (*request.method() == Method::PUT).then(puts);
        let call = Call { number: calls.len(), action, put, what };
        calls.push(call.clone());
        call
    };
    let handling = (shared.script)(&call);
    let forward = async |request: Request<Incoming>| {
        if let Some(pod) = witness_pod(request.uri().path()) {
            return Ok(shared.witness.log(&shared.server, pod).await);
        }
        forward(&shared.server, request).await
    };
    match handling {
        Handling::Forward => forward(request).await,
        Handling::Edit(change) => {
            let (mut parts, body) = forward(request).await?.into_parts();
            let mut object = serde_json::from_slice(&body.collect().await?.to_bytes())?;
            change(&mut object);
            parts.headers.remove("content-length");
            let body = Full::new(Bytes::from(object.to_string())).map_err(|never| match never {});
            Ok(Response::from_parts(parts, body.boxed_unsync()))
        }
        Handling::HoldBefore => {
            shared.held.send_replace(true);
            std::future::pending().await
        }
        Handling::HoldAfter => {
            _ = forward(request).await;
            shared.held.send_replace(true);
            std::future::pending().await
        }
        Handling::Refuse(status) => Ok(refusal(status)),
        Handling::Reset => Err(std::io::ErrorKind::ConnectionReset.into()),
        Handling::ResetAfter => {
            _ = forward(request).await;
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
        Handling::Late(delay) => {
            let server = shared.server.clone();
            // In a task of its own: a slow server completes a call even after the client is gone.
            let late = tokio::spawn(async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                tokio::time::sleep(delay).await;
                forward_bytes(&server, parts, body).await
            });
            late.await.map_err(std::io::Error::other)?
        }
        Handling::Silence => std::future::pending().await,
        Handling::Tell => {
            shared.held.send_replace(true);
            forward(request).await
        }
        Handling::Interfere(what, pick) => {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            let sent = serde_json::from_slice(&body).unwrap_or_default();
            shared.actor.act(what, pick, &parts.method, parts.uri.path(), &sent).await;
            match witness_pod(parts.uri.path()) {
                Some(pod) => Ok(shared.witness.log(&shared.server, pod).await),
                None => forward_bytes(&shared.server, parts, body).await,
            }
        }
    }
}

fn refusal(status: StatusCode) -> Answer {
    let text = Full::new(Bytes::from(format!("the campaign answers {status}")));
    let mut answer = Response::new(text.map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    if status == StatusCode::TOO_MANY_REQUESTS {
        answer.headers_mut().insert("retry-after", hyper::header::HeaderValue::from_static("1"));
    }
    answer
}

async fn forward(server: &Server, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    forward_bytes(server, parts, body).await
}

/// A pod as it is created, given to no node: where the server has one, a kubelet takes up to ten seconds to let go of a pod
/// whose image it cannot pull, and these campaigns are about the control plane. The proxy speaks for witnesses anyway.
fn unscheduled(pod: &[u8]) -> Result<Bytes, std::io::Error> {
    let mut pod: Value = serde_json::from_slice(pod)?;
    pod["spec"]["schedulerName"] = json!("nobody");
    Ok(Bytes::from(pod.to_string()))
}

async fn forward_bytes(
    server: &Server,
    parts: hyper::http::request::Parts,
    mut body: Bytes,
) -> Result<Answer, std::io::Error> {
    if parts.method == Method::POST && parts.uri.path().ends_with("/pods") {
        body = unscheduled(&body)?;
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = server.request(parts.method, path).body(body);
    for name in ["accept", "content-type", "user-agent"] {
        if let Some(value) = parts.headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.map_err(std::io::Error::other)?;
    let mut response = Response::builder().status(answer.status());
    for name in ["content-type", "retry-after"] {
        if let Some(value) = answer.headers().get(name) {
            response = response.header(name, value);
        }
    }
    let frames = answer.bytes_stream().map_ok(Frame::data).map_err(std::io::Error::other);
    response.body(StreamBody::new(frames).boxed_unsync()).map_err(std::io::Error::other)
}
