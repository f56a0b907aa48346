//! Sets of ports, by protocol. Out of scope: named ports, which need a pod.

use std::fmt;

use shakedown_schemas::scenario::PortRange;

/// The protocols that a NetworkPolicy distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, the default of a policy's port.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// As Kubernetes writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// From Kubernetes' name. TCP without a name. None for an unknown name.
    pub fn from_name(name: Option<&str>) -> Option<Self> {
        name.map_or(Some(Self::Tcp), |name| Self::ALL.into_iter().find(|protocol| protocol.name() == name))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A set of ports from 1 to 65535 for each protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PortSet {
    /// By protocol, in the order of `Protocol::ALL`: sorted ranges, both ends included, that do not touch.
    ranges: [Vec<(u16, u16)>; 3],
}

const WHOLE: (u16, u16) = (1, u16::MAX);

impl PortSet {
    /// No port.
    pub const fn none() -> Self {
        Self { ranges: [Vec::new(), Vec::new(), Vec::new()] }
    }

    /// Every port of every protocol.
    pub fn all() -> Self {
        Self { ranges: [vec![WHOLE], vec![WHOLE], vec![WHOLE]] }
    }

    /// Every port of one protocol.
    pub fn whole(protocol: Protocol) -> Self {
        Self::range(protocol, WHOLE.0, WHOLE.1)
    }

    /// The ports from `first` to `last`, both included.
    pub fn range(protocol: Protocol, first: u16, last: u16) -> Self {
        let mut set = Self::none();
        let first = first.max(1);
        if first <= last {
            set.ranges[protocol as usize].push((first, last));
        }
        set
    }

    /// The ports that a scenario names. All ports if it names none.
    pub fn from_scenario(ports: &[PortRange]) -> Self {
        if ports.is_empty() {
            return Self::all();
        }
        ports.iter().fold(Self::none(), |set, port| {
            let protocol = if port.udp { Protocol::Udp } else { Protocol::Tcp };
            set.or(&Self::range(protocol, port.first, port.last))
        })
    }

    /// True when the port is in the set.
    pub fn has(&self, protocol: Protocol, port: u16) -> bool {
        self.ranges[protocol as usize].iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    /// The union.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut set = Self::none();
        for (at, ranges) in set.ranges.iter_mut().enumerate() {
            let mut parts: Vec<_> = self.ranges[at].iter().chain(&other.ranges[at]).copied().collect();
            parts.sort_unstable();
            for (first, last) in parts {
                match ranges.last_mut() {
                    Some(before) if u32::from(first) <= u32::from(before.1) + 1 => before.1 = before.1.max(last),
                    _ => ranges.push((first, last)),
                }
            }
        }
        set
    }

    /// The intersection.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut set = Self::none();
        for (at, ranges) in set.ranges.iter_mut().enumerate() {
            for a in &self.ranges[at] {
                for b in &other.ranges[at] {
                    let (first, last) = (a.0.max(b.0), a.1.min(b.1));
                    if first <= last {
                        ranges.push((first, last));
                    }
                }
            }
        }
        set
    }

    /// The complement.
    #[must_use]
    pub fn negated(&self) -> Self {
        let mut set = Self::none();
        for (at, ranges) in set.ranges.iter_mut().enumerate() {
            let mut next = u32::from(WHOLE.0);
            for (first, last) in &self.ranges[at] {
                push(ranges, next, u32::from(*first) - 1);
                next = u32::from(*last) + 1;
            }
            push(ranges, next, u32::from(WHOLE.1));
        }
        set
    }

    /// True when every port of this set is in the other.
    pub fn within(&self, other: &Self) -> bool {
        self.and(other) == *self
    }

    /// True without any port.
    pub fn is_none(&self) -> bool {
        self.ranges.iter().all(Vec::is_empty)
    }

    /// True with every port of every protocol.
    pub fn is_all(&self) -> bool {
        self.ranges.iter().all(|ranges| ranges[..] == [WHOLE])
    }

    /// The ranges of one protocol, both ends included, in order.
    pub fn ranges(&self, protocol: Protocol) -> &[(u16, u16)] {
        &self.ranges[protocol as usize]
    }

    /// True when every port of the protocol is in the set.
    pub fn is_whole(&self, protocol: Protocol) -> bool {
        self.ranges(protocol) == [WHOLE]
    }
}

fn push(ranges: &mut Vec<(u16, u16)>, first: u32, last: u32) {
    if first <= last
        && let (Ok(first), Ok(last)) = (u16::try_from(first), u16::try_from(last))
    {
        ranges.push((first, last));
    }
}

impl fmt::Display for PortSet {
    /// As a scenario writes ports: `4222`, `4222-4224`, `53/udp`; a whole protocol as `all UDP`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return out.write_str("all ports");
        }
        let mut parts = Vec::new();
        for protocol in Protocol::ALL {
            if self.is_whole(protocol) {
                parts.push(format!("all {protocol}"));
                continue;
            }
            let suffix = match protocol {
                Protocol::Tcp => "",
                Protocol::Udp => "/udp",
                Protocol::Sctp => "/sctp",
            };
            for (first, last) in self.ranges(protocol) {
                parts.push(if first == last { format!("{first}{suffix}") } else { format!("{first}-{last}{suffix}") });
            }
        }
        out.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complement_leaves_the_other_ports_and_protocols() {
        let blocked = PortSet::range(Protocol::Tcp, 4222, 4224);
        let rest = blocked.negated();
        assert_eq!(rest.ranges(Protocol::Tcp), [(1, 4221), (4225, 65535)]);
        assert!(rest.is_whole(Protocol::Udp) && rest.is_whole(Protocol::Sctp));
        assert_eq!(rest.negated(), blocked);
        assert_eq!(blocked.to_string(), "4222-4224");
    }

    #[test]
    fn the_ends_of_the_range_have_no_neighbours() {
        let ends = PortSet::range(Protocol::Tcp, 1, 1).or(&PortSet::range(Protocol::Tcp, 65535, 65535));
        assert_eq!(ends.negated().ranges(Protocol::Tcp), [(2, 65534)]);
        assert!(PortSet::all().negated().is_none() && PortSet::none().negated().is_all());
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let set = PortSet::range(Protocol::Udp, 10, 19).or(&PortSet::range(Protocol::Udp, 20, 30));
        assert_eq!(set.ranges(Protocol::Udp), [(10, 30)]);
        assert!(!set.has(Protocol::Tcp, 15) && set.has(Protocol::Udp, 15));
    }
}
