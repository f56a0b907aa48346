//! A panic of a driver, wherever it happens, against the sandbox with a real partition: nothing stays in the cluster, and
//! the result says what happened.

mod canaries;
mod hanging;

use std::time::Duration;

use async_trait::async_trait;
use shakedown_schemas::Overrides;
use shakedown_schemas::result::{Leftover, Verdict};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;
use crate::plan::Fuse;
use shakedown_cluster::{ConnectOptions, connect};
use shakedown_faults::{FaultDriver, FaultError, Finding};
use shakedown_guard::fuse::Fuses;
use shakedown_guard::leftovers;
use shakedown_guard::lock::Holder;
use shakedown_sandbox::{Sandbox, Topology};

/// Where a driver panics: right after it has done its work there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    OwnedBy,
    Preflight,
    Prepare,
    Inject,
    Prove,
    Settle,
    Undo,
    ProveUndone,
}

const ALL: [At; 8] =
    [At::OwnedBy, At::Preflight, At::Prepare, At::Inject, At::Prove, At::Settle, At::Undo, At::ProveUndone];

/// A driver that does its work, and panics once.
struct Panicking {
    inner: Box<dyn FaultDriver>,
    at: At,
    done: bool,
}

impl Panicking {
    fn pass(&mut self, at: At) {
        if at == self.at && !std::mem::replace(&mut self.done, true) {
            std::panic::panic_any(format!("{at:?} went wrong"));
        }
    }
}

#[async_trait]
impl FaultDriver for Panicking {
    fn owned_by(&mut self, fuses: &Fuses) {
        self.inner.owned_by(fuses);
        self.pass(At::OwnedBy);
    }

    async fn preflight(&mut self) -> Result<(), FaultError> {
        self.inner.preflight().await?;
        self.pass(At::Preflight);
        Ok(())
    }

    async fn prepare(&mut self) -> Result<(), FaultError> {
        self.inner.prepare().await?;
        self.pass(At::Prepare);
        Ok(())
    }

    async fn dismiss(&mut self) -> Result<(), FaultError> {
        self.inner.dismiss().await
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        self.inner.inject().await?;
        self.pass(At::Inject);
        Ok(())
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        let findings = self.inner.prove().await?;
        self.pass(At::Prove);
        Ok(findings)
    }

    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        let findings = self.inner.settle().await?;
        self.pass(At::Settle);
        Ok(findings)
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        self.inner.undo().await?;
        self.pass(At::Undo);
        Ok(())
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        let findings = self.inner.prove_undone().await?;
        self.pass(At::ProveUndone);
        Ok(findings)
    }

    fn leftovers(&self) -> Vec<Leftover> {
        self.inner.leftovers()
    }
}

/// A sandbox with a client and a server in namespace `one`, and a connection to it.
async fn client_and_server() -> (Sandbox, Cluster) {
    _ = rustls::crypto::ring::default_provider().install_default();
    let topology = "namespace: one\nworkloads:\n\
                    - {name: client, namespace: one, start: 20ms, program: {probe: {to: 'server.one:8080', listen: 8080}}}\n\
                    - {name: server, namespace: one, start: 20ms, program: {probe: {to: '', listen: 8080}}}\n";
    let sandbox = Sandbox::start(Topology::parse(topology).unwrap()).await.unwrap();
    let options = ConnectOptions { kubeconfig_text: Some(sandbox.kubeconfig()), ..ConnectOptions::default() };
    let cluster = connect(&options).await.unwrap();
    (sandbox, cluster)
}

/// A scenario that cuts the client off for 200 ms, next to a load on this address.
fn cutting(name: &str, load: &TcpListener) -> Document {
    let text = format!(
        "version: 1\nname: {name}\nnamespace: one\nblast_radius: {{max_percent: 100%}}\n\
         load: {{aside: {{http: {{url: 'http://{}'}}, rate: 1/s, timeout: 100ms}}}}\n\
         phases:\n  - name: cut\n    duration: 200ms\n    expect: [{{requests: {{min: 1}}}}]\n    faults:\n      \
         only: {{partition: {{pods: {{prefix: client}}, from: [{{service: server}}], prove: applied}}}}\n",
        load.local_addr().unwrap()
    );
    shakedown_schemas::parse(&format!("{name}.yaml"), text.as_bytes(), &Overrides::default()).unwrap()
}

fn holder(run: String) -> Holder {
    Holder { run, host: "h".into(), ci_job_url: None }
}

