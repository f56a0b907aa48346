//! What `plan` takes on a large cluster: time, memory, requests, and the size of the policy. Prints one table.
//!
//! `cargo bench --bench plan` plans a partition at 10,000 pods, 5,000 nodes and 500 namespaces, three times; `-- 5000 5000 1`
//! takes these numbers. `-- program=PATH` measures another build of the program. The API server is a fake in this process, on
//! loopback, that makes each object when it is asked for; the program is a child. Its memory is the highest resident size.
//! A Deployment's pod has 8 kB of JSON here and a node 13 kB.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

#[path = "../support/large.rs"]
mod large;

use std::path::{Path, PathBuf};

use shakedown_fakes::LargeCluster;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    let number = |at: usize, default: usize| numbers.get(at).copied().unwrap_or(default);
    let program = arguments.iter().find_map(|it| it.strip_prefix("program="));
    let program = program.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_shakedown")), PathBuf::from);
    let cluster = LargeCluster { pods: number(0, 10_000), nodes: number(1, 5_000), namespaces: number(2, 500) };
    let folder = tempfile::tempdir().expect("a folder");
    println!("| pods | nodes | namespaces | requests | time | memory | blocks of the policy | its size |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for _ in 0..3 {
        row(&program, folder.path(), cluster);
    }
}

fn row(program: &Path, folder: &Path, cluster: LargeCluster) {
    let LargeCluster { pods, nodes, namespaces } = cluster;
    let planned = large::plan(program, folder, cluster);
    println!(
        "| {pods} | {nodes} | {namespaces} | {} | {:.2} s | {:.0} MiB | {} | {} B |",
        planned.requests.len(),
        planned.took.as_secs_f64(),
        planned.peak_mib,
        planned.blocks(),
        planned.policy().to_string().len()
    );
}
