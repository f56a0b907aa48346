//! The scenario's text. Pure: answers in, YAML out.

use std::fmt::Write;

use super::answers::{Complete, Pods};
use crate::cli::args::{Like, Strike};

/// The scenario of these answers. `schema` is the path of the JSON Schema for editors, relative to the file.
pub fn scenario(it: &Complete, schema: &str) -> String {
    let (pod, peer) = (it.pods.word(), &it.peer);
    let single = it.replicas == Some(1);
    let (description, tag) = match (it.fault, single) {
        (Strike::Partition, _) => (
            format!("One pod of {pod} is cut off from {peer}. The other pods carry the load, and the pod returns."),
            "network-policy",
        ),
        (Strike::PodKill, false) => (
            format!("One pod of {pod} is deleted with a grace period of 0 s. The other pods carry the load."),
            "kubernetes",
        ),
        (Strike::PodKill, true) => {
            (format!("The only pod of {pod} is deleted. Its replacement takes over within the phase."), "kubernetes")
        }
        (Strike::Delay, _) => (
            format!("Packets from one pod of {pod} to {peer} are late. Requests are slower and still succeed."),
            "chaos-mesh",
        ),
    };
    let mut out = format!(
        "# yaml-language-server: $schema={schema}\n\
         # Your editor completes every key by the line above. `shakedown explain KEY` says what a key means.\n\
         version: 1\n\
         name: {}\n\
         description: {}\n\
         tags: [{tag}]\n\n\
         vars:                     # each can be set by --var NAME=VALUE\n  \
         rate: 20/s\n  \
         baseline: 30s\n  \
         fault: 60s\n  \
         recovery: 30s           # at most\n\n\
         namespace: {}\n\n\
         load:\n",
        plain(&it.name),
        plain(&description),
        plain(&it.namespace),
    );
    load(&mut out, it);
    out.push_str(
        "    rate: \"{{ rate }}\"    # open loop: requests start on schedule, however slow the answers are\n    \
         timeout: 5s\n\n\
         phases:\n  \
         - name: warm-up         # first requests are slow for reasons of their own\n    \
         duration: 4s\n\n  \
         - name: baseline        # later phases are compared with it\n    \
         duration: \"{{ baseline }}\"\n    \
         expect:\n      \
         - success_rate: {min: 99%}\n\n",
    );
    fault(&mut out, it);
    out.push_str(
        "\n  - name: recovery\n    \
         duration: \"{{ recovery }}\"\n    \
         expect:\n      \
         - recovery_time: {max: 15s, hold: 5s}\n",
    );
    out
}

fn load(out: &mut String, it: &Complete) {
    let peer = &it.peer;
    let need = match it.fault {
        Strike::PodKill => format!("must need {}", it.pods.word()),
        Strike::Partition | Strike::Delay => format!("must need {peer}"),
    };
    if it.from == Like::Llm {
        _ = write!(
            out,
            "  completions:            # every answer needs a worker\n    \
             openai:\n      \
             service: {}\n      \
             model: {}\n      \
             prompt: Say hello.\n      \
             max_tokens: 10\n      \
             stream: true\n",
            plain(&it.service),
            plain(&it.model),
        );
        return;
    }
    let name = if it.from == Like::Queue { "jobs" } else { "requests" };
    _ = write!(
        out,
        "  {name}:\n    \
         http:\n      \
         service: {}\n      \
         method: {}\n      \
         path: {:<13} # {need}: a request without it cannot show the fault\n",
        plain(&it.service),
        plain(&it.method),
        plain(&it.path),
    );
    if let Some(body) = &it.body {
        if body.trim_start().starts_with(['{', '[']) {
            out.push_str("      headers: {content-type: application/json}\n");
        }
        _ = writeln!(out, "      body: {}", quoted(body));
    }
}

