//! What every kind of load does, whatever it sends. A new kind needs no row here.

use std::sync::Mutex;

use tokio::io::DuplexStream;

use super::*;
use serde_json::Value;
use shakedown_schemas::scenario::{Arrival, Load, LoadKindInfo};

/// A server that accepts connections and never answers. It keeps them, or closes each at once.
fn mute(keeps: bool) -> Wire {
    let kept: Mutex<Vec<DuplexStream>> = Mutex::default();
    Wire(Arc::new(move || {
        let (near, far) = tokio::io::duplex(64 << 10);
        if keeps {
            kept.lock().unwrap().push(far);
        }
        near
    }))
}

#[tokio::test(start_paused = true)]
async fn every_kind_ends_the_requests_that_nobody_answers() {
    for kind in Load::KINDS {
        for keeps in [true, false] {
            let timeout = std::time::Duration::from_millis(400).into();
            let planned = PlannedLoad {
                name: "load".to_owned(),
                load: Load { timeout, arrival: Some(Arrival::Steady), ..kind.example() },
                endpoint: Endpoint {
                    base: format!("{}://server.test:80", kind.facts.schemes[0].name),
                    addresses: vec![SocketAddr::from(([127, 0, 0, 1], 1))],
                },
                files: Files::default(),
                seed: 1,
            };
            let mut target = target::Target::new(&planned).unwrap();
            target.wire = Some(mute(keeps));
            let seen = send_paused(Engine::of(vec![target]), 100 * MS, 60_000 * MS).await;
            let total = total(&seen);
            let timeouts = total.failed.get(&Failure::Timeout).copied().unwrap_or_default();
            let name = kind.name;
            assert_eq!((total.succeeded, total.requests()), (0, 10), "{name}: {:?}", total.failed);
            assert_eq!(timeouts, if keeps { 10 } else { 0 }, "{name}: {:?}", total.failed);
            let most = total.latency.max().unwrap_or_default();
            assert!(!keeps || most <= 400_000.0 + STEP_US, "{name}: given up after {most} us");
        }
    }
}

/// The load of a kind, compiled with these keys. TLS by the scheme of its URL.
fn compiled(kind: &LoadKindInfo, keys: &Value, is_tls: bool) -> String {
    let mut load = serde_json::to_value(kind.example()).unwrap();
    load.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let planned = PlannedLoad {
        name: "load".to_owned(),
        load: serde_json::from_value(load).unwrap(),
        endpoint: Endpoint {
            base: format!("{}://server.test:80", kind.facts.schemes[usize::from(is_tls)].name),
            addresses: Vec::new(),
        },
        files: Files::of([("rows.csv", b"a\n1\n2\n")]),
        seed: 1,
    };
    format!("{:?}", target::Target::new(&planned).unwrap_or_else(|error| panic!("{} with {keys}: {error}", kind.name)))
}

/// A kind that lists a key in `uses` and drops it here would accept scenarios that mean something else.
#[test]
fn every_key_that_a_kind_uses_changes_what_is_sent() {
    for kind in Load::KINDS {
        assert_eq!(compiled(kind, &json!({}), false), compiled(kind, &json!({}), false), "{}", kind.name);
        for key in kind.facts.uses {
            let (without, with, is_tls) = match *key {
                "version" => (json!({}), json!({"version": "http2"}), false),
                "connections" => (json!({}), json!({"connections": "per_request"}), false),
                "streams" => (json!({"version": "http2"}), json!({"version": "http2", "streams": 7}), false),
                "tls" => (json!({}), json!({"tls": {"server_name": "other.test"}}), true),
                "feeder" => (json!({}), json!({"feeder": {"file": "rows.csv"}}), false),
                "group_by" => (json!({}), json!({"group_by": {"header": "x-worker-id"}}), false),
                other => panic!("`{other}` has no value here: add one that differs from its default"),
            };
            let same = compiled(kind, &without, is_tls) == compiled(kind, &with, is_tls);
            assert!(!same, "`{}` uses `{key}`, which changes nothing of its requests", kind.name);
        }
    }
}
