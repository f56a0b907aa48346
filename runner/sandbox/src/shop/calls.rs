//! The calls of a service: to other services, caches and databases, with kept connections and timeouts.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::config::{Call, HttpCall, PostgresCall, RedisCall, split};
use super::{postgres, redis};
use crate::log::Log;
use crate::net::Net;

/// The most idle connections to one server.
const MAX_IDLE: usize = 32;

/// Why a request failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub server: String,
    pub message: String,
    pub is_timeout: bool,
}

/// A service's ways to others.
pub(super) struct Outlets {
    net: Net,
    log: Log,
    caches: Pool<redis::Client>,
    databases: Pool<postgres::Client>,
    /// The servers whose last call failed: only a change is logged.
    failing: Mutex<HashSet<String>>,
}

/// Idle connections by server.
struct Pool<C>(Mutex<HashMap<String, Vec<C>>>);

impl<C> Pool<C> {
    fn idle(&self) -> MutexGuard<'_, HashMap<String, Vec<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, server: &str) -> Option<C> {
        self.idle().get_mut(server)?.pop()
    }

    /// Keeps a connection on which nothing is under way.
    fn put(&self, server: &str, connection: C) {
        let mut idle = self.idle();
        let idle = idle.entry(server.to_owned()).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// After a failure: the others are most likely dead as well.
    fn forget(&self, server: &str) {
        self.idle().remove(server);
    }
}

impl Outlets {
    pub fn new(net: Net, log: Log) -> Self {
        let (caches, databases) = (Pool(Mutex::default()), Pool(Mutex::default()));
        Self { net, log, caches, databases, failing: Mutex::default() }
    }

    /// Makes all calls, and returns what they brought.
    ///
    /// # Errors
    /// The first failure of a required call.
    pub async fn call(&self, calls: &[Call]) -> Result<Vec<Value>, Failure> {
        let mut said = Vec::new();
        for call in calls {
            let server = call.server();
            let (made, required) = match call {
                Call::Http(call) => (self.http(call).await, call.required),
                Call::Redis(call) => (Box::pin(self.redis(call)).await?, call.required),
                Call::Postgres(call) => (self.postgres(call, &call.query).await, call.required),
            };
            self.note(server, made.as_ref().err());
            match made {
                Ok(value) => said.push(json!({server: value})),
                Err(error) if required => return Err(failure(server, &error)),
                Err(error) => said.push(json!({server: {"error": error.to_string()}})),
            }
        }
        Ok(said)
    }

    /// Whether the servers that a ready service needs can be reached.
    ///
    /// # Errors
    /// The first that cannot.
    pub async fn reach(&self, calls: &[Call]) -> Result<(), Failure> {
        for call in calls {
            let reached = match call {
                Call::Http(call) if call.ready => within(call.timeout.get(), self.connect(&call.server)).await,
                Call::Redis(call) if call.ready => self.cache(call, &["PING"]).await.map(drop),
                Call::Postgres(call) if call.ready => self.postgres(call, "SELECT 1").await.map(drop),
                _ => Ok(()),
            };
            self.note(call.server(), reached.as_ref().err());
            reached.map_err(|error| failure(call.server(), &error))?;
            Box::pin(self.reach(call.inner())).await?;
        }
        Ok(())
    }

    async fn connect(&self, server: &str) -> io::Result<()> {
        let (host, port) = split(server)?;
        self.net.connect(host, port).await.map(drop)
    }

    async fn http(&self, call: &HttpCall) -> io::Result<Value> {
        let mut left = call.retries;
        loop {
            match within(call.timeout.get(), self.get(&call.server, &call.path)).await {
                Err(_) if left > 0 => left -= 1,
                made => return made,
            }
        }
    }

    async fn get(&self, server: &str, path: &str) -> io::Result<Value> {
        let (host, port) = split(server)?;
        let stream = self.net.connect(host, port).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let request = Request::get(path).header("host", host).header("connection", "close");
        let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
        let asked = async move {
            let answer = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = answer.status();
            answer.into_body().collect().await.map_err(io::Error::other)?;
            if status.is_success() {
                Ok(status.as_u16().into())
            } else {
                Err(io::Error::other(format!("`{server}{path}` answers {}", status.as_u16())))
            }
        };
        // The connection is closed with this call, also when its caller gave up.
        tokio::join!(asked, connection).0
    }

    /// A lookup. The outer error is of a call after a miss.
    async fn redis(&self, call: &RedisCall) -> Result<io::Result<Value>, Failure> {
        let found = self.cache(call, &["GET", &call.key]).await;
        match found {
            Ok(Some(_)) => Ok(Ok("hit".into())),
            Err(error) if call.required => Ok(Err(error)),
            missed => {
                let said = self.call(&call.otherwise).await?;
                if let Err(error) = missed {
                    return Ok(Err(error));
                }
                let ttl = call.ttl.get().as_millis().max(1).to_string();
                let kept = Value::from(said.clone()).to_string();
                let kept = self.cache(call, &["SET", &call.key, &kept, "PX", &ttl]).await;
                Ok(kept.map(|_| json!({"miss": said})))
            }
        }
    }

    async fn cache(&self, call: &RedisCall, words: &[&str]) -> io::Result<Option<Bytes>> {
        let asked = async {
            let mut client = match self.caches.take(&call.server) {
                Some(client) => client,
                None => redis::Client::connect(&self.net, split(&call.server)?).await?,
            };
            let answer = client.ask(words).await?;
            self.caches.put(&call.server, client);
            Ok(answer)
        };
        within(call.timeout.get(), asked).await.inspect_err(|_| self.caches.forget(&call.server))
    }

    async fn postgres(&self, call: &PostgresCall, sql: &str) -> io::Result<Value> {
        let asked = async {
            let mut client = match self.databases.take(&call.server) {
                Some(client) => client,
                None => postgres::Client::connect(&self.net, split(&call.server)?).await?,
            };
            let rows = client.query(sql).await?;
            self.databases.put(&call.server, client);
            Ok(rows.into())
        };
        within(call.timeout.get(), asked).await.inspect_err(|_| self.databases.forget(&call.server))
    }

    fn note(&self, server: &str, error: Option<&io::Error>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) if failing.insert(server.to_owned()) => {
                self.log.warn(format_args!("a call to {server} failed: {error}"));
            }
            None if failing.remove(server) => self.log.info(format_args!("calls to {server} succeed again")),
            _ => {}
        }
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", limit.as_millis()));
    timeout(limit, call).await.unwrap_or_else(|_| Err(late()))
}

fn failure(server: &str, error: &io::Error) -> Failure {
    let is_timeout = error.kind() == io::ErrorKind::TimedOut;
    Failure { server: server.to_owned(), message: format!("{server}: {error}"), is_timeout }
}
