//! The API as the ordinary client sees it.

use std::net::Ipv4Addr;
use std::sync::Arc;

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
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::serve;
use crate::sandbox::addresses::Addresses;
use crate::sandbox::clock::Clock;
use crate::sandbox::registry::{Registry, WriteOptions};
use crate::sandbox::resource::NAMESPACES;
use crate::sandbox::store::Store;

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
    let registry = Arc::new(Registry { store, addresses: Addresses::claim().unwrap(), logs: Default::default() });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}});
    registry.create(&NAMESPACES, "", namespace, WriteOptions::default()).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, registry));
    let mut config = Config::new(url.parse().unwrap());
    config.default_retry = false;
    config.default_namespace = "a".into();
    Served { client: Client::try_from(config).unwrap(), url, _tasks: tasks }
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

#[tokio::test]
async fn an_object_lives_from_creation_to_deletion() {
    let served = served().await;
    let maps: Api<ConfigMap> = served.api();
    let created = maps.create(&PostParams::default(), &config_map("one", json!({}), json!({"k": "1"}))).await.unwrap();
    assert_eq!(created.metadata.uid.as_ref().unwrap().len(), 36);
    assert!(created.metadata.creation_timestamp.is_some());
    let read = maps.get("one").await.unwrap();
    assert_eq!(read, created);
    let mut changed = read.clone();
    changed.data = Some([("k".to_string(), "2".to_string())].into());
    let replaced = maps.replace("one", &PostParams::default(), &changed).await.unwrap();
    assert_eq!(data(&replaced, "k").as_deref(), Some("2"));
    assert_ne!(replaced.metadata.resource_version, created.metadata.resource_version);
    assert_eq!(replaced.metadata.uid, created.metadata.uid);
    let gone = maps.delete("one", &DeleteParams::default()).await.unwrap();
    assert!(gone.right().unwrap().is_success());
    assert_eq!(maps.get_opt("one").await.unwrap(), None);
    let generated = ConfigMap {
        metadata: kube::api::ObjectMeta { generate_name: Some("gen-".into()), ..Default::default() },
        ..Default::default()
    };
    let name = maps.create(&PostParams::default(), &generated).await.unwrap().metadata.name.unwrap();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
}

