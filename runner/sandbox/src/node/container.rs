//! One container: its command, its program's runs, and whether it is ready.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::ground::{ADDRESS, Ground, NODE};
use super::probe::Probe;
use super::status;
use crate::controllers::events;
use crate::net::Net;
use crate::object;
use crate::program::Program;
use crate::resource::PODS;
use crate::store::Key;

const COMPONENT: &str = "kubelet";
/// The probe interval until a container is first ready.
const EAGER: Duration = Duration::from_millis(25);
/// The first pause before an ended program is restarted. It doubles each time.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest pause before a restart, as on a real node.
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// A program that ran for this long is restarted without a pause.
const STABLE: Duration = Duration::from_secs(600);

/// A container of a living pod.
pub(super) struct Container {
    pub ground: Ground,
    pub pod: std::sync::Arc<Value>,
    pub index: usize,
    /// The images of all containers of the pod.
    pub images: watch::Receiver<Vec<String>>,
    pub ip: Ipv4Addr,
    pub net: Net,
}

/// How a run of a container's program ended.
enum Ended {
    /// The program ended by itself, or the pod is being deleted.
    Program(io::Result<()>),
    /// The program was killed.
    Killed,
    /// Its image was changed.
    Replaced,
}

impl Container {
    fn spec(&self) -> &Value {
        &self.pod["spec"]["containers"][self.index]
    }

    fn name(&self) -> &str {
        object::text(self.spec(), "/name")
    }

