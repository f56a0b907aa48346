//! Creates the drivers, the port-forwards and the load engine from a plan. Only this file opens connections and watches for a
//! run.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::{BoxFuture, FutureExt};
use shakedown_schemas::result::LoadInfo;

use crate::plan::{Action, FaultSpec, LoadSpec, Plan, Route};
use shakedown_cluster::{Cluster, ClusterError, Following, NotForwarded, Opener, PortForward};
use shakedown_faults::chaos::ChaosFault;
use shakedown_faults::partition::{NetworkPolicyPartition, Switch, Watching, watch};
use shakedown_faults::{ArmedFault, FaultDriver};
use shakedown_load::{Addresses, Engine, NoTunnel, Tunnel};

/// A plan that is ready to run. Dropping it closes its port-forwards and watches.
pub struct Armed {
    /// The loads, in the order of the plan.
    pub loads: Vec<ArmedLoad>,
    /// The engine that sends them.
    pub engine: Engine,
    /// The faults with their drivers, in the order of the plan.
    pub faults: Vec<ArmedFault>,
}

/// A load with its port-forward, if any.
pub struct ArmedLoad {
    spec: LoadSpec,
    forward: Option<PortForward>,
    /// The watch that updates the endpoints of its requests.
    _following: Option<Following>,
}

impl ArmedLoad {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The load as the reports show it, before its requests are counted.
    pub fn info(&self) -> LoadInfo {
        let reconnects = self.forward.as_ref().map_or(0, |forward| forward.reconnects.load(Ordering::Relaxed));
        LoadInfo { reconnects, ..self.spec.info() }
    }
}

/// The load's connections through a port-forward.
#[derive(Debug)]
struct Forwarded(Opener);

impl Tunnel for Forwarded {
    fn open(&self) -> BoxFuture<'static, Result<TcpStream, NoTunnel>> {
        let opened = self.0.open();
        let no = |error| match error {
            NotForwarded::Refused(words) => NoTunnel::Refused(words),
            NotForwarded::Failed(words) => NoTunnel::Failed(words),
        };
        async move { opened.await.map_err(no) }.boxed()
    }
}

/// A plan cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// The cluster refused or did not answer, or a port-forward cannot be opened.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The plan needs a cluster, and none is connected.
    #[error("{0} needs a cluster")]
    NoCluster(String),
    /// The plan has a partition but no policies for partitions. Plans from [`crate::plan`] always have both.
    #[error("fault `{0}`: the plan has no policies for it")]
    NoPolicies(String),
}

/// Makes the drivers and connections of a plan. It opens port-forwards and watches pods; it changes nothing.
///
/// # Errors
/// When a port-forward cannot be opened, or the plan needs a cluster and none is connected.
pub async fn arm(plan: &Plan, cluster: Option<&Cluster>) -> Result<Armed, ArmError> {
    let mut loads = Vec::new();
    let mut compiled = Vec::new();
    for spec in &plan.loads {
        let forward = match (&spec.route, cluster) {
            (Route::Url | Route::Direct { .. } | Route::Endpoints { .. }, _) => None,
            (Route::PortForward { service }, Some(cluster)) => Some(cluster.forward(service).await?),
            (Route::PortForward { .. }, None) => return Err(ArmError::NoCluster(format!("load `{}`", spec.name))),
        };
        let mut load = spec.compiled.clone();
        let mut following = None;
        if let Some(forward) = &forward {
            load = load.through(Arc::new(Forwarded(forward.opener())));
        }
        if let Route::Endpoints { service, addresses } = &spec.route {
            let cluster = cluster.ok_or_else(|| ArmError::NoCluster(format!("load `{}`", spec.name)))?;
            let now = Addresses::new(addresses);
            load = load.following(now.clone());
            following = Some(cluster.follow(service, move |endpoints| _ = now.set(endpoints)).await?);
        }
        compiled.push(load);
        loads.push(ArmedLoad { spec: spec.clone(), forward, _following: following });
    }
    let engine = Engine::compiled(compiled, plan.seed);
    Ok(Armed { loads, engine, faults: drivers(plan, cluster)? })
}

/// The drivers of a plan's faults.
fn drivers(plan: &Plan, cluster: Option<&Cluster>) -> Result<Vec<ArmedFault>, ArmError> {
    let Some(first) = plan.faults.first() else { return Ok(Vec::new()) };
    let cluster = cluster.ok_or_else(|| ArmError::NoCluster(format!("fault `{}`", first.plan.name)))?;
    // The watch starts now, so that a target that is replaced before its fault begins is followed or reported.
    let partitions = plan.partitions.clone().map(|shared| {
        let switch = Switch::new(cluster.clone(), shared.scheme);
        let watching = Arc::new(watch(switch.clone(), shared.marked, shared.listed));
        (switch, watching)
    });
    let drive = |fault: &FaultSpec| Ok((fault.plan.clone(), driver(fault, cluster, partitions.as_ref())?));
    plan.faults.iter().map(drive).collect()
}

