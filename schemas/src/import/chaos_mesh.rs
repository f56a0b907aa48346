//! Resources of Chaos Mesh (`chaos-mesh.org/v1alpha1`), as `kubectl apply` reads them. Source: its API reference, version 2.8.

use super::draft::{Draft, Fault, Out, Step};
use super::read::{Fields, Notes};
use super::values;
use crate::source::Node;
use crate::units;

/// Adds a resource. Resources of one file are applied together: their faults act in one phase.
pub(super) fn resource(fields: &Fields, draft: &mut Draft, notes: &mut Notes) {
    let Some(kind) = fields.text("kind") else { return };
    let metadata = fields.map("metadata");
    let name = metadata.as_ref().and_then(|it| it.text("name")).unwrap_or_else(|| kind.to_lowercase());
    let namespace = metadata.as_ref().and_then(|it| it.text("namespace"));
    fields.ignore(&["apiVersion", "status"]);
    if let Some(metadata) = &metadata {
        metadata.ignore(&[
            "labels",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "finalizers",
            "managedFields",
        ]);
        metadata.finish(notes);
    }
    let Some(spec) = fields.map("spec") else { return };
    draft.name.get_or_insert_with(|| name.clone());
    match kind.as_str() {
        "Schedule" => {
            let at = fields.node("spec");
            spec.ignore(&["concurrencyPolicy", "historyLimit", "startingDeadlineSeconds", "type", "schedule"]);
            if let Some(node) = at {
                notes.at(node, "a scenario has no schedule: start it from a CronJob or a nightly job");
            }
            let Some((kind, inner)) = template(&spec) else { return };
            add(kind, &name, &inner, namespace.as_deref(), draft, notes);
            spec.finish(notes);
        }
        "Workflow" => workflow(&spec, namespace.as_deref(), draft, notes),
        _ => add(&kind, &name, &spec, namespace.as_deref(), draft, notes),
    }
    fields.finish(notes);
}

/// The kinds and the keys that hold them in schedules and workflows.
const KINDS: [(&str, &str); 7] = [
    ("NetworkChaos", "networkChaos"),
    ("PodChaos", "podChaos"),
    ("StressChaos", "stressChaos"),
    ("IOChaos", "ioChaos"),
    ("DNSChaos", "dnsChaos"),
    ("TimeChaos", "timeChaos"),
    ("HTTPChaos", "httpChaos"),
];

fn template<'a>(fields: &Fields<'a>) -> Option<(&'static str, Fields<'a>)> {
    KINDS.iter().find_map(|(kind, key)| fields.map(key).map(|inner| (*kind, inner)))
}

/// The fault of a task, which may be a schedule.
fn task<'a>(fields: &Fields<'a>) -> Option<(&'static str, Fields<'a>)> {
    template(fields).or_else(|| template(&fields.map("schedule")?))
}

/// Adds a fault to the one phase of the file.
fn add(kind: &str, name: &str, spec: &Fields, namespace: Option<&str>, draft: &mut Draft, notes: &mut Notes) {
    let faults = faults(kind, name, spec, namespace, notes);
    let at = *draft.together.get_or_insert_with(|| {
        draft.steps.push(Step { name: "fault".to_owned(), faults: Vec::new() });
        draft.steps.len() - 1
    });
    draft.steps[at].faults.extend(faults);
}

/// The most tasks of a workflow. One that contains itself has no end.
const MOST_TASKS: usize = 100;

