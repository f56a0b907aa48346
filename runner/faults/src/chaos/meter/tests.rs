use serde_json::json;
use shakedown_fakes::recordings;

use super::*;

const PODS: &str = "pods: {name: hog}";

/// The samples of a recorded answer of a kubelet.
fn recorded(place: usize) -> Usage {
    let answer = recordings::usage().remove(place);
    let containers = answer["pods"][0]["containers"].as_array().unwrap();
    let sample = |it: &Value| UsageSample {
        at: it["cpu"]["time"].as_str().unwrap().parse().unwrap(),
        window: None,
        cores: it["cpu"]["usageNanoCores"].as_f64().unwrap() / 1e9,
        memory: it["memory"]["rssBytes"].as_f64().unwrap(),
    };
    containers.iter().map(|it| (format!("hog/hog/{}", it["name"].as_str().unwrap()), sample(it))).collect()
}

/// A meter of a stress on one container with these limits.
fn meter(container: &str, limits: Value, stress: &str) -> Meter {
    let stress = serde_saphyr::from_str(&format!("{{{PODS}, {stress}, containers: [{container}]}}")).unwrap();
    let pod = PodRef { namespace: "hog".into(), name: "hog".into(), uid: "u".into(), node: None, ip: None };
    let there = json!({"spec": {"containers": [{"name": container, "resources": {"limits": limits}}]}});
    let mut meter = Meter::default();
    meter.expect(&Recipe::Stress(stress), &Inside { pod, containers: vec![container.into()] }, &there);
    meter
}

/// The recording, read from before the programs began to work until its end.
fn played(container: &str, limits: Value, stress: &str) -> Meter {
    let mut meter = meter(container, limits, stress);
    meter.before(Ok((UsageSource::Kubelet, recorded(0))));
    (2..recordings::usage().len()).for_each(|place| meter.take(&recorded(place)));
    meter
}

fn findings(meter: &Meter) -> Vec<(bool, String)> {
    meter.findings().into_iter().map(|it| (it.holds, it.detail)).collect()
}

#[test]
fn memory_that_is_there_is_proven_with_its_figure() {
    let meter = played("both", json!({"memory": "400Mi"}), "memory: {size: 128MB}");
    let said = "memory of container hog/hog/both: asked 128 MB, seen 128 MB (the kubelet's statistics)";
    assert_eq!(findings(&meter), [(true, said.to_owned())]);
    assert!(meter.is_proven());
    assert_eq!(meter.observed().measured[0].to_string(), "asked 128 MB, seen 128 MB");
}

/// As in the recording `memoom`: a stressor that is killed for memory and starts again.
#[test]
fn a_stressor_that_is_killed_in_a_loop_is_not_proven() {
    let meter = played("oom", json!({"memory": "100Mi"}), "memory: {size: 400MB}");
    let [(false, said)] = &findings(&meter)[..] else { panic!("{:?}", findings(&meter)) };
    assert!(said.contains("asked 400 MB, seen ") && said.ends_with("; at least 80% of it must be seen"), "{said}");
    // Near the limit, it often holds almost all of it for a moment.
    let mut meter = self::meter("oom", json!({"memory": "100Mi"}), "memory: {size: 104MB}");
    meter.before(Ok((UsageSource::Kubelet, recorded(0))));
    for place in 2..recordings::usage().len() {
        meter.take(&recorded(place));
        assert!(!meter.is_proven(), "after sample {place}");
    }
}

