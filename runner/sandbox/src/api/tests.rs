//! The API as the ordinary client sees it: what the tests share.

mod objects;
mod server;
mod watches;

use base64::Engine as _;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::runtime::watcher;
use kube::{Client, Config, Error};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Access, serve};
use crate::addresses::Addresses;
use crate::clock::Clock;
use crate::registry::{Registry, WriteOptions};
use crate::resource::NAMESPACES;
use crate::store::Store;

/// An API server without controllers, with the namespace `a`.
struct Served {
    client: Client,
    url: String,
    _tasks: JoinSet<()>,
}

async fn served() -> Served {
    served_with_log(1000).await
}

async fn served_with_log(length: usize) -> Served {
    let store = Store::with_log_length(Clock::new(), length);
    let registry = Arc::new(Registry {
        store,
        addresses: Addresses::claim().unwrap(),
        logs: Default::default(),
        kills: Default::default(),
        starting: Default::default(),
    });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}});
    registry.create(&NAMESPACES, "", namespace, WriteOptions::default()).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let access = Arc::new(Access::new(address).unwrap());
    let url = format!("https://{address}");
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, registry, access.clone()));
    let mut config = Config::new(url.parse().unwrap());
    config.root_cert = Some(vec![pem(&access.certificate)]);
    config.auth_info.token = Some(access.token.clone().into());
    config.default_retry = false;
    config.default_namespace = "a".into();
    Served { client: Client::try_from(config).unwrap(), url, _tasks: tasks }
}

/// The bytes of a certificate.
fn pem(text: &str) -> Vec<u8> {
    let inner: String = text.lines().filter(|line| !line.starts_with("--")).collect();
    base64::engine::general_purpose::STANDARD.decode(inner).unwrap()
}

impl Served {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::default_namespaced(self.client.clone())
    }

    /// What the server answers to a request that no typed client would make.
    async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String, http::HeaderMap) {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(kube::client::Body::from(body.as_bytes().to_vec())).unwrap();
        let (parts, body) = self.client.send(request).await.unwrap().into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        (parts.status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap(), parts.headers)
    }

    async fn json(&self, path: &str, accept: &str) -> Value {
        let (_, body, _) = self.raw("GET", path, &[("accept", accept)], "").await;
        serde_json::from_str(&body).unwrap()
    }
}

fn config_map(name: &str, labels: Value, data: Value) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "data": data})).unwrap()
}

/// The code, reason and message of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String, String) {
    match result.unwrap_err() {
        Error::Api(status) => (status.code, status.reason, status.message),
        other => panic!("not a refusal by the server: {other}"),
    }
}

fn data(map: &ConfigMap, key: &str) -> Option<String> {
    map.data.as_ref().and_then(|d| d.get(key)).cloned()
}
