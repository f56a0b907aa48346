//! What every kind of load does, whatever it sends. A new kind needs no row here.

use std::sync::Mutex;

use tokio::io::DuplexStream;

use super::*;
use shakedown_schemas::scenario::{Arrival, Load};

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
