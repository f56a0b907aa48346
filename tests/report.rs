//! Rendering again from a result: how large a run may be.

use std::time::Duration;

use shakedown_reports::sample;

use crate::support::process::run;
use crate::support::shakedown::{BINARY, Shakedown};

/// The memory that all reports of a day may take, in kB.
const MEMORY: &str = "300000";

/// The kernel refuses the process more memory than that, and then it ends: no clock has a say in it. How long it takes is
/// measured by `reports/examples/day.rs`.
#[test]
#[ignore = "takes a minute"]
fn a_day_at_a_thousand_requests_a_second_is_rendered_within_300_megabytes() {
    let shakedown = Shakedown::undisturbed();
    let day = sample::day();
    let requests: u64 = day.scenarios[0].series[0].points.iter().map(|point| point.requests).sum();
    assert_eq!(requests, 86_400_000);
    shakedown.file("day.json", serde_json::to_vec(&day).expect("JSON"));
    let render = |limit: &str, out: &str| {
        let mut command = shakedown.command("sh");
        command.args(["-c", r#"ulimit -d "$1" && exec "$2" report day.json --out "$3""#, "sh", limit, BINARY, out]);
        run(&mut command, Duration::from_secs(300))
    };
    render(MEMORY, "out").expect_code(0);
    for (file, most) in [("report.html", 1_000_000), ("junit.xml", 1_000_000), ("summary.md", 1 << 20)] {
        let size = std::fs::metadata(shakedown.path("out").join(file)).expect("a report").len();
        assert!(size > 1_000 && size < most, "{file}: {size} bytes");
    }
    assert_ne!(render("20000", "less").code(), 0, "the limit is one");
}
