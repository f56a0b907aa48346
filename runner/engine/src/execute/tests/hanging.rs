//! An undo that hangs: the run keeps its lock and pushes its fuse until it has given up, and gives up in the planned time.

use std::sync::Arc;
use std::time::Instant;

use shakedown_cluster::testing;

use super::*;

/// How long the undo is tried: longer than the fuse lives, and long enough for the lock to be renewed.
const UNDO: Duration = Duration::from_secs(16);
/// The life of the fuse.
const LIFE: Duration = Duration::from_secs(8);

/// A driver that injects and never succeeds to undo.
struct Hanging(Box<dyn FaultDriver>);

#[async_trait]
impl FaultDriver for Hanging {
    fn owned_by(&mut self, fuses: &Fuses) {
        self.0.owned_by(fuses);
    }

    async fn preflight(&mut self) -> Result<(), FaultError> {
        self.0.preflight().await
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        self.0.inject().await
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        self.0.prove().await
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        Err(FaultError::Stuck("it hangs".into()))
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        self.0.prove_undone().await
    }

    fn leftovers(&self) -> Vec<Leftover> {
        self.0.leftovers()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_and_fuse_outlive_an_undo_that_hangs() {
    let (sandbox, cluster) = client_and_server().await;
    let writes: Arc<std::sync::Mutex<Vec<(Instant, String)>>> = Arc::default();
    let heard = writes.clone();
    let cluster = testing::watched(&cluster, move |(method, path, _)| {
        heard.lock().unwrap().push((Instant::now(), format!("{method} {path}")));
        Box::pin(std::future::ready(()))
    });
    let load = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let document = cutting("hangs", &load);
    let run = "20260301-105959-abcde".to_owned();
    let options = Options { run: run.clone(), fuse: Some(Fuse { life: LIFE, image: None }), ..Options::for_tests() };
    let plan = plan::plan(&document, Some(&cluster), &options).await.unwrap();
    let mut armed = arm::arm(&plan, Some(&cluster)).await.unwrap();
    let hang = |driver| -> Box<dyn FaultDriver> { Box::new(Hanging(driver)) };
    armed.faults = armed.faults.into_iter().map(|(fault, driver)| (fault, hang(driver))).collect();
    let (_sender, signal) = watch::channel(None);
    let holder = holder(run);
    let context = Context { undo_limit: UNDO, ..context(&cluster, &holder, signal) };
    let events = Events::new(Vec::new()).scenario("hangs");
    let mut result = report::empty(&document, Some(&cluster), &options);
    let guard = Some(Guard::new(&cluster, Duration::ZERO));
    let it = Execution { document: &document, context: &context, options: &options, events: &events };
    let begun = Instant::now();
    let seen = Box::pin(it.run(&plan, armed, guard, &mut result)).await;
    let took = begun.elapsed();
    assert!(took >= UNDO - Duration::from_secs(3), "{took:?}");
    let fault = &seen.outcome.faults[0];
    assert_eq!(fault.state, shakedown_schemas::event::FaultState::Left);
    // Neither the lock was lost nor did the fuse burn down while the undo was tried.
    assert_eq!((seen.outcome.errors, seen.outcome.burned), (Vec::<String>::new(), None));
    let writes = writes.lock().unwrap().clone();
    let undoing = begun + Duration::from_secs_f64(fault.undoing_s.unwrap());
    let during = |what: &str| {
        let is_write = |line: &str| line.starts_with("PATCH") || line.starts_with("PUT");
        writes.iter().filter(|(at, line)| *at > undoing && is_write(line) && line.contains(what)).count()
    };
    assert!(during("/leases/") > 0 && during("/jobs/") > 1, "{writes:?}");
    // The lock is released at the very end, and each leftover is listed once.
    let last = |method: &str, what: &str| {
        writes.iter().rposition(|(_, line)| line.starts_with(method) && line.contains(what)).expect("a request")
    };
    assert!(last("DELETE", "/leases/") > last("P", "/leases/"), "{writes:?}");
    let left: Vec<&str> = result.leftovers.iter().map(|left| left.what.as_str()).collect();
    let once: std::collections::BTreeSet<&str> = left.iter().copied().collect();
    assert_eq!(left.len(), once.len(), "{left:?}");
    sandbox.stop().await;
}
