//! Following changes.

use super::*;

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
