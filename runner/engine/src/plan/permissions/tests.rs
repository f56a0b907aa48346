//! What a scenario is said to need, against what its run really asks of an API server, and against each refusal.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use http::Method;
use serde_json::{Value, json};
use shakedown_schemas::result::{ScenarioResult, Verdict};
use shakedown_schemas::scenario::{Access, Means};
use shakedown_schemas::{EventKind, Overrides};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::needs::{Kinds, Scenario, Sorted};
use super::*;
use crate::events::Events;
use crate::execute::{self, Context};
use crate::plan::{self, Fuse, Proof};
use shakedown_cluster::permissions::{Scope, rows};
use shakedown_cluster::testing::{Asked, answering, watched};
use shakedown_cluster::{CHAOS_GROUP, ConnectOptions, Kind, WitnessImage, connect};
use shakedown_guard::lock::Holder;
use shakedown_sandbox::{Sandbox, Topology};

/// Parts of scenarios, each with something of its own that it needs: the load, the fault, an expectation.
const SCENARIOS: [(&str, &str, &str, &str); 14] = [
    (
        "labels",
        "",
        "{partition: {pods: {labels: {app: client}}, from: [{pods: {labels: {app: server}, namespace: two}}], prove: applied}}",
        "",
    ),
    (
        "owner",
        "",
        "{partition: {pods: {owner: deployment/client}, from: [{pods: {prefix: server, namespace: two}}], prove: applied, follow: true}}",
        "",
    ),
    (
        "witness",
        "",
        "{partition: {pods: {prefix: client}, from: [{service: server}], direction: egress, prove: witness}}",
        "",
    ),
    ("auto", "", "{partition: {pods: {prefix: client}, from: [{service: server}], direction: egress}}", ""),
    (
        "follow",
        "",
        "{netem: {pods: {owner: deployment/client}, to: [{service: server}], delay: 10ms, follow: true}}",
        "",
    ),
    ("chaos", "", "{partition: {pods: {prefix: client}, from: [{service: server}], engine: chaos-mesh}}", ""),
    ("netem", "", "{netem: {pods: {prefix: client}, to: [{pods: {prefix: server, namespace: two}}], loss: 10%}}", ""),
    ("kill", "", "{pod_kill: {pods: {prefix: client}, grace_period: 0s}}", "{pods: {restarts: {max: 5}}}"),
    (
        "evict",
        "",
        "{pod_kill: {pods: {prefix: client}, grace_period: 0s, evict: true}}",
        "{logs: {matches: x, min: 0}}",
    ),
    ("failure", "", "{pod_failure: {pods: {prefix: client}}}", ""),
    (
        "manifest",
        "",
        "{manifest: {object: {apiVersion: v1, kind: ConfigMap, metadata: {namespace: two}}, active_when: [{field: metadata.name, \
         exists: true}]}}",
        "",
    ),
    ("stress", "", "{stress: {pods: {prefix: client}, cpu: {workers: 1}}}", ""),
    ("service", "{http: {service: 'server:8080'}, rate: 1/s, timeout: 100ms}", "", ""),
    // The sandbox carries no port-forwards, so this one can be planned and not run.
    ("forward", "{http: {service: 'server:8080', reach: port-forward}, rate: 1/s, timeout: 100ms}", "", ""),
];

type Parts = (&'static str, &'static str, &'static str, &'static str);

/// The table, with the example of each kind that has no row and that the Kubernetes API alone carries out. Faults by Chaos
/// Mesh all need the same.
fn scenarios() -> Vec<Parts> {
    let mut all = SCENARIOS.to_vec();
    for kind in Fault::KINDS {
        let alone = kind.facts.means.iter().any(|means| matches!(means, Means::Kubernetes { .. }));
        let is_modelled = !matches!(kind.facts.sandbox, shakedown_schemas::scenario::Sandbox::No(_));
        let has_row = SCENARIOS.iter().any(|(_, _, fault, _)| fault.starts_with(&format!("{{{}:", kind.name)));
        if alone && !has_row {
            let name = kind.name;
            assert!(
                is_modelled,
                "{name}: the sandbox has to model it: nothing else compares its permissions with what it asks"
            );
            let mut example = serde_json::to_value(kind.example()).unwrap();
            example[kind.name]["pods"] = json!({"prefix": "client"});
            // A part of names of objects.
            let name = kind.name.replace('_', "-");
            all.push((name.leak(), "", example.to_string().leak(), ""));
        }
    }
    all
}

