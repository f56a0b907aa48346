//! Creating, changing and deleting objects.

use super::*;

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
