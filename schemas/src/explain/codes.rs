//! The explanation of each code: the cause, and an example with the line that mends it. A test reads each example: the
//! wrong one has the code, and the right one has no error.

use std::fmt::Write;

use super::keys::wrapped;
use crate::diagnostic::Code;

/// Where the lines of an example belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The whole file.
    File,
    /// Next to `version` and `name`.
    Scenario,
    /// In a load.
    Load,
    /// In a phase without a fault.
    Phase,
    /// In a phase with a fault, which is the last.
    Last,
    /// In a fault.
    Fault,
    /// In the `expect` of a phase with a fault.
    Expect,
}

impl Place {
    const fn words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Scenario => "the top of a file",
            Self::Load => "a load",
            Self::Phase | Self::Last => "a phase",
            Self::Fault => "a fault",
            Self::Expect => "`expect`",
        }
    }
}

/// An explanation.
struct About {
    /// Why it is a problem.
    why: &'static str,
    /// How to mend it.
    mend: &'static str,
    /// An example: its place, wrong and right.
    example: Option<(Place, &'static str, &'static str)>,
}

const fn about(why: &'static str, mend: &'static str, at: Place, wrong: &'static str, right: &'static str) -> About {
    About { why, mend, example: Some((at, wrong, right)) }
}

const fn plain(why: &'static str, mend: &'static str) -> About {
    About { why, mend, example: None }
}

/// The text about a code.
pub fn text(code: Code) -> String {
    let About { why, mend, example } = explanation(code);
    let (why, mend) = (wrapped(why, 2), wrapped(mend, 2));
    let mut out = format!("{}: {}\n\n{why}\n\nHOW TO MEND IT\n{mend}\n", code.id(), code.summary());
    if let Some((place, wrong, right)) = example {
        let lines = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let place = place.words();
        _ = write!(out, "\nEXAMPLE, in {place}\n  wrong:\n{}  right:\n{}", lines(wrong), lines(right));
    }
    out
}

const HTTP: &str = "http: {service: \"shop:80\"}\nrate: 20/s";

