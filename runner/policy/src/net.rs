//! Blocks of addresses. Out of scope: their use.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of IP addresses, `10.0.0.0/8` or `fd00::/8`. The bits behind the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    v6: bool,
    /// The first address; an IPv4 one in the upper 32 bits, so that prefixes of both families compare alike.
    bits: u128,
    length: u8,
}

/// A text that is no block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a CIDR block such as `203.0.113.0/24` or `2001:db8::/32`")]
pub struct CidrError(String);

impl Cidr {
    /// All IPv4 addresses.
    pub const V4: Self = Self { v6: false, bits: 0, length: 0 };
    /// All IPv6 addresses.
    pub const V6: Self = Self { v6: true, bits: 0, length: 0 };

    /// The block of one address.
    pub fn host(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self { v6: false, bits: u128::from(v4.to_bits()) << 96, length: 32 },
            IpAddr::V6(v6) => Self { v6: true, bits: v6.to_bits(), length: 128 },
        }
    }

    /// True for IPv6.
    pub const fn is_v6(self) -> bool {
        self.v6
    }

    /// The address, when the block has only one.
    pub fn single(self) -> Option<IpAddr> {
        match (self.v6, self.length) {
            (false, 32) => Some(IpAddr::from(((self.bits >> 96) as u32).to_be_bytes())),
            (true, 128) => Some(IpAddr::from(self.bits.to_be_bytes())),
            _ => None,
        }
    }

    /// True when the address lies in the block.
    pub fn has(self, address: IpAddr) -> bool {
        self.contains(Self::host(address))
    }

    /// True when every address of the other block lies in this one.
    pub fn contains(self, other: Self) -> bool {
        self.v6 == other.v6 && self.length <= other.length && masked(other.bits, self.length) == self.bits
    }

    /// True when the blocks share an address. Of two blocks that do, one contains the other.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

const fn masked(bits: u128, length: u8) -> u128 {
    if length == 0 { 0 } else { bits & (u128::MAX << (128 - length as u32)) }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// A block, or a single address without a prefix length. Bits behind the prefix are cleared, as the API server's
    /// consumers do.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let bad = || CidrError(text.to_owned());
        let (address, length) = match text.split_once('/') {
            None => (text, None),
            Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| bad())?)),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        // Not `host`: in a block, `::ffff:0:0/96` is IPv6.
        let (v6, bits, longest) = match address {
            IpAddr::V4(v4) => (false, u128::from(v4.to_bits()) << 96, 32),
            IpAddr::V6(v6) => (true, v6.to_bits(), 128),
        };
        let length = length.unwrap_or(longest);
        if length > longest {
            return Err(bad());
        }
        Ok(Self { v6, bits: masked(bits, length), length })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.v6 {
            write!(out, "{}/{}", Ipv6Addr::from_bits(self.bits), self.length)
        } else {
            let bits = u32::try_from(self.bits >> 96).unwrap_or(u32::MAX);
            write!(out, "{}/{}", Ipv4Addr::from_bits(bits), self.length)
        }
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