/// The tasks of a workflow in their order. Parallel tasks act in one phase.
fn workflow(spec: &Fields, namespace: Option<&str>, draft: &mut Draft, notes: &mut Notes) {
    let entry = spec.text("entry").unwrap_or_default();
    let templates = spec.list("templates");
    let mut open: Vec<(String, Option<usize>)> = vec![(entry, None)];
    let mut walked = 0;
    while let Some((name, step)) = open.pop() {
        walked += 1;
        let found = templates.iter().filter_map(|node| Fields::of(node, "templates.").map(|it| (node, it)));
        let found = { found }.rfind(|(_, it)| it.text("name").as_deref() == Some(&name));
        let Some((node, it)) = found else { continue };
        if walked > MOST_TASKS {
            notes.at(node, format!("more than {MOST_TASKS} tasks are not carried over"));
            return;
        }
        let children: Vec<String> = it.texts("children");
        match it.text("templateType").as_deref() {
            Some("Serial") => {
                it.finish(notes);
                open.extend(children.into_iter().rev().map(|child| (child, step)));
            }
            Some("Parallel") => {
                it.finish(notes);
                draft.steps.push(Step { name: name.clone(), faults: Vec::new() });
                let step = Some(draft.steps.len() - 1);
                open.extend(children.into_iter().rev().map(|child| (child, step)));
            }
            Some("Suspend") => {
                notes.at(node, format!("the pause `{name}` is not carried over: each phase is followed by a recovery"))
            }
            Some(_) if task(&it).is_some() => {
                let Some((kind, inner)) = task(&it) else { continue };
                let mut faults = faults(kind, &name, &inner, namespace, notes);
                let deadline = it.text("deadline").and_then(|text| values::duration(&text));
                it.finish(notes);
                faults.iter_mut().for_each(|fault| fault.lasts = fault.lasts.or(deadline));
                match step {
                    Some(step) => draft.steps[step].faults.extend(faults),
                    None => draft.steps.push(Step { name: name.clone(), faults }),
                }
            }
            _ => notes.at(node, format!("the task `{name}` is not carried over")),
        }
    }
}

/// The fault that a `spec` is, as a line of a scenario, and whether the line has all of it. None if the `spec` does not say which
/// pods and how many of them, or is more than one fault.
pub(crate) fn line(kind: &str, spec: &Node) -> Option<(String, bool)> {
    let (spec, mut notes) = (Fields::of(spec, "")?, Notes::default());
    let is_complete = spec.has("selector") && spec.has("mode");
    let mut all = if is_complete { faults(kind, "fault", &spec, None, &mut notes) } else { Vec::new() };
    let mut fault = (all.len() == 1).then(|| all.remove(0))?;
    fault.set_text("for", fault.lasts.map(|it| units::Duration::from(it).to_string()));
    Some((format!("{}: {}", fault.kind, Out::Map(fault.body).flow()), notes.list.is_empty()))
}

/// The faults of one resource.
fn faults(kind: &str, name: &str, spec: &Fields, namespace: Option<&str>, notes: &mut Notes) -> Vec<Fault> {
    let by = ["labelSelectors", "expressionSelectors", "pods"];
    if let (Some(selector), Some(node)) = (spec.map("selector"), spec.node("selector"))
        && !by.iter().any(|key| selector.has(key))
    {
        notes.at(node, format!("`{name}` ({kind}) is not carried over: it selects pods by neither labels nor name"));
        return Vec::new();
    }
    let pods = pods(spec, namespace, notes);
    let lasts = values::lasting(spec, "duration", notes);
    let mut made: Vec<Fault> = match kind {
        "NetworkChaos" => network(name, spec, &pods, namespace, notes),
        "PodChaos" => pod(name, spec, pods, notes).into_iter().collect(),
        "StressChaos" => vec![stress(name, spec, pods, notes)],
        "IOChaos" => io(name, spec, pods).into_iter().collect(),
        "DNSChaos" => vec![dns(name, spec, pods)],
        "TimeChaos" => time(name, spec, pods).into_iter().collect(),
        "HTTPChaos" => http(name, spec, pods, notes).into_iter().collect(),
        _ => Vec::new(),
    };
    match spec.node("selector").or_else(|| spec.node("action")) {
        Some(node) if made.is_empty() => {
            notes.at(node, format!("`{name}` ({kind}) is not carried over: there is no fault like it"));
        }
        _ => spec.finish(notes),
    }
    for fault in &mut made {
        fault.lasts = lasts.filter(|_| !fault.is_once());
    }
    made
}

/// The selector and the mode of a resource as a selector of pods.
fn pods(spec: &Fields, namespace: Option<&str>, notes: &mut Notes) -> Out {
    let mut pods = selector(spec, namespace, notes);
    let value = spec.text("value").unwrap_or_default();
    let place = spec.node("value").or_else(|| spec.node("mode"));
    match spec.text("mode").as_deref() {
        Some("one") => pods.push(("count".to_owned(), Out::plain("1".to_owned()))),
        Some("fixed") => pods.push(values::amount(&value, false, place, notes)),
        Some("fixed-percent") => pods.push(values::amount(&value, true, place, notes)),
        Some("random-max-percent") => {
            pods.push(values::amount(&value, true, place, notes));
            let value = value.trim_end_matches('%');
            if let Some(node) = spec.node("mode") {
                notes.at(
                    node,
                    format!("a random share of up to {value} % becomes {value} %, so that runs are comparable"),
                );
            }
        }
        Some("all") => {}
        other => {
            pods.push(("count".to_owned(), Out::plain("1".to_owned())));
            if let Some(node) = spec.node("mode").or_else(|| spec.node("selector")) {
                notes.at(node, format!("the mode {} is unknown: one pod is taken", other.unwrap_or("(none)")));
            }
        }
    }
    Out::Map(pods)
}