/// One explanation for each code. A code that is missing here does not compile.
fn explanation(code: Code) -> About {
    use Place::{Expect, Fault, File, Last, Load, Phase, Scenario};
    match code {
        Code::Unreadable => plain(
            "The file is larger than a scenario can be, or it is not text, but a picture, an archive, or text in another \
             encoding.",
            "Save the file as UTF-8, or name another file.",
        ),
        Code::Syntax => about(
            "YAML cannot read the file. The line in the message is where the reader gave up; the cause is often the line above.",
            "Indent with spaces, and quote text that contains `: ` or `{{`.",
            Scenario,
            "description: loses: postgres",
            "description: \"loses: postgres\"",
        ),
        Code::DuplicateKey => about(
            "YAML would silently keep only one of the two values.",
            "Remove one of them, or rename it.",
            Scenario,
            "tags: [fast]\ntags: [shop]",
            "tags: [fast, shop]",
        ),
        Code::Limit => about(
            "The file would take too much memory: it is nested too deeply, or an alias contains itself or many others.",
            "Write the values out, or make several scenarios of it.",
            Scenario,
            "x-loop: &loop [*loop]",
            "x-loop: &loop [1]",
        ),
        Code::Documents => about(
            "A file is one scenario. Tools that read only the first document would ignore the rest.",
            "Write each scenario into a file of its own. `run` and `validate` take folders.",
            File,
            "# only a comment",
            "version: 1\nname: example\nload: {main: {http: {url: \"http://127.0.0.1:8080\"}, rate: 20/s}}\nphases: [{name: \
             only, duration: 30s}]",
        ),
        Code::More => plain(
            "One mistake can cause many problems, so only the first ones are shown.",
            "Mend the first problems and validate again.",
        ),
        Code::OtherFile => about(
            "The file belongs to another tool, such as k6, Chaos Toolkit or kubectl.",
            "`shakedown init` writes a scenario. A fault of Chaos Mesh can be kept as it is: the fault `manifest` creates any \
             object.",
            File,
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {name: kill}\nspec: {action: pod-kill, mode: one}",
            "version: 1\nname: kill\nload: {main: {http: {service: \"shop:80\"}, rate: 20/s}}\nphases:\n  - {name: before, \
             duration: 30s}\n  - name: kill\n    duration: 30s\n    faults: {kill: {pod_kill: {pods: {labels: app=web, count: \
             1}}}}",
        ),
        Code::UnknownKey => about(
            "The format is closed: a key with a typing error would otherwise be ignored, and the test would be another one.",
            "Write the key as the message suggests. `shakedown explain PATH` lists the keys of a place. Keys that begin with \
             `x-` are ignored at the top of a file.",
            Phase,
            "duraton: 30s\nduration: 30s",
            "duration: 30s",
        ),
        Code::MissingKey => about(
            "The key has no default, because no value fits every service.",
            "Add the key. `shakedown explain PATH` shows its type and an example.",
            Fault,
            "pod_kill: {}",
            "pod_kill: {pods: {labels: {app: web}, count: 1}}",
        ),
        Code::WrongType => about(
            "The value is of another type than the key needs, such as a list in place of a map.",
            "`shakedown explain PATH` shows the type and an example.",
            Load,
            "http: {service: [shop, 80]}\nrate: 20/s",
            HTTP,
        ),
        Code::UnknownKind => about(
            "The word is not one of the choices of its key.",
            "Write one of the words in the message. `shakedown explain PATH` says what each of them means.",
            Fault,
            "partition:\n  pods: {labels: {app: web}, count: 1}\n  from: [{service: postgres}]\n  direction: inward",
            "partition:\n  pods: {labels: {app: web}, count: 1}\n  from: [{service: postgres}]\n  direction: ingress",
        ),
        Code::NotOneKind => about(
            "A fault, an expectation or a condition is a map with one key, its kind. None or several kinds are ambiguous.",
            "Write each one as an entry of its own.",
            Expect,
            "- success_rate: {min: 90%}\n  recovery_time: {max: 15s}",
            "- success_rate: {min: 90%}",
        ),
        Code::InvalidValue => about(
            "The value cannot be read. Quantities have units, so that 30 seconds are never 30 minutes.",
            "Add the unit: `30s`, `95%`, `20/s`, `512MiB`, `10mbit`.",
            Phase,
            "duration: 30",
            "duration: 30s",
        ),
        Code::Template => about(
            "The expression between `{{` and `}}` cannot be read or computed.",
            "Write `{{ name }}`, a filter such as `{{ count * 2 }}`, or quote text that contains braces.",
            Scenario,
            "vars: {team: web}\ndescription: \"for {{ team + }}\"",
            "vars: {team: web}\ndescription: \"for {{ team }}\"",
        ),
        Code::UndefinedVariable => about(
            "The expression uses a variable that neither `vars` nor the command line has. An empty text in its place could \
             select every pod.",
            "Add it to `vars`, or correct its name.",
            Scenario,
            "description: \"for {{ team }}\"",
            "vars: {team: web}\ndescription: \"for {{ team }}\"",
        ),
        Code::UnknownOverride => plain(
            "`--var`, `--vars-file` or `--secret` sets a variable that no selected scenario has. It is probably a typing error, \
             and the run would use the default.",
            "Correct the name, or add the variable to `vars` of the scenario.",
        ),
        Code::UnusedVariable => about(
            "A change of the variable changes nothing.",
            "Use it, or remove it.",
            Scenario,
            "vars: {team: web}",
            "vars: {team: web}\ndescription: \"for {{ team }}\"",
        ),
        Code::VariableValue => about(
            "`vars` declares what a value must be: `required`, `values` or `type`. The scenario would mean something else with \
             this one, or nothing without one.",
            "Give it a value with `--var`, `--vars-file` or `default`.",
            Scenario,
            "vars: {team: {required: true}}\ndescription: \"for {{ team }}\"",
            "vars: {team: {default: web, values: [web, data]}}\ndescription: \"for {{ team }}\"",
        ),
        Code::Reuse => about(
            "`extends` or `use` names a file that does not exist, that is outside the folder of the scenario, or that uses \
             itself. A scenario must be the same on all machines, and end.",
            "Correct the path, which is relative to the file in which it is written, or write the keys out.",
            Scenario,
            "extends: nowhere.fragment.yaml",
            "description: all keys are in this file",
        ),
        Code::Version => about(
            "This program does not read the version. A guess could change the meaning of the file.",
            "Write `version: 1`, or use the program that the file was written for.",
            File,
            "version: 7\nname: example\nload: {main: {http: {url: \"http://127.0.0.1:8080\"}, rate: 20/s}}\nphases: [{name: \
             only, duration: 30s}]",
            "version: 1\nname: example\nload: {main: {http: {url: \"http://127.0.0.1:8080\"}, rate: 20/s}}\nphases: [{name: \
             only, duration: 30s}]",
        ),
        Code::Name => about(
            "The name becomes a part of file names, labels or addresses, which do not allow these characters.",
            "Use letters, digits, `-`, `_` and `.`. `description` can hold any text.",
            Scenario,
            "namespace: My Shop",
            "namespace: my-shop",
        ),
        Code::DuplicateName => about(
            "Reports and comparisons name phases and requests, so each name must be unique.",
            "Rename one of them.",
            Load,
            "http:\n  service: \"shop:80\"\n  requests: [{name: a, path: /}, {name: a, path: /b}]\nrate: 20/s",
            "http:\n  service: \"shop:80\"\n  requests: [{name: a, path: /}, {name: b, path: /b}]\nrate: 20/s",
        ),
        Code::NothingThere => about(
            "The list, the map or the text is empty, so that there is nothing to do or to compare.",
            "Add an element, or remove the key.",
            Load,
            "http: {service: \"shop:80\", requests: []}\nrate: 20/s",
            "http: {service: \"shop:80\", requests: [{name: home, path: /}]}\nrate: 20/s",
        ),
        Code::ExactlyOne => about(
            "The keys exclude each other, and one of them is needed.",
            "Keep the one that you mean.",
            Load,
            "http: {service: \"shop:80\"}\nrate: 20/s\nconcurrency: 8",
            HTTP,
        ),
        Code::Service => about(
            "A load reaches a Service at one port. A Service often has several.",
            "Write `name:port`, or `name.namespace:port` for another namespace. `kubectl get services` lists both.",
            Load,
            "http: {service: shop}\nrate: 20/s",
            HTTP,
        ),
        Code::Url => about(
            "The URL cannot be read, or its scheme is not `http` or `https`.",
            "Write the whole URL with its scheme.",
            Load,
            "http: {url: \"shop.example\"}\nrate: 20/s",
            "http: {url: \"https://shop.example\"}\nrate: 20/s",
        ),
        Code::LoadLimit => about(
            "The number is outside of what the load engine can do or measure.",
            "Write a number within the range in the message.",
            Load,
            "http: {service: \"shop:80\"}\nconcurrency: 200000",
            "http: {service: \"shop:80\"}\nconcurrency: 200",
        ),
        Code::Request => about(
            "The request could not be sent: HTTP does not allow this method, path, header or status.",
            "A path begins with `/`, a method is a word such as `POST`, a status is 100 to 599.",
            Load,
            "http: {service: \"shop:80\", path: orders}\nrate: 20/s",
            "http: {service: \"shop:80\", path: /orders}\nrate: 20/s",
        ),
        Code::File => about(
            "A file that the scenario names cannot be read, or does not contain what it should. Paths are relative to the \
             scenario's file and stay within its folder.",
            "Correct the path, or the file.",
            Load,
            "http: {service: \"shop:80\", method: POST, body_file: missing.json}\nrate: 20/s",
            "http: {service: \"shop:80\", method: POST, body: \"{}\"}\nrate: 20/s",
        ),
        Code::RequestData => about(
            "The data of a request, such as `{{ row.sku }}`, does not exist or is not allowed here.",
            "Add a `feeder` with this column, or use `{{ n }}` or `{{ uuid }}`. For `{{ capture.NAME }}`, an earlier step needs \
             `capture`.",
            Load,
            "http: {service: \"shop:80\", path: \"/items/{{ row.sku }}\"}\nrate: 20/s",
            "http: {service: \"shop:80\", path: \"/items/{{ n }}\"}\nrate: 20/s",
        ),
        Code::AnswerCheck => about(
            "The condition cannot be checked on answers of this load, or it contradicts another one.",
            "A JSON path begins with `$`. `shakedown explain http.check` lists the conditions.",
            Load,
            "http:\n  service: \"shop:80\"\n  check: {json: [{path: items, exists: true}]}\nrate: 20/s",
            "http:\n  service: \"shop:80\"\n  check: {json: [{path: $.items, exists: true}]}\nrate: 20/s",
        ),
        Code::Transport => about(
            "The options of HTTP, connections or TLS exclude each other, or have no effect together.",
            "Remove one of them, as the message says.",
            Load,
            "http: {service: \"shop:80\"}\nrate: 20/s\nstreams: 10",
            "http: {service: \"shop:80\"}\nrate: 20/s\nversion: http2\nstreams: 10",
        ),
        Code::SelectsAll => about(
            "An empty selector matches every pod of the namespace.",
            "Name the pods: by `labels`, `owner`, `prefix` or `name`.",
            Fault,
            "pod_kill: {pods: {prefix: \"\"}}",
            "pod_kill: {pods: {prefix: web-, count: 1}}",
        ),
        Code::Narrowing => about(
            "`count` and `percent` choose some of the matching pods. Here they choose none, or are not allowed.",
            "Write `count: 1` or `percent: 50%`, or remove it.",
            Fault,
            "pod_kill: {pods: {labels: {app: web}, count: 0}}",
            "pod_kill: {pods: {labels: {app: web}, count: 1}}",
        ),
        Code::Peer => about(
            "A partition has two ends. The other end is missing, or it is not clear which one is meant.",
            "List the peers in `from`, each with one of `service`, `pods`, `cidr` and `host`.",
            Fault,
            "partition: {pods: {labels: {app: web}, count: 1}, from: []}",
            "partition: {pods: {labels: {app: web}, count: 1}, from: [{service: postgres}]}",
        ),
        Code::Cidr => about(
            "The text is not a block of addresses.",
            "Write an address with the length of its prefix.",
            Fault,
            "partition: {pods: {labels: {app: web}, count: 1}, from: [{cidr: 10.0.0.0}]}",
            "partition: {pods: {labels: {app: web}, count: 1}, from: [{cidr: 10.0.0.0/8}]}",
        ),
        Code::Ports => about(
            "Ports cannot be given here: the service has them already, or answers use other ports.",
            "Write `service: postgres` and `ports: [5432]`.",
            Fault,
            "partition: {pods: {labels: {app: web}, count: 1}, from: [{service: \"postgres:5432\"}]}",
            "partition: {pods: {labels: {app: web}, count: 1}, from: [{service: postgres, ports: [5432]}]}",
        ),
        Code::SelfPartition => about(
            "Both ends of the link are the same pods.",
            "Select other pods as the peer.",
            Fault,
            "partition: {pods: {labels: {app: web}}, from: [{pods: {labels: {app: web}}}]}",
            "partition: {pods: {labels: {app: web}, count: 1}, from: [{pods: {labels: {app: cache}}}]}",
        ),
        Code::Expression => about(
            "The expression has no values to compare with, or values that its operator ignores.",
            "`In` and `NotIn` need `values`. `Exists` and `DoesNotExist` have none.",
            Fault,
            "pod_kill:\n  pods: {labels: {matchExpressions: [{key: app, operator: In}]}, count: 1}",
            "pod_kill:\n  pods: {labels: {matchExpressions: [{key: app, operator: In, values: [web]}]}, count: 1}",
        ),
        Code::Proof => about(
            "This proof cannot show that the fault acts.",
            "Remove `prove`, or write the kind that the message names.",
            Fault,
            "netem: {pods: {labels: {app: web}, count: 1}, loss: 20%, prove: witness}",
            "netem: {pods: {labels: {app: web}, count: 1}, loss: 20%, prove: traffic}",
        ),
        Code::Degradation => about(
            "The fault would do nothing, or its engine cannot do it.",
            "Give it a size, as the message says.",
            Fault,
            "netem: {pods: {labels: {app: web}, count: 1}, delay: 0s}",
            "netem: {pods: {labels: {app: web}, count: 1}, delay: 100ms}",
        ),
        Code::Manifest => about(
            "The object cannot be created, or the conditions cannot show that it acts.",
            "`object` has `apiVersion` and `kind`, as for kubectl. `active_when` names fields of its status.",
            Fault,
            "manifest:\n  object: {kind: PodChaos}\n  active_when: [{field: status.phase, equals: Running}]",
            "manifest:\n  object: {apiVersion: chaos-mesh.org/v1alpha1, kind: PodChaos, spec: {action: pod-kill}}\n  \
             active_when: [{field: status.phase, equals: Running}]",
        ),
        Code::ZeroDuration => about(
            "Nothing can be observed in no time.",
            "Write a duration such as `30s`.",
            Phase,
            "duration: 0s",
            "duration: 30s",
        ),
        Code::Settle => about(
            "Requests in the settling time are not judged. Here no others are left.",
            "Shorten `settle`, or lengthen the phase.",
            Phase,
            "duration: 30s\nsettle: 30s",
            "duration: 30s\nsettle: 5s",
        ),
        Code::FaultTime => about(
            "A fault begins and ends within its phase.",
            "Shorten `after` or `lasts`, or lengthen the phase.",
            Fault,
            "pod_kill: {pods: {labels: {app: web}, count: 1}, after: 40s}",
            "pod_kill: {pods: {labels: {app: web}, count: 1}, after: 10s}",
        ),
        Code::Pace => about(
            "The pace sends nothing, does not fit into its phase, or belongs to the other kind of loop: `rate` is an open \
             loop, `concurrency` a closed one.",
            "Remove the key of the other loop, or give the load a pace.",
            Load,
            "http: {service: \"shop:80\"}\nrate: 20/s\nthink_time: 1s",
            "http: {service: \"shop:80\"}\nconcurrency: 8\nthink_time: 1s",
        ),
        Code::OtherPace => about(
            "The two phases have different paces, and the pace alone changes the compared value.",
            "Give both phases the same pace, or adapt the limits.",
            Last,
            "load: {main: {rate: 40/s}}\nexpect: [{latency_ratio: {percentile: p95, to: before, max: 3}}]",
            "load: {main: {rate: 20/s}}\nexpect: [{latency_ratio: {percentile: p95, to: before, max: 3}}]",
        ),
        Code::UnknownPhase => about(
            "The expectation compares with a phase that does not exist.",
            "Write the name of an earlier phase.",
            Expect,
            "- latency_ratio: {percentile: p95, to: befor, max: 3}",
            "- latency_ratio: {percentile: p95, to: before, max: 3}",
        ),
        Code::PhaseOrder => about(
            "A comparison needs a phase that is over: an earlier one.",
            "Compare with an earlier phase.",
            Expect,
            "- latency_ratio: {percentile: p95, to: fault, max: 3}",
            "- latency_ratio: {percentile: p95, to: before, max: 3}",
        ),
        Code::UnknownLoad => about(
            "There is no load of this name.",
            "Write the name of a load, or remove the key: then each load must meet the limits.",
            Expect,
            "- success_rate: {min: 90%, load: maine}",
            "- success_rate: {min: 90%, load: main}",
        ),
        Code::Limits => about(
            "Without a limit an expectation cannot fail, and with `min` above `max` it cannot hold.",
            "Write `min`, `max` or both.",
            Expect,
            "- requests: {min: 700, max: 500}",
            "- requests: {min: 500, max: 700}",
        ),
        Code::LimitRange => about(
            "No service can reach the limit, because the value cannot be observed there.",
            "Write a limit within the range of the value.",
            Expect,
            "- latency: {percentile: p95, max: 0s}",
            "- latency: {percentile: p95, max: 500ms}",
        ),
        Code::NoRecovery => about(
            "A recovery needs a baseline without faults, then a fault, and then the phase with `recovery_time`.",
            "Write `recovery_time` in a phase after the fault.",
            Phase,
            "duration: 30s\nexpect: [{recovery_time: {max: 15s}}]",
            "duration: 30s\nexpect: [{success_rate: {min: 99%}}]",
        ),
        Code::RecoveryWindow => about(
            "The phase is too short for `max` and `hold`, or the window and the tolerance cannot show a recovery.",
            "Lengthen the phase, or shorten `max` or `hold`.",
            File,
            "version: 1\nname: example\nload: {main: {http: {service: \"shop:80\"}, rate: 20/s}}\nphases:\n  - {name: before, \
             duration: 30s}\n  - {name: kill, duration: 30s, faults: {f: {pod_kill: {pods: {labels: app=web, count: 1}}}}}\n  \
             - {name: recovery, duration: 5s, expect: [{recovery_time: {max: 15s, hold: 10s}}]}",
            "version: 1\nname: example\nload: {main: {http: {service: \"shop:80\"}, rate: 20/s}}\nphases:\n  - {name: before, \
             duration: 30s}\n  - {name: kill, duration: 30s, faults: {f: {pod_kill: {pods: {labels: app=web, count: 1}}}}}\n  \
             - {name: recovery, duration: 30s, expect: [{recovery_time: {max: 15s, hold: 10s}}]}",
        ),
        Code::TightRatio => about(
            "Two percentiles of a healthy service differ by chance. A limit this close to 1 raises false alarms.",
            "Allow more, or add `or_below`: a difference below it never fails. `shakedown calibrate` measures the rate of false \
             alarms.",
            Expect,
            "- latency_ratio: {percentile: p95, to: before, max: 1.05}",
            "- latency_ratio: {percentile: p95, to: before, max: 3, or_below: 300ms}",
        ),
        Code::AlwaysTrue => about(
            "Every value is within the limits.",
            "Tighten a limit, or remove the expectation.",
            Expect,
            "- success_rate: {min: 0%}",
            "- success_rate: {min: 90%}",
        ),
        Code::Effect => about(
            "`effect` compares a phase with a fault with an earlier phase without one.",
            "Move it to the phase with the fault.",
            Phase,
            "duration: 30s\neffect: any",
            "duration: 30s",
        ),
        Code::StopCondition => about(
            "The condition can never stop the run, or it always does.",
            "Write a limit that a broken service passes and a healthy one does not.",
            Scenario,
            "abort_if: [{success_rate: {below: 0%, for: 10s}}]",
            "abort_if: [{success_rate: {below: 50%, for: 10s}}]",
        ),
        Code::BlastRadius => about(
            "A blast radius without a limit protects nothing, and one of zero allows nothing.",
            "Write `max_pods` or `max_percent`.",
            Scenario,
            "blast_radius: {}",
            "blast_radius: {max_percent: 50%}",
        ),
        Code::Including => about(
            "`including` adds requests around the injection and the undo of a phase's faults. This phase has none.",
            "Move it to the phase with the faults.",
            Phase,
            "duration: 30s\nincluding: [injection]",
            "duration: 30s",
        ),
        Code::TooFew => about(
            "The load sends fewer requests in the phase than the expectation needs to decide. It would be inconclusive, or \
             could only fail.",
            "Lengthen the phase or raise the rate, as the message says.",
            File,
            "version: 1\nname: example\nload: {main: {http: {service: \"shop:80\"}, rate: 1/s}}\nphases: [{name: only, \
             duration: 5s, expect: [{success_rate: 99%}]}]",
            "version: 1\nname: example\nload: {main: {http: {service: \"shop:80\"}, rate: 20/s}}\nphases: [{name: only, \
             duration: 30s, expect: [{success_rate: 99%}]}]",
        ),
        Code::NotFelt => about(
            "No load sends requests while the fault acts, so that nothing is tested.",
            "Give a load a pace in this phase.",
            Last,
            "load: {main: {rate: 0/s}}",
            "load: {main: {rate: 20/s}}",
        ),
        Code::LongTimeout => about(
            "The run waits for its last answers, and so takes longer than all its phases.",
            "Shorten the timeout, or lengthen the phases.",
            Load,
            "http: {service: \"shop:80\"}\nrate: 20/s\ntimeout: 10m",
            "http: {service: \"shop:80\"}\nrate: 20/s\ntimeout: 5s",
        ),
        Code::Unobserved => about(
            "`recovery_time` counts from the last faults before its phase. If they directly follow the faults of the \
             previous phase, no request shows whether the service recovered from those.",
            "Put a phase without faults between them, with a `recovery_time` of its own.",
            File,
            "version: 1\nname: example\nload: {main: {http: {service: \"shop:80\"}, rate: 20/s}}\nphases:\n- {name: before, \
             duration: 30s}\n- {name: one, duration: 30s, faults: {f: {pod_kill: {pods: {labels: app=web, count: 1}}}}}\n- \
             {name: two, duration: 30s, faults: {g: {pod_kill: {pods: {labels: app=db, count: 1}}}}}\n- {name: after, duration: \
             30s, expect: [{recovery_time: 20s}]}",
            "version: 1\nname: example\nload: {main: {http: {service: \"shop:80\"}, rate: 20/s}}\nphases:\n- {name: before, \
             duration: 30s}\n- {name: one, duration: 30s, faults: {f: {pod_kill: {pods: {labels: app=web, count: 1}}}}}\n- \
             {name: between, duration: 30s, expect: [{recovery_time: 20s}]}\n- {name: two, duration: 30s, faults: {g: {pod_kill: \
             {pods: {labels: app=db, count: 1}}}}}\n- {name: after, duration: 30s, expect: [{recovery_time: 20s}]}",
        ),
        Code::OtherData => plain(
            "The rows of a table or a set of prompts come in order, and the phases have too few requests for several rounds. The \
             phase with the fault then has other data than the one before it, so that a change of its requests proves no fault.",
            "Write `order: random`, take fewer rows, or lengthen the phases: data in order must repeat at least 3 times in each.",
        ),
        Code::Call => plain(
            "A program of the topology calls a service that does not exist, a port or a path that the called program does not \
             serve, or a program that speaks another protocol. Its requests would fail without any fault. Or its request comes \
             back to it by way of other services, so that each request causes further ones without end.",
            "Name a workload of the topology and its port, such as `payments:8080`, and remove one call of a circle.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Diagnostic, Overrides, parse};

    const FAULT: &str = "pod_kill: {pods: {labels: {app: web}, count: 1}}";

    /// The lines in a whole file.
    fn file(place: Place, lines: &str) -> String {
        let at = |wanted: Place, other: &str| if place == wanted { lines.to_owned() } else { other.to_owned() };
        let indented = |text: String, by: usize| {
            text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect::<String>()
        };
        if place == Place::File {
            return format!("{lines}\n");
        }
        format!(
            "version: 1\nname: example\n{}load:\n  main:\n{}phases:\n  - name: before\n{}  - name: fault\n    duration: \
             30s\n{}    faults:\n      f:\n{}{}",
            indented(at(Place::Scenario, ""), 0),
            indented(at(Place::Load, HTTP), 4),
            indented(at(Place::Phase, "duration: 30s"), 4),
            indented(at(Place::Last, ""), 4),
            indented(at(Place::Fault, FAULT), 8),
            if place == Place::Expect {
                format!("    expect:\n{}", indented(lines.to_owned(), 6))
            } else {
                String::new()
            },
        )
    }

    fn problems(text: &str) -> Vec<Diagnostic> {
        parse("example.yaml", text.as_bytes(), &Overrides::default()).map_or_else(|it| it, |it| it.warnings)
    }

    #[test]
    fn every_example_has_its_code_and_its_mended_form_has_no_problem() {
        let mut wrong_examples = Vec::new();
        for code in Code::ALL {
            let Some((place, wrong, right)) = explanation(*code).example else { continue };
            let found = problems(&file(place, wrong));
            if !found.iter().any(|it| it.code == *code) {
                wrong_examples.push(format!("{}: wrong has {found:?}\n{}", code.id(), file(place, wrong)));
            }
            let found: Vec<Diagnostic> = problems(&file(place, right));
            if found.iter().any(|it| it.is_error() || it.code == *code) {
                wrong_examples.push(format!("{}: right has {found:?}\n{}", code.id(), file(place, right)));
            }
        }
        assert!(wrong_examples.is_empty(), "{}", wrong_examples.join("\n"));
        // These need the command line, a large file, many problems, or a topology.
        let without = Code::ALL.iter().filter(|code| explanation(**code).example.is_none());
        let without: Vec<&str> = without.map(|code| code.id()).collect();
        assert_eq!(without, ["S001", "S006", "S022", "S087", "S088"]);
    }

    #[test]
    fn an_explanation_is_complete_sentences() {
        for code in Code::ALL {
            let About { why, mend, .. } = explanation(*code);
            assert!(why.ends_with('.') && mend.ends_with('.'), "{}", code.id());
            assert!(text(*code).starts_with(code.id()), "{}", code.id());
        }
    }
}
