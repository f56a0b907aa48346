//! One container: its command, its program's runs, and whether it is ready.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::probe::Probe;
use super::{Ground, status};
use crate::sandbox::controllers::events;
use crate::sandbox::net::Net;
use crate::sandbox::object;
use crate::sandbox::program::Program;
use crate::sandbox::resource::PODS;
use crate::sandbox::store::Key;

const COMPONENT: &str = "kubelet";
/// How often a container is probed until it is ready for the first time.
const EAGER: Duration = Duration::from_millis(25);
/// The first pause before a program that ended is started again; it doubles each time.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest such pause, as on a real node.
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// A program that ran for this long starts again without a pause.
const STABLE: Duration = Duration::from_secs(600);

/// A container of a living pod.
pub(super) struct Container {
    pub ground: Ground,
    pub pod: std::sync::Arc<Value>,
    pub index: usize,
    pub ip: Ipv4Addr,
    pub net: Net,
}

impl Container {
    fn spec(&self) -> &Value {
        &self.pod["spec"]["containers"][self.index]
    }

    /// Runs until the container has ended for good, or was told to stop and did.
    pub async fn run(self, stop: CancellationToken) {
        let program = match program(&self.pod, self.spec(), self.ip) {
            Ok(program) => program,
            Err(why) => {
                self.say(true, "Failed", &format!("Error: {why}"));
                self.set(|c| c["state"] = json!({"waiting": {"reason": "CreateContainerError", "message": why}}));
                return stop.cancelled().await;
            }
        };
        let image = object::text(self.spec(), "/image");
        self.say(false, "Pulled", &format!("Container image {image:?} already present on machine"));
        let name = object::text(self.spec(), "/name");
        self.say(false, "Created", &format!("Created container: {name}"));
        let mut restarts = 0_u32;
        loop {
            let began = Instant::now();
            let started_at = self.ground.registry.store.clock.stamp();
            self.say(false, "Started", &format!("Started container {name}"));
            self.set(|c| {
                c["state"] = json!({"running": {"startedAt": started_at}});
                c["started"] = true.into();
                c["restartCount"] = restarts.into();
            });
            let ended = self.run_once(program.clone(), &stop).await;
            let finished_at = self.ground.registry.store.clock.stamp();
            let (code, reason) = if ended.is_ok() { (0, "Completed") } else { (1, "Error") };
            let message = ended.as_ref().err().map(ToString::to_string);
            let terminated = json!({"terminated": {"exitCode": code, "reason": reason, "message": message,
                "startedAt": started_at, "finishedAt": finished_at}});
            self.set(|c| {
                c["state"] = terminated.clone();
                (c["ready"], c["started"]) = (false.into(), false.into());
            });
            let policy = object::text(&self.pod, "/spec/restartPolicy");
            let again = policy == "Always" || (policy == "OnFailure" && ended.is_err());
            if stop.is_cancelled() || !again {
                return;
            }
            let pause = if began.elapsed() >= STABLE { Duration::ZERO } else { backoff(restarts) };
            restarts += 1;
            if !pause.is_zero() {
                let why = message.unwrap_or_else(|| "the program ended".into());
                self.say(true, "BackOff", &format!("Back-off restarting failed container {name} in pod: {why}"));
                self.set(|c| {
                    c["lastState"] = terminated;
                    c["state"] = json!({"waiting": {"reason": "CrashLoopBackOff", "message": why}});
                    c["restartCount"] = restarts.into();
                });
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn run_once(&self, program: Program, stop: &CancellationToken) -> io::Result<()> {
        let (logs, uid) = (self.ground.registry.clone(), object::uid(&self.pod).to_owned());
        let print = move |line| logs.logs.print(&uid, logs.store.clock.now(), line);
        let run = program.run(self.net.clone(), print, stop.clone());
        let watch = async {
            self.watch_readiness().await;
            std::future::pending().await
        };
        tokio::pin!(run, watch);
        tokio::select! {
            ended = &mut run => return ended,
            () = stop.cancelled() => {}
            never = as_never(&mut watch) => match never {},
        }
        self.say(false, "Killing", &format!("Stopping container {}", object::text(self.spec(), "/name")));
        self.set(|c| c["ready"] = false.into());
        run.await
    }

    /// Keeps `ready` up to date.
    async fn watch_readiness(&self) {
        let Some(probe) = Probe::of(self.spec(), self.ip) else {
            self.set(|c| c["ready"] = true.into());
            return;
        };
        sleep(probe.delay).await;
        let (mut ready, mut was_ready, mut failures) = (false, false, 0);
        loop {
            let ok = probe.ask().await;
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
fn program(pod: &Value, container: &Value, ip: Ipv4Addr) -> Result<Program, String> {
    let variables = variables(pod, container, ip);
    let words: Vec<String> = ["/command", "/args"]
        .iter()
        .flat_map(|part| object::list(container, part))
        .filter_map(Value::as_str)
        .map(|word| expand(word, &variables))
        .collect();
    let shown = || {
        let image = object::text(container, "/image");
        format!(
            "the sandbox runs only its own programs (command `shakedown pod bus`, `frontend` or `worker`), not image \
             {image:?} with command {words:?}"
        )
    };
    let rest = match words.as_slice() {
        [first, rest @ ..] if first == "shakedown" || first.ends_with("/shakedown") => rest,
        // The image's own entry point.
        rest if object::text(container, "/image").starts_with("shakedown") => rest,
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
        "spec.nodeName" => super::NODE.to_string(),
        "status.hostIP" => super::ADDRESS.to_string(),
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
    use crate::sandbox::inference::WorkerConfig;

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
        assert_eq!(program(&pod, &container, IP), Ok(expected));
    }

    #[test]
    fn other_programs_are_refused_with_a_reason() {
        let container = json!({"image": "nginx", "command": ["nginx"]});
        let why = program(&json!({}), &container, IP).unwrap_err();
        assert!(why.contains("only its own programs") && why.contains("nginx"), "{why}");
        let container = json!({"image": "shakedown:latest", "args": ["pod", "database"]});
        assert!(program(&json!({}), &container, IP).unwrap_err().contains("no program `database`"));
    }
}
