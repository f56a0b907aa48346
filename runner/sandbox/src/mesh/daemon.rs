//! The effects of the rules of a PodNetworkChaos on the packets of its pod: the role of chaos-daemon on a real node.
//!
//! In scope: from rules to shapers and drops, with the daemon's bugs where they have a visible effect.
//! Out of scope: links (`controllers::links`).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use super::units;
use crate::net::{Bucket, Chance, Netem, Shaper};
use crate::object;
use shakedown_policy::Cidr;

/// The rules of one pod.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Drops outgoing packets to these addresses.
    drops_out: Vec<Addresses>,
    /// Drops incoming packets from these addresses.
    drops_in: Vec<Addresses>,
    /// The shapers of all outgoing packets, in order.
    all: Vec<Arc<Shaper>>,
    /// Additional shapers for packets to some addresses; the last match applies.
    some: Vec<(String, Addresses, Vec<Arc<Shaper>>)>,
}

/// Networks, each with a port if it has one. `None` is every address.
type Addresses = Option<Vec<(Cidr, Option<u16>)>>;

fn contains(addresses: &Addresses, ip: IpAddr, port: u16) -> bool {
    let fits = |(cidr, only): &(Cidr, Option<u16>)| cidr.has(ip) && only.is_none_or(|only| only == port);
    addresses.as_ref().is_none_or(|addresses| addresses.iter().any(fits))
}

impl Rules {
    /// Reads the spec of a PodNetworkChaos.
    ///
    /// # Errors
    /// The message of `failedMessage`. Like the real one, it does not name the problem of the rules.
    pub fn read(object: &Value) -> Result<Self, String> {
        let (name, pod) = (object::name(object), format!("{}/{}", object::namespace(object), object::name(object)));
        let spec = &object["spec"];
        let sets = object::list(spec, "/ipsets");
        let set = |name: &Value| -> Option<Addresses> {
            let named = |name: &Value| sets.iter().find(|set| set["name"] == *name);
            let set = named(name)?;
            let parts = object::list(set, "/setNames").iter().map(named).collect::<Option<Vec<_>>>()?;
            let all: Option<Vec<_>> = [set].into_iter().chain(parts).map(addresses).collect();
            all.map(|all| Some(all.concat()))
        };
        let mut rules = Self::default();
        for rule in object::list(spec, "/iptables") {
            let failed = || format!("failed to apply for pod {pod}: unable to set ip tables chains for pod {name}");
            let names = object::list(rule, "/ipsets");
            let mut all = if names.is_empty() { vec![None] } else { Vec::new() };
            for name in names {
                all.push(set(name).ok_or_else(failed)?);
            }
            if !is_own_device(rule) {
                return Err(failed());
            }
            let chain = if rule["direction"] == "input" { &mut rules.drops_in } else { &mut rules.drops_out };
            chain.append(&mut all);
        }
        for (index, rule) in object::list(spec, "/tcs").iter().enumerate() {
            let failed = || format!("failed to apply for pod {pod}: unable to set tcs for pod {name}");
            let shaper =
                shaper(rule, seed(&pod, index)).filter(|_| is_own_device(rule)).map(Arc::new).ok_or_else(failed)?;
            let Some(name) = rule["ipset"].as_str() else {
                rules.all.push(shaper);
                continue;
            };
            match rules.some.iter_mut().find(|(known, _, _)| known == name) {
                Some((_, _, chain)) => chain.push(shaper),
                None => {
                    let addresses = set(&rule["ipset"]).ok_or_else(failed)?;
                    rules.some.push((name.to_owned(), addresses, vec![shaper]));
                }
            }
        }
        Ok(rules)
    }

    /// Whether packets to this address are dropped.
    pub fn drops_to(&self, to: SocketAddr) -> bool {
        self.drops_out.iter().any(|addresses| contains(addresses, to.ip(), to.port()))
    }

    /// Whether packets from this address are dropped.
    pub fn drops_from(&self, from: IpAddr) -> bool {
        self.drops_in.iter().any(|addresses| contains(addresses, from, 0))
    }

