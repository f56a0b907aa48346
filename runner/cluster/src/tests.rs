//! Answers of a difficult API server, from a fake that gives exactly these: lists and watches that have expired, and a
//! server that asks to come back later. Restarts, silence and conflicts are tried on whole runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use futures::StreamExt;
use serde_json::{Value, json};
use shakedown_fakes::kubernetes::{self, json_answer};
use shakedown_fakes::{Answer, Request};

/// A cluster that answers each request but the first, for its version, by this function.
async fn server(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Cluster {
    _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = kubernetes::server(answer);
    connect(&ConnectOptions { kubeconfig_text: Some(kubeconfig), ..ConnectOptions::default() }).await.unwrap()
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "resourceVersion": "5"}})
}

fn list(names: &[&str], go_on: &str) -> String {
    let items: Vec<Value> = names.iter().map(|name| pod(name)).collect();
    let metadata = json!({"resourceVersion": "5", "continue": go_on});
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items}).to_string()
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason})
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

#[tokio::test]
async fn a_list_that_expired_half_way_is_read_again_in_one_piece() {
    let cluster = server(|asked| match (asked.target().contains("continue="), asked.target().contains("limit=")) {
        (true, _) => json_answer(410, status(410, "Expired").to_string()),
        (false, true) => json_answer(200, list(&["a"], "more")),
        (false, false) => json_answer(200, list(&["a", "b"], "")),
    })
    .await;
    let pods = cluster.list(Kind::Pod, "n", None).await.unwrap();
    assert_eq!(pods.iter().map(name).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn a_list_that_expired_half_way_is_read_again_page_by_page() {
    // The first list expires after its first page, and the second one does not. The last page of the first is in neither.
    let lists = AtomicUsize::new(0);
    let cluster = server(move |asked| {
        assert!(asked.target().contains("limit="), "{}", asked.target());
        match (asked.target().contains("continue="), lists.load(Ordering::SeqCst)) {
            (false, _) => {
                let number = lists.fetch_add(1, Ordering::SeqCst);
                json_answer(200, list(&[["old", "a"][number]], "more"))
            }
            (true, 1) => json_answer(410, status(410, "Expired").to_string()),
            (true, _) => json_answer(200, list(&["b"], "")),
        }
    })
    .await;
    let pods = cluster.list(Kind::Pod, "n", None).await.unwrap();
    assert_eq!(pods.iter().map(name).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn the_endpoints_of_a_headless_service_are_followed() {
    let ready = std::sync::Arc::new(std::sync::Mutex::new(vec!["127.0.0.2", "127.0.0.3"]));
    let answered = ready.clone();
    let cluster = server(move |asked| match asked.target().split('?').next().unwrap_or_default() {
        "/api/v1/namespaces/n/services/web" => {
            let spec = json!({"clusterIP": "None", "ports": [{"port": 80, "name": "http"}]});
            json_answer(200, json!({"kind": "Service", "metadata": {"name": "web"}, "spec": spec}).to_string())
        }
        "/api/v1/namespaces/n/endpoints/web" => {
            let ready = answered.lock().unwrap();
            let pod = |ip: &&str| json!({"ip": ip, "targetRef": {"kind": "Pod", "name": format!("web-{ip}")}});
            let addresses: Vec<Value> = ready.iter().map(pod).collect();
            let subsets = json!([{"addresses": addresses, "ports": [{"name": "http", "port": 8080}]}]);
            json_answer(200, json!({"kind": "Endpoints", "metadata": {"name": "web"}, "subsets": subsets}).to_string())
        }
        _ => json_answer(404, status(404, "NotFound").to_string()),
    })
    .await;
    let service = parse_service("web:80", "n").unwrap();
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let _following = cluster.follow(&service, move |now| _ = sender.send(now.to_vec())).await.unwrap();
    let all = |ips: &[&str]| -> Vec<std::net::SocketAddr> {
        ips.iter().map(|ip| std::net::SocketAddr::new(ip.parse().unwrap(), 8080)).collect()
    };
    assert_eq!(seen.recv().await.unwrap(), all(&["127.0.0.2", "127.0.0.3"]));
    *ready.lock().unwrap() = vec!["127.0.0.4", "127.0.0.3"];
    assert_eq!(seen.recv().await.unwrap(), all(&["127.0.0.3", "127.0.0.4"]));
    ready.lock().unwrap().clear();
    assert_eq!(seen.recv().await.unwrap(), all(&[]));
}

#[tokio::test]
async fn an_expired_watch_begins_again_with_a_list() {
    // The first list is followed by a watch that has expired, once as an event and once as an answer.
    let cluster = server(|asked| {
        static LISTS: AtomicUsize = AtomicUsize::new(0);
        if !asked.target().contains("watch=") {
            return match LISTS.fetch_add(1, Ordering::SeqCst) {
                0 => json_answer(200, list(&["a"], "")),
                1 => json_answer(200, list(&["b"], "")),
                _ => json_answer(200, list(&["b", "c"], "")),
            };
        }
        match LISTS.load(Ordering::SeqCst) {
            1 => json_answer(200, json!({"type": "ERROR", "object": status(410, "Expired")}).to_string() + "\n"),
            2 => json_answer(410, status(410, "Gone").to_string()),
            _ => json_answer(200, json!({"type": "ADDED", "object": pod("d")}).to_string() + "\n"),
        }
    })
    .await;
    let mut changes = Box::pin(cluster.watch(Kind::Pod, "n"));
    let (mut seen, mut broken) = (Vec::new(), 0);
    let limit = Instant::now() + Duration::from_secs(20);
    while seen.last().is_none_or(|it: &String| it != "applied d") {
        assert!(Instant::now() < limit, "{seen:?}, broken {broken} times");
        match changes.next().await.unwrap() {
            Change::Listed(pods) => {
                seen.push(format!("listed {}", pods.iter().map(name).collect::<Vec<_>>().join(" ")))
            }
            Change::Applied(pod) => seen.push(format!("applied {}", name(&pod))),
            Change::Deleted(pod) => seen.push(format!("deleted {}", name(&pod))),
            Change::Broken { error, .. } => {
                assert!(matches!(error, ClusterError::Expired(_)), "{error:?}");
                broken += 1;
            }
        }
    }
    assert_eq!(
        (seen, broken),
        (vec!["listed a", "listed b", "listed b c", "applied d"].into_iter().map(str::to_owned).collect(), 2)
    );
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_when_it_said_and_that_is_visible() {
    let tries = AtomicUsize::new(0);
    let cluster = server(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::with_headers(429, &[("retry-after", "1")], "Too many requests, please try again later.\n"),
        1 => json_answer(503, ""),
        _ => json_answer(200, pod("a").to_string()),
    })
    .await;
    let events: Arc<Mutex<Vec<EventKind>>> = Arc::default();
    let heard = events.clone();
    let cluster = cluster.notifying(Arc::new(move |event| heard.lock().unwrap().push(event)));
    let begun = Instant::now();
    let key = ObjectKey { kind: Kind::Pod, namespace: "n".into(), name: "a".into(), uid: None };
    assert_eq!(cluster.get(&key).await.unwrap().as_ref().map(name), Some("a"));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let events = events.lock().unwrap();
    let errors: Vec<_> = events
        .iter()
        .map(|event| match event {
            EventKind::ApiRetry { request, error, attempt } => (request.as_str(), error.as_str(), *attempt),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(
        matches!(errors[0], ("read pod/a in namespace n", error, 1) if error.contains("asked to wait for 1 s")),
        "{errors:?}"
    );
    assert!(matches!(errors[1], (_, error, 2) if error.contains("503")), "{errors:?}");
}

#[tokio::test]
async fn the_tries_have_an_end() {
    let cluster = server(|_| json_answer(500, "")).await.with_retry_limit(Duration::from_millis(500));
    let key = ObjectKey { kind: Kind::Pod, namespace: "n".into(), name: "a".into(), uid: None };
    let begun = Instant::now();
    let error = cluster.get(&key).await.unwrap_err();
    assert!(error.is_transient() && begun.elapsed() < Duration::from_secs(2), "{error} after {:?}", begun.elapsed());
}

/// A server whose pages have one object each. What is looked for is on the last one.
#[tokio::test]
async fn every_list_is_read_to_its_end() {
    let cluster = server(|asked| {
        let (path, query) = asked.target().split_once('?').unwrap_or((asked.target(), ""));
        let calico = "projectcalico.org/v3";
        match path {
            "/apis" => {
                let version = json!({"groupVersion": calico, "version": "v3"});
                let group = json!({"name": "projectcalico.org", "versions": [version], "preferredVersion": version});
                return json_answer(200, json!({"kind": "APIGroupList", "groups": [group]}).to_string());
            }
            "/apis/projectcalico.org/v3" => {
                let resources = json!([{"name": "networkpolicies", "kind": "NetworkPolicy", "namespaced": true}]);
                let list = json!({"kind": "APIResourceList", "groupVersion": calico, "resources": resources});
                return json_answer(200, list.to_string());
            }
            _ => {}
        }
        assert!(query.contains("limit="), "the whole list at once: {}", asked.target());
        let (name, go_on) = match query.split('&').find_map(|part| part.strip_prefix("continue=")) {
            None => ("knp.default.first", "2"),
            Some("2") => ("knp.default.second", "3"),
            Some(_) => ("last", ""),
        };
        let item = json!({
            "apiVersion": "v1", "kind": "Any", "metadata": {"name": name, "namespace": "n"},
            "involvedObject": {"uid": "u", "kind": "Pod"}, "spec": {}, "status": {},
        });
        let metadata = json!({"resourceVersion": "5", "continue": go_on});
        json_answer(200, json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": [item]}).to_string())
    })
    .await;
    let here = BTreeSet::from(["n".to_owned()]);
    let counts = [
        ("pods", cluster.list(Kind::Pod, "n", None).await.unwrap().len()),
        ("services", cluster.services("n").await.unwrap().len()),
        ("nodes", cluster.nodes().await.unwrap().len()),
        ("events of pods", cluster.pod_events("n").await.unwrap().len()),
        ("events of an object", cluster.events_of("n", "u").await.unwrap().len()),
    ];
    for (what, count) in counts {
        assert_eq!(count, 3, "{what}");
    }
    let found = cluster.unevaluated_policies(&here).await.unwrap();
    assert_eq!(
        found.present,
        BTreeSet::from(["NetworkPolicy.projectcalico.org in namespace n".to_owned()]),
        "{found:?}"
    );
}

/// Pages, restarts and time limits are in `lists` alone.
#[test]
fn nothing_lists_by_itself() {
    fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let of_tests =
        |path: &std::path::Path| path.ends_with("tests.rs") || path.components().any(|it| it.as_os_str() == "testing");
    let own: Vec<_> =
        files(&source).into_iter().filter(|path| !path.ends_with("lists.rs") && !of_tests(path)).collect();
    assert!(own.len() > 20);
    for path in own {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in ["ListParams", "list_metadata", "limit={", "?limit", "&limit=", "fieldSelector="] {
            assert!(!text.contains(word), "{} lists by itself: {word}", path.display());
        }
    }
}

#[tokio::test]
async fn an_empty_list_of_metadata_has_no_items() {
    for items in ["null", "[]"] {
        let answer = format!(
            r#"{{"kind": "PartialObjectMetadataList", "metadata": {{"resourceVersion": "7"}}, "items": {items}}}"#
        );
        let cluster = server(move |_| json_answer(200, answer.as_str())).await;
        let listed = super::lists::Listed { only_metadata: true, ..super::lists::Listed::of("n") };
        let keep = |all: &mut Vec<Value>, object: Value| all.push(object);
        let kind = Kind::other("apps/v1", "ReplicaSet", "replicasets");
        assert_eq!(cluster.fetch_all(kind, listed, keep).await.unwrap(), Vec::<Value>::new(), "{items}");
    }
}

/// Only from 1.21 on a namespace that cannot be read is known to have its name as a label.
#[tokio::test]
async fn the_labels_of_namespaces_that_cannot_be_listed_depend_on_the_release() {
    for (version, labels) in [("v1.34.4", 1), ("v1.21.0", 1), ("v1.20.2", 0), ("v0.0.0-master+$Format:%H$", 1)] {
        let mut cluster = server(|_| json_answer(403, r#"{"kind": "Status", "code": 403, "message": "no"}"#)).await;
        cluster.info.version = version.to_owned();
        let found = cluster.namespace_labels(&["n".to_owned()].into()).await.unwrap();
        assert_eq!(found["n"].len(), labels, "{version}");
    }
}