fn fault(out: &mut String, it: &Complete) {
    let pods = match &it.pods {
        Pods::Labels(labels) => {
            let pairs: Vec<String> =
                labels.iter().map(|(key, value)| format!("{}: {}", plain(key), plain(value))).collect();
            format!("labels: {{{}}}", pairs.join(", "))
        }
        Pods::Owner(owner) => format!("owner: {}", plain(owner)),
        Pods::Prefix(prefix) => format!("prefix: {}", plain(prefix)),
    };
    let peer = plain(&it.peer);
    let (phase, name, body) = match it.fault {
        Strike::Partition => (
            "partition",
            "cut-off",
            format!("partition:\n          pods: {{{pods}, count: 1}}\n          from: [{{service: {peer}}}]"),
        ),
        Strike::PodKill => {
            ("kill", "killed", format!("pod_kill:\n          pods: {{{pods}, count: 1}}\n          grace_period: 0s"))
        }
        Strike::Delay => (
            "delay",
            "late",
            format!(
                "netem:\n          pods: {{{pods}, count: 1}}\n          to: [{{service: {peer}}}]\n          delay: 100ms"
            ),
        ),
    };
    let (rate, ratio) = match (it.fault, it.replicas) {
        // The only pod is missing until its replacement is ready.
        (Strike::PodKill, Some(1)) => ("50%", None),
        (Strike::Delay, _) => ("95%", Some("{percentile: p95, to: baseline, max: 10, or_below: 1s}")),
        _ => ("80%", Some("{percentile: p95, to: baseline, max: 3, or_below: 500ms}")),
    };
    _ = write!(
        out,
        "  - name: {phase}\n    \
         duration: \"{{{{ fault }}}}\"\n    \
         faults:\n      \
         {name}:\n        \
         {body}\n    \
         expect:\n      \
         - success_rate: {{min: {rate}}}\n"
    );
    if let Some(ratio) = ratio {
        _ = writeln!(out, "      - latency_ratio: {ratio}");
    }
}

/// A value as YAML: plain if that is unambiguous, or else as a JSON string, which is valid YAML.
fn plain(text: &str) -> String {
    let letter = text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '/');
    let bare = letter && text.chars().all(|it| it.is_ascii_alphanumeric() || "-./_".contains(it));
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    // A sentence of ours: words, with full stops and commas between them.
    let prose =
        letter && text.contains(' ') && text.chars().all(|it| it.is_ascii_alphanumeric() || "-./_ ,".contains(it));
    // `name:port`: a colon that no space follows.
    let address = letter
        && text.split_once(':').is_some_and(|(name, port)| {
            !port.is_empty()
                && [name, port].iter().all(|it| it.chars().all(|it| it.is_ascii_alphanumeric() || "-.".contains(it)))
        });
    if (bare && !word) || prose || address { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_an_example_that_is_valid() {
        use super::super::answers::Answers;
        use super::super::guess;
        let mut golden = String::new();
        for from in [Like::Shop, Like::Llm, Like::Queue] {
            for (fault, replicas) in [(Strike::Partition, None), (Strike::PodKill, Some(1)), (Strike::Delay, Some(1))] {
                let answers = Answers { from: Some(from), fault: Some(fault), ..Answers::default() };
                let text = scenario(&Complete { replicas, ..guess::complete(answers, None) }, "shakedown.schema.json");
                let parsed =
                    shakedown_schemas::parse("s.yaml", text.as_bytes(), &shakedown_schemas::Overrides::default());
                let document = parsed.unwrap_or_else(|problems| panic!("{problems:?} in\n{text}"));
                assert!(document.warnings.is_empty(), "{:?} in\n{text}", document.warnings);
                // The parts of the others are the same.
                if from == Like::Llm || fault == Strike::Partition {
                    golden.push_str(&format!("--- {from:?}, {fault:?}, pods: {replicas:?}\n{text}"));
                }
            }
        }
        insta::assert_snapshot!("examples", golden);
    }

    #[test]
    fn values_cannot_change_the_structure() {
        let hostile = "x\"}\nversion: 2 # {{ n }}";
        assert_eq!(plain(hostile), "\"x\\\"}\\nversion: 2 # {{ n }}\"");
        for (text, expected) in [
            ("nats", "nats"),
            ("yes", "\"yes\""),
            ("4222", "\"4222\""),
            ("shop:80", "shop:80"),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("One pod, of a.", "One pod, of a."),
            ("/orders?id=1", "\"/orders?id=1\""),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