    /// The shapers of a packet to this address.
    pub fn shapers(&self, to: SocketAddr) -> Vec<Arc<Shaper>> {
        let last = self.some.iter().rev().find(|(_, addresses, _)| contains(addresses, to.ip(), to.port()));
        self.all.iter().chain(last.into_iter().flat_map(|(_, _, chain)| chain)).cloned().collect()
    }
}

fn addresses(set: &Value) -> Option<Vec<(Cidr, Option<u16>)>> {
    let plain = object::list(set, "/cidrs").iter().map(|cidr| Some((cidr.as_str()?.parse().ok()?, None)));
    let with_port = object::list(set, "/cidrAndPorts").iter().map(|entry| {
        let port = u16::try_from(entry["port"].as_u64()?).ok()?;
        Some((object::text(entry, "/cidr").parse().ok()?, Some(port)))
    });
    plain.chain(with_port).collect()
}

/// A pod of the sandbox has one network device.
fn is_own_device(rule: &Value) -> bool {
    matches!(object::text(rule, "/device").split('@').next(), None | Some("" | "eth0"))
}

/// Differs from pod to pod and rule to rule, and repeats with their names.
fn seed(pod: &str, index: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (pod, index).hash(&mut hasher);
    hasher.finish()
}

/// `None` if tc refuses the settings.
fn shaper(rule: &Value, seed: u64) -> Option<Shaper> {
    if rule["type"] == "bandwidth" {
        let block = rule.get("bandwidth")?;
        let number = |key: &str| block[key].as_u64().map(|number| number as f64);
        let peak = number("minburst").filter(|burst| *burst > 0.0).and(number("peakrate")).filter(|peak| *peak > 0.0);
        return Some(Shaper::bucket(Bucket {
            rate: units::rate(object::text(block, "/rate")).filter(|rate| *rate > 0.0)?,
            limit: number("limit")?,
            buffer: number("buffer")?,
            // Passed to tc as a bare number, which means bits.
            peak: peak.map(|bits| bits / 8.0),
        }));
    }
    let chance = |block: &Value, name: &str| match block.get(name) {
        None => Some(Chance::default()),
        Some(value) => {
            let correlation = units::share(block["correlation"].as_str().unwrap_or("0"))?;
            Some(Chance { share: units::share(value.as_str()?)?, correlation })
        }
    };
    let delay = &rule["delay"];
    let mut netem = Netem {
        loss: chance(&rule["loss"], "loss")?,
        corrupt: chance(&rule["corrupt"], "corrupt")?,
        duplicate: chance(&rule["duplicate"], "duplicate")?,
        rate: match rule.get("rate") {
            Some(block) => Some(units::rate(object::text(block, "/rate")).filter(|rate| *rate > 0.0)?),
            None => None,
        },
        ..Netem::default()
    };
    let time = |key: &str| {
        let text = object::text(delay, key);
        // Chaos Mesh compares the text with "0ms" to detect a delay: `0.5ms` sorts before it, and is silently
        // omitted.
        if text > "0ms" { units::duration(text).unwrap_or_default() } else { std::time::Duration::ZERO }
    };
    netem.delay = time("/latency");
    if !netem.delay.is_zero() {
        netem.jitter = time("/jitter");
        netem.delay_correlation = units::share(delay["correlation"].as_str().unwrap_or("0"))?;
        netem.reorder = chance(&delay["reorder"], "reorder")?;
        netem.gap = delay["reorder"]["gap"].as_u64().and_then(|gap| u32::try_from(gap).ok()).unwrap_or(0);
    }
    Some(Shaper::netem(netem, seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;
    use tokio::time::Instant;

    use crate::net::ShaperChain;

    fn rules(spec: Value) -> Result<Rules, String> {
        Rules::read(&json!({"metadata": {"namespace": "a", "name": "p"}, "spec": spec}))
    }

    fn to(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The delay of a packet to an address, in milliseconds; `None` when it is lost.
    fn delay(rules: &Rules, address: &str) -> Option<u128> {
        let now = Instant::now();
        ShaperChain::new(rules.shapers(to(address))).send(now, 100).map(|at| (at - now).as_millis())
    }

    fn set(name: &str, cidr: &str) -> Value {
        json!({"name": name, "ipsetType": "list:set", "source": "a/n", "cidrs": [cidr]})
    }

    fn slow(latency: &str) -> Value {
        json!({"type": "netem", "source": "a/n", "delay": {"latency": latency}})
    }

    fn slow_to(latency: &str, set: &str) -> Value {
        let mut rule = slow(latency);
        rule["ipset"] = set.into();
        rule
    }

    #[test]
    fn unfiltered_rules_add_up_and_of_filtered_ones_the_last_counts() {
        let rules = rules(json!({
            "ipsets": [set("one", "127.64.0.0/24"), set("two", "127.64.0.7/32")],
            "tcs": [slow("1ms"), slow("2ms"), slow_to("10ms", "one"), slow_to("20ms", "two")],
        }))
        .unwrap();
        assert_eq!(delay(&rules, "127.64.0.7:80"), Some(23));
        assert_eq!(delay(&rules, "127.64.0.8:80"), Some(13));
        assert_eq!(delay(&rules, "127.65.0.8:80"), Some(3));
    }

    #[test]
    fn a_service_is_not_the_pods_behind_it() {
        let rules =
            rules(json!({"ipsets": [set("pods", "127.64.0.64/32")], "tcs": [slow_to("10ms", "pods")]})).unwrap();
        assert_eq!(delay(&rules, "127.64.0.64:4222"), Some(10));
        assert_eq!(delay(&rules, "127.64.0.1:4222"), Some(0));
    }

    #[test]
    fn ports_narrow_what_leaves() {
        let mut ports = set("s", "10.0.0.0/32");
        ports["cidrAndPorts"] = json!([{"cidr": "127.64.0.0/24", "port": 4222}]);
        let spec = json!({"ipsets": [ports], "iptables": [{"name": "o", "direction": "output", "ipsets": ["s"], "source": "a/n"}]});
        let rules = rules(spec).unwrap();
        assert!(rules.drops_to(to("127.64.0.9:4222")) && !rules.drops_to(to("127.64.0.9:80")));
        assert!(!rules.drops_from("127.64.0.9".parse().unwrap()));
    }

    #[test]
    fn a_partition_without_addresses_drops_everything() {
        let rules =
            rules(json!({"iptables": [{"name": "i", "direction": "input", "ipsets": [], "source": "a/n"}]})).unwrap();
        assert!(rules.drops_from("8.8.8.8".parse().unwrap()) && !rules.drops_to(to("8.8.8.8:53")));
    }

    #[test]
    fn half_a_millisecond_is_silently_nothing_and_500_microseconds_are_something() {
        for (latency, expected) in [("0.5ms", 0), ("500us", 500), ("0ms", 0), ("2ms", 2000), ("10ms", 10_000)] {
            let rules = rules(json!({"tcs": [slow(latency)]})).unwrap();
            let now = Instant::now();
            let took = ShaperChain::new(rules.shapers(to("10.0.0.1:1"))).send(now, 10).unwrap() - now;
            assert_eq!(took, Duration::from_micros(expected), "{latency}");
        }
    }

    #[test]
    fn what_tc_refuses_fails_without_a_reason() {
        let mut eth1 = slow("1ms");
        eth1["device"] = "eth1".into();
        for rule in [
            json!({"type": "netem", "source": "a/n", "loss": {"loss": "150"}}),
            json!({"type": "bandwidth", "source": "a/n"}),
            slow_to("1ms", "nobody"),
            eth1,
        ] {
            assert_eq!(
                rules(json!({"tcs": [rule]})).unwrap_err(),
                "failed to apply for pod a/p: unable to set tcs for pod p"
            );
        }
    }
}