/// A selector without its mode.
fn selector(spec: &Fields, namespace: Option<&str>, notes: &mut Notes) -> Vec<(String, Out)> {
    let Some(it) = spec.map("selector") else { return Vec::new() };
    let mut out = Vec::new();
    let labels = it.pairs("labelSelectors");
    let expressions: Vec<Out> = it.list("expressionSelectors").iter().filter_map(expression).collect();
    let labels = Out::pairs(labels);
    match (&labels, expressions.is_empty()) {
        (Out::Map(pairs), true) if pairs.is_empty() => {}
        (_, true) => out.push(("labels".to_owned(), labels)),
        (_, false) => out.push((
            "labels".to_owned(),
            Out::map([("matchLabels", labels), ("matchExpressions", Out::List(expressions))]),
        )),
    }
    let mut namespaces = it.texts("namespaces");
    if let Some(by_namespace) = it.map("pods") {
        for (of, names) in by_namespace.all() {
            let names: Vec<String> = names.into_iter().collect();
            if let ([name], true) = (&names[..], out.is_empty()) {
                out.push(("name".to_owned(), Out::text(name)));
                namespaces = vec![of];
            } else if let Some(node) = it.node("pods") {
                notes.at(
                    node,
                    format!("pods by name are not carried over, except for a single one: {}", names.join(", ")),
                );
            }
        }
    }
    if let ([_, _, ..], Some(node)) = (&namespaces[..], it.node("namespaces")) {
        notes.at(node, format!("a fault acts in one namespace: only {} is carried over", namespaces[0]));
    }
    if let Some(namespace) = namespaces.first().map(String::as_str).or(namespace) {
        out.push(("namespace".to_owned(), Out::text(namespace)));
    }
    it.finish(notes);
    out
}

fn expression(node: &Node) -> Option<Out> {
    let it = Fields::of(node, "")?;
    let values: Vec<Out> = it.texts("values").into_iter().map(Out::Text).collect();
    let mut pairs =
        vec![("key".to_owned(), Out::Text(it.text("key")?)), ("operator".to_owned(), Out::Text(it.text("operator")?))];
    if !values.is_empty() {
        pairs.push(("values".to_owned(), Out::List(values)));
    }
    Some(Out::Map(pairs))
}

/// A `NetworkChaos`. Chaos Mesh acts only on packets *to* addresses outside the cluster, whatever the direction is: they are
/// the peers of a second fault.
fn network(name: &str, spec: &Fields, pods: &Out, namespace: Option<&str>, notes: &mut Notes) -> Vec<Fault> {
    let mut peers = Vec::new();
    if let Some(target) = spec.map("target") {
        let found = selector(&target, namespace, notes);
        if let (Some(mode), Some(node)) = (target.text("mode").filter(|mode| mode != "all"), target.node("mode")) {
            target.ignore(&["value"]);
            notes.at(node, format!("a peer is all its pods: `mode: {mode}` of the target is not carried over"));
        }
        target.finish(notes);
        peers.push(Out::map([("pods", Out::Map(found))]));
    }
    let outside: Vec<Out> = spec.texts("externalTargets").iter().map(|it| values::external(it)).collect();
    let direction = values::direction(spec.text("direction").as_deref());
    let mut faults = Vec::new();
    if !peers.is_empty() || outside.is_empty() {
        faults.extend(link(name, spec, pods, peers, direction, notes));
    }
    if !outside.is_empty() {
        if let (Some(node), true) = (spec.node("direction"), direction != "egress") {
            notes.at(
                node,
                "only what the pods send to `externalTargets` is affected, as in Chaos Mesh: what these send is not carried over",
            );
        }
        let name = if faults.is_empty() { name.to_owned() } else { format!("{name}-outside") };
        faults.extend(link(&name, spec, pods, outside, "egress", notes));
    }
    faults
}