    /// Runs until the container has ended for good or was stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut restarts = 0_u32;
        loop {
            let image = self.images.borrow_and_update().get(self.index).cloned().unwrap_or_default();
            let program = match program(&self.pod, self.spec(), &image, self.ip) {
                Ok(program) => program,
                Err(why) => {
                    self.say(true, "Failed", &format!("Error: {why}"));
                    self.set(|c| {
                        c["state"] = json!({"waiting": {"reason": "CreateContainerError", "message": why}});
                        (c["image"], c["ready"]) = (image.as_str().into(), false.into());
                    });
                    tokio::select! {
                        () = stop.cancelled() => return,
                        changed = self.images.changed() => if changed.is_err() { return },
                    }
                    continue;
                }
            };
            self.say(false, "Pulled", &format!("Container image {image:?} already present on machine"));
            self.say(false, "Created", &format!("Created container: {}", self.name()));
            let began = Instant::now();
            let started_at = self.ground.registry.store.clock.stamp();
            self.say(false, "Started", &format!("Started container {}", self.name()));
            self.set(|c| {
                c["state"] = json!({"running": {"startedAt": started_at}});
                (c["image"], c["started"], c["restartCount"]) = (image.into(), true.into(), restarts.into());
            });
            let ended = self.run_once(program, &stop).await;
            let finished_at = self.ground.registry.store.clock.stamp();
            let (code, reason, message) = match &ended {
                Ended::Program(Ok(())) => (0, "Completed", None),
                Ended::Program(Err(error)) => (1, "Error", Some(error.to_string())),
                // The exit code of SIGKILL by shell convention.
                Ended::Killed | Ended::Replaced => (137, "Error", Some("it was killed".to_owned())),
            };
            let terminated = json!({"terminated": {"exitCode": code, "reason": reason, "message": message,
                "startedAt": started_at, "finishedAt": finished_at}});
            self.set(|c| {
                c["state"] = terminated.clone();
                (c["ready"], c["started"]) = (false.into(), false.into());
            });
            let replaced = matches!(ended, Ended::Replaced);
            let policy = object::text(&self.pod, "/spec/restartPolicy");
            let again = replaced || policy == "Always" || (policy == "OnFailure" && code != 0);
            if stop.is_cancelled() || !again {
                return;
            }
            let pause = if replaced || began.elapsed() >= STABLE { Duration::ZERO } else { backoff(restarts) };
            restarts += 1;
            if !pause.is_zero() {
                let (name, why) = (self.name(), message.unwrap_or_else(|| "the program ended".into()));
                self.say(true, "BackOff", &format!("Back-off restarting failed container {name} in pod: {why}"));
                self.set(|c| {
                    c["state"] = json!({"waiting": {"reason": "CrashLoopBackOff", "message": why}});
                });
            }
            self.set(|c| (c["lastState"], c["restartCount"]) = (terminated, restarts.into()));
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn run_once(&mut self, program: Program, stop: &CancellationToken) -> Ended {
        let (registry, uid) = (self.ground.registry.clone(), object::uid(&self.pod).to_owned());
        let killed = registry.kills.arm(&uid, self.name());
        let (printed, printer) = (registry.clone(), uid.clone());
        let print = move |line| printed.logs.print(&printer, printed.store.clock.now(), line);
        let own_stop = stop.child_token();
        let run = program.run(self.net.clone(), print, own_stop.clone());
        let mut images = self.images.clone();
        let watch = async {
            self.watch_readiness().await;
            std::future::pending().await
        };
        tokio::pin!(run, watch);
        let replaced = tokio::select! {
            ended = &mut run => {
                registry.kills.disarm(&uid, self.name());
                return Ended::Program(ended);
            }
            () = killed.cancelled() => return Ended::Killed,
            () = stop.cancelled() => false,
            Ok(()) = images.changed() => true,
            never = as_never(&mut watch) => match never {},
        };
        registry.kills.disarm(&uid, self.name());
        let name = self.name();
        if !replaced {
            self.say(false, "Killing", &format!("Stopping container {name}"));
            self.set(|c| c["ready"] = false.into());
            return Ended::Program(run.await);
        }
        self.say(false, "Killing", &format!("Container {name} definition changed, will be restarted"));
        self.set(|c| c["ready"] = false.into());
        own_stop.cancel();
        let grace = object::number(&self.pod, "/spec/terminationGracePeriodSeconds").unwrap_or(30);
        // A program that is still running after its grace period is killed: dropped with this future.
        let _ = timeout(Duration::from_secs(u64::try_from(grace).unwrap_or(0)), run).await;
        Ended::Replaced
    }

    /// Keeps `ready` up to date.
    async fn watch_readiness(&self) {
        let Some(probe) = Probe::of(self.spec(), self.ip) else {
            self.set(|c| c["ready"] = true.into());
            return;
        };
        let outside = self.ground.links.outside();
        if !self.ground.registry.starting.load(Ordering::Relaxed) {
            sleep(probe.delay).await;
        }
        let (mut ready, mut was_ready, mut failures) = (false, false, 0);
        loop {
            let ok = probe.ask(&outside).await;
            failures = if ok { 0 } else { failures + 1 };
            if ok != ready && (ok || failures >= probe.failures) {
                ready = ok;
                was_ready |= ok;
                self.set(|c| c["ready"] = ok.into());
                if !ok {
                    self.say(true, "Unhealthy", "Readiness probe failed");
                }
            }
            sleep(if was_ready { probe.period } else { EAGER }).await;
        }
    }

    fn set(&self, change: impl FnOnce(&mut Value)) {
        let now = self.ground.registry.store.clock.stamp();
        let key = Key::of(&PODS, &self.pod);
        self.ground.registry.modify(&key, object::uid(&self.pod), |pod| {
            status::set_container(pod, self.index, change, &now);
        });
    }

    fn say(&self, warning: bool, reason: &str, message: &str) {
        events::emit(&self.ground.registry, &self.pod, COMPONENT, warning, reason, message);
    }
}

async fn as_never(future: impl Future<Output = std::convert::Infallible>) -> std::convert::Infallible {
    future.await
}

fn backoff(restarts: u32) -> Duration {
    BACKOFF.saturating_mul(1 << restarts.min(16)).min(MAX_BACKOFF)
}

/// The program that a container's command line means.
fn program(pod: &Value, container: &Value, image: &str, ip: Ipv4Addr) -> Result<Program, String> {
    let variables = variables(pod, container, ip);
    let words: Vec<String> = ["/command", "/args"]
        .iter()
        .flat_map(|part| object::list(container, part))
        .filter_map(Value::as_str)
        .map(|word| expand(word, &variables))
        .collect();
    let shown = || {
        format!(
            "the sandbox runs only its own programs (command `shakedown pod bus`, `frontend` or `worker`), not image \
             {image:?} with command {words:?}"
        )
    };
    // Chaos Mesh gives this image to the containers of a pod that is to fail.
    if image.rsplit('/').next().is_some_and(|name| name.starts_with("pause")) {
        let wanted = words.first().map(String::as_str).unwrap_or_default();
        return Err(format!("exec: {wanted:?}: executable file not found in image {image:?}"));
    }
    let rest = match words.as_slice() {
        [first, rest @ ..] if first == "shakedown" || first.ends_with("/shakedown") => rest,
        // The image's own entry point.
        rest if image.starts_with("shakedown") => rest,
        _ => return Err(shown()),
    };
    match rest {
        [first, rest @ ..] if first == "pod" => Program::parse(rest),
        _ => Err(shown()),
    }
}

fn variables(pod: &Value, container: &Value, ip: Ipv4Addr) -> BTreeMap<String, String> {
    let field = |path: &str| match path {
        "metadata.name" => object::name(pod).to_string(),
        "metadata.namespace" => object::namespace(pod).to_string(),
        "metadata.uid" => object::uid(pod).to_string(),
        "spec.nodeName" => NODE.to_string(),
        "status.hostIP" => ADDRESS.to_string(),
        "status.podIP" => ip.to_string(),
        _ => String::new(),
    };
    let mut variables = BTreeMap::new();
    for variable in object::list(container, "/env") {
        let value = match variable["value"].as_str() {
            Some(value) => expand(value, &variables),
            None => field(object::text(variable, "/valueFrom/fieldRef/fieldPath")),
        };
        variables.insert(object::text(variable, "/name").to_string(), value);
    }
    variables
}

/// Replaces `$(NAME)`; `$$` is a dollar sign, and unknown names stay as they are.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let (mut result, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((value, after)) = rest
            .strip_prefix('(')
            .and_then(|r| r.split_once(')'))
            .and_then(|(n, after)| Some((variables.get(n)?, after)))
        {
            result.push_str(value);
            rest = after;
        } else {
            result.push('$');
        }
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::WorkerConfig;

