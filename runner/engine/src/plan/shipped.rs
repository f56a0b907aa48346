//! The plan of each scenario that ships with this program, against the sandbox's own deployment. Parts that differ between
//! runs (addresses, UIDs, the last part of pod names) are masked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use shakedown_schemas::{Document, Overrides};
use tokio::net::TcpListener;

use crate::plan::{self, Fuse, Options, Plan, Proof};
use shakedown_cluster::{self as cluster, Cluster, ConnectOptions, WitnessImage};
use shakedown_faults::enforcement::Enforcement;
use shakedown_sandbox::topology::BUILT_IN;
use shakedown_sandbox::{Sandbox, Topology};

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    files.sort();
    files
}

/// The scenario, with every URL of its own answered by a listener of the test.
fn document(path: &Path, listener: &TcpListener) -> Document {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("127.0.0.1:8080", &listener.local_addr().unwrap().to_string());
    let mut document = shakedown_schemas::parse(path.to_str().unwrap(), text.as_bytes(), &Overrides::default())
        .unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display()));
    document.file = path.file_name().unwrap().to_str().unwrap().to_owned();
    document
}

async fn planned(document: &Document, cluster: &Cluster) -> Plan {
    let at = "2026-03-01T12:00:00Z".parse().unwrap();
    let enforcement = Enforcement { at, ..Enforcement::now(true, "the sandbox does so itself") };
    let options = Options {
        fuse: Some(Fuse { life: Duration::from_secs(30), image: None }),
        proof: Proof {
            image: Some(WitnessImage::named("shakedown-sandbox")),
            enforcement: Some(enforcement),
            ..Proof::default()
        },
        ..Options::for_tests()
    };
    plan::plan(document, Some(cluster), &options).await.unwrap_or_else(|error| panic!("{}: {error}", document.file))
}

/// The plan as `plan -o yaml` prints it, with the differing parts masked.
fn masked(plan: &Plan) -> String {
    let mut text = serde_json::to_string(plan).unwrap();
    for (pattern, mask) in [
        (r"127\.\d+\.\d+\.\d+(:\d{5}\b)?", "[address]"),
        // Addresses that are neighbours by chance are one block.
        (r#""\[address\]/\d+"(,"\[address\]/\d+")*"#, r#""[blocks of addresses]""#),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[uid]"),
        (r"((?:vllm-agg-0-[a-z]+|payments|checkout|catalog)-[0-9a-z]{10})-[0-9a-z]{5}", "$1-[pod]"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, mask).into_owned();
    }
    shakedown_reports::to_yaml(&serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn every_shipped_scenario_has_this_plan() {
    let mut sandboxes = BTreeMap::new();
    for (name, _) in BUILT_IN {
        let sandbox = Sandbox::start(Topology::built_in(name).unwrap()).await.unwrap();
        let options = ConnectOptions { kubeconfig_text: Some(sandbox.kubeconfig()), ..ConnectOptions::default() };
        sandboxes.insert(name, (cluster::connect(&options).await.unwrap(), sandbox));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let files = scenarios();
    assert!(files.len() > 20, "{files:?}");
    for path in files {
        let document = document(&path, &listener);
        let topology = document.scenario.sandbox.as_ref().map_or(BUILT_IN[0].0, |sandbox| &sandbox.topology);
        let plan = planned(&document, &sandboxes[topology].0).await;
        insta::assert_snapshot!(path.file_stem().unwrap().to_str().unwrap(), masked(&plan));
    }
    for (_, sandbox) in sandboxes.into_values() {
        sandbox.stop().await;
    }
}
