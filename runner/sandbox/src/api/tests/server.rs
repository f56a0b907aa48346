//! Lists, forms, discovery, and requests that make no sense.

use super::*;

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
    let form = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let (_, document, headers) = served.raw("GET", "/openapi/v2", &[("accept", form)], "").await;
    assert!(document.starts_with("\n\u{3}2.0") && headers["content-type"] != "application/json", "{document:?}");
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