    const IP: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 9);

    #[test]
    fn variables_are_expanded_as_on_a_real_node() {
        let variables = [("A".to_string(), "1".to_string())].into();
        for (text, expected) in
            [("x$(A)y", "x1y"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$A $", "$A $"), ("$(A", "$(A")]
        {
            assert_eq!(expand(text, &variables), expected);
        }
    }

    #[test]
    fn a_worker_is_named_after_its_pod() {
        let pod = json!({"metadata": {"name": "w-1"}});
        let container = json!({
            "command": ["/usr/bin/shakedown", "pod"], "args": ["worker", "--config", "{\"id\":\"$(POD_NAME)\"}"],
            "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        });
        let expected = Program::Worker(WorkerConfig { id: "w-1".into(), ..WorkerConfig::default() });
        assert_eq!(program(&pod, &container, "any", IP), Ok(expected));
        assert!(program(&pod, &container, "registry/pause:3.9", IP).unwrap_err().contains("not found"));
    }

    #[test]
    fn other_programs_are_refused_with_a_reason() {
        let container = json!({"command": ["nginx"]});
        let why = program(&json!({}), &container, "nginx", IP).unwrap_err();
        assert!(why.contains("only its own programs") && why.contains("nginx"), "{why}");
        let container = json!({"args": ["pod", "database"]});
        assert!(program(&json!({}), &container, "shakedown:latest", IP).unwrap_err().contains("no program `database`"));
    }
}