struct World {
    _sandbox: Sandbox,
    cluster: Cluster,
    aside: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl World {
    async fn new() -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let workload = |name: &str, namespace: &str| {
            format!(
                "- {{name: {name}, namespace: {namespace}, start: 20ms, program: {{probe: {{to: 'server.one:8080', listen: \
                 8080}}}}}}\n"
            )
        };
        let workloads = [("client", "one"), ("server", "one"), ("server", "two")].map(|(name, at)| workload(name, at));
        let text = format!("namespace: one\nnamespaces: {{two: {{}}}}\nworkloads:\n{}", workloads.concat());
        let sandbox = Sandbox::start(Topology::parse(&text).unwrap()).await.unwrap();
        let options = ConnectOptions { kubeconfig_text: Some(sandbox.kubeconfig()), ..ConnectOptions::default() };
        let cluster = connect(&options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let aside = listener.local_addr().unwrap();
        // It accepts connections, and answers nothing.
        let accepting = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let world = Self { _sandbox: sandbox, cluster, aside, _accepting: AbortOnDropHandle::new(accepting) };
        world.ready().await;
        world
    }

    /// The client runs, once: what an earlier scenario killed is replaced.
    async fn ready(&self) {
        loop {
            let pods = self.cluster.list(Kind::Pod, "one", Some("app=client")).await.unwrap();
            let runs = |pod: &Value| {
                let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
                let ready = conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
                ready && pod["metadata"]["deletionTimestamp"].is_null()
            };
            if pods.len() == 1 && pods.iter().all(runs) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn document(&self, (name, load, fault, expect): Parts) -> Document {
        let aside = format!("{{http: {{url: 'http://{}'}}, rate: 1/s, timeout: 100ms}}", self.aside);
        let load = if load.is_empty() { &aside } else { load };
        let faults = if fault.is_empty() { "{}" } else { &format!("{{only: {fault}}}") };
        let more = if expect.is_empty() { String::new() } else { format!(", {expect}") };
        let radius = if fault.contains("pods") { "blast_radius: {max_percent: 100%}\n" } else { "" };
        let text = format!(
            "version: 1\nname: {name}\nnamespace: one\n{radius}load: {{only: {load}}}\nphases:\n  - name: cut\n    \
             duration: 1s\n    faults: {faults}\n    expect: [{{requests: {{min: 1}}}}{more}]\n"
        );
        shakedown_schemas::parse("it.yaml", text.as_bytes(), &Overrides::default())
            .unwrap_or_else(|problems| panic!("{text}\n{problems:?}"))
    }

    fn options(&self, run: &str) -> Options {
        Options {
            run: run.to_owned(),
            fuse: Some(Fuse { life: Duration::from_secs(30), image: None }),
            proof: Proof { image: Some(WitnessImage::named("shakedown:latest")), ..Proof::default() },
            ..Options::for_tests()
        }
    }

    async fn run(&self, document: &Document, cluster: &Cluster, run: &str) -> ScenarioResult {
        let (_sender, signal) = watch::channel(None);
        let holder = Holder { run: run.to_owned(), host: "h".into(), ci_job_url: None };
        let context = Context {
            cluster: Some(cluster),
            holder: &holder,
            wait_lock: Duration::from_secs(60),
            undo_limit: Duration::from_secs(20),
            signal,
            seed: 7,
            trial: None,
            inject_anyway: true,
            record: None,
        };
        let events = Events::new(Vec::new()).scenario(&document.scenario.name);
        execute::execute(document, &context, &self.options(run), &events).await
    }

    async fn needs(&self, document: &Document) -> Sorted {
        let options = self.options("20260301-105959-plan");
        let plan = plan::plan(document, Some(&self.cluster), &options).await.unwrap();
        let kinds = Kinds::default();
        Scenario { document, namespace: "one", options: &options, plan: Some(&plan), kinds: &kinds }.needs()
    }
}

/// A request as the API server's authorizer sees it, as text: resources that no list of ours knows can come. None for
/// what is about no object.
fn attributes((method, path, _): &Asked) -> Option<(String, String)> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let resource = match rest {
        [] => return None,
        [resource] | [resource, _] => (*resource).to_owned(),
        [resource, _, part, ..] => format!("{resource}/{part}"),
    };
    let verb = match (method.as_str(), rest.len()) {
        ("GET", 1) if query.contains("watch=") => "watch",
        ("GET", 1) => "list",
        ("GET", _) if resource.ends_with("portforward") => "create",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        _ => "delete",
    };
    let dot = if group.is_empty() { "" } else { "." };
    Some((namespace.to_owned(), format!("{verb} {resource}{dot}{group}")))
}

fn text(access: Access) -> String {
    let need = Need { namespace: String::new(), access };
    need.to_string().replace(" in the whole cluster", "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_asks_nothing_of_the_cluster_that_was_not_named() {
    let world = World::new().await;
    // What improves planning in the whole cluster, and what needs no permission or is done without: where it may not be
    // read, a namespace is believed to be there.
    let wide = rows().into_iter().filter(|row| matches!(row.scope, Scope::Wide | Scope::Usage)).flat_map(|row| row.all);
    let wide: BTreeSet<(String, String)> = wide
        .map(text)
        .chain(["get namespaces", "create selfsubjectaccessreviews.authorization.k8s.io"].map(str::to_owned))
        .map(|text| (String::new(), text))
        .collect();
    let mut problems = Vec::new();
    for scenario in scenarios().into_iter().filter(|(name, ..)| *name != "forward") {
        world.ready().await;
        let document = world.document(scenario);
        let asked: Arc<Mutex<BTreeSet<(String, String)>>> = Arc::default();
        let cluster = watched(&world.cluster, {
            let asked = asked.clone();
            move |request| {
                asked.lock().unwrap().extend(attributes(&request));
                async {}.boxed()
            }
        });
        let needs = world.needs(&document).await;
        let result = world.run(&document, &cluster, &format!("20260301-105959-{}", scenario.0)).await;
        // Nothing answers the load, so nothing is proven; but everything was done.
        assert!(result.errors.is_empty(), "{}: {:?}", scenario.0, result.errors);
        assert!(result.faults.iter().all(|fault| fault.injected_s.is_some()), "{}: {:?}", scenario.0, result.faults);
        assert_eq!(result.leftovers, [], "{}", scenario.0);
        let of = |needs: &Needs| -> BTreeSet<(String, String)> {
            needs.keys().map(|need| (need.namespace.clone(), text(need.access))).collect()
        };
        let named = of(&needs.certain);
        let granted: BTreeSet<(String, String)> =
            [named.clone(), of(&needs.witness), of(&needs.optional), wide.clone()].into_iter().flatten().collect();
        let asked = asked.lock().unwrap().clone();
        // The Role that is printed has all that a run asks for.
        problems.extend(asked.difference(&granted).map(|it| format!("{} asked {it:?}", scenario.0)));
        let used = |it: &&(String, String)| !asked.contains(it) && !is_conditional(&it.1);
        problems.extend(named.iter().filter(used).map(|it| format!("{} did not ask {it:?}", scenario.0)));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What is needed at some moments only: when policies or locks are shared or taken over, when something is looked for that
/// was left, when Chaos Mesh asks on behalf of peers, or where the whole cluster cannot be listed.
fn is_conditional(access: &str) -> bool {
    let moments =
        ["update networkpolicies", "list networkpolicies", "get networkpolicies", "update leases", "list jobs"];
    let lists = ["list pods", "watch pods", "get pods", "patch jobs", "get jobs"];
    moments.iter().chain(&lists).any(|it| access.starts_with(it)) || access.contains(CHAOS_GROUP)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_permission_is_an_error_before_anything_is_done() {
    let world = World::new().await;
    for scenario in scenarios() {
        world.ready().await;
        let document = world.document(scenario);
        for need in world.needs(&document).await.certain.into_keys() {
            let done: Arc<Mutex<Vec<Asked>>> = Arc::default();
            let denied = need.clone();
            let cluster = answering(&world.cluster, {
                let done = done.clone();
                move |asked| {
                    let review = asked.1.contains("selfsubject");
                    if asked.0 != Method::GET && !review {
                        done.lock().unwrap().push(asked.clone());
                    }
                    (review && reviewed(&asked.2) == Some(reviewed_as(&denied)))
                        .then(|| (201, json!({"status": {"allowed": false}})))
                }
            });
            let result = world.run(&document, &cluster, "20260301-105959-denied").await;
            let place = format!("{}: {need}", scenario.0);
            assert_eq!(result.verdict, Verdict::Error, "{place}");
            let error = result.errors.join("\n");
            assert!(error.contains(&format!("\n  {need}\n")), "{place}: {error}");
            let role = if need.namespace.is_empty() { "ClusterRole" } else { "Role" };
            assert!(error.contains(&format!("kind: {role}\n")), "{place}: {error}");
            assert!(error.contains(&format!("kind: {role}Binding\n")), "{place}: {error}");
            assert!(result.loads.is_empty(), "{place}");
            assert!(done.lock().unwrap().is_empty(), "{place}: {:?}", done.lock().unwrap());
        }
    }
}

/// What a review asks about.
fn reviewed(review: &Value) -> Option<[String; 5]> {
    let attributes = review["spec"]["resourceAttributes"].as_object()?;
    let fields = ["namespace", "group", "resource", "subresource", "verb"];
    Some(fields.map(|field| attributes[field].as_str().unwrap_or_default().to_owned()))
}

fn reviewed_as(need: &Need) -> [String; 5] {
    let (resource, part) = need.access.resource.split_once('/').unwrap_or((need.access.resource, ""));
    [&need.namespace, need.access.group, resource, part, need.access.verb].map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_reviews_is_a_warning() {
    let world = World::new().await;
    for code in [403, 404] {
        let reviews = Arc::new(Mutex::new(0));
        let cluster = answering(&world.cluster, {
            let reviews = reviews.clone();
            move |(_, path, _)| {
                let review = path.contains("selfsubjectaccessreviews");
                *reviews.lock().unwrap() += usize::from(review);
                review.then(|| (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"})))
            }
        });
        let document = world.document(SCENARIOS[0]);
        let result = world.run(&document, &cluster, "20260301-105959-silent").await;
        assert_eq!(result.errors, Vec::<String>::new(), "{code}");
        let warned =
            |it: &&shakedown_schemas::Event| matches!(&it.kind, EventKind::Warning { message } if message == REFUSED);
        assert_eq!(result.events.iter().filter(warned).count(), 1, "{code}: {:?}", result.events);
        // A handful here, and those of the fuse.
        assert!(*reviews.lock().unwrap() <= 5 + 4, "{code}");
    }
}

/// Planning fails at the first thing that it may not read. The error names all that may be needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_refused_a_read_names_everything_at_once() {
    let world = World::new().await;
    let cluster = answering(&world.cluster, |asked| {
        let policies = |text: &str| text.contains("networkpolicies");
        if asked.1.contains("selfsubjectaccessreviews") {
            return policies(&asked.2.to_string()).then(|| (201, json!({"status": {"allowed": false}})));
        }
        policies(&asked.1).then(|| (403, json!({"kind": "Status", "status": "Failure", "code": 403, "message": "no"})))
    });
    let fault = "{partition: {pods: {prefix: client}, from: [{pods: {prefix: server, namespace: two}}]}}";
    let document = world.document(("open", "", fault, ""));
    let result = world.run(&document, &cluster, "20260301-105959-open").await;
    let error = result.errors.join("\n");
    for verb in ["get", "list", "create", "update", "delete"] {
        let missing = format!("\n  {verb} networkpolicies.networking.k8s.io in namespace one\n");
        assert!(error.contains(&missing), "{missing}: {error}");
    }
    // Only policies in the targets' namespaces are read.
    assert!(!error.contains("networkpolicies.networking.k8s.io in namespace two"), "{error}");
    assert!(error.contains("\nplanning ended with: "), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_the_scenario_uses_is_asked_for() {
    let world = World::new().await;
    let asked = |needs: Sorted| -> BTreeSet<String> { needs.certain.keys().map(ToString::to_string).collect() };
    assert!(asked(world.needs(&world.document(("aside", "", "", ""))).await).is_empty());
    let forward = asked(world.needs(&world.document(SCENARIOS[13])).await);
    let three = ["get services", "get endpoints", "create pods/portforward"].map(|it| format!("{it} in namespace one"));
    assert_eq!(forward, BTreeSet::from(three));
    let kill = asked(world.needs(&world.document(SCENARIOS[7])).await);
    assert!(kill.contains("delete pods in namespace one") && !kill.contains("patch pods in namespace one"), "{kill:?}");
    assert!(!kill.iter().any(|it| it.contains("networkpolicies") || it.contains("eviction")), "{kill:?}");
    let evict = asked(world.needs(&world.document(SCENARIOS[8])).await);
    assert!(evict.contains("create pods/eviction in namespace one") && !evict.contains("delete pods in namespace one"));
    let manifest = asked(world.needs(&world.document(SCENARIOS[10])).await);
    assert!(manifest.contains("create configmaps in namespace two"), "{manifest:?}");
    assert!(manifest.contains("create jobs.batch in namespace two"), "{manifest:?}");
}

/// A Role may allow objects by name alone. Each need of this kind is then asked for again with the names that the plan knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_allows_only_named_objects_suffices() {
    let world = World::new().await;
    let by_name = |verb: &Value| ["get", "update", "patch", "delete"].iter().any(|it| verb == *it);
    for scenario in scenarios() {
        world.ready().await;
        let names: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let cluster = answering(&world.cluster, {
            let names = names.clone();
            move |asked| {
                let attributes = &asked.2["spec"]["resourceAttributes"];
                let is_limited = asked.1.contains("selfsubjectaccessreviews") && by_name(&attributes["verb"]);
                if !is_limited {
                    return None;
                }
                let name = attributes["name"].as_str().unwrap_or_default().to_owned();
                let allowed = !name.is_empty() || attributes["resource"] == "podnetworkchaos";
                names.lock().unwrap().insert(name);
                Some((201, json!({"status": {"allowed": allowed}})))
            }
        });
        let document = world.document(scenario);
        let options = world.options("20260301-105959-names");
        let permissions = Permissions::of_scenario(&document, Some(&cluster), &options).await.unwrap();
        let permitted = plan::permitted(&document, Some(&cluster), &options, permissions).await;
        let refusal = permitted.refusal;
        // Pods that take the places of others have unknown names; peers of Chaos Mesh, and pods whose logs are searched,
        // are read as they are found.
        let unknown = ["owner", "follow", "chaos", "netem", "evict"].contains(&scenario.0);
        assert_eq!(refusal.is_some(), unknown, "{}: {refusal:?}", scenario.0);
        let lock = names.lock().unwrap().contains("shakedown-lock");
        assert_eq!(lock, !scenario.2.is_empty(), "{}", scenario.0);
    }
}

/// A witness that is not demanded: without its permissions the run goes on with a warning, and the Role grants them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_has_what_a_planned_witness_needs_and_its_absence_is_a_warning() {
    let world = World::new().await;
    let denying = |words: &'static [&'static str]| {
        answering(&world.cluster, move |asked| {
            let text = asked.2.to_string();
            let denied = asked.1.contains("selfsubjectaccessreviews") && words.iter().all(|word| text.contains(word));
            denied.then(|| (201, json!({"status": {"allowed": false}})))
        })
    };
    let document = world.document(SCENARIOS[3]);
    let run = "20260301-105959-unseen";
    let result = world.run(&document, &denying(&["\"pods\"", "\"create\""]), run).await;
    assert_eq!(result.errors, Vec::<String>::new());
    let warnings: Vec<String> = result
        .events
        .iter()
        .filter_map(|it| match &it.kind {
            EventKind::Warning { message } => Some(message.clone()),
            _ => None,
        })
        .collect();
    let warnings = warnings.join("\n");
    assert!(warnings.contains("\n  create pods in namespace one\n"), "{warnings}");
    let result = world.run(&document, &denying(&["leases", "\"create\""]), run).await;
    let error = result.errors.join("\n");
    for rule in ["resources: [pods], verbs: [watch, create, delete]", "resources: [pods/log], verbs: [get]"] {
        assert!(error.contains(rule), "{rule}: {error}");
    }
}

/// Where planning is refused something, the kinds of manifests are asked for all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kind_of_a_manifest_is_named_although_planning_was_refused() {
    let world = World::new().await;
    let refused = json!({"kind": "Status", "status": "Failure", "code": 403, "message": "no"});
    let cluster = answering(&world.cluster, move |asked| {
        if asked.1.contains("selfsubjectaccessreviews") {
            let text = asked.2.to_string();
            let denied = text.contains("configmaps") || text.contains("secrets") || text.contains("\"pods\"");
            return denied.then(|| (201, json!({"status": {"allowed": false}})));
        }
        asked.1.contains("/pods").then(|| (403, refused.clone()))
    });
    let fault = "{manifest: {pods: {prefix: client}, object: {apiVersion: v1, kind: ConfigMap, metadata: {namespace: two}}, \
                 active_when: [{field: data, exists: true, of: {api_version: v1, kind: Secret, name: it, namespace: three}}]}}";
    let result = world.run(&world.document(("hidden", "", fault, "")), &cluster, "20260301-105959-hidden").await;
    let error = result.errors.join("\n");
    for need in
        ["create configmaps in namespace two", "delete configmaps in namespace two", "get secrets in namespace three"]
    {
        assert!(error.contains(&format!("\n  {need}\n")), "{need}: {error}");
    }
    assert!(error.contains("resources: [configmaps], verbs: [get, create, delete]"), "{error}");
}

/// The undo of a Schedule is proven by lists of what it has made, and it is paused first. Nothing else needs this.
#[test]
fn the_manifest_of_a_schedule_needs_to_list_what_it_makes() {
    for (name, needed) in [("Schedule", true), ("NetworkChaos", false)] {
        let version = "chaos-mesh.org/v1alpha1";
        let text = format!(
            "version: 1\nname: it\nnamespace: one\nload: {{only: {{http: {{url: 'http://127.0.0.1:1'}}, rate: 1/s, timeout: \
             100ms}}}}\nphases:\n  - name: cut\n    duration: 1s\n    faults: {{only: {{manifest: {{object: {{apiVersion: \
             {version}, kind: {name}}}, active_when: [{{field: status, exists: true}}]}}}}}}\n    expect: [{{requests: {{min: \
             1}}}}]\n"
        );
        let document = shakedown_schemas::parse("it.yaml", text.as_bytes(), &Overrides::default()).unwrap();
        let kind = Kind::other(version, name, &name.to_lowercase());
        let kinds = Kinds::from([((version.to_owned(), name.to_owned()), (kind, true))]);
        let options = Options::for_tests();
        let needs =
            Scenario { document: &document, namespace: "one", options: &options, plan: None, kinds: &kinds }.needs();
        let lists = |needs: &Needs| {
            needs.keys().any(|need| need.access.verb == "list" && need.access.resource == "stresschaos")
        };
        assert_eq!((lists(&needs.possible), lists(&needs.optional)), (needed, false), "{name}");
        let pauses =
            needs.optional.keys().any(|need| need.access.verb == "patch" && need.access.resource == "schedule");
        assert_eq!(pauses, needed, "{name}");
    }
}