#[tokio::test]
async fn refusals_have_the_texts_of_a_real_cluster() {
    let served = served().await;
    let maps: Api<ConfigMap> = served.api();
    let post = PostParams::default();
    let one = config_map("one", json!({}), json!({}));
    maps.create(&post, &one).await.unwrap();
    let policies: Api<NetworkPolicy> = served.api();
    let elsewhere: Api<ConfigMap> = Api::namespaced(served.client.clone(), "b");
    let expect = |found: (u16, String, String), code: u16, reason: &str, message: &str| {
        assert_eq!((found.0, found.1.as_str(), found.2.as_str()), (code, reason, message));
    };
    expect(refusal(served.api::<Pod>().get("x").await), 404, "NotFound", "pods \"x\" not found");
    let found = refusal(policies.get("x").await);
    expect(found, 404, "NotFound", "networkpolicies.networking.k8s.io \"x\" not found");
    expect(refusal(elsewhere.create(&post, &one).await), 404, "NotFound", "namespaces \"b\" not found");
    expect(refusal(maps.create(&post, &one).await), 409, "AlreadyExists", "configmaps \"one\" already exists");
    let mut stale = maps.get("one").await.unwrap();
    maps.patch("one", &PatchParams::default(), &Patch::Merge(json!({"data": {"a": "b"}}))).await.unwrap();
    stale.data = Some([("c".to_string(), "d".to_string())].into());
    expect(
        refusal(maps.replace("one", &post, &stale).await),
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"one\": the object has been modified; please apply your changes to \
         the latest version and try again",
    );
    let (code, reason, message) = refusal(maps.create(&post, &config_map("Not_Good", json!({}), json!({}))).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    let start =
        "ConfigMap \"Not_Good\" is invalid: metadata.name: Invalid value: \"Not_Good\": a lowercase RFC 1123 subdomain";
    assert!(message.starts_with(start), "{message}");
    let bad_label = config_map("two", json!({"k": "no spaces"}), json!({}));
    let (code, _, message) = refusal(maps.create(&post, &bad_label).await);
    assert!(code == 422 && message.contains("metadata.labels: Invalid value: \"no spaces\""), "{message}");
}

#[tokio::test]
async fn each_kind_of_patch_changes_the_object_in_its_way() {
    let served = served().await;
    let services: Api<Service> = served.api();
    let service = json!({"metadata": {"name": "s"}, "spec": {"selector": {"app": "x", "tier": "y"},
        "ports": [{"name": "p", "port": 80, "targetPort": 8080}]}});
    services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
    let params = PatchParams::default();
    let selector = |service: &Service| {
        let map = service.spec.as_ref().unwrap().selector.clone().unwrap();
        map.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
    };
    let merged = Patch::<Value>::Merge(json!({"spec": {"selector": {"app": null, "zone": "z"}}}));
    assert_eq!(selector(&services.patch("s", &params, &merged).await.unwrap()), "tier=y,zone=z");
    let strategic = Patch::<Value>::Strategic(json!({"spec": {"ports": [{"name": "q", "port": 81, "targetPort": 1}]}}));
    let ports = services.patch("s", &params, &strategic).await.unwrap().spec.unwrap().ports.unwrap();
    assert_eq!(ports.iter().map(|p| p.port).collect::<Vec<_>>(), [80, 81]);
    let operations =
        serde_json::from_value(json!([{"op": "replace", "path": "/spec/selector/tier", "value": "w"}])).unwrap();
    assert_eq!(selector(&services.patch("s", &params, &Patch::Json::<()>(operations)).await.unwrap()), "tier=w,zone=z");
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "1"}});
    let maps: Api<ConfigMap> = served.api();
    let as_tester = PatchParams::apply("tester");
    let first = maps.patch("new", &as_tester, &Patch::Apply(&applied)).await.unwrap();
    let second = maps.patch("new", &as_tester, &Patch::Apply(&applied)).await.unwrap();
    assert_eq!(first, second, "applying the same again changes nothing");
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"a": "2"}});
    assert_eq!(refusal(maps.patch("new", &params, &Patch::Merge(stale)).await).0, 409);
}

#[tokio::test]
async fn lists_are_narrowed_by_labels_and_fields() {
    let served = served().await;
    let maps: Api<ConfigMap> = served.api();
    for (name, labels) in [("a", json!({"app": "x", "t": "1"})), ("b", json!({"app": "y"})), ("c", json!({}))] {
        maps.create(&PostParams::default(), &config_map(name, labels, json!({}))).await.unwrap();
    }
    for (params, expected) in [
        (ListParams::default(), "abc"),
        (ListParams::default().labels("app=x"), "a"),
        (ListParams::default().labels("app in (x,y),!t"), "b"),
        (ListParams::default().labels("app notin (x)"), "bc"),
        (ListParams::default().fields("metadata.name=c"), "c"),
        (ListParams::default().labels("app").fields("metadata.name!=a"), "b"),
    ] {
        let list = maps.list(&params).await.unwrap();
        let names: String = list.items.iter().map(|m| m.metadata.name.clone().unwrap()).collect();
        assert_eq!(names, expected, "{params:?}");
    }
    assert_eq!(refusal(maps.list(&ListParams::default().labels("a of (b)")).await).0, 400);
    assert_eq!(refusal(maps.list(&ListParams::default().fields("spec.x=1")).await).0, 400);
    let slim = maps.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(slim.items.len(), 3);
}

#[tokio::test]
async fn pages_show_one_moment() {
    let served = served().await;
    let maps: Api<ConfigMap> = served.api();
    for name in ["a", "b", "c", "d", "e"] {
        maps.create(&PostParams::default(), &config_map(name, json!({}), json!({}))).await.unwrap();
    }
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    maps.delete("c", &DeleteParams::default()).await.unwrap();
    maps.create(&PostParams::default(), &config_map("cc", json!({}), json!({}))).await.unwrap();
    let token = first.metadata.continue_.unwrap();
    let rest = maps.list(&ListParams::default().continue_token(&token)).await.unwrap();
    let names: Vec<_> = rest.items.iter().map(|m| m.metadata.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["c", "d", "e"]);
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(rest.metadata.continue_, None);
    assert_eq!(refusal(maps.list(&ListParams::default().continue_token("nonsense")).await).0, 400);
}