fn driver(
    fault: &FaultSpec,
    cluster: &Cluster,
    partitions: Option<&(Switch, Arc<Watching>)>,
) -> Result<Box<dyn FaultDriver>, ArmError> {
    Ok(match &fault.action {
        Action::NetworkPolicy(spec) => {
            let missing = || ArmError::NoPolicies(fault.plan.name.clone());
            let (switch, watching) = partitions.ok_or_else(missing)?;
            Box::new(NetworkPolicyPartition::new(
                switch.clone(),
                spec.clone(),
                fault.plan.targets.clone(),
                watching.clone(),
            ))
        }
        Action::ChaosMesh(spec) => Box::new(ChaosFault::new(cluster.clone(), (**spec).clone())),
        Action::Kubernetes(it) => it.spec().driver(cluster, &fault.plan.targets),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use shakedown_schemas::{Overrides, parse};

    use super::*;
    use crate::plan::{self, Options};
    use shakedown_cluster::{ConnectOptions, connect};
    use shakedown_fakes::kubernetes::{self, json_answer};
    use shakedown_fakes::{Answer, Request};

    /// A cluster that answers each request with this function, except for the first, which asks for the version.
    async fn server(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Cluster {
        _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = kubernetes::server(answer);
        connect(&ConnectOptions { kubeconfig_text: Some(kubeconfig), ..ConnectOptions::default() }).await.unwrap()
    }

    /// A service with one pod, whose port-forwards are refused.
    fn answer(asked: &Request) -> Answer {
        let ok = |object: Value| json_answer(200, object.to_string());
        match asked.target().split('?').next().unwrap_or_default() {
            "/api/v1/namespaces/shop/services/web" => ok(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "targetPort": 8080}]},
            })),
            "/api/v1/namespaces/shop/endpoints/web" => ok(json!({
                "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web", "namespace": "shop"},
                "subsets": [{
                    "addresses": [{"ip": "10.1.0.1", "targetRef": {"kind": "Pod", "name": "web-0"}}],
                    "ports": [{"port": 8080}],
                }],
            })),
            _ => json_answer(403, json!({"kind": "Status", "status": "Failure", "code": 403}).to_string()),
        }
    }

    #[tokio::test]
    async fn a_port_forward_is_opened_only_when_the_plan_is_armed() {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let cluster = server({
            let asked = asked.clone();
            move |request| {
                asked.lock().unwrap().push(request.target().to_owned());
                answer(request)
            }
        })
        .await;
        let forwards = || asked.lock().unwrap().iter().filter(|line| line.contains("portforward")).count();
        let text = "version: 1\nname: t\nnamespace: shop\n\
                    load: {main: {http: {service: 'web:80', reach: port-forward}, rate: 1/s}}\n\
                    phases: [{name: only, duration: 1s, expect: [{requests: {min: 1}}]}]\n";
        let document = parse("t.yaml", text.as_bytes(), &Overrides::default()).unwrap();
        let plan = plan::plan(&document, Some(&cluster), &Options::for_tests()).await.unwrap();
        assert!(matches!(&plan.loads[0].route, Route::PortForward { service } if service.name == "web"));
        assert!(plan::show(&plan).contains("to service web:80 in namespace shop (port-forward)"));
        assert_eq!(forwards(), 0, "{asked:?}");
        let refused = arm(&plan, Some(&cluster)).await.err().unwrap().to_string();
        assert!(refused.contains("refuses every connection"), "{refused}");
        assert!(forwards() > 0, "{asked:?}");
    }

    #[tokio::test]
    async fn a_load_by_service_cannot_be_armed_without_a_cluster() {
        let cluster = server(answer).await;
        let text = "version: 1\nname: t\nnamespace: shop\nload: {main: {http: {service: 'web:80', reach: port-forward}, rate: 1/s}}\n\
                    phases: [{name: only, duration: 1s, expect: [{requests: {min: 1}}]}]\n";
        let document = parse("t.yaml", text.as_bytes(), &Overrides::default()).unwrap();
        let plan = plan::plan(&document, Some(&cluster), &Options::for_tests()).await.unwrap();
        assert!(matches!(arm(&plan, None).await, Err(ArmError::NoCluster(what)) if what == "load `main`"));
    }
}