#[test]
fn cpu_time_is_averaged_and_compared_with_what_the_limit_leaves() {
    let load = |load: &str| format!("cpu: {{workers: 1, load: {load}}}");
    let [(true, said)] = &findings(&played("both", json!({}), &load("80%")))[..] else { panic!("it is not proven") };
    assert!(said.starts_with("CPU time of container hog/hog/both: asked 0.8 cores, seen 0.4"), "{said}");
    let throttled = json!({"cpu": "200m"});
    let [(true, said)] = &findings(&played("throttled", throttled.clone(), &load("100%")))[..] else {
        panic!("throttled")
    };
    assert!(said.contains("asked 1 core, seen 0.2"), "{said}");
    // Without the limit, the same is too little.
    let [(false, said)] = &findings(&played("throttled", json!({}), &load("100%")))[..] else { panic!("too little") };
    assert!(said.ends_with("; at least 50% of it must be seen"), "{said}");
    // A container that uses its quota already shows nothing more.
    let mut busy = meter("throttled", throttled, &load("100%"));
    busy.before(Ok((UsageSource::Kubelet, recorded(6))));
    (7..12).for_each(|place| busy.take(&recorded(place)));
    let [(false, said)] = &findings(&busy)[..] else { panic!("used up: {:?}", findings(&busy)) };
    assert!(said.contains("the container used 0.20 of its limit of 0.2 cores before the fault"), "{said}");
}

#[test]
fn without_a_sample_within_the_fault_nothing_is_said() {
    let mut stale = meter("both", json!({}), "memory: {size: 128MB}");
    stale.before(Ok((UsageSource::Kubelet, recorded(0))));
    // The same sample again and again, as of a kubelet that takes one each 10 s.
    (0..3).for_each(|_| stale.take(&recorded(1)));
    assert_eq!(findings(&stale), []);
    let why = stale.observed().unseen.unwrap();
    assert_eq!(
        why,
        "there is no sample of the memory of container hog/hog/both within the fault in the kubelet's statistics"
    );
    let mut blind = meter("both", json!({}), "memory: {size: 128MB}");
    blind.before(Err("this account may not get nodes/proxy".to_owned()));
    assert_eq!(findings(&blind), []);
    let why = blind.observed().unseen.unwrap();
    assert_eq!(why, "what its pods use cannot be read: this account may not get nodes/proxy");
}

/// metrics-server averages over 15 s. A window that begins before the fault is no sample of it.
#[test]
fn a_window_that_begins_before_the_fault_does_not_refute_it() {
    let at = |second: i64, cores: f64| -> Usage {
        let (at, window) = (Timestamp::from_second(1_000 + second).unwrap(), Some(Duration::from_secs(15)));
        [("hog/hog/both".to_owned(), UsageSample { at, window, cores, memory: 1e6 })].into()
    };
    let mut meter = meter("both", json!({}), "cpu: {workers: 1}");
    meter.before(Ok((UsageSource::Metrics, at(0, 0.1))));
    meter.take(&at(0, 0.1));
    meter.take(&at(10, 0.4));
    assert_eq!(findings(&meter), [], "the window began at -5 s");
    meter.take(&at(25, 1.05));
    let said = "CPU time of container hog/hog/both: asked 1 core, seen 0.95 (the metrics API)";
    assert_eq!(findings(&meter), [(true, said.to_owned())]);
}

#[test]
fn every_container_must_be_seen_and_every_amount() {
    let stress =
        "{pods: {name: hog}, memory: {size: 128MB}, cpu: {workers: 1, load: 50%}, containers: [both, throttled]}";
    let pod = PodRef { namespace: "hog".into(), name: "hog".into(), uid: "u".into(), node: None, ip: None };
    let mut meter = Meter::default();
    let target = Inside { pod, containers: vec!["both".into(), "throttled".into()] };
    meter.expect(&Recipe::Stress(serde_saphyr::from_str(stress).unwrap()), &target, &json!({}));
    assert_eq!(meter.pods().len(), 1);
    meter.before(Ok((UsageSource::Kubelet, recorded(0))));
    (2..recordings::usage().len()).for_each(|place| meter.take(&recorded(place)));
    let holds: Vec<bool> = meter.findings().iter().map(|it| it.holds).collect();
    assert_eq!(holds, [true, true, false, false], "{:?}", findings(&meter));
}