#[tokio::test]
async fn a_watch_replays_follows_and_minds_its_selector() {
    let served = served().await;
    let maps: Api<ConfigMap> = served.api();
    let before = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let post = PostParams::default();
    maps.create(&post, &config_map("one", json!({"app": "x"}), json!({}))).await.unwrap();
    let params = WatchParams::default().labels("app=x").timeout(20);
    let mut events = maps.watch(&params, &before).await.unwrap().boxed();
    maps.create(&post, &config_map("two", json!({"app": "y"}), json!({}))).await.unwrap();
    let relabel = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"app": value}}}));
    maps.patch("one", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "v"}}))).await.unwrap();
    maps.patch("two", &PatchParams::default(), &relabel("x")).await.unwrap();
    maps.patch("one", &PatchParams::default(), &relabel("z")).await.unwrap();
    maps.delete("two", &DeleteParams::default()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let event = events.try_next().await.unwrap().unwrap();
        let (kind, object) = match event {
            WatchEvent::Added(object) => ("added", object),
            WatchEvent::Modified(object) => ("modified", object),
            WatchEvent::Deleted(object) => ("deleted", object),
            other => panic!("{other:?}"),
        };
        let label = object.metadata.labels.unwrap()["app"].clone();
        seen.push(format!("{kind} {} {label}", object.metadata.name.unwrap()));
    }
    assert_eq!(seen, ["added one x", "modified one x", "added two x", "deleted one x", "deleted two x"]);
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_is_gone() {
    let served = served_with_log(3).await;
    let maps: Api<ConfigMap> = served.api();
    for name in ["a", "b", "c", "d"] {
        maps.create(&PostParams::default(), &config_map(name, json!({}), json!({}))).await.unwrap();
    }
    let mut events = maps.watch(&WatchParams::default().timeout(20), "2").await.unwrap().boxed();
    match events.try_next().await.unwrap().unwrap() {
        WatchEvent::Error(status) => {
            assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
            assert!(status.message.starts_with("too old resource version: 2 ("), "{}", status.message);
        }
        other => panic!("{other:?}"),
    }
    assert!(events.try_next().await.unwrap().is_none(), "the server ends the watch");
}