/// A fault on the links to some peers, or to everything.
fn link(name: &str, spec: &Fields, pods: &Out, peers: Vec<Out>, direction: &str, notes: &mut Notes) -> Option<Fault> {
    let is_partition = spec.text("action")? == "partition";
    let to_all = peers.is_empty();
    let mut fault = Fault::new(name, if is_partition && !to_all { "partition" } else { "netem" }, pods.clone());
    if !to_all {
        fault.set(if is_partition { "from" } else { "to" }, Some(Out::List(peers)));
        fault.set_text("direction", Some(direction.to_owned()));
    }
    match (is_partition, to_all) {
        (true, false) => fault.set_text("engine", Some("chaos-mesh".to_owned())),
        (true, true) => {
            fault.set_text("loss", Some("100%".to_owned()));
            if let Some(node) = spec.node("action") {
                notes.at(node, "a partition without a target drops everything that the pods send: a loss of 100 %");
            }
        }
        (false, _) => {
            degradations(&mut fault, spec, notes);
            fault.set_text("device", spec.text("device"));
        }
    }
    (fault.body.len() > 1).then_some(fault)
}

/// The degradations of a `NetworkChaos`. A percentage is a number in quotes there.
fn degradations<'a>(fault: &mut Fault, spec: &Fields<'a>, notes: &mut Notes) {
    let percent = |text: String| values::percent(&text);
    let mut correlations: Vec<(String, &'a Node)> = Vec::new();
    let mut correlated = |it: &Fields<'a>| {
        if let (Some(text), Some(node)) = (it.text("correlation").filter(|it| it != "0"), it.node("correlation")) {
            correlations.push((percent(text), node));
        }
    };
    if let Some(delay) = spec.map("delay") {
        fault.set_text("delay", delay.text("latency"));
        fault.set_text("jitter", delay.text("jitter").filter(|it| !values::is_zero(it)));
        correlated(&delay);
        if let Some(reorder) = delay.map("reorder") {
            fault.set_text("reorder", reorder.text("reorder").map(percent));
            correlated(&reorder);
            reorder.finish(notes);
        }
        delay.finish(notes);
    }
    for kind in ["loss", "duplicate", "corrupt"] {
        if let Some(it) = spec.map(kind) {
            fault.set_text(kind, it.text(kind).map(percent));
            correlated(&it);
            it.finish(notes);
        }
    }
    for kind in ["bandwidth", "rate"] {
        if let Some(it) = spec.map(kind) {
            fault.set_text("bandwidth", it.text("rate").and_then(|rate| values::bandwidth(&rate)));
            it.finish(notes);
        }
    }
    if let Some((first, _)) = correlations.first().cloned() {
        for (_, node) in correlations.iter().filter(|(it, _)| *it != first) {
            notes.at(node, format!("a fault has one correlation: {first}"));
        }
        fault.set_text("correlation", Some(first));
    }
}

fn pod(name: &str, spec: &Fields, pods: Out, notes: &mut Notes) -> Option<Fault> {
    Some(match spec.text("action").as_deref()? {
        "pod-kill" => {
            let mut fault = Fault::new(name, "pod_kill", pods);
            // Chaos Mesh kills at once by default.
            let grace = spec.text("gracePeriod").unwrap_or_else(|| "0".to_owned());
            fault.set_text("grace_period", Some(format!("{grace}s")));
            fault
        }
        "pod-failure" => Fault::new(name, "pod_failure", pods),
        "container-kill" => {
            let containers = spec.texts("containerNames");
            if containers.is_empty() {
                return None;
            }
            let mut fault = Fault::new(name, "container_kill", pods);
            fault.set("containers", Some(list(containers)));
            fault
        }
        other => {
            if let Some(node) = spec.node("action") {
                notes.at(node, format!("the action {other} is not carried over"));
            }
            return None;
        }
    })
}

fn list(texts: Vec<String>) -> Out {
    Out::List(texts.into_iter().map(Out::Text).collect())
}

fn containers(fault: &mut Fault, spec: &Fields) {
    let names = spec.texts("containerNames");
    fault.set("containers", (!names.is_empty()).then(|| list(names)));
}

