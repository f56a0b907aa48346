//! Blocks of addresses. Out of scope: their use.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A block of IP addresses, `10.0.0.0/8` or `fd00::/8`. The bits behind the prefix are zero. The order is by family, first
/// address and length of the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

/// A text that is not a CIDR block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a CIDR block such as `203.0.113.0/24` or `2001:db8::/32`")]
pub struct CidrError(String);

impl Cidr {
    /// All IPv4 addresses.
    pub const V4: Self = Self(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)));
    /// All IPv6 addresses.
    pub const V6: Self = Self(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)));

    /// The block of one address.
    pub fn host(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }

    /// True for IPv6.
    pub const fn is_v6(self) -> bool {
        matches!(self.0, IpNet::V6(_))
    }

    /// The address, when the block has only one.
    pub fn single(self) -> Option<IpAddr> {
        (self.0.prefix_len() == self.0.max_prefix_len()).then(|| self.0.addr())
    }

    /// True if the address is in the block.
    pub fn has(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// True if every address of the other block is in this one.
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// The block of twice the size around it; none for all addresses.
    pub(super) fn parent(self) -> Option<Self> {
        self.0.supernet().map(Self)
    }

    /// True when this is the lower and the other the upper half of one block.
    pub(super) fn is_half_with(self, other: Self) -> bool {
        self < other && self.0.prefix_len() == other.0.prefix_len() && self.parent() == other.parent()
    }

    /// The fewest blocks with exactly the addresses of all these, in order.
    pub fn merged(blocks: impl IntoIterator<Item = Self>) -> Vec<Self> {
        IpNet::aggregate(&blocks.into_iter().map(|block| block.0).collect()).into_iter().map(Self).collect()
    }

    /// True if the blocks share an address. One of them then contains the other.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// A block, or a single address without a prefix length. Bits behind the prefix are cleared, as the API server's
    /// consumers do.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let bad = || CidrError(text.to_owned());
        let Some((address, length)) = text.split_once('/') else {
            // Not `host`: as a block, `::ffff:10.0.0.1` is IPv6.
            return text.parse::<IpAddr>().map(|address| Self(address.into())).map_err(|_| bad());
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let length = length.parse().map_err(|_| bad())?;
        IpNet::new(address, length).map(|block| Self(block.trunc())).map_err(|_| bad())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect("a block")
    }

    #[test]
    fn blocks_contain_what_shares_their_prefix() {
        assert!(cidr("10.0.0.0/8").has("10.244.0.7".parse().expect("an address")));
        assert!(cidr("10.0.0.0/8").contains(cidr("10.244.0.0/16")));
        assert!(!cidr("10.244.0.0/16").contains(cidr("10.0.0.0/8")));
        assert!(cidr("10.244.0.0/16").overlaps(cidr("10.0.0.0/8")));
        assert!(!Cidr::V6.has("10.0.0.1".parse().expect("an address")));
        assert!(Cidr::V4.has("::ffff:10.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn blocks_that_touch_or_nest_are_merged() {
        let merged = |texts: &[&str]| -> Vec<String> {
            Cidr::merged(texts.iter().map(|text| cidr(text))).iter().map(ToString::to_string).collect()
        };
        let texts = ["fd00::/64", "10.0.1.0/24", "10.0.0.0/24", "10.0.0.7/32", "10.0.2.0/24", "fd00:0:0:1::/64"];
        assert_eq!(merged(&texts), ["10.0.0.0/23", "10.0.2.0/24", "fd00::/63"]);
        assert!(merged(&[]).is_empty());
        assert!(!cidr("10.0.1.0/24").is_half_with(cidr("10.0.2.0/24")), "neighbours, and no block is both of them");
    }

    #[test]
    fn texts_round_trip_with_their_host_bits_cleared() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("fd00::1/8", "fd00::/8"),
            ("::1", "::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(cidr(text).to_string(), shown);
        }
        for text in ["10.0.0.0/33", "::/129", "10.0.0", "x/8", "10.0.0.0/", "10.0.0.0/-1", ""] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