fn context<'a>(cluster: &'a Cluster, holder: &'a Holder, signal: Signal) -> Context<'a> {
    Context {
        cluster: Some(cluster),
        holder,
        wait_lock: Duration::ZERO,
        undo_limit: Duration::from_secs(20),
        signal,
        seed: 7,
        trial: None,
        inject_anyway: false,
        record: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_anywhere_leaves_nothing() {
    let (_sandbox, cluster) = client_and_server().await;
    let load = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let document = cutting("panics", &load);
    for (serial, at) in ALL.into_iter().enumerate() {
        let run = format!("20260301-105959-{serial}");
        let options = Options {
            run: run.clone(),
            serial,
            fuse: Some(Fuse { life: Duration::from_secs(30), image: None }),
            ..Options::for_tests()
        };
        let plan = plan::plan(&document, Some(&cluster), &options).await.unwrap();
        let mut armed = arm::arm(&plan, Some(&cluster)).await.unwrap();
        let wrap = |inner| -> Box<dyn FaultDriver> { Box::new(Panicking { inner, at, done: false }) };
        armed.faults = armed.faults.into_iter().map(|(fault, driver)| (fault, wrap(driver))).collect();
        let (_sender, signal) = watch::channel(None);
        let holder = holder(run);
        let context = context(&cluster, &holder, signal);
        let events = Events::new(Vec::new()).scenario("panics");
        let mut result = report::empty(&document, Some(&cluster), &options);
        let guard = Some(Guard::new(&cluster, Duration::ZERO));
        let it = Execution { document: &document, context: &context, options: &options, events: &events };
        let seen = it.run(&plan, armed, guard, &mut result).await;
        let judged = it.judge(&plan, &seen);
        it.report(seen, judged, &mut result).await;
        assert_eq!(result.leftovers, [], "{at:?}");
        let left = leftovers::find(&cluster, None, "", &leftovers::Kinds::default()).await.unwrap().found;
        assert!(left.is_empty(), "{at:?}: {left:?}");
        // What panics in an undo works the next time; before that, the run has failed, and says so. A look that panics
        // has shown nothing.
        let text = format!("{:?} {:?}", result.errors, result.faults);
        report::conclude(&mut result);
        let verdict = result.verdict;
        match at {
            At::Undo | At::ProveUndone => assert_eq!(result.errors, Vec::<String>::new(), "{at:?}"),
            At::Settle => {
                assert!(text.contains("shakedown itself failed") && verdict != Verdict::Pass, "{at:?}: {text}")
            }
            _ => {
                assert_eq!(verdict, Verdict::Error, "{at:?}: {text}");
                assert!(text.contains(&format!("{at:?} went wrong")), "{at:?}: {text}");
            }
        }
    }
}

/// A bug in the planning, or in anything else that asks the cluster, at each of its requests.
#[tokio::test]
async fn a_panic_in_one_scenario_takes_nothing_from_the_others() {
    let text = "version: 1\nname: later\nnamespace: one\nload: {aside: {http: {url: 'http://127.0.0.1:1'}, rate: 1/s}}\n\
                phases:\n  - name: cut\n    duration: 200ms\n    expect: [{requests: {min: 1}}]\n    faults:\n      \
                only: {pod_kill: {pods: {prefix: client}}}\n";
    let document = shakedown_schemas::parse("later.yaml", text.as_bytes(), &Overrides::default()).unwrap();
    for place in ["leases/", "/pods"] {
        let store = shakedown_cluster::testing::store::Store::default();
        store.script(move |_, asked| {
            assert!(!asked.contains(place), "the request went wrong");
            shakedown_cluster::testing::store::Fate::Answered
        });
        let cluster = store.cluster();
        let (_sender, signal) = watch::channel(None);
        let holder = Holder { run: "r".into(), host: "h".into(), ci_job_url: None };
        let context = Context {
            cluster: Some(&cluster),
            holder: &holder,
            wait_lock: Duration::ZERO,
            undo_limit: Duration::from_secs(20),
            signal,
            seed: 7,
            trial: None,
            inject_anyway: false,
            record: None,
        };
        let events = Events::new(Vec::new()).scenario("later");
        let result = contained(execute(&document, &context, &Options::for_tests(), &events)).await;
        let result = result.expect("the panic stays in the scenario");
        assert_eq!(result.verdict, Verdict::Error, "{place}");
        let mut earlier = report::empty(&document, None, &Options::for_tests());
        earlier.leftovers.push(Leftover { what: "it".into(), command: "remove it".into(), error: "stuck".into() });
        assert_eq!(shakedown_judge::exit_code(&[earlier, result]), 6, "what an earlier one left is reported");
    }
    assert!(contained(async { panic!("anything") }).await.is_err_and(|message: String| message.contains("anything")));
}

#[test]
fn a_leftover_is_listed_once_with_the_command_of_the_fault_that_made_it() {
    let left =
        |what: &str, command: &str| Leftover { what: what.into(), command: command.into(), error: String::new() };
    let all = vec![left("a", "by its fault"), left("b", "by its fault"), left("a", "by the guard"), left("a", "again")];
    let once = super::run::once_each(all);
    let once: Vec<(&str, &str)> = once.iter().map(|left| (left.what.as_str(), left.command.as_str())).collect();
    assert_eq!(once, [("a", "by its fault"), ("b", "by its fault")]);
}