fn stress(name: &str, spec: &Fields, pods: Out, notes: &mut Notes) -> Fault {
    let mut fault = Fault::new(name, "stress", pods);
    if let Some(stressors) = spec.map("stressors") {
        if let Some(cpu) = stressors.map("cpu") {
            let workers = cpu.text("workers").unwrap_or_else(|| "1".to_owned());
            let mut pairs = vec![("workers".to_owned(), Out::plain(workers))];
            pairs.extend(cpu.text("load").map(|load| ("load".to_owned(), Out::Text(values::percent(&load)))));
            cpu.finish(notes);
            fault.set("cpu", Some(Out::Map(pairs)));
        }
        if let Some(memory) = stressors.map("memory") {
            values::memory_workers(&memory, notes);
            fault.set("memory", memory.text("size").map(|size| Out::map([("size", Out::Text(size))])));
            memory.finish(notes);
        }
        stressors.finish(notes);
    }
    containers(&mut fault, spec);
    fault
}

fn io(name: &str, spec: &Fields, pods: Out) -> Option<Fault> {
    let action = spec.text("action")?;
    let mut fault = Fault::new(name, "io", pods);
    fault.set_text("volume", spec.text("volumePath"));
    fault.set_text("path", spec.text("path"));
    match action.as_str() {
        "latency" => fault.set_text("delay", spec.text("delay")),
        "fault" => fault.set_text("error", Some(errno(&spec.text("errno")?)?.to_owned())),
        _ => return None,
    }
    fault.set_text("share", spec.text("percent").map(|it| values::percent(&it)));
    let methods: Vec<String> = spec.texts("methods").iter().map(|it| it.to_lowercase()).collect();
    fault.set("methods", (!methods.is_empty()).then(|| list(methods)));
    containers(&mut fault, spec);
    Some(fault)
}

/// The Linux error of a number.
fn errno(number: &str) -> Option<&'static str> {
    Some(match number {
        "1" => "EPERM",
        "2" => "ENOENT",
        "5" => "EIO",
        "11" => "EAGAIN",
        "13" => "EACCES",
        "16" => "EBUSY",
        "24" => "EMFILE",
        "28" => "ENOSPC",
        "30" => "EROFS",
        _ => return None,
    })
}

fn dns(name: &str, spec: &Fields, pods: Out) -> Fault {
    let mut fault = Fault::new(name, "dns", pods);
    let patterns = spec.texts("patterns");
    fault.set("patterns", (!patterns.is_empty()).then(|| list(patterns)));
    fault.set_text("answer", spec.text("action"));
    fault
}

fn time(name: &str, spec: &Fields, pods: Out) -> Option<Fault> {
    let mut fault = Fault::new(name, "time", pods);
    let offset = spec.text("timeOffset")?;
    fault.set_text("offset", Some(if offset.starts_with(['-', '+']) { offset } else { format!("+{offset}") }));
    let clocks: Vec<String> =
        spec.texts("clockIds").iter().map(|it| it.trim_start_matches("CLOCK_").to_lowercase()).collect();
    fault.set("clocks", (!clocks.is_empty()).then(|| list(clocks)));
    containers(&mut fault, spec);
    Some(fault)
}

fn http(name: &str, spec: &Fields, pods: Out, notes: &mut Notes) -> Option<Fault> {
    let mut fault = Fault::new(name, "http", pods);
    fault.set("port", spec.text("port").map(Out::plain));
    fault.set_text("path", spec.text("path"));
    fault.set_text("method", spec.text("method"));
    if spec.is_true("abort") {
        fault.set("abort", Some(Out::plain("true".to_owned())));
    }
    fault.set_text("delay", spec.text("delay"));
    if let Some(replace) = spec.map("replace") {
        fault.set("status", replace.text("code").map(Out::plain));
        replace.finish(notes);
    }
    // A status is that of a response; all else acts on requests.
    let is_status = fault.body.iter().any(|(key, _)| key == "status");
    if let (Some(node), Some(target)) = (spec.node("target"), spec.text("target"))
        && (target == "Response") != is_status
    {
        notes.at(
            node,
            format!("the target `{target}` is not carried over: a status changes responses, all else requests"),
        );
    }
    let acts = fault.body.iter().any(|(key, _)| matches!(key.as_str(), "abort" | "delay" | "status"));
    acts.then_some(fault)
}

impl Fields<'_> {
    /// All keys of a map of lists of texts.
    fn all(&self) -> Vec<(String, Vec<String>)> {
        self.keys().into_iter().map(|key| (key.to_owned(), self.texts(key))).collect()
    }
}