#[tokio::test]
async fn a_watch_ends_with_a_bookmark_at_its_timeout() {
    let served = served().await;
    let maps: Api<ConfigMap> = served.api();
    let mut events = maps.watch(&WatchParams::default().timeout(1), "0").await.unwrap().boxed();
    let created = maps.create(&PostParams::default(), &config_map("a", json!({}), json!({}))).await.unwrap();
    assert!(matches!(events.try_next().await.unwrap(), Some(WatchEvent::Added(_))));
    match events.try_next().await.unwrap() {
        Some(WatchEvent::Bookmark(bookmark)) => {
            assert_eq!(Some(bookmark.metadata.resource_version), created.metadata.resource_version);
        }
        other => panic!("{other:?}"),
    }
    assert!(events.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn the_client_library_follows_objects() {
    let served = served().await;
    let maps: Api<ConfigMap> = served.api();
    maps.create(&PostParams::default(), &config_map("a", json!({}), json!({}))).await.unwrap();
    let mut events = watcher(maps.clone(), watcher::Config::default()).boxed();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        match events.try_next().await.unwrap().unwrap() {
            watcher::Event::Init => seen.push("init".to_string()),
            watcher::Event::InitApply(o) => seen.push(format!("existing {}", o.metadata.name.unwrap())),
            watcher::Event::InitDone => {
                maps.delete("a", &DeleteParams::default()).await.unwrap();
                seen.push("done".into());
            }
            watcher::Event::Apply(o) => seen.push(format!("changed {}", o.metadata.name.unwrap())),
            watcher::Event::Delete(o) => seen.push(format!("deleted {}", o.metadata.name.unwrap())),
        }
    }
    assert_eq!(seen, ["init", "existing a", "done", "deleted a"]);
}

#[tokio::test]
async fn deletions_can_be_conditional_collective_and_dry() {
    let served = served().await;
    let maps: Api<ConfigMap> = served.api();
    let post = PostParams::default();
    for name in ["a", "b", "c"] {
        let label = if name == "c" { "keep" } else { "drop" };
        maps.create(&post, &config_map(name, json!({"l": label}), json!({}))).await.unwrap();
    }
    let other = Preconditions { uid: Some("another".into()), ..Default::default() };
    let (code, _, message) = refusal(maps.delete("a", &DeleteParams::default().preconditions(other)).await);
    assert!(code == 409 && message.contains("the UID in the precondition (another) does not match"), "{message}");
    maps.delete("a", &DeleteParams { dry_run: true, ..Default::default() }).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_some());
    let dry = PostParams { dry_run: true, ..Default::default() };
    maps.create(&dry, &config_map("d", json!({}), json!({}))).await.unwrap();
    assert!(maps.get_opt("d").await.unwrap().is_none());
    let selected = ListParams::default().labels("l=drop");
    let gone = maps.delete_collection(&DeleteParams::default(), &selected).await.unwrap();
    assert_eq!(gone.left().unwrap().items.len(), 2);
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn finalizers_hold_an_object_back() {
    let served = served().await;
    let maps: Api<ConfigMap> = served.api();
    let mut held = config_map("held", json!({}), json!({}));
    held.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    maps.create(&PostParams::default(), &held).await.unwrap();
    let marked = maps.delete("held", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    let params = PatchParams::default();
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let (code, _, message) = refusal(maps.patch("held", &params, &Patch::Merge(more)).await);
    assert!(code == 422 && message.contains("no new finalizers can be added"), "{message}");
    maps.patch("held", &params, &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    assert_eq!(maps.get_opt("held").await.unwrap(), None);
}

#[tokio::test]
async fn a_lease_is_a_lock() {
    let served = served().await;
    let leases: Api<Lease> = served.api();
    let lease = json!({"metadata": {"name": "lock"}, "spec": {"holderIdentity": "one", "leaseDurationSeconds": 10}});
    let lease: Lease = serde_json::from_value(lease).unwrap();
    let held = leases.create(&PostParams::default(), &lease).await.unwrap();
    assert_eq!(refusal(leases.create(&PostParams::default(), &lease).await).1, "AlreadyExists");
    let mut mine = held.clone();
    mine.spec.as_mut().unwrap().holder_identity = Some("two".into());
    leases.replace("lock", &PostParams::default(), &mine).await.unwrap();
    assert_eq!(refusal(leases.replace("lock", &PostParams::default(), &mine).await).1, "Conflict");
    mine.metadata.resource_version = None;
    let (code, _, message) = refusal(leases.replace("lock", &PostParams::default(), &mine).await);
    assert!(code == 422 && message.contains("must be specified for an update"), "{message}");
}

#[tokio::test]
async fn the_server_says_what_it_is_and_what_it_serves() {
    let served = served().await;
    let version = served.client.apiserver_version().await.unwrap();
    assert_eq!(version.git_version, "v1.33.0+shakedown-sandbox");
    let discovery = kube::discovery::Discovery::new(served.client.clone()).run().await.unwrap();
    for (group, kind) in [("", "Pod"), ("apps", "Deployment"), ("batch", "Job"), ("networking.k8s.io", "NetworkPolicy")]
    {
        let kinds = discovery.get(group).unwrap().recommended_resources();
        assert!(kinds.iter().any(|(k, _)| k.kind == kind), "{group}/{kind}");
    }
    let review = json!({"spec": {"resourceAttributes": {"verb": "create", "resource": "jobs", "group": "batch"}}});
    let review: SelfSubjectAccessReview = serde_json::from_value(review).unwrap();
    let answer = Api::all(served.client.clone()).create(&PostParams::default(), &review).await.unwrap();
    assert!(answer.status.unwrap().allowed);
    for path in ["/healthz", "/readyz", "/livez"] {
        assert_eq!(served.raw("GET", path, &[], "").await.1, "ok");
    }
    assert_eq!(served.raw("GET", "/apis/example.com/v1/things", &[], "").await.0, 404);
    let (code, body, _) = served.raw("GET", "/api/v1/namespaces/a/pods?watch=1&sendInitialEvents=true", &[], "").await;
    assert!(code == 422 && body.contains("sendInitialEvents is forbidden"), "{body}");
}

#[tokio::test]
async fn bodies_that_cannot_be_used_are_refused_with_a_reason() {
    let served = served().await;
    let path = "/api/v1/namespaces/a/configmaps";
    let json = ("content-type", "application/json");
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"dta":{}, "data":{"a":"b"}}"#;
    let (code, text, _) = served.raw("POST", &format!("{path}?fieldValidation=Strict"), &[json], body).await;
    assert!(code == 400 && text.contains("unknown field \\\"dta\\\""), "{text}");
    let (code, _, headers) = served.raw("POST", path, &[json], &body.replace(r#""dta":{}"#, r#""dta":1"#)).await;
    assert_eq!((code, headers["warning"].to_str().unwrap()), (201, "299 - \"unknown field \\\"dta\\\"\""));
    for (method, path, content_type, body, expected) in [
        ("POST", path, "application/vnd.kubernetes.protobuf", "k8s", 415),
        ("POST", path, "application/json", "{", 400),
        ("POST", path, "application/json", "[]", 400),
        ("POST", path, "application/json", r#"{"metadata":{"name":"y"}}"#, 400),
        ("POST", path, "application/json", r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"y"}}"#, 400),
        ("PATCH", "/api/v1/namespaces/a/configmaps/x", "application/json", "{}", 415),
        (
            "PATCH",
            "/api/v1/namespaces/a/configmaps/x",
            "application/json-patch+json",
            r#"[{"op":"remove","path":"/q"}]"#,
            422,
        ),
        ("PUT", path, "application/json", "{}", 405),
        ("POST", "/version", "application/json", "{}", 405),
    ] {
        let (code, text, _) = served.raw(method, path, &[("content-type", content_type)], body).await;
        assert_eq!(code, expected, "{method} {path} {body}: {text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["code"], expected);
    }
    let long = format!(r#"{{"data":"{}"}}"#, "x".repeat(3 << 20));
    assert_eq!(served.raw("POST", path, &[json], &long).await.0, 413);
    assert_eq!(served.raw("GET", path, &[("accept", "text/html")], "").await.0, 406);
}

#[tokio::test]
async fn tables_have_the_columns_that_kubectl_prints() {
    let served = served().await;
    let policy = json!({"metadata": {"name": "p"}, "spec": {"podSelector": {"matchLabels": {"app": "x"},
        "matchExpressions": [{"key": "t", "operator": "NotIn", "values": ["a", "b"]}]}}});
    let policies: Api<NetworkPolicy> = served.api();
    policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = served.json("/apis/networking.k8s.io/v1/namespaces/a/networkpolicies", accept).await;
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Name", "Pod-Selector", "Age"]);
    assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..2], ["p", "app=x,t notin (a,b)"]);
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn new_objects_are_completed() {
    let served = served().await;
    let namespaces: Api<Namespace> = Api::all(served.client.clone());
    let labels = namespaces.get("a").await.unwrap().metadata.labels.unwrap();
    assert_eq!(labels["kubernetes.io/metadata.name"], "a");
    let policies: Api<NetworkPolicy> = served.api();
    for (name, spec, kinds) in [
        ("p", json!({"podSelector": {}}), vec!["Ingress"]),
        ("q", json!({"podSelector": {}, "egress": [{}]}), vec!["Ingress", "Egress"]),
        ("r", json!({"podSelector": {}, "policyTypes": ["Egress"]}), vec!["Egress"]),
    ] {
        let policy = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        let created = policies.create(&PostParams::default(), &policy).await.unwrap();
        assert_eq!(created.spec.unwrap().policy_types.unwrap(), kinds);
    }
    let bad = json!({"metadata": {"name": "s"}, "spec": {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}}]}]}});
    let (code, _, message) =
        refusal(policies.create(&PostParams::default(), &serde_json::from_value(bad).unwrap()).await);
    assert!(code == 422 && message.contains("spec.egress[0].to[0].ipBlock.except[0]"), "{message}");
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let created =
        served.api::<Service>().create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await;
    let spec = created.unwrap().spec.unwrap();
    assert!(spec.cluster_ip.unwrap().parse::<Ipv4Addr>().unwrap().is_loopback());
    assert_eq!(spec.ports.unwrap()[0].protocol.as_deref(), Some("TCP"));
}
